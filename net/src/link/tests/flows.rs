//! Links over one port of a switch, in virtual time: a wire of some rate, with a queue of some length before
//! it. Each sender has a wire of its own to the switch, and what comes back has a way of its own.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::super::*;
use super::world::{Random, schemas};
use crate::driver::Outgoing;

pub(super) const PAYLOAD: usize = 1472;
/// A turn of each end.
pub(super) const TURN_NS: u64 = 5_000;
pub(super) const MS: u64 = 1_000_000;
/// One way, without the queue.
pub(super) const WAY_NS: u64 = 45_000;
/// A quarter of a second before all that were slowed down hold back.
const START_NS: u64 = 7_750 * MS;
/// Of a message that fills a frame.
const BODY: usize = PAYLOAD - 112;

pub(super) struct Wire {
    pub(super) bits_per_ns: u64,
    queue_ns_max: u64,
    free_at: u64,
    /// Longest queue since it was last asked for.
    pub(super) queue_ns: u64,
    /// Frames.
    pub(super) carried: u64,
    pub(super) lost: u64,
}

impl Wire {
    fn new(bits_per_ns: u64, queue_ns_max: u64) -> Wire {
        Wire { bits_per_ns, queue_ns_max, free_at: 0, queue_ns: 0, carried: 0, lost: 0 }
    }

    /// When what is sent now has left it; `None`: the queue was full.
    fn pass(&mut self, now: u64, bytes: usize) -> Option<u64> {
        let waits = self.free_at.saturating_sub(now);
        if waits > self.queue_ns_max {
            self.lost += 1;
            return None;
        }
        self.free_at = self.free_at.max(now) + bytes as u64 * 8 / self.bits_per_ns;
        self.queue_ns = self.queue_ns.max(waits);
        self.carried += 1;
        Some(self.free_at)
    }
}

type Way = VecDeque<(u64, Vec<u8>)>;

/// A link over the bottleneck: end 0 sends, end 1 takes in.
pub(super) struct Flow {
    pub(super) links: [Link; 2],
    pools: [Pool; 2],
    ways: [Way; 2],
    /// The sender's own.
    pub(super) wire: Wire,
    /// Messages of a frame each that it sends as soon as it may.
    pub(super) left: u64,
    /// The core of the end that takes in does something else until then.
    pub(super) away_until: u64,
    /// How long a turn of the end that sends lasts, and one of the end that takes in.
    pub(super) turns_ns: [u64; 2],
    next: [u64; 2],
    /// Bytes of frames that came for the first time, and when each message came to either end.
    pub(super) bytes: u64,
    pub(super) came: [Vec<(u64, u64)>; 2],
    /// When each large message came whole.
    pub(super) large_came: Vec<(u64, u64)>,
}

impl Flow {
    fn new(index: u16, limits: LinkLimits, now: u64) -> Flow {
        let pools = [0, 1].map(|_| Pool::new(400, PAYLOAD));
        let link = |end: u16| {
            let endpoint = |end| Endpoint { agent_box: end, reactor: index as u8 };
            let config = LinkConfig {
                local: endpoint(end),
                peer: endpoint(1 - end),
                payload_bytes_max: PAYLOAD,
                schemas: schemas(1),
                nonce: u64::from(1 + 2 * index + end),
                life: 1,
                limits,
                secret: None,
            };
            Link::new(config, &pools[usize::from(end)], now)
        };
        Flow {
            links: [link(0), link(1)],
            pools,
            ways: Default::default(),
            wire: Wire::new(u64::MAX, u64::MAX),
            left: 0,
            away_until: 0,
            turns_ns: [TURN_NS; 2],
            next: [0; 2],
            bytes: 0,
            came: Default::default(),
            large_came: Vec::new(),
        }
    }

    pub(super) fn window(&self) -> u64 {
        self.links[0].live.as_ref().unwrap().outbound.window()
    }

    /// Whether this end could send one more message.
    pub(super) fn send(&mut self, end: usize, body: usize) -> bool {
        let bytes = MessageHeader::BYTES + body;
        let Some(tail) = self.links[end].open(&self.pools[end], bytes) else { return false };
        let (number, length) = (self.next[end].into(), (body as u32).into());
        MessageHeader { destination: 1.into(), number, length, ..Default::default() }.emit(tail);
        self.links[end].close(bytes, 0, self.next[end], None);
        self.next[end] += 1;
        true
    }

    fn take_in(&mut self, end: usize, now: u64) {
        while let Some((_, bytes)) = self.ways[end].pop_front_if(|(at, _)| *at <= now) {
            let mut frame = self.pools[end].take().unwrap();
            frame.bytes_mut().unwrap()[..bytes.len()].copy_from_slice(&bytes);
            frame.truncate(bytes.len());
            let Ok(arrival) = self.links[end].receive(now, frame) else { continue };
            self.bytes += if end == 1 { bytes.len() as u64 } else { 0 };
            let Some(packet) = arrival.packet else { continue };
            let mut records = arrival.records();
            while let Some(message) = records.next_message() {
                self.came[end].push((message.header.number.get(), now));
            }
            self.links[end].finish(packet, &[]);
        }
        while let Some(event) = self.links[end].next_event() {
            let LinkEvent::Large { record } = event else { continue };
            let header = MessageHeader::parse(&record).unwrap().header;
            let name = Named {
                source: header.source.get(),
                space: header.space.get(),
                destination: header.destination.get(),
                number: header.number.get(),
            };
            self.large_came.push((name.number, now));
            self.links[end].settle_by_name(name, 0);
        }
    }

    fn flush(&mut self, end: usize, now: u64) -> impl Iterator<Item = Vec<u8>> + use<> {
        let (mut out, to) = (VecDeque::new(), SocketAddr::from(([127, 0, 0, 1], 1)));
        self.links[end].flush(now, &self.pools[end], &mut out, to);
        out.into_iter().map(|Outgoing { frame, .. }| frame.to_vec())
    }
}

pub(super) struct World {
    pub(super) now: u64,
    pub(super) wire: Wire,
    pub(super) flows: Vec<Flow>,
    /// When frames are at the switch, and whose they are.
    to_switch: VecDeque<(u64, usize, Vec<u8>)>,
    pub(super) random: Random,
    pub(super) loss_percent: u64,
}

impl World {
    /// Links that are open and have nothing to say. What they send is at the switch at once.
    pub(super) fn new(flows: u16, bits_per_ns: u64, queue_ns_max: u64) -> World {
        World::with_limits(LinkLimits::default(), flows, bits_per_ns, queue_ns_max)
    }

    pub(super) fn with_limits(
        limits: LinkLimits,
        flows: u16,
        bits_per_ns: u64,
        queue_ns_max: u64,
    ) -> World {
        let mut world = World {
            now: START_NS,
            wire: Wire::new(bits_per_ns, queue_ns_max),
            flows: (0..flows).map(|index| Flow::new(index, limits, START_NS)).collect(),
            to_switch: VecDeque::new(),
            random: Random(7),
            loss_percent: 0,
        };
        world.run(2 * MS);
        assert!(world.flows.iter().all(|flow| flow.links[0].is_open()));
        world
    }

    pub(super) fn turn(&mut self) {
        self.now += TURN_NS;
        let (now, lost) = (self.now, self.loss_percent);
        for (index, flow) in self.flows.iter_mut().enumerate() {
            let [slow_sender, slow_taker] = flow.turns_ns.map(|ns| !now.is_multiple_of(ns));
            if now >= flow.away_until && !slow_taker {
                flow.take_in(1, now);
                for bytes in flow.flush(1, now) {
                    if !self.random.percent(lost) {
                        flow.ways[0].push_back((now + WAY_NS, bytes));
                    }
                }
            }
            if slow_sender {
                continue;
            }
            flow.take_in(0, now);
            while flow.left > 0 && flow.send(0, BODY) {
                flow.left -= 1;
            }
            // Machines do not take their turns together.
            let leaves = now + self.random.below(TURN_NS);
            for bytes in flow.flush(0, now) {
                let at = flow.wire.pass(leaves, bytes.len()).expect("it is never full");
                self.to_switch.push_back((at, index, bytes));
            }
        }
        self.switch();
    }

    /// Whatever comes to the switch before the next turn goes on, or is lost.
    fn switch(&mut self) {
        let (next, lost) = (self.now + TURN_NS, self.loss_percent);
        self.to_switch.make_contiguous().sort_by_key(|(at, ..)| *at);
        while let Some((at, index, bytes)) = self.to_switch.pop_front_if(|(at, ..)| *at < next) {
            let passes = !self.random.percent(lost);
            if let Some(at) = self.wire.pass(at, bytes.len()).filter(|_| passes) {
                self.flows[index].ways[1].push_back((at + WAY_NS, bytes));
            }
        }
    }

    pub(super) fn run(&mut self, ns: u64) {
        let end = self.now + ns;
        while self.now < end {
            self.turn();
        }
    }

    /// Runs, and says which share of the wire each flow had, in thousandths, and the longest queue.
    pub(super) fn measure(&mut self, ns: u64) -> (Vec<u64>, u64) {
        let before: Vec<_> = self.flows.iter().map(|flow| flow.bytes).collect();
        self.wire.queue_ns = 0;
        self.run(ns);
        let full = ns * self.wire.bits_per_ns / 8;
        let bytes = self.flows.iter().zip(before).map(|(flow, before)| flow.bytes - before);
        (bytes.map(|bytes| 1000 * bytes / full).collect(), self.wire.queue_ns)
    }
}
