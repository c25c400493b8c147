//! Round trips of every header, and arbitrary bytes.

use proptest::prelude::*;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, IntoBytes};

use super::control::{self, Control};
use super::link::{self, LinkHeader};
use super::message::{self, InReplyTo, LogicalDestination, MessageHeader, ShortHeader, WrapStep};
use super::record::{ControlHead, Record, Records};
use super::{U48, padded};
use crate::error::DropReason;
use crate::limits::{LARGE_BYTES_MAX, RECORD_ALIGN};

fn message(flags: u8, steps: u8, body: &[u8]) -> Vec<u8> {
    let mut header = MessageHeader {
        destination: U64::new(0x1122_3344_5566_7788),
        number: U64::new(9),
        flags,
        steps,
        ..Default::default()
    };
    header.length = U32::new((header.before_body() + body.len()) as u32);
    let mut bytes = header.as_bytes().to_vec();
    if header.has(message::HAS_REPLY_TO) {
        let reply_to = InReplyTo { number: U64::new(5), ..Default::default() };
        bytes.extend_from_slice(reply_to.as_bytes());
    }
    if header.has(message::HAS_LOGICAL) {
        let logical = LogicalDestination { id: U64::new(6), ..Default::default() };
        bytes.extend_from_slice(logical.as_bytes());
    }
    for kind in 0..steps {
        let step = WrapStep { kind: U16::new(u16::from(kind)), ..Default::default() };
        bytes.extend_from_slice(step.as_bytes());
    }
    bytes.extend_from_slice(body);
    bytes
}

/// The record that these bytes are.
fn whole(bytes: &[u8]) -> Record<'_> {
    Record::Message(MessageHeader::parse(bytes).expect("a whole message"))
}

/// That message of the next number, of that floor and with that flag, too, with a short header, and as it is to be read.
fn next(before: &[u8], (floor, flag): (u32, u8), body: &[u8]) -> [Vec<u8>; 2] {
    let mut header = *MessageHeader::parse(before).expect("a whole message").header;
    let parts = &before[MessageHeader::BYTES..][..header.before_body()];
    header.number = U64::new(header.number.get() + 1);
    header.floor = U32::new(floor);
    header.flags |= flag;
    header.length = U32::new((parts.len() + body.len()) as u32);
    let short = ShortHeader {
        kind: control::MESSAGE,
        flags: header.flags,
        length: U16::new(header.length.get() as u16),
        floor: header.floor,
        ..Default::default()
    };
    [short.as_bytes(), header.as_bytes()].map(|head| [head, parts, body].concat())
}

fn area(records: &[Vec<u8>]) -> Vec<u8> {
    let mut area = Vec::new();
    for record in records {
        area.extend_from_slice(record);
        area.resize(padded(area.len()), 0);
    }
    area
}

#[test]
fn a_link_header_of_another_version_or_cut_short_is_refused() {
    let header = LinkHeader { version: link::VERSION, ..Default::default() };
    let mut bytes = header.as_bytes().to_vec();
    assert_eq!(LinkHeader::new_checked(&bytes), Ok(&header));
    assert_eq!(LinkHeader::new_checked(&bytes[..21]), Err(DropReason::TooShort));
    bytes[0] = 2;
    assert_eq!(LinkHeader::new_checked(&bytes), Err(DropReason::BadVersion));
}

#[test]
fn extensions_and_steps_are_read_in_place() {
    for flags in 0..4 {
        for steps in [0, 1, 255] {
            let bytes = message(flags, steps, b"body");
            let parsed = MessageHeader::parse(&bytes).unwrap();
            assert_eq!(parsed.reply_to.is_some(), flags & message::HAS_REPLY_TO != 0);
            assert_eq!(parsed.reply_to.map_or(5, |extension| extension.number.get()), 5);
            assert_eq!(parsed.logical.map_or(6, |extension| extension.id.get()), 6);
            assert_eq!(parsed.logical.is_some(), flags & message::HAS_LOGICAL != 0);
            assert_eq!(parsed.steps.len(), usize::from(steps));
            assert_eq!(parsed.body, b"body");
        }
    }
}

#[test]
fn a_length_below_what_is_announced_or_above_the_limit_is_refused() {
    let mut bytes = message(message::HAS_REPLY_TO, 2, b"");
    assert!(MessageHeader::parse(&bytes).is_ok());
    bytes[48] = 47;
    assert_eq!(MessageHeader::new_checked(&bytes), Err(DropReason::BadMessage));
    let mut bytes = message(0, 0, b"");
    bytes[48..52].copy_from_slice(&(LARGE_BYTES_MAX as u32 + 1).to_le_bytes());
    assert_eq!(MessageHeader::new_checked(&bytes), Err(DropReason::BadMessage));
    let bytes = message(0, 0, b"four");
    assert_eq!(MessageHeader::parse(&bytes[..66]), Err(DropReason::TooShort));
}

#[test]
fn records_stand_at_multiples_of_16_and_end_at_the_first_bad_one() {
    let head = ControlHead { length: U16::new(3), argument: U32::new(8), ..Default::default() };
    let mut control = head.as_bytes().to_vec();
    control.extend_from_slice(b"abc");
    let first = message(0, 0, b"x");
    let mut bytes = area(&[first.clone(), control, first.clone()]);
    bytes.extend_from_slice(&[0; 26]);
    let mut records = Records::new(&bytes);
    assert_eq!(records.step(), Ok(Some(whole(&first))));
    assert_eq!(records.step(), Ok(Some(Record::Control(&head, b"abc"))));
    assert_eq!(records.step(), Ok(Some(whole(&first))));
    assert_eq!(records.step(), Ok(Some(Record::Control(&ControlHead::default(), b""))));
    assert_eq!(records.step(), Ok(None));
    let mut cut = Records::new(&bytes[..80 + 32 + 64]);
    assert!((0..2).all(|_| cut.step().is_ok()));
    assert_eq!(cut.step(), Err(DropReason::TooShort));
    assert_eq!(cut.step(), Ok(None), "there is nothing behind it");
}

#[test]
fn a_short_header_stands_for_the_one_before_it_and_the_next_number() {
    let first = message(message::HAS_REPLY_TO, 1, b"first");
    let [short, second] = next(&first, (3, 1 << 3), b"second");
    let [shorter, third] = next(&second, (4, 1 << 4), b"");
    let control = ControlHead::default().as_bytes().to_vec();
    let bytes = area(&[first.clone(), short, control, shorter.clone()]);
    let mut records = Records::new(&bytes);
    for expect in [&first, &second, &third] {
        let message = records.next_message().expect("there are three");
        assert_eq!(message, MessageHeader::parse(expect).unwrap());
        assert_eq!(message.to_vec(), *expect);
    }
    assert_eq!(records.next_message(), None);
    assert_eq!(Records::new(&bytes).next_control(), Some((&ControlHead::default(), &[][..])));

    // Of nothing before it; too short for what the header announces; longer than the frame.
    let of = |records: &[Vec<u8>]| {
        let bytes = area(records);
        let mut records = Records::new(&bytes);
        std::iter::from_fn(|| records.step().map(|it| it.map(drop)).transpose()).last()
    };
    assert_eq!(of(std::slice::from_ref(&shorter)), Some(Err(DropReason::BadMessage)));
    let with = |at: usize, byte: u8| {
        let mut bytes = shorter.clone();
        bytes[at] = byte;
        of(&[first.clone(), bytes])
    };
    assert_eq!(with(10, 31), Some(Err(DropReason::BadMessage)));
    assert_eq!(with(10, 32), Some(Ok(())));
    assert_eq!(with(10, 33), Some(Err(DropReason::TooShort)));
    let both = message::HAS_REPLY_TO | message::HAS_LOGICAL;
    assert_eq!(with(9, both), Some(Err(DropReason::BadMessage)));
}

proptest! {
    #[test]
    fn headers_survive_a_round_trip(
        bytes in prop::collection::vec(any::<u8>(), 64), packet in 0..=U48::MAX,
    ) {
        let (mut header, _) = LinkHeader::read_from_prefix(&bytes).unwrap();
        header.version = link::VERSION;
        header.packet = U48::new(packet);
        prop_assert_eq!(header.packet.get(), packet);
        let mut out = [0; LinkHeader::BYTES];
        header.emit(&mut out);
        prop_assert_eq!(LinkHeader::parse(&out), Ok((&header, &[][..])));

        let mut header = MessageHeader::read_from_bytes(&bytes).unwrap();
        header.destination = U64::new(header.destination.get().max(1));
        header.length = U32::new(header.before_body() as u32);
        let mut out = [0; MessageHeader::BYTES];
        header.emit(&mut out);
        prop_assert_eq!(MessageHeader::new_checked(&out), Ok(&header));

        let (mut head, _) = ControlHead::read_from_prefix(&bytes).unwrap();
        head.zero = U64::new(0);
        let mut out = [0; ControlHead::BYTES];
        head.emit(&mut out);
        prop_assert_eq!(ControlHead::new_checked(&out), Ok(&head));
    }

    #[test]
    fn messages_come_back_in_order_whatever_their_lengths(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..99), 0..20),
    ) {
        let messages: Vec<_> = bodies.iter().map(|body| message(1, 1, body)).collect();
        let bytes = area(&messages);
        let mut read = Records::new(&bytes);
        for bytes in &messages {
            prop_assert_eq!(read.step(), Ok(Some(whole(bytes))));
        }
        prop_assert_eq!(read.step(), Ok(None));
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_records_stay_inside(
        bytes in prop::collection::vec(prop_oneof![3 => Just(0), 1 => any::<u8>()], 0..400),
    ) {
        let _ = LinkHeader::parse(&bytes);
        let _ = MessageHeader::parse(&bytes);
        let (mut total, mut records) = (0, Records::new(&bytes));
        while let Ok(Some(record)) = records.step() {
            total += match record {
                Record::Message(message) => {
                    padded(ShortHeader::BYTES + message.header.length.get() as usize)
                }
                Record::Control(head, body) => {
                    let _ = Control::parse(head, body);
                    padded(ControlHead::BYTES + body.len())
                }
            };
        }
        prop_assert!(total <= bytes.len() && total.is_multiple_of(RECORD_ALIGN));
    }
}

#[test]
fn how_long_somebody_was_away_is_said_to_a_factor_of_four() {
    let said =
        |ns| LinkHeader { flags: LinkHeader::away_flags(ns), ..Default::default() }.away_ns();
    for ns in (14..26).map(|bits| 1 << bits) {
        assert!(said(ns) > ns && said(ns) <= 4 * ns, "{ns} {}", said(ns));
    }
    assert_eq!([said(0), said((1 << 14) - 1), said(1 << 26)], [0, 0, u64::MAX]);
}
