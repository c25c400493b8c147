//! Agents that take no more for now: whoever writes to them keeps it, and tries again.
//!
//! An agent whose inbox is over its mark hands back what it does not want at once (`pressure`). Here, at the
//! sender, such a leaf is *full*: what is for it stays in its outbox, so that neither queues, rings and links
//! nor the agent's neighbours have anything to do with it. It is tried again after a wait that doubles, or as soon
//! as the leaf says that it has room. A try is a *grant* of some messages: first the lowest of each conversation,
//! for a filter that waits mostly waits for that, then the others in turn, so that whichever it waits for gets
//! there. A grant that is wholly taken is doubled; when it covers all that waits, the leaf is full no more.
//!
//! Who is pressed, for too much of what it sent waits, handles nothing more; so those who write to it find it
//! full in turn. A *cycle* of such agents would stand still for ever. It is found as in Mitchell and Merritt's
//! algorithm: a pressed agent tells those to whom it hands messages back a label, the highest space that it has
//! heard of on its way, its own among them; whose own label comes back waits for itself. That one goes on until
//! much more waits, which lets the others go on, unless the messages of the cycle multiply: then it stands
//! still, and is named, and so is whatever load comes to it from outside refused.

use std::collections::BTreeMap;

use daedal_model::id::{AgentId, Number, Space, Stamp};
use daedal_model::path::AgentPath;
use daedal_net::driver::Driver;

use super::{Plane, Via};
use crate::conversation::{ConversationIndex, Until};
use crate::planted::{self, Bug};
use crate::slot::SlotIndex;

/// Messages of the first grant, and of each that comes back.
const GRANT_MIN: u32 = 128;
/// Messages of a grant to who says that it has room: what it had room for when it said so.
const GRANT_ROOM: u32 = 512;
/// Messages of the largest grant.
const GRANT_MAX: u32 = 1 << 16;
/// How long a full leaf is left alone at first: some round trips.
const WAIT_NS_MIN: u64 = 1_000_000;
/// And at last, if it never says that it has room: its word may be lost with a session.
const WAIT_NS_MAX: u64 = 16_000_000;
/// How long it is left alone at most, where round trips take long.
const WAIT_NS_LONG: u64 = 200_000_000;
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

/// Who is full, and who waits for whom because of that.
#[derive(Debug, Default)]
pub(crate) struct FullLeaves {
    leaves: BTreeMap<AgentId, FullLeaf>,
    /// Of agents that are pressed, and have heard of others that are, by the word of which leaf.
    labels: BTreeMap<SlotIndex, (AgentId, Label)>,
    cycles: BTreeMap<SlotIndex, Cycle>,
}

#[derive(Debug)]
struct FullLeaf {
    /// When it is tried again.
    until: Stamp,
    wait_ns: u64,
    wait_ns_min: u64,
    grant: u32,
    /// What is left of the grant.
    left: u32,
    /// Whether something came back since it was given.
    came_back: bool,
    /// Conversations that wait for it, each with the number from which on it has its turn.
    waiting: BTreeMap<ConversationIndex, Number>,
    /// The conversation whose lowest message is next, and the one whose others are.
    next: (ConversationIndex, ConversationIndex),
    /// How it is reached.
    via: Via,
}

impl FullLeaf {
    /// The conversations that wait, from this one on and round, each with the number whose turn it is.
    fn in_turn(&self, first: ConversationIndex) -> Vec<(ConversationIndex, Number)> {
        let all = self.waiting.range(first..).chain(self.waiting.range(..first));
        all.map(|(at, turn)| (*at, *turn)).collect()
    }
}

/// An agent that waits for itself.
#[derive(Debug)]
struct Cycle {
    /// Whether it goes on all the same.
    goes_on: bool,
    said_at: Stamp,
}

impl FullLeaves {
    /// How many leaves are full.
    pub fn count(&self) -> usize {
        self.leaves.len()
    }

    /// How many agents here are known to wait for themselves.
    pub fn cycle_count(&self) -> usize {
        self.cycles.len()
    }

    /// When one is tried again.
    pub fn next_due(&self) -> Option<Stamp> {
        if planted::is(Bug::FullStaysFull) {
            return None;
        }
        self.leaves.values().map(|leaf| leaf.until).min()
    }

    /// Whether a message may go to a leaf, which takes one of its grant if it has one; else its conversation waits.
    #[inline]
    pub fn lets(&mut self, leaf: AgentId, at: ConversationIndex, number: Number) -> bool {
        self.leaves.is_empty() || self.lets_some(leaf, at, number)
    }

    #[cold]
    fn lets_some(&mut self, leaf: AgentId, at: ConversationIndex, number: Number) -> bool {
        let Some(it) = self.leaves.get_mut(&leaf) else { return true };
        let turn = it.waiting.entry(at).or_default();
        if it.left == 0 {
            return false;
        }
        it.left -= 1;
        *turn = (*turn).max(Number(number.0 + 1));
        true
    }

    fn set_turn(&mut self, leaf: AgentId, at: ConversationIndex, turn: Number) {
        if let Some(it) = self.leaves.get_mut(&leaf) {
            it.waiting.insert(at, turn);
        }
    }

    /// Whether an agent goes on although too much of what it sent waits.
    #[cold]
    pub fn lets_on(&self, slot: SlotIndex) -> bool {
        self.cycles.get(&slot).is_some_and(|cycle| cycle.goes_on)
    }

    /// What a leaf has said of whom it waits for holds no longer.
    fn forget_word_of(&mut self, leaf: AgentId) {
        self.labels.retain(|_, (by, _)| *by != leaf);
    }

    /// An agent is pressed no longer.
    fn forget(&mut self, slot: SlotIndex) {
        self.labels.remove(&slot);
        self.cycles.remove(&slot);
    }
}

impl<D: Driver> Plane<D> {
    /// A leaf has handed a message back.
    pub fn came_back_full(
        &mut self,
        at: ConversationIndex,
        (leaf, via): (AgentId, Via),
        number: Number,
        record: &[u8],
    ) {
        self.conversations[at].take_back(number, leaf);
        let (now, links) = (self.now, &self.links);
        let it = self.full.leaves.entry(leaf).or_insert_with(|| {
            // What was granted is to have had the time to come back.
            let round_trip = if let Via::Link(link) = via { links.rtt_ns(link) } else { 0 };
            let wait_ns = WAIT_NS_MIN.max(2 * round_trip).min(WAIT_NS_LONG);
            FullLeaf {
                until: Stamp(now.0.saturating_add(wait_ns)),
                wait_ns,
                wait_ns_min: wait_ns,
                grant: GRANT_MIN,
                left: 0,
                came_back: true,
                waiting: BTreeMap::new(),
                next: Default::default(),
                via,
            }
        });
        (it.came_back, it.left, it.via) = (true, 0, via);
        it.waiting.entry(at).or_default();
        if planted::is(Bug::FullIsDone) {
            return self.conversations.done(at, number);
        }
        self.keep(at, number, record, Until::Sendable);
    }

    /// Tries those again whose time has come. Whether there were any.
    pub fn try_the_full(&mut self) -> bool {
        let now = self.now;
        if self.full.leaves.is_empty() || planted::is(Bug::FullStaysFull) {
            return false;
        }
        let due = self.full.leaves.iter().filter(|(_, it)| it.until <= now);
        let due: Vec<AgentId> = due.map(|(leaf, _)| *leaf).collect();
        for leaf in &due {
            let Some(it) = self.full.leaves.get_mut(leaf) else { continue };
            if !it.came_back && it.left > 0 {
                // Who waits for it waits for something else, or waits no more.
                let it = self.full.leaves.remove(leaf).expect("it is there");
                self.full.forget_word_of(*leaf);
                it.waiting.into_keys().for_each(|at| self.release(at));
                continue;
            }
            (it.grant, it.wait_ns) = match it.came_back {
                true => (GRANT_MIN, (2 * it.wait_ns).min(WAIT_NS_MAX.max(it.wait_ns_min))),
                false => ((2 * it.grant).min(GRANT_MAX), it.wait_ns_min),
            };
            self.grant(*leaf);
        }
        !due.is_empty()
    }

    /// Whether a leaf that is full is reached by this way: nobody speaks for others.
    pub fn is_full_by(&self, leaf: AgentId, via: Via) -> bool {
        self.full.leaves.get(&leaf).is_some_and(|it| it.via == via)
    }

    /// A leaf says that it has room.
    pub fn hear_room(&mut self, leaf: AgentId) {
        self.full.forget_word_of(leaf);
        if let Some(it) = self.full.leaves.get_mut(&leaf) {
            (it.grant, it.wait_ns) = (GRANT_ROOM, it.wait_ns_min);
            self.grant(leaf);
        }
    }

    fn grant(&mut self, leaf: AgentId) {
        let now = self.now;
        let Some(it) = self.full.leaves.get_mut(&leaf) else { return };
        it.until = Stamp(now.0.saturating_add(it.wait_ns));
        it.came_back = false;
        let conversations = &self.conversations;
        it.waiting.retain(|at, _| conversations.waits(*at));
        // Half of it at least is for the others, however many lowest ones there are.
        it.left = it.grant / 2;
        let (rest, in_turn) = (it.grant - it.left, it.in_turn(it.next.0));
        for (at, turn) in in_turn {
            self.grant_lowest(leaf, at, turn);
        }
        let Some(it) = self.full.leaves.get_mut(&leaf) else { return };
        it.left += rest;
        for (at, turn) in it.in_turn(it.next.1) {
            if !self.is_granted(leaf) {
                break;
            }
            self.release_from(at, turn);
            if self.is_granted(leaf) {
                // All behind it went: the next one is the first, in another grant.
                self.full.set_turn(leaf, at, Number(0));
            }
            if let Some(it) = self.full.leaves.get_mut(&leaf) {
                it.next.1 = ConversationIndex(at.0 + 1);
            }
        }
    }

    fn is_granted(&self, leaf: AgentId) -> bool {
        self.full.leaves.get(&leaf).is_some_and(|it| it.left > 0)
    }

    /// Sends the lowest message of a conversation, which takes one of the leaf's grant and no turn.
    fn grant_lowest(&mut self, leaf: AgentId, at: ConversationIndex, turn: Number) {
        let Some(it) = self.full.leaves.get_mut(&leaf) else { return };
        let Some(rest) = it.left.checked_sub(1) else { return };
        (it.left, it.next.0) = (1, ConversationIndex(at.0 + 1));
        self.release(at);
        if let Some(it) = self.full.leaves.get_mut(&leaf) {
            it.left += rest;
        }
        self.full.set_turn(leaf, at, turn);
    }

    // ---- cycles ----

    /// One reason less to hold an agent's input back.
    pub fn unpress(&mut self, slot: SlotIndex) {
        let sender = &mut self.senders[slot.0 as usize];
        sender.pressed -= 1;
        if sender.pressed == 0 {
            self.full.forget(slot);
            self.relieved.push(slot);
        }
    }

    /// The label of an agent that is pressed.
    pub fn label_of(&self, slot: SlotIndex) -> Label {
        let own = Label { space: self.senders[slot.0 as usize].space, hops: 0 };
        self.full.labels.get(&slot).map_or(own, |(_, label)| *label)
    }

    /// A full leaf is so because it waits, in the end, for whoever has this label.
    pub fn hear_label(&mut self, leaf: AgentId, label: Label) {
        let Some(it) = self.full.leaves.get(&leaf) else { return };
        let waiting: Vec<_> = it.waiting.keys().copied().collect();
        for at in waiting {
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
            let held = self.full.labels.get(&slot).filter(|(by, _)| *by != leaf);
            match held {
                Some((_, held)) if !is_of_use || held.space >= label.space => {}
                None if !is_of_use => drop(self.full.labels.remove(&slot)),
                _ => drop(self.full.labels.insert(slot, (leaf, passed_on))),
            }
        }
    }

    fn found_cycle(&mut self, slot: SlotIndex, leaf: AgentId, agents: u32) {
        let (now, agent) = (self.now, self.senders[slot.0 as usize].path.clone());
        let towards = self.name_of(leaf);
        let Some(cycle) = self.full.cycles.get_mut(&slot) else {
            self.counts.cycles += 1;
            tracing::warn!(%agent, towards, agents, "a cycle of agents waits for itself: it goes on beyond its bound");
            self.full.cycles.insert(slot, Cycle { goes_on: true, said_at: now });
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
            && let Some(cycle) = self.full.cycles.get_mut(&slot)
        {
            cycle.goes_on = false;
        }
    }

    /// It has shrunk: an agent of a cycle goes on again.
    pub fn unbound_cycle(&mut self, at: ConversationIndex) {
        let it = &self.conversations[at];
        let slot = it.from;
        if it.unsent_count() < CYCLE_MARK - super::OUTBOX_MARK
            && let Some(cycle) = self.full.cycles.get_mut(&slot)
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
