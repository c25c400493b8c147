//! Shims: agents whose state machine is an outside service or a socket (Escher §2.5).
//!
//! A shim may do I/O, so it cannot be replicated by running it twice, and it has no state to capture.

use std::os::fd::RawFd;

use daedal_model::agent::Agent;
use daedal_model::context::Context;

/// An agent that its reactor polls each turn.
pub trait Shim: Agent {
    /// Does a bounded amount of outside work, without blocking: whether anything happened.
    fn poll(&mut self, context: &mut Context<'_, Self>) -> bool;

    /// A descriptor that becomes readable when [`Shim::poll`] has something to do. A reactor with a shim
    /// that has none never parks for long.
    fn descriptor(&self) -> Option<RawFd> {
        None
    }
}
