//! Frames past the kernel, by AF_XDP: a program on the interface hands what is ours to the socket of its queue, in
//! buffers of ours; what we send is written there too.
//!
//! Beside it there is a kernel driver at the same address. It has the port, and all that is not for the ring: peers on
//! this host or behind another interface, neighbours whose address is not known yet, what comes by another reactor's
//! queue, in fragments, or larger than a buffer. So a driver reaches everybody, and is fast to whom it can be; how many
//! frames went aside is counted.
//!
//! Never blocks, orders or repeats. Largest payload: 1,744 bytes over IPv4, 1,680 over IPv6, less if the
//! interface's MTU says so.
//!
//! Invariants: a frame's bytes are held until the kernel has completed it; headers are written only before a frame
//! that is not in flight; no allocation after start, but for the table of peers.
//!
//! Sources: Ovid §6.1 (a box's network), linux v6.6 Documentation/networking/af_xdp.rst.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::Arc;

use rustix::io::Errno;

use self::inbound::Here;
use self::interface::QUEUES_MAX;
use self::netlink::Netlink;
use self::socket::{Failed, Manner, Place, Sizes, XdpSocket, frame_bytes_max};
use self::ways::Ways;
use super::aside::{self, Aside};
use super::headers::{self, Checksums, Headers};
use super::kernel::{self, Kernel, check_setting};
use super::{Counters, DATAGRAM_ALIGN, Driver, DriverError, Outgoing, Received};
use crate::pool::Pool;

mod bpf;
mod error;
mod inbound;
mod interface;
pub mod memory;
mod netlink;
mod options;
mod program;
mod rings;
mod socket;
mod ways;

pub use error::{GRANTS, Problem, to_lock};
pub use interface::Interface;
pub use options::{Attach, Options, WORDS};

/// What a driver is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address and port; port 0 takes any. The interface has the address.
    pub bind: SocketAddr,
    /// The queue of the interface: no other driver's.
    pub queue: u32,
    /// Frames for sending, of 2 KiB each.
    pub frames: usize,
    /// Buffers for receiving, of 2 KiB each: those that the kernel has, as many as `receive_ring`, and those on loan.
    pub receive_buffers: usize,
    /// Entries of the rings for receiving: a power of two, below `receive_buffers`.
    pub receive_ring: usize,
    /// Entries of the rings for sending: a power of two.
    pub send_ring: usize,
    /// Largest datagram payload, in bytes; a multiple of 16.
    pub payload_bytes_max: usize,
}

/// Buffers and entries of rings by the defaults: 12 MiB, half of those to receive into with the kernel.
const SIZES: Sizes =
    Sizes { frames: 2048, receive_buffers: 4096, receive_ring: 2048, send_ring: 2048 };

/// Bytes of a driver's buffers by the defaults, which the kernel keeps in memory: those of a process without CAP_IPC_LOCK
/// count as locked (`RLIMIT_MEMLOCK`), together with all that processes of its user lock.
/// Source: linux v6.6 net/xdp/xdp_umem.c, `xdp_umem_account_pages`.
pub const LOCKED_BYTES: u64 = SIZES.bytes() as u64;

impl Config {
    /// The defaults for a reactor, by its number in its box; payloads as the kernel driver's or what the interface's MTU
    /// leaves.
    pub fn new(bind: SocketAddr, reactor: u8, interface: &Interface) -> Config {
        let usual = kernel::Config::new(bind).payload_bytes_max;
        Config {
            bind,
            queue: u32::from(interface.options.queue) + u32::from(reactor),
            frames: SIZES.frames,
            receive_buffers: SIZES.receive_buffers,
            receive_ring: SIZES.receive_ring,
            send_ring: SIZES.send_ring,
            payload_bytes_max: usual.min(interface.payload_bytes_max(bind.is_ipv4())),
        }
    }

    fn check(&self, interface: &Interface) -> Result<(), DriverError> {
        /// Entries of a ring: the kernel's limit, and some that make sense.
        const RING: (usize, usize, usize) = (16, 1 << 15, 1);
        const FRAMES_MAX: usize = 1 << 20;
        for (setting, value) in [("receive_ring", self.receive_ring), ("send_ring", self.send_ring)]
        {
            check_setting(self.bind, setting, value, RING)?;
            if !value.is_power_of_two() {
                return Err(interface.wrong(Problem::NoPowerOfTwo { setting, value }));
            }
        }
        check_setting(self.bind, "frames", self.frames, (1, FRAMES_MAX, 1))?;
        let buffers = (self.receive_ring + 1, FRAMES_MAX, 1);
        check_setting(self.bind, "receive_buffers", self.receive_buffers, buffers)?;
        check_setting(self.bind, "queue", self.queue as usize, (0, QUEUES_MAX as usize - 1, 1))?;
        let payload = (64, interface.payload_bytes_max(self.bind.is_ipv4()), DATAGRAM_ALIGN);
        check_setting(self.bind, "payload_bytes_max", self.payload_bytes_max, payload)
    }
}

impl Interface {
    /// Largest payload of a datagram: what a buffer, and the interface's MTU, leave behind the headers.
    fn payload_bytes_max(&self, is_v4: bool) -> usize {
        const ETHERNET_BYTES: usize = 14;
        let frame = frame_bytes_max(is_v4).min(self.mtu + ETHERNET_BYTES);
        frame.saturating_sub(headers::bytes(is_v4)) / DATAGRAM_ALIGN * DATAGRAM_ALIGN
    }

    fn wrong(&self, problem: Problem) -> DriverError {
        DriverError::Xdp {
            address: self.ip,
            interface: self.name.clone(),
            problem: Box::new(problem),
        }
    }
}

/// An AF_XDP socket, and the kernel beside. Its mode reads `xdp (eth0 queue 0, native, copy; aside: kernel (gso,
/// gro))`.
pub struct Xdp {
    /// Before the interface, whose program leads to it.
    socket: XdpSocket,
    aside: Aside<Kernel>,
    ways: Ways,
    interface: Arc<Interface>,
    address: SocketAddr,
    queue: u32,
    payload_bytes_max: usize,
    counters: Counters,
    /// The interface was taken away: all goes aside.
    is_gone: bool,
}

impl Xdp {
    /// Takes the port, the queue, and all memory that the driver will use.
    /// # Errors
    /// Every [`DriverError`]: the port's, a setting out of bounds, and what the queue says ([`Problem`]).
    pub fn start(interface: &Arc<Interface>, config: &Config) -> Result<Xdp, DriverError> {
        config.check(interface)?;
        if config.bind.ip() != interface.ip {
            return Err(DriverError::AddressNotHere { address: config.bind });
        }
        let kernel = Kernel::start(&aside::of_kernel(config.bind, 1))?;
        let aside = Aside::new(kernel, config.frames);
        let address = aside.address();
        let netlink = Netlink::open();
        let netlink = netlink.map_err(|it| interface.wrong(Problem::of("netlink", it)))?;
        let (queue, options) = (config.queue, interface.options);
        let place = Place { interface: interface.index, queue, is_v4: address.is_ipv4() };
        let manner = Manner { zero_copy: options.zero_copy, busy_poll: options.busy_poll };
        let Config { frames, receive_buffers, receive_ring, send_ring, payload_bytes_max, .. } =
            *config;
        let sizes = Sizes { frames, receive_buffers, receive_ring, send_ring };
        let socket = XdpSocket::open(place, manner, sizes)
            .map_err(|failed| interface.wrong(problem(failed, queue, sizes)))?;
        let led = interface.lead(queue, address.port(), socket.descriptor());
        led.map_err(|problem| interface.wrong(problem))?;
        Ok(Xdp {
            socket,
            aside,
            ways: Ways::new(netlink, address, interface.index),
            interface: interface.clone(),
            address,
            queue,
            payload_bytes_max,
            counters: Counters::default(),
            is_gone: false,
        })
    }

    /// The headers of a frame that goes by the ring, and its buffer's index.
    fn by_ring(&mut self, now: u64, out: &Outgoing) -> Option<(u32, Headers)> {
        let index = self.socket.index_of(&out.frame).filter(|_| !self.is_gone)?;
        let template = self.ways.to(out.to, now, out.frame.len())?;
        Some((index, template.emit(&out.frame, Checksums::NONE)))
    }

    /// Has the kernel send what is on the ring. What is there when the interface goes is lost, as on its wire.
    fn kick(&mut self) {
        if !self.is_gone
            && let Err(Errno::NXIO | Errno::NODEV) = self.socket.send()
        {
            self.is_gone = true;
            self.socket.let_go();
        }
    }
}

impl Driver for Xdp {
    fn pool(&self) -> &Pool {
        &self.socket.pool
    }

    fn receive_pool(&self) -> &Pool {
        &self.socket.receive_pool
    }

    fn receive(&mut self, now: u64, limit: usize, into: &mut Vec<Received>) -> usize {
        let before = into.len();
        let here = Here { address: self.address, interface: self.interface.index };
        let looked = here.receive(&mut self.socket, limit, into, &mut self.counters);
        let count = into.len() - before;
        count + self.aside.receive(now, limit - looked, into)
    }

    fn transmit(&mut self, now: u64, frames: &mut VecDeque<Outgoing>) {
        self.socket.complete();
        while let Some(out) = frames.front() {
            let Some((index, headers)) = self.by_ring(now, out) else {
                self.aside.put(frames.pop_front());
                continue;
            };
            if !self.socket.put(&out.frame, index, &headers) {
                self.kick();
                if !self.socket.put(&out.frame, index, &headers) {
                    break;
                }
            }
            self.counters.sent += 1;
            frames.pop_front();
        }
        self.kick();
        self.aside.transmit(now, frames);
    }

    fn reclaim(&mut self) {
        if self.socket.in_flight_count() > 0 {
            self.kick();
        }
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn payload_bytes_max(&self) -> usize {
        self.payload_bytes_max
    }

    fn descriptors(&mut self, into: &mut Vec<RawFd>) {
        // Buffers that came back meanwhile are for what comes while nobody looks.
        self.socket.post();
        into.push(self.socket.descriptor());
        self.aside.descriptors(into);
    }

    fn counters(&self) -> Counters {
        let aside = self.aside.counters();
        Counters {
            received: self.counters.received + aside.received,
            sent: self.counters.sent + aside.sent,
            malformed: self.counters.malformed + aside.malformed,
            refused: aside.refused,
            starved: self.counters.starved + aside.starved,
            rings: self.socket.counters(),
            ..aside
        }
    }

    fn mode(&self) -> String {
        let Interface { name, attached, no_native, .. } = &*self.interface;
        let why = no_native.as_ref().map_or(String::new(), |why| format!(" (no native: {why})"));
        let copy = if self.socket.is_zero_copy() { "zero-copy" } else { "copy" };
        let polled = self.interface.options.busy_poll;
        let polled = polled.map_or(String::new(), |budget| format!(", busy-poll of {budget}"));
        let gone = if self.is_gone { ", gone: all goes aside" } else { "" };
        let (queue, aside) = (self.queue, self.aside.mode());
        format!("xdp ({name} queue {queue}, {attached}{why}, {copy}{polled}{gone}; aside: {aside})")
    }
}

impl Drop for Xdp {
    fn drop(&mut self) {
        self.interface.leave(self.queue);
    }
}

impl fmt::Debug for Xdp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Xdp({} {})", self.address, self.mode())
    }
}

/// What a socket that could not be opened says of its queue.
fn problem((what, source): Failed, queue: u32, sizes: Sizes) -> Problem {
    match (what, source.raw_os_error().unwrap_or(0)) {
        ("bind", libc::EINVAL) => Problem::NoQueue { queue },
        ("bind", libc::EBUSY) => Problem::QueueTaken { queue },
        ("bind", libc::EOPNOTSUPP) => Problem::NoZeroCopy { queue },
        ("XDP_UMEM_REG", libc::ENOBUFS | libc::ENOMEM) => {
            Problem::NoMemory { bytes: sizes.bytes() as u64 }
        }
        _ => Problem::of(what, source),
    }
}
