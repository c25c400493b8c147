//! Agents that are sent more than they can handle: nothing is lost, nobody else waits, and no more is kept of it
//! than the marks say; and cycles of agents that wait for each other.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::time::Duration;

use daedal_boxes::template::Templates;
use daedal_boxes::turn::Turn;
use daedal_boxes::{Placed, hosted};
use daedal_model::agent::{Agent, Answer, Archived};
use daedal_model::context::Context;
use daedal_model::id::{AgentId, ReactorAddress, Space, Stamp};
use daedal_model::{message, state};
use daedal_net::driver::sim::{SimDriver, SimNetwork};

mod network;

use network::{at, path};

const TURN_NS: u64 = 10_000;
/// Messages that an inbox keeps, and an outbox before its agent is pressed.
const MARK: u64 = 1024;

thread_local! {
    /// Notes that the keeper may handle.
    static ALLOWED: Cell<u64> = const { Cell::new(0) };
    /// Notes that the keeper handled, and how often the neighbour was asked.
    static HANDLED: Cell<u64> = const { Cell::new(0) };
    static NEIGHBOUR: Cell<u64> = const { Cell::new(0) };
    /// How long the prober's answers took, in nanoseconds.
    static TOOK: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
    /// Copies of a ball that a player sends on, and how many were played.
    static COPIES: Cell<u64> = const { Cell::new(1) };
    static PLAYED: Cell<u64> = const { Cell::new(0) };
}

#[message(crate = daedal_model)]
#[derive(Debug)]
enum Note {
    Number(u64),
    Tick,
}

/// Takes as many notes as it may, and a tick at any time: then it may take all.
#[state(crate = daedal_model)]
#[derive(Default)]
struct Keeper {
    #[combine(forbid)]
    seen: Vec<u64>,
}

impl Agent for Keeper {
    type Message = Note;
    type Reply = ();

    fn transition(&mut self, note: &Archived<Note>, _: &mut Context<'_, Self>) {
        match note {
            Archived::<Note>::Number(number) => {
                self.seen.push(number.to_native());
                HANDLED.set(HANDLED.get() + 1);
            }
            Archived::<Note>::Tick => ALLOWED.set(u64::MAX),
        }
    }

    fn wants(&self, note: &Archived<Note>) -> bool {
        matches!(note, Archived::<Note>::Tick) || HANDLED.get() < ALLOWED.get()
    }
}

/// Takes the note that it waits for, and no other: all of them, one after another.
#[state(crate = daedal_model)]
#[derive(Default)]
struct Waiter {
    #[combine(forbid)]
    next: u64,
}

impl Agent for Waiter {
    type Message = Note;
    type Reply = ();

    fn transition(&mut self, _: &Archived<Note>, _: &mut Context<'_, Self>) {
        self.next += 1;
        HANDLED.set(self.next);
    }

    fn wants(&self, note: &Archived<Note>) -> bool {
        matches!(note, Archived::<Note>::Number(number) if number.to_native() == self.next)
    }
}

/// Counts notes, and answers ticks.
#[state(crate = daedal_model)]
#[derive(Default)]
struct Neighbour {}

impl Agent for Neighbour {
    type Message = Note;
    type Reply = ();

    fn transition(&mut self, note: &Archived<Note>, context: &mut Context<'_, Self>) {
        match note {
            Archived::<Note>::Number(_) => NEIGHBOUR.set(NEIGHBOUR.get() + 1),
            Archived::<Note>::Tick => context.reply(&()),
        }
    }
}

/// Asks the neighbour, one question after another, and notes how long answers take.
#[state(crate = daedal_model)]
#[derive(Default)]
struct Prober {
    #[combine(forbid)]
    asked_at: u64,
}

impl Prober {
    fn ask(&mut self, context: &mut Context<'_, Self>) {
        self.asked_at = context.now().0;
        context.ask("neighbour", &Note::Tick);
    }
}

impl Agent for Prober {
    type Message = Note;
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        self.ask(context);
    }

    fn transition(&mut self, _: &Archived<Note>, context: &mut Context<'_, Self>) {
        self.ask(context);
    }

    fn answered(&mut self, _: &Answer<'_>, context: &mut Context<'_, Self>) {
        let took = context.now().0 - self.asked_at;
        TOOK.with_borrow_mut(|all| all.push(took));
        context.after(Duration::from_nanos(TURN_NS), &Note::Tick);
    }
}

/// Sends so many notes to somebody at each tick, in this order, and one to the neighbour with each.
#[state(crate = daedal_model)]
struct Writer {
    #[combine(forbid)]
    to: u64,
    #[combine(forbid)]
    burst: u64,
    #[combine(forbid)]
    ticks: u64,
    #[combine(forbid)]
    written: u64,
    #[combine(forbid)]
    in_order: bool,
}

impl Agent for Writer {
    type Message = Note;
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        context.after(Duration::from_nanos(TURN_NS), &Note::Tick);
    }

    fn transition(&mut self, _: &Archived<Note>, context: &mut Context<'_, Self>) {
        for _ in 0..self.burst {
            match self.in_order {
                true => context.send_in_order(AgentId(self.to), &Note::Number(self.written)),
                false => context.send(AgentId(self.to), &Note::Number(self.written)),
            }
            context.send("neighbour", &Note::Number(self.written));
            self.written += 1;
        }
        self.ticks -= 1;
        if self.ticks > 0 {
            context.after(Duration::from_nanos(TURN_NS), &Note::Tick);
        }
    }
}

/// Sends the keeper a tick.
#[state(crate = daedal_model)]
#[derive(Default)]
struct Opener {}

impl Agent for Opener {
    type Message = Note;
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        context.send("keeper", &Note::Tick);
    }

    fn transition(&mut self, _: &Archived<Note>, _: &mut Context<'_, Self>) {}
}

/// Sends each ball that it gets to the other, so many copies of it.
#[state(crate = daedal_model)]
struct Player {
    #[combine(forbid)]
    other: u64,
    #[combine(forbid)]
    serves: u64,
}

impl Agent for Player {
    type Message = Note;
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        (0..self.serves).for_each(|_| context.send(AgentId(self.other), &Note::Number(0)));
    }

    fn transition(&mut self, _: &Archived<Note>, context: &mut Context<'_, Self>) {
        PLAYED.set(PLAYED.get() + 1);
        (0..COPIES.get()).for_each(|_| context.send(AgentId(self.other), &Note::Number(0)));
    }
}

/// Two reactors, or one twice, on a network without faults.
struct World {
    turns: Vec<Turn<SimDriver>>,
    now: u64,
}

impl World {
    /// `agents`: by name, with which of the reactors runs it.
    fn new(reactors: &[ReactorAddress], agents: &[(&str, usize)]) -> World {
        let network = SimNetwork::perfect(5_000);
        let places: Vec<_> = agents.iter().map(|(name, index)| (*name, reactors[*index])).collect();
        let start = |me: &ReactorAddress| {
            let mut templates = Templates::new();
            templates.talks_to::<Keeper>();
            network::turn(*me, &network, templates, &places)
        };
        let mut turns: Vec<_> = reactors.iter().map(start).collect();
        if reactors.iter().all(|it| it.agent_box == reactors[0].agent_box) {
            daedal_boxes::reactor::join(&mut turns);
        }
        [&HANDLED, &NEIGHBOUR, &PLAYED, &ALLOWED].into_iter().for_each(|count| count.set(0));
        COPIES.set(1);
        World { turns, now: 0 }
    }

    fn host<A: Agent + daedal_model::state::State>(&mut self, index: usize, name: &str, agent: A) {
        let space = Space(1 + name.bytes().map(u32::from).sum::<u32>());
        self.turns[index].host(Placed::alone(path(name), space), hosted(agent));
    }

    fn run(&mut self, turns: u64) {
        for _ in 0..turns {
            self.now += TURN_NS;
            self.turns.iter_mut().for_each(|turn| _ = turn.take(Stamp(self.now), true));
        }
    }

    /// Takes turns until something is so.
    fn until(&mut self, what: &str, mut is_so: impl FnMut(&mut World) -> bool) {
        let limit = 2_000_000;
        for _ in 0..limit {
            if is_so(self) {
                return;
            }
            self.run(1);
        }
        panic!("{what}: not in {limit} turns, {} handled", HANDLED.get());
    }

    fn sum(&self, count: impl Fn(&daedal_boxes::metrics::Counts) -> u64) -> u64 {
        self.turns.iter().map(|turn| count(turn.counts())).sum()
    }

    /// What an agent that was captured says of itself.
    fn seen(&self, index: usize) -> Vec<u64> {
        let captured = self.turns[index].capture(&path("keeper")).expect("it runs here");
        let keeper: Keeper = daedal_model::state::State::restore(captured.expect("it is no shim"))
            .expect("a keeper");
        keeper.seen
    }
}

/// All three ways: a neighbour, another reactor, another box.
const WAYS: [&[ReactorAddress]; 3] = [&[at(1, 0)], &[at(1, 0), at(1, 1)], &[at(1, 0), at(2, 0)]];

fn writer(to: &str, burst: u64, ticks: u64, in_order: bool) -> Writer {
    Writer { to: AgentId::of(to).0, burst, ticks, written: 0, in_order }
}

#[test]
fn an_agent_that_wants_nothing_keeps_no_more_than_its_mark_and_delays_nobody() {
    for (reactors, in_order) in WAYS.into_iter().flat_map(|it| [(it, false), (it, true)]) {
        let last = reactors.len() - 1;
        let mut world =
            World::new(reactors, &[("keeper", last), ("neighbour", last), ("writer", 0)]);
        world.host(last, "keeper", Keeper::default());
        world.host(last, "neighbour", Neighbour::default());
        world.host(0, "writer", writer("keeper", 4096, 1, in_order));
        world.run(100);
        assert_eq!((HANDLED.get(), NEIGHBOUR.get()), (0, 4096));
        let copied = world.sum(|counts| counts.copied_out);
        assert!(copied <= MARK, "{copied} of 4096 wait at the agent");
        world.run(3_000);
        assert_eq!(world.sum(|counts| counts.copied_out), copied, "it keeps more after a while");
        // What it wants gets through.
        world.host(0, "opener", Opener::default());
        world.until("all is handled", |_| HANDLED.get() == 4096);
        world.run(3_000);
        let seen = world.seen(last);
        let expect: Vec<u64> = (0..4096).collect();
        match in_order {
            true => assert_eq!(seen, expect),
            false => assert!(seen.iter().copied().collect::<BTreeSet<_>>().into_iter().eq(expect)),
        }
        assert_eq!(seen.len(), 4096, "something was handled twice");
    }
}

/// The 99th of a hundred answers of a neighbour, by how long they take, in virtual nanoseconds: while an agent that
/// wants nothing is sent so many notes.
fn p99_beside(reactors: &[ReactorAddress], notes: u64) -> u64 {
    let last = reactors.len() - 1;
    let mut world = World::new(reactors, &[("keeper", last), ("neighbour", last)]);
    world.host(last, "keeper", Keeper::default());
    world.host(last, "neighbour", Neighbour::default());
    world.host(0, "prober", Prober::default());
    world.run(100);
    TOOK.take();
    for flood in 0..8 {
        let name = format!("writer{flood}");
        world.host(0, &name, writer("keeper", notes / 8, 1, false));
    }
    world.run(5_000);
    let mut took = TOOK.take();
    took.sort_unstable();
    took[took.len() * 99 / 100]
}

#[test]
fn neighbours_of_an_agent_that_wants_nothing_answer_as_soon_as_without_it() {
    for reactors in WAYS {
        let (alone, beside) = (p99_beside(reactors, 0), p99_beside(reactors, 4096));
        assert!(2 * beside <= 3 * alone, "{reactors:?}: {beside} ns beside it, {alone} ns alone");
    }
}

#[test]
fn a_filter_that_waits_for_one_number_gets_it_whatever_fills_its_inbox() {
    for reactors in WAYS {
        let last = reactors.len() - 1;
        let mut world = World::new(reactors, &[("waiter", last), ("neighbour", last)]);
        world.turns.iter_mut().for_each(|turn| turn.bound_inboxes(10));
        world.host(last, "waiter", Waiter::default());
        world.host(last, "neighbour", Neighbour::default());
        // The first writer's notes are those that come last, so its inbox is full of them.
        let mut late = writer("waiter", 600, 1, false);
        late.written = 600;
        world.host(0, "late", late);
        world.run(200);
        assert_eq!(HANDLED.get(), 0);
        world.host(0, "early", writer("waiter", 600, 1, false));
        world.until("all are handled", |_| HANDLED.get() == 1200);
    }
}

#[test]
fn a_writer_that_is_ten_times_as_fast_is_held_back_and_memory_stays_as_it_is() {
    for reactors in WAYS {
        let last = reactors.len() - 1;
        let mut world = World::new(reactors, &[("keeper", last), ("neighbour", last)]);
        world.host(last, "keeper", Keeper::default());
        world.host(last, "neighbour", Neighbour::default());
        // Each turn it writes ten notes, and the keeper handles one.
        world.host(0, "writer", writer("keeper", 10, u64::MAX, false));
        let mut kept_most = (0, 0);
        for turn in 0..20_000 {
            ALLOWED.set(turn);
            world.run(1);
            let kept = world.turns[0].kept();
            kept_most.0 = kept_most.0.max(kept.messages);
            kept_most.1 = kept_most.1.max(world.turns[last].kept().messages);
        }
        let most = 3 * MARK as usize;
        assert!(kept_most.0 <= most && kept_most.1 <= most, "{kept_most:?} messages were kept");
        // Its reactor hears of room in time.
        assert!(HANDLED.get() > 19_000, "{} were handled", HANDLED.get());
    }
}

#[test]
fn a_cycle_of_agents_that_wait_for_each_other_goes_on() {
    for reactors in &WAYS[1..] {
        let mut world = World::new(reactors, &[("one", 0), ("other", 1), ("neighbour", 1)]);
        world.turns.iter_mut().for_each(|turn| turn.bound_inboxes(10));
        let serves = 4 * MARK;
        world.host(1, "other", Player { other: AgentId::of("one").0, serves });
        world.host(0, "one", Player { other: AgentId::of("other").0, serves });
        world.until("balls go on", |_| PLAYED.get() > 100 * serves);
        COPIES.set(0);
        world.until("nothing waits", |world| {
            world.turns.iter().all(|turn| turn.kept().messages == 0)
        });
        assert_eq!(world.sum(|counts| counts.refused), 0);
    }
}

#[test]
fn a_cycle_of_agents_that_multiplies_messages_is_found_and_bounded() {
    for reactors in WAYS {
        let last = reactors.len() - 1;
        let agents = [("one", 0), ("other", last), ("keeper", last), ("neighbour", last)];
        let mut world = World::new(reactors, &agents);
        COPIES.set(2);
        world.host(last, "other", Player { other: AgentId::of("one").0, serves: 0 });
        world.host(0, "one", Player { other: AgentId::of("other").0, serves: 1 });
        world.until("the cycle is found", |world| world.sum(|counts| counts.cycles) > 0);
        world.until("it stands still", |world| {
            let played = PLAYED.get();
            world.run(5_000);
            PLAYED.get() == played
        });
        let kept: usize = world.turns.iter().map(|turn| turn.kept().messages).sum();
        assert!(kept < 200_000, "{kept} messages are kept");
        // Nobody else is concerned.
        world.host(last, "neighbour", Neighbour::default());
        world.host(last, "keeper", Keeper::default());
        ALLOWED.set(u64::MAX);
        world.host(0, "writer", writer("keeper", 100, 1, false));
        world.until("others are served", |_| (HANDLED.get(), NEIGHBOUR.get()) == (100, 100));
    }
}
