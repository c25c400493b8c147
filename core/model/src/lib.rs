//! Agents, messages, routes, the transformation tree, controller and box manager.
//!
//! Pure: no I/O, no clock, no thread, no random number; no map with an order of its own is iterated.
//! What happens is a function of its inputs, so a box, the simulator and a model checker run the same
//! code and see the same.

pub mod address;
pub mod agent;
pub mod box_table;
pub mod context;
pub mod control;
pub mod controller;
pub mod done;
pub mod encode;
pub mod id;
pub mod latt;
pub mod manager;
pub mod merge;
pub mod message;
pub mod outputs;
pub mod path;
pub mod place;
pub mod point;
pub mod port;
pub mod refine;
pub mod route;
pub mod stage;
pub mod state;
#[doc(hidden)]
pub mod support;

pub use daedal_macros::{message, state};
