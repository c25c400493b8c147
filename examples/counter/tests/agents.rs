//! Both agents on a real turn; and that the key-value store's GET allocates nothing.

#![expect(clippy::unwrap_used, reason = "all of this is a test")]

use std::cell::RefCell;
use std::sync::Arc;

use counter::key_value::{self, KeyValue};
use counter::{Add, Counter};
use daedal::boxes::turn::Turn;
use daedal::model::state::State;
use daedal::prelude::*;
use daedal::{Parameters, Stamp};
use daedal_allocations::allocations;

thread_local! {
    static HEARD: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Puts, and then gets for ever.
#[state]
#[derive(Default)]
struct Getter {
    #[combine(sum)]
    answers: u64,
}

impl Agent for Getter {
    type Message = ();
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        context.ask("kvs", &key_value::RequestRef::Put { key: "foo", value: b"bar" });
    }

    fn transition(&mut self, _: &Archived<()>, _: &mut Context<'_, Self>) {}

    fn answered(&mut self, answer: &Answer<'_>, context: &mut Context<'_, Self>) {
        let value = answer.open::<Option<Vec<u8>>>().unwrap();
        let expect = (self.answers > 0).then_some(b"bar".as_slice());
        assert_eq!(value.as_ref().map(|value| value.as_slice()), expect);
        self.answers += 1;
        context.ask("kvs", &key_value::RequestRef::Get { key: "foo" });
    }
}

#[test]
fn a_get_allocates_nothing() {
    let mut templates = Templates::new();
    templates.agent("KeyValue", |_| Ok(KeyValue::default()));
    templates.agent("Getter", |_| Ok(Getter::default()));
    let mut turn = Turn::alone(Arc::new(templates));
    turn.run("kvs", "KeyValue", &Parameters::new()).unwrap();
    turn.run("getter", "Getter", &Parameters::new()).unwrap();
    assert!(turn.take(Stamp(1), false));
    let delivered = turn.counts().delivered;
    assert_eq!(allocations(|| turn.take(Stamp(2), false)), (0, true));
    assert!(turn.counts().delivered - delivered > 1000);
}

/// Counts, and notes what it hears.
#[state]
#[derive(Default)]
struct Person {}

impl Agent for Person {
    type Message = ();
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        context.ask("counter", &Add(2));
        context.ask("counter", &Add(40));
        context.ask("counter", &Add(0));
    }

    fn transition(&mut self, _: &Archived<()>, _: &mut Context<'_, Self>) {}

    fn answered(&mut self, answer: &Answer<'_>, _: &mut Context<'_, Self>) {
        let count = answer.open::<u64>().unwrap().to_string();
        HEARD.with_borrow_mut(|heard| heard.push(count));
    }
}

#[test]
fn a_counter_counts() {
    let mut templates = Templates::new();
    templates.agent("Counter", |_| Ok(Counter::default()));
    templates.agent("Person", |_| Ok(Person::default()));
    let mut turn = Turn::alone(Arc::new(templates));
    turn.run("counter", "Counter", &Parameters::new()).unwrap();
    turn.run("person", "Person", &Parameters::new()).unwrap();
    while turn.take(Stamp(0), false) {}
    assert_eq!(HEARD.take(), ["2", "42", "42"]);
}

#[test]
fn the_states_show_their_fields() {
    let counter = Counter::default().capture();
    assert_eq!(counter.to_string(), "Counter v1\n  count: 0 (sum)");
    let store = KeyValue::default().capture();
    assert_eq!(store.to_string(), "KeyValue v1\n  map: 0 keys");
}
