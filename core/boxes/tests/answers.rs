//! An ask has one answer, whichever ways it went by.

use std::cell::RefCell;
use std::time::Duration;

use daedal_boxes::template::Templates;
use daedal_boxes::turn::Turn;
use daedal_boxes::{Placed, hosted};
use daedal_model::agent::{Agent, Answer, Archived, Outcome, ReplyTo};
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
const SECOND: u64 = 1_000_000_000;

thread_local! {
    /// What the asker was told, in order.
    static TOLD: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
}

#[message(crate = daedal_model)]
#[derive(Debug)]
enum Request {
    #[broadcast]
    All,
    Due {
        #[point(prefix)]
        at: u64,
    },
}

/// Answers after a while.
#[state(crate = daedal_model)]
struct Shard {
    #[combine(forbid)]
    seconds: u64,
}

thread_local! {
    static ASKED: RefCell<Vec<ReplyTo>> = const { RefCell::new(Vec::new()) };
}

impl Agent for Shard {
    type Message = Request;
    type Reply = u64;

    fn transition(&mut self, request: &Archived<Request>, context: &mut Context<'_, Self>) {
        match request {
            ArchivedRequest::All => {
                ASKED.with_borrow_mut(|asked| asked.push(context.reply_address()));
                context.after(Duration::from_secs(self.seconds), &Request::Due { at: 0 });
            }
            ArchivedRequest::Due { .. } => {
                let asker = ASKED.with_borrow_mut(|asked| asked[0]);
                context.reply_to(asker, &1);
            }
        }
    }
}

#[state(crate = daedal_model)]
#[derive(Default)]
struct Asker {}

impl Agent for Asker {
    type Message = ();
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        context.ask("store", &Request::All);
    }

    fn transition(&mut self, _: &Archived<()>, _: &mut Context<'_, Self>) {}

    fn answered(&mut self, answer: &Answer<'_>, _: &mut Context<'_, Self>) {
        let told = match answer.outcome {
            Outcome::Reply { .. } => "reply",
            Outcome::Refused(_) => "refused",
            Outcome::Unknown => "unknown",
        };
        TOLD.with_borrow_mut(|all| all.push(told));
    }
}

fn turn(agent_box: u16, network: &SimNetwork) -> Turn<SimDriver> {
    let mut templates = Templates::new();
    templates.talks_to::<Shard>().talks_to::<Asker>();
    let places = [("store/shard1", at(1, 0)), ("store/shard2", at(2, 0))];
    let mut turn = network::turn(at(agent_box, 0), network, templates, &places);
    let halves = [("store/shard1", Point(HALF)), ("store/shard2", Point::MAX)];
    learn(&mut turn, ("store", 1), PickBy::Point, halves);
    turn
}

fn host(turn: &mut Turn<SimDriver>, shard: &str, space: u32, range: (u64, u64), seconds: u64) {
    let range = PointRange { first: Point(range.0), last: Point(range.1) };
    let placed = Placed { path: path(shard), source: path("store"), space: Space(space), range };
    turn.host(placed, hosted(Shard { seconds }));
}

fn run(turns: &mut [Turn<SimDriver>], now: &mut u64, until: u64) {
    while *now < until {
        *now += SECOND / 1000;
        for turn in &mut *turns {
            turn.take(Stamp(*now), true);
        }
    }
}

#[test]
fn who_was_told_that_nothing_is_known_is_not_told_again_by_those_who_answer_late() {
    let network = SimNetwork::perfect(10_000);
    let mut turns = vec![turn(1, &network), turn(2, &network)];
    host(&mut turns[0], "store/shard1", 11, (0, HALF), 60);
    host(&mut turns[1], "store/shard2", 12, (HALF + 1, u64::MAX), 3600);
    let mut now = 0;
    run(&mut turns, &mut now, SECOND);
    turns[0].host(Placed::alone(path("asker"), Space(1)), hosted(Asker::default()));
    run(&mut turns, &mut now, 2 * SECOND);
    // The second shard has the request, and will never answer it.
    turns.truncate(1);
    turns.push(turn(2, &network));
    run(&mut turns, &mut now, 120 * SECOND);
    TOLD.with_borrow(|told| assert_eq!(told, &["unknown"]));
}
