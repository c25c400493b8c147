//! Agents that are sent more than they can handle: nothing is lost, nobody else waits, and no more is kept of it
//! than the marks say; and cycles of agents that wait for each other.

#[path = "../network/mod.rs"]
mod network;

mod agents;
mod cycles;
mod edge;
mod slow;
mod wedged;
mod world;
