//! The turn, and around it reactors, rings, handles and shims: what runs agents.

pub mod alone;
mod answers;
mod arrival;
mod asks;
mod conversation;
mod conversations;
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
pub mod links;
mod local;
mod matching;
mod mesh;
pub mod metrics;
mod ordered;
mod plane;
pub mod planted;
pub mod preflight;
pub mod reactor;
mod record;
mod routes;
pub mod shim;
mod slot;
mod sync;
pub mod template;
mod timer;
pub mod turn;

pub use deliver::hosted;
pub use hosting::{CONTROLLER_AT, Placed};
