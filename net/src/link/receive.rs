//! Receive side of a session: which packets came, which are finished, what the peer may send.
//!
//! Does not order packets (Ovid §3.4). Invariants: a packet is taken once; credit returns when a
//! packet is finished, whether or not its messages were parked.

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U64};

use super::Schema;
use super::segment::Joiner;
use super::window::Window;
use crate::error::DropReason;
use crate::limits::{SCHEMAS_MAX, SPAN_PACKETS};
use crate::wire::control::{SchemaEntry, Status};

/// Bytes of the longest status.
pub(super) const STATUS_BYTES_MAX: usize =
    size_of::<Status>() + 2 * (SPAN_PACKETS as usize / 64) * 8;

#[derive(Debug)]
pub(super) struct Inbound {
    received: Window,
    done: Window,
    /// Finished, or never in the caller's hands. Ahead of `done` where parked messages are not told
    /// yet.
    returned: Window,
    finished: u64,
    credit_frames: u32,
    /// A packet came that no frame of ours has acknowledged.
    pub(super) owes_ack: bool,
    /// Something is to be said that the link header can't say.
    pub(super) owes_status: bool,
    pub(super) joiner: Joiner,
    schemas: Vec<Option<Schema>>,
    schemas_missing: usize,
}

impl Inbound {
    /// `schemas`: how many the peer's table has.
    pub(super) fn new(credit_frames: u32, schemas: usize) -> Inbound {
        assert!(schemas <= SCHEMAS_MAX, "checked where the greeting is read");
        Inbound {
            received: Window::new(),
            done: Window::new(),
            returned: Window::new(),
            finished: 0,
            credit_frames,
            owes_ack: false,
            owes_status: false,
            joiner: Joiner::default(),
            schemas: vec![None; schemas],
            schemas_missing: schemas,
        }
    }

    /// Highest packet up to which all were received.
    pub(super) fn ack(&self) -> u64 {
        self.received.through()
    }

    /// As if so many more packets had come and were done.
    #[cfg(test)]
    pub(super) fn skip(&mut self, packets: u64) {
        for window in [&mut self.received, &mut self.done, &mut self.returned] {
            window.skip(packets);
        }
        self.finished += packets;
    }

    pub(super) fn has_gap(&self) -> bool {
        self.received.has_gap()
    }

    /// Whether everything that came is done, and nothing is missing before it.
    pub(super) fn is_even(&self) -> bool {
        self.received.through() == self.done.through()
            && !self.received.has_gap()
            && !self.done.has_gap()
    }

    pub(super) fn has_schemas(&self) -> bool {
        self.schemas_missing == 0
    }

    pub(super) fn schema(&self, kind: u16) -> Option<Schema> {
        self.schemas.get(usize::from(kind)).copied().flatten()
    }

    /// Whether the packet is new.
    /// # Errors
    /// [`DropReason::Duplicate`], [`DropReason::OutOfWindow`].
    pub(super) fn check(&mut self, packet: u64) -> Result<(), DropReason> {
        if self.done.is_beyond(packet) {
            return Err(DropReason::OutOfWindow);
        }
        if packet == 0 || self.received.contains(packet) {
            // Our answer was lost, or is on its way: say all of it again.
            self.owes_status = true;
            return Err(DropReason::Duplicate);
        }
        Ok(())
    }

    /// Takes a new packet. `has_messages`: it stays with the caller until [`Inbound::finish`].
    pub(super) fn take(&mut self, packet: u64, has_messages: bool) {
        self.received.insert(packet);
        self.owes_ack = true;
        if !has_messages {
            self.returned.insert(packet);
            self.finished += 1;
            self.mark_done(packet);
        }
    }

    /// The caller is through with the packet. False: it was not in the caller's hands.
    pub(super) fn finish(&mut self, packet: u64, all_done: bool) -> bool {
        if !self.received.contains(packet) || self.returned.contains(packet) {
            return false;
        }
        self.returned.insert(packet);
        self.finished += 1;
        self.owes_status = true;
        if all_done {
            self.mark_done(packet);
        }
        true
    }

    /// Nothing of the packet is left to be said.
    pub(super) fn mark_done(&mut self, packet: u64) {
        if packet > 0 && self.returned.contains(packet) {
            self.done.insert(packet);
            self.owes_status = true;
        }
    }

    /// Checks a part of the peer's schema table.
    /// # Errors
    /// [`DropReason::BadControl`] if it is outside what was announced.
    pub(super) fn check_schemas(&self, first: u32, count: usize) -> Result<(), DropReason> {
        let end = first as usize + count;
        if end > self.schemas.len() { Err(DropReason::BadControl) } else { Ok(()) }
    }

    pub(super) fn learn_schemas(&mut self, first: u32, entries: &[SchemaEntry]) {
        for (place, entry) in self.schemas[first as usize..].iter_mut().zip(entries) {
            self.schemas_missing -= usize::from(place.is_none());
            *place = Some(Schema { hash: entry.hash.get(), version: entry.version.get() });
        }
    }

    /// Writes the status to the start of `into`, and returns its bytes.
    /// # Panics
    /// When `into` is shorter than [`STATUS_BYTES_MAX`].
    pub(super) fn emit_status(&self, into: &mut [u8; STATUS_BYTES_MAX]) -> usize {
        let status = Status {
            credit: U64::new(self.finished + u64::from(self.credit_frames)),
            received: U64::new(self.received.through()),
            done: U64::new(self.done.through()),
            received_words: U16::new(self.received.words() as u16),
            done_words: U16::new(self.done.words() as u16),
            ..Default::default()
        };
        let mut at = size_of::<Status>();
        into[..at].copy_from_slice(status.as_bytes());
        for window in [&self.received, &self.done] {
            for index in 0..window.words() {
                into[at..at + 8].copy_from_slice(&window.word(index).to_le_bytes());
                at += 8;
            }
        }
        at
    }
}
