//! Agents, messages, routes, the transformation tree, controller and box manager.
//!
//! Pure: no I/O, no clock, no thread, no random number; no map with an order of its own is iterated.
//! What happens is a function of its inputs, so a box, the simulator and a model checker run the same
//! code and see the same.

pub mod id;
