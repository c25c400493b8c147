//! What the sender of messages must hear exactly once it was lost to a copy: which messages of a
//! packet were parked, and later their names. Notices travel in packets of their own, so they are
//! repeated like any; they need no credit, and use a frame that the link keeps.

use std::collections::VecDeque;

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U32, U64};

use super::Named;
use crate::wire::control::{self, Control, NamedRun};
use crate::wire::link::LinkHeader;
use crate::wire::record::{ControlHead, Records};

/// Notices that wait for a frame.
#[derive(Debug, Default)]
pub(super) struct Notices {
    parked: VecDeque<(u64, Vec<u16>)>,
    done: VecDeque<NamedRun>,
}

impl Notices {
    pub(super) fn is_empty(&self) -> bool {
        self.parked.is_empty() && self.done.is_empty()
    }

    pub(super) fn park(&mut self, packet: u64, positions: Vec<u16>) {
        self.parked.push_back((packet, positions));
    }

    /// Adds a name to the last run, if it follows it.
    pub(super) fn settle(&mut self, name: Named, outcome: u32) {
        let Named { source, space, destination, number } = name;
        if let Some(run) = self.done.back_mut()
            && (run.source, run.destination) == (U64::new(source), U64::new(destination))
            && (run.space, run.outcome) == (U32::new(space), U32::new(outcome))
            && run.first.get().checked_add(u64::from(run.count.get())) == Some(number)
            && run.count.get() < u32::MAX
        {
            run.count += 1;
            return;
        }
        self.done.push_back(NamedRun {
            source: U64::new(source),
            destination: U64::new(destination),
            first: U64::new(number),
            space: U32::new(space),
            count: U32::new(1),
            outcome: U32::new(outcome),
            zero: U32::ZERO,
        });
    }

    /// Moves what fits to the start of `area`; returns the bytes of the records written there.
    pub(super) fn emit(&mut self, area: &mut [u8]) -> usize {
        let mut used = 0;
        while let Some((packet, positions)) = self.parked.front() {
            let bytes = ControlHead::BYTES + 8 + 2 * positions.len();
            if super::padded(bytes) > area.len() - used {
                return used;
            }
            let packet = packet.to_le_bytes();
            let into = &mut area[used..];
            used += super::emit_control(into, control::PARKED, 0, &[&packet, positions.as_bytes()]);
            self.parked.pop_front();
        }
        let fits = (area.len() - used).saturating_sub(ControlHead::BYTES) / size_of::<NamedRun>();
        let count = fits.min(self.done.len());
        if count > 0 {
            let (runs, more) = self.done.as_slices();
            let first = &runs[..count.min(runs.len())];
            let second = &more[..count - first.len()];
            let parts = [first.as_bytes(), second.as_bytes()];
            used += super::emit_control(&mut area[used..], control::DONE_NAMED, 0, &parts);
            self.done.drain(..count);
        }
        used
    }

    /// The session that `payload` was sent in is over: names go out again, positions mean nothing
    /// now.
    pub(super) fn take_back(&mut self, payload: &[u8]) {
        for control in controls(payload) {
            if let Control::DoneNamed(runs) = control {
                self.done.extend(runs);
            }
        }
    }

    /// Forgets what only means something within the session that is over.
    pub(super) fn end_session(&mut self) {
        self.parked.clear();
    }
}

/// Control records of a packet of our own.
pub(super) fn controls(payload: &[u8]) -> impl Iterator<Item = Control<'_>> {
    let mut records = Records::new(&payload[LinkHeader::BYTES..]);
    let heads = std::iter::from_fn(move || records.next_control());
    heads.filter_map(|(head, body)| Control::parse(head, body).ok())
}
