//! What is checked without running our code: format, lints, documentation, dependencies.

use anyhow::Result;

use crate::setup;
use crate::step::{Outcome, Report, command, run};

pub fn fmt(report: &mut Report) {
    report.step("fmt", |report| subcommand(report, &["fmt", "--all", "--check"]));
}

pub fn clippy(report: &mut Report) {
    report.step("clippy", |report| {
        subcommand(report, &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
    });
}

pub fn doc(report: &mut Report) {
    report.step("doc", |_| {
        let mut command = command("cargo", &["doc", "--workspace", "--no-deps"]);
        run(command.env("RUSTDOCFLAGS", "-D warnings"))
    });
}

pub fn deny(report: &mut Report) {
    report.step("deny", |report| {
        subcommand(report, &["deny", "--workspace", "check", "bans", "licenses", "sources"])
    });
}

/// Runs `cargo` with a subcommand that may not be installed.
fn subcommand(report: &mut Report, arguments: &[&str]) -> Result<Outcome> {
    match setup::missing(arguments[0]) {
        None => run(&mut command("cargo", arguments)),
        Some(what_and_why) => Ok(report.skip(what_and_why)),
    }
}
