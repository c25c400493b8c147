//! Two links, real pools, and a network that drops, doubles, delays and reorders; drivers that
//! complete late; agents that are slow or park; ends that start again. All from one seed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;

use zerocopy::IntoBytes;

use super::super::{
    Arrival, Endpoint, Link, LinkConfig, LinkEvent, LinkLimits, Named, PacketId, Schema, Secret,
    Stream, Undone,
};
use crate::driver::Outgoing;
use crate::error::DropReason;
use crate::frame::Frame;
use crate::limits::{CONTROL_FRAMES, SEAL_FRAMES};
use crate::pool::Pool;
use crate::wire::control;
use crate::wire::message::{MessageHeader, ShortHeader};

pub(super) const PAYLOAD: usize = 512;
pub(super) const TICK_NS: u64 = 200_000;

pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// What may go wrong, in percent; `delay`: ticks.
#[derive(Clone, Copy, Default)]
pub(super) struct Faults {
    pub(super) drop: u64,
    pub(super) double: u64,
    pub(super) delay: u64,
    /// The driver keeps a frame for some ticks.
    pub(super) late: u64,
    /// An agent keeps a frame for some ticks.
    pub(super) slow: u64,
    pub(super) park: u64,
    /// In ten thousand ticks.
    pub(super) restart: u64,
}

/// (life of the sender, conversation, number).
type Id = (u32, u32, u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Outbox,
    Link,
    Parked,
    Done,
}

pub(super) struct Side {
    pub(super) link: Link,
    pub(super) pool: Pool,
    rx: Pool,
    life: u32,
    out: VecDeque<Outgoing>,
    /// What the driver has not completed, and what it looked like.
    held: Vec<(u64, Frame, Vec<u8>)>,
    outbox: VecDeque<(u32, u64, Vec<u8>)>,
    places: BTreeMap<(u32, u64), Place>,
    parked: BTreeMap<(u32, u64), Vec<u8>>,
    next: [u64; 3],
    // As a receiver.
    reading: Vec<(u64, Arrival, PacketId, Vec<u16>)>,
    waiting: Vec<(u64, Id)>,
    seen: BTreeSet<(u64, Id)>,
    pub(super) events_done: u64,
}

pub(super) struct World {
    pub(super) now: u64,
    pub(super) random: Random,
    pub(super) faults: Faults,
    pub(super) sides: [Side; 2],
    limits: LinkLimits,
    secret: Option<Secret>,
    frames: usize,
    flight: Vec<(u64, usize, Vec<u8>)>,
    /// Everything that side 0, side 1 ever processed, of the other.
    processed: [BTreeSet<Id>; 2],
    pub(super) sent_frames: u64,
    pub(super) arrived_frames: u64,
    /// The side that starts again when so many frames have arrived, at once.
    pub(super) restarts: Vec<(u64, usize)>,
    pub(super) broken: u64,
    /// Hash of every frame sent.
    pub(super) trace: u64,
    pub(super) drops: BTreeSet<DropReason>,
}

pub(super) fn record(
    source: u64,
    life: u32,
    conversation: u32,
    number: u64,
    body: usize,
) -> Vec<u8> {
    let header = MessageHeader {
        destination: (1 + u64::from(conversation)).into(),
        source: source.into(),
        number: number.into(),
        space: life.into(),
        length: (body as u32).into(),
        kind: 1.into(),
        ..Default::default()
    };
    let mut record = header.as_bytes().to_vec();
    record.extend((0..body).map(|at| (at as u64 ^ number.wrapping_mul(31) ^ source) as u8));
    record
}

/// That record with a short header.
pub(super) fn shortened(record: &[u8]) -> Vec<u8> {
    let MessageHeader { flags, length, floor, .. } = *MessageHeader::parse(record).unwrap().header;
    let (zero, kind, length) = (0.into(), control::MESSAGE, (length.get() as u16).into());
    let short = ShortHeader { zero, kind, flags, length, floor };
    [short.as_bytes(), &record[MessageHeader::BYTES..]].concat()
}

/// A message that came.
pub(super) struct Came {
    /// With a whole header.
    pub record: Vec<u8>,
    /// Where its body lies.
    body: usize,
}

pub(super) fn messages(arrival: &Arrival) -> Vec<Came> {
    let mut records = arrival.records();
    let came = std::iter::from_fn(|| {
        let message = records.next_message()?;
        Some(Came { record: message.to_vec(), body: message.body.as_ptr() as usize })
    });
    came.collect()
}

fn id_of(record: &[u8]) -> Id {
    let message = MessageHeader::parse(record).expect("links hand out whole messages");
    let header = message.header;
    let (life, conversation) = (header.space.get(), header.destination.get() as u32 - 1);
    let (source, number) = (header.source.get(), header.number.get());
    assert_eq!(
        record,
        super::world::record(source, life, conversation, number, message.body.len())
    );
    (life, conversation, number)
}

pub(super) fn schemas(count: u64) -> Rc<[Schema]> {
    (0..count).map(|hash| Schema { hash, version: 3 }).collect()
}

impl Side {
    fn new(
        index: usize,
        life: u32,
        nonce: u64,
        frames: usize,
        limits: LinkLimits,
        secret: Option<Secret>,
        now: u64,
    ) -> Side {
        let pool = Pool::new(frames, PAYLOAD);
        let end = |agent_box| Endpoint { agent_box, reactor: 1 };
        let config = LinkConfig {
            local: end(index as u16),
            peer: end(1 - index as u16),
            payload_bytes_max: PAYLOAD,
            schemas: schemas(40),
            nonce,
            life: nonce,
            limits,
            secret,
        };
        Side {
            link: Link::new(config, &pool, now),
            pool,
            rx: Pool::new(64, PAYLOAD),
            life,
            out: VecDeque::new(),
            held: Vec::new(),
            outbox: VecDeque::new(),
            places: BTreeMap::new(),
            parked: BTreeMap::new(),
            next: [0; 3],
            reading: Vec::new(),
            waiting: Vec::new(),
            seen: BTreeSet::new(),
            events_done: 0,
        }
    }

    pub(super) fn is_all_done(&self) -> bool {
        self.places.values().all(|place| *place == Place::Done)
            && self.reading.is_empty()
            && self.waiting.is_empty()
    }

    fn move_outbox(&mut self) {
        while let Some((conversation, number, bytes)) = self.outbox.pop_front() {
            let (key, length) = ((conversation, number), bytes.len());
            let refused = if length > self.link.record_bytes_max() {
                self.link.send_large(bytes, conversation, number).err()
            } else if self.link.make_room(&self.pool, length) {
                let stream = Stream::MIN.saturating_add(conversation.into());
                // Some that could be short are whole.
                let bytes = match self.link.follows(stream, number) && number % 5 != 0 {
                    true => shortened(&bytes),
                    false => bytes,
                };
                self.link.room(length).expect("it was opened")[..bytes.len()]
                    .copy_from_slice(&bytes);
                self.link.close(bytes.len(), conversation, number, Some(stream));
                None
            } else {
                Some(bytes)
            };
            if let Some(bytes) = refused {
                self.outbox.push_front((conversation, number, bytes));
                return;
            }
            self.places.insert(key, Place::Link);
        }
    }

    fn hear_event(&mut self, event: LinkEvent, processed: &BTreeSet<Id>) -> Option<Vec<u8>> {
        match event {
            LinkEvent::Opened => (),
            LinkEvent::Done { conversation, first, count } => {
                for number in first..first + u64::from(count) {
                    assert!(processed.contains(&(self.life, conversation, number)));
                    let place = self.places.insert((conversation, number), Place::Done);
                    assert!(matches!(place, Some(Place::Link | Place::Parked)), "{place:?}");
                    self.parked.remove(&(conversation, number));
                    self.events_done += 1;
                }
            }
            LinkEvent::Parked { conversation, number, record } => {
                assert_eq!(id_of(&record), (self.life, conversation, number));
                let place = self.places.get_mut(&(conversation, number)).unwrap();
                if *place != Place::Done {
                    assert_eq!(*place, Place::Link);
                    *place = Place::Parked;
                    self.parked.insert((conversation, number), record);
                }
            }
            LinkEvent::SettledByName { name, count, outcome } => {
                assert_eq!(outcome, 0);
                let Named { space, destination, number: first, .. } = name;
                for number in first..first + u64::from(count) {
                    let conversation = destination as u32 - 1;
                    assert!(processed.contains(&(space, conversation, number)));
                    if space == self.life {
                        self.places.insert((conversation, number), Place::Done);
                        self.parked.remove(&(conversation, number));
                    }
                }
            }
            LinkEvent::Large { record } => return Some(record),
            LinkEvent::Broken { undone, .. } => self.take_back(undone),
        }
        None
    }

    fn take_back(&mut self, undone: Vec<Undone>) {
        let back: BTreeSet<_> = undone.iter().map(|it| (it.conversation, it.number)).collect();
        assert_eq!(back.len(), undone.len(), "nothing is handed back twice");
        let links = self.places.iter().filter(|(_, place)| **place == Place::Link);
        for (key, _) in links {
            assert!(back.contains(key), "{key:?} was not done and is not handed back");
        }
        let parked = std::mem::take(&mut self.parked).into_iter();
        let undone = undone.into_iter().map(|it| ((it.conversation, it.number), it.record));
        for ((conversation, number), record) in undone.chain(parked) {
            assert_eq!(id_of(&record), (self.life, conversation, number));
            let place = self.places.get_mut(&(conversation, number)).unwrap();
            if *place != Place::Done {
                *place = Place::Outbox;
                self.outbox.push_back((conversation, number, record));
            }
        }
    }
}

impl World {
    pub(super) fn new(seed: u64, frames: usize, limits: LinkLimits, faults: Faults) -> World {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let now = 1_000_000_000;
        // What is sealed needs a frame of its own.
        let secret = (frames >= 20 && seed % 2 == 1).then_some(Secret([7; 32]));
        let sides = [0, 1]
            .map(|index| Side::new(index, 1, random.next(), frames, limits, secret.clone(), now));
        World {
            now,
            random,
            faults,
            sides,
            limits,
            secret,
            frames,
            flight: Vec::new(),
            processed: Default::default(),
            sent_frames: 0,
            arrived_frames: 0,
            restarts: Vec::new(),
            broken: 0,
            trace: 0,
            drops: BTreeSet::new(),
        }
    }

    pub(super) fn send(&mut self, index: usize, body: usize) {
        let side = &mut self.sides[index];
        let conversation = self.random.below(3) as u32;
        let number = side.next[conversation as usize];
        side.next[conversation as usize] += 1;
        let record = record(index as u64, side.life, conversation, number, body);
        side.places.insert((conversation, number), Place::Outbox);
        side.outbox.push_back((conversation, number, record));
    }

    pub(super) fn restart(&mut self, index: usize) {
        let life = self.sides[index].life + 1;
        let nonce = self.random.next();
        let (frames, limits, secret) = (self.frames, self.limits, self.secret.clone());
        self.sides[index] = Side::new(index, life, nonce, frames, limits, secret, self.now);
    }

    /// One tick: frames arrive, agents run, both ends flush.
    pub(super) fn tick(&mut self) {
        self.now += TICK_NS;
        for index in 0..2 {
            if self.random.below(10_000) < self.faults.restart {
                self.restart(index);
            }
            self.arrive(index);
            self.run(index);
            self.sides[index].move_outbox();
            self.flush(index);
        }
    }

    pub(super) fn ticks(&mut self, count: usize) {
        (0..count).for_each(|_| self.tick());
    }

    /// Ticks until everything is done; fails when that takes longer than `limit`.
    pub(super) fn settle(&mut self, limit: usize) {
        for _ in 0..limit {
            if self.sides.iter().all(Side::is_all_done) {
                return;
            }
            self.tick();
        }
        let [one, two] = &self.sides;
        panic!("no progress: {:#?} {:?}\n{:#?} {:?}", one.link, one.places, two.link, two.places);
    }

    /// Everything is done: both ends fall silent, and every frame is back.
    pub(super) fn assert_quiet(&mut self) {
        let deadline = |side: &Side| side.link.next_deadline();
        for _ in 0..200 {
            self.tick();
            if self.flight.is_empty()
                && let Some(at) = self.sides.iter().filter_map(deadline).min()
            {
                self.now = self.now.max(at);
            }
        }
        let before = self.sent_frames;
        self.now += 10_000_000_000;
        self.ticks(2);
        assert_eq!(self.sent_frames, before, "an idle link says nothing");
        for side in &self.sides {
            assert_eq!(side.link.next_deadline(), None);
            assert_eq!(side.link.packets_undone(), 0);
            assert_eq!(side.link.large_halves(), 0);
            let kept = CONTROL_FRAMES + 1 + self.secret.iter().len() * SEAL_FRAMES;
            assert_eq!(side.pool.frames_free(), side.pool.frames_count() - kept);
            assert_eq!(side.rx.frames_free(), side.rx.frames_count());
        }
    }

    fn arrive(&mut self, index: usize) {
        let now = self.now;
        let due = self.flight.extract_if(.., |(at, to, _)| *at <= now && *to == index);
        for (_, _, bytes) in due.collect::<Vec<_>>() {
            let side = &mut self.sides[index];
            let Some(mut frame) = side.rx.take() else { continue };
            frame.bytes_mut().unwrap()[..bytes.len()].copy_from_slice(&bytes);
            frame.truncate(bytes.len());
            match side.link.receive(now, frame) {
                Ok(arrival) => self.read(index, arrival),
                Err(reason) => {
                    self.drops.insert(reason);
                }
            }
            self.arrived_frames += 1;
            let due = |it: &mut (u64, usize)| it.0 == self.arrived_frames;
            for (_, side) in self.restarts.extract_if(.., due).collect::<Vec<_>>() {
                self.restart(side);
            }
        }
    }

    fn read(&mut self, index: usize, arrival: Arrival) {
        let Some(packet) = arrival.packet else { return };
        let mut parked = Vec::new();
        let side = &mut self.sides[index];
        let session = side.link.counters().sessions;
        let start = arrival.frame.as_ptr() as usize;
        for (message, position) in messages(&arrival).into_iter().zip(0..) {
            let body_at = message.body - start;
            assert_eq!((body_at + 42) % 16, 0, "messages stand at multiples of 16");
            assert!(side.link.peer_schema(1) == Some(Schema { hash: 1, version: 3 }));
            let id = id_of(&message.record);
            assert!(side.seen.insert((session, id)), "{id:?} came twice");
            if self.random.percent(self.faults.park) {
                parked.push(position);
                side.waiting.push((self.now + TICK_NS * self.random.below(50), id));
            }
        }
        let slow = if self.random.percent(self.faults.slow) { self.random.below(60) } else { 0 };
        side.reading.push((self.now + TICK_NS * slow, arrival, packet, parked));
    }

    fn run(&mut self, index: usize) {
        let now = self.now;
        let peer_processed = std::mem::take(&mut self.processed[1 - index]);
        let side = &mut self.sides[index];
        for (_, frame, bytes) in side.held.extract_if(.., |it| it.0 <= now) {
            assert_eq!(*frame, *bytes, "a frame that the driver holds is not touched");
        }
        for (_, arrival, packet, parked) in side.reading.extract_if(.., |it| it.0 <= now) {
            for (message, position) in messages(&arrival).into_iter().zip(0..) {
                if !parked.contains(&position) {
                    self.processed[index].insert(id_of(&message.record));
                }
            }
            side.link.finish(packet, &parked);
            side.link.finish(packet, &[]);
        }
        for (_, id) in side.waiting.extract_if(.., |it| it.0 <= now) {
            self.processed[index].insert(id);
            let (life, conversation, number) = id;
            let (source, destination) = (1 - index as u64, 1 + u64::from(conversation));
            let name = Named { source, space: life, destination, number };
            side.link.settle_by_name(name, 0);
        }
        while let Some(event) = side.link.next_event() {
            self.broken += u64::from(matches!(event, LinkEvent::Broken { .. }));
            if let Some(record) = side.hear_event(event, &peer_processed) {
                let session = side.link.counters().sessions;
                assert!(side.seen.insert((session, id_of(&record))));
                side.waiting.push((now + TICK_NS * self.random.below(5), id_of(&record)));
            }
        }
        self.processed[1 - index] = peer_processed;
    }

    fn flush(&mut self, index: usize) {
        let to = SocketAddr::from(([127, 0, 0, 1], 1));
        let side = &mut self.sides[index];
        side.link.flush(self.now, &side.pool, &mut side.out, to);
        for Outgoing { frame, .. } in side.out.drain(..) {
            self.sent_frames += 1;
            self.trace = frame.iter().fold(self.trace, |trace, byte| {
                (trace ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
            });
            assert!(frame.len().is_multiple_of(16) && frame.len() <= PAYLOAD);
            let copies = 1 + u64::from(self.random.percent(self.faults.double));
            for _ in 0..copies {
                if !self.random.percent(self.faults.drop) {
                    let delay = TICK_NS * self.random.below(self.faults.delay + 1);
                    self.flight.push((self.now + delay, 1 - index, frame.to_vec()));
                }
            }
            if self.random.percent(self.faults.late) {
                let until = self.now + TICK_NS * self.random.below(300);
                let bytes = frame.to_vec();
                side.held.push((until, frame, bytes));
            }
        }
    }
}
