//! Links that share a bottleneck: how much of it they use, in which parts, and how long its queue is.

use super::flows::{MS, PAYLOAD, TURN_NS, WAY_NS, World};
use super::world::record;
use crate::limits::QUEUE_NS;

fn start(world: &mut World) {
    world.flows.iter_mut().for_each(|flow| flow.left = u64::MAX);
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
    world.flows[0].left = u64::MAX;
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
        assert!(world.flows[0].send(0, 64));
        world.run(20 * TURN_NS);
    }
    world.run(10 * MS);
    let came = &world.flows[0].came[1];
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
