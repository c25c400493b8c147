//! Links that share a bottleneck, in virtual time: a wire of some rate, with a queue of some length before
//! it. What comes back has a way of its own.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::super::*;
use super::world::{Random, record, schemas};
use crate::driver::Outgoing;
use crate::limits::QUEUE_NS;

const PAYLOAD: usize = 1472;
/// A turn of each end.
const TURN_NS: u64 = 5_000;
const MS: u64 = 1_000_000;
/// One way, without the queue.
const WAY_NS: u64 = 45_000;
/// A quarter of a second before all that were slowed down hold back.
const START_NS: u64 = 7_750 * MS;

struct Wire {
    bits_per_ns: u64,
    queue_ns_max: u64,
    free_at: u64,
    /// Longest queue since it was last asked for.
    queue_ns: u64,
    lost: u64,
}

impl Wire {
    /// When what is sent now has left it; `None`: the queue was full.
    fn pass(&mut self, now: u64, bytes: usize) -> Option<u64> {
        let waits = self.free_at.saturating_sub(now);
        if waits > self.queue_ns_max {
            self.lost += 1;
            return None;
        }
        self.free_at = self.free_at.max(now) + bytes as u64 * 8 / self.bits_per_ns;
        self.queue_ns = self.queue_ns.max(waits);
        Some(self.free_at)
    }
}

type Way = VecDeque<(u64, Vec<u8>)>;

/// A link over the bottleneck: end 0 sends, end 1 takes in.
struct Flow {
    links: [Link; 2],
    pools: [Pool; 2],
    ways: [Way; 2],
    /// It sends as much as it may.
    is_bulk: bool,
    /// The core of the end that takes in does something else until then.
    away_until: u64,
    /// How long a turn of the end that sends lasts, and one of the end that takes in.
    turns_ns: [u64; 2],
    next: u64,
    /// Bytes of frames that came for the first time, and when each message came.
    bytes: u64,
    came: Vec<(u64, u64)>,
}

impl Flow {
    fn new(index: u16, now: u64) -> Flow {
        let pools = [0, 1].map(|_| Pool::new(1200, PAYLOAD));
        let link = |end: u16| {
            let endpoint = |end| Endpoint { agent_box: end, reactor: index as u8 };
            let config = LinkConfig {
                local: endpoint(end),
                peer: endpoint(1 - end),
                payload_bytes_max: PAYLOAD,
                schemas: schemas(1),
                nonce: u64::from(1 + 2 * index + end),
                life: 1,
                limits: LinkLimits::default(),
                secret: None,
            };
            Link::new(config, &pools[usize::from(end)], now)
        };
        Flow {
            links: [link(0), link(1)],
            pools,
            ways: Default::default(),
            is_bulk: false,
            away_until: 0,
            turns_ns: [TURN_NS; 2],
            next: 0,
            bytes: 0,
            came: Vec::new(),
        }
    }

    fn window(&self) -> u64 {
        self.links[0].live.as_ref().unwrap().outbound.window()
    }

    fn send(&mut self, body: usize) -> bool {
        let bytes = MessageHeader::BYTES + body;
        let Some(tail) = self.links[0].open(&self.pools[0], bytes) else { return false };
        let (number, length) = (self.next.into(), (body as u32).into());
        MessageHeader { destination: 1.into(), number, length, ..Default::default() }.emit(tail);
        self.links[0].close(bytes, 0, self.next);
        self.next += 1;
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
            let numbers = arrival.messages().map(|it| (it.header.number.get(), now));
            self.came.extend(numbers);
            self.links[end].finish(packet, &[]);
        }
        while self.links[end].next_event().is_some() {}
    }

    fn flush(&mut self, end: usize, now: u64) -> impl Iterator<Item = Vec<u8>> + use<> {
        let (mut out, to) = (VecDeque::new(), SocketAddr::from(([127, 0, 0, 1], 1)));
        self.links[end].flush(now, &self.pools[end], &mut out, to);
        out.into_iter().map(|Outgoing { frame, .. }| frame.to_vec())
    }
}

struct World {
    now: u64,
    wire: Wire,
    flows: Vec<Flow>,
    random: Random,
    loss_percent: u64,
}

impl World {
    /// Links that are open and have nothing to say.
    fn new(flows: u16, bits_per_ns: u64, queue_ns_max: u64) -> World {
        let wire = Wire { bits_per_ns, queue_ns_max, free_at: 0, queue_ns: 0, lost: 0 };
        let all = (0..flows).map(|index| Flow::new(index, START_NS)).collect();
        let random = Random(7);
        let mut world = World { now: START_NS, wire, flows: all, random, loss_percent: 0 };
        world.run(2 * MS);
        assert!(world.flows.iter().all(|flow| flow.links[0].is_open()));
        world
    }

    fn turn(&mut self) {
        self.now += TURN_NS;
        let (now, lost) = (self.now, self.loss_percent);
        for flow in &mut self.flows {
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
            while flow.is_bulk && flow.send(PAYLOAD - 112) {}
            for bytes in flow.flush(0, now) {
                let passes = !self.random.percent(lost);
                if let Some(at) = self.wire.pass(now, bytes.len()).filter(|_| passes) {
                    flow.ways[1].push_back((at + WAY_NS, bytes));
                }
            }
        }
    }

    fn run(&mut self, ns: u64) {
        let end = self.now + ns;
        while self.now < end {
            self.turn();
        }
    }

    /// Runs, and says which share of the wire each flow had, in thousandths, and the longest queue.
    fn measure(&mut self, ns: u64) -> (Vec<u64>, u64) {
        let before: Vec<_> = self.flows.iter().map(|flow| flow.bytes).collect();
        self.wire.queue_ns = 0;
        self.run(ns);
        let full = ns * self.wire.bits_per_ns / 8;
        let bytes = self.flows.iter().zip(before).map(|(flow, before)| flow.bytes - before);
        (bytes.map(|bytes| 1000 * bytes / full).collect(), self.wire.queue_ns)
    }
}

fn start(world: &mut World) {
    world.flows.iter_mut().for_each(|flow| flow.is_bulk = true);
}

#[test]
fn one_link_uses_the_wire_and_keeps_the_queue_short() {
    for bits_per_ns in [1, 10] {
        let mut world = World::new(1, bits_per_ns, 100 * MS);
        start(&mut world);
        let (_, queue) = world.measure(20 * MS);
        assert!(queue < 6 * QUEUE_NS, "while it finds out: {queue}");
        let (share, queue) = world.measure(30 * MS);
        assert!(share[0] >= 900, "{share:?}");
        assert!(queue < 2 * QUEUE_NS, "{queue}");
    }
}

#[test]
fn two_links_that_begin_at_different_times_have_equal_shares() {
    let mut world = World::new(2, 1, 100 * MS);
    world.flows[0].is_bulk = true;
    world.run(50 * MS);
    start(&mut world);
    // The later one took the queue of the first for the way's length, until both held back.
    world.run(250 * MS);
    let (shares, queue) = world.measure(100 * MS);
    assert!(shares.iter().sum::<u64>() >= 900, "{shares:?}");
    assert!(shares[0].abs_diff(shares[1]) * 5 < shares[0], "{shares:?}");
    assert!(queue < 2 * QUEUE_NS, "{queue}");
}

#[test]
fn sixteen_links_into_one_fill_it_and_all_get_a_part() {
    let mut world = World::new(16, 10, 4 * QUEUE_NS);
    start(&mut world);
    world.run(15 * MS);
    let lost = world.wire.lost;
    let (shares, queue) = world.measure(30 * MS);
    assert!(shares.iter().sum::<u64>() >= 900, "{shares:?}");
    assert!(shares.iter().all(|share| *share > 1000 / 16 / 4), "{shares:?}");
    assert!(queue < 3 * QUEUE_NS, "{queue}");
    assert_eq!(world.wire.lost, lost, "nothing is lost once it has found out");
}

#[test]
fn a_queue_too_short_to_be_seen_is_noticed_by_what_it_loses() {
    let mut world = World::new(1, 10, QUEUE_NS / 2);
    start(&mut world);
    world.run(10 * MS);
    let lost = world.wire.lost;
    let (share, _) = world.measure(30 * MS);
    assert!(share[0] >= 900, "{share:?}");
    assert!((world.wire.lost - lost) * 100 < 30 * MS * 10 / 8 / PAYLOAD as u64, "under 1 %");
}

#[test]
fn a_peer_whose_core_was_away_is_not_congestion() {
    for away_ns in [MS, 100 * MS] {
        let mut world = World::new(1, 10, 100 * MS);
        start(&mut world);
        world.run(10 * MS);
        let window = world.flows[0].window();
        world.flows[0].away_until = world.now + away_ns;
        world.run(away_ns);
        let (share, _) = world.measure(10 * MS);
        // By itself it goes up and down by an eighth.
        let after = world.flows[0].window();
        assert!(after >= window * 3 / 4, "{after} of {window}");
        assert!(share[0] >= 900, "{share:?}");
    }
}

#[test]
fn turns_that_take_long_are_not_congestion() {
    for turns_ns in [[TURN_NS, 80 * TURN_NS], [80 * TURN_NS, TURN_NS], [80 * TURN_NS; 2]] {
        let mut world = World::new(1, 10, 100 * MS);
        world.flows[0].turns_ns = turns_ns;
        start(&mut world);
        world.run(200 * MS);
        let window = world.flows[0].window();
        assert!(window > 200, "{window} with turns of {turns_ns:?}");
    }
}

#[test]
fn loss_without_a_queue_is_not_congestion() {
    let mut world = World::new(1, 10, 100 * MS);
    world.loss_percent = 30;
    start(&mut world);
    world.run(20 * MS);
    let (share, _) = world.measure(50 * MS);
    assert!(share[0] > 600, "{share:?} of 700 that arrive");
}

/// Times, ascending, that asks of 64 bytes take; `large`: beside a message of so many bytes.
fn asks(bits_per_ns: u64, large: usize) -> Vec<u64> {
    let mut world = World::new(1, bits_per_ns, 100 * MS);
    if large > 0 {
        world.flows[0].links[0].send_large(record(0, 1, 1, 0, large), 1, 0).unwrap();
    }
    let mut asked = Vec::new();
    while asked.len() < 200 || world.flows[0].links[0].live.as_ref().unwrap().cutter.has_more() {
        asked.push(world.now);
        assert!(world.flows[0].send(64));
        world.run(20 * TURN_NS);
    }
    world.run(10 * MS);
    let came = &world.flows[0].came;
    assert_eq!(came.len(), asked.len());
    let mut times: Vec<_> =
        came.iter().map(|(at, now)| now - asked[*at as usize] + WAY_NS).collect();
    times.sort_unstable();
    times
}

#[test]
fn an_ask_beside_a_message_of_16_mib_takes_less_than_three_times_as_long() {
    let p99 = |times: Vec<u64>| times[times.len() * 99 / 100];
    for bits_per_ns in [1, 10] {
        let (alone, beside) = (p99(asks(bits_per_ns, 0)), p99(asks(bits_per_ns, 16 << 20)));
        assert!(beside <= 3 * alone, "{beside} beside, {alone} alone");
    }
}
