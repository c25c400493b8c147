//! Rings between the reactors of a box: one for each ordered pair, single producer, single consumer.
//!
//! A ring is made of cache lines; a message takes as many as it needs, published at once, so a small one
//! costs no more transfers between cores than its bytes; it is copied there when it is published, and read there. What is
//! too large for that lies on the heap, and its handle goes through a second ring; its head says so.
//!
//! Of a turn's records the first is published at once, since somebody may wait for it; those behind it are, some at a
//! time, as the receiver would otherwise fetch the ring's end anew for each.
//!
//! A record is settled when its receiver is done with it, or has said by the other ring what became of it:
//! it came back, or waits there, and is told of once more when it is done. The receiver counts, and the
//! sender, who keeps no record but what each was, reads the count once a turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use daedal_model::id::Number;
use rtrb::{Consumer, Producer, RingBuffer};
use zerocopy::IntoBytes;

use daedal_net::wire::message::MessageHeader;

use crate::conversation::ConversationIndex;
use crate::gather::Which;
use crate::plane::Parcel;

mod lines;
mod under_way;

use lines::{LINE_BYTES, Line, LineWriter, RECORD_LINES_MAX, SHOWN_LINES, lines};
use under_way::UnderWay;

pub(crate) use lines::RING_LINES;

/// Largest record that travels in the ring itself.
const INLINE_BYTES_MAX: usize = RECORD_LINES_MAX * LINE_BYTES;
/// Lines of room that a message finds at the least where it is written; one that is longer than what it finds is copied
/// there.
const ROOM_LINES: usize = 4;
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
    large: Producer<Vec<u8>>,
    /// Length of the longest record that found no room, until there is room for it.
    refused_bytes: Option<usize>,
    under_way: UnderWay,
    /// Records that the receiver has settled: it writes this.
    taken: Arc<AtomicU64>,
}

/// The receiving end.
#[derive(Debug)]
pub(crate) struct RingReceiver {
    lines: Consumer<Line>,
    large: Consumer<Vec<u8>>,
    /// A record that wrapped round the end of the ring, put together.
    whole: Vec<u8>,
    /// Records that were popped.
    popped: u64,
    /// Those of them that are settled, as the sender reads.
    taken: Arc<AtomicU64>,
}

/// Both ends of a new ring.
pub(crate) fn ring() -> (RingSender, RingReceiver) {
    let (lines_in, lines_out) = lines();
    let (large_in, large_out) = RingBuffer::new(LARGE_COUNT_MAX);
    let taken = Arc::new(AtomicU64::new(0));
    (
        RingSender {
            lines: lines_in,
            has_published: false,
            large: large_in,
            refused_bytes: None,
            under_way: UnderWay::default(),
            taken: taken.clone(),
        },
        RingReceiver { lines: lines_out, large: large_out, whole: Vec::new(), popped: 0, taken },
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
        self.lines.has(ROOM_LINES)
    }

    /// The room that there is for a record that travels in the ring itself, header first.
    #[inline]
    pub fn room(&mut self) -> &mut [u8] {
        self.lines.room()
    }

    /// Takes a record of so many bytes that was written to the room: this message.
    #[inline]
    pub fn written(&mut self, bytes: usize, name: Which) {
        self.under_way.push(Some(name));
        self.lines.written(bytes);
        self.publish_some();
    }

    /// Whether it is time to see what the receiver has settled. Its count is on a cache line of its own, which
    /// costs as much to fetch as a message, so it is not looked at for each.
    pub fn has_much_under_way(&self) -> bool {
        self.under_way.count() >= UNDER_WAY_MARK
    }

    /// How many records the receiver has settled by now. What of them came back stands in the other ring.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Acquire)
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
        self.has_published = false;
        let has_some = self.lines.hidden() > 0;
        if has_some {
            self.lines.show();
        }
        has_some
    }

    fn try_push(&mut self, record: &mut Parcel<'_>) -> bool {
        let has_room = self.has_room_for(record.len());
        if has_room {
            // A header whose length says more than a ring carries announces a large record.
            let is_large = record.len() > INLINE_BYTES_MAX;
            let inline = if is_large { LINE_BYTES } else { record.len() };
            self.lines.room()[..inline].copy_from_slice(&record[..inline]);
            self.lines.written(inline);
            if is_large {
                let pushed = self.large.push(record.take());
                pushed.expect("there was room, and we are the only producer");
            }
            self.publish_some();
        }
        has_room
    }

    fn has_room_for(&mut self, bytes: usize) -> bool {
        if bytes > INLINE_BYTES_MAX {
            !self.large.is_full() && self.lines.has(1)
        } else {
            self.lines.has(bytes.div_ceil(LINE_BYTES))
        }
    }

    /// One more record is there.
    #[inline]
    fn publish_some(&mut self) {
        let is_first = !std::mem::replace(&mut self.has_published, true);
        if is_first || self.lines.hidden() >= SHOWN_LINES {
            self.lines.show();
        }
    }
}

impl RingReceiver {
    /// Hands over the next records, `most` of them at most and as many as are published together; says how many.
    /// Their lines are free after the last of them: the sender, who waits for that in a full ring, would otherwise
    /// fetch the ring's start anew for each.
    pub fn pop(&mut self, most: usize, mut take: impl FnMut(&[u8])) -> usize {
        let there = self.lines.slots();
        let chunk = self.lines.read_chunk(there).expect("so many are there");
        let (first, second) = chunk.as_slices();
        let (mut at, mut count) = (0, 0);
        while count < most && at < there.min(SHOWN_LINES) {
            let head = first.get(at).unwrap_or_else(|| &second[at - first.len()]);
            let header = MessageHeader::new_checked(head.as_bytes())
                .expect("reactors of a box write whole records");
            let bytes = MessageHeader::BYTES + header.length.get() as usize;
            count += 1;
            if bytes > INLINE_BYTES_MAX {
                at += 1;
                take(&self.large.pop().expect("it was pushed before its head"));
                continue;
            }
            let end = at + bytes.div_ceil(LINE_BYTES);
            if end <= first.len() {
                take(&first[at..end].as_bytes()[..bytes]);
            } else if at >= first.len() {
                take(&second[at - first.len()..].as_bytes()[..bytes]);
            } else {
                self.whole.clear();
                self.whole.extend_from_slice(first[at..].as_bytes());
                self.whole.extend_from_slice(second[..end - first.len()].as_bytes());
                take(&self.whole[..bytes]);
            }
            at = end;
        }
        chunk.commit(at);
        self.popped += count as u64;
        count
    }

    /// Tells the sender that all that was popped is settled.
    pub fn settle(&self) {
        if self.taken.load(Ordering::Relaxed) != self.popped {
            self.taken.store(self.popped, Ordering::Release);
        }
    }

    /// Whether something is there.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

#[cfg(test)]
mod tests {
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
            let mut check = |got: &[u8]| {
                let bytes = left.next().expect("no more come out than went in");
                assert_eq!(got, record(*bytes, round));
            };
            // As many at a time as there may be, from wherever the round before has left the ring.
            let most = if round % 2 == 0 { usize::MAX } else { 2 };
            while receiver.pop(most, &mut check) > 0 {}
            assert_eq!(left.next(), None);
        }
        assert_eq!(receiver.pop(1, |_| panic!("it is empty")), 0);
    }

    #[test]
    fn a_full_ring_takes_nothing_and_loses_nothing() {
        let (mut sender, mut receiver) = ring();
        let mut pushed = 0;
        while push(&mut sender, 40, 1) {
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
                assert!(push(&mut sender, 40, 1));
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
            assert!(sender.push(&mut Parcel::Given(&mut record(40, 1)), Some(name(number))))
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
