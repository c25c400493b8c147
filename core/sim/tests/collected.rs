//! What boxes keep does not grow with what has been: agents that came and went, shards that were others.
#![allow(clippy::unwrap_used, missing_docs)]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use daedal_boxes::deliver::hosted;
use daedal_boxes::template::Templates;
use daedal_boxes::{Kept, Placed};
use daedal_model::agent::{Agent, Answer, Archived};
use daedal_model::context::Context;
use daedal_model::controller::System;
use daedal_model::latt::Specification;
use daedal_model::path::AgentPath;
use daedal_model::place::{Site, Wish};
use daedal_model::refine::Qualities;
use daedal_model::state;
use daedal_sim::agents::{Map, Reply, Request};
use daedal_sim::clients::Wake;
use daedal_sim::linearizable::Action;
use daedal_sim::operator::{Change, Operator};
use daedal_sim::random::Random;
use daedal_sim::recorder::Recorder;
use daedal_sim::scribe::Scribe;
use daedal_sim::visitors::{Visitor, VisitorHost};
use daedal_sim::world::{BoxSetup, Setup, Starting, World};

mod transforms;

/// Asks for one key after another, over and over.
#[state(crate = daedal_model)]
#[derive(Default)]
struct Asker {
    #[combine(sum)]
    asked: u64,
}

impl Agent for Asker {
    type Message = Wake;
    type Reply = Wake;

    fn start(&mut self, context: &mut Context<'_, Self>) {
        self.asked += 1;
        let key = format!("k{}", self.asked % 50);
        context.ask_in_order("kvs", &Request::of(&key, &Action::Increment(1)));
    }

    fn transition(&mut self, _: &Archived<Wake>, context: &mut Context<'_, Self>) {
        self.start(context);
    }

    fn answered(&mut self, answer: &Answer<'_>, context: &mut Context<'_, Self>) {
        assert!(answer.open::<Reply>().is_ok(), "{answer:?}");
        context.after(Duration::from_millis(2), &Wake::Now);
    }
}

fn path(text: &str) -> AgentPath {
    AgentPath::parse(text).unwrap()
}

/// Three boxes, of two reactors but for the controller's, with an agent in shards, scribes, and what the first
/// box starts with.
fn world(
    starter: impl Fn(&mut Starting<'_>, &Rc<RefCell<Recorder>>) + 'static,
) -> (World, Rc<RefCell<Recorder>>) {
    let by = transforms::options().transforms;
    let plain = |template: &str, boxes: &[&str]| Specification {
        template: template.to_owned(),
        wish: Wish { boxes: boxes.iter().map(|it| it.to_string()).collect(), ..Wish::default() },
        ..Specification::default()
    };
    let qualities = Qualities { keyed: true, deterministic: true, stateless: false };
    let shards = vec![(by.shard)(2)];
    let kvs = Specification { qualities, transforms: shards, ..plain("map", &["a", "b"]) };
    let boxes = [("home", 1), ("a", 2), ("b", 2)];
    let mut templates = Templates::new();
    templates.agent("map", |_| Ok(Map::default()));
    templates.agent("scribe", |_| Ok(Scribe::begin()));
    templates.agent("visitor", |parameters| Ok(Visitor::made(parameters)?));
    templates.talks_to::<Operator>().talks_to::<VisitorHost>().talks_to::<Asker>();
    let clock = Rc::new(Cell::new(0));
    let recorder = Rc::new(RefCell::new(Recorder::new(Rc::clone(&clock), 1, 0)));
    let told = Rc::clone(&recorder);
    let system = System {
        agents: vec![
            (path("kvs"), kvs),
            (path("ledger"), plain("scribe", &["b"])),
            (path("echo"), plain("scribe", &["a"])),
        ],
        templates: [("visitor".to_owned(), plain("visitor", &["a"]))].into(),
        boxes: boxes[1..]
            .iter()
            .map(|(name, reactors)| Site { name: name.to_string(), reactors: *reactors })
            .collect(),
        home: "home".to_owned(),
    };
    let boxes = boxes.map(|(name, reactors)| BoxSetup { name: name.to_owned(), reactors });
    let world = World::new(Setup {
        clock,
        starter: Box::new(move |mut starting| {
            if starting.agent_box == 1 {
                starter(&mut starting, &recorder);
            }
        }),
        ..Setup::undisturbed(boxes.into(), system, templates, 50_000)
    });
    (world, told)
}

fn kept(world: &mut World) -> Vec<Kept> {
    let reactors = [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1)];
    reactors.map(|(index, reactor)| world.turn(index, reactor).unwrap().kept()).into()
}

fn run_until(world: &mut World, at: u64) {
    while world.now() < at {
        assert!(world.step());
    }
}

/// Nowhere more than half as much again.
fn are_alike(before: &[Kept], after: &[Kept]) {
    for (before, after) in before.iter().zip(after) {
        let counts = |kept: &Kept| {
            [kept.slots, kept.conversations, kept.routes, kept.origins, kept.done, kept.lines]
        };
        let is_more = |(before, after): (usize, usize)| after > before + before / 2 + 16;
        let any = counts(before).into_iter().zip(counts(after)).any(is_more);
        assert!(!any, "{before:?}\n{after:?}");
    }
}

#[test]
fn fifty_changes_of_the_number_of_shards_leave_no_more_than_ten() {
    const EVERY_NS: u64 = 100_000_000;
    let (mut world, recorder) = world(|starting, recorder| {
        let change = |nth| {
            let (at, shards) = (nth * EVERY_NS, 2 + (nth % 2) as u32);
            Change { at, path: "kvs".to_owned(), shards }
        };
        let changes: Vec<_> = (1..=50).map(change).collect();
        let operator = Operator::new(&changes, Rc::clone(recorder));
        let (at, space) = (Placed::alone(path("operator"), starting.space(1)), 2);
        starting.turns[0].host(at, hosted(operator));
        for nth in 0..6 {
            let name = path(&format!("asker{nth}"));
            let asker = Placed::alone(name, starting.space(space + nth));
            starting.turns[nth as usize % 2].host(asker, hosted(Asker::default()));
        }
    });
    run_until(&mut world, 10 * EVERY_NS + EVERY_NS / 2);
    let ten = kept(&mut world);
    run_until(&mut world, 51 * EVERY_NS);
    assert_eq!(recorder.borrow().changes, 50);
    are_alike(&ten, &kept(&mut world));
}

#[test]
fn visitors_that_come_and_go_through_the_controller_leave_nothing() {
    let (mut world, recorder) = world(|starting, recorder| {
        let recorder = Rc::clone(recorder);
        let host = VisitorHost::new((1, 600), true, Random::new(1), recorder);
        starting.turns[0].host(Placed::alone(path("host"), starting.space(1)), hosted(host));
    });
    run_until(&mut world, 6_000_000_000);
    let some = kept(&mut world);
    run_until(&mut world, 20_000_000_000);
    assert_eq!(recorder.borrow().visits, 600);
    are_alike(&some, &kept(&mut world));
}
