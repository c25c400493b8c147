//! A sharded key-value store that speaks the Redis protocol.
//!
//! [`key_value`] is the agent; [`request`] is what it is asked and what it answers, and [`merge`] how
//! the answers of several shards become one. Before it stands the [`gateway`], which alone opens
//! sockets: [`connection`] is one of its clients, [`resp`] its bytes, [`command`] what its words mean.
//! [`local`] puts them together in a few lines, without a system around them, and [`serve`] on one
//! reactor, for real clients. Only the last reads a clock, and none starts a thread.

pub mod command;
pub mod connection;
pub mod gateway;
mod glob;
pub mod key_value;
pub mod limits;
pub mod local;
pub mod merge;
mod number;
pub mod request;
pub mod resp;
pub mod serve;

/// The kinds of agents that a system file may name: `KeyValue`, and `Resp`, the gateway.
pub fn templates(templates: &mut daedal::Templates) {
    templates.agent("KeyValue", |_| Ok(key_value::KeyValue::default()));
    templates.shim("Resp", gateway::Gateway::open);
}
