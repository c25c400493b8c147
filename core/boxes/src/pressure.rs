//! How much an agent keeps of what it cannot handle yet, and what it says to those whose messages it hands back.
//!
//! A message that its agent wants is handled at once, however much waits. One that it does not want is kept in
//! its inbox up to a mark, and beyond that handed back to its sender, which keeps it (`plane::full`): so a slow,
//! filtering or held agent costs its reactor no more than its mark, whoever writes to it and however much.
//! What was handed back is not done. Who was refused is told once half of the mark is free, or, by a label, for
//! whom the agent waits itself. Both words may get lost; then the senders try again by themselves.

use daedal_model::id::{AgentId, Number, Space};
use daedal_net::driver::Driver;

use crate::deliver::Trust;
use crate::inbox::Load;
use crate::plane::{Label, Via};
use crate::planted::{self, Bug};
use crate::record::{LABEL_BY_RING, ROOM_BY_RING, Record, notice};
use crate::slot::{Parked, SlotIndex};
use crate::turn::{Fate, Turn};

/// What a link says of an agent in place of a message's outcome: it has room again.
pub(crate) const ROOM: u32 = u32::MAX - 2;
/// Or it waits for whoever has this label.
pub(crate) const LABEL: u32 = u32::MAX - 3;

/// Messages that an agent's inbox holds at most: a turn offers as many of them again.
const INBOX_MARK: usize = 1024;
/// Bytes of messages that it holds from which on it takes no more: of small ones it is not reached.
const INBOX_BYTES_MARK: usize = 4 << 20;

/// Beside the hops of a label: whoever has it stands still.
const STANDS_STILL: u64 = 1 << 32;

/// All agents of this reactor, as those who are told something.
pub(crate) const NEIGHBOURS: Via = Via::Local(SlotIndex::NOBODY);

/// How full inboxes get, and whose were.
#[derive(Debug)]
pub(crate) struct Marks {
    messages: usize,
    /// Agents that have handed messages back, and not said yet that they have room.
    refusing: Vec<SlotIndex>,
    /// Agents that did so because they are pressed, and to whom: who is to be told for whom they wait.
    pressed: Vec<(SlotIndex, Via)>,
}

impl Default for Marks {
    fn default() -> Marks {
        Marks { messages: INBOX_MARK, refusing: Vec::new(), pressed: Vec::new() }
    }
}

impl Marks {
    fn is_over(&self, load: Load) -> bool {
        load.reaches(Load { messages: self.messages, bytes: INBOX_BYTES_MARK })
    }

    fn has_room(&self, load: Load) -> bool {
        load.messages <= self.messages / 2 && load.bytes <= INBOX_BYTES_MARK / 2
    }
}

/// A leaf's word to those who write to it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Word {
    /// It has room.
    Room,
    /// It has none, for it waits itself.
    WaitsFor(Label),
}

impl Word {
    /// What a link or a ring says. `is_room`: by its code; `space` and `number` come with it.
    pub fn heard(is_room: bool, space: Space, number: Number) -> Word {
        match is_room {
            true => Word::Room,
            false => {
                let (stands_still, hops) = (number.0 & STANDS_STILL != 0, number.0 as u32);
                Word::WaitsFor(Label { stands_still, space, hops })
            }
        }
    }
}

impl<D: Driver> Turn<D> {
    /// Has agents keep fewer messages, or more, than they do by themselves. One at least.
    pub fn bound_inboxes(&mut self, messages: usize) {
        self.marks.messages = messages.max(1);
    }

    /// An agent whose inbox is full keeps those whose turn comes first: a message with a higher number goes back for
    /// one with a lower.
    pub(crate) fn make_place(
        &mut self,
        to: SlotIndex,
        record: &Record<'_>,
        trust: Trust,
        via: Via,
    ) {
        let Some(slot) = &mut self.slots[to.0 as usize] else { return };
        if via == Via::Nowhere || slot.members.is_some() || !self.marks.is_over(slot.inbox.load()) {
            return;
        }
        let number = slot.host.number(record.body(), trust);
        if let Some(parked) = number.and_then(|number| slot.inbox.pop_above(number)) {
            self.hand_back(to, &Record::of(&parked.record), parked.via);
            self.settle_parked(to, &parked, Fate::Full);
        }
    }

    /// A copy of a message that its agent does not want now, if that keeps it; else it is to go back.
    pub(crate) fn copy_out(
        &mut self,
        to: SlotIndex,
        record: &Record<'_>,
        trust: Trust,
        via: Via,
    ) -> Option<Parked> {
        let slot = self.slots[to.0 as usize].as_mut()?;
        // A timer's message has nowhere to go back to.
        if via != Via::Nowhere && self.marks.is_over(slot.inbox.load()) {
            self.hand_back(to, record, via);
            return None;
        }
        let parked = Parked { record: record.to_vec(), trust, via };
        slot.inbox.add_load(&parked);
        self.plane.counts.copied_out += 1;
        Some(parked)
    }

    fn hand_back(&mut self, to: SlotIndex, record: &Record<'_>, via: Via) {
        let Some(slot) = &mut self.slots[to.0 as usize] else { return };
        self.plane.counts.handed_back += 1;
        if !planted::is(Bug::FullStaysDone) {
            slot.done.give_back(record);
        }
        // To neighbours in this reactor it is all the same.
        let via = if let Via::Local(_) = via { NEIGHBOURS } else { via };
        if slot.inbox.refuse(via) {
            self.marks.refusing.push(to);
        }
        if self.plane.waits_for_others(to) && !self.marks.pressed.contains(&(to, via)) {
            self.marks.pressed.push((to, via));
        }
    }

    /// Tells those whose messages were handed back that there is room, or for whom their agent waits.
    #[inline]
    pub(crate) fn tell_of_room(&mut self) {
        if !self.marks.refusing.is_empty() {
            self.tell_the_refused();
        }
    }

    #[cold]
    fn tell_the_refused(&mut self) {
        for (to, via) in std::mem::take(&mut self.marks.pressed) {
            let label = self.plane.label_of(to);
            self.tell_of_leaf(to, via, Word::WaitsFor(label));
        }
        for to in std::mem::take(&mut self.marks.refusing) {
            let Some(slot) = &mut self.slots[to.0 as usize] else { continue };
            if !self.marks.has_room(slot.inbox.load()) {
                self.marks.refusing.push(to);
                continue;
            }
            for via in slot.inbox.take_refused() {
                self.tell_of_leaf(to, via, Word::Room);
            }
        }
    }

    fn tell_of_leaf(&mut self, to: SlotIndex, via: Via, word: Word) {
        let Some(slot) = &self.slots[to.0 as usize] else { return };
        let leaf = slot.physical;
        let (about, by_ring, by_link) = match word {
            Word::Room => ((leaf, Space(0), Number(0)), ROOM_BY_RING, ROOM),
            Word::WaitsFor(Label { stands_still, space, hops }) => {
                let still = if stands_still { STANDS_STILL } else { 0 };
                ((leaf, space, Number(u64::from(hops) | still)), LABEL_BY_RING, LABEL)
            }
        };
        match via {
            Via::Local(_) => self.hear_of_leaf(leaf, word, via),
            Via::Ring(reactor) => self.plane.tell_ring(reactor, notice(about, by_ring)),
            Via::Link(link) => self.plane.links.tell_of_leaf(link, about, by_link),
            Via::Nowhere => {}
        }
    }

    /// An agent that something was sent to says how it is.
    pub(crate) fn hear_of_leaf(&mut self, leaf: AgentId, word: Word, via: Via) {
        if !self.plane.is_full_by(leaf, via) {
            return;
        }
        match word {
            Word::Room => self.plane.hear_room(leaf),
            Word::WaitsFor(label) => self.plane.hear_label(leaf, label),
        }
    }
}
