//! A message for all shards: their replies become one, in the order of their points (Escher §2.2).

use std::cell::RefCell;
use std::sync::Arc;

use daedal_boxes::template::{Parameters, Templates};
use daedal_boxes::turn::Turn;
use daedal_boxes::{Placed, hosted};
use daedal_model::agent::{Agent, Answer, Archived};
use daedal_model::context::Context;
use daedal_model::id::{Epoch, Point, Space, Stamp};
use daedal_model::path::AgentPath;
use daedal_model::point::PointRange;
use daedal_model::route::{Action, PickBy, Route, Share};
use daedal_model::state::{PointMap, Prefixed, State};
use daedal_model::{message, state};

const SHARDS: u64 = 16;

thread_local! {
    static HEARD: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

#[message(crate = daedal_model)]
#[derive(Debug)]
enum Request {
    Put {
        #[point(prefix)]
        at: u64,
    },
    #[broadcast]
    All,
}

/// One of a few that share the points.
#[state(crate = daedal_model)]
#[derive(Default)]
struct Shard {
    #[combine(forbid)]
    put: Vec<u64>,
}

impl Agent for Shard {
    type Message = Request;
    type Reply = Vec<u64>;

    fn transition(&mut self, request: &Archived<Request>, context: &mut Context<'_, Self>) {
        if let ArchivedRequest::Put { at } = request {
            self.put.push(at.to_native());
        }
        context.reply(&self.put);
    }

    fn merge(_: &Archived<Request>, replies: &[&Archived<Vec<u64>>]) -> Vec<u64> {
        replies.iter().flat_map(|reply| reply.iter().map(|at| at.to_native())).collect()
    }
}

/// Puts something into each shard, then asks all of them.
#[state(crate = daedal_model)]
#[derive(Default)]
struct Asker {
    #[combine(sum)]
    answers: u64,
}

impl Agent for Asker {
    type Message = ();
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        for index in self.answers..SHARDS {
            context.ask("shards", &Request::Put { at: index * (u64::MAX / SHARDS + 1) });
        }
        if self.answers == SHARDS {
            context.ask("shards", &Request::All);
        }
    }

    fn transition(&mut self, _: &Archived<()>, _: &mut Context<'_, Self>) {}

    fn answered(&mut self, answer: &Answer<'_>, context: &mut Context<'_, Self>) {
        self.answers += 1;
        if self.answers == SHARDS {
            context.ask("shards", &Request::All);
        }
        if self.answers > SHARDS {
            let all = answer.open::<Vec<u64>>().expect("they are there");
            HEARD.set(all.iter().map(|at| at.to_native()).collect());
        }
    }
}

fn path(text: &str) -> AgentPath {
    AgentPath::parse(text).expect("a path")
}

#[test]
fn replies_of_all_shards_are_merged_in_the_order_of_their_points() {
    let mut templates = Templates::new();
    templates.agent("Shard", |_| Ok(Shard::default()));
    templates.agent("Asker", |_| Ok(Asker::default()));
    let mut turn = Turn::alone(Arc::new(templates));
    turn.run_sharded("shards", SHARDS as usize, "Shard", &Parameters::new()).expect("a kind");
    turn.run("asker", "Asker", &Parameters::new()).expect("a kind");
    while turn.take(Stamp(0), false) {}
    let expected: Vec<u64> = (0..SHARDS).map(|index| index * (u64::MAX / SHARDS + 1)).collect();
    assert_eq!(HEARD.take(), expected);
}

/// A shard whose state splits.
#[state(crate = daedal_model)]
#[derive(Default)]
struct Bin {
    #[keyed]
    put: PointMap<u64, u64, Prefixed>,
}

impl Agent for Bin {
    type Message = Request;
    type Reply = Vec<u64>;

    fn transition(&mut self, request: &Archived<Request>, context: &mut Context<'_, Self>) {
        if let ArchivedRequest::Put { at } = request {
            self.put.insert(at.to_native(), 1);
        } else {
            let keys: Vec<u64> = self.put.iter().map(|(at, _)| *at).collect();
            keys.iter().for_each(|at| *self.put.get_mut(at).expect("it is there") += 1);
        }
        context.reply(&self.put.iter().map(|(at, asked)| at + asked).collect::<Vec<_>>());
    }

    fn merge(_: &Archived<Request>, replies: &[&Archived<Vec<u64>>]) -> Vec<u64> {
        replies.iter().flat_map(|reply| reply.iter().map(|at| at.to_native())).collect()
    }
}

/// Half of the points are asked by one set of shards, the others, whose shard is away, by another set, in
/// which one has points of both halves.
#[test]
fn all_points_are_asked_once_though_the_shards_change_meanwhile() {
    let mut templates = Templates::new();
    templates.agent("Bin", |_| Ok(Bin::default()));
    templates.agent("Asker", |_| Ok(Asker { answers: SHARDS }));
    let mut turn = Turn::alone(Arc::new(templates));
    let third = u64::MAX / 3;
    let points = [0, third + 1, u64::MAX / 2 + 1, 2 * third + 1, u64::MAX - 9];
    let bin = |range: PointRange| {
        let mut bin = Bin::default();
        points.iter().filter(|at| range.contains(Point(**at))).for_each(|at| {
            bin.put.insert(*at, 1);
        });
        bin
    };
    let route = |turn: &mut Turn<_>, epoch: u32, ranges: &[PointRange]| {
        let child = |index: usize| path(&format!("shards/shard{}:{epoch}", index + 1));
        for index in 0..ranges.len() {
            let action = Action::To(child(index).physical_id());
            turn.learn_route(child(index).logical(), Route { epoch: Epoch(epoch), action });
        }
        let share = |(index, range): (usize, &PointRange)| Share {
            last: range.last,
            child: child(index).logical_id(),
        };
        let among = ranges.iter().enumerate().map(share).collect();
        let action = Action::Pick { by: PickBy::Point, among };
        turn.learn_route(path("shards"), Route { epoch: Epoch(epoch), action });
        turn.settle_routes();
    };
    let host = |turn: &mut Turn<_>, epoch: u32, index: usize, range: PointRange| {
        let path = path(&format!("shards/shard{}:{epoch}", index + 1));
        let (source, space) = (path.top(), Space(10 * epoch + index as u32));
        turn.host(Placed { path, source, space, range }, hosted(bin(range)));
    };
    let halves = PointRange::ALL.split(2);
    route(&mut turn, 1, &halves);
    host(&mut turn, 1, 0, halves[0]);
    turn.run("asker", "Asker", &Parameters::new()).expect("a kind");
    while turn.take(Stamp(0), false) {}
    assert_eq!(HEARD.take(), Vec::<u64>::new());
    assert!(turn.unhost(path("shards/shard1:1").physical_id()));
    let thirds = PointRange::ALL.split(3);
    (0..3).for_each(|index| host(&mut turn, 2, index, thirds[index]));
    route(&mut turn, 2, &thirds);
    while turn.take(Stamp(0), false) {}
    assert_eq!(HEARD.take(), points.map(|at| at + 2));
    let asked = |shard: &str| {
        let state = turn.capture(&path(shard)).expect("it runs here").expect("it is no shim");
        Bin::restore(state).expect("a bin").put.iter().map(|it| *it.1).collect::<Vec<_>>()
    };
    // It was asked for what the first shard had not been asked for.
    assert_eq!(asked("shards/shard2"), [1, 2]);
    assert_eq!(asked("shards/shard3"), [2, 2]);
}
