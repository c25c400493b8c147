//! What a reactor keeps of each (agent, destination) that its agents write to: the next number, which
//! numbers are done, and the messages that are not on their way.

use std::collections::{BTreeMap, VecDeque};

use daedal_model::done::{NumberSet, WINDOW};
use daedal_model::id::{AgentId, Number};
use daedal_model::message::Schema;
use daedal_model::route::PickBy;
use hashbrown::HashMap;

use crate::asks::OpenAsks;
use crate::kinds::Kind;
use crate::ordered::{NO_PLACE, Place};
use crate::record::Record;
use crate::slot::SlotIndex;

/// Index of a conversation in its reactor. Never reused while anything of it is outstanding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConversationIndex(pub u32);

/// Index of a destination in its reactor's routing table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RouteIndex(pub u32);

/// One agent's messages to one logical destination, or to one of its children: a lane of it. Lane 0 has what
/// is named before the way is known, and what goes to several.
#[derive(Debug)]
pub(crate) struct Conversation {
    pub from: SlotIndex,
    pub to: AgentId,
    pub route: RouteIndex,
    /// The others of the same destination, by lane.
    lanes: Vec<Option<ConversationIndex>>,
    /// How often one of several children that are alike was chosen.
    chosen: u32,
    /// Type of the last message, since most conversations have one.
    pub lately: (Schema, Kind),
    next: u64,
    done: NumberSet,
    /// Messages that are not on their way, by number and part: of a message that went to several, each
    /// leaf that has it parked keeps a part of its own here. [`WHOLE`] is what is to be sent.
    outbox: BTreeMap<(Number, AgentId), Waiting>,
    /// How many of those could be sent, if there were a route and room.
    sendable: usize,
    /// The controller is to be asked for the destination, or was.
    pub is_asked_for: bool,
    pub asks: OpenAsks,
    /// Messages that go to several, until all have done them.
    fanned: BTreeMap<Number, Fan>,
    /// Once a message was to stay in order: the state of the destination's ways that what is under way
    /// has left by.
    pub in_order_by: Option<u32>,
    /// Whether it stands among those that want room.
    is_starved: bool,
    /// More messages wait than their sender should add to.
    pub is_pressed: bool,
}

/// A message that goes to several.
#[derive(Debug)]
struct Fan {
    /// The leaves, in the order of the route.
    leaves: Vec<FanLeaf>,
    /// How many have done it.
    done: usize,
    /// It goes to nobody any more: only those who have it are waited for.
    is_given_up: bool,
}

impl Fan {
    /// How many have it, and have not done it.
    fn under_way(&self) -> usize {
        let sent = self.leaves.iter().filter(|leaf| leaf.is_sent).count();
        sent.saturating_sub(self.done)
    }

    fn is_over(&self) -> bool {
        if self.is_given_up { self.under_way() == 0 } else { self.done >= self.leaves.len() }
    }
}

/// One of several that a message goes to.
#[derive(Clone, Copy, Debug, Default)]
struct FanLeaf {
    physical: AgentId,
    /// Whether the message went there, and did not come back.
    is_sent: bool,
    /// The message's place in the line there, if it has one.
    place: Place,
}

/// A message record that its conversation keeps, and what for.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub record: Vec<u8>,
    pub until: Until,
}

/// The part of a message that went to nobody yet, or has to go again.
const WHOLE: AgentId = AgentId(0);

/// What a kept message waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// A route, or room in the link: it is sent when there is one.
    Sendable,
    /// The destination has it, but could not process it yet; the peer of this link will tell.
    Settled {
        /// Index of the link.
        link: u32,
    },
}

impl Conversation {
    /// Gives a message its number.
    #[inline]
    pub fn number(&mut self) -> Number {
        let number = Number(self.next);
        self.next += 1;
        number
    }

    /// The number that the next message will have.
    #[inline]
    pub fn next_number(&self) -> Number {
        Number(self.next)
    }

    /// The lane that it is.
    pub fn lane(&self) -> u16 {
        self.next_number().lane()
    }

    /// Whose turn a message of this number is, of several children that are alike: its lane's, or, where
    /// none was chosen, whoever's.
    #[inline]
    pub fn turn(number: Number) -> u64 {
        match number.lane() {
            0 => number.0,
            lane => u64::from(lane) - 1,
        }
    }

    /// Messages that are not done, or not answered.
    fn outstanding(&self) -> u64 {
        let undone = self.next - self.done.floor().0 - self.done.count_above();
        undone.max(self.asks.len() as u64)
    }

    /// The lowest number that is kept.
    #[inline]
    pub fn floor(&self) -> Number {
        self.done.floor()
    }

    /// A line at a leaf tells apart a window of places, and is shared by lane 0 and the leaf's own.
    #[inline]
    fn window(&self) -> u64 {
        if self.in_order_by.is_some() { WINDOW / 2 } else { WINDOW }
    }

    /// Whether one more message would go beyond what the receiver's done box can tell apart.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.is_beyond(Number(self.next))
    }

    /// Whether a message of this number would.
    #[inline]
    pub fn is_beyond(&self, number: Number) -> bool {
        number.0 - self.done.floor().0 >= self.window()
    }

    /// Whether messages wait to be sent, so that others must queue up behind them.
    #[inline]
    pub fn is_waiting(&self) -> bool {
        self.sendable > 0
    }

    /// Whether it wants room.
    pub fn is_starved(&self) -> bool {
        self.is_starved
    }

    /// How many messages are not on their way.
    pub fn kept_count(&self) -> usize {
        self.outbox.len()
    }

    /// `number` was processed by one who had it; once by all, it need not be kept any longer.
    #[inline]
    pub fn done(&mut self, number: Number) {
        if !self.fanned.is_empty()
            && let Some(fan) = self.fanned.get_mut(&number)
        {
            fan.done += 1;
            if !fan.is_over() {
                return;
            }
            self.fanned.remove(&number);
        }
        self.all_done(number);
    }

    /// `number` goes to nobody any more, and is not waited for where it is not; whoever it came back from
    /// was told of by [`Conversation::take_back`].
    pub fn give_up(&mut self, number: Number) {
        self.take(number, WHOLE);
        if let Some(fan) = self.fanned.get_mut(&number) {
            fan.is_given_up = true;
            if !fan.is_over() {
                return;
            }
            self.fanned.remove(&number);
        }
        self.all_done(number);
    }

    fn is_given_up(&self, number: Number) -> bool {
        self.fanned.get(&number).is_some_and(|fan| fan.is_given_up)
    }

    fn all_done(&mut self, number: Number) {
        self.done.insert(number).expect("numbers are sent only within the window");
        if !self.outbox.is_empty() {
            let parts: Vec<AgentId> = self.parts(number).collect();
            for part in parts {
                self.take(number, part);
            }
        }
    }

    /// `count` messages from `first` on were processed by those who had them.
    #[inline]
    pub fn done_run(&mut self, first: Number, count: u64) {
        if self.fanned.is_empty() && self.outbox.is_empty() {
            self.done.insert_run(first, count).expect("numbers are sent only within the window");
        } else {
            (first.0..first.0 + count).for_each(|number| self.done(Number(number)));
        }
    }

    /// The leaf at `physical` has done the part of `number` that it had parked.
    pub fn part_done(&mut self, number: Number, physical: AgentId) {
        self.take(number, physical);
        self.done(number);
    }

    /// Parts of a message that are kept.
    fn parts(&self, number: Number) -> impl Iterator<Item = AgentId> {
        let all = self.outbox.range((number, WHOLE)..=(number, AgentId(u64::MAX)));
        all.map(|((_, part), _)| *part)
    }

    /// Asks that were processed by the peer of a link, as far as is known, and not answered.
    pub fn asks_over(&self, link: u32) -> Vec<Number> {
        self.asks.over(link).filter(|number| self.parts(*number).next().is_none()).collect()
    }

    /// `number` goes to so many leaves; says whether that is news.
    pub fn fan_out(&mut self, number: Number, leaves: usize) -> bool {
        let is_new = leaves > 1 && !self.fanned.contains_key(&number);
        if is_new {
            let fan = Fan { leaves: vec![FanLeaf::default(); leaves], done: 0, is_given_up: false };
            self.fanned.insert(number, fan);
        }
        is_new
    }

    /// Whether `number` is on its way to the leaf at `index` of its route.
    pub fn is_on_its_way(&self, number: Number, index: usize) -> bool {
        let leaf = self.fanned.get(&number).and_then(|fan| fan.leaves.get(index));
        leaf.is_some_and(|leaf| leaf.is_sent)
    }

    /// `number` is on its way to this leaf, at `index` of its route.
    pub fn sent_to(&mut self, number: Number, index: usize, physical: AgentId, place: Place) {
        let fan = self.fanned.get_mut(&number);
        if let Some(leaf) = fan.and_then(|fan| fan.leaves.get_mut(index)) {
            *leaf = FanLeaf { physical, is_sent: true, place };
        }
    }

    /// The place that a message of this number went to a leaf by, if it did. `before`: where its record
    /// went last, by which place.
    pub fn place_before(
        &self,
        number: Number,
        leaf: AgentId,
        before: (AgentId, Place),
    ) -> Option<Place> {
        let fan = self.fanned.get(&number);
        let by_fan = fan.into_iter().flat_map(|fan| &fan.leaves);
        let by_fan = by_fan.filter(|it| it.place != NO_PLACE && it.physical == leaf);
        let by_record = (before.0 == leaf && before.1 != NO_PLACE).then_some(before.1);
        by_fan.map(|it| it.place).next().or(by_record)
    }

    /// Whether messages that stay in order may leave while the destination's ways are in this state:
    /// not while others are under way that left by older ones.
    #[inline]
    pub fn may_leave(&mut self, ways: u32) -> bool {
        let Some(by) = self.in_order_by else { return true };
        if by == ways {
            return true;
        }
        let outstanding = self.next - self.done.floor().0 - self.done.count_above();
        let may = outstanding == self.sendable as u64 && !self.is_any_half_sent();
        if may {
            self.in_order_by = Some(ways);
        }
        may
    }

    /// Whether a message that could be sent is under way to some of its leaves.
    fn is_any_half_sent(&self) -> bool {
        let mut under_way = self.fanned.iter().filter(|(_, fan)| fan.under_way() > 0);
        under_way.any(|(number, _)| self.outbox.contains_key(&(*number, WHOLE)))
    }

    /// `number` has come back from a leaf, among others perhaps: it must go there again.
    fn came_back_from(&mut self, number: Number, physical: AgentId) {
        let Some(fan) = self.fanned.get_mut(&number) else { return };
        let sent = fan.leaves.iter_mut().find(|leaf| leaf.is_sent && leaf.physical == physical);
        if let Some(leaf) = sent {
            leaf.is_sent = false;
        }
    }

    /// Keeps a record that is not on its way, unless that was all that its message still waited for.
    pub fn keep(&mut self, number: Number, waiting: Waiting) {
        if waiting.until == Until::Sendable && self.is_given_up(number) {
            return self.give_up(number);
        }
        let part = match waiting.until {
            Until::Sendable => WHOLE,
            Until::Settled { .. } => Record::of(&waiting.record).destination(),
        };
        self.take(number, part);
        self.sendable += usize::from(waiting.until == Until::Sendable);
        self.outbox.insert((number, part), waiting);
    }

    /// A part that was parked has come back: it is to be sent again.
    pub fn take_back(&mut self, number: Number, physical: AgentId) -> Option<Vec<u8>> {
        self.came_back_from(number, physical);
        self.take(number, physical).map(|waiting| waiting.record)
    }

    fn take(&mut self, number: Number, part: AgentId) -> Option<Waiting> {
        let waiting = self.outbox.remove(&(number, part))?;
        self.sendable -= usize::from(waiting.until == Until::Sendable);
        Some(waiting)
    }

    /// Takes out the lowest record that could be sent.
    pub fn next_sendable(&mut self) -> Option<(Number, Vec<u8>)> {
        self.next_sendable_from(Number(0))
    }

    /// Takes out the lowest record from `first` on that could be sent.
    pub fn next_sendable_from(&mut self, first: Number) -> Option<(Number, Vec<u8>)> {
        if self.sendable == 0 {
            return None;
        }
        let mut waiting = self.outbox.range((first, WHOLE)..);
        let (key, _) = waiting.find(|(_, it)| it.until == Until::Sendable)?;
        let (number, part) = *key;
        self.take(number, part).map(|waiting| (number, waiting.record))
    }

    /// What was parked at a link's peer is to be sent again.
    fn unsettle(&mut self, link: u32) {
        let at_peer = |(key, it): (&(Number, AgentId), &Waiting)| {
            (it.until == Until::Settled { link }).then_some(*key)
        };
        let parts: Vec<_> = self.outbox.iter().filter_map(at_peer).collect();
        for (number, physical) in parts {
            if let Some(record) = self.take_back(number, physical) {
                self.put_back(number, record);
            }
        }
    }

    /// Keeps a record that could not be sent after all.
    pub fn put_back(&mut self, number: Number, record: Vec<u8>) {
        self.keep(number, Waiting { record, until: Until::Sendable });
    }
}

/// All conversations of a reactor.
#[derive(Debug, Default)]
pub(crate) struct Conversations {
    all: Vec<Conversation>,
    by_pair: HashMap<(SlotIndex, AgentId), ConversationIndex, foldhash::fast::FixedState>,
    /// By conversation of lane 0 and leaf, how many places were taken in the line there. One entry for
    /// each life of a leaf.
    lines: HashMap<(ConversationIndex, AgentId), Place, foldhash::fast::FixedState>,
    /// Conversations with messages that could not be sent for want of room, in the order of want.
    starved: VecDeque<ConversationIndex>,
}

impl Conversations {
    /// Lane 0 of a conversation.
    #[inline]
    pub fn find(&self, from: SlotIndex, to: AgentId) -> Option<ConversationIndex> {
        self.by_pair.get(&(from, to)).copied()
    }

    /// The conversation of a number.
    pub fn find_of(
        &self,
        from: SlotIndex,
        to: AgentId,
        number: Number,
    ) -> Option<ConversationIndex> {
        self.lane(self.find(from, to)?, number.lane())
    }

    /// The conversation in this lane of `base`'s destination, if there is one.
    pub fn lane(&self, base: ConversationIndex, lane: u16) -> Option<ConversationIndex> {
        match lane {
            0 => Some(base),
            lane => self[base].lanes.get(usize::from(lane)).copied().flatten(),
        }
    }

    /// A new one, in lane 0.
    pub fn add(&mut self, from: SlotIndex, to: AgentId, route: RouteIndex) -> ConversationIndex {
        let index = self.push(from, to, route, 0);
        self.by_pair.insert((from, to), index);
        index
    }

    /// The conversation in this lane of `base`'s destination.
    #[inline]
    pub fn in_lane(&mut self, base: ConversationIndex, lane: u16) -> ConversationIndex {
        self.lane(base, lane).unwrap_or_else(|| self.add_lane(base, lane))
    }

    /// The lane, of so many, for the next message to children that are alike.
    pub fn choose_lane(&mut self, base: ConversationIndex, by: PickBy, lanes: u16) -> u16 {
        self[base].chosen = self[base].chosen.wrapping_add(1);
        let first = (self[base].chosen % u32::from(lanes.max(1))) as u16;
        let outstanding =
            |lane: &u16| self.lane(base, *lane).map_or(0, |at| self[at].outstanding());
        let mut in_turn = (0..lanes).map(|step| 1 + (first + step) % lanes);
        match by {
            PickBy::LeastOutstanding => in_turn.min_by_key(outstanding).unwrap_or(0),
            _ => in_turn.next().unwrap_or(0),
        }
    }

    #[cold]
    fn add_lane(&mut self, base: ConversationIndex, lane: u16) -> ConversationIndex {
        let Conversation { from, to, route, .. } = self[base];
        let index = self.push(from, to, route, lane);
        let lanes = &mut self[base].lanes;
        if lanes.len() <= usize::from(lane) {
            lanes.resize(usize::from(lane) + 1, None);
        }
        lanes[usize::from(lane)] = Some(index);
        index
    }

    fn push(
        &mut self,
        from: SlotIndex,
        to: AgentId,
        route: RouteIndex,
        lane: u16,
    ) -> ConversationIndex {
        let index = ConversationIndex(self.all.len() as u32);
        let first = Number::first_of(lane);
        self.all.push(Conversation {
            from,
            to,
            route,
            lanes: Vec::new(),
            chosen: 0,
            lately: (Schema(0), Kind::NONE),
            next: first.0,
            done: NumberSet::below(first),
            outbox: BTreeMap::new(),
            sendable: 0,
            is_asked_for: false,
            asks: OpenAsks::default(),
            fanned: BTreeMap::new(),
            in_order_by: None,
            is_starved: false,
            is_pressed: false,
        });
        index
    }

    /// The next free place in the line to a leaf, which all lanes share.
    pub fn next_place(&self, at: ConversationIndex, leaf: AgentId) -> Place {
        self.lines.get(&(self.base(at), leaf)).map_or(NO_PLACE, |taken| *taken) + 1
    }

    /// Takes the next place in the line to a leaf, for a message that leaves for the first time.
    #[inline]
    pub fn take_place(&mut self, at: ConversationIndex, leaf: AgentId) -> Place {
        let taken = self.lines.entry((self.base(at), leaf)).or_insert(NO_PLACE);
        *taken += 1;
        *taken
    }

    /// Lane 0 of a conversation.
    pub fn base(&self, at: ConversationIndex) -> ConversationIndex {
        match self[at].lane() {
            0 => at,
            _ => self.find(self[at].from, self[at].to).expect("lanes are those of a lane 0"),
        }
    }

    /// A conversation wants room.
    pub fn starve(&mut self, at: ConversationIndex) {
        if !std::mem::replace(&mut self[at].is_starved, true) {
            self.starved.push_back(at);
        }
    }

    /// How many want room.
    pub fn starved_count(&self) -> usize {
        self.starved.len()
    }

    /// Takes out the one that has wanted room the longest.
    pub fn next_starved(&mut self) -> Option<ConversationIndex> {
        let at = self.starved.pop_front()?;
        self[at].is_starved = false;
        Some(at)
    }

    /// All of them, in the order in which they began.
    pub fn iter(&self) -> impl Iterator<Item = (ConversationIndex, &Conversation)> {
        self.all.iter().enumerate().map(|(index, it)| (ConversationIndex(index as u32), it))
    }

    /// Who of `from`'s conversations keeps a message that went to `physical`, and the message.
    pub fn keeper(
        &self,
        from: SlotIndex,
        physical: AgentId,
        number: Number,
    ) -> Option<(ConversationIndex, Vec<u8>)> {
        self.iter().filter(|(_, it)| it.from == from).find_map(|(at, it)| {
            it.outbox.get(&(number, physical)).map(|waiting| (at, waiting.record.clone()))
        })
    }

    /// What was parked at a link's peer is to be sent again.
    pub fn unsettle(&mut self, link: u32) {
        self.all.iter_mut().for_each(|it| it.unsettle(link));
    }

    /// The controller has said something: who still misses a route asks again.
    pub fn ask_anew(&mut self) {
        self.all.iter_mut().for_each(|it| it.is_asked_for = false);
    }

    /// Those with messages that could be sent.
    pub fn waiting(&self) -> Vec<ConversationIndex> {
        self.iter().filter(|(_, it)| it.is_waiting()).map(|(index, _)| index).collect()
    }
}

impl std::ops::Index<ConversationIndex> for Conversations {
    type Output = Conversation;
    #[inline]
    fn index(&self, index: ConversationIndex) -> &Conversation {
        &self.all[index.0 as usize]
    }
}

impl std::ops::IndexMut<ConversationIndex> for Conversations {
    #[inline]
    fn index_mut(&mut self, index: ConversationIndex) -> &mut Conversation {
        &mut self.all[index.0 as usize]
    }
}

#[cfg(test)]
mod tests;
