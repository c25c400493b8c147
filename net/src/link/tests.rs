//! The link against a network that does everything a network may do.

mod bottleneck;
mod cases;
mod flows;
mod hostile;
mod incast;
mod sealed;
mod world;

use world::{Faults, Random, World};

use super::*;
use crate::error::DropReason;

const CALM: Faults = Faults { drop: 0, double: 0, delay: 0, late: 0, slow: 0, park: 0, restart: 0 };

fn small_credit(frames: u32) -> LinkLimits {
    LinkLimits { credit_frames: frames, ..Default::default() }
}

fn faults_of(seed: u64) -> Faults {
    let mut random = Random(seed.wrapping_mul(0xd134_2543_de82_ef95) | 1);
    Faults {
        drop: random.below(31),
        double: random.below(51),
        delay: random.below(20),
        late: random.below(3) * 20,
        slow: random.below(3) * 20,
        park: random.below(3) * 20,
        restart: random.below(2) * 60,
    }
}

fn run_seed(seed: u64) -> World {
    let frames = [8, 20, 200][(seed % 3) as usize];
    let credit = [1, 4, 256][(seed / 3 % 3) as usize];
    let mut world = World::new(seed, frames, small_credit(credit), faults_of(seed));
    for _ in 0..60 {
        for index in 0..2 {
            for _ in 0..world.random.below(4) {
                let is_large = world.random.percent(5);
                let body = world.random.below(if is_large { 5000 } else { 300 }) as usize;
                world.send(index, body);
            }
        }
        world.tick();
    }
    world.ticks(100);
    world.faults = CALM;
    world.settle(60_000);
    world
}

#[test]
fn everything_is_done_exactly_once_whatever_the_network_does() {
    let (mut broken, mut copied, mut drops) = (0, 0, std::collections::BTreeSet::new());
    for seed in 0..300 {
        let world = run_seed(seed);
        broken += world.broken;
        copied += world.sides[0].link.counters().repeated_copied;
        drops.extend(world.drops);
    }
    assert!(broken > 0 && copied > 0, "the faults happened: {broken} {copied}");
    let expected = [DropReason::Duplicate, DropReason::StaleHello, DropReason::UnknownSession];
    assert!(expected.iter().all(|reason| drops.contains(reason)), "{drops:?}");
}

#[test]
fn afterwards_both_ends_are_silent_and_every_frame_is_back() {
    for seed in 1000..1012 {
        run_seed(seed).assert_quiet();
    }
}

#[test]
fn one_seed_gives_one_trace() {
    for seed in [7, 8] {
        let traces = [(); 2].map(|()| run_seed(seed).trace);
        assert_eq!(traces[0], traces[1]);
    }
}

#[test]
fn parked_messages_and_large_ones_are_done_by_name_when_control_gets_lost() {
    let faults = Faults { drop: 30, double: 50, delay: 10, park: 100, ..CALM };
    for frames in [5, 100] {
        let mut world = World::new(frames, frames as usize, LinkLimits::default(), faults);
        for body in 0..120 {
            world.send(body % 2, body * 40);
        }
        world.settle(60_000);
        assert_eq!(world.sides.each_ref().map(|side| side.events_done), [0, 0]);
    }
}

/// An exchange in both directions, of small messages and of one in segments, some of which are parked.
fn small_exchange(restarts: &[(u64, usize)]) -> World {
    let mut world = World::new(5, 20, small_credit(4), Faults { park: 30, ..CALM });
    world.restarts = restarts.to_vec();
    for body in [3, 40, 1500] {
        (0..2).for_each(|side| world.send(side, body));
        world.tick();
    }
    world.settle(2_000);
    world
}

#[test]
fn either_side_may_start_again_at_any_point() {
    let frames = small_exchange(&[]).arrived_frames;
    assert!((20..100).contains(&frames), "{frames}");
    let mut broken = 0;
    for first in 1..=frames {
        for side in 0..2 {
            let mut world = small_exchange(&[(first, side)]);
            world.assert_quiet();
            broken += world.broken;
            // And once more, either of them, while it finds its peer again.
            for second in first..first + 8 {
                for other in 0..2 {
                    small_exchange(&[(first, side), (second, other)]);
                }
            }
        }
    }
    assert!(broken > frames, "sessions ended: {broken}");
}
