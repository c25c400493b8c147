//! An AF_XDP socket on one queue of an interface, its rings, and whose each buffer is.
//!
//! Buffers are chunks of one memory, in two pools: the first `frames` are sent from, the others received into. The
//! kernel may write what is posted and read what is in flight, so both are held here, by a handle, from the moment
//! that the kernel may see them until it says that it is done. A descriptor of the kernel's that names a buffer
//! which it was not given, or a part that is not one, is [`Taken::Wrong`].
//!
//! Invariant: the socket goes before its memory; when it is closed the kernel has let go of all.
//!
//! Source: linux v6.6 net/xdp/xsk.c, Documentation/networking/af_xdp.rst.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;

use rustix::io::Errno;
use rustix::net::sockopt::{
    set_xdp_rx_ring_size, set_xdp_tx_ring_size, set_xdp_umem_completion_ring_size,
    set_xdp_umem_fill_ring_size, set_xdp_umem_reg, xdp_mmap_offsets, xdp_options, xdp_statistics,
};
use rustix::net::xdp::{
    SocketAddrXdp, SocketAddrXdpFlags, XDP_PGOFF_RX_RING, XDP_PGOFF_TX_RING,
    XDP_UMEM_PGOFF_COMPLETION_RING, XDP_UMEM_PGOFF_FILL_RING, XdpDesc, XdpDescOptions,
    XdpMmapOffsets, XdpOptionsFlags, XdpUmemReg, XdpUmemRegFlags,
};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};
use rustix::process::{Resource, getrlimit};

use super::rings::{Consumer, Producer};
use crate::driver::RingCounters;
use crate::driver::headers;
use crate::driver::kernel::set_option;
use crate::frame::Frame;
use crate::pool::{Layout, Memory, Pool};

/// Bytes of a buffer: the least that holds a frame of an Ethernet. The kernel takes this or a page.
pub(super) const CHUNK_BYTES: usize = 2048;
/// What the kernel keeps free before a frame that it receives.
const KERNEL_BYTES: usize = 256;
/// Kept free besides over IPv6, so that payloads stand at 42 mod 64 there too.
const SPARE_BYTES_V6: usize = 44;
/// No page of a kernel is larger, and its memory must start at one.
const PAGE_BYTES_MAX: usize = 65_536;

const _: () = assert!((KERNEL_BYTES + headers::BYTES_V4) % 64 == 42);
const _: () = assert!((KERNEL_BYTES + SPARE_BYTES_V6 + headers::BYTES_V6) % 64 == 42);

const fn spare_bytes(is_v4: bool) -> usize {
    if is_v4 { 0 } else { SPARE_BYTES_V6 }
}

/// The longest Ethernet frame that a buffer holds.
pub(super) const fn frame_bytes_max(is_v4: bool) -> usize {
    CHUNK_BYTES - KERNEL_BYTES - spare_bytes(is_v4)
}

/// How many buffers there are, and entries of rings: powers of two. The ring for receiving is as long as that of
/// buffers to receive into, the ring for sending as that of completions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub frames: usize,
    pub receive_buffers: usize,
    pub receive_ring: usize,
    pub send_ring: usize,
}

impl Sizes {
    /// All buffers together.
    pub(super) const fn bytes(self) -> usize {
        (self.frames + self.receive_buffers) * CHUNK_BYTES
    }
}

/// What a socket is bound to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub interface: u32,
    pub queue: u32,
    pub is_v4: bool,
}

/// How it is bound.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub zero_copy: bool,
    /// Packets that one call has the card's driver handle; none: the driver's interrupts have it.
    pub busy_poll: Option<u16>,
}

/// What came.
pub(super) enum Taken {
    /// A frame, from behind where its headers are.
    Frame(Frame),
    /// The kernel says something that cannot be, or a frame that does not begin where frames do.
    Wrong,
}

pub(super) struct XdpSocket {
    /// First, so that it goes first.
    socket: OwnedFd,
    fill: Producer<u64>,
    receive: Consumer<XdpDesc>,
    send: Producer<XdpDesc>,
    complete: Consumer<u64>,
    pub pool: Pool,
    pub receive_pool: Pool,
    /// By index of buffer.
    posted: Box<[Option<Frame>]>,
    posted_count: usize,
    in_flight: Box<[Option<Frame>]>,
    in_flight_count: usize,
    header_bytes: usize,
    /// From a chunk's start to its frame's, when received.
    frame_at: usize,
    receive_ring: usize,
    zero_copy: bool,
    busy_poll: bool,
    _memory: Rc<Memory>,
}

/// Which call failed, and how.
pub(super) type Failed = (&'static str, io::Error);

fn called<T, E: Into<io::Error>>(what: &'static str, result: Result<T, E>) -> Result<T, Failed> {
    result.map_err(|error| (what, error.into()))
}

impl XdpSocket {
    pub(super) fn open(place: Place, manner: Manner, sizes: Sizes) -> Result<XdpSocket, Failed> {
        let flags = SocketFlags::CLOEXEC;
        let socket =
            called("socket", socket_with(AddressFamily::XDP, SocketType::RAW, flags, None))?;
        let bytes = sizes.bytes();
        let memory = Memory::new(bytes, PAGE_BYTES_MAX);
        let area = XdpUmemReg {
            addr: memory.address() as u64,
            len: bytes as u64,
            chunk_size: CHUNK_BYTES as u32,
            headroom: spare_bytes(place.is_v4) as u32,
            flags: XdpUmemRegFlags::empty(),
            tx_metadata_len: 0,
        };
        let (receive_ring, send_ring) = (sizes.receive_ring as u32, sizes.send_ring as u32);
        let it = socket.as_fd();
        called("XDP_UMEM_REG", register_soon(it, area))?;
        called("XDP_UMEM_FILL_RING", set_xdp_umem_fill_ring_size(it, receive_ring))?;
        called("XDP_UMEM_COMPLETION_RING", set_xdp_umem_completion_ring_size(it, send_ring))?;
        called("XDP_RX_RING", set_xdp_rx_ring_size(it, receive_ring))?;
        called("XDP_TX_RING", set_xdp_tx_ring_size(it, send_ring))?;
        let at = called("XDP_MMAP_OFFSETS", xdp_mmap_offsets(it))?;
        let mut made = XdpSocket::over(socket, &at, memory, sizes, place.is_v4)?;
        if let Some(budget) = manner.busy_poll {
            poll_busily(&made.socket, budget)?;
            made.busy_poll = true;
        }
        let copy = if manner.zero_copy {
            SocketAddrXdpFlags::XDP_ZEROCOPY
        } else {
            SocketAddrXdpFlags::XDP_COPY
        };
        let flags = SocketAddrXdpFlags::XDP_USE_NEED_WAKEUP | copy;
        let address = SocketAddrXdp::new(flags, place.interface, place.queue);
        called("bind", bind_soon(&made.socket, &address))?;
        made.zero_copy = xdp_options(&made.socket)
            .is_ok_and(|it| it.contains(XdpOptionsFlags::XDP_OPTIONS_ZEROCOPY));
        made.post();
        Ok(made)
    }

    /// Over rings that the socket has, and buffers in `memory`; nothing is posted yet.
    pub(super) fn over(
        socket: OwnedFd,
        at: &XdpMmapOffsets,
        memory: Rc<Memory>,
        sizes: Sizes,
        is_v4: bool,
    ) -> Result<XdpSocket, Failed> {
        let (receive_ring, send_ring) = (sizes.receive_ring as u32, sizes.send_ring as u32);
        let it = socket.as_fd();
        let fill = Producer::map(it, XDP_UMEM_PGOFF_FILL_RING, &at.fr, receive_ring);
        let receive = Consumer::map(it, XDP_PGOFF_RX_RING, &at.rx, receive_ring);
        let send = Producer::map(it, XDP_PGOFF_TX_RING, &at.tx, send_ring);
        let complete = Consumer::map(it, XDP_UMEM_PGOFF_COMPLETION_RING, &at.cr, send_ring);
        let (fill, receive) = (called("mmap", fill)?, called("mmap", receive)?);
        let (send, complete) = (called("mmap", send)?, called("mmap", complete)?);
        let frame_at = KERNEL_BYTES + spare_bytes(is_v4);
        let header_bytes = headers::bytes(is_v4);
        let layout = Layout { stride: CHUNK_BYTES, headroom: frame_at + header_bytes };
        let receive_at = sizes.frames * CHUNK_BYTES;
        let none = |count| (0..count).map(|_| None).collect();
        Ok(XdpSocket {
            socket,
            fill,
            receive,
            send,
            complete,
            pool: Pool::over(&memory, 0, sizes.frames, layout),
            receive_pool: Pool::over(&memory, receive_at, sizes.receive_buffers, layout),
            posted: none(sizes.receive_buffers),
            posted_count: 0,
            in_flight: none(sizes.frames),
            in_flight_count: 0,
            header_bytes,
            frame_at,
            receive_ring: sizes.receive_ring,
            zero_copy: false,
            busy_poll: false,
            _memory: memory,
        })
    }

    /// Posts free buffers until the ring is full: how many are posted.
    pub(super) fn post(&mut self) -> usize {
        while self.posted_count < self.receive_ring {
            let Some(frame) = self.receive_pool.take() else { break };
            let index = self.receive_pool.index_of(&frame).expect("it was taken from there");
            let chunk = self.in_flight.len() + index as usize;
            // A ring that is not full has room.
            if !self.fill.put((chunk * CHUNK_BYTES) as u64) {
                break;
            }
            self.posted[index as usize] = Some(frame);
            self.posted_count += 1;
        }
        self.fill.announce();
        self.posted_count
    }

    /// The next frame that came.
    pub(super) fn take(&mut self) -> Option<Taken> {
        let XdpDesc { addr, len, options } = self.receive.next()?;
        let Some(mut frame) = self.taken(addr) else { return Some(Taken::Wrong) };
        self.posted_count -= 1;
        let (at, bytes) = (addr as usize % CHUNK_BYTES, len as usize);
        let fits = bytes >= self.header_bytes && bytes <= CHUNK_BYTES - self.frame_at;
        if at != self.frame_at || !fits || !options.is_empty() {
            return Some(Taken::Wrong);
        }
        frame.truncate(bytes - self.header_bytes);
        Some(Taken::Frame(frame))
    }

    /// The buffer with that address, if the kernel has it.
    fn taken(&mut self, addr: u64) -> Option<Frame> {
        let chunk = usize::try_from(addr).ok()? / CHUNK_BYTES;
        self.posted.get_mut(chunk.checked_sub(self.in_flight.len())?)?.take()
    }

    /// Puts a frame on the ring for sending, headers before it: `false`, if the ring is full.
    pub(super) fn put(&mut self, frame: &Frame, index: u32, headers: &[u8]) -> bool {
        let at = index as usize * CHUNK_BYTES + self.frame_at + self.header_bytes - headers.len();
        let len = (headers.len() + frame.len()) as u32;
        let entry = XdpDesc { addr: at as u64, len, options: XdpDescOptions::empty() };
        frame.put_before(headers);
        if !self.send.put(entry) {
            return false;
        }
        self.in_flight[index as usize] = Some(frame.share());
        self.in_flight_count += 1;
        true
    }

    /// The index of a frame that can be put: of the pool for sending, from its payload's start, and not in flight.
    pub(super) fn index_of(&self, frame: &Frame) -> Option<u32> {
        self.pool.index_of(frame).filter(|index| self.in_flight[*index as usize].is_none())
    }

    /// Has the kernel send what was put, and lets go of what it is done with.
    /// # Errors
    /// The interface is down, or gone.
    pub(super) fn send(&mut self) -> Result<(), Errno> {
        self.send.announce();
        // Each call sends some; the last one that does nothing is the last.
        let mut waited = u32::MAX;
        loop {
            let waiting = self.send.waiting();
            if waiting == 0 || waiting >= waited || !self.send.needs_call() {
                break;
            }
            waited = waiting;
            match send(&self.socket, &[], SendFlags::DONTWAIT) {
                Ok(_) | Err(Errno::AGAIN | Errno::NOBUFS | Errno::BUSY | Errno::INTR) => {}
                Err(other) => return Err(other),
            }
            self.complete();
        }
        self.complete();
        Ok(())
    }

    /// Lets go of frames that the kernel is done with.
    pub(super) fn complete(&mut self) {
        while let Some(addr) = self.complete.next() {
            let chunk = usize::try_from(addr).map_or(usize::MAX, |addr| addr / CHUNK_BYTES);
            // A frame that is not in flight is no frame of ours.
            if let Some(frame) = self.in_flight.get_mut(chunk)
                && frame.take().is_some()
            {
                self.in_flight_count -= 1;
            }
        }
        self.complete.give_back();
    }

    /// Lets go of all frames that are in flight: the interface is gone, and nobody reads them.
    pub(super) fn let_go(&mut self) {
        self.in_flight.fill_with(|| None);
        self.in_flight_count = 0;
    }

    pub(super) fn in_flight_count(&self) -> usize {
        self.in_flight_count
    }

    /// Gives places of what was taken back, and wakes the card's driver, if it waits for buffers or is to be polled.
    pub(super) fn took(&mut self, found_none: bool) {
        self.receive.give_back();
        if (self.busy_poll && found_none) || self.fill.needs_call() {
            // What it has to say of the interface, sending hears too.
            let _ = recv(&self.socket, &mut [0; 0], RecvFlags::DONTWAIT);
        }
    }

    pub(super) fn is_zero_copy(&self) -> bool {
        self.zero_copy
    }

    /// From a buffer's start to that of a frame that is received into it.
    pub(super) fn frame_at(&self) -> usize {
        self.frame_at
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    pub(super) fn counters(&self) -> RingCounters {
        let Ok(it) = xdp_statistics(&self.socket) else { return RingCounters::default() };
        RingCounters {
            receive_dropped: it.rx_dropped,
            receive_wrong: it.rx_invalid_descs,
            send_wrong: it.tx_invalid_descs,
            receive_full: it.rx_ring_full.unwrap_or(0),
            fill_empty: it.rx_fill_ring_empty_descs.unwrap_or(0),
            send_empty: it.tx_ring_empty_descs.unwrap_or(0),
        }
    }
}

/// Has calls for this socket poll its queue, in place of interrupts.
fn poll_busily(socket: &OwnedFd, budget: u16) -> Result<(), Failed> {
    /// How long a call polls, in microseconds: as little as counts.
    const POLL_US: libc::c_int = 20;
    let options = [
        (libc::SO_PREFER_BUSY_POLL, "SO_PREFER_BUSY_POLL", 1),
        (libc::SO_BUSY_POLL, "SO_BUSY_POLL", POLL_US),
        (libc::SO_BUSY_POLL_BUDGET, "SO_BUSY_POLL_BUDGET", budget.into()),
    ];
    options.into_iter().try_for_each(|(option, what, value)| {
        called(what, set_option(socket, libc::SOL_SOCKET, option, value))
    })
}

/// Has the kernel take the buffers. What may be locked is asked for again while a socket that was closed may still
/// have it.
fn register_soon(socket: BorrowedFd<'_>, area: XdpUmemReg) -> Result<(), Errno> {
    if getrlimit(Resource::Memlock).current.is_some_and(|bytes| bytes < area.len) {
        return set_xdp_umem_reg(socket, area);
    }
    soon(Errno::NOBUFS, || set_xdp_umem_reg(socket, area))
}

/// Binds. The queue is asked for again while a socket that was closed may still have it.
fn bind_soon(socket: &OwnedFd, address: &SocketAddrXdp) -> Result<(), Errno> {
    soon(Errno::BUSY, || bind(socket, address))
}

/// Calls again while it is refused for what passes: the kernel goes on for a moment with a socket that was closed.
fn soon(passes: Errno, call: impl Fn() -> Result<(), Errno>) -> Result<(), Errno> {
    const TRIES: usize = 600;
    const APART: rustix::thread::Timespec =
        rustix::thread::Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
    for _ in 1..TRIES {
        match call() {
            Err(error) if error == passes => drop(rustix::thread::nanosleep(&APART)),
            other => return other,
        }
    }
    call()
}

#[cfg(test)]
mod tests {
    use daedal_lab::Lab;

    use super::*;

    #[test]
    fn the_kernel_is_called_to_send_where_it_says_so_and_nowhere_else() {
        let lab = match Lab::new(1, "-n {0} link set lo up") {
            Ok(lab) => lab,
            Err(why) if rustix::process::geteuid().is_root() => panic!("{why}"),
            Err(why) => return println!("skipped: a socket of AF_XDP: {why}"),
        };
        const LOOPBACK: u32 = 1;
        let place = Place { interface: LOOPBACK, queue: 0, is_v4: true };
        let manner = Manner { zero_copy: false, busy_poll: None };
        let sizes = Sizes { frames: 16, receive_buffers: 32, receive_ring: 16, send_ring: 16 };
        let mut socket = lab.within(0, || XdpSocket::open(place, manner, sizes)).unwrap();
        assert!(socket.send.needs_call());
        let frame = socket.pool.take().unwrap();
        let index = socket.index_of(&frame).unwrap();
        assert!(socket.put(&frame, index, &[0; headers::BYTES_V4]));
        // What is copied is sent by a call, and by nothing else.
        for (needs_call, waiting) in [(false, 1), (true, 0)] {
            socket.send.say_needs_call(needs_call);
            socket.send().unwrap();
            assert_eq!(socket.send.waiting(), waiting);
        }
    }
}
