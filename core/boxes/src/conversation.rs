//! What a reactor keeps of each (agent, destination) that its agents write to: the next number, which
//! numbers are done, and the messages that are not on their way.

use std::collections::BTreeMap;

use daedal_model::done::{NumberSet, WINDOW};
use daedal_model::id::{AgentId, Number};
use daedal_model::message::Schema;

use crate::asks::OpenAsks;
use crate::conversations::Want;
use crate::inbox::Load;
use crate::kinds::Kind;
use crate::lines::Stands;
use crate::ordered::{NO_PLACE, Place};
use crate::planted::{self, Bug};
use crate::record::Record;
use crate::slot::SlotIndex;

mod fan;

use fan::Fans;

/// Index of a conversation in its reactor. Used again only when nothing of it is outstanding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConversationIndex(pub u32);

/// Index of the lines of a conversation in its reactor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LinesIndex(pub u32);

/// Index of a destination in its reactor's routing table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RouteIndex(pub u32);

impl RouteIndex {
    /// Of a conversation that had only replies so far: they need no route.
    pub const REPLIES: RouteIndex = RouteIndex(0);
}

/// One agent's messages to one logical destination, or to one of its children: a lane of it. Lane 0 has what
/// is named before the way is known, and what goes to several.
#[derive(Debug)]
pub(crate) struct Conversation {
    pub from: SlotIndex,
    pub to: AgentId,
    pub route: RouteIndex,
    /// The others of the same destination, by lane.
    pub lanes: Vec<Option<ConversationIndex>>,
    /// How often one of several children that are alike was chosen.
    pub chosen: u32,
    /// Type of the last message, since most conversations have one.
    pub lately: (Schema, Kind),
    next: u64,
    done: NumberSet,
    /// Messages that are not on their way, by number and part: of a message that went to several, each
    /// leaf that has it parked keeps a part of its own here. [`WHOLE`] is what is to be sent.
    outbox: BTreeMap<(Number, AgentId), Waiting>,
    /// How many of those could be sent, if there were a route and room.
    sendable: usize,
    /// How many of those are replies, which need no route.
    replies: usize,
    /// The controller is to be asked for the destination, or was.
    pub is_asked_for: bool,
    pub asks: OpenAsks,
    /// Messages that go to several, until all have done them.
    fanned: Option<Box<Fans>>,
    /// Once a message was to stay in order: the lines to the destination's leaves, which all lanes share.
    pub lines: Option<LinesIndex>,
    pub stands: Stands,
    /// How many of its messages wait in lines.
    pub in_line: usize,
    /// Bytes of messages that wait to be sent, there or in the outbox.
    unsent_bytes: usize,
    /// Where it wants room, if it does.
    pub wants: Option<Want>,
    /// More messages wait than their sender should add to.
    pub is_pressed: bool,
}

/// A message record that its conversation keeps, and what for.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub record: Vec<u8>,
    pub until: Until,
}

impl Waiting {
    fn is_sendable_reply(&self) -> bool {
        self.until == Until::Sendable && Record::of(&self.record).answers().is_some()
    }
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
    /// One without messages. `began`: how many numbers of a lane its sender may have used.
    pub fn new(
        (from, to): (SlotIndex, AgentId),
        route: RouteIndex,
        lane: u16,
        began: u64,
    ) -> Conversation {
        let first = Number(Number::first_of(lane).0 + began);
        Conversation {
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
            replies: 0,
            is_asked_for: false,
            asks: OpenAsks::default(),
            fanned: None,
            lines: None,
            stands: Stands::default(),
            in_line: 0,
            unsent_bytes: 0,
            wants: None,
            is_pressed: false,
        }
    }

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
    pub fn outstanding(&self) -> u64 {
        let undone = self.next - self.done.floor().0 - self.done.count_above();
        undone.max(self.asks.len() as u64)
    }

    /// The lowest number that is kept.
    #[inline]
    pub fn floor(&self) -> Number {
        self.done.floor()
    }

    /// Whether one more message would go beyond what the receiver's done box can tell apart.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.is_beyond(Number(self.next))
    }

    /// Whether a message of this number would.
    #[inline]
    pub fn is_beyond(&self, number: Number) -> bool {
        number.0 - self.done.floor().0 >= WINDOW
    }

    /// Whether messages wait to be sent, so that others must queue up behind them.
    #[inline]
    pub fn is_waiting(&self) -> bool {
        self.sendable > 0
    }

    /// How many numbers of its lane its sender has used.
    pub fn used(&self) -> u64 {
        self.next - Number::first_of(self.lane()).0
    }

    /// Whether all that was sent is done, and all that was asked answered.
    pub fn is_idle(&self) -> bool {
        self.outstanding() == 0
            && self.outbox.is_empty()
            && self.is_fanless()
            && self.stands.is_empty()
            && self.in_line == 0
            && self.wants.is_none()
    }

    /// Whether nothing of it is in the way of one more message.
    #[inline]
    pub fn is_free(&self) -> bool {
        !self.is_waiting() && !self.is_full()
    }

    /// Whether the message of this number that went to `physical` is kept.
    pub fn keeps(&self, number: Number, physical: AgentId) -> bool {
        self.outbox.contains_key(&(number, physical))
    }

    /// What waits to be sent.
    #[inline]
    pub fn unsent(&self) -> Load {
        Load { messages: self.sendable + self.in_line, bytes: self.unsent_bytes }
    }

    /// A message waits in a line.
    pub fn wait_in_line(&mut self, record: &[u8]) {
        self.in_line += 1;
        self.unsent_bytes += record.len();
    }

    /// It was taken out.
    pub fn left_line(&mut self, record: &[u8]) {
        self.in_line -= 1;
        self.unsent_bytes -= record.len();
    }

    /// How many messages are not on their way.
    pub fn kept_count(&self) -> usize {
        self.outbox.len() + self.in_line
    }

    /// How far below a message's number the lowest one lies that is kept, as messages say it.
    #[inline]
    pub fn floor_below(&self, number: Number) -> u32 {
        match planted::is(Bug::FloorOverstated) {
            true => 0,
            false => (number.0 - self.floor().0) as u32,
        }
    }

    /// Whether all who had a message have done it, or it was given up.
    #[inline]
    pub fn is_done(&self, number: Number) -> bool {
        self.done.contains(number)
    }

    /// `number` was processed, if it is the lowest that is not done, and nothing else is kept of any: the common
    /// case. `false`: it is not.
    #[inline]
    pub fn done_next(&mut self, number: Number) -> bool {
        let is_plain = self.outbox.is_empty() & self.is_fanless() & self.stands.is_empty();
        is_plain && self.done.push(number)
    }

    /// `number` was processed by one who had it; once by all, it need not be kept any longer.
    #[inline]
    pub fn done(&mut self, number: Number) {
        if let Some(fan) = self.fan_mut(number) {
            fan.done += 1;
            if !fan.is_over() {
                return;
            }
            self.forget_fan(number);
        }
        self.all_done(number);
    }

    /// `number` goes to nobody any more, and is not waited for where it is not; whoever it came back from
    /// was told of by [`Conversation::take_back`].
    pub fn give_up(&mut self, number: Number) {
        self.take(number, WHOLE);
        if let Some(fan) = self.fan_mut(number) {
            fan.is_given_up = true;
            if !fan.is_over() {
                return;
            }
            self.forget_fan(number);
        }
        self.all_done(number);
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
        if self.is_fanless() && !self.keeps_any(first, count) {
            self.done.insert_run(first, count).expect("numbers are sent only within the window");
        } else {
            (first.0..first.0 + count).for_each(|number| self.done(Number(number)));
        }
    }

    /// Whether some of these is kept: those that wait to be sent have higher numbers than what is on its way.
    #[inline]
    fn keeps_any(&self, first: Number, count: u64) -> bool {
        let mut kept = self.outbox.range((first, WHOLE)..);
        kept.next().is_some_and(|((number, _), _)| number.0 - first.0 < count)
    }

    /// The leaf at `physical` has done the part of `number` that it had parked.
    pub fn part_done(&mut self, number: Number, physical: AgentId) {
        self.take(number, physical);
        self.done(number);
    }

    /// The numbers that are not done.
    pub fn undone(&self) -> impl Iterator<Item = Number> {
        let all = (self.done.floor().0..self.next).map(Number);
        all.filter(|number| !self.is_done(*number))
    }

    /// Whether a message is parked at a link's peer.
    pub fn is_settled_at(&self, number: Number, link: u32) -> bool {
        let mut kept = self.outbox.range((number, WHOLE)..=(number, AgentId(u64::MAX)));
        kept.any(|(_, it)| it.until == Until::Settled { link })
    }

    /// Parts of a message that are kept.
    fn parts(&self, number: Number) -> impl Iterator<Item = AgentId> {
        let all = self.outbox.range((number, WHOLE)..=(number, AgentId(u64::MAX)));
        all.map(|((_, part), _)| *part)
    }

    /// Asks that were processed by the peer of a link, as far as is known, and not answered.
    pub fn asks_over(&self, link: u32) -> Vec<Number> {
        let waits = |number| self.parts(number).next().is_some() || self.stands.is_waiting(number);
        self.asks.over(link).filter(|number| !waits(*number)).collect()
    }

    /// Asks that were processed by who is reached by a link, or in this box, and not answered.
    pub fn asks_done(&self, link: Option<u32>) -> Vec<Number> {
        let asks: Vec<Number> = match link {
            Some(link) => self.asks.over(link).collect(),
            None => self.asks.over_no_link().collect(),
        };
        asks.into_iter().filter(|number| self.is_done(*number)).collect()
    }

    /// The place that a message of this number went to a leaf by, if it did. `before`: where its record
    /// went last, by which place.
    pub fn place_before(
        &self,
        number: Number,
        leaf: AgentId,
        before: (AgentId, Place),
    ) -> Option<Place> {
        let fan = self.fan(number);
        let by_fan = fan.into_iter().flat_map(|fan| &fan.leaves);
        let by_fan = by_fan.filter(|it| it.place != NO_PLACE && it.physical == leaf);
        let by_record = (before.0 == leaf && before.1 != NO_PLACE).then_some(before.1);
        by_fan.map(|it| it.place).next().or(by_record)
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
        if waiting.until == Until::Sendable {
            self.sendable += 1;
            self.unsent_bytes += waiting.record.len();
        }
        self.replies += usize::from(waiting.is_sendable_reply());
        self.outbox.insert((number, part), waiting);
    }

    /// A part that was parked has come back: it is to be sent again.
    pub fn take_back(&mut self, number: Number, physical: AgentId) -> Option<Vec<u8>> {
        self.came_back_from(number, physical);
        self.take(number, physical).map(|waiting| waiting.record)
    }

    fn take(&mut self, number: Number, part: AgentId) -> Option<Waiting> {
        let waiting = self.outbox.remove(&(number, part))?;
        if waiting.until == Until::Sendable {
            self.sendable -= 1;
            self.unsent_bytes -= waiting.record.len();
        }
        self.replies -= usize::from(waiting.is_sendable_reply());
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

    /// Takes out the lowest reply from `first` on that could be sent.
    pub fn next_reply_from(&mut self, first: Number) -> Option<(Number, Vec<u8>)> {
        if self.replies == 0 {
            return None;
        }
        let mut waiting = self.outbox.range((first, WHOLE)..);
        let (key, _) = waiting.find(|(_, it)| it.is_sendable_reply())?;
        let (number, part) = *key;
        self.take(number, part).map(|waiting| (number, waiting.record))
    }

    /// Takes out what was parked at a link's peer: it is to be sent again.
    pub fn unsettle(&mut self, link: u32) -> Vec<(Number, Vec<u8>)> {
        let at_peer = |(key, it): (&(Number, AgentId), &Waiting)| {
            (it.until == Until::Settled { link }).then_some(*key)
        };
        let parts: Vec<_> = self.outbox.iter().filter_map(at_peer).collect();
        let taken = |(number, physical)| Some((number, self.take_back(number, physical)?));
        parts.into_iter().filter_map(taken).collect()
    }
}
