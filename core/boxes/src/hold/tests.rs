use std::sync::Arc;

use daedal_model::agent::{Agent, Archived};
use daedal_model::context::Context;
use daedal_model::encode::encode_to_vec;
use daedal_model::id::Space;
use daedal_model::message::Wire;
use daedal_model::{message, state};

use super::*;
use crate::alone::NoNetwork;
use crate::deliver::hosted;
use crate::hosting::Placed;
use crate::template::Templates;

/// What a ledger is told.
#[message(crate = daedal_model)]
#[derive(Debug)]
pub enum Entry {
    /// Anything.
    Any,
    /// To ask somebody who does not answer.
    Ask,
}

#[state(crate = daedal_model)]
#[derive(Default)]
struct Ledger {
    #[combine(sum)]
    entries: u64,
}

impl Agent for Ledger {
    type Message = Entry;
    type Reply = Entry;

    fn transition(&mut self, message: &Archived<Entry>, context: &mut Context<'_, Self>) {
        self.entries += 1;
        if let ArchivedEntry::Ask = message {
            context.ask("nobody", &Entry::Any);
        }
    }
}

/// A ledger that has made one entry.
fn ledger() -> (Turn<NoNetwork>, AgentPath) {
    let mut templates = Templates::new();
    templates.talks_to::<Ledger>();
    let mut turn = Turn::alone(Arc::new(templates));
    turn.host_port("here", Space(7));
    let path = AgentPath::parse("ledger").expect("a path");
    turn.host(Placed::alone(path.clone(), Space(8)), hosted(Ledger::default()));
    let me = turn.plane.me;
    turn.fix_route(path.clone(), me);
    tell(&mut turn, &Entry::Any);
    (turn, path)
}

/// Tells the ledger something, and takes some turns.
fn tell(turn: &mut Turn<NoNetwork>, entry: &Entry) {
    let port = turn.port.expect("it is hosted");
    let body = encode_to_vec::<Entry>(entry);
    turn.plane.post(port, AgentId::of("ledger"), Entry::SCHEMA, &body);
    turns(turn);
}

fn turns(turn: &mut Turn<NoNetwork>) {
    for _ in 0..5 {
        turn.take(turn.plane.now, true);
    }
}

#[track_caller]
fn assert_entries(turn: &Turn<NoNetwork>, path: &AgentPath, count: u64) {
    let state = turn.capture(path).expect("it runs here").expect("it has a state").to_string();
    assert!(state.contains(&format!("entries: {count} ")), "{state}");
}

#[test]
fn an_agent_that_is_held_takes_nothing_until_who_holds_it_lets_it_go_on() {
    let (mut turn, path) = ledger();
    turn.obey_hold("ledger".to_owned(), 3);
    turns(&mut turn);
    assert!(turn.holds(&path, 3) && !turn.holds(&path, 4));
    tell(&mut turn, &Entry::Any);
    turn.obey_hold("ledger".to_owned(), 4);
    turn.obey_release("ledger", 4);
    turns(&mut turn);
    assert_entries(&turn, &path, 1);
    assert!(turn.holds(&path, 3), "nobody else lets it go on, or holds it too");
    turn.obey_release("ledger", 3);
    turns(&mut turn);
    assert_entries(&turn, &path, 2);
    assert!(!turn.holds(&path, 3));
}

#[test]
fn an_agent_that_is_held_for_long_goes_on_by_itself() {
    let (mut turn, path) = ledger();
    turn.obey_hold("ledger".to_owned(), 3);
    turns(&mut turn);
    tell(&mut turn, &Entry::Any);
    let until = turn.next_due().expect("it is not held for ever");
    turn.take(Stamp(until.0 - 1), true);
    assert_entries(&turn, &path, 1);
    turn.take(until, true);
    turns(&mut turn);
    assert_entries(&turn, &path, 2);
    assert!(!turn.holds(&path, 3), "what it does now is in no cut");
}

/// An answer would change it.
#[test]
fn an_agent_that_waits_for_an_answer_is_not_still() {
    let (mut turn, path) = ledger();
    tell(&mut turn, &Entry::Ask);
    turn.obey_hold("ledger".to_owned(), 3);
    turns(&mut turn);
    assert!(!turn.holds(&path, 3) && turn.holds.len() == 1);
    turn.take(turn.holds[0].until(), true);
    tell(&mut turn, &Entry::Any);
    assert_entries(&turn, &path, 3);
}

/// It is held in one life, not in the next.
#[test]
fn an_agent_that_is_to_end_for_others_is_held_no_longer() {
    let (mut turn, path) = ledger();
    turn.obey_hold("ledger".to_owned(), 3);
    turns(&mut turn);
    turn.obey_wedge(path.to_string(), daedal_model::point::PointRange::ALL.split(2));
    assert!(turn.holds.is_empty() && !turn.plane.is_pressed(SlotIndex(1)));
}
