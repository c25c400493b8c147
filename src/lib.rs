//! daedal: distributed services that change while they run.
//!
//! You write an **agent**: one plain, deterministic state machine. You state what it must become, and
//! daedal turns the statement into a tree of agents on thread-per-core **boxes**, moves their messages,
//! and keeps every promise that the plain agent made. This crate is what applications import.

pub mod assemble;
pub mod running;
pub mod system;

pub use daedal_boxes as boxes;
pub use daedal_model as model;
pub use daedal_net as net;
pub use daedal_sim as sim;
pub use daedal_transforms as transforms;

pub use daedal_boxes::shim::Shim;
pub use daedal_boxes::template::{Parameters, Templates};
pub use daedal_model::agent::{Agent, Answer, Archived, Outcome, Refusal, ReplyTo};
pub use daedal_model::context::{Context, Timer};
pub use daedal_model::control::Failure;
pub use daedal_model::id::{AgentId, Number, Point, Stamp};
pub use daedal_model::{message, state};

#[doc(hidden)]
pub use daedal_model::support;

/// What a file that declares agents needs.
pub mod prelude {
    pub use crate::{
        Agent, AgentId, Answer, Archived, Context, Outcome, Point, ReplyTo, Shim, Stamp, Templates,
        message, state,
    };
    pub use std::time::Duration;
}
