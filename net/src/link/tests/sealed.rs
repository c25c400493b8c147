//! Links that have a secret: what others see, change or say again is of no use to them.

use super::super::*;
use super::cases::{Pair, done};
use super::world::record;
use crate::error::DropReason;
use crate::limits::KEY_PACKETS;
use crate::wire::link::SEALED;

const SECRET: Secret = Secret([7; 32]);

fn sealed() -> Pair {
    Pair::with_secrets(40, 8, [Some(SECRET), Some(SECRET)])
}

/// Delivers what both say, in rounds; whatever is dropped is dropped for these reasons.
fn exchange(pair: &mut Pair, rounds: usize) -> Vec<DropReason> {
    let mut drops = Vec::new();
    for _ in 0..rounds {
        pair.now += 100_000_000;
        for from in 0..2 {
            for bytes in pair.flush(from) {
                match pair.receive(1 - from, &bytes) {
                    Ok(arrival) => arrival
                        .packet
                        .into_iter()
                        .for_each(|packet| pair.links[1 - from].finish(packet, &[])),
                    Err(reason) => drops.push(reason),
                }
            }
        }
    }
    drops
}

#[test]
fn who_has_no_secret_or_another_never_gets_a_session() {
    let other = Secret([8; 32]);
    let cases = [
        ([Some(SECRET), Some(other)], [DropReason::BadSeal; 2]),
        ([Some(SECRET), None], [DropReason::Sealed, DropReason::NotSealed]),
    ];
    for (secrets, expect) in cases {
        let mut pair = Pair::with_secrets(40, 8, secrets);
        let drops = exchange(&mut pair, 10);
        assert!(drops.len() > 4 && drops.iter().all(|reason| expect.contains(reason)), "{drops:?}");
        assert!(expect.iter().all(|reason| drops.contains(reason)), "{drops:?}");
        assert!(pair.links.iter().all(|link| link.live.is_none()));
    }
}

#[test]
fn what_is_said_is_not_to_be_read() {
    let mut pair = sealed().open();
    let message = record(0, 1, 0, 5, 200);
    assert!(pair.send(0, 5, 200));
    let [bytes] = &pair.flush(0)[..] else { panic!("one frame") };
    assert!(bytes.len().is_multiple_of(limits::RECORD_ALIGN) && bytes[1] & SEALED != 0);
    let is_seen = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    assert!(!message[MessageHeader::BYTES..].chunks_exact(8).any(is_seen));
    let arrival = pair.receive(1, bytes).unwrap();
    assert_eq!(arrival.records().next_message().unwrap().to_vec(), message);
}

/// Greetings, tables, messages, status and parts of a large message: of each frame any bit, and any byte of its length.
#[test]
fn a_frame_that_was_changed_is_dropped() {
    let mut pair = sealed();
    let mut kinds = [0; 3];
    for round in 0..12 {
        pair.now += 1000;
        if pair.links.iter().all(Link::is_open) {
            pair.send(0, round, 40);
            let _ = pair.links[1].send_large(record(1, 1, 0, round, 900), 0, round);
        }
        for from in 0..2 {
            for bytes in pair.flush(from) {
                let header = LinkHeader::new_checked(&bytes).unwrap();
                let is_greeting = header.session.get() == 0;
                kinds[if is_greeting { 0 } else { 1 + usize::from(header.has(link::CONTROL)) }] +=
                    1;
                // What stands behind the seal fills up the datagram.
                for bit in 0..8 * (bytes.len() - send::TAIL_BYTES) {
                    let mut changed = bytes.clone();
                    changed[bit / 8] ^= 1 << (bit % 8);
                    assert!(pair.receive(1 - from, &changed).is_err(), "bit {bit}");
                }
                for cut in 0..bytes.len() {
                    assert!(pair.receive(1 - from, &bytes[..cut]).is_err(), "{cut} bytes");
                }
                let arrival = pair.receive(1 - from, &bytes).expect("nothing of those was heard");
                let packet = arrival.packet.into_iter();
                packet.for_each(|packet| pair.links[1 - from].finish(packet, &[]));
            }
        }
    }
    assert!(kinds.iter().all(|count| *count > 0), "{kinds:?}");
}

#[test]
fn what_was_said_in_another_session_says_nothing_in_this_one() {
    let mut pair = sealed();
    let mut said = Vec::new();
    for restart in 0..3 {
        if restart > 0 {
            let config = LinkConfig { nonce: 100 + restart, ..pair.links[1].config.clone() };
            pair.links[1] = Link::new(config, &pair.pools[1], pair.now);
        }
        for round in 0..10 {
            pair.now += 100_000_000;
            pair.send(0, round, 3);
            for from in 0..2 {
                for bytes in pair.flush(from) {
                    let _ = pair.receive(1 - from, &bytes);
                    said.push((1 - from, bytes));
                }
            }
        }
    }
    let sessions = pair.links.each_ref().map(|link| link.counters().sessions);
    assert_eq!(sessions, [3, 1]);
    let current = pair.links[0].live.as_ref().unwrap().id;
    for (to, mut bytes) in said {
        let header = *LinkHeader::new_checked(&bytes).unwrap();
        if header.session.get() == 0 {
            let _ = pair.receive(to, &bytes);
        } else if header.session.get() != current {
            LinkHeader { session: U32::new(current), ..header }.emit(&mut bytes);
            assert_eq!(pair.receive(to, &bytes).err(), Some(DropReason::BadSeal));
        }
    }
    assert_eq!(pair.links.each_ref().map(|link| link.counters().sessions), sessions);
}

#[test]
fn keys_change_with_the_numbers_and_what_is_late_is_still_read() {
    let mut pair = sealed().open();
    let [one, other] = &mut pair.links;
    one.live.as_mut().unwrap().outbound.skip(KEY_PACKETS - 10);
    other.live.as_mut().unwrap().inbound.skip(KEY_PACKETS - 10);
    let mut late = Vec::new();
    for number in 0..30 {
        assert!(pair.send(0, number, 3));
        late.extend(pair.flush(0));
        // Newer ones come first.
        if number % 3 == 2 {
            for bytes in late.drain(..).rev() {
                let arrival = pair.receive(1, &bytes).unwrap();
                arrival.packet.into_iter().for_each(|it| pair.links[1].finish(it, &[]));
            }
        }
        for bytes in pair.flush(1) {
            pair.receive(0, &bytes).unwrap();
        }
    }
    let next = pair.links[0].live.as_ref().unwrap().outbound.next();
    assert!(next > KEY_PACKETS + 10, "{next}");
    assert_eq!(pair.links[0].packets_undone(), 0);
}

#[test]
fn without_a_frame_to_seal_into_nothing_leaves_and_everything_comes_in_the_end() {
    let mut pair = sealed().open();
    assert!(pair.send(0, 1, 3));
    let mut held: Vec<_> = std::iter::from_fn(|| pair.pools[0].take()).collect();
    let (mut out, to) = (std::collections::VecDeque::new(), ([127, 0, 0, 1], 1).into());
    // What is kept for this is in the driver's hands.
    for _ in 0..10 {
        pair.now += 100_000_000;
        pair.links[0].flush(pair.now, &pair.pools[0], &mut out, to);
    }
    assert!(pair.links[0].counters().unsealed > 0);
    held.clear();
    out.clear();
    exchange(&mut pair, 4);
    assert!(pair.events(0).contains(&done(1, 1)));
}

#[test]
fn a_link_that_is_given_up_keeps_no_frame() {
    let mut pair = sealed().open();
    assert!(pair.send(0, 1, 3));
    assert_eq!(pair.links[0].give_up().len(), 1);
    assert_eq!(pair.pools[0].frames_free(), pair.pools[0].frames_count());
}
