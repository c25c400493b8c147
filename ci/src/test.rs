//! What is checked by running our code: tests, interleavings, simulated seeds.

use std::process::{Child, Command, Stdio};

use anyhow::Context;

use crate::step::{Report, command, run};

/// Tests of loom are named so, or stand in a module that is: under loom no others make sense.
const LOOM: &str = "loom";

pub fn test(report: &mut Report) {
    report.step("test", |report| {
        // What a test prints is shown even if it passes: it may say that it was skipped. This package's
        // own tests say so of made-up steps.
        run(&mut command("cargo", &["test", "--package", "ci"]))?;
        let all = ["test", "--workspace", "--exclude", "ci", "--", "--show-output"];
        report.run_tests(&mut command("cargo", &all))
    });
}

pub fn loom(report: &mut Report) {
    report.step("loom", |report| {
        let listed = loom_tests(&["--list"]).stdout(Stdio::piped()).spawn();
        let listed = listed.and_then(Child::wait_with_output).context("cannot list the tests")?;
        let tests = String::from_utf8_lossy(&listed.stdout);
        if listed.status.success() && !tests.lines().any(|line| line.ends_with(": test")) {
            return Ok(report.skip("loom: daedal-boxes has no test with loom in its name"));
        }
        run(&mut loom_tests(&[]))
    });
}

/// Other flags would have everything built again, so they have a target folder of their own.
fn loom_tests(arguments: &[&str]) -> Command {
    let package = ["test", "--release", "--package", "daedal-boxes", "--lib"];
    let mut cargo = command("cargo", &package);
    cargo.args(["--target-dir", "target/loom", "--", LOOM]).args(arguments);
    cargo.env("RUSTFLAGS", "--cfg loom");
    cargo
}

pub fn seeds(report: &mut Report) {
    report.step("seeds", |_| {
        let arguments = ["run", "--release", "--package", "daedal-cli", "--", "sim"];
        run(command("cargo", &arguments).args(["--seeds", "200"]))
    });
}

/// Whether the simulator would see it if something were wrong.
pub fn planted(report: &mut Report) {
    report.step("planted", |_| {
        // The same dependencies as those of the seeds: little is built anew.
        let arguments = ["run", "--release", "--package", "daedal-cli", "--features", "planted"];
        run(command("cargo", &arguments).args(["--", "sim", "--planted"]))
    });
}
