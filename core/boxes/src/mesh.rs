//! Rings between the reactors of a box: one for each ordered pair, single producer, single consumer.
//!
//! A ring is made of cache lines; a message takes as many as it needs, published at once, so a small one
//! costs no more transfers between cores than its bytes. What is too large for that goes on the heap and
//! its handle through a second ring; its head says so.

use rtrb::{Consumer, Producer, RingBuffer};

use daedal_net::wire::message::MessageHeader;

/// Bytes of a cache line.
const LINE_BYTES: usize = 64;
/// Lines of a ring: 256 KiB, half of what a core's own cache holds.
const RING_LINES: usize = 4096;
/// Largest record that travels in the ring itself.
const INLINE_BYTES_MAX: usize = 64 * LINE_BYTES;
/// Large records under way in one ring.
const LARGE_COUNT_MAX: usize = 64;

type Line = [u8; LINE_BYTES];

/// The sending end.
#[derive(Debug)]
pub(crate) struct RingSender {
    lines: Producer<Line>,
    large: Producer<Box<[u8]>>,
    /// Length of the longest record that found no room, until there is room for it.
    refused_bytes: Option<usize>,
}

/// The receiving end.
#[derive(Debug)]
pub(crate) struct RingReceiver {
    lines: Consumer<Line>,
    large: Consumer<Box<[u8]>>,
    /// A record that wrapped round the end of the ring, put together.
    whole: Vec<u8>,
}

/// Both ends of a new ring.
pub(crate) fn ring() -> (RingSender, RingReceiver) {
    let (lines_in, lines_out) = RingBuffer::new(RING_LINES);
    let (large_in, large_out) = RingBuffer::new(LARGE_COUNT_MAX);
    (
        RingSender { lines: lines_in, large: large_in, refused_bytes: None },
        RingReceiver { lines: lines_out, large: large_out, whole: Vec::new() },
    )
}

impl RingSender {
    /// Publishes a record; `false`, and nothing is changed, when there is no room for it.
    pub fn push(&mut self, record: &[u8]) -> bool {
        let pushed = self.try_push(record);
        if !pushed {
            self.refused_bytes = self.refused_bytes.max(Some(record.len()));
        }
        pushed
    }

    /// Whether a record waits for room, as far as is known here. Once there is room for it, this is so
    /// one last time: for the turn that tries again.
    pub fn is_waited_for(&mut self) -> bool {
        let Some(bytes) = self.refused_bytes else { return false };
        let has_room = if bytes > INLINE_BYTES_MAX {
            !self.large.is_full() && !self.lines.is_full()
        } else {
            self.lines.slots() >= bytes.div_ceil(LINE_BYTES)
        };
        if has_room {
            self.refused_bytes = None;
        }
        true
    }

    fn try_push(&mut self, record: &[u8]) -> bool {
        if record.len() > INLINE_BYTES_MAX {
            return self.push_large(record);
        }
        let Ok(chunk) = self.lines.write_chunk_uninit(record.len().div_ceil(LINE_BYTES)) else {
            return false;
        };
        chunk.fill_from_iter(record.chunks(LINE_BYTES).map(|part| {
            let mut line = [0; LINE_BYTES];
            line[..part.len()].copy_from_slice(part);
            line
        }));
        true
    }

    /// A header whose length says more than a ring carries announces a large record.
    fn push_large(&mut self, record: &[u8]) -> bool {
        if self.large.is_full() || self.lines.is_full() {
            return false;
        }
        let mut head = [0; LINE_BYTES];
        head.copy_from_slice(&record[..LINE_BYTES]);
        self.large.push(record.into()).expect("there was room, and we are the only producer");
        self.lines.push(head).expect("there was room, and we are the only producer");
        true
    }
}

impl RingReceiver {
    /// Hands over the next record, if there is one; says whether there was.
    pub fn pop(&mut self, take: impl FnOnce(&[u8])) -> bool {
        let Ok(head) = self.lines.peek() else { return false };
        let header =
            MessageHeader::new_checked(head).expect("reactors of a box write whole records");
        let bytes = MessageHeader::BYTES + header.length.get() as usize;
        if bytes > INLINE_BYTES_MAX {
            let record = self.large.pop().expect("it was pushed before its head");
            self.lines.pop().expect("it was looked at");
            take(&record);
            return true;
        }
        let lines = bytes.div_ceil(LINE_BYTES);
        let chunk = self.lines.read_chunk(lines).expect("a record's lines are published at once");
        let (first, second) = chunk.as_slices();
        if second.is_empty() {
            take(&first.as_flattened()[..bytes]);
        } else {
            self.whole.clear();
            self.whole.extend_from_slice(first.as_flattened());
            self.whole.extend_from_slice(second.as_flattened());
            take(&self.whole[..bytes]);
        }
        chunk.commit_all();
        true
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

    #[test]
    fn records_of_all_sizes_come_out_as_they_went_in() {
        let (mut sender, mut receiver) = ring();
        let sizes = [0, 1, 63, 64, 65, 1000, 4032, 4033, 100_000];
        for round in 0..200u8 {
            for bytes in sizes {
                assert!(sender.push(&record(bytes, round)));
            }
            for bytes in sizes {
                assert!(receiver.pop(|got| assert_eq!(got, record(bytes, round))));
            }
        }
        assert!(!receiver.pop(|_| panic!("it is empty")));
    }

    #[test]
    fn a_full_ring_takes_nothing_and_loses_nothing() {
        let (mut sender, mut receiver) = ring();
        let mut pushed = 0;
        while sender.push(&record(40, 1)) {
            pushed += 1;
        }
        assert_eq!(pushed, RING_LINES / 2);
        assert!(!sender.push(&record(100_000, 1)));
        let mut popped = 0;
        while receiver.pop(|_| ()) {
            popped += 1;
        }
        assert_eq!(popped, pushed);
    }
}
