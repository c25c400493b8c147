//! Live resharding (Ovid §5), checked exhaustively: the controller, two boxes, and a client that writes to two
//! points; one process may crash, one may be cut off for a while, one message may come twice, and one shard may
//! wait for an answer too long.
//!
//! What is stepped is production code where it is a state machine: controller, box managers and ports with all
//! their messages, and of the plane `Routes`, `DoneBox`, `Bequest`, `Record`, and how captured states split and
//! join. Restated, in `parts.rs` and `client.rs`, each beside the name of what it restates, is the rest of the
//! turn: that a life that ends takes nothing, what comes back to whom, what is sent again after a break. Of links
//! that is assumed which the tests of `net` show: as long as both processes live, a packet comes once, at any
//! time, in any order; when one ends, some of what it sent still comes and the rest is lost, its peers hear
//! nothing of the next one before they have noticed, and what it had not said to be done is sent again.
//! So to lose a packet is to delay it, and a process that is cut off is late with all of them.
//!
//! Two kinds of models, for all at once is too much: one of the control plane alone, in all orders; and one with
//! the client's messages (`hasty`), which knows of the control plane what shows: there lives begin and end, routes
//! are asked for and told at any time, and boxes crash, but what else boxes and controller tell each other comes
//! at once, and the controller stays.
//! Left out: order, several reactors of a box, timers of agents, broadcasts, what shards ask (that they wait for
//! answers is that they end late, or not for now). A timer goes off when nothing else can happen.
//!
//! Numbers of messages only grow, so no path comes to a state twice. That all states were seen says, then, that
//! every path ends; and what holds at every end is reached from everywhere.

mod arena;
mod cell;
mod client;
mod parts;
mod world;

use stateright::{Checker, Expectation, Model, Property};

use crate::planted::Bug;
use cell::{End, Note};
use world::{Action, Crash, Faults, World, Wrong};

/// From so many shards to so many, where so many are stated, with these faults.
#[derive(Clone, Copy, Debug)]
struct Reshard {
    stated: u32,
    from: u32,
    into: u32,
    faults: Faults,
    /// What is put in, to see that it is found.
    #[cfg_attr(not(feature = "planted"), expect(dead_code, reason = "nothing can be put in"))]
    bug: Option<Bug>,
}

impl Model for Reshard {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self.stated, self.from, self.into, self.faults)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.wrong.is_none() {
            world.must(actions);
            world.may(actions);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        next.act(action);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Reshard>> {
        // The checker's thread begins here, with an arena of its own.
        if arena::is_empty() {
            #[cfg(feature = "planted")]
            crate::planted::plant(self.bug);
            self.init_states();
        }
        vec![
            Property::always(ONE_OWNER, |_, it: &World| it.wrong != Some(Wrong::TwoOwners)),
            Property::always(TAKEN, |_, it: &World| it.wrong != Some(Wrong::BegunAgain)),
            Property::always(ONCE, |_, it: &World| it.wrong != Some(Wrong::Twice)),
            Property::always(NEW, |_, it: &World| it.wrong != Some(Wrong::UsedAgain)),
            Property::always(WHOLE, |_, it: &World| it.wrong != Some(Wrong::Torn)),
            Property::always(FINISHED, |model, it: &World| {
                !it.is_at_rest() || it.is_finished(model.into)
            }),
            Property::always(KEPT, |_, it: &World| !it.is_at_rest() || it.has_all_writes()),
            Property::sometimes(REROUTED, |_, it: &World| it.has(Note::Rerouted)),
            Property::sometimes(SEEN, |_, it: &World| it.has(Note::SeenByHeir)),
            Property::sometimes(FETCHED_AGAIN, |_, it: &World| it.has(Note::FetchedAgain)),
            Property::sometimes(BETWEEN, |_, it: &World| it.crashed == Some(Crash::Bequest)),
            Property::sometimes(NEXT_CONTROLLER, |_, it: &World| {
                it.lives[End::Home as usize] > 0 && it.is_changing()
            }),
            Property::sometimes(CUT_OFF, |_, it: &World| it.cut.is_some() && it.is_changing()),
            Property::sometimes(PUT_OFF, |model, it: &World| {
                model.faults.refusal && !it.left.refusal
            }),
            Property::sometimes(ALL_DONE, |_, it: &World| {
                it.processed == [1, 1] && it.is_at_rest()
            }),
        ]
    }
}

const ONE_OWNER: &str = "a point has one owner";
const TAKEN: &str = "nobody begins from what another has begun from";
const ONCE: &str = "a message is processed once in lives that continue each other";
const NEW: &str = "spaces, epochs and paths of lives are new";
const WHOLE: &str = "the parts of earlier lives make one";
const FINISHED: &str = "at rest the change is finished, and every message done";
const KEPT: &str = "at rest every write is where its point is, unless a crash took it";

const REROUTED: &str = "what came back goes out by a newer route";
const SEEN: &str = "a life drops what an earlier one had processed";
const FETCHED_AGAIN: &str = "what was asked of a process that ended is fetched again";
const BETWEEN: &str = "a box ends between the end of a life and the beginning of the next";
const NEXT_CONTROLLER: &str = "the next controller goes on with a change";
const CUT_OFF: &str = "a process is cut off during a change";
const PUT_OFF: &str = "a life that was to end goes on for now";
const ALL_DONE: &str = "all messages are processed, once";

/// So many are stated, there are so many, and there are to be so many.
fn reshard((stated, from, into): (u32, u32, u32), faults: Faults) -> Reshard {
    Reshard { stated, from, into, faults, bug: None }
}

/// Sees all states: so many, in which these happen.
fn check(model: Reshard, states: usize, happen: &[&str]) {
    let checker = model.checker().spawn_dfs().join();
    let properties = checker.model().properties();
    let always = properties.iter().filter(|it| it.expectation != Expectation::Sometimes);
    always.for_each(|it| checker.assert_no_discovery(it.name));
    let found = checker.discoveries();
    let sometimes = properties.iter().filter(|it| it.expectation == Expectation::Sometimes);
    let found: Vec<&str> =
        sometimes.map(|it| it.name).filter(|it| found.contains_key(it)).collect();
    assert_eq!(found, happen);
    assert_eq!(checker.unique_state_count(), states);
}

const NO_FAULTS: Faults = Faults {
    crash: false,
    cut: false,
    again: false,
    refusal: false,
    hasty: false,
    early: 0,
    mails: 0,
};

#[test]
fn two_shards_become_one_whatever_ends_or_is_cut_off() {
    let faults = Faults { crash: true, cut: true, refusal: true, ..NO_FAULTS };
    let happen = [FETCHED_AGAIN, BETWEEN, NEXT_CONTROLLER, CUT_OFF, PUT_OFF];
    check(reshard((2, 2, 1), faults), 138_882, &happen);
}

#[test]
fn one_shard_becomes_two_whatever_ends() {
    let faults = Faults { crash: true, refusal: true, ..NO_FAULTS };
    let happen = [FETCHED_AGAIN, BETWEEN, NEXT_CONTROLLER, PUT_OFF];
    check(reshard((1, 1, 2), faults), 12_878, &happen);
}

/// A controller that begins knows the statement alone.
#[test]
fn shards_become_as_many_as_are_stated_again_whatever_ends() {
    let faults = Faults { crash: true, ..NO_FAULTS };
    let happen = [FETCHED_AGAIN, BETWEEN, NEXT_CONTROLLER];
    check(reshard((1, 2, 1), faults), 4_350, &happen);
}

/// Half a million states: the largest that is seen in less than a minute.
#[test]
fn two_shards_become_three_whatever_ends() {
    let faults = Faults { crash: true, ..NO_FAULTS };
    let happen = [FETCHED_AGAIN, BETWEEN, NEXT_CONTROLLER];
    check(reshard((2, 2, 3), faults), 502_555, &happen);
}

#[test]
fn two_shards_become_three_though_one_is_cut_off_or_put_off() {
    let faults = Faults { cut: true, refusal: true, ..NO_FAULTS };
    check(reshard((2, 2, 3), faults), 22_656, &[CUT_OFF, PUT_OFF]);
}

#[test]
fn what_is_written_to_two_shards_that_become_one_is_done_once_whatever_ends_or_is_cut_off() {
    let faults = Faults { crash: true, cut: true, hasty: true, early: 1, mails: 2, ..NO_FAULTS };
    let happen = [REROUTED, SEEN, BETWEEN, CUT_OFF, ALL_DONE];
    check(reshard((2, 2, 1), faults), 71_507, &happen);
}

#[test]
fn what_is_written_to_a_shard_that_becomes_two_is_done_once_whatever_ends() {
    let faults = Faults { crash: true, hasty: true, early: 2, mails: 2, ..NO_FAULTS };
    let happen = [REROUTED, SEEN, BETWEEN, ALL_DONE];
    check(reshard((1, 1, 2), faults), 54_729, &happen);
}

#[test]
fn what_is_written_to_two_shards_that_become_three_is_done_once() {
    let faults = Faults { again: true, hasty: true, mails: 2, ..NO_FAULTS };
    let happen = [REROUTED, SEEN, ALL_DONE];
    check(reshard((2, 2, 3), faults), 75_670, &happen);
}

/// The simulator meets this too seldom: a box has to die after others went on from its life, and before somebody heard
/// what that had done.
#[cfg(feature = "planted")]
#[test]
fn a_done_box_that_is_left_behind_is_found() {
    let faults = Faults { crash: true, hasty: true, early: 2, mails: 2, ..NO_FAULTS };
    let model = Reshard { bug: Some(Bug::DoneBoxLeft), ..reshard((1, 1, 2), faults) };
    let found = model.checker().spawn_dfs().join().discoveries();
    assert!(found.contains_key(ONCE), "{:?}", found.keys());
}
