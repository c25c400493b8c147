//! Faults around any driver: frames dropped, doubled, reordered and delayed, both ways, from one seed.
//!
//! For tests and for the lab, where the kernel cannot be asked to (netem is often missing). The same
//! seed over the same calls makes the same faults. What is delayed keeps its buffer on loan; it moves
//! when the driver is next called, so a caller that parks has to wake by its own timers.

use std::collections::{BTreeMap, VecDeque};

use super::{Counters, Driver, Outgoing, Received};
use crate::leave_to;

/// Frames delayed at a time in one direction; one more is not delayed. Keeps buffers from running out.
const DELAYED_MAX: usize = 64;

/// Frames that a full driver keeps waiting here, before they stay with the caller.
const READY_MAX: usize = 256;

/// Calls that a reordered frame waits for another to overtake it: two turns of a reactor.
const OVERTAKE_CALLS: u32 = 4;

/// Bursts asked of the driver below in one call, when all of what arrives is dropped.
const ROUNDS_MAX: usize = 16;

/// How often each fault happens, in millionths of the frames. All zero: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Lost.
    pub drop_ppm: u32,
    /// Sent or received twice.
    pub duplicate_ppm: u32,
    /// Overtaken by the frame after it.
    pub reorder_ppm: u32,
    /// Kept back for 1 to `delay_ns_max` nanoseconds.
    pub delay_ppm: u32,
    /// Longest delay, in nanoseconds.
    pub delay_ns_max: u64,
}

/// How many frames met each fault, both ways together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts {
    /// Lost.
    pub dropped: u64,
    /// Doubled.
    pub duplicated: u64,
    /// Kept back for the next to overtake.
    pub reordered: u64,
    /// Delayed.
    pub delayed: u64,
}

/// A driver with faults.
#[derive(Debug)]
pub struct Fault<D> {
    inner: D,
    rates: Rates,
    inbound: Lane<Received>,
    outbound: Lane<Outgoing>,
    burst: Vec<Received>,
}

impl<D: Driver> Fault<D> {
    /// `inner` with faults at `rates`, drawn from `seed`.
    pub fn new(inner: D, rates: Rates, seed: u64) -> Fault<D> {
        let mut seeds = SplitMix(seed);
        Fault {
            inner,
            rates,
            inbound: Lane::new(seeds.next()),
            outbound: Lane::new(seeds.next()),
            burst: Vec::new(),
        }
    }

    /// Changes the rates from the next frame on.
    pub fn set_rates(&mut self, rates: Rates) {
        self.rates = rates;
    }

    /// What has happened so far.
    pub fn fault_counts(&self) -> FaultCounts {
        let (a, b) = (&self.inbound.counts, &self.outbound.counts);
        FaultCounts {
            dropped: a.dropped + b.dropped,
            duplicated: a.duplicated + b.duplicated,
            reordered: a.reordered + b.reordered,
            delayed: a.delayed + b.delayed,
        }
    }
}

impl<D: Driver> Driver for Fault<D> {
    leave_to!(inner: pool, receive_pool, reclaim, address, payload_bytes_max, descriptors);

    fn receive(&mut self, now: u64, limit: usize, into: &mut Vec<Received>) -> usize {
        // Each turn receives, but only some have something to send: late frames leave here too.
        self.outbound.settle(now);
        self.inner.transmit(now, &mut self.outbound.ready);
        self.inbound.settle(now);
        for _ in 0..ROUNDS_MAX {
            if limit <= self.inbound.ready.len() {
                break;
            }
            let asked = limit - self.inbound.ready.len();
            if self.inner.receive(now, asked, &mut self.burst) == 0 {
                break;
            }
            for received in self.burst.drain(..) {
                self.inbound.pass(&self.rates, now, received);
            }
            if !self.inbound.ready.is_empty() {
                break;
            }
        }
        let count = limit.min(self.inbound.ready.len());
        into.extend(self.inbound.ready.drain(..count));
        count
    }

    fn transmit(&mut self, now: u64, frames: &mut VecDeque<Outgoing>) {
        while self.outbound.ready.len() < READY_MAX {
            let Some(out) = frames.pop_front() else { break };
            self.outbound.pass(&self.rates, now, out);
            if self.outbound.ready.len() == READY_MAX {
                self.inner.transmit(now, &mut self.outbound.ready);
            }
        }
        self.outbound.settle(now);
        self.inner.transmit(now, &mut self.outbound.ready);
    }

    /// Those of the driver below, and what was done to its frames.
    fn counters(&self) -> Counters {
        let FaultCounts { dropped, duplicated, .. } = self.fault_counts();
        let (faults_dropped, faults_doubled) = (dropped, duplicated);
        Counters { faults_dropped, faults_doubled, ..self.inner.counters() }
    }

    fn mode(&self) -> String {
        format!("fault over {}", self.inner.mode())
    }
}

/// Something that can be sent twice.
trait Double {
    fn double(&self) -> Self;
}

impl Double for Received {
    fn double(&self) -> Received {
        Received { frame: self.frame.share(), from: self.from }
    }
}

impl Double for Outgoing {
    fn double(&self) -> Outgoing {
        Outgoing { frame: self.frame.share(), to: self.to }
    }
}

/// One direction.
#[derive(Debug)]
struct Lane<T> {
    random: SplitMix,
    /// What passes next.
    ready: VecDeque<T>,
    /// What the next frame overtakes, and for how many calls it has waited.
    overtaken: Option<(T, u32)>,
    /// By time and order.
    delayed: BTreeMap<(u64, u64), T>,
    counts: FaultCounts,
}

impl<T: Double> Lane<T> {
    fn new(seed: u64) -> Lane<T> {
        Lane {
            random: SplitMix(seed),
            ready: VecDeque::new(),
            overtaken: None,
            delayed: BTreeMap::new(),
            counts: FaultCounts::default(),
        }
    }

    fn pass(&mut self, rates: &Rates, now: u64, frame: T) {
        if self.random.chance(rates.drop_ppm) {
            self.counts.dropped += 1;
            return;
        }
        if self.random.chance(rates.duplicate_ppm) {
            self.counts.duplicated += 1;
            self.place(rates, now, frame.double());
        }
        self.place(rates, now, frame);
    }

    fn place(&mut self, rates: &Rates, now: u64, frame: T) {
        if self.random.chance(rates.delay_ppm) && self.delayed.len() < DELAYED_MAX {
            self.counts.delayed += 1;
            let due = now + 1 + self.random.next() % rates.delay_ns_max.max(1);
            self.delayed.insert((due, self.counts.delayed), frame);
        } else if self.random.chance(rates.reorder_ppm) && self.overtaken.is_none() {
            self.counts.reordered += 1;
            self.overtaken = Some((frame, 0));
        } else {
            self.ready.push_back(frame);
            self.ready.extend(self.overtaken.take().map(|(frame, _)| frame));
        }
    }

    /// Makes ready what has waited long enough.
    fn settle(&mut self, now: u64) {
        while let Some(first) = self.delayed.first_entry().filter(|first| first.key().0 <= now) {
            self.ready.push_back(first.remove());
        }
        if let Some((_, calls)) = &mut self.overtaken {
            *calls += 1;
            if *calls > OVERTAKE_CALLS {
                self.ready.extend(self.overtaken.take().map(|(frame, _)| frame));
            }
        }
    }
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
#[derive(Debug)]
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn chance(&mut self, ppm: u32) -> bool {
        ppm > 0 && self.next() % 1_000_000 < u64::from(ppm)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::driver::sim::{Config, SimDriver, SimNetwork};

    fn pair(rates: Rates, seed: u64) -> (Fault<SimDriver>, SimDriver) {
        let network = SimNetwork::perfect(1);
        let start = |port| {
            let address = SocketAddr::from(([10, 0, 0, 1], port));
            SimDriver::start(&network, Config::new(address), 0).unwrap()
        };
        (Fault::new(start(1), rates, seed), start(2))
    }

    /// Sends 1,000 numbered frames through the faults, one way, and returns what arrived.
    fn run(rates: Rates, seed: u64, inbound: bool) -> (Vec<u16>, FaultCounts) {
        let (mut fault, mut plain) = pair(rates, seed);
        let (mut arrived, mut into) = (Vec::new(), Vec::new());
        for turn in 0..1_100u16 {
            let now = u64::from(turn) * 10_000;
            let mut frames = VecDeque::new();
            if turn < 1_000 {
                let driver: &dyn Driver = if inbound { &plain } else { &fault };
                let mut frame = driver.pool().take().unwrap();
                frame.truncate(16);
                frame.bytes_mut().unwrap()[..2].copy_from_slice(&turn.to_le_bytes());
                let to = if inbound { fault.address() } else { plain.address() };
                frames.push_back(Outgoing { frame, to });
            }
            if inbound {
                plain.transmit(now, &mut frames);
                fault.receive(now + 10, 64, &mut into);
            } else {
                fault.transmit(now, &mut frames);
                fault.receive(now + 10, 64, &mut Vec::new());
                plain.receive(now + 20, 64, &mut into);
            }
            assert!(frames.is_empty());
            let numbers = into.drain(..).map(|it| u16::from_le_bytes([it.frame[0], it.frame[1]]));
            arrived.extend(numbers);
        }
        assert_eq!(fault.pool().frames_free(), fault.pool().frames_count());
        let (counters, faults) = (fault.counters(), fault.fault_counts());
        let told = (counters.faults_dropped, counters.faults_doubled);
        assert_eq!(told, (faults.dropped, faults.duplicated));
        (arrived, faults)
    }

    fn rates(drop: u32, duplicate: u32, reorder: u32, delay: u32) -> Rates {
        Rates {
            drop_ppm: drop,
            duplicate_ppm: duplicate,
            reorder_ppm: reorder,
            delay_ppm: delay,
            delay_ns_max: 100_000,
        }
    }

    #[test]
    fn each_fault_happens_as_often_as_asked_both_ways() {
        for inbound in [false, true] {
            let (arrived, counts) = run(rates(0, 0, 0, 0), 1, inbound);
            assert_eq!(arrived, (0..1_000).collect::<Vec<u16>>());
            assert_eq!(counts, FaultCounts::default());

            let (arrived, counts) = run(rates(200_000, 0, 0, 0), 1, inbound);
            assert!((150..250).contains(&counts.dropped));
            assert_eq!(arrived.len() as u64, 1_000 - counts.dropped);

            let (arrived, counts) = run(rates(0, 200_000, 0, 0), 1, inbound);
            assert!((150..250).contains(&counts.duplicated));
            assert_eq!(arrived.len() as u64, 1_000 + counts.duplicated);

            for rates in [rates(0, 0, 200_000, 0), rates(0, 0, 0, 200_000)] {
                let (mut arrived, counts) = run(rates, 1, inbound);
                assert!((100..250).contains(&(counts.reordered + counts.delayed)));
                assert!(!arrived.is_sorted());
                arrived.sort_unstable();
                assert_eq!(arrived, (0..1_000).collect::<Vec<u16>>());
            }
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_faults_and_another_makes_others() {
        let all = rates(50_000, 50_000, 50_000, 50_000);
        assert_eq!(run(all, 7, true), run(all, 7, true));
        assert_ne!(run(all, 7, true), run(all, 8, true));
    }
}
