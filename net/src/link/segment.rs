//! Large messages: cut into segments, one to a frame, and put together again.
//!
//! Does not repeat anything: segments travel in packets, which the link repeats. Invariants: at most
//! [`LARGE_AT_ONCE`] under way in each direction, of [`LARGE_BYTES_AT_ONCE`] together; none longer than
//! [`LARGE_BYTES_MAX`] behind its header. One more is taken to be cut while fewer than [`LARGE_IN_TURN`] are, or less
//! than [`LARGE_BYTES_UNCUT`] is, however long it is: a longer one would wait for ever behind shorter ones.

use std::collections::{BTreeMap, VecDeque};

use crate::error::DropReason;
use crate::limits::{
    LARGE_AT_ONCE, LARGE_BYTES_AT_ONCE, LARGE_BYTES_MAX, LARGE_BYTES_UNCUT, LARGE_IN_TURN,
};
use crate::wire::control::Segment;
use crate::wire::message::MessageHeader;

/// Longest record: header and all behind it.
pub(super) const RECORD_BYTES_MAX: usize = MessageHeader::BYTES + LARGE_BYTES_MAX;

/// Whether one more of `bytes` may be under way beside `count` of `together` bytes.
fn has_room(count: usize, together: usize, bytes: usize) -> bool {
    count < LARGE_AT_ONCE && together + bytes <= LARGE_BYTES_AT_ONCE
}

/// A large message that is being sent.
#[derive(Debug)]
pub(super) struct Cutting {
    pub(super) record: Vec<u8>,
    pub(super) conversation: u32,
    pub(super) number: u64,
    cut: usize,
    unheard: usize,
}

/// Large messages that are being sent, by id.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    under_way: BTreeMap<u32, Cutting>,
    /// Bytes of those, and how many of them are not cut.
    bytes: usize,
    uncut: usize,
    /// Those that have segments to cut: the first [`LARGE_IN_TURN`] take turns, the others follow them.
    to_cut: VecDeque<u32>,
    next_id: u32,
}

impl Cutter {
    /// Whether it takes a record of so many bytes.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        let may_wait = self.to_cut.len() < LARGE_IN_TURN || self.uncut < LARGE_BYTES_UNCUT;
        may_wait && has_room(self.under_way.len(), self.bytes, bytes)
    }

    /// Takes a record, or gives it back when enough are under way.
    pub(super) fn push(
        &mut self,
        record: Vec<u8>,
        conversation: u32,
        number: u64,
    ) -> Result<(), Vec<u8>> {
        if !self.has_room(record.len()) {
            return Err(record);
        }
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        self.bytes += record.len();
        self.uncut += record.len();
        self.to_cut.push_back(id);
        self.under_way.insert(id, Cutting { record, conversation, number, cut: 0, unheard: 0 });
        Ok(())
    }

    /// Whether segments wait to be cut.
    pub(super) fn has_more(&self) -> bool {
        !self.to_cut.is_empty()
    }

    /// The next segment, of at most `bytes` bytes: id, total, offset, bytes.
    pub(super) fn cut(&mut self, bytes: usize) -> Option<(u32, usize, usize, &[u8])> {
        let id = self.to_cut.pop_front()?;
        let large = self.under_way.get_mut(&id).expect("what is to be cut is under way");
        let (offset, total) = (large.cut, large.record.len());
        large.cut = (offset + bytes).min(total);
        self.uncut -= large.cut - offset;
        large.unheard += 1;
        if large.cut < total {
            self.to_cut.insert((LARGE_IN_TURN - 1).min(self.to_cut.len()), id);
        }
        Some((id, total, offset, &large.record[offset..large.cut]))
    }

    /// A segment of `id` was received. The message comes back when that was the last.
    pub(super) fn heard(&mut self, id: u32) -> Option<Cutting> {
        let large = self.under_way.get_mut(&id)?;
        large.unheard -= 1;
        if large.unheard > 0 || large.cut < large.record.len() {
            return None;
        }
        self.bytes -= large.record.len();
        self.under_way.remove(&id)
    }

    /// Everything that was under way, the session being over.
    pub(super) fn into_all(self) -> impl Iterator<Item = Cutting> {
        self.under_way.into_values()
    }
}

#[derive(Debug)]
struct Half {
    got: usize,
    record: Vec<u8>,
}

/// Large messages that are being received, by id.
#[derive(Debug, Default)]
pub(super) struct Joiner {
    halves: BTreeMap<u32, Half>,
    /// Bytes that those will have together.
    bytes: usize,
}

impl Joiner {
    /// Whether [`Joiner::join`] will take the segment.
    /// # Errors
    /// [`DropReason::LargeTooLong`], [`DropReason::LargeTooMany`], [`DropReason::BadSegment`].
    pub(super) fn check(&self, id: u32, segment: &Segment, bytes: &[u8]) -> Result<(), DropReason> {
        let total = segment.total.get() as usize;
        let end = segment.offset.get() as usize + bytes.len();
        if total > RECORD_BYTES_MAX {
            return Err(DropReason::LargeTooLong);
        }
        if bytes.is_empty() || end > total || total < MessageHeader::BYTES {
            return Err(DropReason::BadSegment);
        }
        match self.halves.get(&id) {
            Some(half) if half.record.len() == total && half.got + bytes.len() <= total => Ok(()),
            Some(_) => Err(DropReason::BadSegment),
            None if !has_room(self.halves.len(), self.bytes, total) => {
                Err(DropReason::LargeTooMany)
            }
            None => Ok(()),
        }
    }

    /// Adds a segment that was checked. The record comes out when it is whole.
    pub(super) fn join(&mut self, id: u32, segment: &Segment, bytes: &[u8]) -> Option<Vec<u8>> {
        let total = segment.total.get() as usize;
        let half = self.halves.entry(id).or_insert_with(|| {
            self.bytes += total;
            Half { got: 0, record: vec![0; total] }
        });
        let offset = segment.offset.get() as usize;
        half.record[offset..offset + bytes.len()].copy_from_slice(bytes);
        half.got += bytes.len();
        if half.got < total {
            return None;
        }
        self.bytes -= total;
        self.halves.remove(&id).map(|half| half.record)
    }

    /// How many are half assembled.
    pub(super) fn halves(&self) -> usize {
        self.halves.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many records of so many bytes, of which as many were cut whole.
    fn cutter((count, bytes): (usize, usize), cut: usize) -> Cutter {
        let mut cutter = Cutter::default();
        for number in 0..count as u64 {
            cutter.push(vec![0; bytes], 0, number).expect("there is room");
            if number < cut as u64 {
                cutter.cut(bytes).expect("it was just taken");
            }
        }
        cutter
    }

    #[test]
    fn four_of_the_largest_are_under_way_though_they_are_cut() {
        assert!(!cutter((4, RECORD_BYTES_MAX), 4).has_room(MessageHeader::BYTES + 1));
        assert!(cutter((3, RECORD_BYTES_MAX), 3).has_room(RECORD_BYTES_MAX));
    }

    #[test]
    fn what_waits_to_be_cut_decides_and_not_how_long_the_next_one_is() {
        let bytes = LARGE_BYTES_UNCUT / LARGE_IN_TURN;
        let mut full = cutter((LARGE_IN_TURN, bytes), 0);
        assert!(!full.has_room(1));
        full.cut(100).expect("there is more");
        assert!(full.has_room(RECORD_BYTES_MAX), "less than the bound waits");
        let mut long = cutter((LARGE_IN_TURN, 2 * bytes), 0);
        assert!(!long.has_room(1));
        while long.to_cut.len() == LARGE_IN_TURN {
            long.cut(bytes).expect("there is more");
        }
        assert!(long.uncut > LARGE_BYTES_UNCUT / 2 && long.has_room(RECORD_BYTES_MAX));
        while long.cut(bytes).is_some() {}
        assert_eq!(long.uncut, 0);
    }

    #[test]
    fn so_many_are_under_way_and_no_more() {
        assert!(!cutter((LARGE_AT_ONCE, 1_000), LARGE_AT_ONCE).has_room(1));
        assert!(cutter((LARGE_AT_ONCE - 1, 1_000), LARGE_AT_ONCE - 1).has_room(1));
    }
}
