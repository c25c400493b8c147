//! What simulated clients saw, in the order in which they saw it.
//!
//! What was not answered, or came back as unknown, stays unknown: a guess is never recorded.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;

use crate::agents::Told;
use crate::linearizable::{Action, Output};
use crate::scenario::failure::{Failure, Rule};
use crate::witness::Deed;

/// Most requests that a failure lists.
const SHOWN_MAX: usize = 8;

/// One request of a client that is answered.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Which slot.
    pub slot: u32,
    /// Whom it was for.
    pub agent: &'static str,
    /// What was asked.
    pub about: About,
    /// When.
    pub at: u64,
    /// What its messages are known by on the network.
    pub trace: u64,
    /// What came of it; none yet, or unknown for ever.
    pub ended: Option<Ended>,
    /// Whether a client waits for it.
    pub is_waited_for: bool,
}

/// What a request was.
#[derive(Clone, Debug)]
pub enum About {
    /// An action on a key.
    Key(String, Action),
    /// A broadcast that all parts count.
    Mark,
    /// How often they did.
    Marks,
    /// How often the counter was told.
    Count,
    /// A door that was opened, or gone through.
    Door,
    /// A note that a scribe is to write down.
    Note(Deed),
}

/// The end of a request.
#[derive(Clone, Debug)]
pub struct Ended {
    /// When.
    pub at: u64,
    /// The answer and the life that gave it; none: it was refused.
    pub reply: Option<(u64, Told)>,
}

impl Ended {
    /// What a key's owner answered.
    pub fn output(&self) -> Option<(u64, Output)> {
        let (life, told) = self.reply.clone()?;
        Some((life, told.output()?))
    }
}

/// A moment of a history: a request's beginning, or its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It was sent.
    Began(usize),
    /// It was answered.
    Ended(usize),
}

/// How far a slot is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Slot {
    /// What it has still to issue.
    pub left: u32,
    /// Of its present client, requests that were not answered.
    pub outstanding: u32,
    /// Messages to the counter.
    pub told: u64,
    /// How many clients it has had.
    pub lives: u32,
}

/// What all clients saw.
#[derive(Debug)]
pub struct Recorder {
    clock: Rc<Cell<u64>>,
    /// Everything that was asked.
    pub asked: Vec<Asked>,
    /// In their order.
    pub moments: Vec<Moment>,
    /// By slot.
    pub slots: Vec<Slot>,
    /// Notes to scribes, asked and told.
    pub notes: Vec<Noted>,
    seals: BTreeSet<Deed>,
    /// What must not be, whatever the order.
    pub violations: Vec<Failure>,
    /// Changes of the system that were finished.
    pub changes: u64,
    /// Visitors that came.
    pub visits: u64,
}

/// A note that was sent to a scribe.
#[derive(Clone, Copy, Debug)]
pub struct Noted {
    /// What is to be done.
    pub deed: Deed,
    /// Whether it is for every part.
    pub is_seal: bool,
    /// Which slot's client sent it.
    pub slot: u32,
    /// Which of the slot's clients.
    pub life: u32,
}

impl Recorder {
    /// For so many slots that issue `share` requests each, and one more that issues none.
    pub fn new(clock: Rc<Cell<u64>>, slots: usize, share: u32) -> Recorder {
        let mut slots = vec![Slot { left: share, ..Slot::default() }; slots];
        slots.push(Slot::default());
        let (asked, moments) = (Vec::new(), Vec::new());
        let (notes, seals, violations) = (Vec::new(), BTreeSet::new(), Vec::new());
        Recorder { clock, asked, moments, slots, notes, seals, violations, changes: 0, visits: 0 }
    }

    /// Virtual time, in nanoseconds.
    pub fn now(&self) -> u64 {
        self.clock.get()
    }

    /// Whether every slot has issued its share, and has its answers.
    pub fn is_finished(&self) -> bool {
        let done = |slot: &Slot| slot.left == 0 && slot.outstanding == 0;
        self.slots.iter().all(done)
    }

    /// That not everybody finished: who still waits, and for what.
    pub fn stuck(&self) -> Failure {
        let open = || self.asked.iter().filter(|it| it.is_waited_for);
        let lines = open().rev().take(SHOWN_MAX).map(|it| {
            format!("  slot {} asked {} at {}: {:?}\n", it.slot, it.agent, it.at, it.about)
        });
        let (now, lines): (_, String) = (self.clock.get(), lines.collect());
        let text = format!("at {now} ns {} requests have no answer:\n{lines}", open().count());
        Failure::new(Rule::Progress, text).about(open().map(|it| it.trace))
    }

    /// Whether this is for one part, not for all.
    pub fn is_line(&self, deed: &Deed) -> bool {
        !self.seals.contains(deed)
    }

    /// A note is sent.
    pub fn note(&mut self, noted: Noted) {
        if noted.is_seal {
            self.seals.insert(noted.deed);
        }
        self.notes.push(noted);
    }

    /// The trace of the request that was to have this done, if it was one.
    pub fn trace_of(&self, deed: &Deed) -> Option<u64> {
        let is_it = |it: &&Asked| matches!(&it.about, About::Note(other) if other == deed);
        self.asked.iter().find(is_it).map(|it| it.trace)
    }

    /// A request is sent.
    pub fn begin(&mut self, slot: u32, agent: &'static str, about: About, trace: u64) -> usize {
        let id = self.asked.len();
        let at = self.clock.get();
        self.slots[slot as usize].outstanding += 1;
        let (ended, is_waited_for) = (None, true);
        self.asked.push(Asked { slot, agent, about, at, trace, ended, is_waited_for });
        self.moments.push(Moment::Began(id));
        id
    }

    /// A slot's next client begins: what its earlier one asked nobody waits for.
    pub fn next_client(&mut self, slot: u32) -> u32 {
        self.asked.iter_mut().filter(|it| it.slot == slot).for_each(|it| it.is_waited_for = false);
        let slot = &mut self.slots[slot as usize];
        slot.outstanding = 0;
        slot.lives += 1;
        slot.lives
    }

    /// Nobody waits for a request any more.
    pub fn hear(&mut self, id: usize) {
        self.asked[id].is_waited_for = false;
        self.slots[self.asked[id].slot as usize].outstanding -= 1;
    }

    /// A request is answered; `None`: it is refused.
    pub fn end(&mut self, id: usize, reply: Option<(u64, Told)>) {
        let at = self.clock.get();
        self.asked[id].ended = Some(Ended { at, reply });
        self.moments.push(Moment::Ended(id));
    }
}
