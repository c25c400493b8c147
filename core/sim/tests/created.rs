//! Agents that come and go while the system runs, because another agent says so (Ovid §3.3, §5).
#![allow(clippy::unwrap_used, missing_docs)]

use std::cell::RefCell;
use std::collections::BTreeMap;

use daedal_boxes::template::Templates;
use daedal_model::agent::{Agent, Answer, Archived, Refusal};
use daedal_model::context::Context;
use daedal_model::control::{ArchivedFromController, FromController};
use daedal_model::controller::System;
use daedal_model::latt::Specification;
use daedal_model::path::AgentPath;
use daedal_model::place::{Site, Wish};
use daedal_model::state;
use daedal_sim::world::{BoxSetup, Setup, World};

thread_local! {
    static HEARD: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn hear(what: impl Into<String>) {
    HEARD.with_borrow_mut(|heard| heard.push(what.into()));
}

/// Answers with what it was created with, and what it is asked.
#[state(crate = daedal_model)]
struct Echo {
    #[combine(constant)]
    greeting: String,
}

impl Agent for Echo {
    type Message = String;
    type Reply = String;

    fn transition(&mut self, message: &Archived<String>, context: &mut Context<'_, Self>) {
        context.reply(format!("{} {message}", self.greeting).as_str());
    }
}

/// Creates an agent, asks it, stops it, asks it again; and creates what cannot be.
#[state(crate = daedal_model)]
#[derive(Default)]
struct Founder {
    #[combine(sum)]
    steps: u64,
}

impl Agent for Founder {
    type Message = ();
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        context.create("echo", "Echo", "greeting=hello\n");
    }

    fn transition(&mut self, _: &Archived<()>, _: &mut Context<'_, Self>) {}

    fn answered(&mut self, answer: &Answer<'_>, context: &mut Context<'_, Self>) {
        match answer.open::<FromController>() {
            Ok(ArchivedFromController::Created) => {
                hear("created");
                context.ask("echo", &"world");
            }
            Ok(ArchivedFromController::Stopped) => {
                hear("stopped");
                context.create("echo/part", "Echo", "");
                context.stop("nobody");
            }
            Ok(ArchivedFromController::Refused(_, why)) => hear(why.as_str()),
            Ok(other) => hear(format!("{other:?}")),
            Err(Some(Refusal::WrongSchema)) => {
                hear(answer.open::<String>().unwrap().as_str());
                context.stop("echo");
            }
            Err(refusal) => hear(format!("{refusal:?}")),
        }
    }
}

fn world() -> World {
    let spec = |template: &str, at: &str| Specification {
        template: template.to_owned(),
        wish: Wish { boxes: vec![at.to_owned()], ..Wish::default() },
        ..Specification::default()
    };
    let path = |text: &str| AgentPath::parse(text).unwrap();
    let boxes = ["home", "a", "b"].map(|name| BoxSetup { name: name.to_owned(), reactors: 1 });
    let system = System {
        agents: vec![(path("founder"), spec("Founder", "a"))],
        templates: BTreeMap::from([("Echo".to_owned(), spec("Echo", "b"))]),
        boxes: ["a", "b"].map(|name| Site { name: name.to_owned(), reactors: 1 }).into(),
        home: "home".to_owned(),
    };
    let mut templates = Templates::new();
    templates.agent("Founder", |_| Ok(Founder::default()));
    templates.agent("Echo", |parameters| {
        let greeting = parameters.get("greeting").cloned();
        Ok(Echo { greeting: greeting.ok_or("say `greeting`")? })
    });
    World::new(Setup::undisturbed(boxes.into(), system, templates, 50_000))
}

#[test]
fn an_agent_creates_another_asks_it_and_stops_it() {
    let mut world = world();
    while HEARD.with_borrow(|heard| heard.len() < 5) {
        assert!(world.step() && world.now() < 60_000_000_000, "{:?}", HEARD.take());
    }
    let heard = HEARD.take();
    assert_eq!(heard[..3], ["created", "hello world", "stopped"]);
    assert!(heard[3].contains("echo/part"), "{heard:?}");
    assert!(heard[4].contains("nobody is no agent of the top level"), "{heard:?}");
}
