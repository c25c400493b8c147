//! Simulated clients.
//!
//! A client keeps requests outstanding, thinks now and then, and goes on until its slot has issued its
//! share. A client dies with its box; the slot's next client goes on with what is left.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use daedal_model::agent::{Agent, Answer, Archived, Outcome};
use daedal_model::context::Context;
use daedal_model::id::{AgentId, Number, Space};
use daedal_model::message;
use daedal_model::message::Wire;
use daedal_model::state::{Captured, State, StateError};

use crate::agents::{Count, Pass, Reply, Request};
use crate::linearizable::{Action, Value};
use crate::network::trace_of;
use crate::random::Random;
use crate::recorder::{About, Noted, Recorder};
use crate::scenario::failure::{Failure, Rule};
use crate::scribe::Note;
use crate::witness::{self, Deed};

/// Agent that is cut into shards.
pub const SHARDED: &str = "kvs";
/// The same, in one piece.
pub const WHOLE: &str = "map";
/// Agent that counts.
pub const COUNTER: &str = "counter";
/// Agent with a filter.
pub const DOOR: &str = "door";
/// Agent that is written to in order.
pub const LEDGER: &str = "ledger";
/// Agent in copies.
pub const ECHO: &str = "echo";

/// After how long a bell rings for a note, on average.
const BELL_NS: u64 = 100_000_000;

/// What a client sends itself.
#[message(crate = daedal_model)]
#[derive(Clone, Copy, Debug)]
pub enum Wake {
    /// It has thought.
    Now,
}

/// When a client issues the next of its share, as far as its window has room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// After each answer: half of the times at once, else when it has thought.
    Thinks {
        /// For so long on average, in nanoseconds.
        mean_ns: u64,
    },
    /// All that there is room for, over and over.
    Bursts {
        /// Nanoseconds between two.
        every_ns: u64,
    },
}

/// How a client works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Requests outstanding at the most.
    pub window: u32,
    /// When it goes on.
    pub pace: Pace,
    /// How many keys there are.
    pub keys: u64,
    /// Whether the ledger's notes go in order because the client says so, and not only its route.
    pub says_order: bool,
    /// Whether the ledger has copies: then it takes no notes for every part, and rings no bells.
    pub in_copies: bool,
}

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// Issues what is left of its slot's share.
    Work(Work),
    /// Reads once what counts, at the end of a run.
    Audit,
}

/// The agent.
#[derive(Debug)]
pub struct Client {
    slot: u32,
    /// Which client of its slot.
    life: u32,
    space: Space,
    job: Job,
    random: Random,
    recorder: Rc<RefCell<Recorder>>,
    outstanding: BTreeMap<(AgentId, Number), usize>,
    /// Notes so far, by scribe.
    notes: BTreeMap<AgentId, u64>,
}

impl Client {
    /// A client of a slot, that sends in this space. What was outstanding of the slot's earlier one is
    /// not waited for.
    pub fn new(
        slot: u32,
        space: Space,
        job: Job,
        random: Random,
        recorder: Rc<RefCell<Recorder>>,
    ) -> Client {
        let life = recorder.borrow_mut().next_client(slot);
        let (outstanding, notes) = (BTreeMap::new(), BTreeMap::new());
        Client { slot, life, space, job, random, recorder, outstanding, notes }
    }

    fn work(&mut self, work: Work, context: &mut Context<'_, Client>) {
        while (self.outstanding.len() as u32) < work.window && self.may_issue() {
            match self.random.below(20) {
                0..6 => self.ask_key(SHARDED, work, context),
                6..8 => self.ask_key(WHOLE, work, context),
                8 | 9 => {
                    context.send(COUNTER, &Count::One);
                    self.recorder.borrow_mut().slots[self.slot as usize].told += 1;
                }
                10 => {
                    let number = context.ask(SHARDED, &Request::Mark);
                    self.expect(SHARDED, About::Mark, number);
                }
                11 => {
                    for pass in [Pass::Through, Pass::Open] {
                        let number = context.ask(DOOR, &pass);
                        self.expect(DOOR, About::Door, number);
                    }
                }
                12..17 => self.write(LEDGER, work, context),
                _ => self.write(ECHO, work, context),
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

    fn ask_key(&mut self, agent: &'static str, work: Work, context: &mut Context<'_, Client>) {
        let key = self.key(work);
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

    fn key(&mut self, work: Work) -> String {
        format!("k{}", self.random.below(work.keys))
    }

    /// Sends a scribe a note: one in three is told, the others are asked.
    fn write(&mut self, agent: &'static str, work: Work, context: &mut Context<'_, Client>) {
        let to = AgentId::of(agent);
        let by = u64::from(self.slot) << 32 | u64::from(self.life);
        let number = self.notes.entry(to).or_default();
        *number += 1;
        let deed = Deed { agent: to, by, number: *number };
        let number = deed.number;
        let is_ledger = agent == LEDGER;
        let is_alone = is_ledger && !work.in_copies;
        let is_seal = is_alone && self.random.below(5) == 0;
        let has_bell = is_alone && self.random.below(4) == 0;
        let bell_ns = if has_bell { 1 + self.random.delay(BELL_NS) } else { 0 };
        let asks = self.random.below(3) > 0;
        let note = match is_seal {
            true => Note::Seal { by, number, asks },
            false => Note::Line { key: self.key(work), by, number, asks, bell_ns },
        };
        let noted = Noted { deed, is_seal, slot: self.slot, life: self.life };
        self.recorder.borrow_mut().note(noted);
        let asked = match (is_ledger && work.says_order, asks) {
            (true, false) => return context.send_in_order(to, &note),
            (false, false) => return context.send(to, &note),
            (true, true) => context.ask_in_order(to, &note),
            (false, true) => context.ask(to, &note),
        };
        self.expect(agent, About::Note(deed), asked);
    }

    fn audit(&mut self, context: &mut Context<'_, Client>) {
        let number = context.ask(COUNTER, &Count::Read);
        self.expect(COUNTER, About::Count, number);
        let number = context.ask(SHARDED, &Request::Marks);
        self.expect(SHARDED, About::Marks, number);
    }

    fn expect(&mut self, agent: &'static str, about: About, number: Number) {
        let mut recorder = self.recorder.borrow_mut();
        let id = recorder.begin(self.slot, agent, about, trace_of(self.space.0, number.0));
        self.outstanding.insert((AgentId::of(agent), number), id);
    }

    fn go_on(&mut self, context: &mut Context<'_, Client>) {
        let Job::Work(work) = self.job else { return };
        let Pace::Thinks { mean_ns } = work.pace else { return };
        if self.random.chance(500_000) {
            let think = Duration::from_nanos(self.random.delay(mean_ns));
            context.after(think, &Wake::Now);
        } else {
            self.work(work, context);
        }
    }

    fn is_left(&self) -> bool {
        self.recorder.borrow().slots[self.slot as usize].left > 0
    }

    /// Takes note of an answer; says what must not be.
    fn take(&mut self, id: usize, answer: &Answer<'_>) -> Result<(), Failure> {
        let mut recorder = self.recorder.borrow_mut();
        recorder.hear(id);
        let (about, trace) = (recorder.asked[id].about.clone(), recorder.asked[id].trace);
        let (life, told) = match (&answer.outcome, answer.open::<Reply>()) {
            (Outcome::Unknown, _) => return Ok(()),
            (_, Ok(reply)) => {
                let Reply { life, told } = Reply::owned(reply);
                (life, told)
            }
            (outcome, Err(_)) => {
                recorder.end(id, None);
                let text = format!("slot {}: request {id} got {outcome:?}", self.slot);
                return Err(Failure::new(Rule::NotRefused, text).about([trace]));
            }
        };
        recorder.end(id, Some((life, told)));
        match about {
            // What goes to all is answered by several lives.
            About::Note(deed)
                if witness::lives_that_did(&deed) == 0
                    || recorder.is_line(&deed) && !witness::did(life, &deed) =>
            {
                let text = format!("life {life} answered {deed:?}, and did not do it");
                Err(Failure::new(Rule::AnsweredByDoer, text).about([trace]))
            }
            _ => Ok(()),
        }
    }
}

impl Agent for Client {
    type Message = Wake;
    type Reply = Wake;

    fn start(&mut self, context: &mut Context<'_, Client>) {
        match self.job {
            Job::Work(work) => {
                self.work(work, context);
                let (Pace::Thinks { mean_ns: wait } | Pace::Bursts { every_ns: wait }) = work.pace;
                context.after(Duration::from_nanos(wait), &Wake::Now);
            }
            Job::Audit => self.audit(context),
        }
    }

    fn transition(&mut self, _: &Archived<Wake>, context: &mut Context<'_, Client>) {
        let Job::Work(work) = self.job else { return };
        self.work(work, context);
        if let Pace::Bursts { every_ns } = work.pace
            && self.is_left()
        {
            context.after(Duration::from_nanos(every_ns), &Wake::Now);
        }
    }

    fn answered(&mut self, answer: &Answer<'_>, context: &mut Context<'_, Client>) {
        let Some(id) = self.outstanding.remove(&(answer.from, answer.to)) else {
            let text = format!(
                "slot {}: an answer to {} of {}, which nobody waits for: {:?}",
                self.slot, answer.to, answer.from, answer.outcome
            );
            let trace = trace_of(self.space.0, answer.to.0);
            let failure = Failure::new(Rule::AnsweredOnce, text).about([trace]);
            self.recorder.borrow_mut().violations.push(failure);
            return;
        };
        if let Err(failure) = self.take(id, answer) {
            self.recorder.borrow_mut().violations.push(failure);
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
