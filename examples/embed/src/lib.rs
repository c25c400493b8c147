//! An HTTP service whose answers come from sharded agents, in boxes of its own process.
//!
//! [`counts`] is the agent, [`http`] what browsers and others see of it, [`boxes`] the part of the system that
//! this process is. `src/main.rs` puts them together; `src/bin/embed-daedal.rs` is the `daedal` command for
//! these agents.

pub mod boxes;
pub mod counts;
pub mod http;

/// The kinds of agents that a system file may name: `Counts`.
pub fn templates() -> daedal::Templates {
    let mut templates = daedal::Templates::new();
    templates.agent("Counts", |_| Ok(counts::Counts::default()));
    templates
}
