//! Large messages: cut into segments, one to a frame, and put together again.
//!
//! Does not repeat anything: segments travel in packets, which the link repeats. Invariants: at
//! most [`LARGE_AT_ONCE`] under way in each direction; none longer than [`LARGE_BYTES_MAX`] behind
//! its header.

use std::collections::VecDeque;

use crate::error::DropReason;
use crate::limits::{LARGE_AT_ONCE, LARGE_BYTES_MAX};
use crate::wire::control::Segment;
use crate::wire::message::MessageHeader;

/// Longest record: header and all behind it.
pub(super) const RECORD_BYTES_MAX: usize = MessageHeader::BYTES + LARGE_BYTES_MAX;

/// A large message that is being sent.
#[derive(Debug)]
pub(super) struct Cutting {
    pub(super) id: u32,
    pub(super) record: Vec<u8>,
    pub(super) conversation: u32,
    pub(super) number: u64,
    cut: usize,
    unheard: usize,
}

/// Large messages that are being sent; those that still have segments to cut take turns.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    under_way: VecDeque<Cutting>,
    next_id: u32,
}

impl Cutter {
    /// Takes a record, or gives it back when enough are under way.
    pub(super) fn push(
        &mut self,
        record: Vec<u8>,
        conversation: u32,
        number: u64,
    ) -> Result<(), Vec<u8>> {
        if self.under_way.len() == LARGE_AT_ONCE {
            return Err(record);
        }
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        self.under_way.push_back(Cutting { id, record, conversation, number, cut: 0, unheard: 0 });
        Ok(())
    }

    /// Whether segments wait to be cut.
    pub(super) fn has_more(&self) -> bool {
        self.under_way.iter().any(|large| large.cut < large.record.len())
    }

    /// The next segment, of at most `bytes` bytes: id, total, offset, bytes.
    pub(super) fn cut(&mut self, bytes: usize) -> Option<(u32, usize, usize, &[u8])> {
        let more = self.under_way.iter().position(|large| large.cut < large.record.len())?;
        self.under_way.rotate_left(more + 1);
        let large = self.under_way.back_mut().expect("the one that was found");
        let offset = large.cut;
        large.cut = (offset + bytes).min(large.record.len());
        large.unheard += 1;
        Some((large.id, large.record.len(), offset, &large.record[offset..large.cut]))
    }

    /// A segment of `id` was received. The message comes back when that was the last.
    pub(super) fn heard(&mut self, id: u32) -> Option<Cutting> {
        let index = self.under_way.iter().position(|large| large.id == id)?;
        let large = &mut self.under_way[index];
        large.unheard -= 1;
        if large.unheard > 0 || large.cut < large.record.len() {
            return None;
        }
        self.under_way.remove(index)
    }

    /// Everything that is under way.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Cutting> + '_ {
        self.under_way.drain(..)
    }
}

#[derive(Debug)]
struct Half {
    id: u32,
    got: usize,
    record: Vec<u8>,
}

/// Large messages that are being received.
#[derive(Debug, Default)]
pub(super) struct Joiner {
    halves: Vec<Half>,
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
        match self.halves.iter().find(|half| half.id == id) {
            Some(half) if half.record.len() == total && half.got + bytes.len() <= total => Ok(()),
            Some(_) => Err(DropReason::BadSegment),
            None if self.halves.len() == LARGE_AT_ONCE => Err(DropReason::LargeTooMany),
            None => Ok(()),
        }
    }

    /// Adds a segment that was checked. The record comes out when it is whole.
    pub(super) fn join(&mut self, id: u32, segment: &Segment, bytes: &[u8]) -> Option<Vec<u8>> {
        let index = match self.halves.iter().position(|half| half.id == id) {
            Some(index) => index,
            None => {
                let record = vec![0; segment.total.get() as usize];
                self.halves.push(Half { id, got: 0, record });
                self.halves.len() - 1
            }
        };
        let half = &mut self.halves[index];
        let offset = segment.offset.get() as usize;
        half.record[offset..offset + bytes.len()].copy_from_slice(bytes);
        half.got += bytes.len();
        (half.got == half.record.len()).then(|| self.halves.swap_remove(index).record)
    }

    /// How many are half assembled.
    pub(super) fn halves(&self) -> usize {
        self.halves.len()
    }
}
