//! Incast: many links begin at one instant, into one port of a switch whose queue holds little and drops its
//! tail. All that they know of the port is what comes late and what does not come.
//!
//! While all of them send they keep the port busy. Where the end of what a link has to say is lost, nothing
//! later shows it: that costs a timeout, and rounds in which all wait for the last are as long as timeouts are.

use super::super::LinkLimits;
use super::flows::{MS, PAYLOAD, WAY_NS, World};
use super::world::{Random, record};
use crate::limits::{QUEUE_NS, TIMEOUT_NS_MIN};

/// Of the port, and of each sender's own wire.
const BITS_PER_NS: u64 = 10;
/// 170 frames: twice what is on its way without a queue.
const QUEUE: u64 = 2 * QUEUE_NS;
/// It is full before a link may call it long.
const SHORT_QUEUE: u64 = QUEUE_NS;
/// A timeout for a network whose hosts are not busy.
const SHORT_TIMEOUT_NS: u64 = TIMEOUT_NS_MIN / 10;
const SEEDS: u64 = 3;

fn world(seed: u64, timeout_ns_min: u64, flows: u16, queue_ns_max: u64) -> World {
    let limits = LinkLimits { timeout_ns_min, ..LinkLimits::default() };
    let mut world = World::with_limits(limits, flows, BITS_PER_NS, queue_ns_max);
    world.random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    world.flows.iter_mut().for_each(|flow| flow.wire.bits_per_ns = BITS_PER_NS);
    world
}

/// Frames that the links send together.
const FRAMES: u64 = 16_000;
/// How long that takes a port that is never idle and carries nothing twice.
const FAIR_NS: u64 = FRAMES * PAYLOAD as u64 * 8 / BITS_PER_NS;

/// What came of it.
#[derive(Debug)]
struct Transfer {
    /// When the first link had everything across, and when the last.
    first_ns: u64,
    last_ns: u64,
    /// Use of the port for what came for the first time, until the first had, in thousandths.
    used: u64,
    /// Frames that were lost, in thousandths of all that came to the port.
    lost: u64,
    /// And how many after the first two milliseconds, and the longest queue then.
    lost_later: u64,
    queue_ns: u64,
    /// Frames that were sent again and had not been lost.
    twice: u64,
}

/// All links send as much as each other, at once. What came was whole, came once, and is done.
fn transfer(seed: u64, timeout_ns_min: u64, flows: u16, queue_ns_max: u64) -> Transfer {
    let mut world = world(seed, timeout_ns_min, flows, queue_ns_max);
    let (begin, each) = (world.now, FRAMES / u64::from(flows));
    (world.wire.carried, world.wire.lost) = (0, 0);
    world.flows.iter_mut().for_each(|flow| (flow.left, flow.bytes) = (each, 0));
    let through =
        |world: &World| world.flows.iter().filter(|it| it.came[1].len() as u64 >= each).count();
    let (mut used, mut lost_first) = (0, 0);
    while through(&world) < usize::from(flows) {
        world.turn();
        let took = world.now - begin;
        assert!(took < 10 * FAIR_NS, "{} of {flows} are through", through(&world));
        if took == 2 * MS {
            (lost_first, world.wire.queue_ns) = (world.wire.lost, 0);
        }
        if through(&world) == 0 {
            let bytes: u64 = world.flows.iter().map(|flow| flow.bytes).sum();
            used = 1000 * bytes * 8 / BITS_PER_NS / took;
        }
    }
    let last = |came: &Vec<(u64, u64)>| came.iter().map(|(_, at)| at - begin).max();
    let through: Vec<u64> = world.flows.iter().filter_map(|flow| last(&flow.came[1])).collect();
    let (lost, queue_ns) = (world.wire.lost, world.wire.queue_ns);
    let repeated = world.flows.iter().map(|it| it.links[0].counters().repeated).sum::<u64>();
    world.run(2 * TIMEOUT_NS_MIN);
    for flow in &mut world.flows {
        assert!(flow.links.iter().all(|link| link.is_idle()), "all is done");
        flow.came[1].sort_unstable();
        assert!(flow.came[1].iter().map(|(number, _)| *number).eq(0..each), "all came once");
    }
    Transfer {
        first_ns: *through.iter().min().unwrap(),
        last_ns: *through.iter().max().unwrap(),
        used,
        lost: 1000 * lost / (world.wire.carried + lost),
        lost_later: lost - lost_first,
        queue_ns,
        twice: repeated.saturating_sub(lost),
    }
}

#[test]
fn sixteen_that_begin_at_once_lose_frames_at_the_start_alone_and_end_together() {
    for seed in 0..SEEDS {
        let seen = transfer(seed, TIMEOUT_NS_MIN, 16, QUEUE);
        assert!(seen.used >= 950, "{seen:?}");
        assert!(seen.lost <= 25 && seen.lost_later == 0, "{seen:?}");
        assert!(seen.queue_ns <= QUEUE * 7 / 8, "{seen:?}");
        assert!(seen.first_ns >= FAIR_NS * 3 / 4 && seen.last_ns <= FAIR_NS * 11 / 10, "{seen:?}");
    }
}

#[test]
fn sixty_four_that_begin_at_once_keep_the_port_busy_and_none_waits_for_long() {
    for seed in 0..SEEDS {
        let seen = transfer(seed, TIMEOUT_NS_MIN, 64, QUEUE);
        assert!(seen.used >= 950, "{seen:?}");
        // What they begin with is four times as much as the queue and the way hold.
        assert!(seen.lost <= 180, "{seen:?}");
        assert!(seen.lost_later * 20 <= FRAMES, "{seen:?}");
        assert!(seen.first_ns >= FAIR_NS / 3 && seen.last_ns <= FAIR_NS * 3 / 2, "{seen:?}");
    }
}

#[test]
fn a_queue_that_is_full_before_it_is_long_is_kept_busy_and_loses_an_eighth() {
    for seed in 0..SEEDS {
        let seen = transfer(seed, TIMEOUT_NS_MIN, 16, SHORT_QUEUE);
        assert!(seen.used >= 950, "{seen:?}");
        assert!(seen.lost <= 160, "{seen:?}");
        assert!(seen.first_ns >= FAIR_NS / 2 && seen.last_ns <= 4 * FAIR_NS, "{seen:?}");
        // Two packets of each, the fewest that may be under way, are most of what the queue and the way hold.
        let seen = transfer(seed, TIMEOUT_NS_MIN, 64, SHORT_QUEUE);
        assert!(seen.used >= 950, "{seen:?}");
        assert!(seen.lost <= 270, "{seen:?}");
        assert!(seen.last_ns <= 4 * FAIR_NS, "{seen:?}");
    }
}

#[test]
fn what_is_taken_for_lost_and_was_late_comes_once() {
    let seen = transfer(0, QUEUE_NS / 10, 64, QUEUE);
    assert!(seen.twice > 0, "{seen:?}");
    assert!(seen.last_ns <= FAIR_NS * 3 / 2, "{seen:?}");
}

/// One who asks all servers at once for a block each, and again when the last has come: how long that takes, on
/// average, and how long it would if the port were never idle and carried nothing twice.
fn rounds(seed: u64, timeout_ns_min: u64, flows: u16, queue_ns_max: u64) -> (u64, u64) {
    const ROUNDS: u64 = 6;
    const BLOCK: usize = 64 << 10;
    let mut world = world(seed, timeout_ns_min, flows, queue_ns_max);
    let begin = world.now;
    for round in 0..ROUNDS {
        world.flows.iter_mut().for_each(|flow| assert!(flow.send(1, 64)));
        while world.flows.iter().any(|flow| flow.large_came.len() as u64 == round) {
            world.turn();
            assert!(world.now < begin + 1_000 * MS, "round {round} does not end");
            for flow in &mut world.flows {
                if let Some((asked, _)) = flow.came[0].pop() {
                    let block = record(0, 1, 0, asked, BLOCK);
                    flow.links[0].send_large(block, 0, asked).unwrap();
                }
            }
        }
    }
    let took = (world.now - begin) / ROUNDS;
    for flow in &world.flows {
        assert!(flow.large_came.iter().map(|(number, _)| *number).eq(0..ROUNDS), "all came once");
    }
    (took, u64::from(flows) * BLOCK as u64 * 8 / BITS_PER_NS + 2 * WAY_NS)
}

/// Seeds, and how many are asked: of the most, which take the longest, one seed.
fn asked() -> impl Iterator<Item = (u64, u16)> {
    (0..SEEDS).flat_map(|seed| [4, 8, 16].map(|flows| (seed, flows))).chain([(0, 64)])
}

#[test]
fn rounds_that_wait_for_all_do_not_collapse_where_timeouts_are_short() {
    for (seed, flows) in asked() {
        for (queue, percent) in [(QUEUE, 65), (SHORT_QUEUE, 35)] {
            let (took, fair) = rounds(seed, SHORT_TIMEOUT_NS, flows, queue);
            assert!(100 * fair >= percent * took, "{took} for {fair}: {flows}, {queue}");
        }
    }
}

#[test]
fn rounds_that_wait_for_all_wait_for_few_timeouts() {
    for (seed, flows) in asked() {
        // Where two packets of each are most of what there is room for, repeats are lost, too.
        for (queue, timeouts) in [(QUEUE, 1), (SHORT_QUEUE, if flows < 64 { 1 } else { 8 })] {
            let (took, fair) = rounds(seed, TIMEOUT_NS_MIN, flows, queue);
            let most = fair + timeouts * TIMEOUT_NS_MIN;
            assert!(took <= most, "{took} for {fair}: {flows}, {queue}");
        }
    }
}
