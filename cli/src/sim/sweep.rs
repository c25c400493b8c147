//! Many seeds, one after the other; and the same in a second process, whose traces must be the same.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use daedal::sim::scenario::run as run_seed;

use super::options;
use crate::say::say;

/// What a line says that has a seed's digest.
const DIGEST: &str = "digest ";

/// Runs seeds; gives a line for each, with its digest.
/// # Errors
/// When one fails.
pub(super) fn sweep(from: u64, seeds: u64, prints_digests: bool) -> Result<Vec<String>> {
    let (mut failed, mut asked, mut unknown) = (Vec::new(), 0, 0);
    let (mut changes, mut visits) = (0, 0);
    let mut digests = Vec::new();
    for seed in from..from.saturating_add(seeds) {
        let report = run_seed(seed, &options());
        asked += report.asked;
        unknown += report.unknown;
        changes += report.changes;
        visits += report.visits;
        let (digest, events) = (report.trace.digest(), report.trace.events());
        digests.push(format!("{seed} {digest:032x} of {events} events"));
        if let Some(line) = digests.last().filter(|_| prints_digests) {
            say!("{DIGEST}{line}")?;
        }
        if let Some(failure) = &report.failure {
            say!("seed {seed} failed: {failure}")?;
            say!("  again, reduced and explained: daedal sim --seed {seed}")?;
            failed.push(seed);
        }
    }
    say!(
        "{seeds} seeds from {from}: {asked} requests, {unknown} of them with unknown outcome; \
         shards became others {changes} times; {visits} visitors came and went"
    )?;
    ensure!(failed.is_empty(), "{} of {seeds} seeds failed: {failed:?}", failed.len());
    Ok(digests)
}

/// Runs seeds here and in another process at the same time.
/// # Errors
/// When one fails, or has another trace there.
pub(super) fn compare(from: u64, seeds: u64, program: Option<PathBuf>) -> Result<()> {
    let program = match program {
        Some(program) => program,
        None => std::env::current_exe().context("cannot tell which program this is")?,
    };
    let mut command = Command::new(&program);
    command.args(["sim", "--digests", "--from", &from.to_string(), "--seeds", &seeds.to_string()]);
    let other = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let other = other.with_context(|| format!("cannot start {}", program.display()))?;
    let here = sweep(from, seeds, false);
    let output = other.wait_with_output()?;
    let here = here?;
    let text = String::from_utf8_lossy(&output.stdout);
    let there: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix(DIGEST)).collect();
    if let Some((one, other)) = here.iter().zip(&there).find(|(one, other)| one != *other) {
        bail!(
            "one seed, two traces:\n  {one} here\n  {other} in {}\nwhat they share shows in the \
             trace of `daedal sim --seed` in both",
            program.display()
        );
    }
    ensure!(
        output.status.success() && there.len() == here.len(),
        "{} ended after {} of {seeds} seeds: {}",
        program.display(),
        there.len(),
        output.status
    );
    say!("each has the same trace in two processes; the other was {}", program.display())
}
