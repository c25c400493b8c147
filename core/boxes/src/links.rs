//! A reactor's links, and the driver that carries their frames.
//!
//! One link for each reactor of another box that is written to or heard from. Links are made when a
//! route first leads to their peer or a frame first comes from it, and stay: a peer that is away is a
//! link that waits.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;

use daedal_model::id::{BoxId, Number, ReactorAddress, Stamp};
use daedal_net::driver::{Driver, Received};
use daedal_net::error::DropReason;
use daedal_net::frame::Frame;
use daedal_net::link::{
    Arrival, Endpoint, Link, LinkConfig, LinkEvent, LinkLimits, Named, PacketId, Schema, addressed,
};

use crate::conversation::ConversationIndex;
use crate::kinds::{Kind, Kinds};
use crate::plane::Via;

/// Links of one reactor: more peers than that, and frames of new ones are dropped.
const LINKS_MAX: usize = 1024;
/// Frames that are taken from the driver in one turn.
const BURST_FRAMES: usize = 256;

/// A reactor's links and their driver.
#[derive(Debug)]
pub struct Links<D> {
    me: ReactorAddress,
    driver: D,
    schemas: Rc<[Schema]>,
    limits: LinkLimits,
    /// Makes session nonces: a count from a fresh random start.
    nonce: u64,
    links: Vec<Peer>,
    by_peer: BTreeMap<ReactorAddress, u32>,
    outgoing: VecDeque<daedal_net::driver::Outgoing>,
    received: Vec<Received>,
    drops: daedal_net::error::Drops,
}

#[derive(Debug)]
struct Peer {
    link: Link,
    at: SocketAddr,
    /// Our kind for each of the peer's, as far as its messages have come up.
    kinds: Vec<Option<Kind>>,
    /// Asks of ours that went there and are not answered.
    asks: u64,
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
            nonce,
            links: Vec::new(),
            by_peer: BTreeMap::new(),
            outgoing: VecDeque::new(),
            received: Vec::new(),
            drops: Default::default(),
        }
    }

    /// How to reach a peer; makes the link if there is none. A peer that moved is reached where it is.
    pub(crate) fn to(&mut self, peer: ReactorAddress, at: SocketAddr, now: Stamp) -> Via {
        if let Some(index) = self.by_peer.get(&peer) {
            self.links[*index as usize].at = at;
            return Via::Link(*index);
        }
        if self.links.len() >= LINKS_MAX {
            return Via::Nowhere;
        }
        self.nonce = self.nonce.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let config = LinkConfig {
            local: endpoint(self.me),
            peer: endpoint(peer),
            payload_bytes_max: self.driver.payload_bytes_max(),
            schemas: self.schemas.clone(),
            nonce: self.nonce,
            limits: self.limits,
        };
        let link = Link::new(config, self.driver.pool(), now.0);
        let index = self.links.len() as u32;
        self.links.push(Peer { link, at, kinds: Vec::new(), asks: 0 });
        self.by_peer.insert(peer, index);
        Via::Link(index)
    }

    /// Room for at least `bytes` of a record, in the frame that the link is filling.
    #[inline]
    pub(crate) fn room(&mut self, link: u32, bytes: usize) -> Option<&mut [u8]> {
        let link = &mut self.links[link as usize].link;
        (bytes <= link.record_bytes_max()).then(|| link.open(self.driver.pool(), bytes))?
    }

    /// Whether [`Links::room`] will give as much.
    #[inline]
    pub(crate) fn make_room(&mut self, link: u32, bytes: usize) -> bool {
        let link = &mut self.links[link as usize].link;
        bytes <= link.record_bytes_max() && link.make_room(self.driver.pool(), bytes)
    }

    /// Room for the longest record that a frame takes; `None` if there is as much already.
    pub(crate) fn whole_room(&mut self, link: u32) -> Option<&mut [u8]> {
        let bytes = self.links[link as usize].link.record_bytes_max();
        self.room(link, bytes)
    }

    /// Keeps a record that was written to the room given last.
    #[inline]
    pub(crate) fn written(
        &mut self,
        link: u32,
        bytes: usize,
        at: ConversationIndex,
        number: Number,
    ) {
        self.links[link as usize].link.close(bytes, at.0, number.0);
    }

    /// Sends a copy of a whole record; `false` when there is no room.
    pub(crate) fn send(
        &mut self,
        link: u32,
        record: &[u8],
        at: ConversationIndex,
        number: Number,
    ) -> bool {
        let it = &mut self.links[link as usize].link;
        if record.len() > it.record_bytes_max() {
            return it.is_open() && it.send_large(record.to_vec(), at.0, number.0).is_ok();
        }
        let Some(room) = it.open(self.driver.pool(), record.len()) else { return false };
        room[..record.len()].copy_from_slice(record);
        it.close(record.len(), at.0, number.0);
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
        match self.by_peer.get(&at) {
            Some(index) => Ok((*index, received.frame)),
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
        if matches!(event, LinkEvent::Opened | LinkEvent::Broken { .. }) {
            peer.kinds.clear();
        }
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

    /// Who is at the other end.
    pub(crate) fn peer(&self, link: u32) -> ReactorAddress {
        let (_, peer) = self.links[link as usize].link.endpoints();
        ReactorAddress { agent_box: BoxId(peer.agent_box), reactor: peer.reactor }
    }

    /// Ends the turn: full and unfinished frames, acknowledgements and repeats leave.
    pub(crate) fn flush(&mut self, now: Stamp) -> bool {
        let pool = self.driver.pool();
        for peer in &mut self.links {
            peer.link.watch(peer.asks > 0);
            peer.link.flush(now.0, pool, &mut self.outgoing, peer.at);
        }
        let any = !self.outgoing.is_empty();
        if any {
            self.driver.transmit(now.0, &mut self.outgoing);
        }
        any
    }

    pub(crate) fn next_due(&self) -> Option<Stamp> {
        self.links.iter().filter_map(|peer| peer.link.next_deadline()).min().map(Stamp)
    }

    /// The driver.
    pub fn driver_mut(&mut self) -> &mut D {
        &mut self.driver
    }
}

fn endpoint(at: ReactorAddress) -> Endpoint {
    Endpoint { agent_box: at.agent_box.0, reactor: at.reactor }
}
