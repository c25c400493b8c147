use std::sync::Arc;

use daedal_model::agent::{Agent, Archived};
use daedal_model::context::Context;
use daedal_model::encode::encode_to_vec;
use daedal_model::id::AgentId;
use daedal_model::path::AgentPath;
use daedal_model::state::State;
use daedal_model::{message, state};

use super::*;
use crate::alone::NoNetwork;
use crate::deliver::Trust;
use crate::record::{ASKS, Record};
use crate::template::Templates;
use crate::turn::Fate;
use crate::wedge::DoneEntry;

/// What a ledger is told.
#[message(crate = daedal_model)]
#[derive(Debug)]
pub enum Entry {
    /// Anything.
    Any,
}

#[state(crate = daedal_model)]
#[derive(Default)]
struct Ledger {
    #[combine(sum)]
    entries: u64,
    #[combine(constant)]
    limit: u64,
}

impl Agent for Ledger {
    type Message = Entry;
    type Reply = Entry;

    fn transition(&mut self, _: &Archived<Entry>, _: &mut Context<'_, Self>) {
        self.entries += 1;
    }
}

const PATH: &str = "ledger:2";
/// The space of the reactor's port.
const NEXT_DOOR: Space = Space(7);

fn hosting() -> Hosting {
    Hosting {
        path: PATH.to_owned(),
        template: "Ledger".to_owned(),
        parameters: String::new(),
        source: "ledger".to_owned(),
        space: 8,
        epoch: 1,
        reactor: Some(0),
        first: 0,
        last: u64::MAX,
        cut: Default::default(),
    }
}

fn reactor() -> Turn<NoNetwork> {
    let mut templates = Templates::new();
    templates.agent("Ledger", |_| Ok(Ledger::default()));
    let mut turn = Turn::alone(Arc::new(templates));
    turn.host_port("here", NEXT_DOOR);
    turn
}

/// What a life was that had processed the first message of the reactor's port.
fn bequest(turn: &Turn<NoNetwork>, limit: u64) -> Vec<u8> {
    let port = turn.port.and_then(|port| turn.slots[port.0 as usize].as_ref());
    let source = port.expect("it is hosted").source.0;
    let done = DoneEntry { source, space: NEXT_DOOR.0, lane: 0, floor: 1, words: Vec::new() };
    let state = Ledger { entries: 1, limit }.capture().to_bytes();
    encode_to_vec::<Bequest>(&Bequest { state, done: vec![done], ..Bequest::default() })
}

/// A ledger that goes on from such a life.
fn heir() -> Turn<NoNetwork> {
    let mut turn = reactor();
    let part = bequest(&turn, 0);
    turn.obey_make(&hosting(), &[part]);
    turn.obey_begin(PATH.to_owned());
    let me = turn.plane.me;
    turn.fix_route(AgentPath::parse(PATH).expect("a path"), me);
    turn
}

#[track_caller]
fn assert_entries(turn: &Turn<NoNetwork>, count: u64) {
    let path = AgentPath::parse(PATH).expect("a path");
    let state = turn.capture(&path).expect("it runs here").expect("it has a state").to_string();
    assert!(state.contains(&format!("entries: {count} ")), "{state}");
}

/// The message of this number, as the port would have sent it by a ring. `place`: in its line.
fn from_next_door(turn: &Turn<NoNetwork>, number: u64, place: Option<u64>) -> Vec<u8> {
    let port = turn.port.and_then(|port| turn.slots[port.0 as usize].as_ref());
    let header = MessageHeader {
        destination: AgentId::from(PATH).0.into(),
        source: port.expect("it is hosted").source.0.into(),
        space: NEXT_DOOR.0.into(),
        number: number.into(),
        kind: turn.plane.templates.kinds().kind(Entry::SCHEMA).expect("it takes them").0.into(),
        ..MessageHeader::default()
    };
    Draft { header, place, ..Draft::default() }.with(&encode_to_vec::<Entry>(&Entry::Any))
}

/// It had come to an earlier life by a link.
#[test]
fn what_an_earlier_life_has_done_is_not_done_again_when_it_comes_by_a_ring() {
    let mut turn = heir();
    for (number, entries) in [(0, 1), (1, 2)] {
        let bytes = from_next_door(&turn, number, None);
        let fate = turn.arrive(&Record::of(&bytes), Trust::Ours, Via::Ring(1));
        assert_eq!(fate, Fate::Done);
        assert_entries(&turn, entries);
    }
}

#[test]
fn what_an_earlier_life_has_done_is_not_done_again_when_it_comes_from_the_same_reactor() {
    let mut turn = heir();
    let port = turn.port.expect("it is hosted");
    for entries in [1, 2] {
        let body = encode_to_vec::<Entry>(&Entry::Any);
        turn.plane.post(port, AgentId::of("ledger"), Entry::SCHEMA, &body);
        for _ in 0..3 {
            turn.take(Stamp(0), true);
        }
        assert_entries(&turn, entries);
    }
}

/// Its answer may have died with the box of the life that gave it.
#[test]
fn an_ask_that_an_earlier_life_has_done_is_not_done_again_and_ends_as_unknown() {
    for via in [Via::Ring(1), Via::Link(0)] {
        let mut turn = heir();
        let peer = ReactorAddress { agent_box: BoxId(2), reactor: 0 };
        turn.plane.links.to(peer, ([10, 0, 0, 2], 7000).into(), Stamp(0));
        for (number, expect) in [(0, Fate::Unanswered), (1, Fate::Done)] {
            let mut bytes = from_next_door(&turn, number, None);
            let header = *Record::of(&bytes).header();
            MessageHeader { flags: header.flags | ASKS, ..header }.emit(&mut bytes);
            assert_eq!(turn.arrive(&Record::of(&bytes), Trust::Ours, via), expect, "{via:?}");
        }
        assert_entries(&turn, 2);
    }
}

/// Its place in the line to the new life is another than it had to the earlier one.
#[test]
fn those_behind_what_an_earlier_life_has_done_have_their_turn() {
    for via in [Via::Ring(1), Via::Link(0)] {
        let mut turn = heir();
        let peer = ReactorAddress { agent_box: BoxId(2), reactor: 0 };
        turn.plane.links.to(peer, ([10, 0, 0, 2], 7000).into(), Stamp(0));
        for (number, entries) in [(0, 1), (1, 2)] {
            let bytes = from_next_door(&turn, number, Some(number + 1));
            let fate = turn.arrive(&Record::of(&bytes), Trust::Ours, via);
            assert_eq!(fate, Fate::Done, "{via:?}");
            assert_entries(&turn, entries);
        }
    }
}

#[test]
fn what_does_not_join_is_refused_before_it_runs() {
    let mut turn = reactor();
    let parts = [bequest(&turn, 1), bequest(&turn, 2)];
    let why = turn.heir_of(&hosting(), &parts).err().expect("they differ").why;
    assert!(why.starts_with("ledger:2 cannot go on from what its points were: "), "{why}");
    turn.obey_make(&hosting(), &parts);
    assert!(turn.heirs.is_empty());
    turn.obey_begin(PATH.to_owned());
    assert!(turn.plane.hosted.len() == 1, "nothing but the port runs");
}
