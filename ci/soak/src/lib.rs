//! A system of real processes, each box in a network namespace of its own, that is loaded and troubled for long,
//! and then held to account: `cargo ci soak`.
//!
//! | file | idea |
//! |---|---|
//! | [`mesh`] | network namespaces that see each other, until a link between two is cut |
//! | [`system`] | the processes: started there, killed, paused, asked |
//! | [`clients`], [`resp`] | open-loop load, pipelined; each client checks and writes down what it said and heard |
//! | [`floor`] | what clients are told and tell meanwhile |
//! | [`histories`] | what clients heard, judged: linearizable by key, in order, unknown only where one may be |
//! | [`trouble`] | what goes wrong next, drawn from a seed |
//! | [`watch`] | memory and counters of every process, all the time |
//! | [`account`] | each counter at the end, and what accounts for it |
//! | [`windows`] | what goes on beside: windows turn, and are judged |
//! | [`soak`], [`report`] | all of it, in order, and what it came to |
//!
//! Time is real here, so that a seed repeats what is done and not what comes of it.

#![allow(
    clippy::disallowed_methods,
    reason = "real processes: reads the clock, starts threads, waits"
)]

pub mod account;
pub mod clients;
pub mod floor;
pub mod histories;
pub mod mesh;
pub mod report;
pub mod resp;
pub mod soak;
pub mod system;
pub mod trouble;
pub mod watch;
pub mod windows;
