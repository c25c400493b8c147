//! The agent behind order and load balancing: it tells the [`witness`](crate::witness) what it does. All that
//! it remembers is which *line* of deeds is that of which key, so that a line goes on where the key goes.

#![expect(missing_docs, reason = "rkyv documents no resolvers of variants with named fields")]

use std::collections::BTreeMap;
use std::time::Duration;

use daedal_model::agent::{Agent, Archived};
use daedal_model::context::Context;
use daedal_model::message;
use daedal_model::message::Wire;
use daedal_model::state::{Captured, Keyed, State, StateError};

use crate::agents::{Count, Reply, Told};
use crate::clients::COUNTER;
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
        /// In how many nanoseconds a bell is to ring for it; 0: none.
        bell_ns: u64,
    },
    /// From itself: a bell rings.
    Bell {
        /// The key.
        #[point]
        key: String,
        /// The writer.
        by: u64,
        /// The note's number.
        number: u64,
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
pub struct Scribe {
    life: Life,
    /// By key.
    lines: BTreeMap<String, u64>,
}

impl Scribe {
    /// One that begins to live.
    pub fn begin() -> Scribe {
        Scribe { life: Life::begin(), lines: BTreeMap::new() }
    }

    fn line(&mut self, key: &str) -> u64 {
        let life = &self.life;
        *self.lines.entry(key.to_owned()).or_insert_with(|| life.begin_line())
    }
}

impl Agent for Scribe {
    type Message = Note;
    type Reply = Reply;

    fn transition(&mut self, message: &Archived<Note>, context: &mut Context<'_, Scribe>) {
        let (agent, now) = (context.id(), context.now());
        let asks = match Note::owned(message) {
            Note::Line { key, by, number, asks, bell_ns } => {
                let (deed, line) = (Deed { agent, by, number }, self.line(&key));
                self.life.does(deed, now, Some(line));
                if bell_ns > 0 {
                    self.life.hangs_bell(line, deed);
                    let after = Duration::from_nanos(bell_ns);
                    context.after(after, &Note::Bell { key, by, number });
                    // So that a life that is to end waits for answers, which may not come for long.
                    context.ask(COUNTER, &Count::Read);
                }
                asks
            }
            Note::Bell { key, by, number } => {
                let line = self.line(&key);
                return self.life.rings_bell(line, Deed { agent, by, number });
            }
            Note::Seal { by, number, asks } => {
                self.life.does(Deed { agent, by, number }, now, None);
                asks
            }
        };
        if asks {
            context.reply(&Reply { life: self.life.number(), told: Told::Done });
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
        let mut captured = Captured::new::<Scribe>();
        captured.add_keyed("lines", self.lines.pieces());
        captured
    }

    /// A life does not move: another begins, which has the lines of those before.
    fn restore(mut captured: Captured) -> Result<Scribe, StateError> {
        captured.expect::<Scribe>()?;
        let lines: BTreeMap<String, u64> = captured.take_keyed("lines")?;
        captured.expect_empty()?;
        let life = Life::begin();
        lines.values().for_each(|line| life.takes_over(*line));
        Ok(Scribe { life, lines })
    }
}
