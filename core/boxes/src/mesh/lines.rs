//! Cache lines from one core to another: written where they are read, and shown as many at a time as the writer likes.

use rtrb::{Consumer, Producer, RingBuffer};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Bytes of a cache line.
pub(super) const LINE_BYTES: usize = 64;
/// Lines of a ring: 256 KiB, half of what a core's own cache holds.
pub(crate) const RING_LINES: usize = 4096;
/// Lines of room that there are in one piece at the least.
pub(super) const ROOM_LINES: usize = 4;

/// It begins where the cores' own do.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
pub(super) struct Line([u8; LINE_BYTES]);

const EMPTY: Line = Line([0; LINE_BYTES]);

/// The writing end.
#[derive(Debug)]
pub(super) struct LineWriter {
    lines: Producer<Line>,
    /// Lines that were written and are not shown yet.
    hidden: usize,
    /// Room for what is then copied round the ring's end.
    round: Box<[Line; ROOM_LINES]>,
}

/// Both ends of a new ring.
pub(super) fn lines() -> (LineWriter, Consumer<Line>) {
    let (mut lines, mut read) = RingBuffer::new(RING_LINES);
    // So that each was written before it is given to write to.
    while lines.push(EMPTY).is_ok() {}
    while read.pop().is_ok() {}
    (LineWriter { lines, hidden: 0, round: Box::new([EMPTY; ROOM_LINES]) }, read)
}

impl LineWriter {
    /// Whether there are so many behind those that are hidden.
    #[inline]
    pub fn has(&mut self, count: usize) -> bool {
        self.lines.write_chunk_uninit(self.hidden + count).is_ok()
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

    /// The next, in one piece: [`ROOM_LINES`] at the least, if it was said that there are as many.
    #[inline]
    pub fn room(&mut self) -> &mut [u8] {
        if self.goes_round() { self.round.as_mut_bytes() } else { self.piece().as_mut_bytes() }
    }

    /// So many bytes were written to the room.
    #[inline]
    pub fn written(&mut self, bytes: usize) {
        if self.goes_round() {
            let round = *self.round;
            self.copy(&round.as_bytes()[..bytes]);
        } else {
            self.hidden += bytes.div_ceil(LINE_BYTES);
        }
    }

    /// Writes a copy to the next lines: it was said that there are enough.
    pub fn copy(&mut self, mut record: &[u8]) {
        while !record.is_empty() {
            let room = self.piece().as_mut_bytes();
            debug_assert!(!room.is_empty(), "there is room");
            let (now, rest) = record.split_at(record.len().min(room.len()));
            room[..now.len()].copy_from_slice(now);
            self.hidden += now.len().div_ceil(LINE_BYTES);
            record = rest;
        }
    }

    /// Shows what is hidden.
    #[inline]
    #[expect(unsafe_code, reason = "they are written one by one")]
    pub fn show(&mut self) {
        let hidden = std::mem::take(&mut self.hidden);
        let chunk = self.lines.write_chunk_uninit(hidden).expect("there was room for them");
        // SAFETY: they were written, all of them when the ring was made.
        unsafe { chunk.commit_all() };
    }

    /// Whether the next lines are too few in one piece, as the ring ends behind them.
    #[inline]
    fn goes_round(&mut self) -> bool {
        self.piece().len() < ROOM_LINES
    }

    /// The lines behind those that are hidden, up to where the ring ends or is full.
    #[inline]
    #[expect(unsafe_code, reason = "they outlive the handle that they are got by")]
    fn piece(&mut self) -> &mut [Line] {
        let count = self.lines.cached_slots();
        let mut free = self.lines.write_chunk_uninit(count).expect("so many are free");
        let (first, second) = free.as_mut_slices();
        let piece = match self.hidden.checked_sub(first.len()) {
            None => &mut first[self.hidden..],
            Some(at) => &mut second[at..],
        };
        let (start, count) = (piece.as_mut_ptr().cast(), piece.len());
        // SAFETY: nobody else has them before they are shown, which takes what is borrowed here; and they were written
        // when the ring was made.
        unsafe { std::slice::from_raw_parts_mut(start, count) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_where_they_were_written_but_for_those_that_go_round_the_end() {
        let (mut writer, mut reader) = lines();
        let mut moved = 0;
        // 3 does not divide the ring: records end everywhere in it.
        let records = 2 * RING_LINES / 3;
        for number in 0..records {
            assert!(writer.has(ROOM_LINES));
            let room = writer.room();
            room[..3 * LINE_BYTES].fill(number as u8);
            let written = room.as_ptr();
            writer.written(3 * LINE_BYTES);
            writer.show();
            let chunk = reader.read_chunk(3).expect("it is shown");
            let (first, second) = chunk.as_slices();
            assert!(first.iter().chain(second).all(|line| line.0 == [number as u8; LINE_BYTES]));
            moved += u32::from(first.as_ptr().cast() != written);
            chunk.commit_all();
        }
        assert!((1..=4).contains(&moved), "{moved}");
    }

    #[test]
    fn what_is_hidden_is_not_read_and_takes_room() {
        let (mut writer, mut reader) = lines();
        assert!(writer.has(101));
        writer.copy(&[7; 100 * LINE_BYTES + 1]);
        assert_eq!((writer.hidden(), reader.slots()), (101, 0));
        assert_eq!(
            [RING_LINES - 101, RING_LINES - 100].map(|count| writer.has(count)),
            [true, false]
        );
        writer.show();
        assert_eq!((writer.hidden(), reader.slots(), writer.used()), (0, 101, 101));
        let chunk = reader.read_chunk(101).expect("they are shown");
        assert!(chunk.as_slices().0[100].0.starts_with(&[7, 0]));
        chunk.commit_all();
        assert!(writer.has(RING_LINES));
    }

    #[test]
    fn lines_are_those_of_cores() {
        let (mut writer, _reader) = lines();
        assert!(writer.has(ROOM_LINES));
        assert_eq!(writer.room().as_ptr() as usize % LINE_BYTES, 0);
    }
}
