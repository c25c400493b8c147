//! What goes to each of several goes to all of them, once: also if one is not there yet, and if there is no room for some.

use std::cell::Cell;

use daedal_boxes::template::Templates;
use daedal_boxes::turn::Turn;
use daedal_boxes::{Placed, hosted};
use daedal_model::agent::{Agent, Answer, Archived};
use daedal_model::context::Context;
use daedal_model::id::{Epoch, ReactorAddress, Space, Stamp};
use daedal_model::point::PointRange;
use daedal_model::route::{Action, Route};
use daedal_model::{message, state};
use daedal_net::driver::sim::{SimDriver, SimNetwork};

mod network;

use network::{address, at, path};

const COPIES: [&str; 3] = ["store/one", "store/two", "store/three"];
/// Turns that all may take.
const TURNS_MAX: u64 = 100_000;
const SENDER: ReactorAddress = at(1, 0);
const PLACES: [ReactorAddress; 3] = [SENDER, at(2, 0), at(3, 0)];

thread_local! {
    /// What each copy was asked, as a sum, and how often.
    static ASKED: Cell<[(u64, u64); 3]> = const { Cell::new([(0, 0); 3]) };
    static ANSWERS: Cell<u64> = const { Cell::new(0) };
}

#[message(crate = daedal_model)]
#[derive(Debug)]
struct Put {
    number: u64,
    text: String,
}

/// Asks so much at once.
#[state(crate = daedal_model)]
#[derive(Default)]
struct Writer {
    #[combine(sum)]
    puts: u64,
    #[combine(sum)]
    bytes: u64,
}

impl Agent for Writer {
    type Message = ();
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        for number in 1..=self.puts {
            let text = &*"x".repeat(self.bytes as usize);
            context.ask("store", &PutRef { number, text });
        }
    }

    fn transition(&mut self, (): &Archived<()>, _: &mut Context<'_, Self>) {}

    fn answered(&mut self, answer: &Answer<'_>, _: &mut Context<'_, Self>) {
        assert!(answer.open::<Put>().is_ok());
        ANSWERS.set(ANSWERS.get() + 1);
    }
}

#[state(crate = daedal_model)]
#[derive(Default)]
struct Store {
    #[combine(constant)]
    which: u64,
}

impl Agent for Store {
    type Message = Put;
    type Reply = Put;

    fn transition(&mut self, put: &Archived<Put>, context: &mut Context<'_, Self>) {
        let mut asked = ASKED.get();
        let (sum, count) = &mut asked[self.which as usize];
        (*sum, *count) = (*sum + put.number.to_native(), *count + 1);
        ASKED.set(asked);
        context.reply(&PutRef { number: put.number.to_native(), text: "" });
    }
}

/// A store in three copies, the first of them with its writer. The last is known to nobody yet.
fn turns(frames: usize) -> Vec<Turn<SimDriver>> {
    let network = SimNetwork::perfect(10_000);
    let turn = |place: ReactorAddress| {
        let mut templates = Templates::new();
        templates.talks_to::<Writer>().talks_to::<Store>();
        let known: Vec<_> = COPIES.into_iter().zip(PLACES).take(2).collect();
        let me = (place, address(place), if place == SENDER { frames } else { 1024 });
        let mut turn = network::turn_at(me, &network, templates, &known);
        turn.put_box(SENDER.agent_box, address(SENDER));
        let among = COPIES.map(|it| path(it).logical_id()).to_vec();
        let action = Action::Each { among, wait_for_matching: 2 };
        turn.learn_route(path("store"), Route { epoch: Epoch(1), action });
        turn.settle_routes();
        turn
    };
    let mut turns: Vec<_> = PLACES.into_iter().map(turn).collect();
    for (which, turn) in turns.iter_mut().enumerate() {
        let (source, space) = (path("store"), Space(10 + which as u32));
        let store = hosted(Store { which: which as u64 });
        let range = PointRange::ALL;
        turn.host(Placed { path: path(COPIES[which]), source, space, range }, store);
    }
    turns
}

fn take(turns: &mut [Turn<SimDriver>], now: &mut u64, is_over: impl Fn() -> bool) -> bool {
    (0..TURNS_MAX).any(|_| {
        *now += 10_000;
        turns.iter_mut().for_each(|turn| _ = turn.take(Stamp(*now), true));
        is_over()
    })
}

/// Of so many messages of so many bytes, of whom so many frames have to do.
fn check(frames: usize, puts: u64, bytes: u64) {
    for is_known in [false, true] {
        ASKED.take();
        ANSWERS.take();
        let mut turns = turns(frames);
        if is_known {
            know_all(&mut turns[0]);
        }
        let writer = hosted(Writer { puts, bytes });
        turns[0].host(Placed::alone(path("writer"), Space(1)), writer);
        let mut now = 0;
        if !is_known {
            (0..100).for_each(|_| _ = take(&mut turns, &mut now, || true));
            assert_eq!(ASKED.get(), [(0, 0); 3], "one of them is not known");
            know_all(&mut turns[0]);
        }
        finish(&mut turns, &mut now, puts);
    }
}

fn know_all(turn: &mut Turn<SimDriver>) {
    turn.put_box(PLACES[2].agent_box, address(PLACES[2]));
    turn.fix_route(path(COPIES[2]), PLACES[2]);
}

fn finish(turns: &mut [Turn<SimDriver>], now: &mut u64, puts: u64) {
    let all = [(puts * (puts + 1) / 2, puts); 3];
    let is_done = take(turns, now, || ASKED.get() == all && ANSWERS.get() == puts);
    assert!(is_done, "{:?}, {} answers to {puts}", ASKED.get(), ANSWERS.get());
    (0..1_000).for_each(|_| _ = take(turns, now, || true));
    assert_eq!((ASKED.get(), ANSWERS.get()), (all, puts), "some were asked twice");
}

#[test]
fn nobody_is_asked_before_all_are_there() {
    check(1024, 1, 10);
}

#[test]
fn all_are_asked_once_where_there_is_no_room_for_some_at_first() {
    check(12, 500, 100);
}

#[test]
fn all_are_asked_once_what_is_larger_than_the_room_that_there_is() {
    check(64, 50, 3_000);
}
