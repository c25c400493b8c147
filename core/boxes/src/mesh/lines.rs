//! Cache lines from one core to another, with records in them one behind the other, written some at a time.
//!
//! They are written here and copied to the ring together, not written there one after the other: a line of the ring is
//! the reader's core's until it was fetched, and while a store waits for that, so does each load behind it that is not
//! served by one store before it. Asks took a quarter longer.

use daedal_net::wire::padded;
use rtrb::{Consumer, Producer, RingBuffer};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Bytes of a cache line.
pub(super) const LINE_BYTES: usize = 64;
/// Lines of a ring: 256 KiB, half of what a core's own cache holds.
pub(crate) const RING_LINES: usize = 4096;
/// Bytes of the largest record.
pub(super) const RECORD_BYTES_MAX: usize = 64 * LINE_BYTES;
/// Lines that are shown at once, but for a last record: as many as fit in a core's nearest cache beside the rest.
pub(super) const SHOWN_LINES: usize = 64;
/// Lines that are shown at once at the most.
pub(super) const SHOWN_LINES_MAX: usize = SHOWN_LINES + RECORD_BYTES_MAX / LINE_BYTES;

/// It begins where the cores' own do.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
pub(super) struct Line([u8; LINE_BYTES]);

/// The writing end.
#[derive(Debug)]
pub(super) struct LineWriter {
    lines: Producer<Line>,
    /// The first bytes of them are written, and not shown yet.
    written: Box<[Line; SHOWN_LINES_MAX]>,
    hidden_bytes: usize,
    /// Free bytes behind those, as far as was looked.
    free_bytes: usize,
}

/// Both ends of a new ring.
pub(super) fn lines() -> (LineWriter, Consumer<Line>) {
    let (lines, read) = RingBuffer::new(RING_LINES);
    let written = Box::new([Line([0; LINE_BYTES]); SHOWN_LINES_MAX]);
    (LineWriter { lines, written, hidden_bytes: 0, free_bytes: RING_LINES * LINE_BYTES }, read)
}

impl LineWriter {
    /// Whether there is room for a record of so many bytes behind those that are hidden.
    #[inline]
    pub fn has(&mut self, bytes: usize) -> bool {
        self.free_bytes >= bytes || self.has_read(bytes)
    }

    /// Likewise, looking at what was read meanwhile.
    #[cold]
    fn has_read(&mut self, bytes: usize) -> bool {
        self.free_bytes = self.lines.slots() * LINE_BYTES - self.hidden_bytes;
        self.free_bytes >= bytes
    }

    /// Those that are not read yet, as far as is known here.
    pub fn used(&self) -> usize {
        RING_LINES - self.lines.slots()
    }

    /// How many were written and are not shown yet.
    #[inline]
    pub fn hidden(&self) -> usize {
        self.hidden_bytes.div_ceil(LINE_BYTES)
    }

    /// Room for a record: as much as it may take, or as there was said to be.
    #[inline]
    pub fn room(&mut self) -> &mut [u8] {
        let bytes = RECORD_BYTES_MAX.min(self.free_bytes);
        &mut self.written.as_mut_bytes()[self.hidden_bytes..][..bytes]
    }

    /// A record of so many bytes was written to the room.
    #[inline]
    pub fn written(&mut self, bytes: usize) {
        self.hidden_bytes += padded(bytes);
        self.free_bytes -= padded(bytes);
    }

    /// Ends the line that the last record ends in: with nothing, which is read as such.
    #[inline]
    pub fn end_line(&mut self) {
        let end = self.hidden() * LINE_BYTES;
        self.written.as_mut_bytes()[self.hidden_bytes..end].fill(0);
    }

    /// Shows what is hidden. The next record begins a line.
    #[inline]
    pub fn show(&mut self) {
        let shown = self.hidden();
        self.free_bytes -= shown * LINE_BYTES - self.hidden_bytes;
        self.hidden_bytes = 0;
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
        while writer.has(RECORD_BYTES_MAX) {
            writer.room().fill(7);
            writer.written(RECORD_BYTES_MAX);
            let record_lines = RECORD_BYTES_MAX / LINE_BYTES;
            assert_eq!((writer.hidden(), reader.slots()), (record_lines, shown));
            writer.show();
            shown += record_lines;
            assert_eq!((writer.hidden(), reader.slots(), writer.used()), (0, shown, shown));
        }
        assert_eq!((shown, writer.room().len()), (RING_LINES, 0));
        let chunk = reader.read_chunk(3).expect("they are shown");
        assert_eq!(chunk.as_slices().0[2].0, [7; LINE_BYTES]);
        chunk.commit_all();
        assert_eq!([3, 4].map(|count| writer.has(count * LINE_BYTES)), [true, false]);
        assert_eq!(writer.room().len(), 3 * LINE_BYTES);
    }

    #[test]
    fn records_stand_one_behind_the_other_and_the_last_line_ends_with_nothing() {
        let (mut writer, mut reader) = lines();
        for bytes in [1, LINE_BYTES + 3] {
            assert!(writer.has(bytes));
            writer.room()[..bytes].fill(7);
            writer.written(bytes);
        }
        assert_eq!(writer.hidden(), 2);
        writer.end_line();
        writer.show();
        let chunk = reader.read_chunk(2).expect("they are shown");
        let read = chunk.as_slices().0.as_bytes();
        assert_eq!((read[0], read[16], read[16 + LINE_BYTES + 2]), (7, 7, 7));
        assert_eq!(read[padded(16 + LINE_BYTES + 3)..], [0; 32]);
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
