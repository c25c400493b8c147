//! Frames that no honest peer sends: each is dropped for its reason, none panics, none blocks.

use proptest::prelude::*;
use zerocopy::little_endian::{U16, U64};

use super::super::*;
use super::cases::{Pair, config};
use super::world::record;
use crate::error::DropReason;
use crate::limits::{LARGE_AT_ONCE, SPAN_PACKETS};
use crate::wire::control::{self, Hello, SchemaEntry, Segment};
use crate::wire::link::CONTROL;

/// A frame of link 0's, in its session, with these records.
fn frame(pair: &Pair, packet: u64, flags: u8, records: &[u8]) -> Vec<u8> {
    let session = pair.links[0].live.as_ref().unwrap().id;
    let mut bytes = vec![0; LinkHeader::BYTES];
    let header = header(&pair.links[0].config, flags, session);
    LinkHeader { packet: U48::new(packet), ..header }.emit(&mut bytes);
    bytes.extend_from_slice(records);
    bytes.resize(LinkHeader::BYTES + padded(records.len()), 0);
    bytes
}

fn control(kind: u8, argument: u32, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut bytes = vec![0; padded(ControlHead::BYTES + length)];
    emit_control(&mut bytes, kind, argument, parts);
    bytes
}

fn segment(id: u32, total: usize, offset: usize, bytes: &[u8]) -> Vec<u8> {
    let (total, offset) = ((total as u32).into(), (offset as u32).into());
    let segment = Segment { total, offset, ..Default::default() };
    control(control::SEGMENT, id, &[segment.as_bytes(), bytes])
}

fn drops(pair: &mut Pair, bytes: &[u8]) -> Option<DropReason> {
    let reason = pair.receive(1, bytes).err();
    if let Some(reason) = reason {
        assert!(pair.links[1].drops().of(reason) > 0);
    }
    reason
}

#[test]
fn headers_that_do_not_belong_here_are_dropped() {
    let mut pair = Pair::opened(20, 8);
    let good = frame(&pair, 50, 0, &record(0, 1, 0, 0, 3));
    let mut check = |at: usize, byte: u8, expect| {
        let mut bad = good.clone();
        bad[at] ^= byte;
        assert_eq!(drops(&mut pair, &bad), Some(expect));
    };
    check(0, 3, DropReason::BadVersion);
    for at in [2, 4, 5] {
        check(at, 1, DropReason::WrongEndpoint);
    }
    check(6, 1, DropReason::UnknownSession);
    check(14, 1, DropReason::OutOfWindow);
    assert_eq!(drops(&mut pair, &good[..20]), Some(DropReason::TooShort));
    assert_eq!(drops(&mut pair, &good), None);
    assert_eq!(drops(&mut pair, &good), Some(DropReason::Duplicate));
    let zero = frame(&pair, 0, 0, &record(0, 1, 0, 0, 3));
    assert_eq!(drops(&mut pair, &zero), Some(DropReason::Duplicate));
    let ahead = frame(&pair, 50 + SPAN_PACKETS, 0, &record(0, 1, 0, 0, 3));
    assert_eq!(drops(&mut pair, &ahead), Some(DropReason::OutOfWindow));
}

#[test]
fn records_that_contradict_themselves_are_dropped_whole() {
    let mut pair = Pair::opened(20, 8);
    let mut cut = record(0, 1, 0, 0, 300);
    cut.truncate(100);
    let mut announced = record(0, 1, 0, 0, 3);
    announced[55] = 1;
    let parked = [U64::new(1).as_bytes(), U16::new(4).as_bytes(), U16::new(4).as_bytes()].concat();
    let run = [0xff; 32];
    let cases: &[(&[u8], DropReason)] = &[
        (&cut, DropReason::TooShort),
        (&announced, DropReason::BadMessage),
        (&control(77, 0, &[]), DropReason::BadControl),
        (&control(control::MESSAGE, 0, &[]), DropReason::BadMessage),
        (&control(control::HELLO, 1, &[&[1; 32]]), DropReason::BadControl),
        (&control(control::STATUS, 0, &[&[1; 32]]), DropReason::BadControl),
        (&control(control::STATUS, 0, &[&[1; 31]]), DropReason::BadControl),
        (&control(control::PARKED, 0, &[&parked]), DropReason::BadControl),
        (&control(control::DONE_NAMED, 0, &[&run[..31]]), DropReason::BadControl),
        (&control(control::DONE_NAMED, 0, &[&run]), DropReason::BadControl),
        (&control(control::SCHEMAS, 100, &[&[0; 16]]), DropReason::BadControl),
        (&control(control::SCHEMAS, u32::MAX, &[&[0; 16]]), DropReason::BadControl),
    ];
    for (records, expect) in cases {
        let bytes = frame(&pair, 50, 0, records);
        assert_eq!(drops(&mut pair, &bytes), Some(*expect));
    }
    let in_control = frame(&pair, 50, CONTROL, &record(0, 1, 0, 0, 3));
    assert_eq!(drops(&mut pair, &in_control), Some(DropReason::BadControl));
    let good = frame(&pair, 50, 0, &record(0, 1, 0, 0, 3));
    assert_eq!(drops(&mut pair, &good), None, "nothing of the bad ones was taken in");
}

#[test]
fn segments_outside_the_limits_are_dropped() {
    let mut pair = Pair::opened(20, 8);
    let mut next = 50;
    let mut check = |records: &[u8], expect| {
        let bytes = frame(&pair, next, 0, records);
        next += 1;
        assert_eq!(drops(&mut pair, &bytes), expect, "{}", next);
    };
    let too_long = segment::RECORD_BYTES_MAX + 1;
    check(&segment(0, too_long, 0, b"x"), Some(DropReason::LargeTooLong));
    check(&segment(0, 63, 0, b"x"), Some(DropReason::BadSegment));
    check(&segment(0, 100, 100, b"x"), Some(DropReason::BadSegment));
    check(&segment(0, 100, 0, b""), Some(DropReason::BadSegment));
    check(&segment(0, 100, u32::MAX as usize, b"x"), Some(DropReason::BadSegment));
    for id in 0..LARGE_AT_ONCE as u32 {
        check(&segment(id, 100, 0, b"x"), None);
    }
    check(&segment(999, 100, 0, b"x"), Some(DropReason::LargeTooMany));
    check(&segment(0, 101, 0, b"x"), Some(DropReason::BadSegment));
    check(&segment(0, 100, 0, &[0; 100]), Some(DropReason::BadSegment));
    let two = [segment(0, 100, 1, b"x"), segment(1, 100, 1, b"x")].concat();
    check(&two, Some(DropReason::BadControl));
    check(&segment(0, 100, 1, &[0; 99]), None);
    assert_eq!(pair.links[1].drops().of(DropReason::BadMessage), 1, "zeros are no message");
}

#[test]
fn half_assembled_messages_have_no_more_bytes_than_four_of_the_largest() {
    let mut pair = Pair::opened(20, 8);
    for (id, expect) in (0..5).zip([None, None, None, None, Some(DropReason::LargeTooMany)]) {
        let largest = segment(id, segment::RECORD_BYTES_MAX, 0, b"x");
        let bytes = frame(&pair, 50 + u64::from(id), 0, &largest);
        assert_eq!(drops(&mut pair, &bytes), expect);
    }
}

#[test]
fn greetings_that_prove_nothing_change_nothing() {
    let mut pair = Pair::opened(20, 8);
    let hello = |hello: Hello, format| {
        let mut bytes = vec![0; LinkHeader::BYTES];
        header(&config(0, 0, 1), CONTROL, 0).emit(&mut bytes);
        bytes.extend_from_slice(&control(control::HELLO, format, &[hello.as_bytes()]));
        bytes.resize(padded(bytes.len()), 0);
        bytes
    };
    let good = Hello { nonce: 5.into(), payload_bytes_max: 512.into(), ..Default::default() };
    let cases = [
        (Hello { nonce: 0.into(), ..good }, 1, DropReason::BadControl),
        (Hello { payload_bytes_max: 511.into(), ..good }, 1, DropReason::BadControl),
        (Hello { schemas: 65_537.into(), ..good }, 1, DropReason::BadControl),
        (good, 2, DropReason::BadFormat),
        (Hello { echo: 4.into(), ..good }, 1, DropReason::StaleHello),
    ];
    for (greeting, format, expect) in cases {
        assert_eq!(drops(&mut pair, &hello(greeting, format)), Some(expect));
    }
    for _ in 0..9 {
        assert_eq!(drops(&mut pair, &hello(good, 1)), None);
    }
    let asked = hello(good, 1).len();
    let answers = pair.flush(1);
    assert_eq!(answers.len(), 1, "answered once, with no more than was asked");
    assert!(answers[0].len() <= asked, "{} for {asked}", answers[0].len());
    assert!(pair.links[1].is_open() && pair.links[1].next_event().is_none());
}

#[test]
fn what_belongs_to_no_session_is_not_answered() {
    let mut pair = Pair::opened(20, 8);
    pair.flush(1);
    for flags in [0, CONTROL, CONTROL | link::ASK] {
        let mut bytes = frame(&pair, 50, flags, &control(control::STATUS, 0, &[&[0; 32]]));
        bytes[6] ^= 1;
        assert_eq!(drops(&mut pair, &bytes), Some(DropReason::UnknownSession));
        assert_eq!(pair.flush(1), Vec::<Vec<u8>>::new());
        assert!(pair.links[1].is_open(), "the session that stands goes on");
    }
}

#[test]
fn a_message_before_its_senders_table_is_dropped() {
    let mut pair = Pair::new(20, 8);
    while pair.links[0].live.is_none() || pair.links[1].live.is_none() {
        for index in 0..2 {
            for bytes in pair.flush(index).iter().filter(|bytes| bytes[1] == CONTROL) {
                pair.receive(1 - index, bytes).unwrap();
            }
        }
    }
    let early = frame(&pair, 5, 0, &record(0, 1, 0, 0, 3));
    assert_eq!(drops(&mut pair, &early), Some(DropReason::NoSchemas));
    let entry = SchemaEntry::default();
    for part in 0..5 {
        let entries = control(control::SCHEMAS, 20 * part, &[&entry.as_bytes().repeat(20)]);
        let bytes = frame(&pair, 10 + u64::from(part), 0, &entries);
        assert_eq!(drops(&mut pair, &bytes), None);
    }
    assert_eq!(drops(&mut pair, &early), None);
}

#[derive(Debug, Clone)]
struct Change {
    frame: usize,
    at: usize,
    byte: u8,
}

fn change() -> impl Strategy<Value = Change> {
    (any::<usize>(), any::<usize>(), any::<u8>()).prop_map(|(frame, at, byte)| Change {
        frame,
        at,
        byte,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn changed_frames_never_panic(changes in prop::collection::vec(change(), 1..60)) {
        let mut pair = Pair::opened(60, 8);
        let mut frames = Vec::new();
        for number in 0..8 {
            pair.send(0, number, 40 * number as usize);
            // The second has a short header.
            (0..2).for_each(|second| _ = pair.send(1, 2 * number + second, 4));
            let _ = pair.links[0].send_large(record(0, 1, 0, 100 + number, 2000), 0, 100 + number);
            pair.now += 1000;
            for index in 0..2 {
                for bytes in pair.flush(index) {
                    if let Ok(arrival) = pair.receive(1 - index, &bytes)
                        && let Some(packet) = arrival.packet
                    {
                        pair.links[1 - index].finish(packet, &[0]);
                        let name = Named { source: 0, space: 1, destination: 1, number };
                        pair.links[1 - index].settle_by_name(name, 0);
                    }
                    frames.push((1 - index, bytes));
                }
            }
        }
        for Change { frame, at, byte } in changes {
            let (to, mut bytes) = frames[frame % frames.len()].clone();
            let at = 10 + at % (bytes.len() - 10);
            bytes[at] = byte;
            if let Ok(arrival) = pair.receive(to, &bytes)
                && let Some(packet) = arrival.packet
            {
                prop_assert!(arrival.records().next_message().is_some());
                pair.links[to].finish(packet, &[]);
            }
            pair.now += 7_000_000;
            pair.flush(to);
            while pair.links[to].next_event().is_some() {}
        }
    }

    #[test]
    fn arbitrary_records_in_a_session_never_panic(
        packet in 1..60u64,
        flags in 0..8u8,
        kind in 0..9u8,
        is_behind_one in any::<bool>(),
        argument in 0..3u32,
        body in prop::collection::vec(prop_oneof![2 => Just(0), 1 => any::<u8>()], 0..200),
    ) {
        let mut pair = Pair::opened(20, 8);
        let mut records = if is_behind_one { record(0, 1, 0, 0, 16) } else { Vec::new() };
        records.extend([control(kind, argument, &[&body]), body].concat());
        let bytes = frame(&pair, packet, flags, &records);
        let _ = pair.receive(1, &bytes[..bytes.len().min(480)]);
        pair.flush(1);
    }
}
