//! The agents that simulated clients work with: small, and hard on what is below them.
//!
//! Every reply says in which *life* of its agent (or, of a virtual agent, of its parts) it was made: what
//! is promised is promised for each life. Where shards take keys over from each other, each key has lives of
//! its own: one begins when the key is first touched where nothing is known of it, and moves with it.

#![expect(missing_docs, reason = "rkyv documents no resolvers of variants with named fields")]

use std::collections::BTreeMap;
use std::time::Duration;

use daedal_model::agent::{Agent, Archived};
use daedal_model::context::Context;
use daedal_model::message::Wire;
use daedal_model::{message, state};

use crate::linearizable::{Action, KeyValue, Output, Value};
use crate::witness;

/// How long the [`Door`] stays shut at the longest.
const SHUT: Duration = Duration::from_millis(50);

/// What a [`Map`] is asked.
#[message(crate = daedal_model)]
#[derive(Clone, Debug)]
pub enum Request {
    /// The value of a key.
    Get {
        /// The key.
        #[point]
        key: String,
    },
    /// To give a key a value.
    Set {
        /// The key.
        #[point]
        key: String,
        /// The value.
        value: Vec<u8>,
    },
    /// To take its value from a key.
    Delete {
        /// The key.
        #[point]
        key: String,
    },
    /// To add to the number that is a key's value.
    Increment {
        /// The key.
        #[point]
        key: String,
        /// The addend.
        by: i64,
    },
    /// To add bytes to a key's value.
    Append {
        /// The key.
        #[point]
        key: String,
        /// The bytes.
        value: Vec<u8>,
    },
    /// To count this, in every part.
    #[broadcast]
    Mark,
    /// How often all parts together counted a mark.
    #[broadcast]
    Marks,
}

/// What all agents here answer.
#[message(crate = daedal_model)]
#[derive(Clone, Debug)]
pub struct Reply {
    /// Which life of the agent it was; never 0.
    pub life: u64,
    /// The answer.
    pub told: Told,
}

/// What a reply says.
#[message(crate = daedal_model)]
#[derive(Clone, Debug)]
pub enum Told {
    /// Of a get.
    Value(Option<Vec<u8>>),
    /// Of a set, and of what has no answer of its own.
    Done,
    /// Of a delete.
    Deleted(bool),
    /// Of an increment.
    Number(i64),
    /// Of an increment of what is no number.
    NotANumber,
    /// Of an append.
    Bytes(u64),
    /// Of a count.
    Count(u64),
}

impl Request {
    /// The request for an action on a key.
    pub fn of(key: &str, action: &Action) -> Request {
        let key = key.to_owned();
        match action.clone() {
            Action::Get => Request::Get { key },
            Action::Set(Value(value)) => Request::Set { key, value },
            Action::Delete => Request::Delete { key },
            Action::Increment(by) => Request::Increment { key, by },
            Action::Append(Value(value)) => Request::Append { key, value },
        }
    }

    /// The action on a key; none of a broadcast.
    fn action(self) -> Option<(String, Action)> {
        Some(match self {
            Request::Get { key } => (key, Action::Get),
            Request::Set { key, value } => (key, Action::Set(Value(value))),
            Request::Delete { key } => (key, Action::Delete),
            Request::Increment { key, by } => (key, Action::Increment(by)),
            Request::Append { key, value } => (key, Action::Append(Value(value))),
            Request::Mark | Request::Marks => return None,
        })
    }
}

impl Told {
    /// As a history has it.
    pub fn output(self) -> Option<Output> {
        Some(match self {
            Told::Value(value) => Output::Value(value.map(Value)),
            Told::Done => Output::Done,
            Told::Deleted(was) => Output::Deleted(was),
            Told::Number(number) => Output::Number(number),
            Told::NotANumber => Output::NotANumber,
            Told::Bytes(bytes) => Output::Bytes(bytes),
            Told::Count(_) => return None,
        })
    }

    fn of(output: Output) -> Told {
        match output {
            Output::Value(value) => Told::Value(value.map(|Value(bytes)| bytes)),
            Output::Done => Told::Done,
            Output::Deleted(was) => Told::Deleted(was),
            Output::Number(number) => Told::Number(number),
            Output::NotANumber => Told::NotANumber,
            Output::Bytes(bytes) => Told::Bytes(bytes),
        }
    }
}

/// A key-value agent. It does what the specification does: what is tested is all that lies between it
/// and its clients.
#[state(crate = daedal_model)]
#[derive(Debug, Default)]
pub struct Map {
    #[keyed]
    map: BTreeMap<String, Vec<u8>>,
    #[keyed]
    lives: BTreeMap<String, u64>,
    #[combine(sum)]
    marks: u64,
}

impl Agent for Map {
    type Message = Request;
    type Reply = Reply;

    fn transition(&mut self, message: &Archived<Request>, context: &mut Context<'_, Map>) {
        let request = Request::owned(message);
        let is_mark = matches!(request, Request::Mark);
        let (life, told) = match request.action() {
            None => {
                self.marks += u64::from(is_mark);
                (1, Told::Count(self.marks))
            }
            Some((key, action)) => {
                let life = *self.lives.entry(key.clone()).or_insert_with(witness::number_of_a_life);
                let before = self.map.remove(&key).map(Value);
                let (after, output) = KeyValue::apply(&before, &action);
                self.map.extend(after.map(|Value(bytes)| (key, bytes)));
                (life, Told::of(output))
            }
        };
        context.reply(&Reply { life, told });
    }

    fn merge(_: &Archived<Request>, replies: &[&Archived<Reply>]) -> Reply {
        let replies = replies.iter().map(|reply| Reply::owned(reply));
        let (mut life, mut count) = (0u64, 0);
        for reply in replies {
            life = life.wrapping_add(reply.life);
            if let Told::Count(of_one) = reply.told {
                count += of_one;
            }
        }
        Reply { life, told: Told::Count(count) }
    }
}

/// What a [`Counter`] is told.
#[message(crate = daedal_model)]
#[derive(Clone, Copy, Debug)]
pub enum Count {
    /// To count one more. Not answered.
    One,
    /// How many there were.
    Read,
}

/// Counts what it is told, without an answer that could show a loss.
#[state(crate = daedal_model)]
#[derive(Debug, Default)]
pub struct Counter {
    #[combine(sum)]
    count: u64,
    #[combine(forbid)]
    life: u64,
}

impl Agent for Counter {
    type Message = Count;
    type Reply = Reply;

    fn start(&mut self, _: &mut Context<'_, Counter>) {
        self.life = witness::number_of_a_life();
    }

    fn transition(&mut self, message: &Archived<Count>, context: &mut Context<'_, Counter>) {
        match Count::owned(message) {
            Count::One => self.count += 1,
            Count::Read => context.reply(&Reply { life: self.life, told: Told::Count(self.count) }),
        }
    }
}

/// What a [`Door`] is asked.
#[message(crate = daedal_model)]
#[derive(Clone, Copy, Debug)]
pub enum Pass {
    /// To let one more through.
    Open,
    /// To be let through.
    Through,
    /// From itself: to open, if nobody else did.
    Late,
}

/// Wants nobody to go through before it was opened: its filter makes messages wait, and wakes them.
#[state(crate = daedal_model)]
#[derive(Debug, Default)]
pub struct Door {
    #[combine(sum)]
    open: u64,
    #[combine(sum)]
    passed: u64,
    #[combine(forbid)]
    life: u64,
}

impl Agent for Door {
    type Message = Pass;
    type Reply = Reply;

    fn start(&mut self, context: &mut Context<'_, Door>) {
        self.life = witness::number_of_a_life();
        context.after(SHUT, &Pass::Late);
    }

    fn wants(&self, message: &Archived<Pass>) -> bool {
        self.open > 0 || !matches!(message, ArchivedPass::Through)
    }

    fn transition(&mut self, message: &Archived<Pass>, context: &mut Context<'_, Door>) {
        match Pass::owned(message) {
            Pass::Open => self.open += 1,
            Pass::Through => {
                self.open -= 1;
                self.passed += 1;
            }
            Pass::Late => {
                self.open = self.open.max(1);
                context.after(SHUT, &Pass::Late);
                return;
            }
        }
        context.reply(&Reply { life: self.life, told: Told::Done });
    }
}
