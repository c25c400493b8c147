//! Changes what stands while it runs: has agents cut into other numbers of shards, at times that a seed draws.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use daedal_model::agent::{Agent, Answer, Archived};
use daedal_model::context::Context;
use daedal_model::control::{FromController, ToController};
use daedal_model::latt::CONTROLLER;
use daedal_model::message;
use daedal_model::message::Wire;
use daedal_model::state::{Captured, State, StateError};

use crate::recorder::Recorder;

/// What an operator tells itself.
#[message(crate = daedal_model)]
#[derive(Clone, Copy, Debug)]
pub enum Time {
    /// It is time for this one of the changes.
    For(u32),
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When, in virtual nanoseconds.
    pub at: u64,
    /// Path of the agent whose parts become others.
    pub path: String,
    /// Into how many shards.
    pub shards: u32,
}

/// The agent. One that dies with its box is followed by one that goes on with what is left.
#[derive(Debug)]
pub struct Operator {
    changes: Vec<Change>,
    now: u64,
    recorder: Rc<RefCell<Recorder>>,
}

impl Operator {
    /// Who makes the changes that are still to come.
    pub fn new(changes: &[Change], recorder: Rc<RefCell<Recorder>>) -> Operator {
        let now = recorder.borrow().now();
        Operator { changes: changes.to_vec(), now, recorder }
    }
}

impl Agent for Operator {
    type Message = Time;
    type Reply = Time;

    fn start(&mut self, context: &mut Context<'_, Operator>) {
        for (index, change) in self.changes.iter().enumerate() {
            if let Some(left) = change.at.checked_sub(self.now) {
                context.after(Duration::from_nanos(left), &Time::For(index as u32));
            }
        }
    }

    fn transition(&mut self, message: &Archived<Time>, context: &mut Context<'_, Operator>) {
        let Time::For(index) = Time::owned(message);
        let Some(change) = self.changes.get(index as usize) else { return };
        let Change { path, shards, .. } = change.clone();
        context.ask(CONTROLLER, &ToController::Reshard { path, shards });
    }

    /// One that was refused, for another is under way or a shard does not run, is not asked for again.
    fn answered(&mut self, answer: &Answer<'_>, _: &mut Context<'_, Operator>) {
        if let Ok(FromController::Resharded { took_ns: 1.., .. }) =
            answer.open::<FromController>().map(FromController::owned)
        {
            self.recorder.borrow_mut().changes += 1;
        }
    }
}

impl State for Operator {
    const NAME: &'static str = "Operator";
    const VERSION: u16 = 1;

    fn capture(&self) -> Captured {
        Captured::new::<Operator>()
    }

    fn restore(_: Captured) -> Result<Operator, StateError> {
        Err(StateError::Forbidden("a simulated operator ends with its box".to_owned()))
    }
}
