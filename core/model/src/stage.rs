//! Stages: what a route puts a message through, inline, on its way (Ovid §3.2). The *ingress* runs in the
//! sender's reactor and marks the message with an open step; the *egress* runs in the reactor of each leaf
//! and undoes it. The address of what comes out is again looked up, so stages nest with everything else.
//!
//! A stage is known to a box by its id alone; a route through one that is not known is refused.

use crate::id::AgentId;

/// A stage that every box has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// First in, first out, for each sender's messages to each leaf.
    Ordered,
}

impl Stage {
    const ALL: [(Stage, &str, AgentId); 1] = [(Stage::Ordered, "ordered", AgentId::of("ordered"))];

    /// Its name in system files.
    pub fn name(self) -> &'static str {
        Stage::ALL[self as usize].1
    }

    /// What routes and messages call it.
    pub const fn id(self) -> AgentId {
        Stage::ALL[self as usize].2
    }

    /// The stage of an id; `None` when this process has no such stage.
    pub fn find(id: AgentId) -> Option<Stage> {
        Stage::ALL.iter().find(|(_, _, known)| *known == id).map(|(stage, ..)| *stage)
    }
}
