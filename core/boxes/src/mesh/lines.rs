//! Cache lines from one core to another, written some at a time.
//!
//! They are written here and copied to the ring together, not written there one after the other: a line of the ring is
//! the reader's core's until it was fetched, and while a store waits for that, so does each load behind it that is not
//! served by one store before it. Asks took a quarter longer.

use rtrb::{Consumer, Producer, RingBuffer};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Bytes of a cache line.
pub(super) const LINE_BYTES: usize = 64;
/// Lines of a ring: 256 KiB, half of what a core's own cache holds.
pub(crate) const RING_LINES: usize = 4096;
/// Lines of the largest record.
pub(super) const RECORD_LINES_MAX: usize = 64;
/// Lines that are shown at once, but for a last record: as many as fit in a core's nearest cache beside the rest.
pub(super) const SHOWN_LINES: usize = 64;
const HIDDEN_LINES_MAX: usize = SHOWN_LINES + RECORD_LINES_MAX;

/// It begins where the cores' own do.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
pub(super) struct Line([u8; LINE_BYTES]);

/// The writing end.
#[derive(Debug)]
pub(super) struct LineWriter {
    lines: Producer<Line>,
    /// The first of them are written, and not shown yet.
    written: Box<[Line; HIDDEN_LINES_MAX]>,
    hidden: usize,
}

/// Both ends of a new ring.
pub(super) fn lines() -> (LineWriter, Consumer<Line>) {
    let (lines, read) = RingBuffer::new(RING_LINES);
    let written = Box::new([Line([0; LINE_BYTES]); HIDDEN_LINES_MAX]);
    (LineWriter { lines, written, hidden: 0 }, read)
}

impl LineWriter {
    /// Whether there is room for so many behind those that are hidden.
    #[inline]
    pub fn has(&mut self, count: usize) -> bool {
        let count = self.hidden + count;
        self.lines.cached_slots() >= count || self.lines.slots() >= count
    }

    /// Those that are not read yet, as far as is known here.
    pub fn used(&self) -> usize {
        RING_LINES - self.lines.slots()
    }

    /// How many were written and are not shown yet.
    #[inline]
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// Room for a record: as much as it may take, or as there was said to be.
    #[inline]
    pub fn room(&mut self) -> &mut [u8] {
        let count = RECORD_LINES_MAX.min(self.lines.cached_slots() - self.hidden);
        self.written[self.hidden..][..count].as_mut_bytes()
    }

    /// So many bytes were written to the room.
    #[inline]
    pub fn written(&mut self, bytes: usize) {
        self.hidden += bytes.div_ceil(LINE_BYTES);
    }

    /// Shows what is hidden.
    #[inline]
    pub fn show(&mut self) {
        let shown = std::mem::take(&mut self.hidden);
        let whole = self.lines.push_entire_slice(&self.written[..shown]);
        whole.expect("it was said that there is room");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_is_not_read_and_takes_room() {
        let (mut writer, mut reader) = lines();
        let mut shown = 0;
        while writer.has(RECORD_LINES_MAX) {
            writer.room().fill(7);
            writer.written(RECORD_LINES_MAX * LINE_BYTES);
            assert_eq!((writer.hidden(), reader.slots()), (RECORD_LINES_MAX, shown));
            writer.show();
            shown += RECORD_LINES_MAX;
            assert_eq!((writer.hidden(), reader.slots(), writer.used()), (0, shown, shown));
        }
        assert_eq!((shown, writer.room().len()), (RING_LINES, 0));
        let chunk = reader.read_chunk(3).expect("they are shown");
        assert_eq!(chunk.as_slices().0[2].0, [7; LINE_BYTES]);
        chunk.commit_all();
        assert_eq!([3, 4].map(|count| writer.has(count)), [true, false]);
        assert_eq!(writer.room().len(), 3 * LINE_BYTES);
    }

    #[test]
    fn lines_are_those_of_cores() {
        let (mut writer, mut reader) = lines();
        writer.written(1);
        writer.show();
        let chunk = reader.read_chunk(1).expect("it is shown");
        assert_eq!(chunk.as_slices().0.as_ptr() as usize % LINE_BYTES, 0);
    }
}
