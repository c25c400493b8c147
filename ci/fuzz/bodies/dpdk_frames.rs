//! Any frames to a port of the driver dpdk, in one buffer or in several, of whose checksums it is told anything, and
//! words between neighbours, while frames are held and sent: each datagram among them is handed up, in order, and
//! nothing else; at the end everybody has his buffers back.
//!
//! An input is a row of steps: a byte that says what, and what it needs.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use daedal_net::driver::dpdk::{Config, Dpdk, Port};
use daedal_net::driver::headers::{BYTES_V4, Checksums, Mac, Template, Verdict, Verdicts, parse};
use daedal_net::driver::{DATAGRAM_ALIGN, Driver, Outgoing, Received, neighbour};
use daedal_net::pool::HEADROOM_BYTES;

#[path = "../../../net/tests/drivers/dpdk/switch.rs"]
#[expect(dead_code, reason = "tests of the driver have more ports")]
mod switch;

use switch::Switch;

/// Of one input: fewer than a ring has entries.
const STEPS_MAX: usize = 256;
const FRAMES: usize = 16;
/// What the switch has room for.
const FRAME_BYTES_MAX: usize = 2048;
const RECEIVE_BUFFERS: usize = 16;
const HERE: [u8; 4] = [10, 0, 0, 1];
const MACS: [Mac; 2] = [[2, 0, 10, 0, 0, 2], [2, 0, 10, 0, 0, 1]];
/// How long a frame waits for its neighbour, and more, in nanoseconds.
const LONG_NS: u64 = 10_000_000_000;

/// What was injected, and was not received yet.
struct Injected {
    bytes: Vec<u8>,
    said: [u8; 2],
    is_whole: bool,
}

struct World {
    driver: Dpdk,
    /// Before the switch, whose end it has.
    _port: Arc<Port>,
    switch: Switch,
    now: u64,
    injected: VecDeque<Injected>,
    held: Vec<(Received, Vec<u8>)>,
}

/// As [`dpdk_sys`] says it.
fn verdict(said: u8) -> Verdict {
    match said {
        dpdk_sys::SAYS_GOOD => Verdict::Good,
        dpdk_sys::SAYS_BAD => Verdict::Bad,
        _ => Verdict::None,
    }
}

impl World {
    fn new() -> World {
        // One port before there is a switch, so that DPDK runs.
        const EAL: &str = "--no-huge -m 128";
        let options = |text: String| text.parse().expect("options");
        let first = Port::open(HERE.into(), options(format!("net_null0 {EAL}")), 1, 1);
        drop(first.expect("DPDK runs"));
        let mut switch = Switch::new(true);
        let device = switch.plug(MACS[1], 1);
        let port = Port::open(HERE.into(), options(format!("{device} {EAL}")), 1, RECEIVE_BUFFERS);
        let port = port.expect("there is such a port");
        let bind = SocketAddr::from((HERE, 7200));
        let config = Config { frames: FRAMES, ..Config::new(bind, 0, &port) };
        let driver = Dpdk::start(&port, &config).expect("nobody has its queue");
        let (injected, held) = (VecDeque::new(), Vec::new());
        World { driver, _port: port, switch, now: 0, injected, held }
    }

    fn inject(&mut self, bytes: Vec<u8>, said: [u8; 2], in_parts: bool) {
        // What is empty has no parts.
        let in_parts = in_parts && !bytes.is_empty();
        let (is_whole, said) = if in_parts {
            (self.switch.inject_in_parts(&bytes) == 1, [0; 2])
        } else {
            self.switch.inject_said(&bytes, said);
            (true, said)
        };
        self.injected.push_back(Injected { bytes, said, is_whole });
    }

    /// A frame that is to be received, of so many bytes of payload.
    fn whole(&self, payload_bytes: usize) -> Vec<u8> {
        let from = SocketAddr::from(([10, 0, 0, 2], 9));
        let template = Template::new(MACS, from, self.driver.address()).expect("of one family");
        let payload = vec![payload_bytes as u8; payload_bytes];
        [&template.emit(&payload, Checksums::NONE)[..], &payload].concat()
    }

    /// The datagram that a frame is.
    fn expected(&self, it: &Injected) -> Option<(SocketAddr, Vec<u8>)> {
        let (headers, rest) = it.bytes.split_at_checked(BYTES_V4)?;
        let is_ours = headers[..6] == MACS[1] || headers[0] & 1 == 1;
        let verdicts = Verdicts { ip: verdict(it.said[0]), udp: verdict(it.said[1]) };
        let datagram = parse(self.driver.address(), headers, rest, verdicts).ok()?;
        let is_datagram = it.is_whole && is_ours;
        is_datagram.then(|| (datagram.from, rest[..datagram.payload_bytes].to_vec()))
    }

    fn receive(&mut self, limit: usize) -> usize {
        let mut into = Vec::new();
        let count = self.driver.receive(self.now, limit, &mut into);
        assert!(count <= limit && count == into.len());
        for received in into {
            let (from, payload) = self.next_datagram().expect("it was injected");
            let frame = &received.frame;
            assert!(!payload.is_empty() && payload.len().is_multiple_of(DATAGRAM_ALIGN));
            assert_eq!(frame.as_ptr() as usize % DATAGRAM_ALIGN, HEADROOM_BYTES % DATAGRAM_ALIGN);
            assert!(received.from == from && frame[..] == payload);
            self.held.push((received, payload));
        }
        // Answers and questions.
        self.switch.outgoing();
        count
    }

    fn next_datagram(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        while let Some(it) = self.injected.pop_front() {
            let expected = self.expected(&it);
            if expected.is_some() {
                return expected;
            }
        }
        None
    }

    /// Gives back frames, which are as they came.
    fn give_back(&mut self, count: usize, at: usize) {
        for _ in 0..count.min(self.held.len()) {
            let (received, payload) = self.held.swap_remove(at % self.held.len());
            assert!(received.frame[..] == payload);
        }
    }

    /// Sends to a host of its network, where nobody may be.
    fn send(&mut self, host: u8, bytes: usize) {
        let Some(mut frame) = self.driver.pool().take() else { return };
        frame.truncate(bytes);
        let to = SocketAddr::from(([10, 0, 0, host], 9));
        self.driver.transmit(self.now, &mut [Outgoing { frame, to }].into());
        self.switch.outgoing();
        self.driver.reclaim();
    }

    fn settle(&mut self) {
        self.give_back(usize::MAX, 0);
        while self.receive(usize::MAX) > 0 {
            self.give_back(usize::MAX, 0);
        }
        assert!(self.next_datagram().is_none());
        self.now += LONG_NS;
        self.receive(0);
        self.driver.reclaim();
        assert!(self.switch.is_whole());
        for pool in [self.driver.pool(), self.driver.receive_pool()] {
            assert_eq!(pool.frames_free(), pool.frames_count());
        }
    }
}

thread_local! {
    // A process has one DPDK.
    static WORLD: RefCell<World> = RefCell::new(World::new());
}

/// One input.
pub fn run(data: &[u8]) {
    WORLD.with_borrow_mut(|world| run_in(world, data));
}

fn run_in(world: &mut World, data: &[u8]) {
    let before = world.driver.counters();
    let mut injected_count = 0;
    let mut data = data.iter().copied();
    for _ in 0..STEPS_MAX {
        let Some(step) = data.next() else { break };
        let mut number = |count: usize| {
            (0..count).fold(0, |sum, _| sum << 8 | usize::from(data.next().unwrap_or(0)))
        };
        match step % 8 {
            // A frame that is whole, and what became of it, with something behind it; in parts, or with what is said of it.
            it @ (0 | 1) => {
                let mut frame = world.whole(number(1) * DATAGRAM_ALIGN % 2000);
                for _ in 0..step / 8 % 4 {
                    let at = number(2) % frame.len();
                    frame[at] ^= number(1) as u8;
                }
                if step & 64 != 0 {
                    frame.resize((frame.len() + number(1) * 4).min(FRAME_BYTES_MAX), 0);
                }
                let said = number(1) as u8;
                world.inject(frame, [said & 3, said >> 2 & 3], it == 1);
                injected_count += 1;
            }
            // Any bytes.
            2 => {
                let (said, count) = (number(1) as u8, number(1));
                let frame = (0..count).map(|_| number(1) as u8).collect();
                world.inject(frame, [said & 3, said >> 2 & 3], said & 16 != 0);
                injected_count += 1;
            }
            // A word of a neighbour.
            3 => {
                let (host, about) = ([10, 0, 0, number(1) as u8], [10, 0, 0, number(1) as u8]);
                let (his, ours) = ((host.into(), MACS[0]), (HERE.into(), MACS[1]));
                let letter = match step & 8 {
                    0 => neighbour::question(his, about.into()),
                    _ => neighbour::answer(his, ours),
                };
                let mut letter = letter.expect("of one family").to_vec();
                let at = number(1) % letter.len();
                letter[at] ^= number(1) as u8;
                world.inject(letter, [0; 2], false);
                injected_count += 1;
            }
            4 => world.give_back(number(1), number(1)),
            5 => world.now += number(1) as u64 * 100_000_000,
            6 => world.send(number(1) as u8, number(1) % 64 * DATAGRAM_ALIGN),
            _ => drop(world.receive(number(1))),
        }
    }
    world.settle();
    let counters = world.driver.counters();
    let received = counters.received - before.received;
    assert!(received + counters.malformed - before.malformed <= injected_count);
}
