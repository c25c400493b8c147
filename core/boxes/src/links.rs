//! A reactor's links, and the driver that carries their frames.
//!
//! One link for each reactor of another box that is written to or heard from. Links are made when a
//! route first leads to their peer or a frame first comes from it, and stay, but for those of guests
//! (`given_up`): a peer that is away is a link that waits. A peer that moved is followed: when the controller says where to, and, of those who
//! write to us, when nothing more comes from where it was.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;

use daedal_model::id::{AgentId, BoxId, Number, ReactorAddress, Space, Stamp};
use daedal_net::driver::{Driver, Received};
use daedal_net::error::{DropReason, Drops};
use daedal_net::frame::Frame;
use daedal_net::link::{
    Arrival, Counters, Endpoint, Link, LinkConfig, LinkEvent, LinkLimits, Named, PacketId, Schema,
    Secret, Stream, Undone, addressed,
};
use hashbrown::HashMap;

use crate::collect::RETIRED;
use crate::conversation::ConversationIndex;
use crate::kinds::{Kind, Kinds};
use crate::plane::{Parcel, Via};

/// Links of one reactor: more peers than that, and frames of new ones are dropped.
pub(crate) const LINKS_MAX: usize = 1024;
/// Ids from here on are those of boxes that no file states. Commands take theirs by a hash, so two may have the
/// same at once: they are told apart by their addresses.
const GUESTS: u16 = 1 << 15;
/// After so long without a frame from where a peer was, one from elsewhere is believed: three times what a
/// manager lets pass until it writes to the controller. Sooner, a second box of one name would take the
/// link from the first, which is there.
const MOVED_NS: u64 = 3_000_000_000;
/// How often links with guests are looked at.
const LOOK_NS: u64 = 1_000_000_000;
/// After so long without a sign that it is heard a guest gives up what it has sent.
pub(crate) const UNANSWERED_NS: u64 = 20_000_000_000;
/// After so long without a frame a guest is given up: three times that, so that it has given up before, however its
/// clock runs and whatever was under way.
pub(crate) const SILENT_NS: u64 = 3 * UNANSWERED_NS;
/// Frames that are taken from the driver in one turn.
const BURST_FRAMES: usize = 256;

/// A reactor's links and their driver.
#[derive(Debug)]
pub struct Links<D> {
    me: ReactorAddress,
    driver: D,
    schemas: Rc<[Schema]>,
    limits: LinkLimits,
    secret: Option<Secret>,
    /// Makes session nonces: a count from a fresh random start.
    nonce: u64,
    /// Where that began: of this process.
    life: u64,
    links: Vec<Peer>,
    by_peer: HashMap<PeerKey, u32, foldhash::fast::FixedState>,
    /// Places of links that were given up.
    vacant: Vec<u32>,
    /// When guests, or who a guest speaks with, are looked at next.
    look_at: Option<Stamp>,
    outgoing: VecDeque<daedal_net::driver::Outgoing>,
    received: Vec<Received>,
    drops: Drops,
}

/// What all links of a reactor have counted, and how full they are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub counters: Counters,
    pub packets_undone: usize,
    /// The longest of any link.
    pub rtt_ns: u64,
    pub count: usize,
}

/// Whom a link leads to; of guests also where they are.
type PeerKey = (ReactorAddress, Option<SocketAddr>);

fn key(peer: ReactorAddress, at: SocketAddr) -> PeerKey {
    (peer, is_guest(peer).then_some(at))
}

fn is_guest(at: ReactorAddress) -> bool {
    at.agent_box.0 >= GUESTS
}

#[derive(Debug)]
struct Peer {
    link: Link,
    at: SocketAddr,
    /// When something last came from there, or the link was led there.
    heard: Stamp,
    /// Our kind for each of the peer's, as far as its messages have come up.
    kinds: Vec<Option<Kind>>,
    /// Asks of ours that went there and are not answered.
    asks: u64,
    /// Its place is free.
    is_given_up: bool,
}

/// Why a link is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Because {
    /// A guest was not heard for long, though each says every second that it is there.
    Silent,
    /// Room is needed, and nothing of a guest is known here.
    Bare,
    /// We are a guest, and nothing shows that we are heard.
    Unanswered,
}

impl Peer {
    fn at_guest(&self) -> bool {
        self.link.endpoints().1.agent_box >= GUESTS
    }

    /// A frame claims to be its, and comes from there.
    #[inline]
    fn hear_from(&mut self, from: SocketAddr, now: Stamp) {
        if from == self.at {
            self.heard = now;
        } else if now.0.saturating_sub(self.heard.0) >= MOVED_NS {
            (self.at, self.heard) = (from, now);
        }
    }
}

impl<D: Driver> Links<D> {
    /// No links yet. `nonce`: fresh and random for each start of the reactor.
    pub fn new(
        me: ReactorAddress,
        driver: D,
        kinds: &Kinds,
        limits: LinkLimits,
        nonce: u64,
    ) -> Self {
        let schemas = kinds.entries().iter();
        Links {
            me,
            driver,
            schemas: schemas
                .map(|(schema, version)| Schema { hash: schema.0, version: *version })
                .collect(),
            limits,
            secret: None,
            nonce,
            life: nonce,
            links: Vec::new(),
            by_peer: HashMap::default(),
            vacant: Vec::new(),
            look_at: None,
            outgoing: VecDeque::new(),
            received: Vec::new(),
            drops: Default::default(),
        }
    }

    /// Has the frames of all links sealed. Before the first of them is made.
    pub fn seal_with(&mut self, secret: Secret) {
        self.secret = Some(secret);
    }

    /// How to reach a peer; makes the link if there is none. A peer that moved is reached where it is.
    pub(crate) fn to(&mut self, peer: ReactorAddress, at: SocketAddr, now: Stamp) -> Via {
        if let Some(index) = self.by_peer.get(&key(peer, at)) {
            let it = &mut self.links[*index as usize];
            if it.at != at {
                (it.at, it.heard) = (at, now);
            }
            return Via::Link(*index);
        }
        if self.is_full() {
            // One of which nothing is known any more may make room; this peer will be heard again.
            self.look_at = self.look_at.map(|_| now);
        }
        if self.vacant.is_empty() && self.links.len() >= LINKS_MAX {
            return Via::Nowhere;
        }
        if self.is_guest() || is_guest(peer) {
            self.look_at.get_or_insert(Stamp(now.0.saturating_add(LOOK_NS)));
        }
        self.nonce = self.nonce.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let config = LinkConfig {
            local: endpoint(self.me),
            peer: endpoint(peer),
            payload_bytes_max: self.driver.payload_bytes_max(),
            schemas: self.schemas.clone(),
            nonce: self.nonce,
            life: self.life,
            limits: self.limits,
            secret: self.secret.clone(),
        };
        let link = Link::new(config, self.driver.pool(), now.0);
        let new = Peer { link, at, heard: now, kinds: Vec::new(), asks: 0, is_given_up: false };
        let index = match self.vacant.pop() {
            Some(index) => {
                self.links[index as usize] = new;
                index
            }
            None => {
                self.links.push(new);
                self.links.len() as u32 - 1
            }
        };
        self.by_peer.insert(key(peer, at), index);
        Via::Link(index)
    }

    /// Makes room for at least `bytes` of a record in the frame that the link is filling, unless there is; `false`:
    /// there is none now.
    #[inline]
    pub(crate) fn make_room(&mut self, link: u32, bytes: usize) -> bool {
        let link = &mut self.links[link as usize].link;
        bytes <= link.record_bytes_max() && link.make_room(self.driver.pool(), bytes)
    }

    /// The room that was made, of at least `bytes`, to be written to until something is [`Links::written`].
    #[inline]
    pub(crate) fn room(&mut self, link: u32, bytes: usize) -> &mut [u8] {
        let room = self.links[link as usize].link.room(bytes);
        room.expect("there is what was made")
    }

    /// Room for the longest record that a frame takes; `None`: there is none now.
    pub(crate) fn whole_room(&mut self, link: u32) -> Option<&mut [u8]> {
        let link = &mut self.links[link as usize].link;
        link.open(self.driver.pool(), link.record_bytes_max())
    }

    /// Keeps a record that was written to the room given last. `stream`: what the next one may belong to, too.
    #[inline]
    pub(crate) fn written(
        &mut self,
        link: u32,
        bytes: usize,
        (at, number): (ConversationIndex, Number),
        stream: Option<Stream>,
    ) {
        self.links[link as usize].link.close(bytes, at.0, number.0, stream);
    }

    /// Whether this message of a stream may have a short header in the room that was made.
    #[inline]
    pub(crate) fn follows(&self, link: u32, stream: Stream, number: Number) -> bool {
        self.links[link as usize].link.follows(stream, number.0)
    }

    /// Sends a whole record; `false`, and nothing is taken, when there is no room.
    pub(crate) fn send(
        &mut self,
        link: u32,
        record: &mut Parcel<'_>,
        at: ConversationIndex,
        number: Number,
    ) -> bool {
        let it = &mut self.links[link as usize].link;
        if record.len() > it.record_bytes_max() {
            let takes = it.takes_large(record.len());
            if takes {
                let taken = it.send_large(record.take(), at.0, number.0);
                assert!(taken.is_ok(), "it takes one of so many bytes");
            }
            return takes;
        }
        let Some(room) = it.open(self.driver.pool(), record.len()) else { return false };
        room[..record.len()].copy_from_slice(record);
        it.close(record.len(), at.0, number.0, None);
        true
    }

    /// Takes a burst from the driver.
    pub(crate) fn poll(&mut self, now: Stamp) -> Vec<Received> {
        let mut received = std::mem::take(&mut self.received);
        self.driver.receive(now.0, BURST_FRAMES, &mut received);
        received
    }

    /// Gives back the emptied list of [`Links::poll`].
    pub(crate) fn give_back(&mut self, received: Vec<Received>) {
        self.received = received;
    }

    /// Brings a frame to its link, if it has one; also a frame that the link drops may have told it
    /// something.
    pub(crate) fn receive(
        &mut self,
        now: Stamp,
        received: Received,
    ) -> Option<(u32, Option<Arrival>)> {
        match self.link_of(now, received) {
            // The link has counted what it drops.
            Ok((index, frame)) => {
                Some((index, self.links[index as usize].link.receive(now.0, frame).ok()))
            }
            Err(reason) => {
                self.drops.count(reason);
                None
            }
        }
    }

    fn link_of(&mut self, now: Stamp, received: Received) -> Result<(u32, Frame), DropReason> {
        let (peer, reactor) = addressed(&received.frame).ok_or(DropReason::TooShort)?;
        if reactor != self.me.reactor || peer == endpoint(self.me) {
            return Err(DropReason::WrongEndpoint);
        }
        let at = ReactorAddress { agent_box: BoxId(peer.agent_box), reactor: peer.reactor };
        match self.by_peer.get(&key(at, received.from)) {
            Some(index) => {
                self.links[*index as usize].hear_from(received.from, now);
                Ok((*index, received.frame))
            }
            None => match self.to(at, received.from, now) {
                Via::Link(index) => Ok((index, received.frame)),
                _ => Err(DropReason::WrongEndpoint),
            },
        }
    }

    /// All messages of a packet were processed, but for those at `parked`.
    pub(crate) fn finish(&mut self, link: u32, packet: PacketId, parked: &[u16]) {
        self.links[link as usize].link.finish(packet, parked);
    }

    /// What became of a message that was parked. 0: it is done.
    pub(crate) fn settle_by_name(&mut self, link: u32, name: Named, outcome: u32) {
        self.links[link as usize].link.settle_by_name(name, outcome);
    }

    /// Tells a peer something of a space, or asks it. Who is not there need not be told. `is_followed`: others go on
    /// from its agent.
    pub(crate) fn tell_of_space(
        &mut self,
        link: u32,
        (source, space): (AgentId, Space),
        is_followed: bool,
        outcome: u32,
    ) {
        if self.links[link as usize].link.is_open() || outcome != RETIRED {
            self.tell_of((source, space, Number(is_followed.into())), link, outcome);
        }
    }

    /// Tells a peer how an agent of ours is that it writes to, if it is there.
    pub(crate) fn tell_of_leaf(
        &mut self,
        link: u32,
        about: (AgentId, Space, Number),
        outcome: u32,
    ) {
        if self.links[link as usize].link.is_open() {
            self.tell_of(about, link, outcome);
        }
    }

    fn tell_of(&mut self, about: (AgentId, Space, Number), link: u32, outcome: u32) {
        let (AgentId(source), Space(space), Number(number)) = about;
        let name = Named { source, space, destination: 0, number };
        self.links[link as usize].link.settle_by_name(name, outcome);
    }

    /// What the link's peer calls `kind`, in our table.
    #[inline]
    pub(crate) fn kind(&mut self, link: u32, kind: Kind, kinds: &Kinds) -> Option<Kind> {
        let peer = &mut self.links[link as usize];
        let at = usize::from(kind.0);
        if let Some(Some(ours)) = peer.kinds.get(at) {
            return Some(*ours);
        }
        let schema = peer.link.peer_schema(kind.0)?;
        let ours =
            kinds.kind_of_version(daedal_model::message::Schema(schema.hash), schema.version)?;
        if peer.kinds.len() <= at {
            peer.kinds.resize(at + 1, None);
        }
        peer.kinds[at] = Some(ours);
        Some(ours)
    }

    pub(crate) fn next_event(&mut self, link: u32) -> Option<LinkEvent> {
        let peer = &mut self.links[link as usize];
        let event = peer.link.next_event()?;
        let said = match event {
            LinkEvent::Opened => "link opened",
            LinkEvent::Broken { .. } => "link broken: its peer started again, or is silent",
            _ => return Some(event),
        };
        peer.kinds.clear();
        let (_, Endpoint { agent_box, reactor }) = peer.link.endpoints();
        tracing::info!(agent_box, reactor, at = %peer.at, "{said}");
        Some(event)
    }

    /// One more ask went to the peer.
    #[inline]
    pub(crate) fn wait_for(&mut self, link: u32) {
        self.links[link as usize].asks += 1;
    }

    /// An ask is not waited for any longer.
    #[inline]
    pub(crate) fn wait_no_longer(&mut self, link: u32) {
        self.links[link as usize].asks -= 1;
    }

    /// Whether there is a session with the peer.
    pub(crate) fn is_open(&self, link: u32) -> bool {
        self.links[link as usize].link.is_open()
    }

    /// Who is at the other end.
    pub(crate) fn peer_address(&self, link: u32) -> SocketAddr {
        self.links[link as usize].at
    }

    /// Whom a link leads to.
    pub(crate) fn peer(&self, link: u32) -> ReactorAddress {
        let (_, peer) = self.links[link as usize].link.endpoints();
        ReactorAddress { agent_box: BoxId(peer.agent_box), reactor: peer.reactor }
    }

    /// Ends the turn: full and unfinished frames, acknowledgements and repeats leave.
    pub(crate) fn flush(&mut self, now: Stamp) -> bool {
        let pool = self.driver.pool();
        let mut is_held = false;
        let is_guest = self.is_guest();
        for peer in self.links.iter_mut().filter(|peer| !peer.is_given_up) {
            // A guest is to be heard, and to know that it is.
            peer.link.watch(peer.asks > 0 || is_guest);
            let held = peer.link.repeats_held();
            peer.link.flush(now.0, pool, &mut self.outgoing, peer.at);
            is_held |= peer.link.repeats_held() != held;
        }
        let any = !self.outgoing.is_empty();
        if any {
            self.driver.transmit(now.0, &mut self.outgoing);
        }
        if is_held {
            self.driver.reclaim();
        }
        any
    }

    pub(crate) fn next_due(&self) -> Option<Stamp> {
        let links = self.links.iter().filter(|peer| !peer.is_given_up);
        let due = links.filter_map(|peer| peer.link.next_deadline()).map(Stamp);
        due.chain(self.look_at).min()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.links.len() - self.vacant.len()
    }

    /// Whether there are as many as there may be, or they hold most of the frames: each keeps some for control.
    fn is_full(&self) -> bool {
        let pool = self.driver.pool();
        let is_low = pool.frames_free() < pool.frames_count() / 8;
        is_low || self.vacant.is_empty() && self.links.len() >= LINKS_MAX
    }

    /// Whether guests are to be looked at.
    #[inline]
    pub(crate) fn is_to_look(&self, now: Stamp) -> bool {
        self.look_at.is_some_and(|at| at <= now)
    }

    /// Looks at each link with a guest at one end: which are to be given up, and why. `keeps`: of which links
    /// something is known here.
    pub(crate) fn look(&mut self, now: Stamp, keeps: impl Fn(u32) -> bool) -> Vec<(u32, Because)> {
        let (we_are, is_full) = (self.is_guest(), self.is_full());
        let mut all = Vec::new();
        let mut is_any = false;
        for (index, it) in self.links.iter_mut().enumerate().filter(|(_, it)| !it.is_given_up) {
            let index = index as u32;
            let is_theirs = it.at_guest();
            if !we_are && !is_theirs {
                continue;
            }
            is_any = true;
            let silent_ns = now.0.saturating_sub(it.heard.0);
            let unanswered_ns = if we_are { it.link.unanswered_ns(now.0) } else { 0 };
            let is_bare = || it.asks == 0 && it.link.is_idle() && !keeps(index);
            if unanswered_ns >= UNANSWERED_NS {
                all.push((index, Because::Unanswered));
            } else if is_theirs && silent_ns >= SILENT_NS {
                all.push((index, Because::Silent));
            } else if is_theirs && is_full && is_bare() {
                all.push((index, Because::Bare));
            }
        }
        self.look_at = is_any.then_some(Stamp(now.0.saturating_add(LOOK_NS)));
        all
    }

    /// Gives a link up: what was not done on it.
    pub(crate) fn give_up(&mut self, link: u32, because: Because) -> Vec<Undone> {
        let it = &mut self.links[link as usize];
        let undone = it.link.give_up();
        it.is_given_up = true;
        self.by_peer.retain(|_, index| *index != link);
        if because == Because::Unanswered {
            // Whoever hears of us again hears of another.
            self.nonce = self.nonce.wrapping_add(0x9e37_79b9_7f4a_7c15);
            self.life = self.nonce;
        }
        tracing::info!(at = %self.links[link as usize].at, ?because, "link given up");
        undone
    }

    /// The place of a link that was given up may be another's: nothing refers to it any more.
    pub(crate) fn vacate(&mut self, link: u32) {
        self.vacant.push(link);
    }

    fn is_guest(&self) -> bool {
        is_guest(self.me)
    }

    /// The round trip of a link, as far as it is known.
    pub(crate) fn rtt_ns(&self, link: u32) -> u64 {
        self.links[link as usize].link.rtt_ns().unwrap_or(0)
    }

    /// Sums over all links.
    pub(crate) fn figures(&self) -> Figures {
        let mut all = Figures { count: self.count(), ..Figures::default() };
        for Peer { link, .. } in &self.links {
            let counted = link.counters();
            all.counters.repeated += counted.repeated;
            all.counters.repeated_copied += counted.repeated_copied;
            all.counters.repeats_held += counted.repeats_held;
            all.counters.control_frames += counted.control_frames;
            all.counters.sessions += counted.sessions;
            all.counters.unsealed += counted.unsealed;
            all.packets_undone += link.packets_undone();
            all.rtt_ns = all.rtt_ns.max(link.rtt_ns().unwrap_or(0));
        }
        all
    }

    /// Frames that were dropped, by links and before they had one.
    pub(crate) fn drops(&self) -> Drops {
        let mut all = self.drops.clone();
        self.links.iter().for_each(|peer| all.add(peer.link.drops()));
        all
    }

    /// The driver.
    pub fn driver_mut(&mut self) -> &mut D {
        &mut self.driver
    }
}

fn endpoint(at: ReactorAddress) -> Endpoint {
    Endpoint { agent_box: at.agent_box.0, reactor: at.reactor }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use daedal_net::driver::sim::{Config, SimDriver, SimNetwork};
    use daedal_net::leave_to;
    use daedal_net::wire::message::MessageHeader;

    use super::*;

    fn links(network: &SimNetwork, agent_box: u16, port: u16) -> Links<SimDriver> {
        let address = SocketAddr::from(([10, 0, 0, 1], port));
        let driver = SimDriver::start(network, Config::new(address), 0).unwrap();
        let me = ReactorAddress { agent_box: BoxId(agent_box), reactor: 0 };
        Links::new(me, driver, &Kinds::default(), LinkLimits::default(), port.into())
    }

    fn at(links: &Links<SimDriver>) -> Vec<u16> {
        links.links.iter().map(|peer| peer.at.port()).collect()
    }

    /// Lets all of them speak and hear at `now`.
    fn turn(all: &mut [&mut Links<SimDriver>], now: u64) {
        all.iter_mut().for_each(|links| speak_and_hear(links, now));
    }

    fn speak_and_hear<D: Driver>(links: &mut Links<D>, now: u64) {
        let mut received = links.poll(Stamp(now));
        for frame in received.drain(..) {
            links.receive(Stamp(now), frame);
        }
        links.give_back(received);
        links.flush(Stamp(now));
    }

    /// A driver that lets go of nothing that it was given, and counts how often it was asked to.
    struct Holding(SimDriver, Rc<Cell<usize>>);

    impl Driver for Holding {
        leave_to!(0: pool, receive_pool, receive, transmit, address, payload_bytes_max, counters, mode);

        fn reclaim(&mut self) {
            self.1.set(self.1.get() + 1);
        }
    }

    #[test]
    fn a_driver_that_holds_what_is_due_again_is_asked_once_for_completions() {
        let network = SimNetwork::perfect(1);
        let host = |port| SocketAddr::from(([10, 0, 0, 1], port));
        let config = Config { completion_delay_ns: u64::MAX / 2, ..Config::new(host(1)) };
        let asked = Rc::new(Cell::new(0));
        let driver = Holding(SimDriver::start(&network, config, 0).unwrap(), asked.clone());
        let me = ReactorAddress { agent_box: BoxId(1), reactor: 0 };
        let mut here = Links::new(me, driver, &Kinds::default(), LinkLimits::default(), 1);
        let mut there = links(&network, 2, 2);
        here.to(there.me, host(2), Stamp(0));
        let mut now = 0;
        while !here.links[0].link.is_open() {
            now += 1_000_000;
            speak_and_hear(&mut here, now);
            speak_and_hear(&mut there, now);
            assert!(now < MOVED_NS, "it is not answered");
        }
        assert_eq!(asked.get(), 0);
        drop(there);
        let link = &mut here.links[0].link;
        let head = MessageHeader { destination: 1.into(), ..Default::default() };
        head.emit(link.open(here.driver.pool(), MessageHeader::BYTES).unwrap());
        link.close(MessageHeader::BYTES, 0, 0, None);
        for expect in [(0, 0), (1, 0), (1, 1)] {
            here.flush(Stamp(now));
            let counted = here.figures().counters;
            assert_eq!((counted.repeats_held, counted.repeated_copied), expect);
            assert_eq!(asked.get() as u64, counted.repeats_held);
            now += 2_000_000_000;
        }
    }

    #[test]
    fn a_peer_is_followed_when_nothing_more_comes_from_where_it_was() {
        let network = SimNetwork::perfect(1);
        let (mut here, mut there) = (links(&network, 1, 1), links(&network, 2, 2));
        let (host, peer) = (SocketAddr::from(([10, 0, 0, 1], 1)), here.me);
        there.to(peer, host, Stamp(0));
        let mut now = 0;
        while here.links.iter().all(|peer| !peer.link.is_open()) {
            now += 1_000_000;
            turn(&mut [&mut here, &mut there], now);
            assert!(now < MOVED_NS, "it is not answered");
        }
        // It waits for us, so it is heard of; a second one of its name takes nothing from it.
        there.links[0].asks = 1;
        let mut second = links(&network, 2, 3);
        second.to(peer, host, Stamp(now));
        for _ in 0..100 {
            now += MOVED_NS / 10;
            turn(&mut [&mut here, &mut there, &mut second], now);
            assert_eq!(at(&here), [2]);
        }
        drop(there);
        let until = now + 10 * MOVED_NS;
        while !second.links[0].link.is_open() {
            now += MOVED_NS / 10;
            turn(&mut [&mut here, &mut second], now);
            assert!(now < until, "it is not answered");
        }
        assert_eq!(at(&here), [3]);
    }

    #[test]
    fn guests_of_one_id_at_two_addresses_are_two_peers() {
        let network = SimNetwork::perfect(1);
        let mut here = links(&network, 1, 1);
        let mut guests = [links(&network, GUESTS | 7, 2), links(&network, GUESTS | 7, 3)];
        let mut now = 0;
        for guest in &mut guests {
            guest.to(here.me, SocketAddr::from(([10, 0, 0, 1], 1)), Stamp(now));
        }
        let [one, other] = &mut guests;
        while !(one.links[0].link.is_open() && other.links[0].link.is_open()) {
            now += 1_000_000;
            turn(&mut [&mut here, one, other], now);
            assert!(now < MOVED_NS, "one of them is not answered");
        }
        assert_eq!(at(&here), [2, 3]);
    }
}
