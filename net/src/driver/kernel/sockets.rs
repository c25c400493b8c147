//! The driver's sockets: the first, which everybody may write to, and one for each of the few peers that
//! most single frames are exchanged with, bound to the same port and connected.
//!
//! The kernel looks up no route for what leaves through a connected socket, and gives it whatever its
//! peer sends. That it does not coalesce, so that it is read by the cheapest call, without names and
//! control messages; trains come better by the first socket, where a peer that sends them belongs.
//!
//! Nothing is lost when one comes or goes: what the first socket holds is read from there, what a new
//! one was given before it was connected is read with its sender's name, and one that goes is made deaf
//! and read until it is empty.
//!
//! Invariants: at most [`CONNECTED_MAX`] sockets beside the first, deaf ones among them; a peer has at
//! most one; none waits longer than [`APART_NS`], or one read, to be looked at. A reactor that sleeps
//! keeps what it has until its next turn.
//!
//! Sources: linux v6.6 net/ipv4/udp.c (`compute_score`), net/ipv4/datagram.c; `udp(7)`.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};

use socket2::Socket;

use super::busy::{Busy, CONNECTED_MAX, PERIOD_NS};
use super::inbound::Inbound;
use super::socket;
use crate::driver::Counters;

/// A socket that is read.
pub(super) struct Source {
    pub socket: Socket,
    /// Datagrams that the next read asks for: as many as lately came, since a read that asks for more
    /// than there is pays for one more look at the socket, between a message and its answer.
    pub asked: usize,
    use_: Use,
    /// Until then it is in a conversation, though nothing comes.
    warm_until: u64,
    /// When it is looked at though others are in a conversation.
    look_at: u64,
}

#[derive(Clone, Copy)]
enum Use {
    First,
    /// Holds nothing but what this peer sent.
    Connected {
        to: SocketAddr,
    },
    /// As before, but may hold what others sent before it was connected, until it was empty once after
    /// that time.
    Mixed {
        to: SocketAddr,
        until: u64,
    },
    /// It goes when it is empty, but not before that time.
    Deaf {
        until: u64,
    },
}

impl Source {
    fn new(socket: Socket, use_: Use) -> Source {
        Source { socket, asked: 1, use_, warm_until: 0, look_at: 0 }
    }

    fn is_warm(&self, now: u64) -> bool {
        now < self.warm_until
    }

    fn peer(&self) -> Option<SocketAddr> {
        match self.use_ {
            Use::Connected { to } | Use::Mixed { to, .. } => Some(to),
            Use::First | Use::Deaf { .. } => None,
        }
    }

    /// Who sent what it holds, if that is known without asking.
    pub(super) fn sender(&self) -> Option<SocketAddr> {
        match self.use_ {
            Use::Connected { to } => Some(to),
            _ => None,
        }
    }

    /// It was read, and was empty: whether it stays.
    fn was_empty(&mut self, now: u64) -> bool {
        match self.use_ {
            Use::Mixed { to, until } if now >= until => self.use_ = Use::Connected { to },
            Use::Deaf { until } if now >= until => return false,
            _ => {}
        }
        true
    }
}

pub(super) struct Sockets {
    all: Vec<Source>,
    busy: Busy,
}

/// A socket is warm this long after something came, in nanoseconds: some round trips to a peer that spins,
/// and one over a network.
const WARM_NS: u64 = 100_000;

/// While some sockets are warm the others are looked at this often, in nanoseconds: a look costs nearly as
/// much as a message, and delays those that are in the middle of a conversation. About as long as a
/// message takes to get here.
const APART_NS: u64 = 5_000;

impl Sockets {
    /// How many peers have a socket of their own.
    pub(super) fn connected(&self) -> usize {
        self.all.iter().filter(|source| source.peer().is_some()).count()
    }

    pub(super) fn new(first: Socket) -> Sockets {
        let mut all = Vec::with_capacity(1 + CONNECTED_MAX);
        all.push(Source::new(first, Use::First));
        Sockets { all, busy: Busy::new() }
    }

    pub(super) fn first(&self) -> &Socket {
        &self.all[0].socket
    }

    /// The socket that is connected to `peer`.
    pub(super) fn connected_to(&self, peer: SocketAddr) -> Option<&Socket> {
        let mut beside = self.all[1..].iter();
        beside.find(|source| source.peer() == Some(peer)).map(|source| &source.socket)
    }

    /// Counts a single frame that was sent to `peer`; `connect` makes a socket for one that is busy and
    /// has none.
    pub(super) fn sent(
        &mut self,
        peer: SocketAddr,
        now: u64,
        connect: impl FnOnce(&Socket) -> io::Result<Socket>,
    ) {
        let is_due = self.busy.count(peer) && self.all.len() <= CONNECTED_MAX;
        if !is_due || self.connected_to(peer).is_some() {
            return;
        }
        match connect(self.first()) {
            Ok(socket) => {
                let until = now.saturating_add(PERIOD_NS);
                self.all.push(Source::new(socket, Use::Mixed { to: peer, until }));
            }
            // It is served by the first socket, and tried again when it has shown to be busy again.
            Err(_) => self.busy.forget(peer),
        }
    }

    /// Takes from `peer` the socket that it has.
    pub(super) fn part_from(&mut self, peer: SocketAddr, now: u64) {
        self.busy.forget(peer);
        self.retire(now);
    }

    /// Reads the sockets that are in a conversation, and those that were not looked at for a while.
    pub(super) fn read(&mut self, now: u64, inbound: &mut Inbound, counters: &mut Counters) {
        if self.busy.age(now) {
            self.retire(now);
        }
        let Sockets { all, busy } = self;
        let is_any_warm = all.iter().any(|source| source.is_warm(now));
        all.retain_mut(|source| {
            if is_any_warm && !source.is_warm(now) && now < source.look_at {
                return true;
            }
            source.look_at = now + APART_NS;
            match inbound.read(source, busy, counters) {
                Some(0) => return source.was_empty(now),
                Some(_) => source.warm_until = now + WARM_NS,
                None => {}
            }
            true
        });
    }

    /// Makes the sockets of peers that are busy no longer deaf.
    fn retire(&mut self, now: u64) {
        let Sockets { all, busy, .. } = self;
        all.retain_mut(|source| {
            let is_over = source.peer().is_some_and(|peer| !busy.has(peer));
            if is_over {
                // A datagram may be on its way into it now, on another processor.
                source.use_ = Use::Deaf { until: now.saturating_add(PERIOD_NS) };
            }
            // Who has no address any longer hears nothing anyway.
            !is_over || socket::deafen(&source.socket).is_ok()
        });
    }

    /// What to park on. Who does is woken by any of them: the next read is of all.
    pub(super) fn descriptors(&mut self, into: &mut Vec<RawFd>) {
        for source in &mut self.all {
            source.look_at = 0;
            into.push(source.socket.as_raw_fd());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};

    use super::*;
    use crate::pool::Pool;

    /// A socket with a datagram, and an ICMP report in front of it that its peer has gone.
    fn reported() -> (Socket, SocketAddr) {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let to = peer.local_addr().unwrap();
        socket.connect(to).unwrap();
        peer.send_to(&[7; 64], socket.local_addr().unwrap()).unwrap();
        drop(peer);
        socket.send(&[0; 16]).unwrap();
        (socket.into(), to)
    }

    fn first() -> Socket {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.into()
    }

    /// Reads a socket of that use beside the first one, once for the report, once for the datagram.
    fn check(make_use: fn(SocketAddr) -> Use) {
        let (socket, to) = reported();
        let mut sockets = Sockets::new(first());
        // Nobody is busy: the next time that it finds so is later.
        sockets.busy.age(0);
        sockets.all.push(Source::new(socket, make_use(to)));
        let mut inbound = Inbound::new(Pool::new(4, 128));
        let (mut counters, mut received) = (Counters::default(), Vec::new());
        let mut read = |sockets: &mut Sockets| {
            sockets.descriptors(&mut Vec::new());
            sockets.read(0, &mut inbound, &mut counters);
            inbound.cut(9, &mut received, &mut counters)
        };
        assert_eq!(read(&mut sockets), 0, "the report");
        assert!(sockets.all.len() == 2 && sockets.all[1].sender().is_none());
        assert_eq!(read(&mut sockets), 1, "the datagram behind it");
        assert_eq!((received[0].from, &received[0].frame[..]), (to, &[7; 64][..]));
    }

    #[test]
    fn a_socket_with_an_error_to_report_does_not_count_as_empty() {
        check(|to| Use::Mixed { to, until: 0 });
        check(|_| Use::Deaf { until: 0 });
    }

    /// A conversation goes on by the second socket; something comes to the first one. How many reads find
    /// it, `apart` nanoseconds from one to the next.
    fn reads_until_found(apart: u64, look: fn(&mut Sockets)) -> u64 {
        let mut sockets = Sockets::new(first());
        let at = sockets.first().local_addr().unwrap().as_socket().unwrap();
        let (socket, _) = reported();
        let mut warm = Source::new(socket, Use::Deaf { until: u64::MAX });
        warm.warm_until = WARM_NS;
        sockets.all.push(warm);
        let mut inbound = Inbound::new(Pool::new(4, 128));
        let (mut counters, mut received) = (Counters::default(), Vec::new());
        sockets.read(0, &mut inbound, &mut counters);
        let outside = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        outside.send_to(&[8; 16], at).unwrap();
        look(&mut sockets);
        let from = outside.local_addr().unwrap();
        let found = (1..100).find(|count| {
            sockets.read(count * apart, &mut inbound, &mut counters);
            inbound.cut(9, &mut received, &mut counters);
            received.iter().any(|it| it.from == from)
        });
        found.expect("all are looked at")
    }

    #[test]
    fn a_conversation_is_read_each_time_and_the_others_after_a_while() {
        assert_eq!(reads_until_found(APART_NS / 5, |_| {}), 5);
        assert_eq!(reads_until_found(APART_NS, |_| {}), 1);
        // When the conversation is over, nobody is made to wait.
        let over = |sockets: &mut Sockets| sockets.all[1].warm_until = 0;
        assert_eq!(reads_until_found(APART_NS / 5, over), 1);
    }

    #[test]
    fn the_first_read_of_who_has_parked_finds_what_any_socket_has() {
        let park = |sockets: &mut Sockets| sockets.descriptors(&mut Vec::new());
        assert_eq!(reads_until_found(APART_NS / 5, park), 1);
    }
}
