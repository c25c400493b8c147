//! Simulated clients, and what they saw.
//!
//! A client keeps a few requests outstanding, thinks now and then, and goes on until its slot has issued
//! its share. A client dies with its box; the slot's next client goes on with what is left. What was not
//! answered, or came back as unknown, stays unknown: a guess is never recorded.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use daedal_model::agent::{Agent, Answer, Archived, Outcome};
use daedal_model::context::Context;
use daedal_model::id::{AgentId, Number};
use daedal_model::message;
use daedal_model::message::Wire;
use daedal_model::state::{Captured, State, StateError};

use crate::agents::{Count, Pass, Reply, Request, Told};
use crate::linearizable::{Action, Output, Value};
use crate::random::Random;

/// Agent that is cut into shards.
pub const SHARDED: &str = "kvs";
/// The same, in one piece.
pub const WHOLE: &str = "map";
/// Agent that counts.
pub const COUNTER: &str = "counter";
/// Agent with a filter.
pub const DOOR: &str = "door";

/// How long a client thinks, on average.
const THINK_NS: u64 = 30_000_000;

/// One request of a client that is answered.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Which slot.
    pub slot: u32,
    /// Whom it was for.
    pub agent: &'static str,
    /// What was asked.
    pub about: About,
    /// When.
    pub at: u64,
    /// What came of it; none yet, or unknown for ever.
    pub ended: Option<Ended>,
}

/// What a request was.
#[derive(Clone, Debug)]
pub enum About {
    /// An action on a key.
    Key(String, Action),
    /// A broadcast that all parts count.
    Mark,
    /// How often they did.
    Marks,
    /// How often the counter was told.
    Count,
    /// A door that was opened, or gone through.
    Door,
}

/// The end of a request.
#[derive(Clone, Debug)]
pub struct Ended {
    /// When.
    pub at: u64,
    /// The answer and the life that gave it; none: it was refused.
    pub reply: Option<(u64, Told)>,
}

impl Ended {
    /// What a key's owner answered.
    pub fn output(&self) -> Option<(u64, Output)> {
        let (life, told) = self.reply.clone()?;
        Some((life, told.output()?))
    }
}

/// A moment of a history: a request's beginning, or its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It was sent.
    Began(usize),
    /// It was answered.
    Ended(usize),
}

/// How far a slot is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Slot {
    /// What it has still to issue.
    pub left: u32,
    /// Of its present client, requests that were not answered.
    pub outstanding: u32,
    /// Messages to the counter.
    pub told: u64,
    /// How many clients it has had.
    pub lives: u32,
}

/// What all clients saw.
#[derive(Debug)]
pub struct Recorder {
    clock: Rc<Cell<u64>>,
    /// Everything that was asked.
    pub asked: Vec<Asked>,
    /// In their order.
    pub moments: Vec<Moment>,
    /// By slot.
    pub slots: Vec<Slot>,
    /// What must not be, whatever the order.
    pub violations: Vec<String>,
}

impl Recorder {
    /// For so many slots that issue `share` requests each, and one more that issues none.
    pub fn new(clock: Rc<Cell<u64>>, slots: usize, share: u32) -> Recorder {
        let mut slots = vec![Slot { left: share, ..Slot::default() }; slots];
        slots.push(Slot::default());
        let (asked, moments, violations) = (Vec::new(), Vec::new(), Vec::new());
        Recorder { clock, asked, moments, slots, violations }
    }

    /// Whether every slot has issued its share, and has its answers.
    pub fn is_finished(&self) -> bool {
        let done = |slot: &Slot| slot.left == 0 && slot.outstanding == 0;
        self.slots.iter().all(done)
    }

    /// Requests that wait for an answer, one line each.
    pub fn waiting(&self) -> String {
        let open = self.asked.iter().filter(|it| it.ended.is_none());
        let lines = open.map(|it| {
            format!("  slot {} asked {} at {}: {:?}\n", it.slot, it.agent, it.at, it.about)
        });
        lines.collect()
    }

    fn begin(&mut self, slot: u32, agent: &'static str, about: About) -> usize {
        let id = self.asked.len();
        let at = self.clock.get();
        self.asked.push(Asked { slot, agent, about, at, ended: None });
        self.moments.push(Moment::Began(id));
        id
    }

    fn end(&mut self, id: usize, reply: Option<(u64, Told)>) {
        let at = self.clock.get();
        self.asked[id].ended = Some(Ended { at, reply });
        self.moments.push(Moment::Ended(id));
    }
}

/// What a client sends itself.
#[message(crate = daedal_model)]
#[derive(Clone, Copy, Debug)]
pub enum Wake {
    /// It has thought.
    Now,
}

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// Issues what is left of its slot's share, so many at once.
    Work {
        /// Requests outstanding at the most.
        window: u32,
    },
    /// Reads once what counts, at the end of a run.
    Audit,
}

/// The agent.
#[derive(Debug)]
pub struct Client {
    slot: u32,
    job: Job,
    random: Random,
    recorder: Rc<RefCell<Recorder>>,
    outstanding: BTreeMap<(AgentId, Number), usize>,
}

impl Client {
    /// A client of a slot. What was outstanding of the slot's earlier one is not waited for.
    pub fn new(slot: u32, job: Job, random: Random, recorder: Rc<RefCell<Recorder>>) -> Client {
        {
            let mut recorder = recorder.borrow_mut();
            let slot = &mut recorder.slots[slot as usize];
            slot.outstanding = 0;
            slot.lives += 1;
        }
        Client { slot, job, random, recorder, outstanding: BTreeMap::new() }
    }

    fn work(&mut self, window: u32, context: &mut Context<'_, Client>) {
        while (self.outstanding.len() as u32) < window && self.may_issue() {
            match self.random.below(20) {
                0..10 => self.ask_key(SHARDED, context),
                10..13 => self.ask_key(WHOLE, context),
                13..16 => {
                    context.send(COUNTER, &Count::One);
                    self.recorder.borrow_mut().slots[self.slot as usize].told += 1;
                }
                16..18 => {
                    let number = context.ask(SHARDED, &Request::Mark);
                    self.expect(SHARDED, About::Mark, number);
                }
                _ => {
                    for pass in [Pass::Through, Pass::Open] {
                        let number = context.ask(DOOR, &pass);
                        self.expect(DOOR, About::Door, number);
                    }
                }
            }
        }
    }

    /// Whether the slot's share is not issued; then one more of it is.
    fn may_issue(&mut self) -> bool {
        let mut recorder = self.recorder.borrow_mut();
        let slot = &mut recorder.slots[self.slot as usize];
        let may = slot.left > 0;
        slot.left -= u32::from(may);
        may
    }

    fn ask_key(&mut self, agent: &'static str, context: &mut Context<'_, Client>) {
        let key = format!("k{}", self.random.below(5));
        let value = Value(format!("{}.{}", self.slot, self.random.below(1000)).into_bytes());
        let action = match self.random.below(8) {
            0 | 1 => Action::Get,
            2 => Action::Set(value),
            3 => Action::Set(Value(b"0".to_vec())),
            4 => Action::Delete,
            5 => Action::Increment(1),
            _ => Action::Append(value),
        };
        let number = context.ask(agent, &Request::of(&key, &action));
        self.expect(agent, About::Key(key, action), number);
    }

    fn audit(&mut self, context: &mut Context<'_, Client>) {
        let number = context.ask(COUNTER, &Count::Read);
        self.expect(COUNTER, About::Count, number);
        let number = context.ask(SHARDED, &Request::Marks);
        self.expect(SHARDED, About::Marks, number);
    }

    fn expect(&mut self, agent: &'static str, about: About, number: Number) {
        let mut recorder = self.recorder.borrow_mut();
        let id = recorder.begin(self.slot, agent, about);
        recorder.slots[self.slot as usize].outstanding += 1;
        self.outstanding.insert((AgentId::of(agent), number), id);
    }

    fn go_on(&mut self, context: &mut Context<'_, Client>) {
        match self.job {
            Job::Audit => {}
            Job::Work { .. } if self.random.chance(500_000) => {
                let think = Duration::from_nanos(self.random.delay(THINK_NS));
                context.after(think, &Wake::Now);
            }
            Job::Work { window } => self.work(window, context),
        }
    }
}

impl Agent for Client {
    type Message = Wake;
    type Reply = Wake;

    fn start(&mut self, context: &mut Context<'_, Client>) {
        match self.job {
            Job::Work { window } => self.work(window, context),
            Job::Audit => self.audit(context),
        }
        context.after(Duration::from_nanos(THINK_NS), &Wake::Now);
    }

    fn transition(&mut self, _: &Archived<Wake>, context: &mut Context<'_, Client>) {
        if let Job::Work { window } = self.job {
            self.work(window, context);
        }
    }

    fn answered(&mut self, answer: &Answer<'_>, context: &mut Context<'_, Client>) {
        let Some(id) = self.outstanding.remove(&(answer.from, answer.to)) else {
            let text = format!(
                "slot {}: an answer to {} of {}, which nobody waits for: {:?}",
                self.slot, answer.to, answer.from, answer.outcome
            );
            self.recorder.borrow_mut().violations.push(text);
            return;
        };
        {
            let mut recorder = self.recorder.borrow_mut();
            recorder.slots[self.slot as usize].outstanding -= 1;
            match (&answer.outcome, answer.open::<Reply>()) {
                (Outcome::Unknown, _) => {}
                (_, Ok(reply)) => {
                    let Reply { life, told } = Reply::owned(reply);
                    recorder.end(id, Some((life, told)));
                }
                (outcome, Err(_)) => {
                    let text = format!("slot {}: request {id} got {outcome:?}", self.slot);
                    recorder.violations.push(text);
                    recorder.end(id, None);
                }
            }
        }
        self.go_on(context);
    }
}

impl State for Client {
    const NAME: &'static str = "Client";
    const VERSION: u16 = 1;

    fn capture(&self) -> Captured {
        Captured::new::<Client>()
    }

    fn restore(_: Captured) -> Result<Client, StateError> {
        Err(StateError::Forbidden("a simulated client ends with its box".to_owned()))
    }
}
