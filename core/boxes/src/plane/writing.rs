//! A message that is being written: its way is found and its head written before its body exists, and both
//! stand where they leave from.

use std::time::Duration;

use daedal_model::agent::Refusal;
use daedal_model::context::{Addressee, Closed, Effects, Letter, Timer};
use daedal_model::id::{AgentId, Name, Number, Point, Space, Stamp, Trace};
use daedal_model::message::Schema;
use daedal_model::point::PointRange;
use daedal_net::driver::Driver;
use daedal_net::link::Stream;
use daedal_net::wire::message::MessageHeader;
use daedal_net::wire::padded;

use super::{Hand, Parcel, Plane, Stays, Via};
use crate::conversation::{Conversation, ConversationIndex, RouteIndex, Until};
use crate::kinds::Kind;
use crate::ordered::NO_PLACE;
use crate::record::{
    ASKS, BROADCAST, Draft, FROM_OUTSIDE, HAS_POINT, Record, finish, finish_short,
};
use crate::routes::{Detour, Leaf, Way};
use crate::slot::SlotIndex;
use crate::timer::Alarm;

/// Room that a message in a frame finds at the least, in bytes; one that needs more gets a new frame.
pub(super) const FRAME_ROOM_BYTES: usize = 160;

/// The message that is being written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Begun {
    pub conversation: ConversationIndex,
    pub number: Number,
    pub goes: Goes,
    pub body_at: usize,
    pub asks: bool,
    /// What it and the next one belong to, if they have one head.
    pub stream: Option<Stream>,
    /// Its header is short.
    pub is_short: bool,
    /// It is written to the next lines of its ring; what goes elsewhere and has no frame is in scratch.
    pub is_in_ring: bool,
    /// It is written for one of several, and then for the next.
    pub is_one_of_each: bool,
    /// It was given a whole frame, or was to be, and there is nothing larger; its head is in scratch.
    pub is_widest: bool,
}

/// Whether a message goes through the stage `ordered`.
#[derive(Clone, Copy, Debug)]
enum Order {
    None,
    /// It does. `leaves`: at once, and takes its place in its line; else when it leaves.
    Kept {
        leaves: bool,
    },
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Goes {
    To(Leaf),
    /// To all of several, at once.
    Each,
    #[default]
    Wait,
    Refuse(Refusal),
    Alarm(Duration),
}

impl<D: Driver> Plane<D> {
    /// Finds a message's way, writes its head where it leaves from, and gives the room behind.
    #[inline]
    fn begin(&mut self, slot: SlotIndex, hand: &Hand, letter: &Letter) -> &mut [u8] {
        match self.is_ready(slot, hand, letter) {
            Some(which) => self.begin_again(slot, hand, letter, which),
            None => self.begin_anew(slot, hand, letter),
        }
    }

    #[inline(never)]
    fn begin_anew(&mut self, slot: SlotIndex, hand: &Hand, letter: &Letter) -> &mut [u8] {
        let (conversation, in_order, mut goes, answers) = match letter.to {
            Addressee::Agent(to) => {
                let conversation = self.conversation_in_lane(slot, to, letter);
                let route = self.conversations[conversation].route;
                let in_order = letter.in_order || self.routes[route].is_ordered;
                (conversation, in_order, self.goes(conversation, letter, in_order), None)
            }
            Addressee::Asker(name) => {
                let conversation = self.conversation(slot, name.source);
                let goes = self.goes_back(conversation, hand, name);
                (conversation, false, goes, Some((name.number, name.space)))
            }
            Addressee::Myself(delay) => return self.begin_alarm((slot, hand), delay, letter),
        };
        let mut is_in_ring = false;
        let leaves = match goes {
            Goes::To(Leaf { via: Via::Link(link), .. }) => {
                self.note_link(conversation, link);
                let has_room = self.links.make_room(link, FRAME_ROOM_BYTES);
                if !has_room {
                    goes = Goes::Wait;
                }
                has_room
            }
            Goes::To(Leaf { via: Via::Ring(to), .. }) => {
                is_in_ring = self.ring(to).has_room();
                is_in_ring
            }
            Goes::To(Leaf { via: Via::Local(_), .. }) => true,
            _ => false,
        };
        let order = if in_order { Order::Kept { leaves } } else { Order::None };
        let draft = self.draft(slot, hand, letter, (conversation, order), goes, answers);
        let stream = self.keep_head(slot, (hand, letter), conversation, &draft, goes);
        let number = Number(draft.header.number.get());
        let body_at = draft.bytes();
        let asks = letter.asks;
        let begun = Begun {
            conversation,
            number,
            goes,
            body_at,
            asks,
            stream,
            is_in_ring,
            ..Begun::default()
        };
        if let Goes::Each = goes {
            return self.begin_each(begun, draft);
        }
        self.begun = Some(begun);
        let room = match goes {
            Goes::To(Leaf { via: Via::Local(_), .. }) => self.filling.room(),
            Goes::To(Leaf { via: Via::Link(link), .. }) => self.links.room(link, FRAME_ROOM_BYTES),
            Goes::To(Leaf { via: Via::Ring(to), .. }) if is_in_ring => self.ring(to).room(),
            _ => &mut self.scratch[..],
        };
        draft.write(room);
        &mut room[body_at..]
    }

    /// A message that an agent sends itself later has no conversation, and its timer for a number.
    fn begin_alarm(
        &mut self,
        (slot, hand): (SlotIndex, &Hand),
        delay: Duration,
        letter: &Letter,
    ) -> &mut [u8] {
        let point = hand.member.map(|it| Point(it.into())).or(letter.point);
        let kind = self.templates.kinds().kind(letter.schema).unwrap_or(Kind::NONE);
        let sender = &mut self.senders[slot.0 as usize];
        let number = Number(sender.timers);
        sender.timers += 1;
        let header = MessageHeader {
            destination: sender.logical.0.into(),
            source: sender.logical.0.into(),
            number: number.0.into(),
            space: sender.space.0.into(),
            point: point.unwrap_or_default().0.into(),
            flags: if point.is_some() { HAS_POINT } else { 0 },
            kind: kind.0.into(),
            ..MessageHeader::default()
        };
        let draft = Draft { header, ..Draft::default() };
        let body_at = draft.bytes();
        self.begun = Some(Begun { number, goes: Goes::Alarm(delay), body_at, ..Begun::default() });
        draft.write(&mut self.scratch);
        &mut self.scratch[body_at..]
    }

    /// The conversation that a message is named in: the lane of the child that its key falls to.
    #[inline]
    fn conversation_in_lane(
        &mut self,
        slot: SlotIndex,
        to: AgentId,
        letter: &Letter,
    ) -> ConversationIndex {
        let base = self.conversation(slot, to);
        if self.conversations[base].route == RouteIndex::REPLIES {
            self.find_route(base);
        }
        let it = &self.conversations[base];
        let destination = &self.routes[it.route];
        let lane = match &destination.way {
            Way::Spread(by, among) => self.conversations.choose_lane(base, *by, among.len() as u16),
            way => way.lane(letter.point),
        };
        match lane {
            0 => base,
            lane => self.conversations.in_lane(base, lane),
        }
    }

    /// `in_order`: it goes through the stage `ordered`, because its sender or its way says so.
    #[inline]
    fn goes(&mut self, conversation: ConversationIndex, letter: &Letter, in_order: bool) -> Goes {
        let it = &self.conversations[conversation];
        let destination = &self.routes[it.route];
        if it.is_full() || !in_order && it.is_waiting() {
            return Goes::Wait;
        }
        let (way, turn) = (&destination.way, Conversation::turn(it.next_number()));
        let leaf = match way {
            Way::One(leaf) if leaf.via != Via::Nowhere => Ok(*leaf),
            way if letter.broadcast => way.leaf_of_all(PointRange::ALL, turn),
            way => way.leaf(letter.point, turn),
        };
        match leaf {
            Ok(leaf) if in_order => {
                let ways = destination.ways;
                match self.conversations.is_open(conversation, ways, leaf.physical) {
                    true => Goes::To(leaf),
                    false => Goes::Wait,
                }
            }
            Ok(leaf) => Goes::To(leaf),
            Err(Detour::Refuse(refusal)) => Goes::Refuse(refusal),
            Err(Detour::Each) if !in_order => Goes::Each,
            Err(Detour::Wait | Detour::Each | Detour::Cut) => Goes::Wait,
        }
    }

    /// A reply goes back to where the message came from. If that is forgotten, whoever asked has ended, or
    /// was told that nothing is known.
    #[inline]
    fn goes_back(&mut self, conversation: ConversationIndex, hand: &Hand, name: Name) -> Goes {
        // What waits for a route is not in its way.
        if self.conversations[conversation].is_full() {
            return Goes::Wait;
        }
        let via = if hand.space == name.space { hand.via } else { self.way_back(name.space) };
        match via {
            Via::Nowhere => Goes::Refuse(Refusal::UnknownAgent),
            via => Goes::To(Leaf { physical: name.source, via }),
        }
    }

    fn widen(&mut self, slot: SlotIndex) -> Option<&mut [u8]> {
        let begun = self.begun.as_mut().expect("a message was begun");
        let at = begun.body_at;
        if begun.is_one_of_each {
            self.begin_in_scratch();
            return Some(&mut self.scratch[at..]);
        }
        match begun.goes {
            Goes::To(Leaf { via: Via::Local(_), .. }) => {
                Some(&mut self.filling.wider_room()?[at..])
            }
            Goes::To(Leaf { via: Via::Link(link), .. }) => {
                let at = self.take_head_from_frame(slot)?;
                let room = self.links.whole_room(link)?;
                room[..at].copy_from_slice(&self.scratch[..at]);
                Some(&mut room[at..])
            }
            Goes::To(Leaf { via: Via::Ring(_), .. }) if begun.is_in_ring => {
                begun.is_in_ring = false;
                let at = self.take_head(slot);
                Some(&mut self.scratch[at..])
            }
            _ => None,
        }
    }

    /// Copies the head of the message that is being written to scratch: the frame where it stands may
    /// leave without it, when more room is asked for. Its bytes; `None`: it was there already.
    fn take_head_from_frame(&mut self, slot: SlotIndex) -> Option<usize> {
        let begun = self.begun.as_mut().expect("a message was begun");
        let was_widest = std::mem::replace(&mut begun.is_widest, true);
        (!was_widest).then(|| self.take_head(slot))
    }

    #[inline]
    fn end(&mut self, bytes: usize) -> Closed {
        let begun = self.begun.as_ref().expect("a message was begun");
        if let Goes::To(Leaf { via: Via::Local(_), .. }) = begun.goes {
            let (number, is_one_of_each) = (begun.number, begun.is_one_of_each);
            let end = finish(self.filling.begun(), begun.body_at, bytes);
            self.filling.commit(padded(end));
            if is_one_of_each {
                return self.end_one();
            }
            self.begun = None;
            return Closed::Whole(number);
        }
        self.end_elsewhere(bytes)
    }

    /// Ends what was written for one of several.
    fn end_one(&mut self) -> Closed {
        let begun = self.begun.as_ref().expect("a message was begun");
        let (at, number) = (begun.conversation, begun.number);
        if let Goes::To(leaf) = begun.goes
            && self.is_written_again(at, number, leaf)
        {
            return Closed::Again;
        }
        self.begun = None;
        Closed::Whole(number)
    }

    fn end_elsewhere(&mut self, bytes: usize) -> Closed {
        // Not taken, which would read all of it: parts of it were just written.
        let begun = self.begun.as_ref().expect("a message was begun");
        let (at, number, body_at) = (begun.conversation, begun.number, begun.body_at);
        let (is_one_of_each, is_short, stream) =
            (begun.is_one_of_each, begun.is_short, begun.stream);
        let finish = if is_short { finish_short } else { finish };
        match begun.goes {
            Goes::To(Leaf { via: Via::Link(link), .. }) => {
                let asks = begun.asks;
                let end = finish(self.links.room(link, body_at + bytes), body_at, bytes);
                self.links.written(link, end, (at, number), stream);
                if asks {
                    self.asked(at, number, link);
                }
            }
            Goes::To(Leaf { via: Via::Ring(to), .. }) if begun.is_in_ring => {
                let ring = self.ring(to);
                let end = finish(ring.room(), body_at, bytes);
                ring.written(end, (at, number), stream);
                self.counts.rung |= 1 << (to % 64);
            }
            _ => {
                let begun = *begun;
                self.end_in_scratch(&begun, bytes);
            }
        }
        if is_one_of_each {
            return self.end_one();
        }
        self.begun = None;
        Closed::Whole(number)
    }

    /// The head of the message that is being written, which finds no room with its body.
    fn lift(&mut self, slot: SlotIndex) -> Vec<u8> {
        let begun = self.begun.expect("a message was begun");
        let at = begun.body_at;
        match begun.goes {
            _ if begun.is_one_of_each => self.begin_in_scratch(),
            Goes::To(Leaf { via: Via::Local(_), .. }) => return self.filling.room()[..at].to_vec(),
            Goes::To(Leaf { via: Via::Link(_), .. }) => {
                self.take_head_from_frame(slot);
            }
            Goes::To(Leaf { via: Via::Ring(_), .. }) if begun.is_in_ring => {
                self.take_head(slot);
            }
            _ => {}
        }
        let at = self.begun.as_ref().expect("it was not ended").body_at;
        self.scratch[..at].to_vec()
    }

    /// Ends a message that was lifted.
    fn end_lifted(&mut self, mut record: Vec<u8>) -> Number {
        let begun = self.begun.take().expect("a message was begun");
        let bytes = record.len() - begun.body_at;
        finish(&mut record, begun.body_at, bytes);
        self.end_apart(&begun, &mut Parcel::Given(&mut record));
        begun.number
    }

    /// Ends a message that stands in scratch: a copy of it goes where it has to.
    fn end_in_scratch(&mut self, begun: &Begun, bytes: usize) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let end = finish(&mut scratch, begun.body_at, bytes);
        self.end_apart(begun, &mut Parcel::Lent(&mut scratch[..end]));
        self.scratch = scratch;
    }

    /// Ends a message that does not stand where it leaves from.
    fn end_apart(&mut self, begun: &Begun, record: &mut Parcel<'_>) {
        let (at, number) = (begun.conversation, begun.number);
        match begun.goes {
            Goes::Refuse(refusal) => self.refuse(at, &Record::of(record), refusal),
            Goes::To(Leaf { via: Via::Ring(reactor), .. })
                if Record::of(record).place().is_none() =>
            {
                if !self.push_to_ring(reactor, record, (at, number)) {
                    self.keep_back(at, number, record.take(), Stays::NoRoom);
                }
            }
            Goes::To(leaf) => {
                if let Err(stays) = self.send_record(at, leaf, record) {
                    self.keep_back(at, number, record.take(), stays);
                }
            }
            Goes::Each if self.send_each(at, record).is_ok() => {}
            Goes::Each | Goes::Wait => {
                self.keep(at, number, record.take(), Until::Sendable);
                self.release(at);
            }
            Goes::Alarm(delay) => self.set_alarm(delay, record),
        }
    }

    /// Sends a body that is encoded already.
    pub fn post(&mut self, from: SlotIndex, to: AgentId, schema: Schema, body: &[u8]) -> Number {
        let to = Addressee::Agent(to);
        let letter =
            Letter { to, schema, point: None, broadcast: false, asks: false, in_order: false };
        let hand = Hand::default();
        self.begin_anew(from, &hand, &letter);
        let mut record = self.lift(from);
        record.extend_from_slice(body);
        self.end_lifted(record)
    }

    fn set_alarm(&mut self, delay: Duration, record: &[u8]) {
        let name = Record::of(record).name();
        let slot = self.spaces.get(&name.space).copied();
        let slot = slot.expect("an agent that makes a transition is hosted");
        let timer = Timer(name.number.0);
        let due = Stamp(self.now.0.saturating_add(delay.as_nanos().min(u64::MAX.into()) as u64));
        let record = self.timers.copied(record);
        self.timers.set(due, Alarm { slot, timer, record });
    }

    /// The head of a message that has a conversation, with the message's number.
    #[inline]
    fn draft(
        &mut self,
        slot: SlotIndex,
        hand: &Hand,
        letter: &Letter,
        (at, order): (ConversationIndex, Order),
        goes: Goes,
        answers: Option<(Number, Space)>,
    ) -> Draft {
        let kind = self.kind(at, letter.schema);
        let conversation = &mut self.conversations[at];
        let number = conversation.number();
        if letter.asks {
            conversation.asks.open(number);
            if let Some(member) = hand.member {
                self.askers.insert((at, number), member);
            }
        }
        let leaf = match goes {
            Goes::To(leaf) => leaf,
            _ => Leaf { physical: conversation.to, via: Via::Nowhere },
        };
        let place = match order {
            Order::None => None,
            Order::Kept { leaves } => {
                let ticket = self.conversations.line_up(at, number, None);
                Some(if leaves {
                    let place = self.conversations.take_place((at, ticket), leaf.physical, None);
                    self.conversations.leave(at, number, leaf.physical);
                    place
                } else {
                    NO_PLACE
                })
            }
        };
        let sender = &self.senders[slot.0 as usize];
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        let header = MessageHeader {
            source: sender.source.0.into(),
            number: number.0.into(),
            space: sender.space.0.into(),
            point: letter.point.unwrap_or_default().0.into(),
            trace: hand.trace.0.into(),
            kind: kind.0.into(),
            flags: flag(letter.point.is_some(), HAS_POINT)
                | flag(letter.asks, ASKS)
                | flag(letter.broadcast, BROADCAST)
                | flag(sender.is_shim, FROM_OUTSIDE),
            ..MessageHeader::default()
        };
        let header = self.headed(header, at, leaf);
        let child = (sender.source != sender.logical).then_some(sender.logical);
        Draft { header, answers, child, place, part: None }
    }

    /// The header of a message of that conversation, on its way there.
    #[inline]
    pub(super) fn headed(
        &self,
        mut header: MessageHeader,
        at: ConversationIndex,
        leaf: Leaf,
    ) -> MessageHeader {
        let conversation = &self.conversations[at];
        let (floor, route_epoch, checkpoint) = match leaf.via {
            Via::Local(to) => (to.0, conversation.from.0, at.0),
            via => {
                let checkpoint = if let Via::Ring(_) = via { at.0 } else { 0 };
                let epoch = self.routes[conversation.route].epoch.0;
                (conversation.floor_below(Number(header.number.get())), epoch, checkpoint)
            }
        };
        header.destination = leaf.physical.0.into();
        header.floor = floor.into();
        header.route_epoch = route_epoch.into();
        header.checkpoint = checkpoint.into();
        header
    }

    #[inline]
    fn kind(&mut self, conversation: ConversationIndex, schema: Schema) -> Kind {
        let conversation = &mut self.conversations[conversation];
        if conversation.lately.0 != schema {
            let kind = self.templates.kinds().kind(schema).unwrap_or_else(|| {
                self.counts.unknown_schema += 1;
                Kind::NONE
            });
            conversation.lately = (schema, kind);
        }
        conversation.lately.1
    }
}

/// An agent's transition, as the plane carries it out.
pub(crate) struct Work<'a, D> {
    pub plane: &'a mut Plane<D>,
    pub slot: SlotIndex,
    pub hand: Hand,
}

impl<D> Work<'_, D> {
    #[inline]
    fn note_sent(&mut self, number: Number) -> Number {
        if self.hand.trace.0 != 0 {
            let (now, sender) = (self.plane.now, &self.plane.senders[self.slot.0 as usize]);
            let name = (sender.source, number);
            if self.plane.walks.sent(self.hand.trace, now, name, &sender.path) {
                self.hand.trace = Trace(0);
            }
        }
        number
    }
}

impl<D: Driver> Effects for Work<'_, D> {
    fn open(&mut self, letter: &Letter) -> &mut [u8] {
        self.plane.begin(self.slot, &self.hand, letter)
    }

    fn widen(&mut self) -> Option<&mut [u8]> {
        self.plane.widen(self.slot)
    }

    fn close(&mut self, bytes: usize) -> Closed {
        let closed = self.plane.end(bytes);
        if let Closed::Whole(number) = closed {
            self.note_sent(number);
        }
        closed
    }

    fn again(&mut self) -> &mut [u8] {
        self.plane.room_again()
    }

    fn lift(&mut self) -> Vec<u8> {
        self.plane.lift(self.slot)
    }

    fn close_lifted(&mut self, message: Vec<u8>) -> Number {
        let number = self.plane.end_lifted(message);
        self.note_sent(number)
    }

    fn cancel(&mut self, timer: Timer) -> bool {
        self.plane.timers.cancel(self.slot, timer)
    }

    fn is_pressed(&self) -> bool {
        self.plane.is_pressed(self.slot)
    }

    fn is_pressed_towards(&self, to: AgentId, point: Option<Point>) -> bool {
        self.plane.is_pressed_towards(self.slot, to, point)
    }
}
