//! What carries frames between simulated reactors: faults decide, and everything is written down.
//!
//! `Ether` is the network's policy; [`Wiretap`] is the `sim` driver, on virtual time whatever its
//! box's clock says, with a note of each frame that arrives. Neither changes a byte.
//!
//! A message's *trace* here is derived from its name, since agents need not set one: the space, lane and
//! number of a request, which its reply carries too. Messages of one space to different destinations
//! may share it; their names, shown beside, tell them apart.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;

use daedal_model::id::Number;
use daedal_net::driver::sim::{Config, Flight, SimDriver, SimNetwork};
use daedal_net::driver::{Driver, Outgoing, Received};
use daedal_net::leave_to;
use daedal_net::wire::link::{CONTROL, LinkHeader};
use daedal_net::wire::record::Records;
use xxhash_rust::xxh3::xxh3_64;

use crate::fault::{Fate, FaultPlan};
use crate::random::Random;
use crate::trace::{Event, Frame, FrameStep, Message, MessageStep, Place, Trace};
use crate::world::place;

/// Frames that a reactor sends from, and buffers that it receives into.
const FRAMES: usize = 2048;

/// Decides what becomes of frames, and writes it down.
pub(crate) struct Ether {
    plan: FaultPlan,
    trace: Trace,
    random: Random,
    frames: u64,
    /// Last id of the bytes of a hash.
    ids: BTreeMap<u64, u64>,
    /// How often a packet was sent, by ends, session and number.
    sent: BTreeMap<(Place, Place, u32, u64), u32>,
    sends_max: Option<u32>,
    messages: u64,
}

impl Ether {
    pub fn new(plan: FaultPlan, trace: Trace, random: Random, sends_max: Option<u32>) -> Ether {
        let (ids, sent) = (BTreeMap::new(), BTreeMap::new());
        Ether { plan, trace, random, frames: 0, ids, sent, sends_max, messages: 0 }
    }

    pub fn plan(&self) -> &FaultPlan {
        &self.plan
    }

    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Messages in packets that were sent for the first time.
    pub fn messages_sent(&self) -> u64 {
        self.messages
    }

    pub fn note(&mut self, at: u64, place: Place, event: Event) {
        self.trace.record(at, place, event);
    }

    /// The network's policy.
    pub fn carry(&mut self, flight: &Flight<'_>, into: &mut Vec<u64>) {
        let (from, to) = (place(flight.from), place(flight.to));
        self.frames += 1;
        let hash = xxh3_64(flight.bytes);
        let bytes = flight.bytes.len() as u32;
        let frame = Frame { id: self.frames, from, to, bytes, hash };
        self.ids.insert(hash, frame.id);
        self.note(flight.now, from, Event::Frame { step: FrameStep::Out, frame });
        let times = self.count(from, to, flight.bytes);
        self.note_messages(flight, from, frame.id, times == 1);
        let mut fate = self.plan.decide(from.agent_box, to.agent_box, flight.now, &mut self.random);
        if self.sends_max.is_some_and(|max| times > max) {
            fate = Fate::Dropped;
        }
        let step = match fate {
            Fate::Cut | Fate::Dropped => Some(FrameStep::Dropped),
            Fate::Duplicated(..) => Some(FrameStep::Duplicated),
            Fate::Delayed(after) => {
                Some(FrameStep::Delayed(after - self.plan.shape().travel_ns.min(after)))
            }
            Fate::Arrives(_) => None,
        };
        if let Some(step) = step {
            self.note(flight.now, from, Event::Frame { step, frame });
        }
        into.extend(fate.arrivals().map(|after| flight.now + after));
    }

    /// How often this packet was sent, with this time; 0 in the control lane.
    fn count(&mut self, from: Place, to: Place, bytes: &[u8]) -> u32 {
        let Ok((header, _)) = LinkHeader::parse(bytes) else { return 0 };
        if header.has(CONTROL) {
            return 0;
        }
        let key = (from, to, header.session.get(), header.packet.get());
        let times = self.sent.entry(key).or_default();
        *times += 1;
        *times
    }

    fn note_messages(&mut self, flight: &Flight<'_>, from: Place, frame: u64, is_first: bool) {
        let Ok((_, area)) = LinkHeader::parse(flight.bytes) else { return };
        let mut records = Records::new(area);
        while let Some(message) = records.next_message() {
            let header = message.header;
            let (space, number) = (header.space.get(), header.number.get());
            let (step, trace) = match message.reply_to {
                Some(to) => (MessageStep::Replied, trace_of(to.space.get(), to.number.get())),
                None => (MessageStep::Sent, trace_of(space, number)),
            };
            self.note(flight.now, from, Event::Packed { frame, trace });
            if is_first {
                self.messages += 1;
                let (destination, source) = (header.destination.get(), header.source.get());
                let message = Message { trace, destination, source, space, number };
                self.note(flight.now, from, Event::Message { step, message });
            }
        }
    }

    fn arrived(&mut self, now: u64, from: SocketAddr, to: SocketAddr, payload: &[u8]) {
        let hash = xxh3_64(payload);
        let id = self.ids.get(&hash).copied().unwrap_or(0);
        let (from, to) = (place(from), place(to));
        let frame = Frame { id, from, to, bytes: payload.len() as u32, hash };
        self.note(now, to, Event::Frame { step: FrameStep::In, frame });
    }
}

/// What is followed: a request and its reply. Lanes number their messages apart, by few numbers here.
pub fn trace_of(space: u32, number: u64) -> u64 {
    let lane = u64::from(Number(number).lane());
    u64::from(space) << 32 | lane << 16 | (number & 0xffff)
}

/// The `sim` driver, overheard.
pub struct Wiretap {
    driver: SimDriver,
    clock: Rc<Cell<u64>>,
    ether: Rc<RefCell<Ether>>,
}

impl Wiretap {
    pub(crate) fn start(
        network: &SimNetwork,
        ether: &Rc<RefCell<Ether>>,
        clock: &Rc<Cell<u64>>,
        address: SocketAddr,
    ) -> Wiretap {
        let config = Config {
            frames: FRAMES,
            receive_buffers: FRAMES,
            held_max: FRAMES,
            ..Config::new(address)
        };
        let driver = SimDriver::start(network, config, clock.get());
        Wiretap {
            driver: driver.expect("a box's earlier process has let go of its address"),
            clock: Rc::clone(clock),
            ether: Rc::clone(ether),
        }
    }
}

impl fmt::Debug for Wiretap {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.driver.fmt(out)
    }
}

impl Driver for Wiretap {
    leave_to!(driver: pool, receive_pool, reclaim, address, payload_bytes_max, counters, mode);

    fn receive(&mut self, _: u64, limit: usize, into: &mut Vec<Received>) -> usize {
        let (now, before) = (self.clock.get(), into.len());
        let count = self.driver.receive(now, limit, into);
        for received in &into[before..] {
            let to = self.driver.address();
            self.ether.borrow_mut().arrived(now, received.from, to, &received.frame);
        }
        count
    }

    fn transmit(&mut self, _: u64, frames: &mut VecDeque<Outgoing>) {
        self.driver.transmit(self.clock.get(), frames);
    }
}
