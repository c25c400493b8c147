//! The boxes, as the controller tells of them.

use crate::message;

/// One box, as the controller sees it.
#[message(crate = crate)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoxState {
    /// Its name.
    pub name: String,
    /// What it is to the system.
    pub standing: Standing,
    /// Its id; none before it has come.
    pub agent_box: Option<u16>,
    /// Its process, if it has reported and has not ended, as far as that was heard.
    pub process: Option<ProcessState>,
}

/// What a box is to the system.
#[message(crate = crate)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The system's file states it.
    Stated,
    /// The controller runs in it.
    Home,
    /// It came by itself.
    Guest,
}

/// A process of a box.
#[message(crate = crate)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessState {
    /// How it is reached.
    pub address: String,
    /// How many reactors it has.
    pub reactors: u8,
    /// How many agents it runs.
    pub agents: u32,
}
