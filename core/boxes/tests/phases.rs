//! A phase of a turn ends, whatever the agents do in it: what they add is for the next turn.

use std::sync::Arc;
use std::time::Duration;

use daedal_boxes::alone::NoNetwork;
use daedal_boxes::hosted;
use daedal_boxes::template::{Parameters, Templates};
use daedal_boxes::turn::Turn;
use daedal_model::agent::{Agent, Answer, Archived, Outcome, Refusal};
use daedal_model::context::Context;
use daedal_model::id::{AgentId, Stamp};
use daedal_model::path::AgentPath;
use daedal_model::state;

/// So that a turn that did not end would.
const TIMES_MAX: u64 = 100;

/// Does the same thing over and over, at once.
#[state(crate = daedal_model)]
struct Eager {
    #[combine(sum)]
    times: u64,
    /// Whom it asks; nobody, if it wakes itself.
    #[combine(forbid)]
    asks: u64,
}

impl Agent for Eager {
    type Message = ();
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        if self.times == TIMES_MAX {
            return;
        }
        match self.asks {
            0 => drop(context.after(Duration::ZERO, &())),
            id => drop(context.ask(AgentId(id), &())),
        }
    }

    fn transition(&mut self, _: &Archived<()>, context: &mut Context<'_, Self>) {
        self.times += 1;
        self.start(context);
    }

    fn answered(&mut self, answer: &Answer<'_>, context: &mut Context<'_, Self>) {
        assert!(matches!(answer.outcome, Outcome::Refused(Refusal::NotASibling)));
        self.times += 1;
        self.start(context);
    }
}

fn times_of_turns(turn: &mut Turn<NoNetwork>, asks: u64) -> Vec<String> {
    turn.run_host("eager", hosted(Eager { times: 0, asks })).expect("a path");
    let path = AgentPath::parse("eager").expect("a path");
    let mut times = || {
        assert!(turn.take(Stamp(1), false));
        let shown = turn.capture(&path).expect("it runs here").expect("it is no shim").to_string();
        shown.lines().find(|line| line.contains("times")).expect("it has them").trim().to_owned()
    };
    vec![times(), times()]
}

#[test]
fn an_agent_that_wakes_itself_at_once_wakes_once_a_turn() {
    let mut turn = Turn::alone(Arc::new(Templates::new().talks_to::<Eager>().clone()));
    assert_eq!(times_of_turns(&mut turn, 0), ["times: 1 (sum)", "times: 2 (sum)"]);
}

#[test]
fn an_agent_that_asks_again_whenever_it_is_refused_is_told_once_a_turn() {
    let mut templates = Templates::new();
    templates.agent("Eager", |_| Ok(Eager { times: TIMES_MAX, asks: 0 }));
    let mut turn = Turn::alone(Arc::new(templates));
    turn.run_sharded("a", 1, "Eager", &Parameters::new()).expect("a kind");
    let hidden = AgentId::of("a/shard1");
    assert_eq!(times_of_turns(&mut turn, hidden.0), ["times: 1 (sum)", "times: 2 (sum)"]);
}
