//! `sendmmsg` and `recvmmsg` of equal datagrams on a connected socket.

#![expect(unsafe_code, reason = "std has neither call")]

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

/// Datagrams of one call, at most.
pub const BURST: usize = 32;

/// Buffers and headers of one call. A header points at its part, and that at its buffer: all three are
/// on the heap, and nothing replaces them.
pub struct Burst {
    headers: Box<[libc::mmsghdr]>,
    _parts: Box<[libc::iovec]>,
    _buffers: Box<[u8]>,
}

impl Burst {
    /// For datagrams of at most `bytes`, which is also what is sent.
    pub fn new(bytes: usize) -> Burst {
        let mut buffers = vec![7u8; bytes * BURST].into_boxed_slice();
        let base = buffers.as_mut_ptr();
        let part = |index: usize| libc::iovec {
            iov_base: base.wrapping_add(index * bytes).cast(),
            iov_len: bytes,
        };
        let mut parts: Box<[_]> = (0..BURST).map(part).collect();
        let first = parts.as_mut_ptr();
        let header = |index: usize| {
            // SAFETY: a header of null pointers and zero lengths is a valid one.
            let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
            header.msg_hdr.msg_iov = first.wrapping_add(index);
            header.msg_hdr.msg_iovlen = 1;
            header
        };
        Burst { headers: (0..BURST).map(header).collect(), _parts: parts, _buffers: buffers }
    }

    /// Sends up to `count` datagrams, and [`BURST`]: how many went.
    /// # Errors
    /// Those of the system, `WouldBlock` among them.
    pub fn send(&mut self, socket: &UdpSocket, count: usize) -> io::Result<usize> {
        let (descriptor, headers) = (socket.as_raw_fd(), self.headers.as_mut_ptr());
        let count = count.min(BURST) as u32;
        // SAFETY: all headers point at live parts and buffers of `self`, which the call only reads.
        let count = unsafe { libc::sendmmsg(descriptor, headers, count, libc::MSG_DONTWAIT as _) };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }

    /// Receives up to [`BURST`] datagrams: how many came.
    /// # Errors
    /// Those of the system, `WouldBlock` among them.
    pub fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        let (descriptor, headers) = (socket.as_raw_fd(), self.headers.as_mut_ptr());
        let (flags, timeout) = (libc::MSG_DONTWAIT as _, std::ptr::null_mut());
        // SAFETY: all headers point at live parts and buffers of `self`, borrowed exclusively.
        let count = unsafe { libc::recvmmsg(descriptor, headers, BURST as u32, flags, timeout) };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }
}
