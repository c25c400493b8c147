//! The turn, and around it reactors, rings, handles and shims: what runs agents.

pub mod alone;
mod answers;
mod arrival;
mod asks;
mod collect;
mod conversation;
mod conversations;
pub mod counters;
pub mod deliver;
mod doze;
pub mod executor;
mod gather;
pub mod handle;
mod hosting;
pub mod idle;
mod inbox;
pub mod journal;
pub mod kinds;
mod lines;
pub mod links;
mod local;
mod mapped;
mod matching;
mod mesh;
pub mod metrics;
mod ordered;
mod plane;
pub mod planted;
pub mod preflight;
pub mod prometheus;
pub mod reactor;
mod record;
#[cfg(test)]
mod resharded;
mod routes;
pub mod shim;
mod slot;
mod sync;
pub mod template;
mod timer;
pub mod turn;
pub mod walk;
mod wedge;

pub use collect::Kept;
pub use deliver::hosted;
pub use hosting::{CONTROLLER_AT, Placed};
