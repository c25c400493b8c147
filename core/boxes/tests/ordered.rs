//! The stage `ordered`: what one agent sends another in order is processed in order, over a network that
//! loses, doubles and overtakes, and past a filter that stalls.

use std::time::Duration;

use daedal_boxes::template::Templates;
use daedal_boxes::turn::Turn;
use daedal_boxes::{Placed, hosted};
use daedal_model::agent::{Agent, Archived};
use daedal_model::context::Context;
use daedal_model::id::{AgentId, Space, Stamp};
use daedal_model::{message, state};
use daedal_net::driver::sim::{SimDriver, SimNetwork};

mod network;

use network::{at, path};

const NOTES: u64 = 2_000;
const BURST: u64 = 40;
const SCRIBE: AgentId = AgentId::of("scribe");

/// What an author tells a scribe, or time tells either.
#[message(crate = daedal_model)]
#[derive(Debug)]
pub enum Note {
    /// The next one, counted from 0, and bytes behind it, so that some notes go in several frames.
    Next(u64, Vec<u8>),
    /// Time has gone by.
    Tick,
}

/// Sends numbered notes, a burst at a time.
#[state(crate = daedal_model)]
#[derive(Default)]
struct Author {
    #[combine(sum)]
    sent: u64,
}

impl Agent for Author {
    type Message = Note;
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        context.after(Duration::from_micros(50), &Note::Tick);
    }

    fn transition(&mut self, _: &Archived<Note>, context: &mut Context<'_, Self>) {
        for _ in 0..BURST.min(NOTES - self.sent) {
            let number = self.sent;
            let padding = vec![0; if number.is_multiple_of(70) { 6_000 } else { 20 }];
            context.send_in_order(SCRIBE, &Note::Next(number, padding));
            self.sent += 1;
        }
        if self.sent < NOTES {
            self.start(context);
        }
    }
}

/// Writes notes down, and stops listening from time to time.
#[state(crate = daedal_model)]
#[derive(Default)]
struct Scribe {
    #[combine(sum)]
    heard: u64,
    #[combine(sum)]
    out_of_turn: u64,
    /// Listens to notes below this one.
    #[combine(sum)]
    open_to: u64,
}

impl Agent for Scribe {
    type Message = Note;
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        context.after(Duration::from_micros(400), &Note::Tick);
    }

    fn wants(&self, note: &Archived<Note>) -> bool {
        match note {
            ArchivedNote::Next(number, _) => number.to_native() < self.open_to,
            ArchivedNote::Tick => true,
        }
    }

    fn transition(&mut self, note: &Archived<Note>, context: &mut Context<'_, Self>) {
        match note {
            ArchivedNote::Next(number, _) => {
                self.out_of_turn += u64::from(number.to_native() != self.heard);
                self.heard += 1;
            }
            ArchivedNote::Tick => {
                self.open_to += 97;
                self.start(context);
            }
        }
    }
}

fn turn(agent_box: u16, scribe_in: u16, network: &SimNetwork) -> Turn<SimDriver> {
    let mut templates = Templates::new();
    templates.talks_to::<Author>().talks_to::<Scribe>();
    network::turn(at(agent_box, 0), network, templates, &[("scribe", at(scribe_in, 0))])
}

/// Loses a fifth, doubles a fifth, and delays the rest so that much is overtaken.
fn unruly(seed: u64) -> SimNetwork {
    let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut draw = move |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) % below
    };
    SimNetwork::new(move |flight, arrivals| {
        for _ in 0..[0, 1, 1, 1, 2][draw(5) as usize] {
            arrivals.push(flight.now + 10_000 + draw(300_000));
        }
    })
}

fn shown(turn: &Turn<SimDriver>) -> String {
    let captured = turn.capture(&path("scribe")).expect("it runs here");
    captured.expect("it is no shim").to_string()
}

/// Runs the turns until every note was written down, and says what was held back.
fn write_down(turns: &mut [Turn<SimDriver>], scribe_in: usize) -> u64 {
    for step in 1..4_000_000u64 {
        for turn in turns.iter_mut() {
            turn.take(Stamp(step * 5_000), true);
        }
        if step.is_multiple_of(1_000) {
            let shown = shown(&turns[scribe_in]);
            if shown.contains(&format!("heard: {NOTES} (sum)")) {
                assert!(shown.contains("out_of_turn: 0 (sum)"), "{shown}");
                return turns[scribe_in].counts().held_back;
            }
        }
    }
    panic!("{}", shown(&turns[scribe_in]));
}

#[test]
fn what_overtakes_on_the_way_waits_for_its_turn() {
    for seed in 0..5 {
        let network = unruly(seed);
        let mut turns = [turn(1, 2, &network), turn(2, 2, &network)];
        turns[1].host(Placed::alone(path("scribe"), Space(2)), hosted(Scribe::default()));
        turns[0].host(Placed::alone(path("author"), Space(1)), hosted(Author::default()));
        assert!(write_down(&mut turns, 1) > 0, "nothing was overtaken: the test shows nothing");
    }
}

#[test]
fn what_comes_in_order_is_held_back_by_the_filter_alone() {
    let network = SimNetwork::perfect(10_000);
    let mut turns = [turn(1, 1, &network)];
    turns[0].host(Placed::alone(path("scribe"), Space(2)), hosted(Scribe::default()));
    turns[0].host(Placed::alone(path("author"), Space(1)), hosted(Author::default()));
    let held_back = write_down(&mut turns, 0);
    assert!(held_back > 0, "those behind a message that is not wanted wait");
}
