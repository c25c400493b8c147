//! UDP through the kernel, everywhere: bursts by `recvmmsg` and `sendmmsg`, trains by UDP_SEGMENT (GSO)
//! and UDP_GRO where the kernel has them. The few peers that most single frames are exchanged with have
//! a socket each, connected to them.
//!
//! Never blocks, orders or repeats. What the kernel coalesced is cut into frames that share its buffer.
//!
//! Invariants: a posted buffer has one handle, the driver's; scratch is as long as it ever gets, and
//! its pointers are written by the function that makes the call; no allocation after start.
//!
//! Sources: linux v6.6 net/ipv4/udp.c, net/ipv4/udp_offload.c; `recvmmsg(2)`, `cmsg(3)`.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::os::fd::RawFd;

use socket2::Socket;

use self::inbound::Inbound;
use self::outbound::Outbound;
use self::sockets::Sockets;
use super::{Counters, DATAGRAM_ALIGN, Driver, DriverError, Outgoing, Received, train};
use crate::pool::Pool;

mod busy;
mod calls;
mod inbound;
mod layout;
mod outbound;
mod socket;
mod sockets;

pub(super) use calls::set_option;

/// Largest payload over IPv4 on an Ethernet: MTU 1,500 less IPv4 20 and UDP 8; a multiple of 16.
pub const PAYLOAD_BYTES_MAX_V4: usize = 1472;

/// Largest payload over IPv6 on an Ethernet: MTU 1,500 less IPv6 40 and UDP 8, rounded down to 16.
pub const PAYLOAD_BYTES_MAX_V6: usize = 1440;

const _: () = assert!(PAYLOAD_BYTES_MAX_V4 == 1500 - 20 - 8);
const _: () = assert!(PAYLOAD_BYTES_MAX_V4.is_multiple_of(DATAGRAM_ALIGN));
const _: () = assert!(PAYLOAD_BYTES_MAX_V6 == (1500 - 40 - 8) / DATAGRAM_ALIGN * DATAGRAM_ALIGN);

/// A buffer takes whatever one datagram or one train holds: nothing is truncated.
const RECEIVE_BUFFER_BYTES: usize = 65_536;

/// What a kernel driver is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address and port; port 0 takes any.
    pub bind: SocketAddr,
    /// Frames for sending.
    pub frames: usize,
    /// Buffers for receiving, of 64 KiB each.
    pub receive_buffers: usize,
    /// Bytes asked for each of the socket's two buffers. The kernel may grant less, which
    /// [`Driver::mode`] then says.
    pub socket_buffer_bytes: usize,
    /// Largest datagram payload, in bytes; a multiple of 16.
    pub payload_bytes_max: usize,
    /// Whether to use GSO and GRO where the kernel has them.
    pub offload: bool,
}

impl Config {
    /// The defaults: 2,048 frames (3 MiB), 256 receive buffers (16 MiB), 8 MiB asked for each socket
    /// buffer, payloads for an Ethernet of MTU 1,500, offload on.
    pub fn new(bind: SocketAddr) -> Config {
        let v4 = bind.is_ipv4();
        Config {
            bind,
            frames: 2048,
            receive_buffers: 256,
            socket_buffer_bytes: 8 << 20,
            payload_bytes_max: if v4 { PAYLOAD_BYTES_MAX_V4 } else { PAYLOAD_BYTES_MAX_V6 },
            offload: true,
        }
    }

    fn check(&self) -> Result<(), DriverError> {
        let u31 = i32::MAX as usize;
        check_setting(self.bind, "frames", self.frames, (1, u31, 1))?;
        check_setting(self.bind, "receive_buffers", self.receive_buffers, (1, u31, 1))?;
        check_setting(self.bind, "socket_buffer_bytes", self.socket_buffer_bytes, (1, u31, 1))?;
        let payload = (64, train::BYTES_MAX / DATAGRAM_ALIGN * DATAGRAM_ALIGN, DATAGRAM_ALIGN);
        check_setting(self.bind, "payload_bytes_max", self.payload_bytes_max, payload)
    }
}

pub(super) fn check_setting(
    address: SocketAddr,
    setting: &'static str,
    value: usize,
    (min, max, step): (usize, usize, usize),
) -> Result<(), DriverError> {
    if value >= min && value <= max && value.is_multiple_of(step) {
        return Ok(());
    }
    Err(DriverError::Setting { address, setting, value, min, max, step })
}

/// A UDP socket of the kernel. Its mode reads `kernel (gso, gro)`, or why it has one of them not, and how
/// large a socket buffer it got, where that is less than was asked, and how many peers have sockets of their own.
pub struct Kernel {
    sockets: Sockets,
    address: SocketAddr,
    payload_bytes_max: usize,
    pool: Pool,
    inbound: Inbound,
    outbound: Outbound,
    counters: Counters,
    gro: Offload,
    socket_buffer_bytes: usize,
    receive_buffer_short: Option<String>,
}

/// Whether an offload is in use, or why not.
type Offload = Result<(), &'static str>;

impl Kernel {
    /// Binds the socket and takes all memory that the driver will use.
    /// # Errors
    /// Every [`DriverError`]: port taken, address not of this host, a setting out of bounds.
    pub fn start(config: &Config) -> Result<Kernel, DriverError> {
        config.check()?;
        let socket = socket::bind(config.bind)?;
        let asked = config.socket_buffer_bytes;
        let granted = socket::raise_buffers(&socket, asked)
            .map_err(socket::system(config.bind, "SO_RCVBUF"))?;
        let address = socket.local_addr().map_err(socket::system(config.bind, "getsockname"))?;
        Ok(Kernel {
            address: address.as_socket().unwrap_or(config.bind),
            payload_bytes_max: config.payload_bytes_max,
            pool: Pool::new(config.frames, config.payload_bytes_max),
            inbound: Inbound::new(Pool::new(config.receive_buffers, RECEIVE_BUFFER_BYTES)),
            // A size of 0 says whether the kernel knows the option, and changes nothing.
            outbound: Outbound::new(socket::offload(&socket, config.offload, libc::UDP_SEGMENT, 0)),
            counters: Counters::default(),
            gro: socket::offload(&socket, config.offload, libc::UDP_GRO, 1),
            receive_buffer_short: (granted < asked)
                .then(|| format!(", socket buffer {} of {} KiB", granted >> 10, asked >> 10)),
            socket_buffer_bytes: asked,
            sockets: Sockets::new(socket),
        })
    }
}

impl Kernel {
    /// The kernel took the first `count` trains.
    fn sent(&mut self, now: u64, count: usize, frames: &mut VecDeque<Outgoing>) {
        let (address, bytes) = (self.address, self.socket_buffer_bytes);
        for peer in self.outbound.singles(count) {
            self.sockets.sent(peer, now, |first| {
                let set = |socket: &Socket| socket::raise_buffers(socket, bytes).map(drop);
                socket::beside(first, address, peer, set)
            });
        }
        self.counters.sent += self.outbound.complete(count, frames) as u64;
    }
}

impl Driver for Kernel {
    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn receive_pool(&self) -> &Pool {
        &self.inbound.pool
    }

    fn receive(&mut self, now: u64, limit: usize, into: &mut Vec<Received>) -> usize {
        let mut count = self.inbound.cut(limit, into, &mut self.counters);
        if count < limit {
            self.sockets.read(now, &mut self.inbound, &mut self.counters);
            count += self.inbound.cut(limit - count, into, &mut self.counters);
        }
        self.counters.received += count as u64;
        count
    }

    fn transmit(&mut self, now: u64, frames: &mut VecDeque<Outgoing>) {
        while let Some(to) = frames.front().map(|out| out.to) {
            let (sockets, outbound) = (&self.sockets, &mut self.outbound);
            let connected = sockets.connected_to(to);
            let sent = match connected {
                Some(socket) => outbound.send((socket, true), frames, |peer| peer == to),
                None => outbound.send((sockets.first(), false), frames, |peer| {
                    sockets.connected_to(peer).is_none()
                }),
            };
            let is_connected = connected.is_some();
            match sent {
                Ok(count) => self.sent(now, count, frames),
                Err(error) => match error.raw_os_error().unwrap_or(0) {
                    libc::EAGAIN | libc::ENOBUFS | libc::EINTR => return,
                    code if self.outbound.split(code) => {}
                    // An ICMP report on an earlier send, or an address of ours that has gone: the first
                    // socket knows neither.
                    _ if is_connected => self.sockets.part_from(to, now),
                    _ => self.counters.refused += self.outbound.complete(1, frames) as u64,
                },
            }
        }
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn payload_bytes_max(&self) -> usize {
        self.payload_bytes_max
    }

    fn descriptors(&mut self, into: &mut Vec<RawFd>) {
        self.sockets.descriptors(into);
    }

    fn counters(&self) -> Counters {
        self.counters
    }

    fn mode(&self) -> String {
        let show = |name: &str, offload: Offload| match offload {
            Ok(()) => name.to_owned(),
            Err(why) => format!("no {name}: {why}"),
        };
        let short = self.receive_buffer_short.as_deref().unwrap_or("");
        let (gso, gro) = (show("gso", self.outbound.gso), show("gro", self.gro));
        let peers = match self.sockets.connected() {
            0 => String::new(),
            1 => ", a socket for 1 busy peer".to_owned(),
            count => format!(", sockets for {count} busy peers"),
        };
        format!("kernel ({gso}, {gro}{short}{peers})")
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Kernel({} {})", self.address, self.mode())
    }
}
