//! States of processes and packets by what they are, so that a state of the world is a few numbers, and each
//! step of a process is computed once. Of the same state and input it is always the same: the code is pure.

use std::cell::RefCell;
use std::fmt::Debug;
use std::rc::Rc;

use daedal_model::id::AgentId;
use hashbrown::HashMap;

use super::cell::{End, Load, Note, Packet, To};
use super::parts::{Fact, Input, Part};

/// What a thing is, in a number: of what it says of itself.
pub(super) type Print = u64;

/// A packet under way: what of it must be known often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Flight {
    pub print: Print,
    pub from: End,
    /// Which process of that end, from 0.
    pub life: u8,
    pub to: End,
}

/// What a process did.
#[derive(Debug)]
pub(super) struct Step {
    pub part: Print,
    pub sent: Vec<Flight>,
    pub facts: Vec<Fact>,
}

type Map<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

#[derive(Default)]
struct Arena {
    parts: Map<Print, Rc<Part>>,
    packets: Map<Print, Rc<Packet>>,
    steps: Map<(Print, Print), Rc<Step>>,
}

thread_local! {
    static ARENA: RefCell<Arena> = RefCell::default();
}

pub(super) fn print(it: &impl Debug) -> Print {
    AgentId::from(format!("{it:?}").as_str()).0
}

/// Number of the process that is the `life`th of an end.
pub(super) fn process(end: End, life: u8) -> u64 {
    1 + end as u64 + 4 * u64::from(life)
}

pub(super) fn keep(part: Part) -> Print {
    let key = print(&part);
    ARENA.with_borrow_mut(|arena| arena.parts.insert(key, Rc::new(part)));
    key
}

/// Whether this thread knows nothing yet.
pub(super) fn is_empty() -> bool {
    ARENA.with_borrow(|arena| arena.parts.is_empty())
}

pub(super) fn part(print: Print) -> Rc<Part> {
    ARENA.with_borrow(|arena| Rc::clone(&arena.parts[&print]))
}

pub(super) fn packet(print: Print) -> Rc<Packet> {
    ARENA.with_borrow(|arena| Rc::clone(&arena.packets[&print]))
}

/// What a process does with a packet.
pub(super) fn deliver(before: Print, packet: Print) -> Rc<Step> {
    let input = || Input::Packet(self::packet(packet));
    step_by(before, packet, input)
}

/// What a process does with what happens to it.
pub(super) fn step(before: Print, input: Input) -> Rc<Step> {
    step_by(before, print(&input), || input)
}

fn step_by(before: Print, key: Print, input: impl FnOnce() -> Input) -> Rc<Step> {
    if let Some(known) = ARENA.with_borrow(|arena| arena.steps.get(&(before, key)).cloned()) {
        return known;
    }
    let mut part = Part::clone(&part(before));
    let (sent, facts) = part.step(&input());
    let flight = |packet: Packet| {
        let key = print(&packet);
        let (from, to) = (packet.from, packet.to);
        let life = ((packet.process - process(from, 0)) / 4) as u8;
        ARENA.with_borrow_mut(|arena| arena.packets.insert(key, Rc::new(packet)));
        Flight { print: key, from, life, to }
    };
    let sent = sent.into_iter().map(flight).collect();
    let step = Rc::new(Step { part: keep(part), sent, facts });
    ARENA.with_borrow_mut(|arena| arena.steps.insert((before, key), Rc::clone(&step)));
    step
}

/// A packet, for people.
pub(super) fn describe(flight: &Flight) -> String {
    let packet = packet(flight.print);
    let what = match &packet.load {
        Load::Record(record) => {
            let read = crate::record::Record::of(record);
            format!("message {} to {}", read.number(), read.destination())
        }
        Load::Fate { number, fate, .. } => format!("message {number} is {fate:?}"),
        Load::Control { to, schema, body, name } => {
            let way = if matches!(to, To::Asker(_)) { "answer" } else { "ask" };
            format!("{way} {}: {}", name.number, read(*schema, body))
        }
    };
    let note = match packet.note {
        Note::Nothing => String::new(),
        note => format!(" ({note:?})"),
    };
    format!("{:?}.{} -> {:?}: {what}{note}", flight.from, flight.life, flight.to)
}

fn read(schema: daedal_model::message::Schema, body: &[u8]) -> String {
    use daedal_model::control::{
        FromController, FromManager, FromPort, ToController, ToManager, ToPort,
    };
    use daedal_model::message::Wire;
    fn text<M: Wire + Debug>(body: &[u8]) -> String {
        let text = format!("{:?}", M::access(body).map(M::owned).expect("it was encoded here"));
        text.chars().take(300).collect()
    }
    match schema {
        ToController::SCHEMA => text::<ToController>(body),
        FromController::SCHEMA => text::<FromController>(body),
        ToManager::SCHEMA => text::<ToManager>(body),
        FromManager::SCHEMA => text::<FromManager>(body),
        ToPort::SCHEMA => text::<ToPort>(body),
        FromPort::SCHEMA => text::<FromPort>(body),
        other => format!("{other:?}"),
    }
}
