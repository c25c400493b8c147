//! The sending half of a reactor: what an agent's outputs become.
//!
//! A message's way is found before its bytes exist, so that they are serialised into the very place that
//! they leave from: the local queue, or the frame that a link is filling. Only what must wait, or goes to
//! several agents, or through a ring, is written to scratch first and copied.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use daedal_model::agent::Refusal;
use daedal_model::context::{Addressee, Effects, Envelope, Letter, Timer};
use daedal_model::id::{AgentId, Name, Number, ReactorAddress, Space, Stamp, Trace};
use daedal_model::message::Schema;
use daedal_net::driver::Driver;
use daedal_net::wire::message::{Message, MessageHeader};
use daedal_net::wire::padded;
use hashbrown::HashMap;

use crate::conversation::{ConversationIndex, Conversations, Until, Waiting};
use crate::gather::Gather;
use crate::kinds::Kind;
use crate::links::Links;
use crate::local::Arena;
use crate::mesh::RingSender;
use crate::metrics::Counts;
use crate::ordered::NO_PLACE;
use crate::planted::{self, Bug};
use crate::record::{ASKS, BROADCAST, HAS_POINT, Head, RETURNED, put_place, with_place};
use crate::routes::{Detour, Leaf, Routes};
use crate::slot::{Sender, SlotIndex};
use crate::template::Templates;
use crate::timer::{Alarm, Timers};

/// Room that a message in a frame finds at the least, in bytes; one that needs more gets a new frame.
const FRAME_ROOM_BYTES: usize = 160;
/// Messages that an agent may have waiting before it is told that it is pressed.
const OUTBOX_MARK: usize = 1024;

/// How another agent is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Via {
    /// Not known, or not placed.
    #[default]
    Nowhere,
    /// An agent of this reactor.
    Local(SlotIndex),
    /// Another reactor of this box.
    Ring(u8),
    /// A reactor of another box, by the link's index.
    Link(u32),
}

/// What is being handled while an agent makes its transition.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hand {
    pub name: Name,
    pub trace: Trace,
    /// Where the message in hand came from, which is where its reply goes.
    pub via: Via,
}

/// An ask that no reply will come to: the asker learns it behind its transition.
#[derive(Debug)]
pub(crate) struct Unanswered {
    pub slot: SlotIndex,
    pub from: AgentId,
    pub number: Number,
    /// `None`: it may have happened, or may yet.
    pub refusal: Option<Refusal>,
}

/// The message that is being written.
#[derive(Clone, Copy, Debug)]
struct Begun {
    letter: Letter,
    conversation: ConversationIndex,
    goes: Goes,
    body_at: usize,
    in_order: bool,
    /// It was given a whole frame, and there is nothing larger.
    is_widest: bool,
}

#[derive(Clone, Copy, Debug)]
enum Goes {
    To(Leaf),
    Each,
    Wait,
    Refuse(Refusal),
    Alarm(Duration),
}

/// What the agents of one reactor send through.
pub(crate) struct Plane<D> {
    pub me: ReactorAddress,
    pub now: Stamp,
    pub templates: Arc<Templates>,
    /// By slot.
    pub senders: Vec<Sender>,
    pub spaces: HashMap<Space, SlotIndex, foldhash::fast::FixedState>,
    /// By physical id.
    pub hosted: HashMap<AgentId, SlotIndex, foldhash::fast::FixedState>,
    /// Where strangers' spaces were heard from last: their replies go there.
    pub origins: HashMap<Space, Via, foldhash::fast::FixedState>,
    pub conversations: Conversations,
    pub routes: Routes,
    pub filling: Arena,
    /// By reactor of this box.
    pub rings: Vec<Option<RingSender>>,
    pub links: Links<D>,
    pub timers: Timers,
    pub gathers: BTreeMap<(ConversationIndex, Number), Gather>,
    pub unanswered: VecDeque<Unanswered>,
    /// Agents that are no longer pressed, so that their input may run.
    pub relieved: Vec<SlotIndex>,
    /// Conversations whose destination the controller is to be asked for.
    pub missed: Vec<ConversationIndex>,
    pub counts: Counts,
    /// Records of other reactors that go back to them.
    bounced: VecDeque<(u8, Vec<u8>)>,
    begun: Option<Begun>,
    scratch: Vec<u8>,
}

impl<D: Driver> Plane<D> {
    pub fn new(me: ReactorAddress, templates: Arc<Templates>, links: Links<D>) -> Self {
        Plane {
            me,
            now: Stamp(0),
            templates,
            senders: Vec::new(),
            spaces: HashMap::default(),
            hosted: HashMap::default(),
            origins: HashMap::default(),
            conversations: Conversations::default(),
            routes: Routes::default(),
            filling: Arena::default(),
            rings: Vec::new(),
            links,
            timers: Timers::default(),
            gathers: BTreeMap::new(),
            unanswered: VecDeque::new(),
            relieved: Vec::new(),
            missed: Vec::new(),
            counts: Counts::default(),
            bounced: VecDeque::new(),
            begun: None,
            scratch: vec![0; 4 << 10],
        }
    }

    #[inline]
    pub fn conversation(&mut self, slot: SlotIndex, to: AgentId) -> ConversationIndex {
        if let Some((id, index)) = self.senders[slot.0 as usize].lately
            && id == to
        {
            return index;
        }
        let index = self.conversations.find(slot, to).unwrap_or_else(|| self.begin_with(slot, to));
        self.senders[slot.0 as usize].lately = Some((to, index));
        index
    }

    #[cold]
    fn begin_with(&mut self, slot: SlotIndex, to: AgentId) -> ConversationIndex {
        if self.routes.forbids(&self.senders[slot.0 as usize].path, to) {
            let route = self.routes.forbidden();
            return self.conversations.add(slot, to, route);
        }
        let (route, is_new) = self.routes.index(to);
        if is_new {
            self.settle_routes();
        }
        self.conversations.add(slot, to, route)
    }

    /// Derives all ways anew from what is known.
    pub fn settle_routes(&mut self) {
        let (me, now, hosted, links) = (self.me, self.now, &self.hosted, &mut self.links);
        self.routes.settle(|physical, at, address| {
            if at == me {
                hosted.get(&physical).map_or(Via::Nowhere, |slot| Via::Local(*slot))
            } else if at.agent_box == me.agent_box {
                Via::Ring(at.reactor)
            } else {
                address.map_or(Via::Nowhere, |address| links.to(at, address, now))
            }
        });
    }

    /// Finds a message's way, and room for its body.
    #[inline]
    fn begin(&mut self, slot: SlotIndex, hand: &Hand, letter: &Letter) -> &mut [u8] {
        let (conversation, goes, answers) = match letter.to {
            Addressee::Agent(to) => {
                let conversation = self.conversation(slot, to);
                (conversation, self.goes(conversation, letter), false)
            }
            Addressee::Asker(name) => {
                let conversation = self.conversation(slot, name.source);
                (conversation, self.goes_back(conversation, hand, name), true)
            }
            Addressee::Myself(delay) => (ConversationIndex(0), Goes::Alarm(delay), false),
        };
        let in_order = self.is_in_order(conversation, letter);
        let sender = &self.senders[slot.0 as usize];
        let body_at = MessageHeader::BYTES
            + 16 * usize::from(answers)
            + 16 * usize::from(in_order)
            + 16 * usize::from(sender.source != sender.logical);
        let begun = self.begun.insert(Begun {
            letter: *letter,
            conversation,
            goes,
            body_at,
            in_order,
            is_widest: false,
        });
        match goes {
            Goes::To(Leaf { via: Via::Local(_), .. }) => &mut self.filling.room()[body_at..],
            Goes::To(Leaf { via: Via::Link(link), .. }) => {
                match self.links.room(link, FRAME_ROOM_BYTES) {
                    Some(room) => &mut room[body_at..],
                    None => {
                        begun.goes = Goes::Wait;
                        &mut self.scratch[body_at..]
                    }
                }
            }
            _ => &mut self.scratch[body_at..],
        }
    }

    /// Whether a message is to go through the stage `ordered`, because its sender or its way says so.
    #[inline]
    fn is_in_order(&mut self, at: ConversationIndex, letter: &Letter) -> bool {
        let Addressee::Agent(_) = letter.to else { return false };
        let it = &mut self.conversations[at];
        let in_order = letter.in_order || self.routes[it.route].is_ordered;
        if in_order && it.ingress.is_none() {
            it.ingress = Some(Box::default());
        }
        in_order
    }

    #[inline]
    fn goes(&mut self, conversation: ConversationIndex, letter: &Letter) -> Goes {
        let it = &mut self.conversations[conversation];
        let destination = &self.routes[it.route];
        if it.is_waiting() || it.is_full() || !it.may_leave(destination.ways) {
            return Goes::Wait;
        }
        let way = &destination.way;
        match way.leaf(letter.point, it.turn()) {
            Ok(leaf) => Goes::To(leaf),
            Err(Detour::Refuse(Refusal::NoPoint) | Detour::Each) if letter.broadcast => Goes::Each,
            Err(Detour::Refuse(refusal)) => Goes::Refuse(refusal),
            Err(Detour::Each) => Goes::Each,
            Err(Detour::Wait) => Goes::Wait,
        }
    }

    /// A reply goes back to where the message came from; if that is forgotten, to where its sender is.
    #[inline]
    fn goes_back(&mut self, conversation: ConversationIndex, hand: &Hand, name: Name) -> Goes {
        let it = &self.conversations[conversation];
        if it.is_waiting() || it.is_full() {
            return Goes::Wait;
        }
        let via = if hand.name.space == name.space { hand.via } else { self.way_back(name.space) };
        match via {
            Via::Nowhere => match self.routes[it.route].way.leaf(None, 0) {
                Ok(leaf) => Goes::To(leaf),
                Err(_) => Goes::Wait,
            },
            via => Goes::To(Leaf { physical: name.source, via }),
        }
    }

    /// How whoever has this space is reached, as far as it was heard from.
    fn way_back(&self, space: Space) -> Via {
        match self.spaces.get(&space) {
            Some(slot) => Via::Local(*slot),
            None => self.origins.get(&space).copied().unwrap_or_default(),
        }
    }

    fn widen(&mut self) -> Option<&mut [u8]> {
        let begun = self.begun.as_mut().expect("a message was begun");
        let at = begun.body_at;
        match begun.goes {
            Goes::To(Leaf { via: Via::Local(_), .. }) => Some(&mut self.filling.wider_room()[at..]),
            Goes::To(Leaf { via: Via::Link(link), .. }) => {
                let was_widest = std::mem::replace(&mut begun.is_widest, true);
                (!was_widest).then(|| self.links.whole_room(link).map(|room| &mut room[at..]))?
            }
            _ => {
                let bytes = self.scratch.len() * 2;
                self.scratch.resize(bytes, 0);
                Some(&mut self.scratch[at..])
            }
        }
    }

    fn end(&mut self, slot: SlotIndex, hand: &Hand, bytes: usize) -> Number {
        let begun = self.begun.take().expect("a message was begun");
        match begun.goes {
            Goes::To(leaf) => match leaf.via {
                Via::Local(to) => {
                    let mut head = self.head(slot, hand, &begun);
                    (head.destination, head.floor) = (leaf.physical, to.0);
                    (head.epoch.0, head.checkpoint) = (slot.0, begun.conversation.0);
                    self.take_place(&begun, &mut head);
                    let end = head.write(bytes, self.filling.room());
                    self.filling.commit(padded(end));
                    head.number
                }
                Via::Link(link) => {
                    let mut head = self.head(slot, hand, &begun);
                    head.destination = leaf.physical;
                    self.take_place(&begun, &mut head);
                    let room = self.links.room(link, begun.body_at + bytes);
                    let end = head.write(bytes, room.expect("it is the room that was written to"));
                    self.links.written(link, end, begun.conversation, head.number);
                    if begun.letter.asks {
                        self.asked(begun.conversation, head.number, link);
                    }
                    head.number
                }
                Via::Ring(_) | Via::Nowhere => self.end_in_scratch(slot, hand, &begun, bytes),
            },
            _ => self.end_in_scratch(slot, hand, &begun, bytes),
        }
    }

    /// Gives a message that is leaving its place in the line to its leaf.
    #[inline]
    fn take_place(&mut self, begun: &Begun, head: &mut Head) {
        if let Some(ingress) = &mut self.conversations[begun.conversation].ingress
            && begun.in_order
        {
            head.place = Some(ingress.take(head.destination));
        }
    }

    /// Ends a message that was written elsewhere, for want of room.
    fn end_with(&mut self, slot: SlotIndex, hand: &Hand, body: &[u8]) -> Number {
        let begun = self.begun.take().expect("a message was begun");
        let end = begun.body_at + body.len();
        if self.scratch.len() < end {
            self.scratch.resize(end, 0);
        }
        self.scratch[begun.body_at..end].copy_from_slice(body);
        self.end_in_scratch(slot, hand, &begun, body.len())
    }

    /// Ends a message whose body stands in scratch: a copy of it goes where it has to.
    fn end_in_scratch(
        &mut self,
        slot: SlotIndex,
        hand: &Hand,
        begun: &Begun,
        bytes: usize,
    ) -> Number {
        if let Goes::Alarm(delay) = begun.goes {
            return self.set_alarm(slot, begun, delay, bytes);
        }
        let head = self.head(slot, hand, begun);
        let mut scratch = std::mem::take(&mut self.scratch);
        let end = head.write(bytes, &mut scratch);
        let record = &mut scratch[..end];
        match begun.goes {
            Goes::Refuse(refusal) => self.refuse(begun.conversation, &head, refusal),
            Goes::Each => match self.send_each(begun.conversation, record) {
                Ok(()) => {}
                Err(Detour::Wait) => {
                    self.keep(begun.conversation, head.number, record, Until::Sendable);
                    self.miss(begun.conversation);
                }
                Err(_) => self.keep_starved(begun.conversation, head.number, record),
            },
            Goes::To(leaf) => {
                if !self.send_record(begun.conversation, leaf, record) {
                    self.keep_starved(begun.conversation, head.number, record);
                }
            }
            Goes::Wait | Goes::Alarm(_) => {
                self.keep(begun.conversation, head.number, record, Until::Sendable);
                self.release(begun.conversation);
            }
        }
        self.scratch = scratch;
        head.number
    }

    /// Sends a body that is encoded already.
    pub fn post(&mut self, from: SlotIndex, to: AgentId, schema: Schema, body: &[u8]) -> Number {
        let to = Addressee::Agent(to);
        let letter =
            Letter { to, schema, point: None, broadcast: false, asks: false, in_order: false };
        let hand = Hand::default();
        self.begin(from, &hand, &letter);
        self.end_with(from, &hand, body)
    }

    fn set_alarm(
        &mut self,
        slot: SlotIndex,
        begun: &Begun,
        delay: Duration,
        bytes: usize,
    ) -> Number {
        let sender = &mut self.senders[slot.0 as usize];
        let timer = Timer(sender.timers);
        sender.timers += 1;
        let due = Stamp(self.now.0.saturating_add(delay.as_nanos().min(u64::MAX.into()) as u64));
        let kind = self.templates.kinds().kind(begun.letter.schema).unwrap_or(Kind::NONE);
        let body = self.scratch[begun.body_at..begun.body_at + bytes].to_vec();
        self.timers.set(due, Alarm { slot, timer, kind, body });
        Number(timer.0)
    }

    /// The head of a message that has a conversation, with the message's number.
    #[inline]
    fn head(&mut self, slot: SlotIndex, hand: &Hand, begun: &Begun) -> Head {
        let kind = self.kind(begun.conversation, begun.letter.schema);
        let sender = &self.senders[slot.0 as usize];
        let conversation = &mut self.conversations[begun.conversation];
        let number = conversation.number();
        let letter = &begun.letter;
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        Head {
            destination: conversation.to,
            logical: None,
            source: sender.source,
            space: sender.space,
            number,
            floor: match planted::is(Bug::FloorOverstated) {
                true => 0,
                false => (number.0 - conversation.floor().0) as u32,
            },
            point: letter.point.unwrap_or_default(),
            trace: hand.trace,
            kind,
            flags: flag(letter.point.is_some(), HAS_POINT)
                | flag(letter.asks, ASKS)
                | flag(letter.broadcast, BROADCAST),
            epoch: self.routes[conversation.route].epoch,
            checkpoint: 0,
            answers: match letter.to {
                Addressee::Asker(name) => Some((name.number, name.space)),
                _ => None,
            },
            child: (sender.source != sender.logical).then_some(sender.logical),
            place: begun.in_order.then_some(NO_PLACE),
        }
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

    /// Gives a message up, and tells its sender if it asked.
    pub fn refuse(&mut self, at: ConversationIndex, head: &Head, refusal: Refusal) {
        self.conversations[at].done(head.number);
        self.counts.refused += 1;
        if head.has(ASKS) {
            self.no_answer(at, head.number, Some(refusal));
        }
    }

    /// An ask went over a link, whose peer is watched until the answer comes.
    #[inline]
    fn asked(&mut self, at: ConversationIndex, number: Number, link: u32) {
        if self.conversations[at].asked(number, link) {
            self.links.wait_for(link);
        }
    }

    /// An ask was answered, or never will be.
    pub fn answered(&mut self, at: ConversationIndex, number: Number) {
        self.conversations[at].answered(number);
        while let Some(link) = self.conversations[at].take_ask(number) {
            self.links.wait_no_longer(link);
        }
    }

    /// An asker need not wait any longer. `None`: it may have happened, or may yet.
    pub fn no_answer(&mut self, at: ConversationIndex, number: Number, refusal: Option<Refusal>) {
        self.answered(at, number);
        self.gathers.remove(&(at, number));
        let it = &self.conversations[at];
        let (slot, from) = (it.from, it.to);
        self.unanswered.push_back(Unanswered { slot, from, number, refusal });
    }

    /// Keeps a copy of a record in its conversation's outbox.
    pub fn keep(&mut self, at: ConversationIndex, number: Number, record: &[u8], until: Until) {
        let waiting = Waiting { record: record.to_vec(), until };
        let conversation = &mut self.conversations[at];
        conversation.keep(number, waiting);
        self.counts.kept += 1;
        if conversation.kept_count() >= OUTBOX_MARK {
            self.senders[conversation.from.0 as usize].pressed = true;
        }
    }

    /// Takes the pressure off an agent when little of what it sent still waits: half the mark, so that
    /// it does not go back and forth.
    pub fn relieve(&mut self, at: ConversationIndex) {
        let conversation = &self.conversations[at];
        let from = conversation.from;
        if self.senders[from.0 as usize].pressed && conversation.kept_count() < OUTBOX_MARK / 2 {
            self.senders[from.0 as usize].pressed = false;
            self.relieved.push(from);
        }
    }

    /// Sends what waits in a conversation, as far as there are a route and room. Asks for the route if
    /// that is what is missing.
    pub fn release(&mut self, at: ConversationIndex) {
        self.release_some(at);
        self.relieve(at);
    }

    fn release_some(&mut self, at: ConversationIndex) {
        loop {
            let ways = self.routes[self.conversations[at].route].ways;
            if self.conversations[at].is_waiting() && !self.conversations[at].may_leave(ways) {
                return self.conversations.starve(at);
            }
            let Some((number, mut record)) = self.conversations[at].next_sendable() else { return };
            if self.conversations[at].is_beyond(number) {
                self.conversations[at].put_back(number, record);
                return self.conversations.starve(at);
            }
            let head = Head::read(&parse(&record));
            let destination = &self.routes[self.conversations[at].route];
            if destination.is_ordered && head.place.is_none() && head.answers.is_none() {
                record = with_place(&record);
                self.conversations[at].ingress.get_or_insert_default();
            }
            let conversation = &self.conversations[at];
            let way = &self.routes[conversation.route].way;
            // A reply that had to wait goes back where its request came from, route or not.
            let back = head.answers.map_or(Via::Nowhere, |(_, space)| self.way_back(space));
            let leaf = match back {
                Via::Nowhere => way.leaf(head.routing_point(), number.0),
                via => Ok(Leaf { physical: conversation.to, via }),
            };
            let sent = match leaf {
                Ok(leaf) => self.send_record(at, leaf, &mut record),
                Err(Detour::Refuse(refusal))
                    if refusal != Refusal::NoPoint || !head.has(BROADCAST) =>
                {
                    self.refuse(at, &head, refusal);
                    true
                }
                Err(Detour::Wait) => {
                    self.conversations[at].put_back(number, record);
                    return self.miss(at);
                }
                Err(Detour::Refuse(_) | Detour::Each) => match self.send_each(at, &mut record) {
                    Err(Detour::Wait) => {
                        self.conversations[at].put_back(number, record);
                        return self.miss(at);
                    }
                    sent => sent.is_ok(),
                },
            };
            if !sent {
                self.conversations[at].put_back(number, record);
                return self.conversations.starve(at);
            }
        }
    }

    fn miss(&mut self, at: ConversationIndex) {
        let it = &mut self.conversations[at];
        if !it.is_asked_for {
            it.is_asked_for = true;
            self.missed.push(at);
        }
    }

    /// Sends a record to every leaf of its destination to which it is not on its way.
    /// # Errors
    /// [`Detour::Wait`] when some leaf is not known, [`Detour::Each`] when one's link has no room: it is
    /// to be sent again then.
    fn send_each(&mut self, at: ConversationIndex, record: &mut [u8]) -> Result<(), Detour> {
        let head = Head::read(&parse(record));
        let route = self.conversations[at].route;
        let leaves = self.routes[route].way.leaves().ok_or(Detour::Wait)?;
        let is_new = self.conversations[at].fan_out(head.number, leaves.len());
        if (is_new || planted::is(Bug::BroadcastAnew)) && head.has(ASKS) && leaves.len() > 1 {
            let gather = Gather::new(&parse(record), leaves.len());
            self.gathers.insert((at, head.number), gather);
        }
        for (index, leaf) in leaves.into_iter().enumerate() {
            let anew = planted::is(Bug::BroadcastAnew);
            if self.conversations[at].is_on_its_way(head.number, index) && !anew {
                continue;
            }
            if !self.send_record(at, leaf, record) {
                return Err(Detour::Each);
            }
            let place = Head::read(&parse(record)).place.unwrap_or(NO_PLACE);
            self.conversations[at].sent_to(head.number, index, leaf.physical, place);
        }
        Ok(())
    }

    fn keep_starved(&mut self, at: ConversationIndex, number: Number, record: &[u8]) {
        self.keep(at, number, record, Until::Sendable);
        self.conversations.starve(at);
    }

    /// Puts a whole record on its way; `false` when there is no room.
    pub fn send_record(&mut self, at: ConversationIndex, leaf: Leaf, record: &mut [u8]) -> bool {
        let before = Head::read(&parse(record));
        let conversation = &mut self.conversations[at];
        let (mut header, _) = split(record);
        let number = Number(header.number.get());
        let place = before
            .place
            .map(|place| conversation.place(number, leaf.physical, (before.destination, place)));
        if let Some(place) = place {
            put_place(record, place);
        }
        header.destination = leaf.physical.0.into();
        header.floor = ((number.0 - conversation.floor().0) as u32).into();
        header.route_epoch = self.routes[conversation.route].epoch.0.into();
        let sent = self.send_headed(at, leaf, &mut header, record);
        match place {
            Some(place) if sent => self.conversations[at].placed(leaf.physical, place),
            // A new one is free for others again.
            Some(place) if self.conversations[at].is_free(leaf.physical, place) => {
                put_place(record, NO_PLACE);
            }
            _ => {}
        }
        sent
    }

    fn send_headed(
        &mut self,
        at: ConversationIndex,
        leaf: Leaf,
        header: &mut MessageHeader,
        record: &mut [u8],
    ) -> bool {
        let number = Number(header.number.get());
        let conversation = &mut self.conversations[at];
        match leaf.via {
            Via::Local(to) => {
                header.floor = to.0.into();
                header.route_epoch = conversation.from.0.into();
                header.checkpoint = at.0.into();
                header.emit(record);
                self.filling.push(record);
                true
            }
            Via::Ring(reactor) => {
                header.emit(record);
                let ring = self.rings[usize::from(reactor)].as_mut();
                let sent = ring.expect("routes lead to reactors that there are").push(record);
                if sent {
                    self.conversations[at].done(number);
                    self.counts.rung |= 1 << (reactor % 64);
                }
                sent
            }
            Via::Link(link) => {
                header.emit(record);
                let sent = self.links.send(link, record, at, number);
                if sent && header.flags & ASKS != 0 {
                    self.asked(at, number, link);
                }
                sent
            }
            Via::Nowhere => false,
        }
    }

    /// Sends a record of another reactor back to it: our agent is not there, or refuses it.
    pub fn bounce(&mut self, to: u8, record: &[u8], code: u8) {
        let mut record = record.to_vec();
        let (mut header, _) = split(&record);
        header.flags |= RETURNED;
        header.floor = u32::from(code).into();
        header.emit(&mut record);
        self.bounced.push_back((to, record));
        self.push_bounced();
    }

    /// Empties the queue of records that go back, as far as the rings have room.
    pub fn push_bounced(&mut self) {
        while let Some((to, record)) = self.bounced.front() {
            let ring = self.rings[usize::from(*to)].as_mut();
            if !ring.expect("it came from a reactor that there is").push(record) {
                return;
            }
            self.counts.rung |= 1 << (to % 64);
            self.bounced.pop_front();
        }
    }

    /// Tries again what did not fit, oldest want first.
    pub fn feed_the_starved(&mut self) {
        for _ in 0..self.conversations.starved_count() {
            let Some(at) = self.conversations.next_starved() else { return };
            self.release(at);
        }
    }

    pub fn is_pressed(&self, slot: SlotIndex) -> bool {
        self.senders[slot.0 as usize].pressed
    }
}

/// Reads a record of this process's making.
pub(crate) fn parse(record: &[u8]) -> Message<'_> {
    MessageHeader::parse(record).expect("records of this process are whole")
}

fn split(record: &[u8]) -> (MessageHeader, &[u8]) {
    let message = parse(record);
    (*message.header, message.body)
}

/// An agent's transition, as the plane carries it out.
pub(crate) struct Work<'a, D> {
    pub plane: &'a mut Plane<D>,
    pub slot: SlotIndex,
    pub hand: Hand,
}

impl<D: Driver> Effects for Work<'_, D> {
    fn open(&mut self, letter: &Letter) -> &mut [u8] {
        self.plane.begin(self.slot, &self.hand, letter)
    }

    fn widen(&mut self) -> Option<&mut [u8]> {
        self.plane.widen()
    }

    fn close(&mut self, bytes: usize) -> Number {
        self.plane.end(self.slot, &self.hand, bytes)
    }

    fn close_with(&mut self, body: &[u8]) -> Number {
        self.plane.end_with(self.slot, &self.hand, body)
    }

    fn cancel(&mut self, timer: Timer) -> bool {
        self.plane.timers.cancel(self.slot, timer)
    }

    fn is_pressed(&self) -> bool {
        self.plane.is_pressed(self.slot)
    }
}

/// The envelope of what has no sender: a start, a poll.
pub(crate) fn nobody(now: Stamp) -> Envelope {
    Envelope { now, ..Envelope::default() }
}
