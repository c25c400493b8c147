//! Many agents of one name, in one reactor: what a template makes so many times over.
//!
//! To everybody else they are one agent: one entry of the tree, one life, one address, one source and space.
//! Which of them a message is for its point says ([`which`]), so that a million need no million paths, routes,
//! places or look-ups. Each has what makes it an agent (Ovid §3.1): its state, its transitions, what it wants,
//! what waits for that, its timers and its asks. They share what an agent costs though it does nothing: the
//! done box, the stamp, and the outbox: one conversation with each destination, whose window and pressure are
//! those of all, and whose asks say which of them asked.
//!
//! So one that is idle takes the bytes of its state and a pointer to what its type can do; an inbox stands in
//! [`Members`] only while something waits in it. What all of them keep together is bounded as one agent's inbox is.
//! A message to all points is refused: it would be a transition of each of them at once. Their state is taken
//! one by one, and does not move yet.

use std::collections::{BTreeMap, BTreeSet};

use daedal_model::address::{MANY_MAX, which};
use daedal_model::agent::{Agent, Answer, Refusal};
use daedal_model::context::{Effects, Envelope};
use daedal_model::control::Failure;
use daedal_model::id::AgentId;
use daedal_model::message::{Invalid, Schema, Wire};
use daedal_model::port::{Command, Kept};
use daedal_model::state::{Captured, State, StateError};
use daedal_net::driver::Driver;

use crate::deliver::{Host, Hosted, Part, Trust, Verdict};
use crate::inbox::Inbox;
use crate::kinds::Kind;
use crate::plane::{Hand, Via, Work, nobody};
use crate::record::{BROADCAST, Record};
use crate::slot::{Parked, SlotIndex};
use crate::template::Parameters;
use crate::turn::{Fate, Turn};

/// What the system file says of them: how many, under this name.
const COUNT: &str = "count";

/// The agents themselves.
pub(crate) struct Many<A: 'static>(Box<[Hosted<A>]>);

/// What of them is not alike.
#[derive(Debug)]
pub(crate) struct Members {
    count: u32,
    /// The type of message that they take.
    takes: Kind,
    /// Of those for whom something waits.
    inboxes: BTreeMap<u32, Inbox>,
    /// Those of them whose filter may have changed its mind.
    woken: BTreeSet<u32>,
}

impl<A: Agent + State> Many<A> {
    /// As many as `parameters` say. `make`: one, by its number.
    /// # Errors
    /// `count` is missing, or none; what `make` says.
    pub fn make(
        parameters: &Parameters,
        mut make: impl FnMut(u32) -> Result<A, Failure>,
    ) -> Result<Many<A>, Failure> {
        let text = parameters.get(COUNT).map(String::as_str).unwrap_or_default();
        let count = text.parse().ok().filter(|count| (1..=MANY_MAX).contains(count));
        let Some(count) = count else {
            let why =
                format!("{COUNT} = {text:?}: write how many agents there are, 1 to {MANY_MAX}");
            return Err(why.into());
        };
        let members: Result<_, Failure> =
            (0..count).map(|it| Ok(Hosted::agent(make(it)?))).collect();
        members.map(Many)
    }
}

impl Members {
    /// Nobody's inbox.
    pub fn new(count: u32, takes: Kind) -> Members {
        Members { count, takes, inboxes: BTreeMap::new(), woken: BTreeSet::new() }
    }

    /// Whom a message is for.
    /// # Errors
    /// Why it is nobody's.
    fn whose(&self, record: &Record<'_>) -> Result<u32, Refusal> {
        if record.kind != self.takes {
            return Err(Refusal::WrongSchema);
        }
        if record.has(BROADCAST) {
            return Err(Refusal::Indivisible);
        }
        let point = record.point().ok_or(Refusal::NoPoint)?;
        which(point, self.count).ok_or(Refusal::UnknownAgent)
    }

    /// One has made a transition: what waits for it may be wanted now.
    fn wake(&mut self, member: u32) {
        if self.inboxes.contains_key(&member) {
            self.woken.insert(member);
        }
    }

    /// All may take what waits for them.
    pub fn wake_all(&mut self) {
        self.woken.extend(self.inboxes.keys());
    }

    /// Whether something may be wanted that was not.
    pub fn is_woken(&self) -> bool {
        !self.woken.is_empty()
    }

    /// Everything that waits.
    pub fn waiting_mut(&mut self) -> impl Iterator<Item = &mut Parked> {
        self.inboxes.values_mut().flat_map(Inbox::iter_mut)
    }

    /// Takes out everything that waits.
    pub fn take_waiting(&mut self) -> impl Iterator<Item = Parked> {
        self.woken.clear();
        std::mem::take(&mut self.inboxes).into_values().flat_map(Inbox::into_all)
    }
}

impl<D: Driver> Turn<D> {
    /// Offers a message that is not of the type that a slot's one agent takes: it may be many.
    #[inline(never)]
    pub(crate) fn offer_to_one(
        &mut self,
        to: SlotIndex,
        record: &Record<'_>,
        trust: Trust,
        via: Via,
    ) -> Fate {
        let Some(slot) = &mut self.slots[to.0 as usize] else { return Fate::Returned };
        let Some(members) = &mut slot.members else { return Fate::Refused(Refusal::WrongSchema) };
        let member = match members.whose(record) {
            Ok(member) => member,
            Err(refusal) => return Fate::Refused(refusal),
        };
        if self.plane.holds_input_of(to) {
            return self.plane.held_back(to, record);
        }
        let envelope = slot.envelope(record, self.plane.now);
        let hand =
            Hand { space: envelope.name.space, trace: envelope.trace, via, member: Some(member) };
        let mut work = Work { plane: &mut self.plane, slot: to, hand };
        let host = slot.host.one(member).expect("there are as many as were counted");
        match host.offer(slot.source, record.body(), trust, &envelope, &mut work) {
            Ok(Verdict::Done) => {
                self.member_went_on(to, member);
                Fate::Done
            }
            Ok(Verdict::Later) => Fate::Parked,
            Ok(Verdict::Indivisible) => Fate::Refused(Refusal::Indivisible),
            Err(_) => {
                self.plane.counts.invalid += 1;
                Fate::Refused(Refusal::WrongSchema)
            }
        }
    }

    /// Hands an answer to the one that asked.
    pub(crate) fn answered_to_one(&mut self, to: SlotIndex, member: u32, answer: &Answer<'_>) {
        let Some(slot) = &mut self.slots[to.0 as usize] else { return };
        slot.last_stamp = slot.last_stamp.max(self.plane.now);
        let envelope = nobody(slot.last_stamp);
        let hand = Hand { member: Some(member), ..Hand::default() };
        let mut work = Work { plane: &mut self.plane, slot: to, hand };
        if let Some(host) = slot.host.one(member) {
            host.answered(slot.source, answer, &envelope, &mut work);
            self.member_went_on(to, member);
        }
    }

    fn member_went_on(&mut self, to: SlotIndex, member: u32) {
        let Some(slot) = &mut self.slots[to.0 as usize] else { return };
        let Some(members) = &mut slot.members else { return };
        members.wake(member);
        if members.is_woken() || slot.egress.is_stalled() {
            self.wake(to);
        }
    }

    /// The first transitions of all.
    pub(crate) fn start_each(&mut self, to: SlotIndex, envelope: &Envelope) {
        let Some(slot) = &mut self.slots[to.0 as usize] else { return };
        for member in 0..slot.host.count().unwrap_or(0) {
            let hand = Hand { member: Some(member), ..Hand::default() };
            let mut work = Work { plane: &mut self.plane, slot: to, hand };
            if let Some(host) = slot.host.one(member) {
                host.start(slot.source, envelope, &mut work);
            }
        }
    }

    /// Keeps a message for the one that it is for.
    pub(crate) fn park_for_one(&mut self, to: SlotIndex, parked: Parked) {
        let Some(slot) = &mut self.slots[to.0 as usize] else { return };
        let Some(members) = &mut slot.members else { return };
        let record = Record::of(&parked.record);
        let Ok(member) = members.whose(&record) else { return };
        let number = slot.host.one(member).and_then(|it| it.number(record.body(), parked.trust));
        members.inboxes.entry(member).or_default().push(number, parked);
    }

    /// Offers again what waits for those who may have changed their minds, at most `left` messages.
    pub(crate) fn run_members(&mut self, to: SlotIndex, left: &mut usize) -> bool {
        let mut any = false;
        while *left > 0
            && let Some(slot) = &mut self.slots[to.0 as usize]
            && let Some(members) = &mut slot.members
            && let Some(member) = members.woken.pop_first()
        {
            let want = slot.host.one(member).map_or(0, |host| host.want());
            let Some(inbox) = members.inboxes.get_mut(&member) else { continue };
            let offers = inbox.take_some(want, *left);
            let is_left = !inbox.is_empty();
            if !is_left {
                members.inboxes.remove(&member);
            } else if offers.len() == *left {
                members.woken.insert(member);
            }
            *left -= offers.len();
            for parked in offers {
                match self.offer(to, &Record::of(&parked.record), parked.trust, parked.via) {
                    Fate::Parked => self.park_for_one(to, parked),
                    fate => {
                        self.settle_parked(to, &parked, fate);
                        any = true;
                    }
                }
            }
        }
        let slot = self.slots[to.0 as usize].as_ref();
        if slot.and_then(|it| it.members.as_ref()).is_some_and(|members| members.is_woken()) {
            self.wake(to);
        }
        any
    }
}

/// What is asked of all of them at once.
impl<A: Agent + State> Host for Many<A> {
    fn takes(&self) -> Schema {
        <A::Message as Wire>::SCHEMA
    }

    fn count(&self) -> Option<u32> {
        u32::try_from(self.0.len()).ok()
    }

    fn one(&mut self, member: u32) -> Option<&mut dyn Host> {
        self.0.get_mut(member as usize).map(|it| it as &mut dyn Host)
    }

    fn capture_one(&self, member: u32) -> Option<Captured> {
        self.0.get(member as usize)?.capture()
    }

    fn start(&mut self, _: AgentId, _: &Envelope, _: &mut dyn Effects) {}

    fn offer(
        &mut self,
        _: AgentId,
        _: &[u8],
        _: Trust,
        _: &Envelope,
        _: &mut dyn Effects,
    ) -> Result<Verdict, Invalid> {
        Ok(Verdict::Indivisible)
    }

    fn number(&self, _: &[u8], _: Trust) -> Option<u64> {
        None
    }

    fn want(&self) -> u64 {
        u64::MAX
    }

    fn offer_part(
        &mut self,
        _: &Part,
        _: AgentId,
        _: &[u8],
        _: Trust,
        _: &Envelope,
        _: &mut dyn Effects,
    ) -> Result<Verdict, Invalid> {
        Ok(Verdict::Indivisible)
    }

    fn answered(&mut self, _: AgentId, _: &Answer<'_>, _: &Envelope, _: &mut dyn Effects) {}

    fn capture(&self) -> Option<Captured> {
        None
    }

    fn restore(&mut self, _: Captured) -> Result<(), StateError> {
        Err(StateError::Nothing)
    }

    fn keep(&mut self, _: String, _: Vec<Kept>) {}

    fn is_shim(&self) -> bool {
        false
    }

    fn poll(&mut self, _: AgentId, _: &Envelope, _: &mut dyn Effects) -> bool {
        false
    }

    fn take_commands(&mut self) -> Vec<Command> {
        Vec::new()
    }

    fn descriptor(&self) -> Option<std::os::fd::RawFd> {
        None
    }
}
