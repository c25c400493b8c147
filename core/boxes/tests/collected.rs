//! Agents that come and go leave nothing behind: not where they ran, nor where they were heard of.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use daedal_allocations::held_bytes;
use daedal_boxes::template::{Parameters, Templates};
use daedal_boxes::turn::Turn;
use daedal_boxes::{Kept, Placed, hosted};
use daedal_model::agent::{Agent, Answer, Archived, Outcome, Refusal};
use daedal_model::context::Context;
use daedal_model::id::{AgentId, Space, Stamp};
use daedal_model::{message, state};
use daedal_net::driver::sim::{SimDriver, SimNetwork};

mod network;

use network::{at, path};

thread_local! {
    /// How often each key was put, and what visitors were told.
    static PUT: RefCell<BTreeMap<u64, u64>> = const { RefCell::new(BTreeMap::new()) };
    static TOLD: RefCell<BTreeMap<String, u64>> = const { RefCell::new(BTreeMap::new()) };
}

fn tell(what: &str) {
    TOLD.with_borrow_mut(|told| *told.entry(what.to_owned()).or_default() += 1);
}

fn told(what: &str) -> u64 {
    TOLD.with_borrow(|told| told.get(what).copied().unwrap_or(0))
}

#[message(crate = daedal_model)]
#[derive(Debug)]
struct Put {
    #[point]
    key: u64,
}

/// Answers at once, but for keys that it keeps for later.
#[state(crate = daedal_model)]
#[derive(Default)]
struct Store {
    #[combine(sum)]
    count: u64,
}

/// Its askers wait for ever.
const LATE: u64 = u64::MAX;

impl Agent for Store {
    type Message = Put;
    type Reply = u64;

    fn transition(&mut self, message: &Archived<Put>, context: &mut Context<'_, Self>) {
        self.count += 1;
        let key = message.key.to_native();
        if key == LATE {
            return;
        }
        PUT.with_borrow_mut(|put| *put.entry(key).or_default() += 1);
        context.reply(&self.count);
    }
}

/// Asks the store for one key, when it begins.
#[state(crate = daedal_model)]
struct Visitor {
    #[combine(constant)]
    key: u64,
    #[combine(constant)]
    in_order: bool,
    #[combine(constant)]
    to: String,
}

impl Visitor {
    fn made(parameters: &Parameters) -> Result<Visitor, String> {
        let key = parameters.get("key").and_then(|key| key.parse().ok()).ok_or("say `key`")?;
        let to = parameters.get("to").map_or("store", String::as_str).to_owned();
        Ok(Visitor { key, in_order: parameters.contains_key("in_order"), to })
    }
}

impl Agent for Visitor {
    type Message = ();
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        let (to, put) = (AgentId::from(self.to.as_str()), Put { key: self.key });
        match self.in_order {
            true => context.ask_in_order(to, &put),
            false => context.ask(to, &put),
        };
    }

    fn transition(&mut self, _: &Archived<()>, _: &mut Context<'_, Self>) {}

    fn answered(&mut self, answer: &Answer<'_>, _: &mut Context<'_, Self>) {
        match answer.outcome {
            Outcome::Reply { .. } => tell("replied"),
            Outcome::Refused(Refusal::UnknownAgent) => tell("nobody"),
            Outcome::Refused(_) => tell("refused"),
            Outcome::Unknown => tell("unknown"),
        }
    }
}

fn templates() -> Templates {
    let mut templates = Templates::new();
    templates.agent("Store", |_| Ok(Store::default()));
    templates.agent("Visitor", |parameters| Ok(Visitor::made(parameters)?));
    templates
}

fn parameters(key: u64, in_order: bool) -> Parameters {
    let mut all = Parameters::from([("key".to_owned(), key.to_string())]);
    if in_order {
        all.insert("in_order".to_owned(), String::new());
    }
    all
}

/// Runs so many visitors in one box, one in four of which is stopped before it hears its answer, and says what
/// was kept after half of them and after all, and in how many bytes.
fn visit_alone(visitors: u64) -> [(Kept, isize); 2] {
    let mut turn = Turn::alone(Arc::new(templates()));
    turn.run_sharded("store", 3, "Store", &Parameters::new()).expect("it runs");
    let mut now = 1_700_000_000_000_000_000;
    let mut kept = Vec::new();
    for key in 0..visitors {
        let name = path(&format!("visitor{key}"));
        turn.run(name.as_str(), "Visitor", &parameters(key, key % 8 == 0)).expect("it runs");
        now += 10_000;
        if key % 4 > 0 {
            while turn.take(Stamp(now), true) {}
        }
        assert!(turn.unhost(name.physical_id()));
        if key == visitors / 2 || key == visitors - 1 {
            while turn.take(Stamp(now), true) {}
            now += 1_000_000_000;
            while turn.take(Stamp(now), true) {}
            // What the test itself keeps is no part of it.
            PUT.with_borrow_mut(|put| {
                assert!(put.values().all(|times| *times == 1), "once each");
                put.clear();
            });
            kept.push((turn.kept(), held_bytes()));
        }
    }
    assert_eq!(told("replied"), visitors - visitors / 4);
    kept.try_into().expect("two looks")
}

/// As few as there are at any time between two looks.
fn are_few(kept: Kept) {
    let Kept { slots, departed, conversations, destinations, routes, origins, .. } = kept;
    let Kept { done, lines, asks, .. } = kept;
    let all = [slots, departed, conversations, destinations, routes, origins, done, lines, asks];
    assert!(all.iter().all(|count| *count < 250), "{kept:?}");
}

fn are_flat(kept: [(Kept, isize); 2]) {
    let [(half, half_bytes), (all, all_bytes)] = kept;
    are_few(half);
    are_few(all);
    assert!((all_bytes - half_bytes).abs() < 50_000, "{half_bytes}, then {all_bytes} bytes");
}

/// A million in release.
const VISITORS: u64 = if cfg!(debug_assertions) { 20_000 } else { 1_000_000 };

#[test]
fn agents_that_ask_and_end_leave_memory_as_it_was() {
    are_flat(visit_alone(VISITORS));
}

/// A reactor of a box, that knows where the store is.
fn reactor(agent_box: u16, network: &SimNetwork) -> Turn<SimDriver> {
    network::turn(at(agent_box, 0), network, templates(), &[("store", at(2, 0))])
}

/// Lets them take turns for so many microseconds.
fn pass(turns: &mut [&mut Turn<SimDriver>], now: &mut u64, microseconds: u64) {
    for _ in 0..microseconds / 50 {
        *now += 50_000;
        for turn in turns.iter_mut() {
            turn.take(Stamp(*now), true);
        }
    }
}

fn visit(turn: &mut Turn<SimDriver>, key: u64, in_order: bool) -> daedal_model::path::AgentPath {
    let (name, space) = (path(&format!("visitor{key}")), Space(1_000 + key as u32));
    let visitor = Visitor::made(&parameters(key, in_order)).expect("all is said");
    turn.host(Placed::alone(name.clone(), space), hosted(visitor));
    name
}

#[test]
fn agents_that_ask_over_a_link_and_end_leave_nothing_at_either_end() {
    let network = SimNetwork::perfect(10_000);
    let (mut here, mut there) = (reactor(1, &network), reactor(2, &network));
    there.host(Placed::alone(path("store"), Space(9)), hosted(Store::default()));
    let mut now = 0;
    let mut kept = Vec::new();
    for key in 0..VISITORS / 10 {
        let name = visit(&mut here, key, key % 8 == 0);
        pass(&mut [&mut here, &mut there], &mut now, if key % 4 == 0 { 50 } else { 200 });
        assert!(here.unhost(name.physical_id()));
        if key == VISITORS / 20 || key == VISITORS / 10 - 1 {
            pass(&mut [&mut here, &mut there], &mut now, 2_000_000);
            kept.push([here.kept(), there.kept()]);
        }
    }
    assert_eq!(PUT.with_borrow(|put| put.len() as u64), VISITORS / 10);
    PUT.with_borrow(|put| assert!(put.values().all(|times| *times == 1), "once each"));
    for (half, all) in std::iter::zip(kept[0], kept[1]) {
        are_few(half);
        are_few(all);
    }
}

#[test]
fn processes_that_come_and_go_leave_nothing_where_they_were_heard_of() {
    let network = SimNetwork::perfect(10_000);
    let mut there = reactor(2, &network);
    there.host(Placed::alone(path("store"), Space(9)), hosted(Store::default()));
    let mut now = 0;
    for life in 0..200 {
        let mut here = reactor(1, &network);
        (0..4).for_each(|nth| drop(visit(&mut here, 4 * life + nth, nth == 0)));
        pass(&mut [&mut here, &mut there], &mut now, 50_000);
        assert_eq!(told("replied"), 4 * (life + 1));
        are_few(there.kept());
    }
}

#[test]
fn who_asked_an_agent_that_ends_without_an_answer_is_told_so() {
    let network = SimNetwork::perfect(10_000);
    let (mut here, mut there) = (reactor(1, &network), reactor(2, &network));
    there.host(Placed::alone(path("store"), Space(9)), hosted(Store::default()));
    let visitor = |key| Visitor { key, in_order: false, to: "store".to_owned() };
    here.host(Placed::alone(path("one"), Space(1)), hosted(visitor(LATE)));
    there.host(Placed::alone(path("other"), Space(2)), hosted(visitor(LATE)));
    let mut now = 0;
    pass(&mut [&mut here, &mut there], &mut now, 10_000_000);
    assert_eq!([here.kept().asks, there.kept().asks], [1, 1]);
    assert!(there.unhost(path("store").physical_id()));
    pass(&mut [&mut here, &mut there], &mut now, 1_000_000);
    assert_eq!((told("unknown"), here.kept().asks, there.kept().asks), (2, 0, 0));
}

/// Does nothing.
#[state(crate = daedal_model)]
#[derive(Default)]
struct Idle {
    #[combine(sum)]
    count: u64,
}

impl Agent for Idle {
    type Message = ();
    type Reply = ();

    fn transition(&mut self, _: &Archived<()>, _: &mut Context<'_, Self>) {
        self.count += 1;
    }
}

/// Bytes of an agent that runs, and has neither sent nor kept anything; with what tables hold in reserve.
const AGENT_BYTES_MAX: isize = 508;

#[test]
fn an_agent_that_does_nothing_is_no_more_than_so_many_bytes() {
    const AGENTS: u32 = 10_000;
    let network = SimNetwork::perfect(10_000);
    let mut turn = network::turn(at(1, 0), &network, templates(), &[]);
    let before = held_bytes();
    for nth in 0..AGENTS {
        let placed = Placed::alone(path(&format!("idle{nth}")), Space(1 + nth));
        turn.host(placed, hosted(Idle::default()));
    }
    let bytes = (held_bytes() - before) / AGENTS as isize;
    println!("an agent takes {bytes} bytes");
    assert!(bytes < AGENT_BYTES_MAX, "{bytes} bytes");
}
