//! What every driver owes: each test is run on each of them.

use daedal_net::driver::Driver;

use crate::peer::{Peer, assert_filled, pair, pass};
use crate::places::{FRAMES, Place};

pub fn bursts_arrive_whole_and_unaltered<P: Place>(place: &mut P) {
    let (mut a, mut b) = pair(place);
    for (round, burst) in [1, 2, 3, 31, 32, 33, 64, 65, 100].into_iter().enumerate() {
        let bytes = 64 + 16 * round;
        let (to_a, to_b) = (a.address(), b.address());
        for seed in 0..burst {
            assert!(a.queue(to_b, seed, bytes) && b.queue(to_a, 1_000 + seed, bytes));
        }
        a.flush();
        b.flush();
        for (seed, received) in (0..burst).zip(b.receive(burst as usize)) {
            assert_filled(&received, to_a, seed, bytes);
        }
        let back = a.receive(burst as usize);
        assert_eq!(back.len(), burst as usize);
        for (seed, received) in (1_000..).zip(&back) {
            assert_filled(received, to_b, seed, bytes);
        }
    }
    assert_eq!(a.driver.counters().sent, b.driver.counters().received);
    a.assert_nothing_on_loan();
    b.assert_nothing_on_loan();
}

pub fn mixed_sizes_and_addresses_arrive_where_they_should<P: Place>(place: &mut P) {
    let (mut a, mut b) = pair(place);
    let mut c = Peer::start(place, None);
    // Trains of 5, of 3 with a shorter last, of 1, and a change of address in between.
    let sizes = [64, 64, 64, 64, 64, 128, 128, 32, 256, 16, 512, 512];
    for seed in 0..240 {
        let to = if seed % 7 < 5 { b.address() } else { c.address() };
        assert!(a.queue(to, seed, sizes[seed as usize % sizes.len()]));
        if seed % 60 != 59 {
            continue;
        }
        a.flush();
        let here: Vec<u64> = (seed - 59..=seed).collect();
        let (for_b, for_c): (Vec<u64>, Vec<u64>) = here.iter().partition(|seed| *seed % 7 < 5);
        for (peer, expect) in [(&mut b, for_b), (&mut c, for_c)] {
            let received = peer.receive(expect.len());
            assert_eq!(received.len(), expect.len());
            for (received, seed) in received.iter().zip(expect) {
                assert_filled(received, a.address(), seed, sizes[seed as usize % sizes.len()]);
            }
        }
    }
}

pub fn the_largest_payload_arrives_in_large_trains<P: Place>(place: &mut P) {
    let (mut a, mut b) = pair(place);
    let bytes = a.driver.payload_bytes_max();
    assert_eq!(bytes % 16, 0);
    assert!(bytes >= 1440);
    // More than one train in 64 KiB, yet little enough for a socket buffer of default size.
    for round in 0..10 {
        for seed in 0..50 {
            assert!(a.queue(b.address(), round * 100 + seed, bytes));
        }
        a.flush();
        let received = b.receive(50);
        assert_eq!(received.len(), 50);
        for (seed, received) in (0..).zip(&received) {
            assert_filled(received, a.address(), round * 100 + seed, bytes);
        }
    }
}

pub fn exhausted_receive_buffers_give_fewer_frames_and_never_block<P: Place>(place: &mut P) {
    let (mut a, mut b) = pair(place);
    let mut on_loan = Vec::new();
    // Alternating sizes: each datagram or pair takes a buffer of its own.
    for seed in 0..400 {
        assert!(a.queue(b.address(), seed, if seed % 2 == 0 { 64 } else { 128 }));
        if seed % 20 == 19 {
            a.flush();
            on_loan.extend(b.receive_now());
        }
    }
    assert!(!on_loan.is_empty() && on_loan.len() < 400);
    assert!(b.driver.counters().starved > 0);
    assert_eq!(b.driver.receive_pool().frames_free(), 0);
    assert!(b.receive_now().is_empty());

    drop(on_loan);
    b.assert_reached_by(&mut a);
}

pub fn an_exhausted_send_pool_refills_when_frames_leave<P: Place>(place: &mut P) {
    let (mut a, mut b) = pair(place);
    let to = b.address();
    let mut queued = 0;
    while a.queue(to, queued, 64) {
        queued += 1;
    }
    assert_eq!(queued as usize, FRAMES);
    assert!(a.driver.pool().take().is_none());
    a.flush();
    assert_eq!(a.driver.pool().frames_free(), FRAMES);
    assert_eq!(b.receive(100).len(), 100);
}

pub fn a_flooded_peer_loses_frames_but_neither_side_stops<P: Place>(place: &mut P) {
    let (mut a, mut b) = pair(place);
    let bytes = a.driver.payload_bytes_max();
    for round in 0..40 {
        while a.queue(b.address(), round, bytes) {}
        a.flush();
    }
    assert_eq!(b.receive(100).len(), 100);
    b.assert_reached_by(&mut a);
    b.assert_nothing_on_loan();
}

pub fn a_peer_that_restarts_on_its_port_is_reached_again<P: Place>(place: &mut P) {
    let (mut a, mut b) = pair(place);
    let at = b.address();
    for seed in 0..3 {
        assert!(a.queue(at, seed, 64));
        a.flush();
        assert_filled(&b.receive(1)[0], a.address(), seed, 64);
        drop(b);
        // Nobody is there: what is sent now is lost, not an error.
        assert!(a.queue(at, 99, 64));
        a.flush();
        b = Peer::start(place, Some(at));
        assert_eq!(b.address(), at);
    }
    assert!(a.queue(at, 4, 64));
    a.flush();
    assert_filled(&b.receive(1)[0], a.address(), 4, 64);
}

/// One frame there, one back, so many times: what most conversations are.
pub fn converse<A: Driver, B: Driver>(a: &mut Peer<A>, b: &mut Peer<B>, rounds: u64) {
    fn one<A: Driver, B: Driver>(from: &mut Peer<A>, to: &mut Peer<B>, seed: u64) {
        assert!(from.queue(to.address(), seed, 64));
        from.flush();
        assert_filled(&to.receive(1)[0], from.address(), seed, 64);
    }
    for seed in 0..rounds {
        one(a, b, seed);
        one(b, a, seed);
    }
}

pub fn conversations_begin_and_end_without_a_loss<P: Place>(place: &mut P) {
    let (mut a, mut b) = pair(place);
    let mut others: Vec<_> = (0..6).map(|_| Peer::start(place, None)).collect();
    for _ in 0..3 {
        converse(&mut a, &mut b, 200);
        for other in &mut others {
            converse(&mut a, other, 100);
        }
        // What comes in the middle of an end is read too.
        for _ in 0..20 {
            pass(1);
            assert!(b.queue(a.address(), 7, 64) && others[0].queue(a.address(), 8, 80));
            b.flush();
            others[0].flush();
            let mut received = a.receive(2);
            assert_eq!(received.len(), 2);
            received.sort_by_key(|it| it.frame.len());
            assert_filled(&received[0], b.address(), 7, 64);
            assert_filled(&received[1], others[0].address(), 8, 80);
        }
    }
    a.assert_nothing_on_loan();
}

pub fn a_peer_that_restarts_in_a_conversation_is_reached_again<P: Place>(place: &mut P) {
    let (mut a, mut b) = pair(place);
    let at = b.address();
    for _ in 0..3 {
        converse(&mut a, &mut b, 100);
        drop(b);
        for _ in 0..3 {
            assert!(a.queue(at, 99, 64));
            a.flush();
        }
        b = Peer::start(place, Some(at));
    }
    converse(&mut a, &mut b, 100);
    assert_eq!(a.driver.counters().refused, 0);
}

pub fn trains_in_the_middle_of_a_conversation_arrive_whole<P: Place>(place: &mut P) {
    let (mut a, mut b) = pair(place);
    for _ in 0..3 {
        converse(&mut a, &mut b, 200);
        pass(2);
        for round in 0..3 {
            for seed in 0..64 {
                assert!(a.queue(b.address(), seed, 64 + 16 * round));
            }
            a.flush();
            let received = b.receive(64);
            assert_eq!(received.len(), 64);
            for (seed, received) in (0..).zip(&received) {
                assert_filled(received, a.address(), seed, 64 + 16 * round);
            }
        }
    }
}

pub fn a_datagram_starts_at_42_mod_64<P: Place>(place: &mut P) {
    let (mut a, mut b) = pair(place);
    assert!(a.queue(b.address(), 1, 64));
    a.flush();
    let received = b.receive(1);
    assert_eq!(received[0].frame.as_ptr() as usize % 64, 42);
}

pub fn no_frame_leaks_in_many<P: Place>(place: &mut P) {
    no_frame_leaks(place, 100_000);
}

/// For one place of each driver: others take minutes for so many.
pub fn no_frame_leaks_in_a_million<P: Place>(place: &mut P) {
    no_frame_leaks(place, 1_000_000);
}

fn no_frame_leaks<P: Place>(place: &mut P, many: u64) {
    let (mut a, mut b) = pair(place);
    let (mut sent, mut received) = (0, 0);
    while sent < many {
        for _ in 0..100 {
            assert!(a.queue(b.address(), sent, 64 + 16 * (sent as usize / 10 % 4)));
            sent += 1;
        }
        a.flush();
        received += b.receive(100).len();
    }
    assert_eq!(received, many as usize);
    assert_eq!(b.driver.counters().received, many);
    a.assert_nothing_on_loan();
    b.assert_nothing_on_loan();
}
