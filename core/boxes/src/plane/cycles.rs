//! Cycles of agents that wait for each other: found, and let go on, or named.
//!
//! Who is pressed, for too much of what it sent waits, handles nothing more; so those who write to it find it
//! full in turn (`full`). A *cycle* of such agents would stand still for ever. It is found as in Mitchell and
//! Merritt's algorithm: a pressed agent tells those to whom it hands messages back a label, the highest space that
//! it has heard of on its way, its own among them; whose own label comes back waits for itself. That one goes on
//! until much more waits, which lets the others go on, unless the messages of the cycle multiply: then it stands
//! still, and is named.

use std::collections::BTreeMap;

use daedal_model::id::{AgentId, Space, Stamp};
use daedal_model::path::AgentPath;
use daedal_net::driver::Driver;

use super::Plane;
use crate::conversation::ConversationIndex;
use crate::slot::SlotIndex;

/// Agents of the longest cycle that is found: a label that was passed on so often is nobody's any more.
const HOPS_MAX: u32 = 32;
/// Messages that an agent of a cycle may have waiting, towards one destination, before it stands still.
const CYCLE_MARK: usize = 16 * super::OUTBOX_MARK;
/// How often a cycle that stands still is spoken of.
const SAY_NS: u64 = 10_000_000_000;

/// Whom a pressed agent waits for in the end: a space, and how many agents are between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    pub space: Space,
    pub hops: u32,
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
        let own = Label { space: self.senders[slot.0 as usize].space, hops: 0 };
        self.cycles.labels.get(&slot).map_or(own, |(_, label)| *label)
    }

    /// A full leaf is so because it waits, in the end, for whoever has this label.
    pub fn hear_label(&mut self, leaf: AgentId, label: Label) {
        for at in self.full.waiting_for(leaf) {
            // Who has sent it little goes on without it.
            if !self.conversations[at].is_pressed {
                continue;
            }
            let slot = self.conversations[at].from;
            let own = self.senders[slot.0 as usize].space;
            if label.space == own {
                self.found_cycle(slot, leaf, label.hops + 1);
                continue;
            }
            let passed_on = Label { hops: label.hops.saturating_add(1), ..label };
            let is_of_use = label.space > own && passed_on.hops < HOPS_MAX;
            // Its earlier word holds no longer, whatever that was.
            let held = self.cycles.labels.get(&slot).filter(|(by, _)| *by != leaf);
            match held {
                Some((_, held)) if !is_of_use || held.space >= label.space => {}
                None if !is_of_use => drop(self.cycles.labels.remove(&slot)),
                _ => drop(self.cycles.labels.insert(slot, (leaf, passed_on))),
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
        if it.unsent_count() >= CYCLE_MARK
            && let Some(cycle) = self.cycles.found.get_mut(&slot)
        {
            cycle.goes_on = false;
        }
    }

    /// It has shrunk: an agent of a cycle goes on again.
    pub fn unbound_cycle(&mut self, at: ConversationIndex) {
        let it = &self.conversations[at];
        let slot = it.from;
        if it.unsent_count() < CYCLE_MARK - super::OUTBOX_MARK
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
