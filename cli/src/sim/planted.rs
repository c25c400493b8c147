//! Whether the simulator sees what is wrong: bugs are put in, and each has a seed that finds it.

use anyhow::{Result, bail};
use daedal::sim::planted::Bug;
use daedal::sim::scenario::{Options, run as run_seed};

use super::options;
use crate::say::say;

/// # Errors
/// When a bug is not found by its seed, or this build has none to put in.
pub(super) fn plant() -> Result<()> {
    if cfg!(not(feature = "planted")) {
        bail!(
            "this build of daedal has no bugs of the turn to put in; run `cargo run --release \
             --package daedal-cli --features planted -- sim --planted`"
        );
    }
    say!("{:<20} {:>5}  what was seen", "bug", "seed")?;
    let mut missed = Vec::new();
    for (bug, seed) in Bug::all() {
        let found = run_seed(seed, &Options { planted: Some(bug), ..options() });
        // What fails without the bug shows nothing.
        let without = run_seed(seed, &options());
        let Some(failure) = found.failure.filter(|_| without.failure.is_none()) else {
            missed.push(format!("{bug} by {seed}"));
            continue;
        };
        let failure = failure.to_string();
        let line: String = failure.lines().next().unwrap_or_default().chars().take(100).collect();
        say!("{:<20} {seed:>5}  {line}", bug.to_string())?;
    }
    if missed.is_empty() {
        return Ok(());
    }
    bail!(
        "not found: {}; the test `planted` of daedal-sim looks for other seeds",
        missed.join(", ")
    )
}
