//! A message for all shards: their replies become one, in the order of their points (Escher §2.2).

use std::cell::RefCell;
use std::sync::Arc;

use daedal_boxes::template::{Parameters, Templates};
use daedal_boxes::turn::Turn;
use daedal_model::agent::{Agent, Answer, Archived};
use daedal_model::context::Context;
use daedal_model::id::Stamp;
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
        for index in 0..SHARDS {
            context.ask("shards", &Request::Put { at: index * (u64::MAX / SHARDS + 1) });
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
