//! A reactor whose peer is gone in the middle of a burst: its turns find nothing to do but when a timer is due, none is
//! due in the past, and those of the link are ever further apart, up to their limit.

use daedal_boxes::template::Templates;
use daedal_boxes::turn::Turn;
use daedal_boxes::{Placed, hosted};
use daedal_model::agent::{Agent, Archived};
use daedal_model::context::Context;
use daedal_model::id::{Space, Stamp};
use daedal_model::{message, state};
use daedal_net::driver::sim::{SimDriver, SimNetwork};
use daedal_net::limits::{TIMEOUT_NS_MAX, TIMEOUT_NS_MIN};

mod network;

use network::{at, path};

const BURST: u64 = 1_000;
const SECOND: u64 = 1_000_000_000;
/// Turns that follow each other without a timer, when one was due: some messages are told of others.
const TURNS_MAX: usize = 4;

#[message(crate = daedal_model)]
#[derive(Debug)]
struct Word {
    number: u64,
}

/// Says a burst when it begins.
#[state(crate = daedal_model)]
#[derive(Default)]
struct Speaker {
    #[combine(sum)]
    said: u64,
}

impl Agent for Speaker {
    type Message = ();
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        for number in 0..BURST {
            self.said += 1;
            context.send("listener", &Word { number });
        }
    }

    fn transition(&mut self, (): &Archived<()>, _: &mut Context<'_, Self>) {}
}

#[state(crate = daedal_model)]
#[derive(Default)]
struct Listener {
    #[combine(sum)]
    heard: u64,
}

impl Agent for Listener {
    type Message = Word;
    type Reply = ();

    fn transition(&mut self, _: &Archived<Word>, _: &mut Context<'_, Self>) {
        self.heard += 1;
    }
}

fn templates() -> Templates {
    let mut templates = Templates::new();
    templates.talks_to::<Speaker>().talks_to::<Listener>();
    templates
}

/// Takes turns until one finds nothing: how many found something.
fn busy_turns(turn: &mut Turn<SimDriver>, now: u64) -> usize {
    (0..=TURNS_MAX).take_while(|_| turn.take(Stamp(now), true)).count()
}

#[test]
fn a_turn_whose_peer_is_dead_finds_nothing_between_timers_that_are_ever_further_apart() {
    let network = SimNetwork::perfect(10_000);
    let mut there = network::turn(at(2, 0), &network, templates(), &[]);
    there.host(Placed::alone(path("listener"), Space(9)), hosted(Listener::default()));
    let mut here = network::turn(at(1, 0), &network, templates(), &[("listener", at(2, 0))]);
    here.host(Placed::alone(path("speaker"), Space(8)), hosted(Speaker::default()));
    let mut now = SECOND;
    while there.counts().delivered == 0 {
        now += 10_000;
        here.take(Stamp(now), true);
        there.take(Stamp(now), true);
    }
    assert!(there.counts().delivered < BURST, "it dies in the middle");
    drop(there);

    let mut apart = Vec::new();
    for _ in 0..100 {
        let busy = busy_turns(&mut here, now);
        assert!(busy < TURNS_MAX, "at {now} turns do not end");
        let due = here.next_due().expect("it waits for the peer").0;
        assert!(due > now, "due at {due}, and it is {now}");
        apart.push(due - now);
        now = due;
    }
    assert!(apart.is_sorted(), "{apart:?}");
    let doublings = (TIMEOUT_NS_MAX / TIMEOUT_NS_MIN).ilog2() as usize;
    let short = apart.iter().filter(|it| **it < TIMEOUT_NS_MAX).count();
    assert!(short <= 2 + doublings, "{apart:?}");
    assert_eq!(apart.last(), Some(&TIMEOUT_NS_MAX));
}
