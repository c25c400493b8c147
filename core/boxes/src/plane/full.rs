//! Agents that take no more for now: whoever writes to them keeps it, and tries again.
//!
//! An agent whose inbox is over its mark hands back what it does not want at once (`pressure`). Here, at the
//! sender, such a leaf is *full*: what is for it stays in its outbox, so that neither queues, rings and links
//! nor the agent's neighbours have anything to do with it. It is tried again after a wait that doubles, or as soon
//! as the leaf says that it has room. A try is a *grant* of some messages: first the lowest of each conversation,
//! for a filter that waits mostly waits for that, then the others in turn, so that whichever it waits for gets
//! there. A grant that is wholly taken is doubled; when it covers all that waits, the leaf is full no more.

use std::collections::BTreeMap;

use daedal_model::id::{AgentId, Number, Stamp};
use daedal_net::driver::Driver;

use super::{Plane, Via};
use crate::conversation::{ConversationIndex, Until};
use crate::planted::{self, Bug};

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

/// Who is full.
#[derive(Debug, Default)]
pub(crate) struct FullLeaves {
    leaves: BTreeMap<AgentId, FullLeaf>,
}

#[derive(Debug)]
struct FullLeaf {
    /// When it is tried again.
    until: Stamp,
    wait_ns: u64,
    /// How long it is left alone when it takes messages: what was granted needs that long to come back.
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

impl FullLeaves {
    /// How many leaves are full.
    pub fn count(&self) -> usize {
        self.leaves.len()
    }

    /// When one is tried again.
    pub fn next_due(&self) -> Option<Stamp> {
        if planted::is(Bug::FullStaysFull) {
            return None;
        }
        self.leaves.values().map(|leaf| leaf.until).min()
    }

    /// Whether a leaf is one of them.
    pub fn has(&self, leaf: AgentId) -> bool {
        !self.leaves.is_empty() && self.leaves.contains_key(&leaf)
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

    /// The conversations that wait for a leaf.
    pub fn waiting_for(&self, leaf: AgentId) -> Vec<ConversationIndex> {
        self.leaves.get(&leaf).map_or(Vec::new(), |it| it.waiting.keys().copied().collect())
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
        self.keep(at, number, record.to_vec(), Until::Sendable);
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
                self.cycles.forget_word_of(*leaf);
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
        self.cycles.forget_word_of(leaf);
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
}
