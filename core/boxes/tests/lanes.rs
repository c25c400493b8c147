//! A shard that is away keeps waiting what is for it, and nothing else, however long it is away.

use std::time::Duration;

use daedal_boxes::template::Templates;
use daedal_boxes::turn::Turn;
use daedal_boxes::{Placed, hosted};
use daedal_model::agent::{Agent, Answer, Archived};
use daedal_model::context::Context;
use daedal_model::id::{AgentId, Point, Space, Stamp};
use daedal_model::point::PointRange;
use daedal_model::route::PickBy;
use daedal_model::{message, state};
use daedal_net::driver::sim::{SimDriver, SimNetwork};

mod network;

use network::{at, learn, path};

/// More than a sender may have outstanding to one destination (Escher §2.1: the done box is bounded).
const ASKS: u64 = 40_000;
const STORE: AgentId = AgentId::of("store");
/// Points up to this one are the first shard's.
const HALF: u64 = u64::MAX / 2;

#[message(crate = daedal_model)]
#[derive(Debug)]
struct Put {
    #[point(prefix)]
    at: u64,
}

#[state(crate = daedal_model)]
#[derive(Default)]
struct Shard {
    #[combine(sum)]
    count: u64,
}

impl Agent for Shard {
    type Message = Put;
    type Reply = u64;

    fn transition(&mut self, _: &Archived<Put>, context: &mut Context<'_, Self>) {
        self.count += 1;
        context.reply(&self.count);
    }
}

/// Asks the second shard, which is away, once in a while, and the first all the time.
#[state(crate = daedal_model)]
struct Asker {
    #[combine(sum)]
    answers: u64,
    #[combine(forbid)]
    in_order: bool,
}

impl Asker {
    fn ask(&self, at: u64, context: &mut Context<'_, Self>) {
        match self.in_order {
            true => context.ask_in_order(STORE, &Put { at }),
            false => context.ask(STORE, &Put { at }),
        };
    }
}

impl Agent for Asker {
    type Message = Put;
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        context.after(Duration::from_micros(50), &Put { at: 0 });
    }

    fn transition(&mut self, _: &Archived<Put>, context: &mut Context<'_, Self>) {
        for at in [HALF + 1, 7, HALF + 2, 8] {
            self.ask(at, context);
        }
    }

    fn answered(&mut self, answer: &Answer<'_>, context: &mut Context<'_, Self>) {
        answer.open::<u64>().expect("the first shard answers");
        self.answers += 1;
        if self.answers < ASKS {
            self.ask(self.answers % HALF, context);
        }
    }
}

fn turn(agent_box: u16, network: &SimNetwork) -> Turn<SimDriver> {
    let mut templates = Templates::new();
    templates.talks_to::<Shard>().talks_to::<Asker>();
    let places = [("store/shard1", at(2, 0)), ("store/shard2", at(3, 0))];
    let mut turn = network::turn(at(agent_box, 0), network, templates, &places);
    let halves = [("store/shard1", Point(HALF)), ("store/shard2", Point::MAX)];
    learn(&mut turn, ("store", 1), PickBy::Point, halves);
    turn
}

fn goes_on(in_order: bool) {
    let network = SimNetwork::perfect(10_000);
    let mut turns = [turn(1, &network), turn(2, &network)];
    let range = PointRange { first: Point(0), last: Point(HALF) };
    let (shard, source) = (path("store/shard1"), path("store"));
    turns[1].host(Placed { path: shard, source, space: Space(2), range }, hosted(Shard::default()));
    let asker = Asker { answers: 0, in_order };
    turns[0].host(Placed::alone(path("asker"), Space(1)), hosted(asker));
    for step in 1..20 * ASKS {
        for turn in &mut turns {
            turn.take(Stamp(step * 5_000), true);
        }
    }
    let asker = turns[0].capture(&path("asker")).expect("it runs here").expect("it is no shim");
    assert!(asker.to_string().contains(&format!("answers: {} (sum)", ASKS + 1)), "{asker}");
}

#[test]
fn a_shard_that_is_away_does_not_use_up_what_the_others_may_have_outstanding() {
    goes_on(false);
}

#[test]
fn nor_does_it_where_order_is_kept() {
    goes_on(true);
}
