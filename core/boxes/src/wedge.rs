//! A life that ends so that others go on from it (Ovid §5): what it was is captured between two of its
//! transitions, cut by the points of those others, and kept by the reactor's port until they have it; and a life
//! that goes on from such ones: it is made of what they were, and runs once nobody else has that (`heir.rs`).
//!
//! From the moment that it is told, it is offered nothing: what waits in its inbox, and what still comes, goes
//! back to its senders, who hold it under its name until they know who is next. What it asked is waited for:
//! an answer is nobody's but its own. What it has sent stays with its reactor until it is done.

use daedal_model::context::Timer;
use daedal_model::control::{ConstantEntry, Failure, ToPort};
use daedal_model::done::NumberSet;
use daedal_model::encode::encode_to_vec;
use daedal_model::id::{AgentId, BoxId, Number, ReactorAddress, Space, Stamp};
use daedal_model::message;
use daedal_model::path::AgentPath;
use daedal_model::point::PointRange;
use daedal_model::port::Kept;
use daedal_model::state::{Captured, StateError};
use daedal_net::driver::Driver;

use crate::done_box::DoneBox;
use crate::plane::Via;
use crate::planted::{self, Bug};
use crate::record::Record;
use crate::slot::{Parked, Slot, SlotIndex};
use crate::timer::Alarm;
use crate::turn::{Fate, Turn};

/// How long answers are waited for that a life has asked for: a life that waits for somebody who waits for it
/// goes on, and is told to end later.
const PATIENCE_NS: u64 = 1_000_000_000;

/// A life that is ending.
pub(crate) struct Ending {
    slot: SlotIndex,
    physical: AgentId,
    path: String,
    parts: Vec<PointRange>,
    until: Stamp,
    /// Timers that have gone off since.
    due: Vec<(Stamp, Alarm)>,
}

impl Ending {
    /// Until when answers are waited for.
    pub fn until(&self) -> Stamp {
        self.until
    }
}

/// What a new owner of some points is told of an earlier one.
#[message(crate = daedal_model)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bequest {
    /// Its variables, of those points alone: a captured state.
    pub state: Vec<u8>,
    /// What it has processed.
    pub done: Vec<DoneEntry>,
    /// What it would have sent itself.
    pub timers: Vec<TimerEntry>,
    /// Its last stamp.
    pub stamp: u64,
    /// Where others are that it heard from.
    pub origins: Vec<OriginEntry>,
}

/// Messages of one sender that were processed.
#[message(crate = daedal_model)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoneEntry {
    /// The sender, as its receivers see it.
    pub source: u64,
    /// Its space.
    pub space: u32,
    /// The lane of these numbers.
    pub lane: u16,
    /// All below.
    pub floor: u64,
    /// Of those above, as [`NumberSet::words`] gives them.
    pub words: Vec<u64>,
}

impl DoneEntry {
    /// What a life has processed.
    pub(crate) fn all_of(done: &DoneBox) -> Vec<DoneEntry> {
        let entry = |((source, space, lane), set): ((AgentId, Space, u16), &NumberSet)| DoneEntry {
            source: source.0,
            space: space.0,
            lane,
            floor: set.floor().0,
            words: set.words(),
        };
        done.entries().into_iter().map(entry).collect()
    }

    /// Whoever goes on from that life has processed it, too.
    pub(crate) fn pass_to(&self, heir: &mut DoneBox) {
        if planted::is(Bug::DoneBoxLeft) {
            return;
        }
        let set = NumberSet::from_words(Number(self.floor), &self.words);
        heir.inherit((AgentId(self.source), Space(self.space), self.lane), &set);
    }
}

/// A timer that is pending.
#[message(crate = daedal_model)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimerEntry {
    /// When it goes off.
    pub due: u64,
    /// Its number, under which it can be cancelled.
    pub number: u64,
    /// Type of its message.
    pub schema: u64,
    /// Point of its message, if it has one.
    pub point: Option<u64>,
    /// Its message.
    pub body: Vec<u8>,
}

/// Where a space's agent was heard from.
#[message(crate = daedal_model)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginEntry {
    /// The space.
    pub space: u32,
    /// The reactor's box.
    pub agent_box: u16,
    /// The reactor.
    pub reactor: u8,
    /// How it is reached, from other boxes.
    pub address: String,
}

impl<D: Driver> Turn<D> {
    /// Has a life end, so that others with these points go on from it.
    pub(crate) fn obey_wedge(&mut self, path: String, parts: Vec<PointRange>) {
        if let Err(why) = self.begin_to_end(&path, parts) {
            let refused = Some(why);
            self.tell_port(&ToPort::Finished { path, refused, state: None });
        }
    }

    fn begin_to_end(&mut self, path: &str, parts: Vec<PointRange>) -> Result<(), Failure> {
        let physical = AgentPath::parse(path).map_err(|error| error.to_string())?.physical_id();
        let index = self.plane.hosted.get(&physical).copied();
        let index = index.ok_or_else(|| Failure::for_now(format!("{path} does not run here")))?;
        let slot = self.slots[index.0 as usize].as_mut().expect("it is hosted");
        if slot.host.is_shim() {
            return Err(format!("{path} is a shim: what it holds does not move").into());
        }
        if slot.members.is_some() {
            return Err(
                format!("{path} is many agents of one name: what they hold does not move").into()
            );
        }
        self.release(physical);
        let slot = self.slots[index.0 as usize].as_mut().expect("it is hosted");
        self.plane.hosted.remove(&physical);
        self.plane.routes.unplace(physical);
        // Nobody has this id: what still comes by a queue of this box finds nobody, too.
        slot.physical = AgentId(0);
        // A timer that has gone off has no sender to go back to.
        let (own, returned): (Vec<_>, Vec<_>) =
            slot.take_waiting().into_iter().partition(|parked| parked.via == Via::Nowhere);
        // Whoever is next gets them under the same names.
        let given_back = returned.iter().filter(|_| !planted::is(Bug::GoneBackDone));
        given_back.for_each(|parked| slot.done.give_back(&Record::of(&parked.record)));
        self.settle_routes();
        returned.iter().for_each(|parked| self.settle_parked(index, parked, Fate::Returned));
        let until = Stamp(self.plane.now.0.saturating_add(PATIENCE_NS));
        let now = self.plane.now;
        let alarm = |parked: Parked| {
            let timer = Timer(Record::of(&parked.record).number().0);
            (now, Alarm { slot: index, timer, record: parked.record })
        };
        let (slot, path, due) = (index, path.to_owned(), own.into_iter().map(alarm).collect());
        self.ending.push(Ending { slot, physical, path, parts, until, due });
        Ok(())
    }

    /// Keeps a timer of a life that is ending from going off. `false`: it is of another.
    pub(crate) fn is_of_an_ending(&mut self, alarm: &Alarm) -> bool {
        self.ending.iter().any(|it| it.slot == alarm.slot)
    }

    pub(crate) fn keep_due(&mut self, alarm: Alarm) {
        let now = self.plane.now;
        if let Some(ending) = self.ending.iter_mut().find(|it| it.slot == alarm.slot) {
            ending.due.push((now, alarm));
        }
    }

    /// Ends the lives whose asks are all answered. Whether any did.
    pub(crate) fn end_lives(&mut self) -> bool {
        let mut any = false;
        for ending in std::mem::take(&mut self.ending) {
            let is_asking = self.is_asking(ending.slot);
            if is_asking && self.plane.now < ending.until {
                self.ending.push(ending);
                continue;
            }
            any = true;
            let path = ending.path.clone();
            let ended = match is_asking && !planted::is(Bug::LateGoesOn) {
                true => {
                    let seconds = PATIENCE_NS / 1_000_000_000;
                    let why = format!("{path} waits for answers for more than {seconds} s");
                    self.go_on(ending);
                    Err(Failure::for_now(why))
                }
                false => self.end_life(ending),
            };
            if let Err(why) = ended {
                self.tell_port(&ToPort::Finished { path, refused: Some(why), state: None });
            }
        }
        any
    }

    /// Whether an agent waits for answers.
    pub(crate) fn is_asking(&self, slot: SlotIndex) -> bool {
        let mut all = self.plane.conversations.iter();
        all.any(|(_, it)| it.from == slot && it.asks.len() > 0)
    }

    /// A life does not end after all.
    fn go_on(&mut self, ending: Ending) {
        let Ending { slot: index, physical, due, .. } = ending;
        if let Some(slot) = &mut self.slots[index.0 as usize] {
            slot.physical = physical;
        }
        self.plane.hosted.insert(physical, index);
        self.plane.routes.place(physical, self.plane.me);
        due.into_iter().for_each(|(at, alarm)| self.plane.timers.set(at, alarm));
        self.settle_routes();
    }

    /// Ends a life, unless its state does not split: then it goes on, and nothing is lost. One that is wanted
    /// whole is to be joined with others, which what does not split does not do either.
    fn end_life(&mut self, ending: Ending) -> Result<(), Failure> {
        let slot = self.slots[ending.slot.0 as usize].as_ref().expect("it was ending");
        let captured = slot.host.capture().ok_or(StateError::Nothing);
        let states = captured.and_then(|captured| {
            captured.expect_divisible()?;
            let constant =
                |(field, hash): (&str, u64)| ConstantEntry { field: field.to_owned(), hash };
            let constants = captured.constants().map(constant).collect();
            Ok((captured.split(&ending.parts)?, constants))
        });
        let (states, constants) = match states {
            Ok(states) => states,
            Err(error) => {
                let why = format!("{}: {error}", ending.path);
                self.go_on(ending);
                return Err(why.into());
            }
        };
        // What is retired is no part of what others go on from.
        self.forget_retired();
        let Ending { slot: index, physical, path, parts, until, mut due } = ending;
        let slot = self.slots[index.0 as usize].take().expect("it was ending");
        due.extend(self.plane.timers.take_all(index));
        let origins = self.origins_known();
        let kept = parts.iter().zip(states).map(|(range, state)| {
            let bequest = self.bequest(&slot, *range, &state, &due, &origins);
            Kept { range: *range, bytes: encode_to_vec::<Bequest>(&bequest) }
        });
        let kept = kept.collect();
        if let Some(port) = self.port.and_then(|port| self.slots[port.0 as usize].as_mut()) {
            port.host.keep(path.clone(), kept);
        }
        if planted::is(Bug::LifeGoesOn) || planted::is(Bug::LateGoesOn) && self.is_asking(index) {
            self.slots[index.0 as usize] = Some(slot);
            self.go_on(Ending { slot: index, physical, path: path.clone(), parts, until, due });
        } else {
            self.depart(index, &slot, true);
        }
        self.tell_port(&ToPort::Ended { path, constants });
        Ok(())
    }

    fn bequest(
        &self,
        slot: &Slot,
        range: PointRange,
        state: &Captured,
        timers: &[(Stamp, Alarm)],
        origins: &[OriginEntry],
    ) -> Bequest {
        let timer = |(due, alarm): &(Stamp, Alarm)| {
            let record = Record::of(&alarm.record);
            let is_here = record.point().is_none_or(|point| range.contains(point));
            let schema = self.plane.templates.kinds().schema(record.kind)?;
            is_here.then(|| TimerEntry {
                due: due.0,
                number: alarm.timer.0,
                schema: schema.0,
                point: record.point().map(|point| point.0),
                body: record.body().to_vec(),
            })
        };
        Bequest {
            state: state.to_bytes(),
            done: DoneEntry::all_of(&slot.done),
            timers: timers.iter().filter_map(timer).collect(),
            stamp: slot.last_stamp.0,
            origins: origins.to_vec(),
        }
    }

    /// Where the agents are that this reactor has heard from, or runs.
    fn origins_known(&self) -> Vec<OriginEntry> {
        let me = self.plane.me;
        let address = |at: ReactorAddress| self.plane.routes.address(at);
        let entry = |space: Space, at: ReactorAddress, address: Option<std::net::SocketAddr>| {
            let address = address.map(|it| it.to_string()).unwrap_or_default();
            let ReactorAddress { agent_box: BoxId(agent_box), reactor } = at;
            OriginEntry { space: space.0, agent_box, reactor, address }
        };
        let own = self.plane.spaces.keys().map(|space| entry(*space, me, address(me)));
        let others = self.plane.origins.iter().filter_map(|(space, via)| match *via {
            Via::Ring(reactor) => {
                let at = ReactorAddress { reactor, ..me };
                Some(entry(*space, at, address(at)))
            }
            Via::Link(link) => {
                let links = &self.plane.links;
                Some(entry(*space, links.peer(link), Some(links.peer_address(link))))
            }
            Via::Local(_) | Via::Nowhere => None,
        });
        let mut all: Vec<OriginEntry> = own.chain(others).collect();
        all.sort_unstable_by_key(|entry| entry.space);
        all
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use daedal_model::agent::{Agent, Archived};
    use daedal_model::context::Context;
    use daedal_model::message::Wire;
    use daedal_model::{message, state};
    use daedal_net::wire::message::MessageHeader;

    use super::*;
    use crate::alone::NoNetwork;
    use crate::deliver::Trust;
    use crate::hosting::Placed;
    use crate::record::Draft;
    use crate::template::Templates;

    /// What a ledger is told.
    #[message(crate = daedal_model)]
    #[derive(Debug)]
    pub enum Entry {
        /// Anything.
        Any,
    }

    /// There is one, and it stays one. It wants one entry.
    #[state(crate = daedal_model)]
    #[derive(Default)]
    struct Ledger {
        #[combine(forbid)]
        entries: u64,
    }

    impl Agent for Ledger {
        type Message = Entry;
        type Reply = Entry;

        fn transition(&mut self, _: &Archived<Entry>, _: &mut Context<'_, Self>) {
            self.entries += 1;
        }

        fn wants(&self, _: &Archived<Entry>) -> bool {
            self.entries == 0
        }
    }

    /// A ledger that wants nothing more, and where it is.
    fn ledger() -> (Turn<NoNetwork>, AgentPath) {
        let mut templates = Templates::new();
        templates.talks_to::<Ledger>();
        let mut turn = Turn::alone(Arc::new(templates));
        turn.host_port("here", Space(7));
        let path = AgentPath::parse("ledger").expect("a path");
        let ledger = crate::deliver::hosted(Ledger { entries: 41 });
        turn.host(Placed::alone(path.clone(), Space(8)), ledger);
        (turn, path)
    }

    /// An entry with this header.
    fn entry(turn: &Turn<NoNetwork>, header: MessageHeader) -> Vec<u8> {
        let kind = turn.plane.templates.kinds().kind(Entry::SCHEMA).expect("it takes them");
        let header = MessageHeader { kind: kind.0.into(), ..header };
        Draft { header, ..Draft::default() }.with(&encode_to_vec(&Entry::Any))
    }

    fn wedge(turn: &mut Turn<NoNetwork>, path: &AgentPath, parts: usize) {
        turn.obey_wedge(path.to_string(), PointRange::ALL.split(parts));
        for now in 1..5 {
            turn.take(Stamp(now), true);
        }
    }

    /// Whoever has its points next is to take it, under the same name.
    #[test]
    fn what_goes_back_from_a_life_that_ends_is_not_done() {
        let (mut turn, path) = ledger();
        let peer = ReactorAddress { agent_box: BoxId(2), reactor: 0 };
        let link = turn.plane.links.to(peer, ([10, 0, 0, 2], 7000).into(), Stamp(0));
        let header = MessageHeader {
            destination: path.physical_id().0.into(),
            source: 5.into(),
            space: 9.into(),
            number: 3.into(),
            floor: 3.into(),
            ..MessageHeader::default()
        };
        let bytes = entry(&turn, header);
        for _ in 0..2 {
            let fate = turn.arrive(&Record::of(&bytes), Trust::Nobody, link);
            assert_eq!(fate, Fate::Parked);
            wedge(&mut turn, &path, 2);
        }
    }

    /// It has no sender that would hold it.
    #[test]
    fn a_timer_that_has_gone_off_and_is_not_wanted_yet_is_kept() {
        let (mut turn, path) = ledger();
        let index = turn.plane.hosted[&path.physical_id()];
        let header = MessageHeader { number: 5.into(), ..Default::default() };
        let record = entry(&turn, header);
        turn.plane.timers.set(Stamp(1), Alarm { slot: index, timer: Timer(5), record });
        turn.take(Stamp(1), true);
        turn.begin_to_end(path.as_str(), PointRange::ALL.split(2)).expect("it runs here");
        let due = turn.ending[0].due.iter().map(|(_, alarm)| alarm.timer);
        assert_eq!(due.collect::<Vec<_>>(), [Timer(5)]);
    }

    /// Those who write to it in order count on.
    #[test]
    fn a_life_that_goes_on_knows_whose_turn_it_is() {
        let (mut turn, path) = ledger();
        let index = turn.plane.hosted[&path.physical_id()];
        let header = MessageHeader {
            destination: path.physical_id().0.into(),
            source: 5.into(),
            space: 9.into(),
            ..Default::default()
        };
        let record = entry(&turn, header);
        let slot = turn.slots[index.0 as usize].as_mut().expect("it is hosted");
        slot.egress.pass((AgentId(5), Space(9)), 1);
        wedge(&mut turn, &path, 2);
        let record = Record::of(&record).placed(Some(2));
        turn.arrive(&Record::of(&record), Trust::Ours, Via::Ring(1));
        let slot = turn.slots[index.0 as usize].as_ref().expect("it goes on");
        assert!(slot.egress.is_stalled(), "it has its turn, and is not wanted");
    }

    #[test]
    fn a_life_whose_state_does_not_split_goes_on() {
        let (mut turn, path) = ledger();
        for parts in [2, 1] {
            wedge(&mut turn, &path, parts);
            let runs = turn.plane.hosted.contains_key(&path.physical_id());
            assert_eq!((runs, turn.capture(&path).is_ok()), (true, true));
        }
    }
}
