//! The three calls that have no safe wrapper, each together with the pointers that it reads.
//!
//! Invariant: every pointer in a header is written in the function that makes the call, from
//! references which that function holds.

#![expect(unsafe_code, reason = "recvmmsg and sendmmsg with ancillary data have no safe wrapper")]

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsRawFd;

use socket2::Socket;

use super::layout::{Control, Name};
use crate::driver::Outgoing;
use crate::driver::train::Train;
use crate::frame::Frame;

/// Datagrams or trains of one call: beyond 32 the call itself no longer shows in the cost.
pub(super) const BURST: usize = 32;

/// Frames of one `sendmmsg`: a few full trains, so that scratch stays in the first-level cache.
pub(super) const SEND_FRAMES: usize = 512;

/// Headers, addresses, control messages and parts of one call, reused by the next.
struct Scratch {
    headers: Box<[libc::mmsghdr]>,
    names: Box<[Name]>,
    controls: Box<[Control]>,
    parts: Box<[libc::iovec]>,
}

impl Scratch {
    fn new(parts: usize) -> Scratch {
        // SAFETY: a header of null pointers and zero lengths is a valid one.
        let header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        let part = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        Scratch {
            headers: vec![header; BURST].into(),
            names: vec![Name::EMPTY; BURST].into(),
            controls: vec![Control::EMPTY; BURST].into(),
            parts: vec![part; parts].into(),
        }
    }

    /// Points header `index` at its name and control message, of these sizes, and at `count` parts
    /// from `part` on.
    fn point(&mut self, index: usize, name_bytes: usize, control_bytes: usize, parts: [usize; 2]) {
        let [part, count] = parts;
        assert!(name_bytes <= size_of::<Name>() && control_bytes <= size_of::<Control>());
        assert!(index < BURST && part + count <= self.parts.len());
        let header = &mut self.headers[index].msg_hdr;
        header.msg_name = match name_bytes {
            0 => std::ptr::null_mut(),
            _ => self.names.as_mut_ptr().wrapping_add(index).cast(),
        };
        header.msg_namelen = name_bytes as libc::socklen_t;
        header.msg_iov = self.parts.as_mut_ptr().wrapping_add(part);
        header.msg_iovlen = count as _;
        header.msg_control = self.controls.as_mut_ptr().wrapping_add(index).cast();
        header.msg_controllen = control_bytes as _;
        header.msg_flags = 0;
    }
}

/// Scratch of `recvmmsg`.
pub(super) struct ReceiveBurst(Scratch);

impl ReceiveBurst {
    pub(super) fn new() -> ReceiveBurst {
        ReceiveBurst(Scratch::new(BURST))
    }

    /// Receives a datagram or train into each of the first `frames`, of which there are at most
    /// [`BURST`]: how many.
    /// # Panics
    /// When a frame is not its buffer's only handle.
    pub(super) fn receive(&mut self, socket: &Socket, frames: &mut [Frame]) -> io::Result<usize> {
        for (index, frame) in frames.iter_mut().enumerate() {
            let bytes = frame.bytes_mut().expect("a posted buffer has one handle");
            self.0.parts[index] =
                libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
            self.0.point(index, size_of::<Name>(), size_of::<Control>(), [index, 1]);
        }
        let (headers, asked) = (self.0.headers.as_mut_ptr(), frames.len());
        let (flags, timeout) = (libc::MSG_DONTWAIT, std::ptr::null_mut());
        // SAFETY: the loop pointed the first `asked` headers at scratch of `self` and at buffers whose
        // only handles are `frames`, both borrowed exclusively; without a timeout none is read.
        let count =
            unsafe { libc::recvmmsg(socket.as_raw_fd(), headers, asked as _, flags as _, timeout) };
        usize::try_from(count).map(|count| count.min(asked)).map_err(|_| io::Error::last_os_error())
    }

    /// What the last call said of datagram `index`.
    pub(super) fn received(&self, index: usize) -> ReceivedDatagram<'_> {
        let header = &self.0.headers[index];
        let cut = header.msg_hdr.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0;
        ReceivedDatagram {
            bytes: header.msg_len as usize,
            cut,
            name: &self.0.names[index],
            name_bytes: header.msg_hdr.msg_namelen as usize,
            control: &self.0.controls[index],
            control_bytes: header.msg_hdr.msg_controllen,
        }
    }
}

/// A datagram or train as `recvmmsg` describes it.
pub(super) struct ReceivedDatagram<'a> {
    pub bytes: usize,
    /// Whether bytes or control messages did not fit.
    pub cut: bool,
    pub name: &'a Name,
    pub name_bytes: usize,
    pub control: &'a Control,
    pub control_bytes: usize,
}

/// Scratch of `sendmmsg`.
pub(super) struct SendBurst(Scratch);

impl SendBurst {
    pub(super) fn new() -> SendBurst {
        SendBurst(Scratch::new(SEND_FRAMES))
    }

    /// Sends the front of `frames` as `trains`, at most [`BURST`] trains of [`SEND_FRAMES`] frames: how
    /// many trains the kernel took, or why it refused the first. `is_connected`: the socket knows where
    /// to.
    pub(super) fn send(
        &mut self,
        (socket, is_connected): (&Socket, bool),
        trains: &[Train],
        frames: &VecDeque<Outgoing>,
    ) -> io::Result<usize> {
        let mut part = 0;
        for (index, train) in trains.iter().enumerate() {
            for out in frames.range(part..part + train.frames) {
                self.0.parts[part] = libc::iovec {
                    iov_base: out.frame.as_ptr().cast_mut().cast(),
                    iov_len: out.frame.len(),
                };
                part += 1;
            }
            let mut name_bytes = 0;
            if !is_connected {
                (self.0.names[index], name_bytes) = Name::emit(train.to);
            }
            let mut control_bytes = 0;
            if train.frames > 1 {
                let segment = u16::try_from(train.segment_bytes).expect("a train is under 64 KiB");
                self.0.controls[index] = Control::segment(segment);
                control_bytes = size_of::<Control>();
            }
            let parts = [part - train.frames, train.frames];
            self.0.point(index, name_bytes, control_bytes, parts);
        }
        let (headers, asked) = (self.0.headers.as_mut_ptr(), trains.len());
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: the loop pointed the first `asked` headers at scratch of `self`, borrowed
        // exclusively, and at bytes that `frames` keeps on loan and that the call only reads.
        let count = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers, asked as _, flags as _) };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }
}

/// Sets a socket option that is a number.
pub(in crate::driver) fn set_option(
    socket: &impl AsRawFd,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let bytes = size_of::<libc::c_int>() as libc::socklen_t;
    let at = (&raw const value).cast();
    // SAFETY: `at` points to `value`, of `bytes` bytes, which outlives the call.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, at, bytes) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
