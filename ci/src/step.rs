//! One step: a command that is run from the root of the workspace, timed, and remembered for the summary.
//!
//! Nothing reads standard input, so that a step never waits for an answer.

#![expect(clippy::disallowed_methods, reason = "reads the clock, to say how long a step took")]

use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// How a test says that it could not run, at the start of a line: `skipped: no network namespaces, …`.
const SKIPPED: &str = "skipped: ";

/// What the steps so far came to. Its text is the summary.
#[derive(Default)]
pub struct Report {
    steps: Vec<Step>,
    notes: Vec<String>,
    skips: Vec<String>,
}

struct Step {
    name: &'static str,
    outcome: Outcome,
    took: Duration,
}

/// What a step came to.
#[must_use]
pub enum Outcome {
    Passed,
    Failed,
    /// It could not be run.
    Skipped,
}

impl Outcome {
    /// Of a step that consists of both.
    pub fn and(self, other: Outcome) -> Outcome {
        match (self, other) {
            (Outcome::Failed, _) | (_, Outcome::Failed) => Outcome::Failed,
            (Outcome::Passed, other) => other,
            (Outcome::Skipped, _) => Outcome::Skipped,
        }
    }
}

impl Report {
    /// Runs one step: prints its name, does it, prints what it came to and how long it took.
    pub fn step(&mut self, name: &'static str, run: impl FnOnce(&mut Report) -> Result<Outcome>) {
        println!("=== {name}");
        let start = Instant::now();
        let outcome = run(self).unwrap_or_else(|error| {
            println!("{error:#}");
            Outcome::Failed
        });
        let step = Step { name, outcome, took: start.elapsed() };
        println!("=== {step}\n");
        self.steps.push(step);
    }

    /// Remembers that something was not done, and why.
    pub fn skip(&mut self, what_and_why: impl Into<String>) -> Outcome {
        let what_and_why = what_and_why.into();
        println!("{SKIPPED}{what_and_why}");
        self.remember(what_and_why);
        Outcome::Skipped
    }

    /// Has something said beside the steps, such as how much was tried.
    pub fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    fn remember(&mut self, what_and_why: String) {
        if !self.skips.contains(&what_and_why) {
            self.skips.push(what_and_why);
        }
    }

    /// Whether no step failed.
    pub fn passed(&self) -> bool {
        self.steps.iter().all(|step| !matches!(step.outcome, Outcome::Failed))
    }

    /// Runs a command whose output goes on to ours line by line, and remembers the lines in which its
    /// tests say that they were skipped.
    pub fn run_tests(&mut self, command: &mut Command) -> Result<Outcome> {
        let mut child = started(command.stdout(Stdio::piped()))?;
        let output = child.stdout.take().context("its output was asked for")?;
        for line in BufReader::new(output).split(b'\n') {
            let line = line.context("reading the output of the tests")?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            if let Some(what_and_why) = line.strip_prefix(SKIPPED) {
                self.remember(what_and_why.to_owned());
            }
        }
        Ok(outcome(child.wait()?.success()))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            Outcome::Passed => "passed",
            Outcome::Failed => "FAILED",
            Outcome::Skipped => "skipped",
        };
        write!(out, "{:<8}{outcome:<8}{:>7.1} s", self.name, self.took.as_secs_f64())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(out, "{step}")?;
        }
        self.notes.iter().try_for_each(|note| writeln!(out, "{note}"))?;
        match self.skips.as_slice() {
            [] => writeln!(out, "nothing was skipped"),
            skips => {
                writeln!(out, "skipped, and why:")?;
                skips.iter().try_for_each(|skip| writeln!(out, "  - {skip}"))
            }
        }
    }
}

/// The root of the workspace.
pub fn root() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// A command that will run from the root of the workspace, without standard input.
pub fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root()).stdin(Stdio::null());
    command
}

/// Runs a command to its end, its output among ours.
/// # Errors
/// When it cannot be started.
pub fn run(command: &mut Command) -> Result<Outcome> {
    Ok(outcome(started(command)?.wait()?.success()))
}

/// Whether a command can be started and succeeds. Says nothing.
pub fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let mut command = command(program, arguments);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Starts a command, and says so.
/// # Errors
/// When it cannot be started.
pub fn started(command: &mut Command) -> Result<std::process::Child> {
    let shown: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    println!("$ {}", shown.join(" "));
    command.spawn().with_context(|| format!("cannot start {}; is it installed?", shown[0]))
}

fn outcome(success: bool) -> Outcome {
    if success { Outcome::Passed } else { Outcome::Failed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tests_say_was_skipped_is_in_the_summary() {
        let mut report = Report::default();
        let text = "fine\nskipped: lab, no namespaces\nnot skipped: this";
        report.step("test", |report| report.run_tests(&mut command("printf", &[text])));
        assert!(report.passed());
        let shown = report.to_string();
        assert!(shown.ends_with("skipped, and why:\n  - lab, no namespaces\n"), "{shown}");
    }

    #[test]
    fn a_step_that_fails_fails_the_report_and_one_that_is_skipped_does_not() {
        let mut report = Report::default();
        report.step("deny", |report| Ok(report.skip("deny, no cargo-deny")));
        assert!(report.passed());
        report.step("test", |_| run(&mut command("false", &[])));
        assert!(!report.passed());
        assert!(report.to_string().contains("test    FAILED"));
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = run(&mut command("no-such-program", &[])).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("cannot start no-such-program; is it installed?"));
        let mut report = Report::default();
        report.step("fuzz", |_| run(&mut command("no-such-program", &[])));
        assert!(!report.passed());
        assert!(!succeeds("no-such-program", &[]));
    }
}
