//! Large messages in segments. From a peer that makes them up: each is taken or refused, and comes out whole,
//! as an obvious model says, and only so many are half assembled. From an honest peer, over a network that
//! loses, doubles and delays: each comes out once, as it was sent.
//! Input: 1 byte, odd for the honest peer; then 6 bytes a segment, or 1 byte a turn and a frame's fate.

use std::collections::BTreeMap;

use daedal_net::error::DropReason;
use daedal_net::limits::{LARGE_AT_ONCE, LARGE_BYTES_AT_ONCE, LARGE_BYTES_MAX};
use daedal_net::link::LinkEvent;
use daedal_net::wire::U48;
use daedal_net::wire::control::SEGMENT;
use daedal_net::wire::link::LinkHeader;
use daedal_net::wire::message::MessageHeader;

use crate::ends::{End, opened};

const RECORD_BYTES_MAX: usize = MessageHeader::BYTES + LARGE_BYTES_MAX;
/// Segments, or turns with faults, of one input.
const STEPS_MAX: usize = 300;
/// Its number: those before it are missing, as far as the link knows.
const FIRST_PACKET: u64 = 50;
/// What the model keeps of a message: those that are longer never get whole in one input.
const KEPT_BYTES: usize = 1 << 17;

/// A message record of so many bytes.
fn record(number: u64, bytes: usize) -> Vec<u8> {
    let length = (bytes - MessageHeader::BYTES) as u32;
    let header = MessageHeader {
        destination: 1.into(),
        number: number.into(),
        length: length.into(),
        ..Default::default()
    };
    let mut record: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
    header.emit(&mut record);
    record
}

/// A packet with one segment.
fn packet(header: LinkHeader, id: u32, total: u32, offset: u32, bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; LinkHeader::BYTES];
    header.emit(&mut frame);
    frame.extend([0; 8]);
    frame.extend([SEGMENT, 0]);
    frame.extend((16 + bytes.len() as u16).to_le_bytes());
    frame.extend(id.to_le_bytes());
    frame.extend(total.to_le_bytes());
    frame.extend(offset.to_le_bytes());
    frame.extend([0; 8]);
    frame.extend(bytes);
    frame.resize(frame.len().next_multiple_of(16) + 6, 0);
    frame
}

/// What is half assembled: by id, the record as far as it is kept, its length, and how many bytes came.
#[derive(Default)]
struct Model {
    halves: BTreeMap<u32, (Vec<u8>, usize, usize)>,
}

impl Model {
    fn take(
        &mut self,
        id: u32,
        total: usize,
        offset: usize,
        bytes: &[u8],
    ) -> Result<Option<Vec<u8>>, DropReason> {
        if total > RECORD_BYTES_MAX {
            return Err(DropReason::LargeTooLong);
        }
        let fits = !bytes.is_empty() && total >= MessageHeader::BYTES;
        if !fits || offset + bytes.len() > total {
            return Err(DropReason::BadSegment);
        }
        let together: usize = self.halves.values().map(|(_, total, _)| total).sum();
        let is_full = self.halves.len() == LARGE_AT_ONCE || together + total > LARGE_BYTES_AT_ONCE;
        if !self.halves.contains_key(&id) && is_full {
            return Err(DropReason::LargeTooMany);
        }
        let kept = || (vec![0; total.min(KEPT_BYTES)], total, 0);
        let (half, length, came) = self.halves.entry(id).or_insert_with(kept);
        if *length != total || *came + bytes.len() > total {
            return Err(DropReason::BadSegment);
        }
        *came += bytes.len();
        for (at, byte) in (offset..).zip(bytes) {
            if let Some(place) = half.get_mut(at) {
                *place = *byte;
            }
        }
        let is_whole = *came == total;
        Ok(if is_whole { self.halves.remove(&id).map(|(record, ..)| record) } else { None })
    }
}

fn made_up(data: &[u8]) {
    let (mut ends, header) = opened(None);
    let [_, end] = &mut ends;
    let mut model = Model::default();
    let mut next = FIRST_PACKET;
    let (mut bad, mut now) = (0, 10);
    for segment in data.as_chunks::<6>().0.iter().take(STEPS_MAX) {
        let [how, id, low, high, at, length] = *segment;
        let total = match how & 3 {
            0 | 1 => usize::from(u16::from_le_bytes([low, high])),
            2 => RECORD_BYTES_MAX - 8 + usize::from(low & 15),
            _ => u32::from_le_bytes([low, high, at, length]) as usize,
        };
        let from_the_end = total.saturating_sub(usize::from(at));
        let offset = if how & 4 == 0 { usize::from(at) * 16 } else { from_the_end };
        let offset = if how & 24 == 24 { u32::MAX as usize } else { offset };
        let bytes = if how & 32 == 0 { usize::from(length) * 4 } else { usize::from(length) };
        let whole = record(7, total.clamp(MessageHeader::BYTES, KEPT_BYTES));
        let mut bytes = whole.iter().skip(offset).take(bytes.min(900)).copied().collect::<Vec<_>>();
        if how & 64 != 0 {
            bytes.iter_mut().for_each(|byte| *byte ^= id);
        }
        let id = u32::from(id % 8);
        let header = LinkHeader { packet: U48::new(next), flags: 0, ..header };
        let told = packet(header, id, total as u32, offset as u32, &bytes);
        let expected = model.take(id, total, offset, &bytes);
        let heard = end.hear(now, &told).expect("nothing is kept").map(|arrival| arrival.packet);
        assert_eq!(heard, expected.as_ref().map(|_| None).map_err(|reason| *reason));
        next += u64::from(expected.is_ok());
        if let Ok(Some(record)) = expected {
            let is_one = MessageHeader::parse(&record).is_ok_and(|message| {
                MessageHeader::BYTES + message.header.length.get() as usize == record.len()
            });
            let told = end.link.next_event();
            assert_eq!(told, is_one.then_some(LinkEvent::Large { record }));
            bad += u64::from(!is_one);
        }
        assert_eq!(end.link.next_event(), None);
        assert_eq!(end.link.large_halves(), model.halves.len());
        assert_eq!(end.link.drops().of(DropReason::BadMessage), bad);
        now += 1;
        end.flush(now);
    }
    assert!(end.link.is_open());
}

/// What came out, and what was told to be received.
#[derive(Default)]
struct Told {
    large: BTreeMap<u64, Vec<u8>>,
    parked: BTreeMap<u64, Vec<u8>>,
}

impl Told {
    fn hear(&mut self, end: &mut End) {
        while let Some(event) = end.link.next_event() {
            let (of, number, record) = match event {
                LinkEvent::Large { record } => {
                    let header = MessageHeader::new_checked(&record).expect("whole");
                    (&mut self.large, header.number.get(), record)
                }
                LinkEvent::Parked { number, record, .. } => (&mut self.parked, number, record),
                other => panic!("{other:?}"),
            };
            assert!(of.insert(number, record).is_none(), "{number} twice");
        }
    }
}

fn honest(data: &[u8]) {
    let (mut ends, _) = opened(None);
    let mut fates = data.iter().copied();
    let (mut sent, mut told) = (BTreeMap::new(), Told::default());
    let mut late: Vec<(usize, Vec<u8>)> = Vec::new();
    let mut now = 10;
    for round in 0..2 * STEPS_MAX as u64 {
        let turn = if round < STEPS_MAX as u64 { fates.next() } else { None };
        now += if turn.is_some() { 7_000_000 } else { 50_000_000 };
        if let Some(turn) = turn.filter(|turn| *turn >= 128) {
            let record = record(round, 1000 + usize::from(turn & 127) * 97);
            if ends[0].link.send_large(record.clone(), 0, round).is_ok() {
                sent.insert(round, record);
            }
        }
        for from in 0..2 {
            let mut arrives = Vec::new();
            for bytes in ends[from].flush(now) {
                let fate = if turn.is_some() { fates.next() } else { None };
                match fate.map_or(5, |fate| fate % 12) {
                    0 | 1 => {}
                    2 => arrives.extend([bytes.clone(), bytes]),
                    3 => late.push((from, bytes)),
                    4 => {
                        late.push((from, bytes.clone()));
                        arrives.push(bytes);
                    }
                    _ => arrives.push(bytes),
                }
            }
            if turn.is_none_or(|turn| turn % 4 == 0) {
                let due: Vec<_> = late.extract_if(.., |(of, _)| *of == from).collect();
                arrives.extend(due.into_iter().rev().map(|(_, bytes)| bytes));
            }
            for bytes in arrives {
                let _ = ends[1 - from].hear(now, &bytes);
                assert!(ends[1 - from].link.large_halves() <= LARGE_AT_ONCE);
            }
            told.hear(&mut ends[1 - from]);
        }
        if turn.is_none() && (&told.large, &told.parked) == (&sent, &sent) {
            return;
        }
    }
    panic!("sent {:?}, came out {:?}", sent.keys(), told.large.keys());
}

/// One input.
pub fn run(data: &[u8]) {
    let [which, steps @ ..] = data else { return };
    if which & 1 == 0 { made_up(steps) } else { honest(steps) }
}
