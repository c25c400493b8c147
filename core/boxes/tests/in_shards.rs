//! Order over several leaves: a sender's messages to one leaf of an agent in shards, or in copies, stay in
//! order beside broadcasts, though links have no room and lose what they carry (Ovid §3.4).

#![allow(missing_docs)]

use std::time::Duration;

use daedal_boxes::template::Templates;
use daedal_boxes::turn::Turn;
use daedal_boxes::{Placed, hosted};
use daedal_model::agent::{Agent, Archived};
use daedal_model::context::Context;
use daedal_model::id::{Point, Space, Stamp};
use daedal_model::route::PickBy;
use daedal_model::{message, state};
use daedal_net::driver::sim::{SimDriver, SimNetwork};

mod network;

use network::{at, learn, path};

const NOTES: u64 = 1_800;
/// More than a link has frames for, one note a frame.
const BURST: u64 = 600;
const LEAVES: u16 = 2;

#[message(crate = daedal_model)]
#[derive(Debug)]

pub enum Note {
    /// To whoever has the key.
    Line {
        /// The key.
        #[point]
        key: String,
        /// Counted from 1, with those to all.
        number: u64,
        /// Fills a frame.
        padding: Vec<u8>,
    },
    /// To all.
    #[broadcast]
    Seal(u64),
    /// From itself.
    #[broadcast]
    Tick,
}

/// Sends numbered notes, a burst at a time, every `seal`th to all.
#[state(crate = daedal_model)]
struct Author {
    #[combine(sum)]
    sent: u64,
    #[combine(constant)]
    seal: u64,
}

impl Agent for Author {
    type Message = Note;
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        context.after(Duration::from_millis(1), &Note::Tick);
    }

    fn transition(&mut self, _: &Archived<Note>, context: &mut Context<'_, Self>) {
        for _ in 0..BURST.min(NOTES - self.sent) {
            self.sent += 1;
            let (key, number) = (format!("k{}", self.sent % 37), self.sent);
            match number.is_multiple_of(self.seal) {
                true => context.send_in_order("ledger", &Note::Seal(number)),
                false => {
                    let padding = vec![0; 1_000];
                    context.send_in_order("ledger", &Note::Line { key, number, padding });
                }
            }
        }
        if self.sent < NOTES {
            self.start(context);
        }
    }
}

/// Says whether lines came in order, and what came.
#[state(crate = daedal_model)]
#[derive(Default)]
struct Ledger {
    #[combine(sum)]
    line: u64,
    #[combine(sum)]
    lines: u64,
    #[combine(sum)]
    seals: u64,
    #[combine(sum)]
    out_of_turn: u64,
}

impl Agent for Ledger {
    type Message = Note;
    type Reply = ();

    fn transition(&mut self, note: &Archived<Note>, _: &mut Context<'_, Self>) {
        match note {
            ArchivedNote::Line { number, .. } => {
                self.out_of_turn += u64::from(number.to_native() < self.line);
                self.line = number.to_native();
                self.lines += 1;
            }
            ArchivedNote::Seal(_) => self.seals += 1,
            ArchivedNote::Tick => {}
        }
    }
}

/// What the leaves show in the end. Every fourth frame is lost, and frames overtake each other. The second
/// leaf is there only after a while.
fn written(by: PickBy, seal: u64) -> Vec<String> {
    let mut random = 7_u64;
    let mut draw = move |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) % below
    };
    let network = SimNetwork::new(move |flight, arrivals| {
        if draw(4) > 0 {
            arrivals.push(flight.now + 10_000 + draw(100_000));
        }
    });
    let names = ["ledger/part1", "ledger/part2"];
    let start = |agent_box: u16| {
        let mut templates = Templates::new();
        templates.talks_to::<Ledger>().talks_to::<Author>();
        let places = [(names[0], at(2, 0))];
        let mut turn = network::turn(at(agent_box, 0), &network, templates, &places);
        let last = [Point(u64::MAX / 2), Point::MAX];
        learn(&mut turn, ("ledger", 1), by, names.into_iter().zip(last));
        turn
    };
    let mut turns: Vec<Turn<SimDriver>> = (1..=LEAVES + 1).map(start).collect();
    for (name, leaf) in names.into_iter().zip(1..) {
        let source = path("ledger");
        let placed = Placed { source, ..Placed::alone(path(name), Space(10 + leaf as u32)) };
        turns[leaf].host(placed, hosted(Ledger::default()));
    }
    turns[0].host(Placed::alone(path("author"), Space(1)), hosted(Author { sent: 0, seal }));
    for step in 1..60_000 {
        if step == 1_000 {
            turns[0].put_box(at(3, 0).agent_box, ([10, 0, 0, 3], 7000).into());
            turns[0].fix_route(path(names[1]), at(3, 0));
        }
        turns.iter_mut().for_each(|turn| _ = turn.take(Stamp(step * 40_000), true));
    }
    let leaves = names.iter().zip(&turns[1..]);
    let show =
        leaves.map(|(name, turn)| turn.capture(&path(name)).expect("here").expect("no shim"));
    show.map(|captured| captured.to_string()).collect()
}

fn check(by: PickBy, seal: u64) {
    let leaves = written(by, seal);
    let count = |name: &str, shown: &String| -> u64 {
        let after = shown.split(&format!("{name}: ")).nth(1).expect("it has this");
        after.split(' ').next().and_then(|text| text.parse().ok()).expect("a number")
    };
    let sum = |name: &str| leaves.iter().map(|shown| count(name, shown)).sum::<u64>();
    assert_eq!(sum("lines"), NOTES - NOTES / seal, "{leaves:?}");
    assert_eq!(sum("out_of_turn"), 0, "{leaves:?}");
}

#[test]
fn what_waits_behind_a_broadcast_overtakes_nothing_of_its_own_lane() {
    check(PickBy::Point, 5);
}

#[test]
fn copies_of_which_one_comes_late_get_each_its_messages_in_order() {
    check(PickBy::RoundRobin, NOTES);
}
