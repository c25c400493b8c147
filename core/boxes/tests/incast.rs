//! Many boxes ask one agent at once, over one port of a switch whose queue drops its tail.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use daedal_boxes::template::Templates;
use daedal_boxes::turn::Turn;
use daedal_boxes::{Placed, hosted};
use daedal_model::agent::{Agent, Answer, Archived};
use daedal_model::context::Context;
use daedal_model::id::{Space, Stamp};
use daedal_model::{message, state};
use daedal_net::driver::sim::{Flight, SimDriver, SimNetwork};
use daedal_net::limits::TIMEOUT_NS_MIN;

mod network;

use network::{address, at, path};

const ASKERS: u16 = 16;
const ASKS: u64 = 300;
/// Of each asker: together three times what the port's queue holds.
const OUTSTANDING: u64 = 32;
const BODY: usize = 1_000;
/// Of the port.
const BITS_PER_NS: u64 = 10;
const QUEUE_NS: u64 = 150_000;
const WAY_NS: u64 = 45_000;
const TURN_NS: u64 = 10_000;

thread_local! {
    static NOW: Cell<u64> = const { Cell::new(0) };
    /// How often each ask of each asker was processed.
    static PROCESSED: RefCell<BTreeMap<(u16, u64), u64>> = const { RefCell::new(BTreeMap::new()) };
    /// When each ask was answered, and how long that took, by asker.
    static ANSWERED: RefCell<BTreeMap<u16, Vec<(u64, u64)>>> =
        const { RefCell::new(BTreeMap::new()) };
    /// Frames that the port carried, and those that it lost.
    static FRAMES: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

#[message(crate = daedal_model)]
#[derive(Debug)]
struct Work {
    asker: u16,
    number: u64,
    body: Vec<u8>,
}

#[state(crate = daedal_model)]
#[derive(Default)]
struct Sink {}

impl Agent for Sink {
    type Message = Work;
    type Reply = u64;

    fn transition(&mut self, work: &Archived<Work>, context: &mut Context<'_, Self>) {
        let (asker, number) = (work.asker.to_native(), work.number.to_native());
        PROCESSED.with_borrow_mut(|all| *all.entry((asker, number)).or_default() += 1);
        context.reply(&number);
    }
}

/// Has so many asks outstanding, until there were enough.
#[state(crate = daedal_model)]
struct Asker {
    #[combine(forbid)]
    me: u16,
    #[combine(forbid)]
    asked_at: Vec<u64>,
}

impl Asker {
    fn ask(&mut self, context: &mut Context<'_, Self>) {
        let number = self.asked_at.len() as u64;
        if number < ASKS {
            self.asked_at.push(NOW.get());
            context.ask("sink", &Work { asker: self.me, number, body: vec![7; BODY] });
        }
    }
}

impl Agent for Asker {
    type Message = ();
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        (0..OUTSTANDING).for_each(|_| self.ask(context));
    }

    fn transition(&mut self, _: &Archived<()>, _: &mut Context<'_, Self>) {}

    fn answered(&mut self, answer: &Answer<'_>, context: &mut Context<'_, Self>) {
        let number = answer.open::<u64>().expect("the sink answers").to_native();
        let took = NOW.get() - self.asked_at[number as usize];
        let note = (NOW.get(), took);
        ANSWERED.with_borrow_mut(|all| all.entry(self.me).or_default().push(note));
        self.ask(context);
    }
}

/// What goes to the sink goes through the port; what comes back has a way of its own.
fn network() -> SimNetwork {
    let (sink, mut free_at) = (address(at(1, 0)), 0);
    SimNetwork::new(move |flight: &Flight<'_>, arrivals: &mut Vec<u64>| {
        if flight.to != sink {
            arrivals.push(flight.now + WAY_NS);
            return;
        }
        let (carried, lost) = FRAMES.get();
        if free_at > flight.now + QUEUE_NS {
            FRAMES.set((carried, lost + 1));
            return;
        }
        FRAMES.set((carried + 1, lost));
        free_at = flight.now.max(free_at) + flight.bytes.len() as u64 * 8 / BITS_PER_NS;
        arrivals.push(free_at + WAY_NS);
    })
}

/// The sink's box first, then those of the askers, which begin with their first turn.
fn turns() -> Vec<Turn<SimDriver>> {
    NOW.set(TURN_NS);
    let network = network();
    let start = |agent_box: u16| {
        let mut templates = Templates::new();
        templates.talks_to::<Sink>().talks_to::<Asker>();
        network::turn(at(agent_box, 0), &network, templates, &[("sink", at(1, 0))])
    };
    let mut turns: Vec<Turn<SimDriver>> = (1..=ASKERS + 1).map(start).collect();
    turns[0].host(Placed::alone(path("sink"), Space(1)), hosted(Sink {}));
    for me in 1..=ASKERS {
        let placed = Placed::alone(path(&format!("asker{me}")), Space(1 + u32::from(me)));
        turns[usize::from(me)].host(placed, hosted(Asker { me, asked_at: Vec::new() }));
    }
    turns
}

/// Each reactor has a turn somewhen in each time of one, so that none is always the first at the port, until all
/// asks are answered.
fn run(turns: &mut [Turn<SimDriver>], seed: u64) {
    let (mut random, mut begin) = (seed, TURN_NS);
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let answered = || ANSWERED.with_borrow(|all| all.values().map(Vec::len).sum::<usize>());
    while (answered() as u64) < ASKS * u64::from(ASKERS) {
        assert!(begin < 100 * TIMEOUT_NS_MIN, "{} are answered", answered());
        let mut order: Vec<_> = (0..turns.len()).map(|at| (begin + next() % TURN_NS, at)).collect();
        order.sort_unstable();
        for (now, at) in order {
            NOW.set(now);
            turns[at].take(Stamp(now), true);
        }
        begin += TURN_NS;
    }
}

#[test]
fn sixteen_boxes_that_ask_one_at_once_are_all_answered_once_and_soon() {
    for seed in 1..=3 {
        run(&mut turns(), seed);
        let (processed, answered) = (PROCESSED.take(), ANSWERED.take());
        assert_eq!(processed.len() as u64, ASKS * u64::from(ASKERS));
        assert!(processed.values().all(|times| *times == 1), "each once");
        let (carried, lost) = FRAMES.take();
        assert!(lost > 0 && lost * 10 < carried, "{lost} beside {carried}");
        // Who lost the end of what it had to say waits for a timeout.
        for (asker, asks) in answered {
            let longest = asks.iter().map(|(_, took)| *took).max().unwrap();
            assert!(longest < 3 * TIMEOUT_NS_MIN, "asker {asker} waited for {longest}");
            let (at, _) = *asks.last().unwrap();
            assert!(at < 4 * TIMEOUT_NS_MIN, "asker {asker} had all answers at {at}");
        }
    }
}
