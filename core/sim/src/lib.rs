//! Whole systems in virtual time from one seed, and checks of what their clients saw.
//!
//! A [`world`] runs boxes, controller and network; [`scenario`] makes one from a seed, lets clients work
//! and judges; [`reduce`] finds a shorter run that fails alike; the rest is what they are made of.

pub mod agents;
pub mod clients;
pub mod fault;
pub mod history;
pub mod journal;
pub mod linearizable;
pub mod network;
pub mod operator;
pub mod planted;
pub mod random;
pub mod recorder;
pub mod reduce;
pub mod scenario;
pub mod scribe;
pub mod trace;
pub mod visitors;
pub mod witness;
pub mod world;
