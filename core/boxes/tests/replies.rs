//! A reply needs no route, so nothing that waits for one is in its way.

use std::cell::Cell;

use daedal_boxes::template::Templates;
use daedal_boxes::{Placed, hosted};
use daedal_model::agent::{Agent, Answer, Archived};
use daedal_model::context::Context;
use daedal_model::id::{Space, Stamp};
use daedal_model::{message, state};
use daedal_net::driver::sim::SimNetwork;

mod network;

use network::{at, path};

thread_local! {
    /// How many replies the asker has got.
    static REPLIES: Cell<usize> = const { Cell::new(0) };
}

#[message(crate = daedal_model)]
#[derive(Debug)]
struct Word;

/// Asks twice.
#[state(crate = daedal_model)]
#[derive(Default)]
struct Asker {}

impl Agent for Asker {
    type Message = Word;
    type Reply = Word;

    fn start(&mut self, context: &mut Context<'_, Self>) {
        context.ask("echo", &Word);
        context.ask("echo", &Word);
    }

    fn transition(&mut self, _: &Archived<Word>, _: &mut Context<'_, Self>) {}

    fn answered(&mut self, answer: &Answer<'_>, _: &mut Context<'_, Self>) {
        assert!(answer.open::<Word>().is_ok());
        REPLIES.set(REPLIES.get() + 1);
    }
}

/// Writes to who asks it, whom nobody here knows a way to, and replies.
#[state(crate = daedal_model)]
#[derive(Default)]
struct Echo {}

impl Agent for Echo {
    type Message = Word;
    type Reply = Word;

    fn transition(&mut self, _: &Archived<Word>, context: &mut Context<'_, Self>) {
        context.send("asker", &Word);
        context.reply(&Word);
    }
}

#[test]
fn replies_go_past_what_waits_for_a_route() {
    let network = SimNetwork::perfect(10_000);
    let turn = |agent_box, places: &[_]| {
        let mut templates = Templates::new();
        templates.talks_to::<Asker>().talks_to::<Echo>();
        network::turn(at(agent_box, 0), &network, templates, places)
    };
    let mut turns = [turn(1, &[("echo", at(2, 0))]), turn(2, &[])];
    turns[0].host(Placed::alone(path("asker"), Space(1)), hosted(Asker::default()));
    turns[1].host(Placed::alone(path("echo"), Space(2)), hosted(Echo::default()));
    for now in 0..1000 {
        turns.iter_mut().for_each(|turn| _ = turn.take(Stamp(now * 1_000_000), true));
    }
    assert_eq!(REPLIES.get(), 2);
}
