//! What a user writes: an agent, a plain deterministic state machine (Ovid §3.1).
//!
//! An agent sees the world only through its [`Context`]. It reads no clock, draws no random number and
//! does no I/O; so the same inputs give the same state and the same outputs, in a box, in the simulator
//! and in a model checker.

use crate::context::Context;
use crate::id::{AgentId, Name, Number};
pub use crate::message::Archived;
use crate::message::{Message, Schema, Wire};

/// A state machine with an inbox, an outbox and a done box, which the box keeps for it.
///
/// A transition is atomic: its messages leave when it returns, together with the message in hand being
/// done. Source: Ovid §3.1, Escher §2.1.
pub trait Agent: Sized + 'static {
    /// What it is sent.
    type Message: Message;
    /// What it answers.
    type Reply: Wire;

    /// The first transition, without a message: Ovid's (⊥, ⊥).
    fn start(&mut self, context: &mut Context<'_, Self>) {
        let _ = context;
    }

    /// Handles one message.
    fn transition(&mut self, message: &Archived<Self::Message>, context: &mut Context<'_, Self>);

    /// The number that a message brings, where messages are to be handled in the order of theirs: it is
    /// handled once [`Agent::want`] has come to it, and those that wait meanwhile cost nothing.
    /// Source: Ovid figure 6.
    fn number(message: &Archived<Self::Message>) -> Option<u64> {
        let _ = message;
        None
    }

    /// The number whose turn it is. Messages that bring it, or a lower one, are handled; what to do with one
    /// that was handled before is the transition's business.
    fn want(&self) -> u64 {
        u64::MAX
    }

    /// Which messages it wants now; the others wait, and are asked about again after each transition of
    /// this agent: the cost is theirs, so what waits for its turn brings a number. Source: Ovid §3.1, the
    /// filter predicate.
    fn wants(&self, message: &Archived<Self::Message>) -> bool {
        let _ = message;
        true
    }

    /// Handles the answer to a message that this agent sent with [`Context::ask`].
    fn answered(&mut self, answer: &Answer<'_>, context: &mut Context<'_, Self>) {
        let _ = (answer, context);
    }

    /// Turns the replies of all children to one broadcast message into the one reply of their parent.
    /// The default takes the first; the order of `replies` is that of the children's points.
    /// Source: Escher §2.2, μ must not show which children there are.
    fn merge(request: &Archived<Self::Message>, replies: &[&Archived<Self::Reply>]) -> Self::Reply {
        let _ = request;
        Self::Reply::owned(replies[0])
    }
}

/// How an `ask` ended.
#[derive(Debug)]
pub struct Answer<'a> {
    /// Whom was asked.
    pub from: AgentId,
    /// The number that [`Context::ask`] gave.
    pub to: Number,
    /// What came of it.
    pub outcome: Outcome<'a>,
}

/// Reply, refusal, or unknown: never a guess.
#[derive(Debug)]
pub enum Outcome<'a> {
    /// The reply's type and bytes; [`Answer::open`] reads them.
    Reply {
        /// Its schema.
        schema: Schema,
        /// Its archived form, validated where it came from another process.
        body: &'a [u8],
    },
    /// It was not done and will not be.
    Refused(Refusal),
    /// It may have happened, or may yet.
    Unknown,
}

/// Why a message was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// No agent of this name is part of the system.
    #[error("there is no such agent; `daedal tree` shows those that there are")]
    UnknownAgent,
    /// The receiver does not know the message's schema, or the agent takes another.
    #[error("the agent does not take messages of this type or version")]
    WrongSchema,
    /// Not a sibling, nor a sibling of an ancestor (Escher §2.2).
    #[error("only siblings, and siblings of ancestors, may be sent to")]
    NotASibling,
    /// Outside load was turned away at the edge.
    #[error("the system is at its bound; try again later")]
    Overloaded,
    /// A message without a point, and without a merge, for an agent that is keyed.
    #[error(
        "the message has no point, and the agent is keyed: declare it #[broadcast] or give it a #[point]"
    )]
    NoPoint,
    /// The route puts the message through a stage that the sender's process does not have.
    #[error("the way there leads through a stage that this program does not have; use a newer one")]
    UnknownStage,
    /// The message was under way to all shards while their number changed, and is now for a part of what one
    /// of them holds, whose state does not split.
    #[error(
        "the agent's state does not split, so that no message can be for a part of it: see #[combine]"
    )]
    Indivisible,
    /// The agent's input waits for a cycle of agents that goes on no more: what comes from outside is turned away.
    #[error(
        "the agent stands still: it is one of a cycle that multiplies messages, or waits for one; the log of its box, or \
         of another, names the cycle"
    )]
    StandsStill,
}

impl Answer<'_> {
    /// The reply, when it is an `R`.
    /// # Errors
    /// The refusal; [`Refusal::WrongSchema`] when it is some other type; `None` inside when unknown.
    pub fn open<R: Wire>(&self) -> Result<&R::Archived, Option<Refusal>> {
        match &self.outcome {
            Outcome::Reply { schema, body } if *schema == R::SCHEMA => {
                R::access(body).map_err(|_| Some(Refusal::WrongSchema))
            }
            Outcome::Reply { .. } => Err(Some(Refusal::WrongSchema)),
            Outcome::Refused(refusal) => Err(Some(*refusal)),
            Outcome::Unknown => Err(None),
        }
    }
}

/// Where a reply goes: the name of the message that it answers. Plain data, so that it may be part of an
/// agent's state and be answered later.
pub type ReplyTo = Name;
