//! Frames past the kernel, by DPDK: a port that it drives, in this process, polled; the kernel does not see it.
//!
//! A box's reactors have a port together, and a queue each. What the kernel would do beside is done here: questions of
//! neighbours are asked and answered, datagrams that came by another reactor's queue cross to it. Nothing else is: no
//! fragments, no VLAN, no route but to the network and one gateway.
//!
//! Never blocks, orders or repeats. A frame whose neighbour is not known yet waits for the answer, a second at most.
//! Sleeps with a timer beside it, as a port that is polled wakes nobody: what comes meanwhile is up to 200 µs late.
//!
//! A port makes the checksums of what is sent, and looks at those of what came, as far as it can, and is believed. Those
//! that it says nothing of are looked at here.
//!
//! Devices that share memory with another process (vhost and virtio_user, memif) are for processes that trust each other:
//! what one has been given to read the other could still write.
//!
//! Invariants: a frame's bytes are held until the PMD is done with them; headers are written only before a frame
//! that is not in flight; no allocation after start, but for the tables of peers and neighbours.
//!
//! Sources: Ovid §6.1 (a box's network); DPDK 22.11 Programmer's Guide, "Poll Mode Driver", "Mbuf Library" (there "Meta
//! Information": who makes checksums).

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use dpdk_sys::Mbuf;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use self::mbuf::{BURST, Came, Receiver, Sender};
use self::queue::Burst;
use self::ways::{Way, Ways};
use super::headers::{self, Mac, Wrong};
use super::kernel::{self, check_setting};
use super::{Counters, DATAGRAM_ALIGN, Driver, DriverError, Outgoing, Received, neighbour};
use crate::pool::Pool;

mod eal;
mod error;
mod gate;
mod mbuf;
mod neighbours;
mod options;
mod port;
mod queue;
mod socket;
mod ways;

pub use error::Problem;
pub use options::{Options, WORDS};
pub use port::Port;

/// How long a reactor that has parked does not look at the port, in nanoseconds.
const PARKED_NS: i64 = 200_000;
/// Frames that wait for a neighbour's answer, a driver: RFC 1122 §2.3.2.2 wants one of each at the least.
const WAITING_MAX: usize = 64;
/// How long they do, in nanoseconds.
const WAIT_NS: u64 = 1_000_000_000;
/// Between two looks whether somebody is at the port's other end, in nanoseconds.
const WATCH_NS: u64 = 1_000_000_000;
/// Buffers on loan of what came, a reactor: default.
pub const RECEIVE_BUFFERS: usize = 2048;

/// What a driver is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address and port; port 0 takes any. The address is the port's.
    pub bind: SocketAddr,
    /// The queue of the port: no other driver's.
    pub queue: u16,
    /// Frames for sending, of 2 KiB each.
    pub frames: usize,
    /// Largest datagram payload, in bytes; a multiple of 16.
    pub payload_bytes_max: usize,
}

impl Config {
    /// The defaults for a reactor, by its number in its box: 2,048 frames (4 MiB), payloads as the kernel driver's or
    /// what the port's MTU leaves.
    pub fn new(bind: SocketAddr, reactor: u8, port: &Port) -> Config {
        let usual = kernel::Config::new(bind).payload_bytes_max;
        let payload_bytes_max = usual.min(port.payload_bytes_max());
        Config { bind, queue: reactor.into(), frames: 2048, payload_bytes_max }
    }

    fn check(&self, port: &Port) -> Result<(), DriverError> {
        const FRAMES_MAX: usize = 1 << 20;
        check_setting(self.bind, "frames", self.frames, (1, FRAMES_MAX, 1))?;
        let payload = (64, port.payload_bytes_max(), DATAGRAM_ALIGN);
        check_setting(self.bind, "payload_bytes_max", self.payload_bytes_max, payload)
    }
}

impl Port {
    /// Largest payload of a datagram: what a buffer, and the port's MTU, leave behind the headers.
    fn payload_bytes_max(&self) -> usize {
        const ETHERNET_BYTES: usize = 14;
        let frame = usize::from(mbuf::ROOM_BYTES).min(self.mtu + ETHERNET_BYTES);
        frame.saturating_sub(headers::bytes(self.ip.is_ipv4())) / DATAGRAM_ALIGN * DATAGRAM_ALIGN
    }
}

/// A queue of a port. Its mode reads `dpdk (net_memif0 by net_memif, queue 0, DPDK 22.11.11)`; of a port that sees to
/// checksums, `dpdk (net_tap0 by net_tap, makes ip+udp checksums, checks ip+udp checksums, queue 0, DPDK 22.11.11)`.
pub struct Dpdk {
    sender: Sender,
    receiver: Receiver,
    ways: Ways,
    waiting: VecDeque<(Outgoing, u64)>,
    /// What the port had heard when they were last looked at.
    news: u64,
    /// When the port's other end is looked at next.
    watch_at: u64,
    /// When DPDK is let hear of the port's other end next.
    hear_at: u64,
    /// For one call: what came.
    came: Box<Burst>,
    /// Of it, what is not lent out.
    unwanted: Vec<*mut Mbuf>,
    timer: OwnedFd,
    port: Arc<Port>,
    address: SocketAddr,
    queue: u16,
    payload_bytes_max: usize,
    counters: Counters,
}

impl Dpdk {
    /// Takes the queue, and all memory that the driver will use. To be called by the thread that uses it.
    /// # Errors
    /// Every [`DriverError`]: the port's, a setting out of bounds, and what DPDK says ([`Problem`]).
    pub fn start(port: &Arc<Port>, config: &Config) -> Result<Dpdk, DriverError> {
        config.check(port)?;
        if config.bind.ip() != port.ip {
            return Err(port.wrong(Problem::OtherAddress { has: port.ip }));
        }
        eal::know_this_thread();
        let is_v4 = port.ip.is_ipv4();
        let sender = Sender::new(config.frames, is_v4, port.makes, port.socket);
        let sender = sender.map_err(|it| port.wrong(it))?;
        if port.is_read_elsewhere() {
            sender.pool.fetch_returned();
        }
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).map_err(|source| {
            let what = "timerfd_create";
            DriverError::System { address: config.bind, what, source: source.into() }
        })?;
        let udp = port.take(config.queue, config.bind)?;
        let address = SocketAddr::new(port.ip, udp);
        let mempool = port.queues[usize::from(config.queue)].mempool.clone();
        let mut driver = Dpdk {
            sender,
            receiver: Receiver::new(port.receive_buffers, is_v4, mempool),
            ways: Ways::new(address, port.mtu),
            waiting: VecDeque::with_capacity(WAITING_MAX),
            news: 0,
            watch_at: 0,
            hear_at: 0,
            came: Box::new(Burst::new()),
            unwanted: Vec::with_capacity(BURST),
            timer,
            port: port.clone(),
            address,
            queue: config.queue,
            payload_bytes_max: config.payload_bytes_max,
            counters: Counters::default(),
        };
        driver.port.await_entry(driver.queue);
        driver.forget_what_came();
        if let Some(letter) = neighbour::announcement((port.ip, port.mac)) {
            driver.sender.post(port.id, driver.queue, &letter);
        }
        driver.port.leave_burst(driver.queue);
        Ok(driver)
    }

    /// What came while nobody had the queue was for somebody else.
    fn forget_what_came(&mut self) {
        /// More than rings have.
        const BURSTS_MAX: usize = 1024;
        for _ in 0..BURSTS_MAX {
            self.came.take(&self.port, self.queue, BURST);
            if self.came.len() == 0 {
                break;
            }
            self.unwanted.extend((0..self.came.len()).map(|at| self.came.frame(at).mbuf()));
            mbuf::free(&mut self.unwanted);
        }
    }

    /// The way to a peer; who has to be asked after is.
    fn way(&mut self, to: SocketAddr, now: u64, payload_bytes: usize) -> Way {
        let (way, question) = self.ways.to(&self.port, to, now, payload_bytes);
        if let Some(letter) = question {
            self.sender.post(self.port.id, self.queue, &letter);
        }
        way
    }

    /// Puts a frame on the burst, or where it waits, or drops it. Hands it back if there is no buffer for a copy.
    fn put(&mut self, out: Outgoing, now: u64, until: u64) -> Result<(), Outgoing> {
        match self.way(out.to, now, out.frame.len()) {
            Way::By(template) => return self.sender.stage(out, &template),
            Way::Asked if self.waiting.len() < WAITING_MAX && now < until => {
                self.waiting.push_back((out, until));
            }
            Way::Asked | Way::None => self.counters.refused += 1,
        }
        Ok(())
    }

    /// Sends the burst; what the port did not take is put back, or dropped if there is nobody at its other end.
    fn send(&mut self, frames: &mut VecDeque<Outgoing>) -> bool {
        let before = frames.len();
        let back = |out| frames.push_front(out);
        self.counters.sent += self.sender.send(self.port.id, self.queue, back) as u64;
        let kept = frames.len() - before;
        if kept > 0 && !self.port.is_up() {
            frames.drain(..kept);
            self.counters.refused += kept as u64;
            return true;
        }
        kept == 0
    }

    /// Looks again at those who wait, if more is known or they have waited for long.
    fn settle(&mut self, now: u64) {
        let news = self.port.news.load(Ordering::Acquire);
        let is_late = self.waiting.front().is_some_and(|it| now >= it.1);
        if self.waiting.is_empty() || (news == self.news && !is_late) {
            return;
        }
        self.news = news;
        let mut back = VecDeque::new();
        for _ in 0..self.waiting.len() {
            let Some((out, until)) = self.waiting.pop_front() else { break };
            // What cannot be copied or sent now is as lost as what waits for nobody.
            if self.put(out, now, until).is_err() {
                self.counters.refused += 1;
            }
            if self.sender.is_full() {
                self.send(&mut back);
            }
        }
        self.send(&mut back);
        self.counters.refused += back.len() as u64;
    }

    /// A burst of what came.
    fn take_in(&mut self, now: u64, limit: usize, into: &mut Vec<Received>) -> usize {
        self.receiver.give_back();
        let before = into.len();
        let mut looked = 0;
        // What is no datagram is no reason to sleep.
        while into.len() == before && looked < limit {
            let places = self.receiver.pool.frames_free();
            if places == 0 {
                self.counters.starved += 1;
                break;
            }
            let crossed = self.came.take(&self.port, self.queue, places.min(limit - looked));
            if self.came.len() == 0 {
                break;
            }
            looked += self.came.len();
            self.counters.aside += crossed as u64;
            for at in 0..self.came.len() {
                self.sort(self.came.frame(at), now, into);
            }
            mbuf::free(&mut self.unwanted);
        }
        let count = into.len() - before;
        self.counters.received += count as u64;
        self.settle(now);
        count
    }

    /// Sends what there is, a burst after the other.
    fn send_all(&mut self, now: u64, frames: &mut VecDeque<Outgoing>) {
        self.sender.complete();
        self.settle(now);
        while let Some(out) = frames.pop_front() {
            if let Err(out) = self.put(out, now, now + WAIT_NS) {
                // Those before it were here first.
                frames.push_front(out);
                self.send(frames);
                return;
            }
            if self.sender.is_full() {
                if !self.send(frames) {
                    return;
                }
                self.sender.complete();
            }
        }
        self.send(frames);
    }

    /// What came: lent out as a datagram, heard, handed to whose it is, or dropped.
    fn sort(&mut self, came: Came, now: u64, into: &mut Vec<Received>) {
        let frame = came.bytes();
        if !came.is_whole() {
            return self.refuse(came);
        }
        let is_ours =
            frame.first_chunk::<6>().is_some_and(|to: &Mac| *to == self.port.mac || to[0] & 1 == 1);
        let bytes = headers::bytes(self.address.is_ipv4());
        let Some((head, rest)) = frame.split_at_checked(bytes).filter(|_| is_ours) else {
            return self.hear(came, now, is_ours);
        };
        match headers::parse(self.address, head, rest, came.verdicts()) {
            Ok(datagram) if datagram.payload_bytes <= self.receiver.payload_bytes_max() => {
                match self.receiver.lend(&came, datagram.payload_bytes) {
                    Some(frame) => into.push(Received { frame, from: datagram.from }),
                    None => self.unwanted.push(came.mbuf()),
                }
            }
            Err(Wrong::Form) => self.hear(came, now, is_ours),
            Err(Wrong::Elsewhere) => match headers::port_to(self.port.ip, frame) {
                Some(to) if self.port.cross(to, came.mbuf()) => {}
                Some(_) => self.refuse(came),
                None => self.unwanted.push(came.mbuf()),
            },
            Ok(_) | Err(_) => self.refuse(came),
        }
    }

    /// Drops what nobody could make anything of, and counts it.
    fn refuse(&mut self, came: Came) {
        self.counters.malformed += 1;
        self.unwanted.push(came.mbuf());
    }

    /// What is no datagram: a word between neighbours, or nothing of ours.
    fn hear(&mut self, came: Came, now: u64, is_ours: bool) {
        if let Some(word) = neighbour::parse(came.bytes()).filter(|_| is_ours) {
            let heard = self.port.neighbours().hear(word, now);
            if heard.is_news {
                self.port.news.fetch_add(1, Ordering::Release);
            }
            if let Some(letter) = heard.answer {
                self.sender.post(self.port.id, self.queue, &letter);
            }
        } else if came.bytes().starts_with(&self.port.mac)
            && headers::is_stray(self.port.ip, came.bytes())
        {
            return self.refuse(came);
        }
        self.unwanted.push(came.mbuf());
    }
}

impl Driver for Dpdk {
    fn pool(&self) -> &Pool {
        &self.sender.pool
    }

    fn receive_pool(&self) -> &Pool {
        &self.receiver.pool
    }

    fn receive(&mut self, now: u64, limit: usize, into: &mut Vec<Received>) -> usize {
        // One lets and looks for all: what DPDK does then it does in one thread at a time.
        if self.queue == 0 && now >= self.hear_at {
            self.hear_at = self.port.let_hear(now);
        }
        if self.queue == 0 && now >= self.watch_at {
            self.watch_at = now + WATCH_NS;
            self.port.watch();
        }
        if !self.port.enter(self.queue) {
            return 0;
        }
        let count = self.take_in(now, limit, into);
        self.port.leave_burst(self.queue);
        count
    }

    fn transmit(&mut self, now: u64, frames: &mut VecDeque<Outgoing>) {
        if self.port.enter(self.queue) {
            self.send_all(now, frames);
            self.port.leave_burst(self.queue);
        }
    }

    fn reclaim(&mut self) {
        if self.sender.in_flight_count() > 0 && self.port.enter(self.queue) {
            queue::clean(&self.port, self.queue);
            self.sender.complete_all();
            self.port.leave_burst(self.queue);
        }
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn payload_bytes_max(&self) -> usize {
        self.payload_bytes_max
    }

    fn descriptors(&mut self, into: &mut Vec<RawFd>) {
        let once = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec { tv_sec: 0, tv_nsec: PARKED_NS },
        };
        // It fails for no timer of ours.
        let _ = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once);
        into.push(self.timer.as_raw_fd());
    }

    fn counters(&self) -> Counters {
        self.counters
    }

    fn mode(&self) -> String {
        format!("dpdk ({}, queue {}, {})", self.port, self.queue, eal::version())
    }
}

impl Drop for Dpdk {
    fn drop(&mut self) {
        self.port.await_entry(self.queue);
        self.forget_what_came();
        self.port.leave_burst(self.queue);
        // From here on the queue is another's.
        self.port.leave(self.queue);
    }
}

impl fmt::Debug for Dpdk {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Dpdk({} {})", self.address, self.mode())
    }
}
