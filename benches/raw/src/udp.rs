//! Datagrams between two processes that spin on non-blocking sockets, on loopback or over a virtual Ethernet.
//!
//! The program starts itself a second time.

#![expect(unsafe_code, reason = "nobody wraps the options that have the kernel cut datagrams")]

use std::hint::spin_loop;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};

use crate::lab::{Lab, address};
use crate::mmsg::Burst;
use crate::open_loop::{self, Carrier, DUE_BYTES};
use crate::second::{Second, be_second};
use crate::{Figure, PATIENCE, STRIDE, ask, ask_with_rests, pin, rate, tell};

/// Subcommands of the second process.
pub const ECHO: &str = "udp-echo-process";
/// See [`ECHO`].
pub const UNCONNECTED_ECHO: &str = "udp-unconnected-echo-process";
/// See [`ECHO`].
pub const BLOCKING_ECHO: &str = "udp-blocking-echo-process";
/// See [`ECHO`].
pub const FLOOD: &str = "udp-flood-process";
/// See [`ECHO`].
pub const GSO_FLOOD: &str = "udp-gso-flood-process";

/// The largest datagram of IPv4.
pub const DATAGRAM_BYTES_MAX: usize = 65_507;

/// What the kernel keeps for who receives, where much is told.
const RECEIVE_BYTES: usize = 8 << 20;

/// Datagrams that the kernel cuts out of one, and puts together again: as many as every version does.
const SEGMENTS: usize = 64;

/// The largest of those datagrams.
pub const SEGMENT_BYTES_MAX: usize = DATAGRAM_BYTES_MAX / SEGMENTS;

/// A round trip of `bytes`, from process to process.
/// # Errors
/// Those of sockets and of starting the second process; a peer that does not answer.
pub fn udp_ask(bytes: usize) -> io::Result<Figure> {
    ask_second(bytes, None)
}

/// As [`udp_ask`], of sockets that are not connected: each datagram says where it goes.
/// # Errors
/// As there.
pub fn udp_unconnected_ask(bytes: usize) -> io::Result<Figure> {
    pin(0);
    let ((socket, from), _second) = start_from(UNCONNECTED_ECHO, (bytes, 1), None)?;
    let mut buffer = vec![7; bytes];
    let mut failed = None;
    let figure = ask(|| {
        if failed.is_none() {
            let sent = spin(|| socket.send_to(&buffer, from));
            failed = sent.and_then(|_| spin(|| socket.recv_from(&mut buffer))).err();
        }
    });
    failed.map_or(Ok(figure), Err)
}

/// As [`udp_ask`], over a virtual Ethernet between two network namespaces.
/// # Errors
/// As there, and what [`Lab::new`] says.
pub fn veth_udp_ask(bytes: usize) -> io::Result<Figure> {
    ask_second(bytes, Some(&Lab::new()?))
}

/// [`open_loop::load`] of datagrams of `bytes`, from process to process.
/// # Errors
/// As [`udp_ask`].
pub fn udp_load(bytes: usize, per_second: Option<u64>) -> io::Result<Figure> {
    load_second(bytes, per_second, None)
}

/// As [`udp_load`], over a virtual Ethernet between two network namespaces.
/// # Errors
/// As [`veth_udp_ask`].
pub fn veth_udp_load(bytes: usize, per_second: Option<u64>) -> io::Result<Figure> {
    load_second(bytes, per_second, Some(&Lab::new()?))
}

fn load_second(bytes: usize, per_second: Option<u64>, lab: Option<&Lab>) -> io::Result<Figure> {
    pin(0);
    let (socket, _second) = start(ECHO, (bytes, 1), lab)?;
    open_loop::load(per_second, &mut Datagrams { socket, buffer: vec![7; bytes] })
}

/// The first bytes of each say when its ask was due.
struct Datagrams {
    socket: UdpSocket,
    buffer: Vec<u8>,
}

impl Carrier for Datagrams {
    fn send(&mut self, due_ns: u64) -> io::Result<bool> {
        self.buffer[..DUE_BYTES].copy_from_slice(&due_ns.to_ne_bytes());
        Ok(unless_it_blocks(self.socket.send(&self.buffer))?.is_some())
    }

    fn receive(&mut self) -> io::Result<Option<u64>> {
        let received = unless_it_blocks(self.socket.recv(&mut self.buffer))?;
        let due_ns = self.buffer.first_chunk().copied().map(u64::from_ne_bytes);
        Ok(received.and(due_ns))
    }
}

fn ask_second(bytes: usize, lab: Option<&Lab>) -> io::Result<Figure> {
    pin(0);
    let (socket, _second) = start(ECHO, (bytes, 1), lab)?;
    let mut buffer = vec![7; bytes];
    let mut failed = None;
    let figure = ask(|| {
        if failed.is_none() {
            let sent = spin(|| socket.send(&buffer));
            failed = sent.and_then(|_| spin(|| socket.recv(&mut buffer))).err();
        }
    });
    failed.map_or(Ok(figure), Err)
}

/// A round trip of `bytes` between two processes that sleep until something comes; between two there are `rest`.
/// # Errors
/// As [`udp_ask`].
pub fn udp_blocking_ask(bytes: usize, rest: Duration) -> io::Result<Figure> {
    pin(0);
    let (socket, _second) = start(BLOCKING_ECHO, (bytes, 1), None)?;
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let (mut buffer, mut failed) = (vec![7; bytes], None);
    let figure = ask_with_rests(rest, || {
        if failed.is_none() {
            failed = socket.send(&buffer).and_then(|_| socket.recv(&mut buffer)).err();
        }
    });
    failed.map_or(Ok(figure), Err)
}

/// Messages of `bytes` received a second, a datagram each, `batch` of them sent by a call, and up to [`BURST`](crate::mmsg::BURST) received.
/// One that is larger than a datagram goes in two.
/// # Errors
/// Those of sockets and of starting the second process.
pub fn udp_tell(bytes: usize, batch: usize) -> io::Result<Figure> {
    pin(0);
    let parts = bytes.div_ceil(DATAGRAM_BYTES_MAX);
    let (socket, _second) = start(FLOOD, (bytes / parts, batch), None)?;
    make_room(&socket)?;
    let mut burst = Burst::new(bytes / parts);
    let rate = rate(|| burst.receive(&socket).unwrap_or(0) as u64);
    Ok(Figure::Tell(rate / parts as f64))
}

/// Messages of `bytes` received a second, a datagram each; 64 of them are one to the kernel, which cuts them (GSO) for
/// who sends, and puts them together (GRO) for who receives.
/// # Errors
/// As [`udp_tell`]; a kernel that does neither.
pub fn udp_gso_tell(bytes: usize) -> io::Result<Figure> {
    pin(0);
    let (socket, _second) = start(GSO_FLOOD, (bytes, SEGMENTS), None)?;
    set_option(&socket, libc::UDP_GRO, 1)?;
    make_room(&socket)?;
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    Ok(tell(|| (socket.recv(&mut buffer).unwrap_or(0) / bytes) as u64))
}

/// The second process, connected to the first: sends back whatever comes, or floods, `batch` to a call.
/// # Errors
/// Those of sockets; returns in no other way.
pub fn second_process(
    kind: &str,
    first: SocketAddr,
    (bytes, batch): (usize, usize),
) -> io::Result<()> {
    be_second()?;
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_nonblocking(kind != BLOCKING_ECHO)?;
    socket.send_to(&[0], first)?;
    if kind == UNCONNECTED_ECHO {
        return echo_unconnected(&socket, bytes);
    }
    socket.connect(first)?;
    match kind {
        ECHO | BLOCKING_ECHO => {
            let mut buffer = vec![0; bytes];
            loop {
                let count = spin_for_ever(|| socket.recv(&mut buffer))?;
                spin_for_ever(|| socket.send(&buffer[..count]))?;
            }
        }
        GSO_FLOOD => {
            set_option(&socket, libc::UDP_SEGMENT, bytes as libc::c_int)?;
            let buffer = vec![7; bytes * SEGMENTS];
            loop {
                spin_for_ever(|| socket.send(&buffer))?;
            }
        }
        _ => {
            let mut burst = Burst::new(bytes);
            loop {
                spin_for_ever(|| burst.send(&socket, batch))?;
            }
        }
    }
}

fn echo_unconnected(socket: &UdpSocket, bytes: usize) -> io::Result<()> {
    let mut buffer = vec![0; bytes];
    loop {
        let (count, from) = spin_for_ever(|| socket.recv_from(&mut buffer))?;
        spin_for_ever(|| socket.send_to(&buffer[..count], from))?;
    }
}

/// As much as daedal asks for; who is not root has what the host allows.
fn make_room(socket: &UdpSocket) -> io::Result<()> {
    let forced = set_socket_recv_buffer_size_force(socket, RECEIVE_BYTES);
    Ok(forced.or_else(|_| set_socket_recv_buffer_size(socket, RECEIVE_BYTES))?)
}

fn set_option(socket: &UdpSocket, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let (at, bytes) = ((&raw const value).cast(), size_of_val(&value) as libc::socklen_t);
    // SAFETY: the value outlives the call, which reads as many bytes as it has.
    let done = unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_UDP, option, at, bytes) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Starts the second process, in the lab's other namespace if there is one, and has the socket connected to it.
fn start(
    kind: &str,
    numbers: (usize, usize),
    lab: Option<&Lab>,
) -> io::Result<(UdpSocket, Second)> {
    let ((socket, from), second) = start_from(kind, numbers, lab)?;
    socket.connect(from)?;
    Ok((socket, second))
}

/// As [`start`], but not connected: awaits its first datagram, which says where it is.
fn start_from(
    kind: &str,
    (bytes, batch): (usize, usize),
    lab: Option<&Lab>,
) -> io::Result<((UdpSocket, SocketAddr), Second)> {
    let enter = |end| lab.map_or(Ok(()), |lab| lab.enter(end));
    enter(0)?;
    let socket = UdpSocket::bind((lab.map_or(Ipv4Addr::LOCALHOST, |_| address(0)), 0))?;
    socket.set_nonblocking(true)?;
    let first = socket.local_addr()?.to_string();
    enter(1)?;
    let second = Second::start(&[kind, &first, &bytes.to_string(), &batch.to_string()])?;
    enter(0)?;
    let (_, from) = spin(|| socket.recv_from(&mut [0; 1]))?;
    Ok(((socket, from), second))
}

fn unless_it_blocks<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    if would_block(&result) { Ok(None) } else { result.map(Some) }
}

fn would_block<T>(result: &io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

/// Repeats `call` until it does not block, or for [`PATIENCE`].
fn spin<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut start = None;
    for tries in 1u64.. {
        let result = call();
        if !would_block(&result) {
            return result;
        }
        if tries % STRIDE == 0 && start.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
            break;
        }
        spin_loop();
    }
    Err(io::Error::new(ErrorKind::TimedOut, "a datagram was lost; is another program flooding?"))
}

/// As [`spin`]; the other process decides when it has been long enough.
fn spin_for_ever<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        let result = call();
        if !would_block(&result) {
            return result;
        }
        spin_loop();
    }
}
