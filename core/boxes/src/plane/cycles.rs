//! Cycles of agents that wait for each other: found, and let go on, or named.
//!
//! Who is pressed, for too much of what it sent waits, handles nothing more; so those who write to it find it
//! full in turn (`full`). A *cycle* of such agents would stand still for ever. It is found as in Mitchell and
//! Merritt's algorithm: a pressed agent tells those to whom it hands messages back a label, the highest space that
//! it has heard of on its way, its own among them; whose own label comes back waits for itself. That one goes on
//! until much more waits, which lets the others go on, unless the messages of the cycle multiply: then it *stands
//! still*, and is named. Its labels say so, and pass all others on their way: whoever waits for it, in the cycle or
//! not, refuses what comes from outside, which would wait for ever.

use std::collections::BTreeMap;

use daedal_model::agent::Refusal;
use daedal_model::id::{AgentId, Space, Stamp};
use daedal_model::path::AgentPath;
use daedal_net::driver::Driver;

use super::Plane;
use crate::conversation::ConversationIndex;
use crate::inbox::Load;
use crate::record::{FROM_OUTSIDE, Record};
use crate::slot::SlotIndex;
use crate::turn::Fate;

/// Agents of the longest cycle that is found: a label that was passed on so often is nobody's any more.
const HOPS_MAX: u32 = 32;
/// What an agent of a cycle may have waiting, towards one destination, before it stands still.
const CYCLE_MARK: Load = super::OUTBOX_MARK.scaled(16, 1);
/// How often a cycle that stands still is spoken of.
const SAY_NS: u64 = 10_000_000_000;

/// Whom a pressed agent waits for in the end. Of two that are passed on the higher counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    /// Whether that one stands still.
    pub stands_still: bool,
    pub space: Space,
    /// How many agents are between.
    pub hops: u32,
}

impl Label {
    fn is_above(self, other: Label) -> bool {
        (self.stands_still, self.space) > (other.stands_still, other.space)
    }
}

/// Which pressed agents wait for whom, and for themselves.
#[derive(Debug, Default)]
pub(crate) struct Cycles {
    /// Of agents that are pressed, and have heard of others that are, by the word of which leaf.
    labels: BTreeMap<SlotIndex, (AgentId, Label)>,
    found: BTreeMap<SlotIndex, Cycle>,
}

/// An agent that waits for itself.
#[derive(Debug)]
struct Cycle {
    /// Whether it goes on all the same.
    goes_on: bool,
    said_at: Stamp,
}

impl Cycles {
    /// How many agents here are known to wait for themselves.
    pub fn count(&self) -> usize {
        self.found.len()
    }

    /// Whether an agent goes on although too much of what it sent waits.
    #[cold]
    pub fn lets_on(&self, slot: SlotIndex) -> bool {
        self.found.get(&slot).is_some_and(|cycle| cycle.goes_on)
    }

    /// Whether an agent waits, in the end, for one that stands still, or is that one.
    #[cold]
    pub fn stands_still(&self, slot: SlotIndex) -> bool {
        self.is_bound(slot) || self.labels.get(&slot).is_some_and(|(_, label)| label.stands_still)
    }

    /// Whether an agent waits for itself, and goes on no more.
    fn is_bound(&self, slot: SlotIndex) -> bool {
        self.found.get(&slot).is_some_and(|cycle| !cycle.goes_on)
    }

    /// What a leaf has said of whom it waits for holds no longer.
    pub fn forget_word_of(&mut self, leaf: AgentId) {
        self.labels.retain(|_, (by, _)| *by != leaf);
    }

    /// An agent is pressed no longer.
    pub fn forget(&mut self, slot: SlotIndex) {
        self.labels.remove(&slot);
        self.found.remove(&slot);
    }
}

impl<D: Driver> Plane<D> {
    /// The label of an agent that is pressed.
    pub fn label_of(&self, slot: SlotIndex) -> Label {
        let stands_still = self.cycles.is_bound(slot);
        let own = Label { stands_still, space: self.senders[slot.0 as usize].space, hops: 0 };
        let heard = self.cycles.labels.get(&slot).map(|(_, label)| *label);
        heard.filter(|heard| heard.is_above(own)).unwrap_or(own)
    }

    /// What becomes of a message to an agent whose input waits.
    #[cold]
    pub fn held_back(&self, to: SlotIndex, record: &Record<'_>) -> Fate {
        match record.has(FROM_OUTSIDE) && self.cycles.stands_still(to) {
            true => Fate::Refused(Refusal::StandsStill),
            false => Fate::Parked,
        }
    }

    /// A full leaf is so because it waits, in the end, for whoever has this label.
    pub fn hear_label(&mut self, leaf: AgentId, label: Label) {
        for at in self.full.waiting_for(leaf) {
            // Who has sent it little goes on without it.
            if !self.conversations[at].is_pressed {
                continue;
            }
            let slot = self.conversations[at].from;
            let own =
                Label { space: self.senders[slot.0 as usize].space, stands_still: false, hops: 0 };
            if label.space == own.space {
                self.found_cycle(slot, leaf, label.hops.saturating_add(1));
                continue;
            }
            let passed_on = Label { hops: label.hops.saturating_add(1), ..label };
            let is_of_use = label.is_above(own) && passed_on.hops < HOPS_MAX;
            // Its earlier word holds no longer, whatever that was.
            let held = self.cycles.labels.get(&slot).filter(|(by, _)| *by != leaf);
            match held {
                Some((_, held)) if !is_of_use || !label.is_above(*held) => {}
                None if !is_of_use => drop(self.cycles.labels.remove(&slot)),
                _ => {
                    let did = self.cycles.stands_still(slot);
                    self.cycles.labels.insert(slot, (leaf, passed_on));
                    if label.stands_still && !did {
                        self.relieved.push(slot);
                    }
                }
            }
        }
    }

    fn found_cycle(&mut self, slot: SlotIndex, leaf: AgentId, agents: u32) {
        let (now, agent) = (self.now, self.senders[slot.0 as usize].path.clone());
        let towards = self.name_of(leaf);
        let Some(cycle) = self.cycles.found.get_mut(&slot) else {
            self.counts.cycles += 1;
            tracing::warn!(%agent, towards, agents, "a cycle of agents waits for itself: it goes on beyond its bound");
            self.cycles.found.insert(slot, Cycle { goes_on: true, said_at: now });
            self.relieved.push(slot);
            return;
        };
        if !cycle.goes_on && now.0.saturating_sub(cycle.said_at.0) >= SAY_NS {
            cycle.said_at = now;
            tracing::error!(
                %agent,
                towards,
                agents,
                "a cycle of agents stands still: more messages go round in it than its agents may keep, or it multiplies them"
            );
        }
    }

    /// What is kept for one destination has grown: an agent of a cycle that multiplies messages goes on no more.
    #[cold]
    pub fn bound_cycle(&mut self, at: ConversationIndex) {
        let it = &self.conversations[at];
        let slot = it.from;
        if it.unsent().reaches(CYCLE_MARK)
            && let Some(cycle) = self.cycles.found.get_mut(&slot)
            && std::mem::replace(&mut cycle.goes_on, false)
        {
            self.relieved.push(slot);
        }
    }

    /// It has shrunk: an agent of a cycle goes on again.
    pub fn unbound_cycle(&mut self, at: ConversationIndex) {
        let it = &self.conversations[at];
        let slot = it.from;
        if !it.unsent().reaches(CYCLE_MARK.scaled(15, 16))
            && let Some(cycle) = self.cycles.found.get_mut(&slot)
            && !std::mem::replace(&mut cycle.goes_on, true)
        {
            self.relieved.push(slot);
        }
    }

    /// A leaf's path if it is known here, else its id.
    fn name_of(&self, leaf: AgentId) -> String {
        match self.hosted.get(&leaf) {
            Some(slot) => self.senders[slot.0 as usize].path.to_string(),
            None => {
                self.routes.name_of(leaf).map_or_else(|| leaf.to_string(), AgentPath::to_string)
            }
        }
    }
}
