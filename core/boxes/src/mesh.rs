//! Rings between the reactors of a box: one for each ordered pair, single producer, single consumer.
//!
//! A ring is made of cache lines. Records stand there as in a frame, one behind the other, with short headers where those
//! say enough: a small one costs no more transfers between cores than its bytes. They are copied there when they are
//! published, and read there. What is too large for that lies on the heap, and its handle goes through a second ring;
//! a control record stands for it.
//!
//! Of a turn's records the first is published at once, since somebody may wait for it; those behind it are, some at a
//! time, as the receiver would otherwise fetch the ring's end anew for each. What is published together begins a line,
//! with a whole header.
//!
//! A record is settled when its receiver is done with it, or has said by the other ring what became of it:
//! it came back, or waits there, and is told of once more when it is done. The receiver counts, and the
//! sender, who keeps no record but what each was, reads the count once a turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use daedal_model::id::Number;
use daedal_net::cache::fetch_to_read;
use daedal_net::link::Stream;
use daedal_net::wire::control;
use daedal_net::wire::message::MessageHeader;
use daedal_net::wire::record::{self, ControlHead, Records};
use rtrb::chunks::ReadChunk;
use rtrb::{Consumer, Producer, RingBuffer};
use zerocopy::{FromBytes, IntoBytes};

use crate::conversation::ConversationIndex;
use crate::gather::Which;
use crate::plane::Parcel;
use crate::record::{ALONE, Record};

mod lines;
mod under_way;

use lines::{LINE_BYTES, Line, LineWriter, RECORD_BYTES_MAX, SHOWN_LINES, SHOWN_LINES_MAX, lines};
use under_way::UnderWay;

pub(crate) use lines::RING_LINES;

/// Room that a message finds at the least where it is written, in bytes; one that is longer than what it finds is copied
/// there.
const ROOM_BYTES: usize = 256;
/// Lines that are looked at together: what was published together and begins among the first [`SHOWN_LINES`] is there to
/// its end.
const READ_LINES_MAX: usize = SHOWN_LINES + SHOWN_LINES_MAX;
/// Kind of the control record that stands for the next large record: no link has it.
const LARGE: u8 = u8::MAX;
/// Lines that the receiver has its core fetch at once: what most records take. It would wait for one after the other.
const FETCHED_LINES: usize = 4;
/// Records under way from which on each turn looks at what the receiver has settled.
const UNDER_WAY_MARK: u64 = 64;
/// Large records under way in one ring.
const LARGE_COUNT_MAX: usize = 64;

/// The sending end.
#[derive(Debug)]
pub(crate) struct RingSender {
    lines: LineWriter,
    /// Whether one was published since the turn began.
    has_published: bool,
    /// The message that may have a short header, if it comes next.
    follows: Option<(Stream, Number)>,
    large: Producer<Vec<u8>>,
    /// Length of the longest record that found no room, until there is room for it.
    refused_bytes: Option<usize>,
    under_way: UnderWay,
    /// Records that the receiver has settled: it writes this.
    taken: Arc<Taken>,
}

/// How many records are settled. It is on a line of its own: whatever else were there, another core would fetch with it.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Taken(AtomicU64);

/// The receiving end.
#[derive(Debug)]
pub(crate) struct RingReceiver {
    lines: Consumer<Line>,
    large: Consumer<Vec<u8>>,
    /// What wraps round the end of the ring, put together.
    whole: Vec<u8>,
    /// Records that were popped.
    popped: u64,
    /// Those of them that are settled, as the sender reads.
    taken: Arc<Taken>,
}

/// Both ends of a new ring.
pub(crate) fn ring() -> (RingSender, RingReceiver) {
    let (lines_in, lines_out) = lines();
    let (large_in, large_out) = RingBuffer::new(LARGE_COUNT_MAX);
    let whole = Vec::with_capacity(READ_LINES_MAX * LINE_BYTES);
    let taken = Arc::new(Taken::default());
    (
        RingSender {
            lines: lines_in,
            has_published: false,
            follows: None,
            large: large_in,
            refused_bytes: None,
            under_way: UnderWay::default(),
            taken: taken.clone(),
        },
        RingReceiver { lines: lines_out, large: large_out, whole, popped: 0, taken },
    )
}

impl RingSender {
    /// Takes a record, and publishes it with the turn's last at the latest; `false`, and nothing is changed, when there is
    /// no room for it. `name`: which message it is; none, if it tells what became of one.
    pub fn push(&mut self, record: &mut Parcel<'_>, name: Option<Which>) -> bool {
        let pushed = self.try_push(record);
        if pushed {
            self.under_way.push(name);
        } else {
            self.refused_bytes = self.refused_bytes.max(Some(record.len()));
        }
        pushed
    }

    /// Whether [`RingSender::room`] has as much as a message finds at the least.
    #[inline]
    pub fn has_room(&mut self) -> bool {
        self.lines.has(ROOM_BYTES)
    }

    /// Whether this message of a stream may have a short header in the room that there is.
    #[inline]
    pub fn follows(&self, stream: Stream, number: Number) -> bool {
        self.follows == Some((stream, number))
    }

    /// The room that there is for a record that travels in the ring itself.
    #[inline]
    pub fn room(&mut self) -> &mut [u8] {
        self.lines.room()
    }

    /// Takes a record of so many bytes that was written to the room: this message. `stream`: what the next one may belong
    /// to, too.
    #[inline]
    pub fn written(&mut self, bytes: usize, name: Which, stream: Option<Stream>) {
        self.under_way.push(Some(name));
        self.follows = stream.map(|it| (it, Number(name.1.0.wrapping_add(1))));
        self.end(bytes);
    }

    /// Whether it is time to see what the receiver has settled. Its count is on a cache line of its own, which
    /// costs as much to fetch as a message, so it is not looked at for each.
    pub fn has_much_under_way(&self) -> bool {
        self.under_way.count() >= UNDER_WAY_MARK
    }

    /// How many records the receiver has settled by now. What of them came back stands in the other ring.
    pub fn taken(&self) -> u64 {
        self.taken.0.load(Ordering::Acquire)
    }

    /// A record was told of: it is not done once it is settled.
    pub fn told_of(&mut self, at: ConversationIndex, number: Number) {
        self.under_way.told_of(at, number);
    }

    /// The next messages that are done, of the first `taken` records: the first of them, and how many.
    pub fn next_done(&mut self, taken: u64) -> Option<(Which, u64)> {
        self.under_way.next_done(taken)
    }

    /// Whether all is settled, as far as is known here.
    pub fn is_settled(&self) -> bool {
        self.under_way.count() == 0
    }

    /// Lines that the receiver has not read yet, as far as is known here.
    pub fn lines_used(&self) -> usize {
        self.lines.used()
    }

    /// Whether a record waits for room, as far as is known here. Once there is room for it, this is so
    /// one last time: for the turn that tries again.
    pub fn is_waited_for(&mut self) -> bool {
        let Some(bytes) = self.refused_bytes else { return false };
        if self.has_room_for(bytes) {
            self.refused_bytes = None;
        }
        true
    }

    /// Ends the turn: publishes what was taken. Whether anything was.
    pub fn flush(&mut self) -> bool {
        let has_some = self.lines.hidden() > 0;
        if has_some {
            self.lines.end_line();
            self.publish();
        }
        self.has_published = false;
        has_some
    }

    fn try_push(&mut self, record: &mut Parcel<'_>) -> bool {
        let has_room = self.has_room_for(record.len());
        if has_room {
            if record.len() > RECORD_BYTES_MAX {
                let pushed = self.large.push(record.take());
                pushed.expect("there was room, and we are the only producer");
                let stands_for_it = ControlHead { kind: LARGE, ..ControlHead::default() };
                stands_for_it.emit(self.lines.room());
                self.lines.written(ControlHead::BYTES);
                self.publish();
            } else {
                self.lines.room()[..record.len()].copy_from_slice(record);
                self.follows = None;
                self.end(record.len());
            }
        }
        has_room
    }

    fn has_room_for(&mut self, bytes: usize) -> bool {
        if bytes > RECORD_BYTES_MAX {
            !self.large.is_full() && self.lines.has(ControlHead::BYTES)
        } else {
            self.lines.has(bytes)
        }
    }

    /// A message of so many bytes was written to the room.
    #[inline]
    fn end(&mut self, bytes: usize) {
        let is_first = !self.has_published;
        if is_first {
            let header = MessageHeader::mut_from_prefix(self.lines.room());
            header.expect("it is there").0.flags |= ALONE;
        }
        self.lines.written(bytes);
        if is_first {
            self.publish();
        } else if self.lines.hidden() >= SHOWN_LINES {
            self.lines.end_line();
            self.publish();
        }
    }

    #[inline]
    fn publish(&mut self) {
        self.has_published = true;
        self.lines.show();
        self.follows = None;
    }
}

impl RingReceiver {
    /// Hands over the next records, `most` of them and those behind that cannot be read without them; says how many.
    /// Their lines are free after the last of them: the sender, who waits for that in a full ring, would otherwise
    /// fetch the ring's start anew for each.
    pub fn pop(&mut self, most: usize, mut take: impl FnMut(&Record<'_>)) -> usize {
        let there = self.lines.slots().min(READ_LINES_MAX);
        let chunk = self.lines.read_chunk(there).expect("so many are there");
        let area = in_one(&chunk, &mut self.whole);
        let mut records = Records::new(area);
        let mut count = 0;
        let read_bytes = loop {
            let read_bytes = area.len() - records.left();
            let is_enough = count >= most || read_bytes >= SHOWN_LINES * LINE_BYTES;
            if is_enough && read_bytes.is_multiple_of(LINE_BYTES) && !records.is_next_short() {
                break read_bytes;
            }
            let is_last_of_line = match records.step() {
                Ok(None) => break read_bytes,
                Ok(Some(record::Record::Message(message))) => {
                    take(&Record::of_ours(message));
                    count += 1;
                    message.header.has(ALONE)
                }
                Ok(Some(record::Record::Control(head, _))) => {
                    if head.kind == LARGE {
                        let large = self.large.pop().expect("it was pushed before its head");
                        take(&Record::of(&large));
                        count += 1;
                    } else {
                        debug_assert_eq!(head.kind, control::PAD);
                    }
                    true
                }
                Err(reason) => unreachable!("reactors of a box write whole records: {reason:?}"),
            };
            if is_last_of_line {
                records.skip(records.left() % LINE_BYTES);
            }
        };
        chunk.commit(read_bytes / LINE_BYTES);
        self.popped += count as u64;
        count
    }

    /// Tells the sender that all that was popped is settled.
    pub fn settle(&self) {
        if self.taken.0.load(Ordering::Relaxed) != self.popped {
            self.taken.0.store(self.popped, Ordering::Release);
        }
    }

    /// Whether something is there.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

/// All of the chunk; if it wraps round the end of the ring, copied to `whole`.
#[inline]
fn in_one<'a>(chunk: &'a ReadChunk<'_, Line>, whole: &'a mut Vec<u8>) -> &'a [u8] {
    let (first, second) = chunk.as_slices();
    first.iter().take(FETCHED_LINES).for_each(|line| fetch_to_read(line));
    if second.is_empty() {
        return first.as_bytes();
    }
    whole.clear();
    whole.extend_from_slice(first.as_bytes());
    whole.extend_from_slice(second.as_bytes());
    whole
}

#[cfg(test)]
mod tests {
    use daedal_net::wire::message::ShortHeader;

    use super::*;

    fn record(bytes: usize, mark: u8) -> Vec<u8> {
        let mut record = vec![mark; MessageHeader::BYTES + bytes];
        let header = MessageHeader {
            destination: 1.into(),
            length: (bytes as u32).into(),
            ..MessageHeader::default()
        };
        header.emit(&mut record);
        record
    }

    fn push(sender: &mut RingSender, bytes: usize, mark: u8) -> bool {
        sender.push(&mut Parcel::Given(&mut record(bytes, mark)), None)
    }

    #[test]
    fn records_of_all_sizes_come_out_as_they_went_in() {
        let (mut sender, mut receiver) = ring();
        let sizes = [0, 1, 63, 64, 65, 1000, 4032, 4033, 100_000];
        for round in 0..200u8 {
            for bytes in sizes {
                assert!(push(&mut sender, bytes, round));
            }
            sender.flush();
            let mut left = sizes.iter();
            let mut check = |got: &Record<'_>| {
                let bytes = left.next().expect("no more come out than went in");
                assert_eq!(got.to_vec(), record(*bytes, round));
            };
            // As many at a time as there may be, from wherever the round before has left the ring.
            let most = if round % 2 == 0 { usize::MAX } else { 2 };
            while receiver.pop(most, &mut check) > 0 {}
            assert_eq!(left.next(), None);
        }
        assert_eq!(receiver.pop(1, |_| panic!("it is empty")), 0);
    }

    /// Writes the next message of a stream to the room, with a short header if it may have one: as long as its number
    /// modulo 200 says.
    fn write(sender: &mut RingSender, stream: Stream, number: u64) -> bool {
        let bytes = number as usize % 200;
        let is_short = sender.follows(stream, Number(number));
        let mut bytes_of_it = record(bytes, number as u8);
        if is_short {
            let length = (bytes as u16).into();
            let (zero, kind, flags, floor) = (0.into(), control::MESSAGE, 0, 0.into());
            let head = ShortHeader { zero, kind, flags, length, floor };
            bytes_of_it.drain(..MessageHeader::BYTES - ShortHeader::BYTES);
            head.emit(&mut bytes_of_it);
        } else {
            let header = *Record::of(&bytes_of_it).header();
            MessageHeader { number: number.into(), ..header }.emit(&mut bytes_of_it);
        }
        assert!(sender.has_room() && sender.room().len() >= bytes_of_it.len());
        sender.room()[..bytes_of_it.len()].copy_from_slice(&bytes_of_it);
        sender.written(bytes_of_it.len(), (ConversationIndex(7), Number(number)), Some(stream));
        is_short
    }

    fn push_numbered(sender: &mut RingSender, (bytes, number): (usize, u64)) -> bool {
        let mut bytes = record(bytes, number as u8);
        let header = *Record::of(&bytes).header();
        MessageHeader { number: number.into(), ..header }.emit(&mut bytes);
        sender.push(&mut Parcel::Given(&mut bytes), None)
    }

    /// Now and then another writes, or what is no stream's stands between.
    #[test]
    fn a_stream_is_read_as_if_each_message_had_a_whole_header() {
        let (mut sender, mut receiver) = ring();
        let (one, other) = (Stream::MIN, Stream::MAX);
        let (mut number, mut shorts, mut came) = (0, 0, 0);
        for turn in 0..500u64 {
            for at in 0..turn % 70 {
                let bytes = number as usize % 200;
                match at % 23 {
                    19 => assert!(push_numbered(&mut sender, (bytes, number))),
                    21 => assert!(push_numbered(&mut sender, (bytes + 10_000, number))),
                    it => {
                        let stream = if it == 10 { other } else { one };
                        shorts += u64::from(write(&mut sender, stream, number));
                    }
                }
                number += 1;
            }
            sender.flush();
            let most = [usize::MAX, 1, 40][turn as usize % 3];
            let mut read = |got: &Record<'_>| {
                assert_eq!(got.number(), Number(came));
                let bytes = came as usize % 200;
                assert_eq!(got.body()[..bytes], vec![came as u8; bytes]);
                came += 1;
            };
            // Some are left for the next turn.
            let mut left = if turn % 2 == 0 { 2 } else { usize::MAX };
            while left > 0 && receiver.pop(most, &mut read) > 0 {
                left -= 1;
            }
        }
        assert!(shorts > number / 2, "{shorts} of {number}");
        assert!(!sender.follows(one, Number(number)), "what is published next begins a line");
    }

    #[test]
    fn a_full_ring_takes_nothing_and_loses_nothing() {
        let (mut sender, mut receiver) = ring();
        let mut pushed = 0;
        while push(&mut sender, LINE_BYTES, 1) {
            pushed += 1;
        }
        assert_eq!(pushed, RING_LINES / 2);
        assert!(!push(&mut sender, 100_000, 1));
        assert!(sender.flush() && sender.is_waited_for());
        let mut popped = 0;
        let mut pop_all = || while receiver.pop(usize::MAX, |_| popped += 1) > 0 {};
        pop_all();
        assert_eq!(popped, pushed);
        // Once more for who tries again.
        assert_eq!([(); 2].map(|()| sender.is_waited_for()), [true, false]);
    }

    #[test]
    fn of_a_turn_the_first_is_there_at_once_and_the_others_some_at_a_time() {
        let (mut sender, mut receiver) = ring();
        for _ in 0..2 {
            let mut there = 0;
            for _ in 0..SHOWN_LINES {
                assert!(push(&mut sender, LINE_BYTES, 1));
                there += receiver.pop(usize::MAX, |_| ());
            }
            assert_eq!(there, 1 + SHOWN_LINES / 2);
            assert!(sender.flush());
            there += receiver.pop(usize::MAX, |_| ());
            assert_eq!(there, SHOWN_LINES);
        }
    }

    #[test]
    fn what_was_popped_is_done_once_it_is_settled_but_for_what_was_told_of() {
        let (mut sender, mut receiver) = ring();
        let name = |number| (ConversationIndex(7), Number(number));
        (0..4).for_each(|number| {
            let mut record = record(LINE_BYTES, 1);
            assert!(sender.push(&mut Parcel::Given(&mut record), Some(name(number))));
        });
        sender.flush();
        assert_eq!(receiver.pop(3, |_| ()), 3);
        assert_eq!(sender.taken(), 0);
        receiver.settle();
        sender.told_of(ConversationIndex(7), Number(1));
        let taken = sender.taken();
        let done: Vec<_> = std::iter::from_fn(|| sender.next_done(taken)).collect();
        assert_eq!(done, [(name(0), 1), (name(2), 1)]);
        assert!(!sender.is_settled());
    }
}
