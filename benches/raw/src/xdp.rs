//! AF_XDP sockets at both ends of a virtual Ethernet, between two pinned threads that spin. Whatever comes is taken.
//!
//! Sockets and rings are those of the crate xdp; the program on the interface sends everything to queue 0's socket.

#![expect(unsafe_code, reason = "bpf(2) has no wrapper, and the crate's rings are unsafe to use")]

use std::ffi::CString;
use std::hint::spin_loop;
use std::io::{self, Error};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use xdp::nic::NicIndex;
use xdp::slab::{HeapSlab, Slab};
use xdp::socket::{XdpSocket, XdpSocketBuilder};
use xdp::umem::{FrameSize, UmemCfgBuilder};
use xdp::{Packet, RingConfigBuilder, Umem, WakableRings};

use crate::lab::{INTERFACE, Lab};
use crate::open_loop::{self, Carrier, DUE_BYTES};
use crate::{Figure, PATIENCE, STRIDE, ask, pin, rate};

/// Ethernet, IPv4 and UDP headers: as many bytes as a datagram has.
const HEADER_BYTES: usize = 42;

/// Frames that are sent by one call, at most: as many as the kernel sends in one.
pub const BATCH: usize = 32;

/// Bytes that a frame carries, at most.
pub const FRAME_BYTES_MAX: usize = 1472;

/// How the program sits on the interface: flags of `BPF_LINK_CREATE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Attach {
    /// In the network stack.
    Generic = 1 << 1,
    /// In the interface's driver.
    Native = 1 << 2,
}

/// A round trip of a frame that carries `bytes`.
/// # Errors
/// Those of sockets and of `ip`; a frame that does not come back.
pub fn xdp_ask(bytes: usize, attach: Attach) -> io::Result<Figure> {
    beside_echo(attach, |end| {
        let frame = vec![0xff; HEADER_BYTES + bytes];
        let mut failed = None;
        let figure = ask(|| {
            if failed.is_none() {
                failed = end.round(&frame).err();
            }
        });
        failed.map_or(Ok(figure), Err)
    })
}

/// [`open_loop::load`] of frames that carry `bytes`.
/// # Errors
/// As [`xdp_ask`].
pub fn xdp_load(bytes: usize, per_second: Option<u64>, attach: Attach) -> io::Result<Figure> {
    beside_echo(attach, |end| {
        let frame = vec![0xff; HEADER_BYTES + bytes];
        open_loop::load(per_second, &mut Frames { end, frame })
    })
}

/// Messages of `bytes` received a second, a frame each, `batch` of them sent by a call. One that is larger than a frame
/// goes in several. What the kernel drops does not count.
/// # Errors
/// Those of sockets and of `ip`.
pub fn xdp_tell(bytes: usize, batch: usize, attach: Attach) -> io::Result<Figure> {
    let parts = bytes.div_ceil(FRAME_BYTES_MAX);
    let frame = vec![0xff; HEADER_BYTES + bytes / parts];
    let mut failed = None;
    let figure = beside(
        attach,
        |end| end.flood(&frame, batch),
        |end| {
            let rate = rate(|| {
                let count = end.receive();
                end.free_received();
                count.unwrap_or_else(|error| {
                    failed = Some(error);
                    0
                }) as u64
            });
            Ok(Figure::Tell(rate / parts as f64))
        },
    );
    failed.map_or(figure, Err)
}

fn beside_echo(
    attach: Attach,
    measure: impl FnOnce(&mut End) -> io::Result<Figure>,
) -> io::Result<Figure> {
    beside(attach, End::echo, measure)
}

/// Runs `measure` at one end, while the other does `work` over and over.
fn beside(
    attach: Attach,
    work: impl Fn(&mut End) + Sync,
    measure: impl FnOnce(&mut End) -> io::Result<Figure>,
) -> io::Result<Figure> {
    let (lab, ready, is_over) = (Lab::new()?, Barrier::new(2), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(1);
            let end = lab.enter(1).and_then(|()| End::open(attach));
            ready.wait();
            if let Ok(mut end) = end {
                while !is_over.load(Ordering::Relaxed) {
                    work(&mut end);
                }
            }
        });
        pin(0);
        let end = lab.enter(0).and_then(|()| End::open(attach));
        ready.wait();
        let figure = end.and_then(|mut end| measure(&mut end));
        is_over.store(true, Ordering::Relaxed);
        figure
    })
}

/// The first bytes behind the headers of each say when its ask was due.
struct Frames<'a> {
    end: &'a mut End,
    frame: Vec<u8>,
}

impl Carrier for Frames<'_> {
    fn send(&mut self, due_ns: u64) -> io::Result<bool> {
        self.frame[HEADER_BYTES..][..DUE_BYTES].copy_from_slice(&due_ns.to_ne_bytes());
        self.end.send_frame(&self.frame).map(|()| true)
    }

    fn receive(&mut self) -> io::Result<Option<u64>> {
        if self.end.received.is_empty() {
            self.end.receive()?;
        }
        let Some(packet) = self.end.received.pop_back() else { return Ok(None) };
        // The kernel, too, sends frames there.
        let payload = packet.strip_prefix(&self.frame[..HEADER_BYTES]);
        let due_ns = payload.and_then(|bytes| bytes.first_chunk().copied());
        self.end.umem.free_packet(packet);
        Ok(due_ns.map(u64::from_ne_bytes))
    }
}

struct End {
    /// Before what it shares.
    _socket: XdpSocket,
    rings: WakableRings,
    umem: Umem,
    received: HeapSlab,
    sending: HeapSlab,
    _redirect: [OwnedFd; 3],
}

impl End {
    fn open(attach: Attach) -> io::Result<End> {
        let other = |error: &dyn std::fmt::Debug| Error::other(format!("{error:?}"));
        let name = CString::new(INTERFACE)?;
        let nic = NicIndex::lookup_by_name(&name)?.ok_or(io::ErrorKind::NotFound)?;
        let config =
            UmemCfgBuilder { frame_size: FrameSize::TwoK, frame_count: 4096, ..Default::default() };
        let mut umem = Umem::map(config.build().map_err(|it| other(&it))?)?;
        let mut builder = XdpSocketBuilder::new().map_err(|it| other(&it))?;
        let config = RingConfigBuilder::default().build().map_err(|it| other(&it))?;
        let rings = builder.build_wakable_rings(&umem, config);
        let (mut rings, mut flags) = rings.map_err(|it| other(&it))?;
        flags.force_copy();
        let socket = builder.bind(nic, 0, flags).map_err(|it| other(&it))?;
        // SAFETY: the memory outlives the socket, which is dropped before it.
        unsafe { rings.fill_ring.enqueue(&mut umem, 1024, false) }?;
        let redirect = redirect(nic.0, attach, socket.raw_fd())?;
        let slab = || HeapSlab::with_capacity(256);
        Ok(End {
            _socket: socket,
            rings,
            umem,
            received: slab(),
            sending: slab(),
            _redirect: redirect,
        })
    }

    /// Takes what has come, and posts as many buffers.
    fn receive(&mut self) -> io::Result<usize> {
        let Some(ring) = &mut self.rings.rx_ring else { return Ok(0) };
        // SAFETY: the ring and its packets are of this memory.
        let count = unsafe { ring.recv(&self.umem, &mut self.received) };
        if count > 0 {
            // SAFETY: as in `open`.
            unsafe { self.rings.fill_ring.enqueue(&mut self.umem, count, false) }?;
        }
        Ok(count)
    }

    fn send(&mut self) -> io::Result<()> {
        let Some(ring) = &mut self.rings.tx_ring else { return Ok(()) };
        // SAFETY: the packets are of this memory, and are not touched until they come back.
        unsafe { ring.send(&mut self.sending, true) }?;
        self.rings.completion_ring.dequeue(&mut self.umem, 64);
        Ok(())
    }

    fn echo(&mut self) {
        if !matches!(self.receive(), Ok(1..)) {
            return spin_loop();
        }
        while let Some(packet) = self.received.pop_back() {
            self.sending.push_front(packet);
        }
        // What was not sent is missed at the other end.
        self.send().ok();
    }

    fn send_frame(&mut self, frame: &[u8]) -> io::Result<()> {
        self.append(frame)?;
        self.send()
    }

    fn append(&mut self, frame: &[u8]) -> io::Result<()> {
        // SAFETY: the memory outlives the packet.
        let packet = unsafe { self.umem.alloc() };
        let mut packet: Packet = packet.ok_or(io::ErrorKind::OutOfMemory)?;
        packet.append(frame).map_err(|it| Error::other(it.discriminant()))?;
        self.sending.push_front(packet);
        Ok(())
    }

    fn round(&mut self, frame: &[u8]) -> io::Result<()> {
        self.send_frame(frame)?;
        let mut start = None;
        for tries in 1u64.. {
            if self.receive()? > 0 {
                break;
            }
            if tries % STRIDE == 0 && start.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                return Err(Error::new(io::ErrorKind::TimedOut, "a frame was lost"));
            }
            spin_loop();
        }
        self.free_received();
        Ok(())
    }

    fn free_received(&mut self) {
        while let Some(packet) = self.received.pop_back() {
            self.umem.free_packet(packet);
        }
    }

    fn flood(&mut self, frame: &[u8], batch: usize) {
        self.rings.completion_ring.dequeue(&mut self.umem, BATCH);
        while self.sending.len() < batch && self.append(frame).is_ok() {}
        // What was not sent is sent the next time.
        self.send().ok();
    }
}

/// One instruction: code, registers, offset, immediate.
type Instruction = (u8, u8, i16, i32);

/// Puts `redirect(table, queue, pass)` on the interface: table, program and link, which go with their descriptors.
fn redirect(interface: u32, attach: Attach, socket: RawFd) -> io::Result<[OwnedFd; 3]> {
    // A table of sockets by number, both of four bytes, with one entry.
    let table = make(0, &[17, 4, 4, 1])?;
    let (key, value) = (0u32, socket);
    let entry = [table.as_raw_fd() as u64, (&raw const key) as u64, (&raw const value) as u64, 0];
    bpf(2, &entry)?;
    let program: [Instruction; 6] = [
        (0x61, 0x12, 16, 0),
        (0x18, 0x11, 0, table.as_raw_fd()),
        (0, 0, 0, 0),
        (0xb7, 0x03, 0, 2),
        (0x85, 0, 0, 51),
        (0x95, 0, 0, 0),
    ];
    let code: Vec<u64> = program.iter().map(|it| encoded(*it)).collect();
    let licence = c"MIT";
    let mut load = [0u64; 9];
    load[0] = 6 | (code.len() as u64) << 32;
    load[1] = code.as_ptr() as u64;
    load[2] = licence.as_ptr() as u64;
    // What it is to be attached as.
    load[8] = 37 << 32;
    let program = make(5, &load)?;
    let link = make(28, &[program.as_raw_fd() as u32, interface, 37, attach as u32])?;
    Ok([table, program, link])
}

fn encoded((code, registers, offset, immediate): Instruction) -> u64 {
    let [low, high] = offset.to_ne_bytes();
    let [a, b, c, d] = immediate.to_ne_bytes();
    u64::from_ne_bytes([code, registers, low, high, a, b, c, d])
}

fn bpf<T>(command: libc::c_int, attributes: &[T]) -> io::Result<RawFd> {
    let (at, bytes) = (attributes.as_ptr(), size_of_val(attributes));
    // SAFETY: what the attributes point to outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, at, bytes) };
    if result < 0 { Err(Error::last_os_error()) } else { Ok(result as RawFd) }
}

fn make<T>(command: libc::c_int, attributes: &[T]) -> io::Result<OwnedFd> {
    // SAFETY: a descriptor that was just made.
    bpf(command, attributes).map(|it| unsafe { OwnedFd::from_raw_fd(it) })
}
