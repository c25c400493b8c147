//! What asking costs, in message delays: how often in a row a message has to cross the network before
//! the answer is there.
//!
//! The network takes the same time for every frame and turns take next to none, so the time that an ask
//! takes, counted in travels of a frame, is the length of the longest chain of messages that it waited
//! for. A remainder would show that it waited for something else, such as a timer.
//!
//! In sum, for an agent that is cut into shards which run in other boxes: 2, one there and one back. A
//! reactor's first ask needs 2 more, since it asks the controller, once, where all shards are; and
//! before the first message between two reactors their link opens its session, which takes 4. All
//! agents of a reactor share its routes and links.
#![allow(clippy::unwrap_used, missing_docs)]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use daedal_boxes::Placed;
use daedal_boxes::deliver::hosted;
use daedal_boxes::template::Templates;
use daedal_model::agent::{Agent, Answer, Archived, Outcome};
use daedal_model::context::Context;
use daedal_model::control::bootstrap_space;
use daedal_model::controller::System;
use daedal_model::latt::Specification;
use daedal_model::path::AgentPath;
use daedal_model::place::{Site, Wish};
use daedal_model::refine::Qualities;
use daedal_model::state::{Captured, State, StateError};
use daedal_sim::agents::{Map, Request};
use daedal_sim::clients::Wake;
use daedal_sim::world::{BoxSetup, Setup, World};
use daedal_transforms::Shard;

/// How long a frame travels, in virtual nanoseconds: a thousand turns.
const TRAVEL_NS: u64 = 1_000_000;

/// One delay there, one back.
const ASK: u64 = 2;
/// A question to the controller, and its answer.
const LOOK_UP: u64 = 2;
/// Greeting, answer with a fresh number, its echo with our table of message types, and the peer's table.
const OPENING: u64 = 4;

/// Asks for keys, one after the other, and writes down how long each answer took.
struct Client {
    clock: Rc<Cell<u64>>,
    asks: Vec<(&'static str, &'static str)>,
    asked_at: u64,
    took: Rc<RefCell<Vec<u64>>>,
}

impl Client {
    fn ask(&mut self, context: &mut Context<'_, Client>) {
        if self.asks.is_empty() {
            return;
        }
        let (agent, key) = self.asks.remove(0);
        self.asked_at = self.clock.get();
        context.ask(agent, &Request::Get { key: key.to_owned() });
    }
}

impl Agent for Client {
    type Message = Wake;
    type Reply = Wake;

    fn start(&mut self, context: &mut Context<'_, Client>) {
        // It is put there between two turns; it asks in one.
        context.after(Duration::ZERO, &Wake::Now);
    }

    fn transition(&mut self, _: &Archived<Wake>, context: &mut Context<'_, Client>) {
        self.ask(context);
    }

    fn answered(&mut self, answer: &Answer<'_>, context: &mut Context<'_, Client>) {
        assert!(matches!(answer.outcome, Outcome::Reply { .. }), "{:?}", answer.outcome);
        self.took.borrow_mut().push(self.clock.get() - self.asked_at);
        self.ask(context);
    }
}

impl State for Client {
    const NAME: &'static str = "Client";
    const VERSION: u16 = 1;

    fn capture(&self) -> Captured {
        Captured::new::<Client>()
    }

    fn restore(_: Captured) -> Result<Client, StateError> {
        Err(StateError::Forbidden("a test's client is not moved".to_owned()))
    }
}

fn path(text: &str) -> AgentPath {
    AgentPath::parse(text).unwrap()
}

/// A controller in a box of its own, `kvs` in two shards in boxes `a` and `b`, and `map` in `a`; `c` and
/// `d` are for clients. It has run long enough for everybody to be registered.
struct Delays {
    world: World,
    clock: Rc<Cell<u64>>,
    clients: u64,
}

impl Delays {
    fn new() -> Delays {
        let names = ["home", "a", "b", "c", "d"];
        let setup = |name: &str| BoxSetup { name: name.to_owned(), reactors: 1 };
        let boxes: Vec<BoxSetup> = names.into_iter().map(setup).collect();
        let at = |names: &[&str]| Wish {
            boxes: names.iter().map(|name| name.to_string()).collect(),
            ..Wish::default()
        };
        let qualities = Qualities { keyed: true, deterministic: true, stateless: false };
        let template = "map".to_owned();
        let map = Specification { template, wish: at(&["a"]), ..Specification::default() };
        let kvs = Specification {
            qualities,
            transforms: vec![Rc::new(Shard(2))],
            wish: at(&["a", "b"]),
            ..map.clone()
        };
        let site = |name: &&str| Site { name: name.to_string(), reactors: 1 };
        let system = System {
            agents: vec![(path("kvs"), kvs), (path("map"), map)],
            templates: BTreeMap::new(),
            boxes: names[1..].iter().map(site).collect(),
            home: names[0].to_owned(),
        };
        let mut templates = Templates::new();
        templates.agent("map", |_| Ok(Map::default()));
        templates.talks_to::<Client>();
        let clock = Rc::default();
        let world = World::new(Setup {
            clock: Rc::clone(&clock),
            ..Setup::undisturbed(boxes, system, templates, TRAVEL_NS)
        });
        let mut delays = Delays { world, clock, clients: 0 };
        delays.run(2_500 * TRAVEL_NS);
        delays
    }

    fn run(&mut self, for_ns: u64) {
        let until = self.world.now() + for_ns;
        while self.world.now() < until && self.world.step() {}
    }

    /// A new client in this box asks agents for keys, one after the other: the message delays of each.
    fn of_client_in(&mut self, agent_box: u16, asks: &[(&'static str, &'static str)]) -> Vec<u64> {
        self.clients += 1;
        let took = Rc::default();
        let client = Client {
            clock: Rc::clone(&self.clock),
            asks: asks.to_vec(),
            asked_at: 0,
            took: Rc::clone(&took),
        };
        let name = path(&format!("client{}", self.clients));
        let placed = Placed::alone(name, bootstrap_space(self.clients));
        self.world.turn(agent_box, 0).unwrap().host(placed, hosted(client));
        self.run(100 * TRAVEL_NS);
        let took = took.borrow();
        assert_eq!(took.len(), asks.len(), "all were answered");
        let in_delays = |took: &u64| {
            let delays = (took + TRAVEL_NS / 2) / TRAVEL_NS;
            let rest = took.abs_diff(delays * TRAVEL_NS);
            assert!(rest < TRAVEL_NS / 20, "{took} ns is not only message delays");
            delays
        };
        took.iter().map(in_delays).collect()
    }
}

/// Two keys of the shard in box `a`, and two of the one in `b`.
const KEYS: [(&str, &str); 4] =
    [("kvs", "apple"), ("kvs", "cherry"), ("kvs", "banana"), ("kvs", "grape")];

/// The box of the controller, of one shard, and of none.
const HOME: u16 = 0;
const A: u16 = 1;
const C: u16 = 3;

#[test]
fn an_ask_to_an_agent_in_shards_is_one_delay_there_and_one_back() {
    let mut delays = Delays::new();
    delays.of_client_in(C, &KEYS);
    // Another client, whose reactor knows the routes: nothing is looked up for it.
    assert_eq!(delays.of_client_in(C, &KEYS), [ASK; 4]);
}

#[test]
fn the_first_ask_looks_up_where_all_shards_are_at_once() {
    let mut delays = Delays::new();
    delays.of_client_in(C, &[("map", "opens the link to box a")]);
    // The link to box b opens meanwhile, from the moment when the routes were learned.
    let rest_of_opening = OPENING - ASK;
    let expect = [LOOK_UP + ASK, rest_of_opening + ASK, ASK, ASK];
    assert_eq!(delays.of_client_in(C, &KEYS), expect);
}

#[test]
fn before_the_first_message_between_two_reactors_their_link_opens() {
    let mut delays = Delays::new();
    // Links to all shards open when the routes are learned, also that to the other box.
    assert_eq!(delays.of_client_in(C, &KEYS), [LOOK_UP + OPENING + ASK, ASK, ASK, ASK]);
}

#[test]
fn what_is_in_the_same_reactor_costs_no_delay() {
    let mut delays = Delays::new();
    delays.of_client_in(A, &KEYS);
    assert_eq!(delays.of_client_in(A, &KEYS), [0, ASK, 0, ASK]);
    // Nor does the look-up beside the controller.
    delays.of_client_in(HOME, &[("map", "opens the link to box a")]);
    assert_eq!(delays.of_client_in(HOME, &KEYS), [ASK; 4]);
}
