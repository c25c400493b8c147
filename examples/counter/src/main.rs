//! `cargo run -p counter`: a counter and somebody who counts, on one reactor, without threads.

use std::sync::Arc;

use counter::{Add, Counter};
use daedal::boxes::turn::Turn;
use daedal::prelude::*;
use daedal::{Parameters, Stamp};

/// Adds to the counter, and prints what it answers. A shim, since agents do no I/O.
#[derive(Debug, Default)]
struct Person;

impl Agent for Person {
    type Message = ();
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        for by in [1, 2, 39] {
            context.ask("counter", &Add(by));
        }
    }

    fn transition(&mut self, _: &Archived<()>, _: &mut Context<'_, Self>) {}

    fn answered(&mut self, answer: &Answer<'_>, _: &mut Context<'_, Self>) {
        match answer.open::<u64>() {
            Ok(count) => println!("the counter stands at {count}"),
            Err(refusal) => println!("no answer: {refusal:?}"),
        }
    }
}

impl Shim for Person {
    fn poll(&mut self, _: &mut Context<'_, Self>) -> bool {
        false
    }
}

fn main() -> Result<(), String> {
    let mut templates = Templates::new();
    templates.agent("Counter", |_| Ok(Counter::default()));
    templates.shim("Person", |_| Ok(Person));
    let mut reactor = Turn::alone(Arc::new(templates));
    reactor.run("counter", "Counter", &Parameters::new())?;
    reactor.run("person", "Person", &Parameters::new())?;
    while reactor.take(Stamp(0), true) {}
    Ok(())
}
