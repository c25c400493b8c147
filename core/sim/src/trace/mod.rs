//! Everything that happened in a simulation, in order, as compact bytes with a running digest.
//!
//! Two runs are the same when their digests are. Bytes are kept up to a bound, the digest covers all.
//! Decides nothing, and the simulated system never reads it.
//! Invariant: an event's bytes depend on its numbers alone, so that processes, builds and machines
//! agree; time never goes back.
//! Source: our demand, one seed, one trace, byte for byte.

use std::collections::BTreeSet;
use std::fmt;

use xxhash_rust::xxh3::Xxh3;

pub use event::{BoxStep, Event, Frame, FrameStep, Message, MessageStep, Place, Record};

mod event;
#[cfg(test)]
mod tests;

/// Events before a difference that are shown.
const CONTEXT_BEFORE: usize = 6;
/// Events of each trace from a difference on that are shown.
const CONTEXT_AFTER: usize = 3;

/// An append-only sequence of events.
#[derive(Clone)]
pub struct Trace {
    bytes: Vec<u8>,
    bytes_max: usize,
    kept: u64,
    events: u64,
    last_at: u64,
    scratch: Vec<u8>,
    hasher: Xxh3,
}

impl fmt::Debug for Trace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Trace({} events, {:032x})", self.events, self.digest())
    }
}

impl Trace {
    /// An empty trace that keeps the first `bytes_max` bytes of its events, about 30 each. 0: the
    /// digest alone.
    pub fn new(bytes_max: usize) -> Trace {
        Trace {
            bytes: Vec::new(),
            bytes_max,
            kept: 0,
            events: 0,
            last_at: 0,
            scratch: Vec::new(),
            hasher: Xxh3::new(),
        }
    }

    /// Appends an event. `at`: virtual nanoseconds.
    /// # Panics
    /// When `at` is before the last event.
    pub fn record(&mut self, at: u64, place: Place, event: Event) {
        assert!(at >= self.last_at, "virtual time went back from {} to {at}", self.last_at);
        self.scratch.clear();
        event::encode(at - self.last_at, place, &event, &mut self.scratch);
        self.hasher.update(&self.scratch);
        self.last_at = at;
        // Once one event was left out all later ones are: what is kept is a beginning.
        if self.kept == self.events && self.bytes.len() + self.scratch.len() <= self.bytes_max {
            self.bytes.extend_from_slice(&self.scratch);
            self.kept += 1;
        }
        self.events += 1;
    }

    /// 128 bits that say which events happened, in which order, when and where.
    pub fn digest(&self) -> u128 {
        self.hasher.digest128()
    }

    /// How many events were recorded.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// How many of them, from the first on, are kept.
    pub fn events_kept(&self) -> u64 {
        self.kept
    }

    /// The events that are kept, in order.
    pub fn records(&self) -> impl Iterator<Item = Record> {
        let mut rest = self.bytes.as_slice();
        let mut at = 0;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let record = event::decode(&mut rest, at).expect("these bytes were encoded by record");
            at = record.at;
            Some(record)
        })
    }

    /// What is kept of the walk of `trace` and of all that it caused, in order: the steps of its
    /// messages, and those of the frames that carried them.
    pub fn explain(&self, trace: u64) -> Vec<Record> {
        let packed = |record: Record| match record.event {
            Event::Packed { frame, trace: inside } if inside == trace => Some(frame),
            _ => None,
        };
        let frames: BTreeSet<u64> = self.records().filter_map(packed).collect();
        self.records()
            .filter(|record| match record.event {
                Event::Message { message, .. } => message.trace == trace,
                Event::Packed { trace: inside, .. } => inside == trace,
                Event::Frame { frame, .. } => frames.contains(&frame.id),
                Event::Box { .. } | Event::Partition { .. } | Event::Timer { .. } => false,
            })
            .collect()
    }

    /// Where two traces first differ. `None`: nowhere, by their digests.
    pub fn first_difference(&self, other: &Trace) -> Option<Difference> {
        if self.events == other.events && self.digest() == other.digest() {
            return None;
        }
        let same = self.records().zip(other.records()).take_while(|(left, right)| left == right);
        let index = same.count();
        let from = index.saturating_sub(CONTEXT_BEFORE);
        Some(Difference {
            index: index as u64,
            before: self.records().skip(from).take(index - from).collect(),
            left: self.records().skip(index).take(CONTEXT_AFTER).collect(),
            right: other.records().skip(index).take(CONTEXT_AFTER).collect(),
            is_kept: self.tells(index as u64) && other.tells(index as u64),
        })
    }

    /// Whether it is known what stands at `index`, if only that nothing does.
    fn tells(&self, index: u64) -> bool {
        index < self.kept || self.kept == self.events
    }
}

/// One line an event that is kept.
impl fmt::Display for Trace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.records().try_for_each(|record| writeln!(out, "{record}"))?;
        if self.kept < self.events {
            writeln!(out, "… and {} more events, not kept", self.events - self.kept)?;
        }
        Ok(())
    }
}

/// Where two traces part. Its text shows both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// How many events they share.
    pub index: u64,
    /// The last events that they share.
    pub before: Vec<Record>,
    /// What comes next in the one; empty at its end.
    pub left: Vec<Record>,
    /// What comes next in the other; empty at its end.
    pub right: Vec<Record>,
    /// Whether the events that differ were kept; if not, all that were are shared.
    pub is_kept: bool,
}

impl fmt::Display for Difference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_kept {
            return writeln!(
                out,
                "the traces differ after event {}, the last that was kept; keep more bytes",
                self.index
            );
        }
        writeln!(out, "the traces differ from event {} on", self.index)?;
        for (mark, records) in [(' ', &self.before), ('<', &self.left), ('>', &self.right)] {
            records.iter().try_for_each(|record| writeln!(out, "{mark} {record}"))?;
            if records.is_empty() && mark != ' ' {
                writeln!(out, "{mark} (ends)")?;
            }
        }
        Ok(())
    }
}
