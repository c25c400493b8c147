//! The turn: what a reactor does over and over. Deliver, run, flush; no thread, no clock.
//!
//! A reactor on its thread, the simulator and the tests drive this same code: they say what time it is
//! and call the phases. Within a turn local and ring work goes first, to a bounded budget, and sockets
//! are visited when the caller says so, since asking them costs more than most turns.
//!
//! Messages of this reactor are handled in the order in which they were sent, straight out of the queue
//! that they were written to; only what cannot run is copied into its agent's inbox, and such an agent
//! stands in the run queue whenever its filter may have changed its mind.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use daedal_model::agent::Refusal;
use daedal_model::id::{AgentId, Number, ReactorAddress, Space, Stamp};
use daedal_model::path::AgentPath;
use daedal_net::driver::Driver;
use daedal_net::wire::padded;

use crate::collect::Remains;
use crate::conversation::{ConversationIndex, Until};
use crate::deliver::{Trust, Verdict};
use crate::done_box::Admission;
use crate::heir::Heir;
use crate::hold::Hold;
use crate::links::Links;
use crate::local::Arena;
use crate::mesh::RingReceiver;
use crate::metrics::Counts;
use crate::plane::{Hand, Plane, Via, Work, nobody};
use crate::planted::{self, Bug};
use crate::pressure::{Marks, NEIGHBOURS, Word};
use crate::record::{
    ASKED_AFTER_BY_RING, ASKS, BROADCAST, LABEL_BY_RING, RETIRED_BY_RING, RETURNED, ROOM_BY_RING,
    Record,
};
use crate::slot::{Parked, Slot, SlotIndex};
use crate::template::Templates;
use crate::walk::Step;
use crate::wedge::Ending;

/// Local and ring messages of one turn.
const BUDGET_MESSAGES: usize = 4096;
/// Parked messages that are offered again in one turn.
const BUDGET_PARKED: usize = 1024;

/// What became of a message that came to this reactor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Processed, or known to have been.
    Done,
    /// Processed by an earlier life, whose answer may never come.
    Unanswered,
    /// Kept here, in its agent's inbox.
    Parked,
    /// Its agent does not want it now, and keeps no more: its sender is to try again.
    Full,
    /// Its agent is not here, or does not own its point: its sender must ask for the route again.
    Returned,
    /// It will never be processed here.
    Refused(Refusal),
}

/// A part of a turn, in the order in which they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Timers that are due.
    Alarms,
    /// What came by rings.
    Rings,
    /// What agents of the reactor sent each other.
    Local,
    /// Shims: what comes from outside, and what they send.
    Shims,
    /// Frames that the driver received: what is read of them, and the transitions that they cause.
    Links,
    /// What waited in inboxes.
    Waiting,
    /// Lives that end, and agents that are held.
    Lives,
    /// What is sent, by rings and by the driver.
    Flush,
}

/// One reactor's agents, and all that carries their messages.
pub struct Turn<D> {
    pub(crate) slots: Vec<Option<Slot>>,
    pub(crate) plane: Plane<D>,
    reading: Arena,
    cursor: usize,
    /// Rings from the other reactors of the box, with the reactor.
    pub(crate) rings: Vec<(u8, RingReceiver)>,
    run_queue: VecDeque<SlotIndex>,
    /// Lives that end for others.
    pub(crate) ending: Vec<Ending>,
    /// Agents that are held for a cut.
    pub(crate) holds: Vec<Hold>,
    /// By path, lives that go on from others and do not run yet.
    pub(crate) heirs: BTreeMap<String, Heir>,
    pub(crate) shims: Vec<SlotIndex>,
    /// The reactor's own port.
    pub(crate) port: Option<SlotIndex>,
    /// Its box's manager, which may run in another reactor.
    pub(crate) manager: Option<AgentPath>,
    /// How its thread runs it, for people.
    pub(crate) about: String,
    /// What became of messages before the word came that they were parked, by the link that told.
    pub(crate) early: BTreeMap<(u32, Space, AgentId, Number), u32>,
    /// What is to be collected.
    pub(crate) remains: Remains,
    /// Agents that ran here, counted.
    pub(crate) lives: u32,
    /// How full inboxes get, and whose were.
    pub(crate) marks: Marks,
    /// Whom a message from another reactor was for last, and where it was.
    lately: (AgentId, SlotIndex),
}

impl<D: Driver> Turn<D> {
    /// A reactor without agents.
    pub fn new(me: ReactorAddress, templates: Arc<Templates>, links: Links<D>) -> Self {
        Turn {
            slots: Vec::new(),
            plane: Plane::new(me, templates, links),
            reading: Arena::default(),
            cursor: 0,
            rings: Vec::new(),
            run_queue: VecDeque::new(),
            ending: Vec::new(),
            holds: Vec::new(),
            heirs: BTreeMap::new(),
            shims: Vec::new(),
            port: None,
            manager: None,
            about: "driven by hand".to_owned(),
            early: BTreeMap::new(),
            remains: Remains::default(),
            lives: 0,
            marks: Marks::default(),
            lately: (AgentId(0), SlotIndex::NOBODY),
        }
    }

    /// Takes one turn at `now`: whether there was anything to do. `sockets`: whether to visit them.
    pub fn take(&mut self, now: Stamp, sockets: bool) -> bool {
        self.take_by_phases(now, sockets, |_| {})
    }

    /// Likewise; `is_over` hears of each phase at its end: who measures reads the clock then.
    pub fn take_by_phases(
        &mut self,
        now: Stamp,
        sockets: bool,
        mut is_over: impl FnMut(Phase),
    ) -> bool {
        self.plane.now = self.plane.now.max(now);
        let mut busy = self.ring_alarms();
        is_over(Phase::Alarms);
        busy |= self.read_rings(sockets);
        is_over(Phase::Rings);
        busy |= self.read_local();
        is_over(Phase::Local);
        if sockets {
            let mut found = self.poll_shims();
            is_over(Phase::Shims);
            found |= self.read_links();
            is_over(Phase::Links);
            self.plane.counts.visits_found += u64::from(found);
            busy |= found;
        }
        busy |= self.run_parked();
        busy |= self.tell_unanswered();
        is_over(Phase::Waiting);
        busy |= !self.ending.is_empty() && self.end_lives();
        busy |= !self.holds.is_empty() && self.tend_holds();
        is_over(Phase::Lives);
        busy |= self.flush() || self.is_runnable();
        is_over(Phase::Flush);
        self.plane.counts.turns_busy += u64::from(busy);
        busy
    }

    /// Whether the next turn has work without anything coming in.
    pub fn is_runnable(&self) -> bool {
        !self.plane.filling.is_empty()
            || self.reading.from(self.cursor).is_some()
            || !self.run_queue.is_empty()
            || !self.plane.unanswered.is_empty()
    }

    /// When the next timer is due, of agents or links, or a life that ends is waited for no longer.
    pub fn next_due(&self) -> Option<Stamp> {
        let alarms = self.plane.timers.next_due();
        let links = self.plane.links.next_due();
        let full = self.plane.full.next_due();
        let endings = self.ending.iter().map(Ending::until);
        let holds = self.holds.iter().map(Hold::until);
        let all = alarms.into_iter().chain(links).chain(full).chain(endings).chain(holds);
        all.chain(self.remains.due()).min()
    }

    /// Samples one of `every` visits of shims that do something: what their first message causes can be seen in
    /// the counters' file. 0: none.
    pub fn sample(&mut self, every: u64) {
        self.plane.walks.sample(every, self.plane.me);
    }

    /// Agents whose parked messages are to be offered again.
    pub(crate) fn runnable_count(&self) -> usize {
        self.run_queue.len()
    }

    /// What was counted so far.
    pub fn counts(&self) -> &Counts {
        &self.plane.counts
    }

    // ---- phases ----

    fn ring_alarms(&mut self) -> bool {
        let mut any = false;
        // What they set meanwhile waits for the next turn, though it may be due.
        let until = self.plane.timers.count();
        while let Some(alarm) = self.plane.timers.pop(self.plane.now, until) {
            any = true;
            if self.is_of_an_ending(&alarm) {
                self.keep_due(alarm);
            } else {
                self.deliver(alarm.slot, &Record::of(&alarm.record), Trust::Ours, Via::Nowhere);
                self.plane.timers.reuse(alarm.record);
            }
        }
        any
    }

    /// `settles`: whether to look at what neighbours have settled, though nothing waits for that.
    fn read_rings(&mut self, settles: bool) -> bool {
        if self.rings.is_empty() {
            return false;
        }
        // Others have read since the last turn: what waits for that goes before what is new.
        self.plane.feed_the_starved();
        let settles = settles || self.plane.conversations.starved_count() > 0;
        let mut rings = std::mem::take(&mut self.rings);
        let mut any = false;
        for (from, ring) in &mut rings {
            let sender = self.plane.ring_to(*from);
            let settled = sender.filter(|it| settles || it.has_much_under_way());
            let taken = settled.map(|sender| sender.taken());
            let mut left = BUDGET_MESSAGES;
            loop {
                let popped = ring.pop(left, |record| self.arrive_by_ring(*from, record));
                if popped == 0 {
                    break;
                }
                left = left.saturating_sub(popped);
                any = true;
            }
            if let Some(taken) = taken.filter(|_| left > 0) {
                self.plane.settle_ring(*from, taken);
            }
            if !self.plane.owes(*from) {
                ring.settle();
            }
        }
        self.rings = rings;
        any
    }

    fn read_local(&mut self) -> bool {
        let mut left = BUDGET_MESSAGES;
        // What is read cannot change meanwhile: agents write to the other arena.
        let (mut reading, mut cursor) = (std::mem::take(&mut self.reading), self.cursor);
        while left > 0 {
            if let Some(records) = reading.from(cursor) {
                left -= 1;
                cursor += self.arrive_locally(records);
                continue;
            }
            reading.clear();
            cursor = 0;
            self.remains.passes += 1;
            if self.plane.filling.is_empty() {
                break;
            }
            std::mem::swap(&mut reading, &mut self.plane.filling);
        }
        (self.reading, self.cursor) = (reading, cursor);
        left < BUDGET_MESSAGES
    }

    fn poll_shims(&mut self) -> bool {
        let mut any = false;
        // Each in its turn is first where there is room for few.
        if self.shims.len() > 1 {
            self.shims.rotate_left(1);
        }
        for index in 0..self.shims.len() {
            let slot_index = self.shims[index];
            let Some(slot) = &mut self.slots[slot_index.0 as usize] else { continue };
            slot.last_stamp = slot.last_stamp.max(self.plane.now);
            let envelope = nobody(slot.last_stamp);
            let id = slot.source;
            let hand = Hand { trace: self.plane.walks.offer(), ..Hand::default() };
            let mut work = Work { plane: &mut self.plane, slot: slot_index, hand };
            if slot.host.poll(id, &envelope, &mut work) {
                self.plane.walks.visited();
                any = true;
            }
        }
        any
    }

    fn run_parked(&mut self) -> bool {
        let mut left = BUDGET_PARKED;
        let mut any = false;
        for _ in 0..self.run_queue.len() {
            let Some(index) = self.run_queue.pop_front() else { break };
            let Some(slot) = &mut self.slots[index.0 as usize] else { continue };
            slot.runnable = false;
            if slot.members.is_some() {
                any |= self.run_members(index, &mut left);
            }
            let Some(slot) = &mut self.slots[index.0 as usize] else { continue };
            let waiting = slot.inbox.unnumbered_count();
            let offers = waiting.min(left);
            for _ in 0..offers {
                left -= 1;
                any |= self.offer_unnumbered(index);
            }
            while left > 0 && self.offer_wanted(index) {
                left -= 1;
                any = true;
            }
            let is_due = self.slots[index.0 as usize].as_ref().is_some_and(Slot::is_due);
            if offers < waiting || is_due {
                self.wake(index);
            }
            any |= self.call_stalled(index);
        }
        any
    }

    /// Offers the first message without a number again; if it is not wanted yet, it goes to the end.
    fn offer_unnumbered(&mut self, index: SlotIndex) -> bool {
        let Some(slot) = &mut self.slots[index.0 as usize] else { return false };
        let parked = slot.inbox.pop_unnumbered();
        parked.is_some_and(|parked| self.offer_parked(index, None, parked))
    }

    /// Offers the message whose number has its turn, if it is here.
    fn offer_wanted(&mut self, index: SlotIndex) -> bool {
        let Some(slot) = &mut self.slots[index.0 as usize] else { return false };
        let Some(number) = slot.inbox.lowest() else { return false };
        let parked = slot.inbox.pop_wanted(slot.host.want());
        parked.is_some_and(|parked| self.offer_parked(index, Some(number), parked))
    }

    /// Whether a message that waited does so no longer.
    fn offer_parked(&mut self, index: SlotIndex, number: Option<u64>, parked: Parked) -> bool {
        let fate = self.offer(index, &Record::of(&parked.record), parked.trust, parked.via);
        match (fate, &mut self.slots[index.0 as usize]) {
            (Fate::Parked, Some(slot)) => {
                slot.inbox.push(number, parked);
                false
            }
            (fate, _) => {
                self.settle_parked(index, &parked, fate);
                true
            }
        }
    }

    /// Tells the sender of a parked message that it need not keep it any longer.
    pub(crate) fn settle_parked(&mut self, to: SlotIndex, parked: &Parked, fate: Fate) {
        debug_assert_ne!(fate, Fate::Parked);
        if let Some(slot) = &mut self.slots[to.0 as usize] {
            slot.inbox.take_load(parked);
        }
        let record = Record::of(&parked.record);
        match parked.via {
            Via::Link(link) => self.settle_by_name(link, record.header(), fate),
            Via::Local(_) => self.settle_locally(fate, &record),
            Via::Ring(from) => self.plane.send_back(from, &record, fate),
            Via::Nowhere => {}
        }
    }

    fn flush(&mut self) -> bool {
        self.ask_for_routes();
        self.plane.feed_the_starved();
        let any = self.plane.try_the_full();
        self.tell_of_room();
        self.wake_relieved();
        self.plane.push_bounced();
        self.collect();
        self.give_up_links();
        // They have told other reactors something, too.
        self.plane.flush_rings();
        self.plane.links.flush(self.plane.now) || any
    }

    fn wake_relieved(&mut self) {
        if self.plane.relieved.is_empty() {
            return;
        }
        for index in std::mem::take(&mut self.plane.relieved) {
            if let Some(slot) = &mut self.slots[index.0 as usize]
                && let Some(members) = &mut slot.members
            {
                members.wake_all();
            }
            self.wake(index);
        }
    }

    /// Puts an agent into the run queue, if anything waits for it.
    pub(crate) fn wake(&mut self, index: SlotIndex) {
        let Some(slot) = &mut self.slots[index.0 as usize] else { return };
        let is_any_woken = slot.members.as_ref().is_some_and(|members| members.is_woken());
        if (slot.has_waiting() || is_any_woken) && !slot.runnable {
            slot.runnable = true;
            self.run_queue.push_back(index);
        }
    }

    // ---- what comes in ----

    /// Handles the first of `records`; returns how many bytes it takes up.
    #[inline]
    fn arrive_locally(&mut self, records: &[u8]) -> usize {
        let record = Record::of(records);
        let (to, via) = (record.slot(), Via::Local(record.sender_slot()));
        let fate = match self.slots.get(to.0 as usize) {
            Some(Some(slot))
                if record.answers().is_some()
                    || slot.physical == record.destination() && slot.owns(&record) =>
            {
                match slot.done.has_inherited(&record) {
                    false => self.deliver(to, &record, Trust::Ours, via),
                    true => self.seen_before(to, &record),
                }
            }
            _ => {
                self.pass_foreign(to, &record);
                Fate::Returned
            }
        };
        self.settle_locally(fate, &record);
        padded(record.bytes())
    }

    /// Those behind a message that is not for the agent that it went to need not wait for it there.
    #[cold]
    fn pass_foreign(&mut self, to: SlotIndex, record: &Record<'_>) {
        let slot = self.slots.get(to.0 as usize).and_then(Option::as_ref);
        if slot.is_some_and(|slot| slot.physical == record.destination()) {
            self.pass(to, record);
        }
    }

    /// Tells a neighbour of this reactor what became of its message.
    #[inline(always)]
    fn settle_locally(&mut self, fate: Fate, record: &Record<'_>) {
        match fate {
            Fate::Done => self.plane.conversations.done(record.conversation(), record.number()),
            Fate::Parked => {}
            Fate::Unanswered | Fate::Full | Fate::Returned | Fate::Refused(_) => {
                self.back_locally(fate, record);
            }
        }
    }

    #[cold]
    fn back_locally(&mut self, fate: Fate, record: &Record<'_>) {
        let from = (record.destination(), NEIGHBOURS);
        self.came_back(record.conversation(), from, &record.to_vec(), fate);
    }

    fn arrive_by_ring(&mut self, from: u8, record: &Record<'_>) {
        if record.has(RETURNED) {
            return self.back_by_ring(from, record);
        }
        let fate = self.arrive(record, Trust::Ours, Via::Ring(from));
        if fate != Fate::Done {
            self.plane.send_back(from, record, fate);
        }
    }

    /// Another reactor tells what became of a message of ours: it is not among those that its ring counts.
    fn back_by_ring(&mut self, from: u8, record: &Record<'_>) {
        match record.header().floor.get() {
            RETIRED_BY_RING | ASKED_AFTER_BY_RING => {
                return self.hear_of_space_by_ring(from, record);
            }
            it @ (ROOM_BY_RING | LABEL_BY_RING) => {
                let name = record.name();
                let word = Word::heard(it == ROOM_BY_RING, name.space, name.number);
                return self.hear_of_leaf(name.source, word, Via::Ring(from));
            }
            _ => {}
        }
        let (at, number) = (record.conversation(), record.number());
        if let Some(ring) = self.plane.ring_to(from) {
            ring.told_of(at, number);
        }
        match record.told_fate() {
            (Fate::Done, _) => self.done(at, number.0, 1),
            (Fate::Parked, _) => {}
            _ if planted::is(Bug::RingReturnedLost) => {}
            (fate, record) => {
                let leaf = Record::of(&record).destination();
                self.came_back(at, (leaf, Via::Ring(from)), &record, fate);
            }
        }
    }

    /// Handles a message from another reactor: finds its agent, and refuses what it has seen before.
    pub(crate) fn arrive(&mut self, record: &Record<'_>, trust: Trust, via: Via) -> Fate {
        let index = match record.answers() {
            Some((_, space)) => match self.plane.spaces.get(&space) {
                Some(index) => *index,
                None => {
                    self.plane.counts.stray_answers += 1;
                    return Fate::Done;
                }
            },
            None => match self.slot_of(record.destination()) {
                Some(index) => index,
                None => return Fate::Returned,
            },
        };
        let Some(slot) = &mut self.slots[index.0 as usize] else { return Fate::Returned };
        let foreign = record.answers().is_none() && !slot.owns(record);
        if foreign {
            self.pass_foreign(index, record);
            return Fate::Returned;
        }
        let mut is_first = false;
        if matches!(via, Via::Link(_)) {
            match slot.done.admit(record) {
                Admission::New => {}
                Admission::First => is_first = true,
                Admission::Seen => return self.seen_before(index, record),
                Admission::OutOfWindow => {
                    self.plane.counts.invalid += 1;
                    return Fate::Done;
                }
            }
        } else if slot.done.has_inherited(record) {
            return self.seen_before(index, record);
        }
        if is_first || record.has(ASKS) {
            self.plane.origins.insert(record.space(), via);
        }
        self.deliver(index, record, trust, via)
    }

    /// Where an agent is that runs here. Messages for one often come one behind the other.
    #[inline]
    fn slot_of(&mut self, physical: AgentId) -> Option<SlotIndex> {
        let (lately, index) = self.lately;
        let slot = self.slots.get(index.0 as usize).and_then(Option::as_ref);
        if lately == physical && slot.is_some_and(|it| it.physical == physical) {
            return Some(index);
        }
        let index = *self.plane.hosted.get(&physical)?;
        self.lately = (physical, index);
        Some(index)
    }

    /// A message comes that its agent has, or that an earlier life has processed, which this one goes on from: then
    /// those behind it in its line here have their turn.
    #[cold]
    fn seen_before(&mut self, to: SlotIndex, record: &Record<'_>) -> Fate {
        self.plane.counts.duplicates += 1;
        let slot = self.slots[to.0 as usize].as_ref();
        if slot.is_some_and(|slot| slot.done.is_inherited() && !slot.egress.holds(record)) {
            self.pass(to, record);
        }
        let Some(slot) = self.slots[to.0 as usize].as_mut() else { return Fate::Returned };
        if record.has(ASKS) && slot.done.has_inherited(record) {
            return Fate::Unanswered;
        }
        // What waits here is not done, though its sender did not hear that it waits, or was told something older.
        let waits =
            slot.waiting_mut().any(|parked| Record::of(&parked.record).name() == record.name());
        match waits {
            true => Fate::Parked,
            false => Fate::Done,
        }
    }

    /// Hands a message to the agent that it is for.
    #[inline(always)]
    fn deliver(&mut self, to: SlotIndex, record: &Record<'_>, trust: Trust, via: Via) -> Fate {
        self.plane.counts.delivered += 1;
        if let Some((number, _)) = record.answers() {
            if record.trace().0 != 0 {
                self.note_answered(to, record, number, via);
            }
            return self.take_answer(to, record, number);
        }
        if let Some(place @ 1..) = record.place() {
            return self.deliver_in_line(to, place, record, trust, via);
        }
        let fate = self.offer(to, record, trust, via);
        match fate {
            Fate::Parked => self.park(to, record, trust, via),
            fate => fate,
        }
    }

    #[inline(always)]
    pub(crate) fn offer(
        &mut self,
        to: SlotIndex,
        record: &Record<'_>,
        trust: Trust,
        via: Via,
    ) -> Fate {
        let Some(slot) = &mut self.slots[to.0 as usize] else { return Fate::Returned };
        if record.kind != slot.takes {
            return self.offer_to_one(to, record, trust, via);
        }
        if self.plane.holds_input_of(to) {
            return self.plane.held_back(to, record);
        }
        let envelope = slot.envelope(record, self.plane.now);
        let hand = Hand { space: envelope.name.space, trace: envelope.trace, via, member: None };
        let id = slot.source;
        let mut work = Work { plane: &mut self.plane, slot: to, hand };
        if envelope.trace.0 != 0 {
            work.plane.note_came(&envelope, (Step::Came, via), &slot.path);
        }
        let offered = match record.has(BROADCAST) {
            false => slot.host.offer(id, record.body(), trust, &envelope, &mut work),
            true => slot.offer_to_all(record, trust, &envelope, &mut work),
        };
        match offered {
            Ok(Verdict::Indivisible) => Fate::Refused(Refusal::Indivisible),
            Ok(Verdict::Done) => {
                if slot.has_waiting() || self.port == Some(to) {
                    self.after_transition(to);
                }
                Fate::Done
            }
            Ok(Verdict::Later) => {
                if envelope.trace.0 != 0 {
                    self.plane.note_came(&envelope, (Step::Parked, via), &slot.path);
                }
                Fate::Parked
            }
            Err(_) => {
                self.plane.counts.invalid += 1;
                Fate::Refused(Refusal::WrongSchema)
            }
        }
    }

    /// An agent that has made a transition may want what it did not want before.
    #[inline]
    pub(crate) fn after_transition(&mut self, index: SlotIndex) {
        if self.port == Some(index) {
            self.obey_port(index);
        }
        let has_waiting = self.slots[index.0 as usize].as_ref().is_some_and(Slot::has_waiting);
        if has_waiting && !planted::is(Bug::WakeLost) {
            self.wake(index);
        }
    }

    #[cold]
    fn park(&mut self, to: SlotIndex, record: &Record<'_>, trust: Trust, via: Via) -> Fate {
        self.make_place(to, record, trust, via);
        let Some(parked) = self.copy_out(to, record, trust, via) else { return Fate::Full };
        match &mut self.slots[to.0 as usize] {
            Some(slot) if slot.members.is_none() => {
                slot.inbox.push(slot.host.number(record.body(), trust), parked);
            }
            _ => self.park_for_one(to, parked),
        }
        Fate::Parked
    }

    #[cold]
    fn note_answered(&mut self, to: SlotIndex, record: &Record<'_>, number: Number, via: Via) {
        let Some(slot) = &self.slots[to.0 as usize] else { return };
        let (at, name) = ((record.trace(), self.plane.now), (slot.source, number));
        self.plane.walks.came(at, (Step::Answered, via), name, &slot.path);
    }

    // ---- what comes back ----

    /// A message of one of our agents was not taken by `physical`, which it went to by `via`.
    pub(crate) fn came_back(
        &mut self,
        at: ConversationIndex,
        (physical, via): (AgentId, Via),
        record: &[u8],
        fate: Fate,
    ) {
        let read = Record::of(record);
        let number = read.number();
        match fate {
            Fate::Unanswered => {
                self.done(at, number.0, 1);
                self.plane.no_answer(at, number, None);
            }
            Fate::Full => self.plane.came_back_full(at, (physical, via), number, record),
            Fate::Returned => {
                self.plane.counts.returned += 1;
                if planted::is(Bug::ReturnedLost) {
                    return self.plane.conversations.done(at, number);
                }
                self.plane.routes.forget(physical);
                self.plane.conversations[at].take_back(number, physical);
                self.settle_routes();
                self.plane.keep(at, number, record.to_vec(), Until::Sendable);
                self.plane.release(at);
            }
            Fate::Refused(refusal) => {
                self.plane.conversations[at].take_back(number, physical);
                self.plane.refuse(at, &read, refusal);
                self.plane.relieve(at);
            }
            Fate::Done | Fate::Parked => {}
        }
    }
}

impl<D: Driver> std::fmt::Debug for Turn<D> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Turn({} with {} agents)", self.plane.me, self.plane.hosted.len())
    }
}

#[cfg(test)]
mod tests;
