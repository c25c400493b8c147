//! Frames between boxes of one host, by memory that two of them share.
//!
//! For each peer that it sends to a driver makes a ring in a file in memory, and hands it to who listens at the peer's
//! address (`rendezvous.rs`). What it sends is copied into the next slot once, as a network card would, and is
//! completed with that: no peer holds frames of ours, and none can read what is for others. The peer reads it where it
//! lies, and a slot is written again when the last handle on it has gone (`ring.rs`).
//!
//! Beside it there is a kernel driver at the same address. It has the port, and all that is not for a ring: peers on
//! other hosts or in other network namespaces, those with another driver, those of another user. So a driver reaches
//! everybody; how many frames went aside is counted. A ring that is full loses what is sent, as a socket does. In the
//! kernel driver's place there may be one of AF_XDP ([`Shm::beside`]), whose frames are then those of both.
//!
//! A peer that ends says so in the ring; one that dies is missed when its connection closes. What it wrote before is
//! read, and who writes to it next looks for it anew.
//!
//! **What is believed.** A peer is a process of this user, which has the address that it claims. Besides, nothing: all
//! that it writes is checked (`ring.rs`, `hello.rs`, `mapping.rs`), and harms no link but its own. Where a frame is read
//! in place its sender can still write it, as a debugger of that user could: a process that means that ill is kept out
//! by [`Options::copy`], at the price of a copy.
//!
//! Never blocks, orders or repeats. No allocation after start, but as peers come and go. Which peers there are is looked
//! at every [`LOOK_NS`], and after each sleep.
//!
//! Sources: Ovid §6.1 (a box's network); FastForward (Giacomoni et al., PPoPP 2008), slots that say themselves whether
//! they are full.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

use self::inbound::{Heard, Inbound};
use self::outbound::Outbound;
use self::rendezvous::{Connection, LOOK, Token, Watch};
use self::slots::{SLOTS_MAX, SLOTS_MIN};
use super::aside::{self, Aside, Beside};
use super::kernel::{self, Kernel, check_setting};
use super::{Counters, DATAGRAM_ALIGN, Driver, DriverError, Outgoing, Received, is_whole};
use crate::pool::Pool;

pub mod hello;
mod inbound;
mod options;
mod outbound;
mod rendezvous;
mod ring;
mod slots;

pub use options::{Options, WORDS};
pub use slots::Sizes;

/// Peers that have a ring, each way: more are reached by the kernel.
pub const PEERS_MAX: usize = 256;

/// How often connections are looked at while frames come or nothing does, in nanoseconds: a look costs as much as a
/// message's way.
pub const LOOK_NS: u64 = 100_000;

/// Connections that one look accepts, and looks at the sockets that have something to say.
const AT_ONCE: usize = 8;

/// What a driver is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address and port; port 0 takes any.
    pub bind: SocketAddr,
    /// Frames for sending.
    pub frames: usize,
    /// Slots of a ring: a power of two. More than a link has under way, so that none is lost to a peer that sleeps.
    pub slots: usize,
    /// Largest datagram payload, in bytes; a multiple of 16.
    pub payload_bytes_max: usize,
    /// How frames are read.
    pub options: Options,
}

impl Config {
    /// The defaults: 2,048 frames (3 MiB), rings of 512 slots (772 KiB, for each peer and direction), payloads as the
    /// kernel driver's.
    pub fn new(bind: SocketAddr, options: Options) -> Config {
        let payload_bytes_max = kernel::Config::new(bind).payload_bytes_max;
        Config { bind, frames: 2048, slots: 512, payload_bytes_max, options }
    }

    fn check(&self) -> Result<(), DriverError> {
        check_setting(self.bind, "frames", self.frames, (1, 1 << 20, 1))?;
        // What goes by the kernel has to fit a packet there too.
        let payload = (64, kernel::Config::new(self.bind).payload_bytes_max, DATAGRAM_ALIGN);
        check_setting(self.bind, "payload_bytes_max", self.payload_bytes_max, payload)?;
        check_slots(self.bind, self.slots, self.payload_bytes_max).map(drop)
    }
}

fn check_slots(address: SocketAddr, value: usize, payload: usize) -> Result<Sizes, DriverError> {
    let (setting, min, max) = ("slots", SLOTS_MIN, SLOTS_MAX);
    check_setting(address, setting, value, (min, max, 1))?;
    let step = value.next_power_of_two();
    let no_power = DriverError::Setting { address, setting, value, min, max, step };
    Sizes::of(value, payload).ok_or(no_power)
}

/// Rings in memory that is shared with other boxes of this host, and another driver beside. Its mode reads `shm (rings
/// from 2 peers, to 3; aside: kernel (gso, gro))`.
pub struct Shm<B = Kernel> {
    aside: Aside<B>,
    listener: OwnedFd,
    listener_token: Token,
    watch: Watch,
    inbound: Inbound,
    outbound: Outbound,
    /// What is received is copied into these.
    copies: Option<Pool>,
    address: SocketAddr,
    payload_bytes_max: usize,
    counters: Counters,
    /// Readable always: for who must not sleep.
    ready: OwnedFd,
    is_dozing: bool,
    look_at: u64,
}

impl Shm {
    /// Takes the port, the name that peers find it by, and all memory but that of rings; beside stands a kernel driver.
    /// # Errors
    /// The port's, a setting out of bounds, and [`DriverError::NameTaken`].
    pub fn start(config: &Config) -> Result<Shm, DriverError> {
        config.check()?;
        let Config { bind, frames, payload_bytes_max, .. } = *config;
        let kernel = kernel::Config { payload_bytes_max, ..aside::of_kernel(bind, frames) };
        Shm::beside(Kernel::start(&kernel)?, config.slots, config.options)
    }
}

impl<B: Beside> Shm<B> {
    /// Takes the name that peers find it by, at the address of that driver, whose frames it sends. `slots`: as
    /// [`Config::slots`].
    /// # Errors
    /// A number of slots that cannot be, and [`DriverError::NameTaken`].
    pub fn beside(driver: B, slots: usize, options: Options) -> Result<Shm<B>, DriverError> {
        let (address, payload_bytes_max) = (driver.address(), driver.payload_bytes_max());
        let sizes = check_slots(address, slots, payload_bytes_max)?;
        let frames = driver.pool().frames_count();
        let aside = Aside::new(driver, frames);
        let system =
            |what| move |error: Errno| DriverError::System { address, what, source: error.into() };
        let mut watch = Watch::new().map_err(system("epoll_create1"))?;
        let listener = rendezvous::listen_at(address).map_err(|error| match error {
            Errno::ADDRINUSE => {
                DriverError::NameTaken { address, name: format!("@{}", rendezvous::name(address)) }
            }
            other => system("a Unix socket")(other),
        })?;
        let listener_token = watch.add(&listener).map_err(system("epoll_ctl"))?;
        let copies = options.copy.then(|| Pool::new(slots, sizes.payload_bytes()));
        Ok(Shm {
            aside,
            listener,
            listener_token,
            watch,
            inbound: Inbound::new(),
            outbound: Outbound::new(address, sizes),
            copies,
            address,
            payload_bytes_max,
            counters: Counters::default(),
            ready: eventfd(1, EventfdFlags::CLOEXEC).map_err(system("eventfd"))?,
            is_dozing: false,
            look_at: 0,
        })
    }

    /// Hears who has come, who hands over a ring, and who has gone.
    fn look(&mut self) {
        let mut found = [Token::NONE; LOOK];
        for _ in 0..AT_ONCE {
            let count = self.watch.look(&mut found);
            for token in &found[..count] {
                self.hear(*token);
            }
            if count < LOOK {
                break;
            }
        }
    }

    fn hear(&mut self, token: Token) {
        if token == self.listener_token {
            return self.accept();
        }
        match self.inbound.heard(token, &self.watch) {
            Heard::Nothing => {}
            Heard::Unknown => self.outbound.heard(token),
            Heard::Wrong => self.counters.malformed += 1,
            Heard::Greeting(connection, hello, file) => {
                let is_heard = hello.from.is_ipv4() == self.address.is_ipv4()
                    && self.inbound.has_room_for(hello.from)
                    && self.outbound.is_at(hello.from, connection.pid);
                match is_heard.then(|| inbound::mapped(&hello, &file)).flatten() {
                    Some(slots) => {
                        self.inbound.read_from(hello.from, connection, slots, &mut self.watch);
                    }
                    None => self.counters.malformed += 1,
                }
            }
        }
    }

    fn accept(&mut self) {
        for _ in 0..AT_ONCE {
            match Connection::accept(&self.listener) {
                Ok(connection) => {
                    // Mostly it has said already what it has to say.
                    let token = self.inbound.wait_for(connection, &mut self.watch);
                    token.into_iter().for_each(|token| self.hear(token));
                }
                Err(Errno::ACCESS | Errno::CONNABORTED | Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    /// Sends by its peer's ring those at the front that are for the same peer: `false`, if the first does not go that
    /// way.
    fn transmit_by_ring(
        &mut self,
        now: u64,
        to: SocketAddr,
        frames: &mut VecDeque<Outgoing>,
    ) -> bool {
        let Some(ring) = self.outbound.to(to, now, &mut self.watch) else { return false };
        let bytes_max = ring.payload_bytes_max();
        let goes = |out: &&Outgoing| {
            out.to == to && out.frame.len() <= bytes_max && is_whole(out.frame.len())
        };
        let mut count = 0;
        while let Some(out) = frames.front().filter(goes) {
            if ring.put(&out.frame) {
                self.counters.sent += 1;
            } else {
                self.counters.refused += 1;
            }
            frames.pop_front();
            count += 1;
        }
        if count > 0 && ring.call().is_err() {
            self.outbound.drop_last();
        }
        count > 0
    }
}

impl<B: Beside> Driver for Shm<B> {
    fn pool(&self) -> &Pool {
        self.aside.pool()
    }

    /// Of the pools that there are, that which is the fullest.
    fn receive_pool(&self) -> &Pool {
        let copies = self.copies.as_ref();
        copies.or(self.inbound.fullest()).unwrap_or(self.aside.receive_pool())
    }

    fn receive(&mut self, now: u64, limit: usize, into: &mut Vec<Received>) -> usize {
        if self.is_dozing {
            self.is_dozing = false;
            self.inbound.wake();
        }
        if now >= self.look_at {
            self.look_at = now + LOOK_NS;
            self.look();
        }
        let copies = self.copies.as_ref();
        let count = self.inbound.receive(limit, copies, into, &mut self.counters);
        self.counters.received += count as u64;
        count + self.aside.receive(now, limit - count, into)
    }

    fn transmit(&mut self, now: u64, frames: &mut VecDeque<Outgoing>) {
        while let Some(to) = frames.front().map(|out| out.to) {
            if !self.transmit_by_ring(now, to, frames) {
                self.aside.put(frames.pop_front());
            }
        }
        self.aside.transmit(now, frames);
    }

    fn reclaim(&mut self) {
        self.aside.reclaim();
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn payload_bytes_max(&self) -> usize {
        self.payload_bytes_max
    }

    fn descriptors(&mut self, into: &mut Vec<RawFd>) {
        self.is_dozing = true;
        self.look_at = 0;
        if self.inbound.doze() {
            into.push(self.ready.as_raw_fd());
        }
        into.push(self.watch.as_fd().as_raw_fd());
        self.aside.descriptors(into);
    }

    fn counters(&self) -> Counters {
        let (aside, ours) = (self.aside.counters(), &self.counters);
        Counters {
            received: ours.received + aside.received,
            sent: ours.sent + aside.sent,
            malformed: ours.malformed + aside.malformed,
            refused: ours.refused + aside.refused,
            starved: ours.starved + aside.starved,
            ..aside
        }
    }

    fn mode(&self) -> String {
        let copied = if self.copies.is_some() { "copied, " } else { "" };
        let (from, to) = (self.inbound.len(), self.outbound.len());
        let plural = if from == 1 { "" } else { "s" };
        let aside = self.aside.mode();
        format!("shm ({copied}rings from {from} peer{plural}, to {to}; aside: {aside})")
    }
}

impl<B> Drop for Shm<B> {
    fn drop(&mut self) {
        self.inbound.close();
    }
}

impl<B: Beside> fmt::Debug for Shm<B> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Shm({} {})", self.address, self.mode())
    }
}
