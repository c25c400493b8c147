//! The second process of programs that need two: the same program again, pinned to processor 1.

use std::io;
use std::process::{Child, Command};

use rustix::process::{Signal, set_parent_process_death_signal};

use crate::pin;

/// The second process, which does not outlive this value.
#[derive(Debug)]
pub struct Second(Child);

impl Second {
    /// Starts this program again with these arguments. It dies with the thread that calls this.
    /// # Errors
    /// The system's.
    pub fn start(arguments: &[&str]) -> io::Result<Second> {
        Command::new(std::env::current_exe()?).args(arguments).spawn().map(Second)
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// What the second process does first.
/// # Errors
/// The system's.
/// # Panics
/// As [`pin`].
pub fn be_second() -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    pin(1);
    Ok(())
}
