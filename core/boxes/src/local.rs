//! The queue between agents of one reactor: two arenas, one that is read while the other is written.
//!
//! A message between neighbours is outbox and inbox at once: it is serialised into the arena that is
//! being filled, and read there when the arenas change places. So no message is copied, moved or
//! allocated for, and what a transition sends never disturbs what is being read.

/// Room that a message finds at the least, in bytes.
const ROOM_BYTES: usize = 2 << 10;

/// Room from which on a message that does not fit is written elsewhere: there are those that fit no room, since a list in
/// them is too long to be written in place.
const WIDEST_ROOM_BYTES: usize = 1 << 20;

/// What an arena begins with. It grows by doubling, and keeps what it grew to.
const ARENA_BYTES: usize = 64 << 10;

/// Message records one after another, each padded to a multiple of 16 bytes.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    bytes: Vec<u8>,
    end: usize,
}

impl Arena {
    /// Free bytes behind the records: at least [`ROOM_BYTES`].
    #[inline(always)]
    pub fn room(&mut self) -> &mut [u8] {
        if self.bytes.len() - self.end < ROOM_BYTES {
            self.grow();
        }
        &mut self.bytes[self.end..]
    }

    /// The record that is being written, in the room that was given for it.
    #[inline(always)]
    pub fn begun(&mut self) -> &mut [u8] {
        &mut self.bytes[self.end..]
    }

    /// More room, unless there is as much as a message is given at the most.
    pub fn wider_room(&mut self) -> Option<&mut [u8]> {
        if self.bytes.len() - self.end >= WIDEST_ROOM_BYTES {
            return None;
        }
        self.grow();
        Some(&mut self.bytes[self.end..])
    }

    #[cold]
    fn grow(&mut self) {
        self.bytes.resize((self.bytes.len() * 2).max(ARENA_BYTES), 0);
    }

    /// Ends a record that was written to the start of the room.
    #[inline]
    pub fn commit(&mut self, record_bytes: usize) {
        self.end += record_bytes;
        debug_assert!(self.end <= self.bytes.len());
    }

    /// Copies a whole record.
    pub fn push(&mut self, record: &[u8]) {
        let bytes = record.len().next_multiple_of(16);
        while self.bytes.len() - self.end < bytes {
            self.grow();
        }
        self.bytes[self.end..][..record.len()].copy_from_slice(record);
        self.end += bytes;
    }

    /// The record at `at` and everything behind it; `None` at the end.
    #[inline]
    pub fn from(&self, at: usize) -> Option<&[u8]> {
        (at < self.end).then(|| &self.bytes[at..self.end])
    }

    pub fn is_empty(&self) -> bool {
        self.end == 0
    }

    pub fn clear(&mut self) {
        self.end = 0;
    }
}
