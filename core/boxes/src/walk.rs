//! The walks of sampled messages: where each was, and when, by the stamp of the turn that it was there in.
//!
//! One message of so many that enter by a shim is given a trace; what it causes, answers among it, has the same.
//! Each reactor notes what it does with messages that have one. Who has none costs a look at a word that is
//! read anyway. Invariant: notes are bounded; those that find no room are counted.

use daedal_model::id::{AgentId, Number, ReactorAddress, Stamp, Trace};
use daedal_model::path::AgentPath;

use crate::plane::Via;

/// Notes that wait to be copied out: what a few walks through one reactor leave within a tenth of a second.
const NOTES_MAX: usize = 256;
/// Words of a note in the file: trace, when, how, source, number; then text.
pub(crate) const NOTE_WORDS: usize = 16;
const TEXT_AT: usize = 5;

/// What befell a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    /// An agent or shim sent it.
    Sent = 1,
    /// It was handed to its agent.
    Came = 2,
    /// Its agent does not want it now.
    Parked = 3,
    /// The asker has it as an answer.
    Answered = 4,
}

/// One step of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Of all that one message caused.
    pub trace: u64,
    /// When the turn began.
    pub at: Stamp,
    /// What befell it.
    pub step: Step,
    /// How it came: `here`, `ring`, `link`; empty for what was sent.
    pub via: &'static str,
    /// Who sent it, as its name has it.
    pub source: AgentId,
    /// Its number.
    pub number: u64,
    /// The agent at which that was; cut after 88 bytes.
    pub agent: String,
}

const VIAS: [&str; 4] = ["", "here", "ring", "link"];

impl Note {
    pub(crate) fn words(&self) -> [u64; NOTE_WORDS] {
        let mut words = [0; NOTE_WORDS];
        let via = VIAS.iter().position(|it| *it == self.via).unwrap_or(0) as u64;
        let head = [self.trace, self.at.0, self.step as u64 | via << 8, self.source.0, self.number];
        words[..TEXT_AT].copy_from_slice(&head);
        for (word, bytes) in words[TEXT_AT..].iter_mut().zip(self.agent.as_bytes().chunks(8)) {
            *word = crate::counters::word_of(bytes);
        }
        words
    }

    pub(crate) fn of(words: &[u64; NOTE_WORDS]) -> Note {
        let step = match words[2] as u8 {
            2 => Step::Came,
            3 => Step::Parked,
            4 => Step::Answered,
            _ => Step::Sent,
        };
        let text: Vec<u8> = words[TEXT_AT..].iter().flat_map(|word| word.to_ne_bytes()).collect();
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
        Note {
            trace: words[0],
            at: Stamp(words[1]),
            step,
            via: VIAS.get((words[2] >> 8) as usize).copied().unwrap_or(""),
            source: AgentId(words[3]),
            number: words[4],
            agent: String::from_utf8_lossy(&text[..end]).into_owned(),
        }
    }
}

/// A reactor's samples and notes.
#[derive(Debug, Default)]
pub(crate) struct Walks {
    /// One of so many visits of shims that send something is sampled; 0: none.
    every: u64,
    visits: u64,
    next: u64,
    /// The trace that the first message of this visit takes.
    offered: Trace,
    notes: Vec<Note>,
    lost: u64,
}

impl Walks {
    /// Samples one of `every` visits of this reactor's shims; 0: none.
    pub fn sample(&mut self, every: u64, me: ReactorAddress) {
        self.every = every;
        // Not 0, and no other reactor's.
        self.next = u64::from(me.agent_box.0) << 48 | u64::from(me.reactor) << 40 | 1;
    }

    /// What a visit's first message is traced by; 0: by nothing.
    #[inline]
    pub fn offer(&mut self) -> Trace {
        if self.every == 0 || !self.visits.is_multiple_of(self.every) {
            return Trace(0);
        }
        self.offered = Trace(self.next);
        self.offered
    }

    /// The visit sent, or found, something.
    #[inline]
    pub fn visited(&mut self) {
        self.visits += u64::from(self.every > 0);
    }

    /// Notes that a message was sent: whether what else is sent has no trace, as this was the visit's first.
    #[cold]
    pub fn sent(
        &mut self,
        trace: Trace,
        at: Stamp,
        name: (AgentId, Number),
        by: &AgentPath,
    ) -> bool {
        self.note((trace, at), (Step::Sent, ""), name, by);
        let was_offered = self.offered == trace;
        if was_offered {
            self.offered = Trace(0);
            self.next += 1;
        }
        was_offered
    }

    /// Notes what befell a message that came by `via`.
    #[cold]
    pub fn came(
        &mut self,
        (trace, at): (Trace, Stamp),
        (step, via): (Step, Via),
        name: (AgentId, Number),
        to: &AgentPath,
    ) {
        let via = match via {
            Via::Nowhere => "",
            Via::Local(_) => "here",
            Via::Ring(_) => "ring",
            Via::Link(_) => "link",
        };
        self.note((trace, at), (step, via), name, to);
    }

    fn note(
        &mut self,
        (trace, at): (Trace, Stamp),
        (step, via): (Step, &'static str),
        (source, number): (AgentId, Number),
        agent: &AgentPath,
    ) {
        if self.notes.len() >= NOTES_MAX {
            self.lost += 1;
            return;
        }
        let (trace, number, agent) = (trace.0, number.0, agent.to_string());
        self.notes.push(Note { trace, at, step, via, source, number, agent });
    }

    /// Those that nobody has taken.
    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// How many found no room.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}
