//! Messages that bring a number are handled in the order of the numbers, and those that wait cost nothing
//! (Ovid figure 6).

use std::cell::Cell;
use std::sync::Arc;

use daedal_boxes::alone::NoNetwork;
use daedal_boxes::template::{Parameters, Templates};
use daedal_boxes::turn::Turn;
use daedal_model::agent::{Agent, Archived};
use daedal_model::context::Context;
use daedal_model::id::Stamp;
use daedal_model::state::State;
use daedal_model::{message, state};

/// As many as one sender may have outstanding.
const DECISIONS: u64 = 16_000;
const TURN_NS: u64 = 100_000;

thread_local! {
    /// How often the learner was asked which number a message brings.
    static LOOKS: Cell<u64> = const { Cell::new(0) };
}

#[message(crate = daedal_model)]
#[derive(Debug)]
struct Decision {
    slot: u64,
}

/// Learns decisions in the order of their slots.
#[state(crate = daedal_model)]
#[derive(Default)]
struct Learner {
    #[combine(forbid)]
    learned: u64,
    #[combine(forbid)]
    again: u64,
}

impl Agent for Learner {
    type Message = Decision;
    type Reply = ();

    fn number(decision: &Archived<Decision>) -> Option<u64> {
        LOOKS.set(LOOKS.get() + 1);
        Some(decision.slot.to_native())
    }

    fn want(&self) -> u64 {
        self.learned
    }

    fn transition(&mut self, decision: &Archived<Decision>, _: &mut Context<'_, Self>) {
        match decision.slot.to_native() == self.learned {
            true => self.learned += 1,
            false => self.again += 1,
        }
    }
}

/// Sends all decisions, the last one first, and the first of all once more.
#[state(crate = daedal_model)]
#[derive(Default)]
struct Numberer {}

impl Agent for Numberer {
    type Message = ();
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        for slot in (0..DECISIONS).rev().chain([0]) {
            context.send("learner", &Decision { slot });
        }
    }

    fn transition(&mut self, _: &Archived<()>, _: &mut Context<'_, Self>) {}
}

/// A learner that keeps at most so many decisions is sent all of them, the last one first, and learns them.
fn learns_all(bound: usize) -> Turn<NoNetwork> {
    let mut templates = Templates::new();
    templates.agent("Learner", |_| Ok(Learner::default()));
    templates.agent("Numberer", |_| Ok(Numberer::default()));
    let mut turn = Turn::alone(Arc::new(templates));
    turn.bound_inboxes(bound);
    for (name, kind) in [("learner", "Learner"), ("numberer", "Numberer")] {
        turn.run(name, kind, &Parameters::new()).expect("a kind");
    }
    turn.settle_routes();
    let mut now = Stamp(0);
    while turn.take(now, false) || turn.next_due().is_some() {
        now = Stamp(now.0 + TURN_NS);
    }
    let path = daedal_model::path::AgentPath::parse("learner").expect("a path");
    let state = turn.capture(&path).expect("it runs here").expect("it is no shim");
    let learner = Learner::restore(state).expect("a learner");
    assert_eq!((learner.learned, learner.again), (DECISIONS, 1));
    turn
}

#[test]
fn the_message_whose_turn_it_is_is_found_however_many_wait() {
    learns_all(usize::MAX);
    // Each was looked at when it came, when it was parked, and when its turn came; none in between.
    assert!(LOOKS.get() <= 3 * (DECISIONS + 1), "{}", LOOKS.get());
}

#[test]
fn nor_is_it_missed_where_few_may_wait() {
    let turn = learns_all(1000);
    assert!(turn.counts().handed_back > DECISIONS, "{:?}", turn.counts());
}
