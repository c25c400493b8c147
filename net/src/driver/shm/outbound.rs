//! The rings that are written: to each peer of this host one, made here and handed over when something is first sent
//! there.
//!
//! Who does not listen at his address's name is reached by the kernel, and asked for again after [`REFRESH_NS`].
//! Invariants: at most [`PEERS_MAX`] rings, and one to each address.

use std::net::SocketAddr;
use std::os::fd::AsFd;

use hashbrown::HashMap;
use rustix::io::Errno;
use rustix::process::Pid;

use super::PEERS_MAX;
use super::hello::Hello;
use super::rendezvous::{Connection, Token, Watch};
use super::ring::{Needs, Writer};
use super::slots::{Sizes, Written};

/// How long it holds that nobody listens there, in nanoseconds.
pub(super) const REFRESH_NS: u64 = 1_000_000_000;
/// And that somebody does who had no time, or that there was no memory.
const SOON_NS: u64 = 10_000_000;
/// Peers aside that are remembered: some more than a reactor has links.
const ASIDE_MAX: usize = 2048;

/// A ring to one peer.
pub(super) struct RingTo {
    to: SocketAddr,
    token: Token,
    connection: Connection,
    slots: Written,
    writer: Writer,
}

impl RingTo {
    /// Largest payload that it carries, in bytes.
    #[inline]
    pub(super) fn payload_bytes_max(&self) -> usize {
        self.slots.slots().sizes().payload_bytes()
    }

    /// Copies a payload into the next slot: `false`, if there is none.
    /// # Panics
    /// When it is larger than a slot's.
    #[inline]
    pub(super) fn put(&mut self, payload: &[u8]) -> bool {
        let Some(slot) = self.writer.room(self.slots.slots()) else { return false };
        self.slots.write(slot, payload);
        self.writer.publish(self.slots.slots(), payload.len() as u32);
        true
    }

    /// Wakes the peer, if it sleeps. To be called when payloads were put.
    /// # Errors
    /// It has gone.
    #[inline]
    pub(super) fn call(&self) -> Result<(), Errno> {
        match self.writer.call(self.slots.slots()) {
            Needs::Nothing => Ok(()),
            Needs::WakeUp => self.connection.wake(),
        }
    }

    fn is_closed(&self) -> bool {
        self.writer.is_closed(self.slots.slots())
    }
}

pub(super) struct Outbound {
    me: SocketAddr,
    sizes: Sizes,
    rings: Vec<RingTo>,
    /// The one that was written to last.
    last: usize,
    /// Until when a peer is reached by the kernel.
    aside: HashMap<SocketAddr, u64, foldhash::fast::FixedState>,
}

impl Outbound {
    /// From that address, by rings of that size.
    pub(super) fn new(me: SocketAddr, sizes: Sizes) -> Outbound {
        let aside = HashMap::with_capacity_and_hasher(ASIDE_MAX, Default::default());
        Outbound { me, sizes, rings: Vec::new(), last: 0, aside }
    }

    pub(super) fn len(&self) -> usize {
        self.rings.len()
    }

    /// The ring to a peer. `None`: it is reached by the kernel.
    #[inline]
    pub(super) fn to(
        &mut self,
        to: SocketAddr,
        now: u64,
        watch: &mut Watch,
    ) -> Option<&mut RingTo> {
        let is_last = self.rings.get(self.last).is_some_and(|ring| ring.to == to);
        if !is_last || self.rings[self.last].is_closed() {
            self.find(to, now, watch)?;
        }
        self.rings.get_mut(self.last)
    }

    /// Makes the ring to `to` the last one, if there is or can be one.
    fn find(&mut self, to: SocketAddr, now: u64, watch: &mut Watch) -> Option<()> {
        if let Some(index) = self.rings.iter().position(|ring| ring.to == to) {
            self.last = index;
            if !self.rings[index].is_closed() {
                return Some(());
            }
            self.rings.swap_remove(index);
        }
        if self.aside.get(&to).is_some_and(|until| now < *until) {
            return None;
        }
        let holds_ns = match self.make(to, watch) {
            Ok(ring) => {
                self.last = self.rings.len();
                self.rings.push(ring);
                self.aside.remove(&to);
                return Some(());
            }
            Err(Errno::AGAIN | Errno::INTR | Errno::NOMEM | Errno::MFILE | Errno::NFILE) => SOON_NS,
            Err(_) => REFRESH_NS,
        };
        if self.aside.len() >= ASIDE_MAX {
            self.aside.clear();
        }
        self.aside.insert(to, now + holds_ns);
        None
    }

    fn make(&self, to: SocketAddr, watch: &mut Watch) -> Result<RingTo, Errno> {
        if self.rings.len() >= PEERS_MAX || to.is_ipv4() != self.me.is_ipv4() {
            return Err(Errno::CONNREFUSED);
        }
        let connection = Connection::to(to)?;
        let (slots, file) = Written::create(self.sizes).map_err(|_| Errno::NOMEM)?;
        connection.greet(&Hello { from: self.me, sizes: self.sizes }, file.as_fd())?;
        let token = watch.add(&connection.socket)?;
        Ok(RingTo { to, token, connection, slots, writer: Writer::new() })
    }

    /// Whether the process is the one that listens at that address: so nobody hands over rings in another's name.
    /// Where it is, it is written to by a ring from now on.
    pub(super) fn is_at(&mut self, at: SocketAddr, pid: Pid) -> bool {
        let mut rings = self.rings.iter();
        let is_known = rings.any(|ring| ring.to == at && ring.connection.pid == pid);
        let is_at = is_known || Connection::to(at).is_ok_and(|it| it.pid == pid);
        if is_at {
            self.aside.remove(&at);
        }
        is_at
    }

    /// Gives up the ring that was written to last: its peer has gone.
    pub(super) fn drop_last(&mut self) {
        if self.last < self.rings.len() {
            self.rings.swap_remove(self.last);
        }
    }

    /// If that connection is one of these, its peer has gone: nothing is said on it otherwise.
    pub(super) fn heard(&mut self, token: Token) {
        self.rings.retain(|ring| ring.token != token);
    }
}
