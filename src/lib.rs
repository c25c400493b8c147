//! daedal: distributed services that change while they run.
//!
//! You write an **agent**: one plain, deterministic state machine. You state what it must become, and
//! daedal turns the statement into a tree of agents on thread-per-core **boxes**, moves their messages,
//! and keeps every promise that the plain agent made. This crate is what applications import.
//!
//! An agent, and a system that runs it in this process; `examples/embed` is the same behind HTTP, and
//! `daedal_cli::run` gives a program the `daedal` command for its agents.
//!
//! ```
//! use std::sync::Arc;
//! use daedal::prelude::*;
//! use daedal::running::RunningSystem;
//!
//! /// Count on by so much, and answer with the new count.
//! #[message]
//! #[derive(Debug)]
//! pub struct Add(pub u64);
//!
//! /// Counts.
//! #[state]
//! #[derive(Debug, Default)]
//! pub struct Counter {
//!     #[combine(sum)]
//!     count: u64,
//! }
//!
//! impl Agent for Counter {
//!     type Message = Add;
//!     type Reply = u64;
//!
//!     fn transition(&mut self, add: &Archived<Add>, context: &mut Context<'_, Self>) {
//!         self.count = self.count.wrapping_add(add.0.to_native());
//!         context.reply(&self.count);
//!     }
//! }
//!
//! # fn free() -> std::net::SocketAddr {
//! #     std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
//! # }
//! let text = r#"
//! [controller]
//! address = "127.0.0.1:7000"
//! [agent.counter]
//! kind = "Counter"
//! [box.a]
//! address = "127.0.0.1:7100"
//! "#;
//! # let text = text.replace("127.0.0.1:7000", &free().to_string());
//! # let text = text.replace("127.0.0.1:7100", &free().to_string());
//! let mut templates = Templates::new();
//! templates.agent("Counter", |_| Ok(Counter::default()));
//! let spec = daedal::system::parse(&text, "system.toml")?;
//! let journal = std::env::temp_dir().join(format!("counter-{}.journal", std::process::id()));
//! let system = RunningSystem::start(&spec, &Arc::new(templates), journal.clone())?;
//! assert_eq!(system.handle().ask_blocking::<Counter>("counter", &Add(3)), Ok(3));
//! system.stop()?;
//! # std::fs::remove_file(journal)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod assemble;
pub mod running;
pub mod system;

pub use daedal_boxes as boxes;
pub use daedal_model as model;
pub use daedal_net as net;
pub use daedal_sim as sim;
pub use daedal_transforms as transforms;

/// How it is used: wait, give up, be pushed back.
///
/// ```no_run
/// use std::time::Duration;
/// use daedal::prelude::*;
/// use daedal::{AskError, Handle, Refusal};
///
/// async fn ask<A: Agent<Message = u64, Reply = u64>>(handle: &Handle) -> Result<u64, AskError> {
///     // A task of any executor: it waits for room in the queue, then for the reply. Dropped, by a time-out
///     // say, it leaves nothing behind; whether it was done is unknown.
///     handle.ask::<A>("counter", &1u64).await
/// }
///
/// fn on_a_plain_thread<A: Agent<Message = u64, Reply = u64>>(handle: &Handle) {
///     match handle.ask::<A>("counter", &1u64).wait_within(Duration::from_secs(1)) {
///         Some(Ok(count)) => println!("{count}"),
///         Some(Err(why)) => println!("{why}"),
///         None => println!("no answer in time: it may have been done, or may yet be"),
///     }
///     // Load is refused where it enters.
///     if let Err(AskError::Refused(Refusal::Overloaded)) = handle.try_send("counter", &1u64) {
///         println!("the queue is full: try again later");
///     }
/// }
/// ```
pub use daedal_boxes::handle::Handle;
pub use daedal_boxes::handle::{Ask, AskError, Sent};
pub use daedal_boxes::shim::Shim;
/// What a template is told stands in the system file: `[agent.NAME]`, every key that is not daedal's own.
pub use daedal_boxes::template::Parameters;
/// How kinds of agents are made, and what they say of parameters.
///
/// ```
/// use daedal::prelude::*;
/// use daedal::{Failure, Parameters};
///
/// #[state]
/// #[derive(Debug)]
/// struct Greeter {
///     #[combine(constant)]
///     greeting: String,
/// }
///
/// impl Agent for Greeter {
///     type Message = String;
///     type Reply = String;
///
///     fn transition(&mut self, name: &Archived<String>, context: &mut Context<'_, Self>) {
///         context.reply(&format!("{}, {name}", self.greeting));
///     }
/// }
///
/// let mut templates = Templates::new();
/// templates.agent("Greeter", |parameters| match parameters.get("greeting") {
///     Some(greeting) => Ok(Greeter { greeting: greeting.clone() }),
///     // It stays wrong until the system file is changed; `Failure::for_now` is for what may pass.
///     None => Err(Failure::from("Greeter needs `greeting`, such as \"Good morning\"")),
/// });
/// let failure = templates.make("Greeter", &Parameters::new()).err().unwrap();
/// assert!(!failure.may_pass && failure.why.starts_with("Greeter needs `greeting`"));
/// ```
pub use daedal_boxes::template::Templates;
pub use daedal_model::address::Address;
pub use daedal_model::agent::{Agent, Answer, Archived, Outcome, Refusal, ReplyTo};
pub use daedal_model::context::{Context, Timer};
pub use daedal_model::control::Failure;
pub use daedal_model::id::{AgentId, Number, Point, Stamp};
pub use daedal_model::{message, state};

#[doc(hidden)]
pub use daedal_model::support;

/// What a file that declares agents needs.
pub mod prelude {
    pub use crate::{
        Agent, AgentId, Answer, Archived, Context, Outcome, Point, ReplyTo, Shim, Stamp, Templates,
        message, state,
    };
    pub use std::time::Duration;
}
