//! A point has one owner, who is told by its own range and not by the way that a message came (protocol: points).

use std::cell::{Cell, RefCell};

use daedal_boxes::template::Templates;
use daedal_boxes::turn::Turn;
use daedal_boxes::{Placed, hosted};
use daedal_model::agent::{Agent, Answer, Archived, Outcome, Refusal};
use daedal_model::context::Context;
use daedal_model::id::{Point, Space, Stamp};
use daedal_model::point::PointRange;
use daedal_model::route::PickBy;
use daedal_model::{message, state};
use daedal_net::driver::sim::{SimDriver, SimNetwork};

mod network;

use network::{at, learn, path};

/// Points up to this one are the first shard's.
const HALF: u64 = u64::MAX / 2;
/// A point of the first shard.
const LOW: u64 = 7;

#[message(crate = daedal_model)]
#[derive(Debug)]
struct Put {
    #[point(prefix)]
    at: u64,
}

thread_local! {
    /// Which shard took what.
    static TOOK: RefCell<Vec<(u64, u64)>> = const { RefCell::new(Vec::new()) };
    /// What became of a request without a point.
    static REFUSED: Cell<Option<Refusal>> = const { Cell::new(None) };
}

#[state(crate = daedal_model)]
struct Shard {
    #[combine(forbid)]
    number: u64,
}

impl Agent for Shard {
    type Message = Put;
    type Reply = ();

    fn transition(&mut self, put: &Archived<Put>, context: &mut Context<'_, Self>) {
        TOOK.with_borrow_mut(|took| took.push((self.number, put.at.to_native())));
        context.reply(&());
    }
}

/// Asks once with a point, and once without.
#[state(crate = daedal_model)]
#[derive(Default)]
struct Asker {}

impl Agent for Asker {
    type Message = ();
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        context.ask("store", &Put { at: LOW });
        context.ask("store", &());
    }

    fn transition(&mut self, _: &Archived<()>, _: &mut Context<'_, Self>) {}

    fn answered(&mut self, answer: &Answer<'_>, _: &mut Context<'_, Self>) {
        if let Outcome::Refused(refusal) = answer.outcome {
            REFUSED.set(Some(refusal));
        }
    }
}

fn turn(agent_box: u16, network: &SimNetwork) -> Turn<SimDriver> {
    let mut templates = Templates::new();
    templates.talks_to::<Shard>().talks_to::<Asker>();
    let places = [("store/shard1", at(2, 0)), ("store/shard2", at(2, 0))];
    network::turn(at(agent_box, 0), network, templates, &places)
}

/// The way to the store, where these shards have the lower and the upper half.
fn learn_halves(turn: &mut Turn<SimDriver>, epoch: u32, [lower, upper]: [&str; 2]) {
    let halves = [(lower, Point(HALF)), (upper, Point::MAX)];
    learn(turn, ("store", epoch), PickBy::Point, halves);
}

fn run(turns: &mut [Turn<SimDriver>; 2], now: &mut u64) {
    for _ in 0..1000 {
        *now += 1_000_000;
        turns.iter_mut().for_each(|turn| _ = turn.take(Stamp(*now), true));
    }
}

#[test]
fn what_comes_to_who_does_not_own_its_point_goes_to_who_does() {
    let network = SimNetwork::perfect(10_000);
    let mut turns = [turn(1, &network), turn(2, &network)];
    for (number, first, last) in [(1, 0, HALF), (2, HALF + 1, u64::MAX)] {
        let range = PointRange { first: Point(first), last: Point(last) };
        let (path, source) = (path(&format!("store/shard{number}")), path("store"));
        let placed = Placed { path, source, space: Space(number as u32 + 1), range };
        turns[1].host(placed, hosted(Shard { number }));
    }
    let mut now = 0;
    learn_halves(&mut turns[0], 1, ["store/shard2", "store/shard1"]);
    turns[0].host(Placed::alone(path("asker"), Space(1)), hosted(Asker::default()));
    run(&mut turns, &mut now);
    assert_eq!(TOOK.take(), []);
    assert!(turns.iter().any(|turn| turn.counts().returned > 0));
    learn_halves(&mut turns[0], 2, ["store/shard1", "store/shard2"]);
    run(&mut turns, &mut now);
    assert_eq!(TOOK.take(), [(1, LOW)]);
    assert_eq!(REFUSED.take(), Some(Refusal::NoPoint));
}
