//! The agent behind order and load balancing: it has no state that a message could change, and tells the
//! [`witness`](crate::witness) what it does.

#![expect(missing_docs, reason = "rkyv documents no resolvers of variants with named fields")]

use daedal_model::agent::{Agent, Archived};
use daedal_model::context::Context;
use daedal_model::message;
use daedal_model::message::Wire;
use daedal_model::state::{Captured, State, StateError};

use crate::agents::{Reply, Told};
use crate::witness::{Deed, Life};

/// What a [`Scribe`] is told.
#[message(crate = daedal_model)]
#[derive(Clone, Debug)]
pub enum Note {
    /// For the part that owns the key.
    Line {
        /// The key.
        #[point]
        key: String,
        /// The writer.
        by: u64,
        /// Counts the writer's notes to this agent.
        number: u64,
        /// Whether the writer waits for an answer.
        asks: bool,
    },
    /// For every part.
    #[broadcast]
    Seal {
        /// The writer.
        by: u64,
        /// Counts the writer's notes to this agent.
        number: u64,
        /// Whether the writer waits for an answer.
        asks: bool,
    },
}

/// The agent.
#[derive(Debug)]
pub struct Scribe(Life);

impl Scribe {
    /// One that begins to live.
    pub fn begin() -> Scribe {
        Scribe(Life::begin())
    }
}

impl Agent for Scribe {
    type Message = Note;
    type Reply = Reply;

    fn transition(&mut self, message: &Archived<Note>, context: &mut Context<'_, Scribe>) {
        let agent = context.id();
        let (deed, is_for_one, asks) = match Note::owned(message) {
            Note::Line { by, number, asks, .. } => (Deed { agent, by, number }, true, asks),
            Note::Seal { by, number, asks } => (Deed { agent, by, number }, false, asks),
        };
        self.0.does(deed, is_for_one);
        if asks {
            context.reply(&Reply { life: self.0.number(), told: Told::Done });
        }
    }

    fn merge(_: &Archived<Note>, replies: &[&Archived<Reply>]) -> Reply {
        let lives = replies.iter().map(|reply| Reply::owned(reply).life);
        Reply { life: lives.fold(0, u64::wrapping_add), told: Told::Done }
    }
}

impl State for Scribe {
    const NAME: &'static str = "Scribe";
    const VERSION: u16 = 1;

    fn capture(&self) -> Captured {
        Captured::new::<Scribe>()
    }

    fn restore(_: Captured) -> Result<Scribe, StateError> {
        Err(StateError::Forbidden("a life does not move".to_owned()))
    }
}
