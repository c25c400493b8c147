//! Many frames at once, to a second process that sends them back, holds still, or dies.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use daedal_lab::Lab;
use daedal_net::driver::dpdk::{Dpdk, RECEIVE_BUFFERS};
use daedal_net::driver::{Driver, Outgoing, Received};

use crate::filled::{assert_filled, fill};
use crate::second::{COUNT, ECHO, HOLD, Second, by_sockets, is_whole};
use crate::{ENDS, PATIENCE, alone, converse, now, open, required};

/// What was sent, and what is back.
struct Flow {
    to: SocketAddr,
    begun: Instant,
    queue: VecDeque<Outgoing>,
    /// The number of its first frame, and of its next.
    first: u64,
    offered: u64,
    back: Vec<Received>,
}

impl Flow {
    /// Whose frames no other frames of the test are alike.
    fn new() -> Flow {
        static FLOWS: AtomicU64 = AtomicU64::new(1);
        let first = FLOWS.fetch_add(1, Ordering::Relaxed) << 40;
        let (to, begun) = (ENDS[1].parse().unwrap(), Instant::now());
        Flow { to, begun, queue: VecDeque::new(), first, offered: first, back: Vec::new() }
    }

    /// Queues so many frames, or as many as the pool has.
    fn offer(&mut self, driver: &Dpdk, count: usize) {
        for _ in 0..count {
            let Some(mut frame) = driver.pool().take() else { return };
            frame.truncate(bytes(self.offered));
            fill(self.offered, frame.bytes_mut().unwrap());
            self.queue.push_back(Outgoing { frame, to: self.to });
            self.offered += 1;
        }
    }

    /// One turn: how many came back.
    fn turn(&mut self, driver: &mut Dpdk) -> usize {
        let (now, before) = (now(self.begun), self.back.len());
        driver.transmit(now, &mut self.queue);
        driver.reclaim();
        driver.receive(now, 32, &mut self.back);
        // Others may be late.
        self.back.retain(|it| seed(it) >= self.first);
        self.back.len() - before
    }

    /// One turn, with more to send.
    fn go_on(&mut self, driver: &mut Dpdk) -> usize {
        assert!(self.begun.elapsed() < PATIENCE, "{}: {:?}", driver.mode(), driver.counters());
        self.offer(driver, 32);
        self.turn(driver)
    }

    /// Turns until it is so.
    fn until(&mut self, driver: &mut Dpdk, is_so: impl Fn(&Flow, &Dpdk) -> bool) {
        let begun = Instant::now();
        while !is_so(self, driver) {
            let said = (self.queue.len(), self.back.len(), driver.counters());
            assert!(begun.elapsed() < PATIENCE, "{}: {said:?}", driver.mode());
            self.turn(driver);
        }
    }
}

impl Flow {
    /// Everything that was offered since `first` is back, in order and as it was.
    fn assert_all_back(&mut self, first: u64) {
        assert_eq!(self.back.len() as u64, self.offered - first);
        self.assert_filled_from(first);
    }

    /// What is back begins with that frame, has those behind it, and each as it was.
    fn assert_filled_from(&mut self, first: u64) {
        for (seed, received) in (first..).zip(self.back.drain(..)) {
            assert_filled(&received, self.to, seed, bytes(seed));
        }
    }
}

fn seed(received: &Received) -> u64 {
    u64::from_le_bytes(received.frame[..8].try_into().unwrap())
}

/// Of that frame.
fn bytes(seed: u64) -> usize {
    64 + 16 * (seed as usize % 80)
}

#[test]
fn processes_go_on_when_one_is_killed_while_frames_are_on_their_way() {
    alone("bursts::processes_go_on_when_one_is_killed_while_frames_are_on_their_way", || {
        if required(open("net_null0", 0)).is_none() {
            return;
        }
        for (_socket, server, client) in by_sockets() {
            // Who listens stays, and who comes there dies.
            let mut driver = open(&server, 0).unwrap();
            check_killed(&mut driver, &client);
        }
    });
}

fn check_killed(driver: &mut Dpdk, there: &str) {
    for _ in 0..3 {
        let second = Second::start(there);
        converse(driver, 100);
        let mut flow = Flow::new();
        let mut go_on = |flow: &mut Flow| {
            flow.back.clear();
            flow.go_on(driver)
        };
        let mut came = 0;
        while came < 1000 {
            came += go_on(&mut flow);
        }
        second.kill(|| {
            go_on(&mut flow);
        });
        for _ in 0..1000 {
            go_on(&mut flow);
        }
    }
    let _second = Second::start(there);
    converse(driver, 100);
    let mut flow = Flow::new();
    flow.until(driver, |_, driver| is_whole(driver));
}

/// Runs a test over each kind of wire, in a process of its own.
fn over_each(name: &str, test: fn(&mut Dpdk, &mut Second)) {
    alone(&format!("bursts::{name}"), || {
        let Some(lab) = required(Lab::pair()) else { return };
        lab.enter(0);
        if required(open("net_null0", 0)).is_none() {
            return;
        }
        let run = |here: &str, mut second: Second| {
            let mut driver = open(here, 0).unwrap();
            converse(&mut driver, 100);
            test(&mut driver, &mut second);
        };
        for (_socket, server, client) in by_sockets() {
            run(&client, Second::start(&server));
        }
        let there = lab.within(1, || Second::start("net_af_packet1,iface=lab"));
        run("net_af_packet0,iface=lab", there);
    });
}

#[test]
fn between_processes_bursts_arrive_whole_and_unaltered() {
    over_each("between_processes_bursts_arrive_whole_and_unaltered", |driver, _| {
        let mut flow = Flow::new();
        for burst in [1, 2, 3, 31, 32, 33, 64, 65, 100] {
            let first = flow.offered;
            flow.offer(driver, burst);
            flow.until(driver, |flow, _| flow.back.len() == burst);
            flow.assert_all_back(first);
        }
        assert_eq!(driver.counters().malformed, 0);
    });
}

#[test]
fn between_processes_exhausted_receive_buffers_give_fewer_frames_and_never_block() {
    let name = "between_processes_exhausted_receive_buffers_give_fewer_frames_and_never_block";
    over_each(name, |driver, _| {
        let mut flow = Flow::new();
        while driver.counters().starved == 0 {
            flow.go_on(driver);
        }
        assert_eq!((flow.back.len(), driver.receive_pool().frames_free()), (RECEIVE_BUFFERS, 0));
        for _ in 0..100 {
            assert_eq!(flow.go_on(driver), 0);
        }
        for received in &flow.back {
            assert_filled(received, flow.to, seed(received), bytes(seed(received)));
        }
        drop(flow);
        converse(driver, 100);
    });
}

#[test]
fn between_processes_what_a_full_ring_does_not_take_stays_and_goes_later() {
    let name = "between_processes_what_a_full_ring_does_not_take_stays_and_goes_later";
    over_each(name, |driver, second| {
        // There the kernel takes all, and loses what nobody reads.
        if driver.mode().contains("af_packet") {
            return;
        }
        let before = driver.counters();
        second.tell(HOLD);
        let mut flow = Flow::new();
        flow.offer(driver, RECEIVE_BUFFERS);
        for _ in 0..100 {
            flow.turn(driver);
        }
        let kept = flow.queue.len();
        assert!(kept > 0 && flow.back.is_empty());
        for _ in 0..100 {
            flow.turn(driver);
        }
        assert_eq!((flow.queue.len(), driver.counters().refused), (kept, before.refused));
        second.tell(ECHO);
        flow.until(driver, |flow, _| flow.back.len() as u64 == flow.offered - flow.first);
        flow.assert_all_back(flow.first);
    });
}

#[test]
fn between_processes_no_frame_leaks_in_many() {
    over_each("between_processes_no_frame_leaks_in_many", |driver, second| {
        /// That are on their way at once: fewer than the smallest of the rings holds.
        const AWAY: u64 = 128;
        let many = std::env::var("DAEDAL_FRAMES").map_or(100_000, |it| it.parse().unwrap());
        let mut flow = Flow::new();
        let mut seen = flow.first;
        while seen - flow.first < many {
            let left = (many + flow.first - flow.offered).min(AWAY - (flow.offered - seen));
            flow.offer(driver, left as usize);
            flow.until(driver, |flow, _| !flow.back.is_empty());
            let came = flow.back.len() as u64;
            flow.assert_filled_from(seen);
            seen += came;
        }
        // virtio looks at what the other is done with only when its ring is nearly full.
        let ring = if driver.mode().contains("virtio") { 256 } else { 0 };
        flow.until(driver, |_, driver| {
            driver.pool().frames_count() - driver.pool().frames_free() <= ring
        });
        assert_eq!(driver.receive_pool().frames_free(), RECEIVE_BUFFERS);
        second.tell(COUNT);
    });
}

#[test]
fn processes_go_on_when_an_interface_was_down_by_af_packet() {
    alone("bursts::processes_go_on_when_an_interface_was_down_by_af_packet", || {
        let Some(lab) = required(Lab::pair()) else { return };
        lab.enter(0);
        let Some(mut driver) = required(open("net_af_packet0,iface=lab", 0)) else { return };
        let mut second = lab.within(1, || Second::start("net_af_packet1,iface=lab"));
        for end in [0, 1, 0] {
            converse(&mut driver, 100);
            lab.ip(&format!("-n {{{end}}} link set lab down")).unwrap();
            let (mut flow, before) = (Flow::new(), driver.counters());
            for _ in 0..1000 {
                flow.go_on(&mut driver);
            }
            assert!(flow.back.is_empty());
            // Taken, refused, or kept here: none is nowhere.
            let after = driver.counters();
            let gone = after.sent - before.sent + after.refused - before.refused;
            assert_eq!(gone + flow.queue.len() as u64, flow.offered - flow.first);
            lab.ip(&format!("-n {{{end}}} link set lab up")).unwrap();
            flow.until(&mut driver, |flow, _| flow.queue.is_empty());
        }
        converse(&mut driver, 100);
        let mut flow = Flow::new();
        flow.until(&mut driver, |_, driver| is_whole(driver));
        second.tell(COUNT);
    });
}
