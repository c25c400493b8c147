//! Turns of two boxes over a simulated network: what is sent arrives, whatever its size.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use daedal_boxes::links::Links;
use daedal_boxes::reactor::join;
use daedal_boxes::template::Templates;
use daedal_boxes::turn::Turn;
use daedal_boxes::{Placed, hosted};
use daedal_model::agent::{Agent, Answer, Archived, Outcome};
use daedal_model::context::Context;
use daedal_model::id::{AgentId, BoxId, Name, Number, ReactorAddress, Space, Stamp};
use daedal_model::path::AgentPath;
use daedal_model::{message, state};
use daedal_net::driver::sim::{Config, SimDriver, SimNetwork};

/// Asks for as many bytes.
#[message(crate = daedal_model)]
#[derive(Debug)]
pub struct Bytes {
    count: u64,
}

#[state(crate = daedal_model)]
#[derive(Default)]
struct Blob {}

impl Agent for Blob {
    type Message = Bytes;
    type Reply = Vec<u8>;

    fn transition(&mut self, message: &Archived<Bytes>, context: &mut Context<'_, Self>) {
        context.reply(&vec![7u8; message.count.to_native() as usize]);
    }
}

/// Asks for each size in turn.
#[state(crate = daedal_model)]
struct Asker {
    #[combine(forbid)]
    left: Vec<u64>,
    #[combine(sum)]
    answers: u64,
    #[combine(sum)]
    bytes: u64,
}

const BLOB: AgentId = AgentId::of("blob");

impl Agent for Asker {
    type Message = Bytes;
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        if let Some(count) = self.left.pop() {
            context.ask(BLOB, &Bytes { count });
        }
    }

    fn transition(&mut self, _: &Archived<Bytes>, _: &mut Context<'_, Self>) {}

    fn answered(&mut self, answer: &Answer<'_>, context: &mut Context<'_, Self>) {
        assert!(matches!(answer.outcome, Outcome::Reply { .. }), "{:?}", answer.outcome);
        let bytes = answer.open::<Vec<u8>>().expect("a blob answers with bytes");
        assert!(bytes.iter().all(|byte| *byte == 7));
        self.answers += 1;
        self.bytes += bytes.len() as u64;
        self.start(context);
    }
}

/// Names, in a list that may be too long to be written in place.
#[message(crate = daedal_model)]
#[derive(Debug)]
pub struct Names {
    names: Vec<String>,
}

/// Says how many names it was told.
#[state(crate = daedal_model)]
struct Roll {}

impl Agent for Roll {
    type Message = Names;
    type Reply = u64;

    fn transition(&mut self, message: &Archived<Names>, context: &mut Context<'_, Self>) {
        assert!(message.names.iter().enumerate().all(|(at, name)| *name == *at.to_string()));
        context.reply(&(message.names.len() as u64));
    }
}

/// Tells it ten thousand.
#[state(crate = daedal_model)]
struct Caller {
    #[combine(sum)]
    heard: u64,
}

impl Agent for Caller {
    type Message = Names;
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        context.ask(BLOB, &Names { names: (0..10_000).map(|at| at.to_string()).collect() });
    }

    fn transition(&mut self, _: &Archived<Names>, _: &mut Context<'_, Self>) {}

    fn answered(&mut self, answer: &Answer<'_>, _: &mut Context<'_, Self>) {
        self.heard += answer.open::<u64>().expect("a roll answers").to_native();
    }
}

/// Answers when it is told to.
#[state(crate = daedal_model)]
#[derive(Default)]
struct Late {
    #[combine(forbid)]
    askers: Vec<(u64, u32, u64)>,
}

impl Agent for Late {
    type Message = Bytes;
    type Reply = Vec<u8>;

    fn transition(&mut self, message: &Archived<Bytes>, context: &mut Context<'_, Self>) {
        if message.count == 0 {
            for (source, space, number) in std::mem::take(&mut self.askers) {
                let (source, space, number) = (AgentId(source), Space(space), Number(number));
                context.reply_to(Name { source, space, number }, &vec![7u8]);
            }
            return;
        }
        let Name { source, space, number } = context.reply_address();
        self.askers.push((source.0, space.0, number.0));
        context.after(Duration::from_millis(100), &Bytes { count: 0 });
    }
}

fn path(text: &str) -> AgentPath {
    AgentPath::parse(text).expect("a path")
}

fn address(agent_box: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, agent_box as u8], 7000))
}

fn turn(agent_box: u16, network: &SimNetwork, templates: &Arc<Templates>) -> Turn<SimDriver> {
    turn_of_life(agent_box, 0, network, templates)
}

fn turn_of_life(
    agent_box: u16,
    life: u64,
    network: &SimNetwork,
    templates: &Arc<Templates>,
) -> Turn<SimDriver> {
    let me = ReactorAddress { agent_box: BoxId(agent_box), reactor: 0 };
    let driver = SimDriver::start(network, Config::new(address(agent_box)), 0);
    let driver = driver.expect("a free address");
    let nonce = u64::from(agent_box) * 77 + life;
    let links = Links::new(me, driver, templates.kinds(), Default::default(), nonce);
    let mut turn = Turn::new(me, templates.clone(), links);
    turn.put_box(BoxId(2), address(2));
    turn.fix_route(path("blob"), ReactorAddress { agent_box: BoxId(2), reactor: 0 });
    turn
}

/// Boxes 1 and 2.
fn two_boxes(templates: Templates) -> [Turn<SimDriver>; 2] {
    let (templates, network) = (Arc::new(templates), SimNetwork::perfect(10_000));
    [turn(1, &network, &templates), turn(2, &network, &templates)]
}

/// So many turns of each.
fn run(turns: &mut [Turn<SimDriver>; 2], count: u64) {
    for step in 1..count {
        for turn in &mut *turns {
            turn.take(Stamp(step * 5_000), true);
        }
    }
}

#[test]
fn messages_of_all_sizes_come_back() {
    let sizes = vec![0, 1, 100, 1000, 1300, 1400, 1500, 3000, 20_000, 300_000];
    let mut templates = Templates::new();
    templates.talks_to::<Blob>().talks_to::<Asker>();
    let mut turns = two_boxes(templates);
    turns[1].host(Placed::alone(path("blob"), Space(2)), hosted(Blob {}));
    let asker = Asker { left: sizes.clone(), answers: 0, bytes: 0 };
    turns[0].host(Placed::alone(path("asker"), Space(1)), hosted(asker));
    run(&mut turns, 8_000);
    let captured = turns[0].capture(&path("asker")).unwrap().unwrap();
    let shown = captured.to_string();
    assert!(shown.contains(&format!("answers: {} (sum)", sizes.len())), "{shown}");
    assert!(shown.contains(&format!("bytes: {} (sum)", sizes.iter().sum::<u64>())), "{shown}");
}

/// No room is large enough for a list that is too long to be written in place.
#[test]
fn a_long_list_arrives_though_it_is_not_written_in_place() {
    let mut templates = Templates::new();
    templates.talks_to::<Roll>().talks_to::<Caller>();
    let mut turns = two_boxes(templates);
    turns[1].host(Placed::alone(path("blob"), Space(2)), hosted(Roll {}));
    let caller = || hosted(Caller { heard: 0 });
    turns[0].host(Placed::alone(path("afar"), Space(1)), caller());
    turns[1].host(Placed::alone(path("beside"), Space(3)), caller());
    run(&mut turns, 2_000);
    for (turn, caller) in turns.iter_mut().zip(["afar", "beside"]) {
        let captured = turn.capture(&path(caller)).unwrap().unwrap().to_string();
        assert!(captured.contains("heard: 10000 (sum)"), "{caller}: {captured}");
    }
}

#[test]
fn a_reply_to_one_that_is_gone_holds_no_other_up() {
    let mut templates = Templates::new();
    templates.talks_to::<Late>().talks_to::<Asker>();
    let templates = Arc::new(templates);
    let network = SimNetwork::perfect(10_000);
    let mut late = turn(2, &network, &templates);
    late.host(Placed::alone(path("blob"), Space(2)), hosted(Late::default()));
    let asker = || hosted(Asker { left: vec![1], answers: 0, bytes: 0 });
    let mut first = turn_of_life(1, 1, &network, &templates);
    first.host(Placed::alone(path("asker"), Space(11)), asker());
    let mut now = 0;
    let mut run = |turn: &mut Turn<SimDriver>, late: &mut Turn<SimDriver>, until: u64| {
        while now < until {
            now += 50_000;
            turn.take(Stamp(now), true);
            late.take(Stamp(now), true);
        }
    };
    run(&mut first, &mut late, 50_000_000);
    drop(first);
    let mut second = turn_of_life(1, 2, &network, &templates);
    second.host(Placed::alone(path("asker:2"), Space(12)), asker());
    run(&mut second, &mut late, 2_000_000_000);
    let captured = second.capture(&path("asker:2")).unwrap().unwrap();
    assert!(captured.to_string().contains("answers: 1 (sum)"), "{captured}");
}

/// It was handed over, but nobody had it: it goes again under its old name.
#[test]
fn what_comes_back_by_ring_is_not_done() {
    let mut templates = Templates::new();
    templates.talks_to::<Blob>().talks_to::<Asker>();
    let templates = Arc::new(templates);
    let network = SimNetwork::perfect(10_000);
    let there = ReactorAddress { agent_box: BoxId(1), reactor: 1 };
    let mut turns = [0, 1].map(|reactor| {
        let me = ReactorAddress { reactor, ..there };
        let at = SocketAddr::from(([10, 0, 0, 1], 7000 + u16::from(reactor)));
        let driver = SimDriver::start(&network, Config::new(at), 0).expect("a free address");
        let links = Links::new(me, driver, templates.kinds(), Default::default(), 7);
        let mut turn = Turn::new(me, templates.clone(), links);
        turn.fix_route(path("blob"), there);
        turn
    });
    join(&mut turns);
    let sizes = vec![1, 100, 5000, 10];
    let asker = Asker { left: sizes.clone(), answers: 0, bytes: 0 };
    turns[0].host(Placed::alone(path("asker"), Space(1)), hosted(asker));
    for step in 1..40 {
        for turn in &mut turns {
            turn.take(Stamp(step), false);
        }
        if step == 10 {
            assert!(turns[0].counts().returned > 0);
            turns[1].host(Placed::alone(path("blob"), Space(2)), hosted(Blob {}));
        }
    }
    let shown = turns[0].capture(&path("asker")).unwrap().unwrap().to_string();
    assert!(shown.contains(&format!("answers: {} (sum)", sizes.len())), "{shown}");
    assert!(turns.iter_mut().all(|turn| !turn.is_rung() && !turn.is_held_up()));
}
