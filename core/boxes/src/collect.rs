//! What agents that have ended leave behind, and conversations that are idle: collected now and then, so that
//! agents that come and go leave memory as it was, and no message pays for it.
//!
//! An agent that ends is *departed* until all that it has sent is done: its messages go on under their names.
//! Then its space is *retired*: nothing of it is under way, nobody keeps a copy, and no later one has its names.
//! All reactors that something of it went to are told so, and forget what they did for it (done boxes, lines,
//! the way back); its slot is used again once the local queue holds nothing from that time. A process that is
//! no more cannot tell: that its peer is another one is what retires its spaces (`arrival`).
//!
//! What has ended for good answers no more: whoever asked it, and was not answered, is told *unknown*. A life
//! that others go on from is none of these.
//!
//! A look costs as much as there is to be looked at, so one is taken when half as much has come, or a time
//! after an end that grows alike.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use daedal_model::id::{AgentId, Number, Space, Stamp};
use daedal_net::driver::Driver;
use daedal_net::link::Named;
use hashbrown::HashSet;

use crate::conversation::{ConversationIndex, RouteIndex};
use crate::plane::{Plane, Via};
use crate::planted::{self, Bug};
use crate::record::{ASKED_AFTER_BY_RING, RETIRED_BY_RING, Record, notice};
use crate::slot::{Slot, SlotIndex, Spaces};
use crate::turn::Turn;

/// What a link says of a space in place of a message's outcome: it is retired.
pub(crate) const RETIRED: u32 = u32::MAX;
/// What a link asks of a space: to be told when it is retired.
pub(crate) const ASKED_AFTER: u32 = u32::MAX - 1;

/// Conversations and ends of agents from which on a look is taken, beside half of what there was left.
const LOOK_MARK: usize = 64;
/// How long after an end a look is taken at the latest, and how much longer for each conversation.
const LOOK_NS: u64 = 10_000_000;
const LOOK_NS_EACH: u64 = 1_000;
/// How long a conversation of more than replies rests before it is freed.
const REST_NS: u64 = 1_000_000_000;

/// What is to be collected.
#[derive(Debug, Default)]
pub(crate) struct Remains {
    /// Agents that have ended, and whose messages may not all be done.
    departed: BTreeMap<Space, Departed>,
    /// Slots that are nobody's, each with the pass of the local queue before which they are not used again.
    resting: VecDeque<(u64, SlotIndex)>,
    /// How often the local queue was read to its end and changed places.
    pub passes: u64,
    /// Spaces that were retired, and whose marks here are to be forgotten.
    retired: Vec<Space>,
    /// How many of those make a look worth it.
    retired_mark: usize,
    /// How many agents have ended since the last look.
    ended: usize,
    /// What has begun and ended at the next look.
    mark: usize,
    /// When one is taken at the latest.
    due: Option<Stamp>,
    /// How often in a row it was for nothing.
    in_vain: u32,
}

#[derive(Clone, Copy, Debug)]
struct Departed {
    slot: SlotIndex,
    /// Whether others go on from where it was.
    is_followed: bool,
}

/// How much a reactor keeps, for tests and people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Slots of agents, those that are nobody's with them.
    pub slots: usize,
    /// Agents that have ended and are not collected.
    pub departed: usize,
    /// Conversations, each lane for itself.
    pub conversations: usize,
    /// Destinations of them.
    pub destinations: usize,
    /// Routes, paths and places that are known.
    pub routes: usize,
    /// Spaces whose agents are elsewhere, and are known to be.
    pub origins: usize,
    /// Entries of done boxes, and lines of the stage `ordered`, of all agents.
    pub done: usize,
    /// Lines to leaves, of all who send in order.
    pub lines: usize,
    /// Asks of all agents that are not answered.
    pub asks: usize,
    /// Links to reactors of other boxes.
    pub links: usize,
    /// Messages that wait in inboxes and outboxes.
    pub messages: usize,
}

impl Remains {
    /// Whose messages of this space are not done yet, though it has ended.
    pub fn departed(&self, space: Space) -> Option<SlotIndex> {
        self.departed.get(&space).map(|it| it.slot)
    }

    /// A slot that may be used again.
    pub fn vacant(&mut self) -> Option<SlotIndex> {
        let (_, slot) = self.resting.pop_front_if(|(pass, _)| *pass <= self.passes)?;
        Some(slot)
    }

    /// When a look is taken at the latest.
    pub fn due(&self) -> Option<Stamp> {
        self.due
    }
}

impl<D: Driver> Plane<D> {
    /// Forgets the asks of one who has ended.
    fn drop_asks(&mut self, at: ConversationIndex) {
        for number in self.conversations[at].asks.numbers() {
            self.close_ask(at, number);
            self.gathers.forget((at, number));
            self.matchings.forget((at, number));
            self.askers.remove(&(at, number));
        }
    }

    /// Frees the conversations that are idle: of those who have ended all, of the others what rests. Returns
    /// who of the former has some left. `thoroughly`: whether to look at those of the living.
    fn free_idle(
        &mut self,
        is_gone: impl Fn(SlotIndex) -> bool,
        thoroughly: bool,
    ) -> HashSet<SlotIndex, foldhash::fast::FixedState> {
        let mut left = HashSet::default();
        for base in self.conversations.bases() {
            let from = self.conversations[base].from;
            let is_gone = is_gone(from);
            if !is_gone && !thoroughly {
                continue;
            }
            let family: Vec<_> = self.conversations.family(base).collect();
            let (mut is_idle, mut rests_ns, mut used) = (true, u64::MAX, 0);
            for at in family {
                if is_gone && self.conversations[at].asks.len() > 0 {
                    self.drop_asks(at);
                }
                self.relieve(at);
                rests_ns = rests_ns.min(self.conversations.rests_ns(at, self.now));
                let it = &self.conversations[at];
                is_idle &= it.is_idle();
                used = used.max(it.used());
            }
            let it = &self.conversations[base];
            let rests = it.lines.is_none()
                && rests_ns >= if it.route == RouteIndex::REPLIES { 1 } else { REST_NS };
            if !is_idle || !(is_gone || rests) {
                if is_gone {
                    left.insert(from);
                }
                continue;
            }
            let sender = &mut self.senders[from.0 as usize];
            (sender.lately, sender.heads) = (None, None);
            sender.used = sender.used.max(used);
            self.conversations.free(base);
        }
        left
    }
}

impl<D: Driver> Turn<D> {
    /// An agent has left its slot. `is_followed`: others go on from where it was.
    pub(crate) fn depart(&mut self, index: SlotIndex, slot: &Slot, is_followed: bool) {
        self.plane.spaces.remove(&slot.space);
        // Whoever it did something for may wait for an answer.
        for ((_, space, _), _) in slot.done.entries() {
            if let Some(Via::Link(link)) = self.plane.origins.get(&space).copied() {
                self.plane.note_link_of(index, link);
            }
        }
        self.remains.departed.insert(slot.space, Departed { slot: index, is_followed });
        self.remains.ended += 1;
        self.remains.in_vain = 0;
        let due = self.next_look();
        self.remains.due = Some(self.remains.due.map_or(due, |known| known.min(due)));
    }

    fn next_look(&self) -> Stamp {
        let each = LOOK_NS_EACH * self.plane.conversations.count() as u64;
        let wait = (LOOK_NS + each) << self.remains.in_vain.min(8);
        Stamp(self.plane.now.0.saturating_add(wait))
    }

    /// Collects what is worth a look. Nothing is in hand, and no list of the plane's holds anything.
    #[inline]
    pub(crate) fn collect(&mut self) {
        let come = self.plane.conversations.begun() + self.remains.ended;
        let is_much = come > self.remains.mark.max(LOOK_MARK);
        if is_much || self.remains.due.is_some_and(|due| due <= self.plane.now) {
            self.look(is_much);
        }
        if self.remains.retired.len() > self.remains.retired_mark {
            self.forget_retired();
        }
    }

    #[cold]
    fn look(&mut self, thoroughly: bool) {
        let slots = &self.slots;
        let is_gone = |slot: SlotIndex| slots[slot.0 as usize].is_none();
        let left = self.plane.free_idle(is_gone, thoroughly);
        self.plane.unanswered.retain(|it| !is_gone(it.slot));
        if thoroughly && self.port.is_some() {
            self.collect_routes();
        }
        let departed = std::mem::take(&mut self.remains.departed);
        let stays = |it: &Departed| left.contains(&it.slot) && !planted::is(Bug::RetiredEarly);
        let (stay, go): (BTreeMap<_, _>, BTreeMap<_, _>) =
            departed.into_iter().partition(|(_, it)| stays(it));
        let was_in_vain = go.is_empty() && !thoroughly;
        self.remains.departed = stay;
        self.retire_all(go);
        let remains = &mut self.remains;
        remains.in_vain = if was_in_vain { remains.in_vain + 1 } else { 0 };
        (remains.ended, remains.due) = (0, None);
        if thoroughly {
            self.plane.conversations.take_begun();
            self.remains.mark = (self.plane.conversations.count() + self.slots.len()) / 2;
        }
        if !self.remains.departed.is_empty() {
            self.remains.due = Some(self.next_look());
        }
    }

    fn collect_routes(&mut self) {
        let mut used = Vec::new();
        for (_, it) in self.plane.conversations.iter() {
            let index = it.route.0 as usize;
            if used.len() <= index {
                used.resize(index + 1, false);
            }
            used[index] = true;
        }
        self.plane.routes.collect(&used, self.plane.me);
    }

    /// All that these have sent is done.
    fn retire_all(&mut self, spaces: BTreeMap<Space, Departed>) {
        let mut ended = BTreeSet::new();
        for (space, Departed { slot, is_followed }) in spaces {
            let sender = &mut self.plane.senders[slot.0 as usize];
            let (source, links) = (sender.source, std::mem::take(&mut sender.links));
            for link in links {
                self.plane.links.tell_of_space(link, (source, space), is_followed, RETIRED);
            }
            self.plane.tell_rings_of_end(source, space, is_followed);
            self.remains.retired.push(space);
            if !is_followed {
                ended.insert(source);
            }
            self.remains.resting.push_back((self.remains.passes + 2, slot));
        }
        self.end_asks(&ended, None);
    }

    /// Whoever asked these, and was not answered, will not be. `link`: by which they were reached; none: they
    /// were of this box.
    fn end_asks(&mut self, ended: &BTreeSet<AgentId>, link: Option<u32>) {
        if ended.is_empty() {
            return;
        }
        let asked = self.plane.conversations.iter();
        let asked = asked.filter(|(_, it)| it.asks.len() > 0 && ended.contains(&it.to));
        let waits = asked.map(|(at, it)| (at, it.asks_done(link))).collect::<Vec<_>>();
        for (at, numbers) in waits {
            numbers.into_iter().for_each(|number| self.plane.no_answer(at, number, None));
        }
    }

    /// A peer says that a space of one of its agents is retired, or asks to be told of one of ours.
    pub(crate) fn hear_of_space(&mut self, link: u32, name: &Named, outcome: u32) {
        let (source, space) = (AgentId(name.source), Space(name.space));
        if outcome == ASKED_AFTER {
            let here = self.plane.spaces.get(&space).copied();
            match here.or_else(|| self.remains.departed(space)) {
                Some(slot) => self.plane.note_link_of(slot, link),
                None => self.plane.links.tell_of_space(link, (source, space), true, RETIRED),
            }
            return;
        }
        // Nobody speaks for the spaces of others.
        if self.plane.origins.get(&space) == Some(&Via::Link(link)) {
            self.retire(space);
        }
        if name.number == 0 {
            self.end_asks(&BTreeSet::from([source]), Some(link));
        }
    }

    /// Asks whoever runs the agent of a space to be told when it has ended.
    pub(crate) fn ask_after(&mut self, space: Space, via: Via) {
        match via {
            Via::Link(link) => {
                self.plane.links.tell_of_space(link, (AgentId(0), space), true, ASKED_AFTER);
            }
            Via::Ring(reactor) => {
                let (me, code) = (AgentId::of("ring"), ASKED_AFTER_BY_RING);
                self.plane.tell_ring(reactor, of_space(me, space, true, code));
            }
            Via::Local(_) | Via::Nowhere => {}
        }
    }

    /// Another reactor of the box says that a space of one of its agents is retired, or asks after one of ours.
    pub(crate) fn hear_of_space_by_ring(&mut self, from: u8, record: &Record<'_>) {
        let name = record.name();
        if record.header().floor.get() == ASKED_AFTER_BY_RING {
            let is_here = self.plane.spaces.contains_key(&name.space);
            // Of one that is still to be retired all reactors are told.
            if !is_here && self.remains.departed(name.space).is_none() {
                let end = of_space(name.source, name.space, true, RETIRED_BY_RING);
                self.plane.tell_ring(from, end);
            }
            return;
        }
        if self.plane.origins.get(&name.space) == Some(&Via::Ring(from)) {
            self.retire(name.space);
        }
        if name.number == Number(0) {
            self.end_asks(&BTreeSet::from([name.source]), None);
        }
    }

    /// Nothing of this space comes any more.
    pub(crate) fn retire(&mut self, space: Space) {
        self.plane.origins.remove(&space);
        self.remains.retired.push(space);
    }

    /// The process at the other end of a link is no more.
    pub(crate) fn retire_peer(&mut self, link: u32) {
        let theirs = self.plane.origins.extract_if(|_, via| *via == Via::Link(link));
        self.remains.retired.extend(theirs.map(|(space, _)| space));
    }

    #[cold]
    pub(crate) fn forget_retired(&mut self) {
        let retired = std::mem::take(&mut self.remains.retired);
        let retired: Spaces = retired.into_iter().collect();
        let mut left = 0;
        for slot in self.slots.iter_mut().flatten() {
            slot.done.forget(&retired);
            let dropped = slot.egress.forget(&retired);
            dropped.iter().for_each(|parked| slot.inbox.take_load(parked));
            left += slot.done.count() + slot.egress.count();
        }
        self.remains.retired_mark = LOOK_MARK / 4 + (left + self.slots.len()) / 4;
    }

    /// How much is kept here.
    pub fn kept(&self) -> Kept {
        let [destinations, routes, paths, places] = self.plane.routes.counts();
        let slots = self.slots.iter().flatten();
        let conversations = || self.plane.conversations.iter().map(|(_, it)| it);
        let waiting: usize = slots.clone().map(|it| it.inbox.load().messages).sum();
        Kept {
            slots: self.slots.len(),
            departed: self.remains.departed.len(),
            conversations: self.plane.conversations.count(),
            destinations,
            routes: routes + paths + places,
            origins: self.plane.origins.len(),
            done: slots.map(|it| it.done.count() + it.egress.count()).sum(),
            lines: self.plane.conversations.line_count(),
            asks: conversations().map(|it| it.asks.len()).sum(),
            links: self.plane.links.count(),
            messages: waiting + conversations().map(|it| it.kept_count()).sum::<usize>(),
        }
    }
}

/// What tells another reactor of the box something of a space.
pub(crate) fn of_space(source: AgentId, space: Space, is_followed: bool, code: u32) -> Vec<u8> {
    notice((source, space, Number(is_followed.into())), code)
}
