//! The sending half of a reactor: what an agent's outputs become, and what is kept of them.
//!
//! A message's way is found before its bytes exist, so that they are serialised into the very place that
//! they leave from: the local queue, the frame that a link is filling, or the next lines of a ring. Only what must wait, or
//! goes to several of which some have no room, is written to scratch first and copied; and what fits none of these is written to the heap,
//! and given from hand to hand.

use std::collections::VecDeque;
use std::sync::Arc;

use daedal_model::agent::Refusal;
use daedal_model::context::Envelope;
use daedal_model::id::{AgentId, Number, Point, ReactorAddress, Space, Stamp, Trace};
use daedal_model::path::AgentPath;
use daedal_net::driver::Driver;
use daedal_net::wire::message::MessageHeader;
use hashbrown::HashMap;

use crate::collect::of_space;
use crate::conversation::{Conversation, ConversationIndex, RouteIndex, Until, Waiting};
use crate::conversations::{Conversations, Want};
use crate::gather::{Gathers, Which};
use crate::inbox::Load;
use crate::links::Links;
use crate::local::Arena;
use crate::matching::Matchings;
use crate::mesh::RingSender;
use crate::metrics::Counts;
use crate::ordered::NO_PLACE;
use crate::planted::{self, Bug};
use crate::record::{ASKS, RETIRED_BY_RING, Record, put_place};
use crate::routes::{Detour, Leaf, Reach, Routes, Way};
use crate::slot::{Sender, SlotIndex};
use crate::template::Templates;
use crate::timer::Timers;
use crate::turn::Fate;
use crate::walk::{Step, Walks};

mod cycles;
mod each;
mod full;
mod heads;
mod in_order;
mod parcel;
mod writing;

use cycles::Cycles;
pub(crate) use cycles::Label;
use each::Each;
use full::FullLeaves;
pub(crate) use heads::Heads;
pub(crate) use parcel::Parcel;
use writing::Begun;
pub(crate) use writing::Work;

/// What an agent may have waiting to be sent to one destination before it is told that it is pressed: as much as
/// its destination's inbox takes.
const OUTBOX_MARK: Load = Load { messages: 1024, bytes: 4 << 20 };

/// How another agent is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
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
    /// Space of who sent the message in hand.
    pub space: Space,
    pub trace: Trace,
    /// Where the message in hand came from, which is where its reply goes.
    pub via: Via,
    /// Which of many makes the transition.
    pub member: Option<u32>,
}

/// An ask that no reply will come to: the asker learns it behind its transition.
#[derive(Debug)]
pub(crate) struct Unanswered {
    pub slot: SlotIndex,
    pub from: AgentId,
    pub ask: Which,
    /// `None`: it may have happened, or may yet.
    pub refusal: Option<Refusal>,
}

/// Why a message stays in its outbox.
enum Stays {
    /// There is no room for it: it is tried again.
    NoRoom,
    /// Its leaf takes no more for now: it is tried again when that may have changed.
    Full,
    /// Its leaf is not known, or not there.
    Away,
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
    pub gathers: Gathers,
    /// Asks that went to each of several, which all are to say the same.
    pub matchings: Matchings,
    /// Which of many agents of one name asked what is not answered.
    pub askers: HashMap<Which, u32, foldhash::fast::FixedState>,
    pub unanswered: VecDeque<Unanswered>,
    /// Leaves that take no more for now.
    pub full: FullLeaves,
    /// Agents that wait for each other.
    pub cycles: Cycles,
    /// Agents whose input is to be offered again: they are no longer pressed, or what comes from outside waits in vain.
    pub relieved: Vec<SlotIndex>,
    /// Conversations whose destination the controller is to be asked for.
    pub missed: Vec<ConversationIndex>,
    pub counts: Counts,
    pub walks: Walks,
    /// What other reactors are to be told of records of theirs.
    bounced: VecDeque<(u8, Vec<u8>)>,
    begun: Option<Begun>,
    /// Of what was begun: how far it is, if it goes to several.
    each: Each,
    /// How often all ways were derived anew, from 1.
    settled: u64,
    /// How many heads were kept for a next message: the last stream.
    heads_kept: u64,
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
            gathers: Gathers::default(),
            matchings: Matchings::default(),
            askers: HashMap::default(),
            unanswered: VecDeque::new(),
            full: FullLeaves::default(),
            cycles: Cycles::default(),
            relieved: Vec::new(),
            missed: Vec::new(),
            counts: Counts::default(),
            walks: Walks::default(),
            bounced: VecDeque::new(),
            begun: None,
            each: Each::default(),
            settled: 1,
            heads_kept: 0,
            scratch: vec![0; 4 << 10],
        }
    }

    /// Notes what befell a message that is sampled.
    #[cold]
    pub fn note_came(&mut self, envelope: &Envelope, (step, via): (Step, Via), to: &AgentPath) {
        let name = (envelope.name.source, envelope.name.number);
        self.walks.came((envelope.trace, self.now), (step, via), name, to);
    }

    #[inline]
    pub fn conversation(&mut self, slot: SlotIndex, to: AgentId) -> ConversationIndex {
        if let Some((id, index)) = self.senders[slot.0 as usize].lately
            && id == to
        {
            return index;
        }
        let index = self.conversations.find(slot, to).unwrap_or_else(|| {
            let began = self.senders[slot.0 as usize].used;
            self.conversations.add(slot, to, RouteIndex::REPLIES, began)
        });
        self.senders[slot.0 as usize].lately = Some((to, index));
        index
    }

    /// The conversation of an agent in which a message to `to` has this number.
    #[inline]
    pub fn conversation_of(
        &self,
        slot: SlotIndex,
        to: AgentId,
        number: Number,
    ) -> Option<ConversationIndex> {
        let base = match self.senders[slot.0 as usize].lately {
            Some((id, index)) if id == to => index,
            _ => self.conversations.find(slot, to)?,
        };
        self.conversations.lane(base, number.lane())
    }

    /// Finds the way of a conversation that had only replies so far.
    #[cold]
    fn find_route(&mut self, base: ConversationIndex) {
        let Conversation { from, to, .. } = self.conversations[base];
        let route = if self.routes.forbids(&self.senders[from.0 as usize].path, to) {
            self.routes.forbidden()
        } else {
            let (route, is_new) = self.routes.index(to);
            if is_new {
                self.settled += 1;
                self.reaching(|routes, reach| routes.settle_one(route, reach));
            }
            route
        };
        self.conversations[base].route = route;
    }

    /// Derives all ways anew from what is known. Whether some way is another than before.
    pub fn settle_routes(&mut self) -> bool {
        self.settled += 1;
        self.reaching(Routes::settle)
    }

    /// Has ways derived, which lead to where agents are.
    fn reaching(&mut self, settle: impl FnOnce(&mut Routes, &mut Reach<'_>) -> bool) -> bool {
        let (me, now, hosted, links) = (self.me, self.now, &self.hosted, &mut self.links);
        settle(&mut self.routes, &mut |physical, at, address| {
            if at == me {
                hosted.get(&physical).map_or(Via::Nowhere, |slot| Via::Local(*slot))
            } else if at.agent_box == me.agent_box {
                Via::Ring(at.reactor)
            } else {
                address.map_or(Via::Nowhere, |address| links.to(at, address, now))
            }
        })
    }

    /// How whoever has this space is reached, as far as it was heard from.
    fn way_back(&self, space: Space) -> Via {
        match self.spaces.get(&space) {
            Some(slot) => Via::Local(*slot),
            None => self.origins.get(&space).copied().unwrap_or_default(),
        }
    }

    /// Gives a message up, for all that it goes to, and tells its sender if it asked.
    pub fn refuse(&mut self, at: ConversationIndex, record: &Record<'_>, refusal: Refusal) {
        self.conversations.give_up(at, record.number());
        self.counts.refused += 1;
        if record.has(ASKS) {
            self.no_answer(at, record.number(), Some(refusal));
        }
    }

    /// Something goes over a link, whose peer is to be told when its sender has ended.
    #[inline]
    fn note_link(&mut self, at: ConversationIndex, link: u32) {
        if self.conversations.goes_over(at, link) {
            let from = self.conversations[at].from;
            self.note_link_of(from, link);
        }
    }

    #[cold]
    pub fn note_link_of(&mut self, sender: SlotIndex, link: u32) {
        let links = &mut self.senders[sender.0 as usize].links;
        if !links.contains(&link) {
            links.push(link);
        }
    }

    /// An ask went over a link, whose peer is watched until the answer comes.
    #[inline]
    fn asked(&mut self, at: ConversationIndex, number: Number, link: u32) {
        if self.conversations[at].asks.went(number, link) {
            self.links.wait_for(link);
        }
    }

    /// The peer of a link will not answer an ask: it did not take it.
    pub fn asked_in_vain(&mut self, at: ConversationIndex, number: Number, link: u32) {
        if self.conversations[at].asks.came_back(number, link) {
            self.links.wait_no_longer(link);
        }
    }

    /// Ends an ask: it was answered, or never will be. `false`: it had ended before.
    #[inline]
    pub fn close_ask(&mut self, at: ConversationIndex, number: Number) -> bool {
        let links = &mut self.links;
        self.conversations[at].asks.close(number, |link| links.wait_no_longer(link))
    }

    /// An asker need not wait any longer. `None`: it may have happened, or may yet.
    pub fn no_answer(&mut self, at: ConversationIndex, number: Number, refusal: Option<Refusal>) {
        let whole = self.gathers.give_up((at, number));
        if whole != Some((at, number)) {
            // It is a part, which nobody but us waits for.
            self.close_ask(at, number);
        }
        let Some((at, number)) = whole else { return };
        if !self.close_ask(at, number) {
            return;
        }
        self.matchings.forget((at, number));
        let it = &self.conversations[at];
        let (slot, from) = (it.from, it.to);
        self.unanswered.push_back(Unanswered { slot, from, ask: (at, number), refusal });
    }

    /// Keeps a record in its conversation's outbox.
    pub fn keep(&mut self, at: ConversationIndex, number: Number, record: Vec<u8>, until: Until) {
        match until {
            Until::Sendable => self.conversations.put_back(at, number, record),
            Until::Settled { .. } => {
                self.conversations.keep_parked(at, number, Waiting { record, until });
            }
        }
        self.counts.kept += 1;
        let conversation = &mut self.conversations[at];
        if conversation.unsent().reaches(OUTBOX_MARK) {
            match std::mem::replace(&mut conversation.is_pressed, true) {
                false => self.senders[conversation.from.0 as usize].pressed += 1,
                true => self.bound_cycle(at),
            }
        }
    }

    /// Takes the pressure off an agent when little of what it sent still waits: half the mark, so that
    /// it does not go back and forth.
    pub fn relieve(&mut self, at: ConversationIndex) {
        let conversation = &mut self.conversations[at];
        if !conversation.is_pressed {
            return;
        }
        if conversation.unsent().reaches(OUTBOX_MARK.scaled(1, 2)) {
            return self.unbound_cycle(at);
        }
        conversation.is_pressed = false;
        let from = conversation.from;
        self.unpress(from);
    }

    /// One reason less to hold an agent's input back.
    pub fn unpress(&mut self, slot: SlotIndex) {
        let sender = &mut self.senders[slot.0 as usize];
        sender.pressed -= 1;
        if sender.pressed == 0 {
            self.cycles.forget(slot);
            self.relieved.push(slot);
        }
    }

    /// Sends what waits in a conversation, as far as there are a route and room. Asks for the route if
    /// that is what is missing.
    pub fn release(&mut self, at: ConversationIndex) {
        self.release_from(at, Number(0));
    }

    /// Likewise, but for what has numbers below `first` and need not stay in order.
    fn release_from(&mut self, at: ConversationIndex, first: Number) {
        self.release_some(at, first);
        self.relieve(at);
        if let Some(lines) = self.conversations[at].lines {
            self.release_in_order(lines);
        }
    }

    /// One after another. In a lane all go to one leaf, and wait for it together; what was named before the
    /// way was known goes past those whose leaf is away or has no room, and replies past what has no route.
    fn release_some(&mut self, at: ConversationIndex, mut first: Number) {
        let is_ordered = self.routes[self.conversations[at].route].is_ordered;
        let (mut crowded, mut replies_alone) = (Vec::new(), false);
        loop {
            let it = &mut self.conversations[at];
            let next = match replies_alone {
                false => it.next_sendable_from(first),
                true => it.next_reply_from(first),
            };
            let Some((number, mut record)) = next else { return };
            first = Number(number.0 + 1);
            if is_ordered && Record::of(&record).answers().is_none() {
                let placed = Record::of(&record).placed(Some(NO_PLACE));
                self.conversations.put_back(at, number, placed);
                continue;
            }
            let sent = if self.conversations[at].is_beyond(number) {
                Err(Stays::NoRoom)
            } else {
                self.release_one(at, &mut Parcel::Given(&mut record), &mut crowded)
            };
            if let Err(stays) = sent {
                let want = self.want_of(at, &Record::of(&record));
                self.conversations.put_back(at, number, record);
                let waits_together = !self.goes_several_ways(at);
                match stays {
                    Stays::NoRoom => {
                        self.conversations.starve(at, want);
                        if waits_together {
                            return;
                        }
                    }
                    // It takes replies all the same, and others of several what it does not.
                    Stays::Full => replies_alone |= waits_together && !self.goes_to_each(at),
                    Stays::Away => {
                        self.miss(at);
                        replies_alone |= waits_together;
                    }
                }
            }
        }
    }

    /// Where a message wants room that found none.
    fn want_of(&self, at: ConversationIndex, record: &Record<'_>) -> Want {
        let is_bound =
            self.goes_several_ways(at) || self.conversations[at].is_beyond(record.number());
        match self.leaf_of(at, record) {
            Ok(leaf) if !is_bound => Want::way(leaf.via, record.bytes()),
            _ => Want::Any,
        }
    }

    fn goes_to_each(&self, at: ConversationIndex) -> bool {
        matches!(self.routes[self.conversations[at].route].way, Way::Each(..))
    }

    fn goes_several_ways(&self, at: ConversationIndex) -> bool {
        let it = &self.conversations[at];
        let way = &self.routes[it.route].way;
        it.lane() == 0 && matches!(way, Way::Pick(_) | Way::Spread(..))
    }

    /// Sends one record. `crowded`: leaves that there was no room to for an earlier one, which the later ones are not
    /// to overtake.
    fn release_one(
        &mut self,
        at: ConversationIndex,
        record: &mut Parcel<'_>,
        crowded: &mut Vec<AgentId>,
    ) -> Result<(), Stays> {
        let leaf = self.leaf_of(at, &Record::of(record));
        match leaf {
            Ok(leaf) if crowded.contains(&leaf.physical) => Err(Stays::NoRoom),
            Ok(leaf) => {
                let sent = self.send_record(at, leaf, record);
                crowded.extend(matches!(sent, Err(Stays::NoRoom)).then_some(leaf.physical));
                sent
            }
            Err(Detour::Refuse(refusal)) => {
                self.refuse(at, &Record::of(record), refusal);
                Ok(())
            }
            Err(Detour::Wait) => Err(Stays::Away),
            Err(Detour::Cut) => {
                crowded.extend(self.cut(at, record));
                Ok(())
            }
            Err(Detour::Each) => self.send_each(at, record),
        }
    }

    /// The one leaf of a message that waits.
    fn leaf_of(&self, at: ConversationIndex, record: &Record<'_>) -> Result<Leaf, Detour> {
        let conversation = &self.conversations[at];
        let way = &self.routes[conversation.route].way;
        let turn = Conversation::turn(record.number());
        match (record.answers().map(|(_, space)| self.way_back(space)), record.range()) {
            (Some(Via::Nowhere), _) => Err(Detour::Refuse(Refusal::UnknownAgent)),
            (Some(via), _) => Ok(Leaf { physical: conversation.to, via }),
            (None, Some(range)) => way.leaf_of_all(range, turn),
            (None, None) => {
                // Who has come back from a copy goes there again: others that it had have their places behind.
                let has_left = record.place().is_some_and(|place| place != NO_PLACE);
                let back = has_left.then(|| way.copy(record.destination(), record.point()));
                back.flatten().map_or_else(|| way.leaf(record.point(), turn), Ok)
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

    /// Makes of a message to all points one for each lane's part of them. Its own name nobody has had. Returns
    /// the leaves whose parts have to wait; parts that are to stay in order wait in their lines.
    fn cut(&mut self, at: ConversationIndex, record: &[u8]) -> Vec<AgentId> {
        let read = Record::of(record);
        let range = read.range().expect("what has a point is not cut");
        let (base, route) = (self.conversations.base(at), self.conversations[at].route);
        let ticket = self.conversations.ticket(at, read.number());
        let lanes = self.routes[route].way.cut(range);
        let (is_part, is_awaited) = self.gathers.stands_for((at, read.number()));
        let mut parts = Vec::new();
        for (lane, part) in &lanes {
            let lane = self.conversations.in_lane(base, *lane);
            let it = &mut self.conversations[lane];
            let number = it.number();
            if read.has(ASKS) && is_awaited {
                it.asks.open(number);
            }
            if read.place().is_some() {
                self.conversations.line_up(lane, number, ticket);
            }
            self.keep(lane, number, read.cut(*part, number), Until::Sendable);
            parts.push((part.first, (lane, number)));
        }
        if read.has(ASKS) {
            self.gathers.cut((at, read.number()), &read, &parts);
        }
        if is_part {
            self.close_ask(at, read.number());
        }
        self.conversations.give_up(at, read.number());
        if read.place().is_some() {
            return Vec::new();
        }
        parts.iter().for_each(|(_, (lane, _))| self.release(*lane));
        let way = &self.routes[route].way;
        let waits = |(_, (lane, _)): &&(_, Which)| self.conversations[*lane].is_waiting();
        let waiting = parts.iter().zip(lanes).filter(|(part, _)| waits(part));
        waiting.filter_map(|(_, (_, part))| Some(way.leaf_of_all(part, 0).ok()?.physical)).collect()
    }

    /// Sends a record to every leaf of its destination to which it is not on its way.
    /// # Errors
    /// Why it does not go to some of them: it is to be sent again then.
    fn send_each(&mut self, at: ConversationIndex, record: &mut Parcel<'_>) -> Result<(), Stays> {
        let read = Record::of(record);
        let (number, asks) = (read.number(), read.has(ASKS));
        let route = self.conversations[at].route;
        let destination = &self.routes[route];
        let count = destination.way.each_count(read.point(), number.0).ok_or(Stays::Away)?;
        self.fan_out(at, number, asks, count);
        let mut sent = Ok(());
        for index in 0..count {
            if self.conversations[at].is_on_its_way(number, index) {
                continue;
            }
            let point = Record::of(record).point();
            let leaf = self.routes[route].way.each(point, number.0, index).ok_or(Stays::Away)?;
            match self.send_record(at, leaf, &mut record.lend()) {
                Ok(()) => {}
                // The others need not wait for it.
                Err(Stays::Full) => {
                    sent = Err(Stays::Full);
                    continue;
                }
                Err(stays) => return Err(stays),
            }
            let place = Record::of(record).place().unwrap_or(NO_PLACE);
            self.conversations[at].sent_to(number, index, leaf.physical, place);
        }
        sent
    }

    /// A message is to go to so many, if that is news.
    fn fan_out(&mut self, at: ConversationIndex, number: Number, asks: bool, count: usize) {
        let destination = &self.routes[self.conversations[at].route];
        if self.conversations[at].fan_out(number, count)
            && asks
            && let Some(merge) = &destination.merge
        {
            self.matchings.begin((at, number), merge);
        }
    }

    /// Keeps a record that was to leave at once.
    fn keep_back(&mut self, at: ConversationIndex, number: Number, record: Vec<u8>, stays: Stays) {
        let want = self.want_of(at, &Record::of(&record));
        self.keep(at, number, record, Until::Sendable);
        if let Stays::NoRoom = stays {
            self.conversations.starve(at, want);
        }
    }

    /// Puts a whole record on its way.
    /// # Errors
    /// Why it stays.
    fn send_record(
        &mut self,
        at: ConversationIndex,
        leaf: Leaf,
        record: &mut Parcel<'_>,
    ) -> Result<(), Stays> {
        let read = Record::of(record);
        if read.answers().is_none() && !self.full.lets(leaf.physical, at, read.number()) {
            return Err(Stays::Full);
        }
        self.place_record(at, leaf, record).then_some(()).ok_or(Stays::NoRoom)
    }

    /// Puts a record on its way by the next place in its line, if it has one; `false` when there is no room.
    fn place_record(&mut self, at: ConversationIndex, leaf: Leaf, record: &mut Parcel<'_>) -> bool {
        let read = Record::of(record);
        let conversation = &self.conversations[at];
        let (mut header, number) = (*read.header(), read.number());
        let before = |place| (read.destination(), place);
        header.destination = leaf.physical.0.into();
        header.floor = conversation.floor_below(number).into();
        header.route_epoch = self.routes[conversation.route].epoch.0.into();
        let Some(place) = read.place() else {
            return self.send_headed(at, leaf, &mut header, record);
        };
        let had = conversation.place_before(number, leaf.physical, before(place));
        let had = had.filter(|_| !planted::is(Bug::PlaceAnew));
        let ticket =
            self.conversations.ticket(at, number).expect("what has a place stands in a line");
        self.leave_place(at, Some(leaf.physical), record);
        put_place(record, self.conversations.next_place((at, ticket), leaf.physical, had));
        let sent = self.send_headed(at, leaf, &mut header, record);
        match sent {
            true => {
                self.conversations.take_place((at, ticket), leaf.physical, had);
                self.conversations.leave(at, number, leaf.physical);
            }
            false => put_place(record, had.unwrap_or(NO_PLACE)),
        }
        sent
    }

    /// A record that is to go to this leaf, or nowhere, gives up the place that it had in the line to another.
    pub fn leave_place(&mut self, at: ConversationIndex, to: Option<AgentId>, record: &mut [u8]) {
        let read = Record::of(record);
        let (was_at, number) = (read.destination(), read.number());
        let had = read.place().filter(|it| *it != NO_PLACE && to != Some(was_at));
        let had = had.filter(|_| !self.conversations[at].goes_to_several(number));
        if let Some((had, ticket)) = had.zip(self.conversations.ticket(at, number)) {
            self.conversations.give_up_place((at, ticket), was_at, had);
            put_place(record, NO_PLACE);
        }
    }

    fn send_headed(
        &mut self,
        at: ConversationIndex,
        leaf: Leaf,
        header: &mut MessageHeader,
        record: &mut Parcel<'_>,
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
                header.checkpoint = at.0.into();
                header.emit(record);
                self.push_to_ring(reactor, record, (at, number))
            }
            Via::Link(link) => {
                header.emit(record);
                self.note_link(at, link);
                let sent = self.links.send(link, record, at, number);
                if sent && header.flags & ASKS != 0 {
                    self.asked(at, number, link);
                }
                sent
            }
            Via::Nowhere => false,
        }
    }

    /// Puts a whole record into the ring to another reactor; `false` when there is no room.
    fn push_to_ring(&mut self, reactor: u8, record: &mut Parcel<'_>, name: Which) -> bool {
        let sent = self.ring(reactor).push(record, Some(name));
        if sent {
            self.counts.rung |= 1 << (reactor % 64);
        }
        sent
    }

    /// Tells another reactor what became of a record of its.
    pub fn send_back(&mut self, to: u8, record: &Record<'_>, fate: Fate) {
        self.bounced.push_back((to, record.with_fate(fate)));
        self.push_bounced();
    }

    /// Tells the other reactors of the box that a space is retired.
    pub fn tell_rings_of_end(&mut self, source: AgentId, space: Space, is_followed: bool) {
        let others = self.rings.iter().enumerate().filter(|(_, ring)| ring.is_some());
        let end = || of_space(source, space, is_followed, RETIRED_BY_RING);
        self.bounced.extend(others.map(|(to, _)| (to as u8, end())));
        self.push_bounced();
    }

    /// Tells another reactor of the box something that is no message.
    pub fn tell_ring(&mut self, to: u8, record: Vec<u8>) {
        self.bounced.push_back((to, record));
        self.push_bounced();
    }

    /// Empties the queue of what goes back, as far as the rings have room.
    pub fn push_bounced(&mut self) {
        while let Some((to, record)) = self.bounced.front_mut() {
            let ring = self.rings[usize::from(*to)].as_mut();
            let ring = ring.expect("it came from a reactor that there is");
            if !ring.push(&mut Parcel::Given(record), None) {
                return;
            }
            self.counts.rung |= 1 << (*to % 64);
            self.bounced.pop_front();
        }
    }

    /// Publishes what the rings have taken in this turn.
    pub fn flush_rings(&mut self) {
        for (to, ring) in self.rings.iter_mut().enumerate() {
            if let Some(ring) = ring
                && ring.flush()
            {
                self.counts.rung |= 1 << (to % 64);
            }
        }
    }

    /// Whether this reactor is still to be told something.
    pub fn owes(&self, reactor: u8) -> bool {
        self.bounced.iter().any(|(to, _)| *to == reactor)
    }

    /// The ring to another reactor, which a route leads to.
    #[inline]
    fn ring(&mut self, reactor: u8) -> &mut RingSender {
        let ring = self.rings[usize::from(reactor)].as_mut();
        ring.expect("routes lead to reactors that there are")
    }

    /// The ring to another reactor, if there is one.
    pub fn ring_to(&mut self, reactor: u8) -> Option<&mut RingSender> {
        self.rings.get_mut(usize::from(reactor))?.as_mut()
    }

    /// The first `taken` records of the ring to this reactor are settled, and those of them that came
    /// back are here.
    pub fn settle_ring(&mut self, reactor: u8, taken: u64) {
        let next = |plane: &mut Self| plane.ring_to(reactor)?.next_done(taken);
        while let Some(((at, first), count)) = next(self) {
            match count {
                1 => self.conversations.done(at, first),
                count => self.conversations.done_run(at, first, count),
            }
        }
    }

    /// Tries again what did not fit, oldest want first; of those that want room in one way up to the first that finds
    /// none.
    pub fn feed_the_starved(&mut self) {
        if self.conversations.starved_count() == 0 {
            return;
        }
        let mut last = None;
        while let Some((want, count)) = self.conversations.next_want(last) {
            last = Some(want);
            for _ in 0..count {
                let Some(at) = self.conversations.next_starved(want) else { break };
                let before = self.conversations[at].unsent().messages;
                self.release(at);
                let it = &self.conversations[at];
                if want == Want::Any || it.wants != Some(want) {
                    continue;
                }
                // Who has sent something goes behind the others.
                if it.unsent().messages == before {
                    self.conversations.put_first(want);
                }
                break;
            }
        }
    }

    /// Whether too much waits of what an agent has sent, whoever holds it beside.
    pub fn waits_for_others(&self, slot: SlotIndex) -> bool {
        let sender = &self.senders[slot.0 as usize];
        !sender.is_shim && sender.pressed > u32::from(sender.is_held)
    }

    /// Whether too much waits of what an agent has sent; of a shim, anything to whom it wrote last.
    #[inline]
    pub fn is_pressed(&self, slot: SlotIndex) -> bool {
        let sender = &self.senders[slot.0 as usize];
        sender.pressed > 0
            || sender.is_shim && sender.lately.is_some_and(|(_, at)| self.awaits_room(at))
    }

    /// Whether something waits for room that there will be soon: what comes from outside stays there meanwhile, for it
    /// would be copied only to wait behind.
    #[inline]
    fn awaits_room(&self, at: ConversationIndex) -> bool {
        self.conversations.starved_count() > 0
            && self.conversations[at].wants.is_some()
            && self.conversations.link_of(at).is_none_or(|link| self.links.is_open(link))
    }

    /// Whether an agent's input waits until less of its output does.
    #[inline]
    pub fn holds_input_of(&self, slot: SlotIndex) -> bool {
        let sender = &self.senders[slot.0 as usize];
        sender.pressed > 0 && !sender.is_shim && (sender.is_held || !self.cycles.lets_on(slot))
    }

    /// Whether too much waits where a message of this point, or to all points, would; if a shim sends it, anything.
    #[inline]
    pub fn is_pressed_towards(&self, slot: SlotIndex, to: AgentId, point: Option<Point>) -> bool {
        let Sender { pressed, is_shim, .. } = self.senders[slot.0 as usize];
        let may_be = pressed > 0 || is_shim && self.conversations.starved_count() > 0;
        may_be && self.is_lane_pressed((slot, is_shim), to, point)
    }

    fn is_lane_pressed(
        &self,
        (slot, is_shim): (SlotIndex, bool),
        to: AgentId,
        point: Option<Point>,
    ) -> bool {
        let Some(base) = self.conversations.find(slot, to) else { return false };
        let is_pressed = |lane: u16| {
            self.conversations.lane(base, lane).is_some_and(|at| {
                self.conversations[at].is_pressed || is_shim && self.awaits_room(at)
            })
        };
        match (&self.routes[self.conversations[base].route].way, point) {
            (Way::Spread(_, among), _) => (1..=among.len() as u16).all(is_pressed),
            (Way::Pick(among), None) => (0..=among.len() as u16).any(is_pressed),
            (way, point) => {
                // What was named before the way was known waits in lane 0.
                is_pressed(way.lane(point)) || is_pressed(0) && way.leaf(point, 0).is_err()
            }
        }
    }
}

/// The envelope of what has no sender: a start, a poll.
pub(crate) fn nobody(now: Stamp) -> Envelope {
    Envelope { now, ..Envelope::default() }
}
