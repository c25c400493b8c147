//! What is checked by running our code: tests, interleavings, simulated seeds.

use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail};

use crate::setup;
use crate::step::{Outcome, Report, command, run};

/// Tests of loom are named so, or stand in a module that is: under loom no others make sense.
const LOOM: &str = "loom";

pub fn test(report: &mut Report) {
    report.step("test", |report| {
        // What a test prints is shown even if it passes: it may say that it was skipped. This package's
        // own tests say so of made-up steps.
        let own = run(&mut command("cargo", &["test", "--package", "ci"]))?;
        let all = ["test", "--workspace", "--exclude", "ci", "--no-fail-fast"];
        let all = report.run_tests(command("cargo", &all).args(["--", "--show-output"]))?;
        Ok(own.and(all))
    });
}

/// What a build with glommio has beside: the tests of a default build have run without.
pub fn executors(report: &mut Report) {
    report.step("executors", |report| {
        let packages = ["--package", "daedal-boxes", "--package", "daedal-cli"];
        let with = [&packages[..], &["--features", "glommio"]].concat();
        let lints = ["--all-targets", "--", "-D", "warnings"];
        let linted = match setup::missing("clippy") {
            None => run(command("cargo", &["clippy"]).args(&with).args(lints))?,
            Some(why) => report.skip(why),
        };
        let tests = ["--lib", "--test", "preflight", "--", "--show-output"];
        let tested = report.run_tests(command("cargo", &["test"]).args(&with).args(tests))?;
        Ok(linted.and(tested))
    });
}

/// What a build with DPDK has beside: the driver, and where boxes choose it.
pub fn dpdk(report: &mut Report) {
    report.step("dpdk", |report| {
        if let Some(what_and_why) = setup::missing_dpdk() {
            if requires("dpdk") {
                bail!("{what_and_why}: DAEDAL_REQUIRE_DRIVERS names it");
            }
            return Ok(report.skip(what_and_why));
        }
        let packages = ["daedal-net", "daedal-boxes", "daedal", "daedal-cli"];
        let packages: Vec<_> = packages.into_iter().flat_map(|it| ["--package", it]).collect();
        let with = [&packages[..], &["--features", "daedal-cli/dpdk"]].concat();
        let lints = ["--all-targets", "--", "-D", "warnings"];
        if setup::missing("clippy").is_none()
            && let Outcome::Failed = run(command("cargo", &["clippy"]).args(&with).args(lints))?
        {
            return Ok(Outcome::Failed);
        }
        let of_net = ["test", "--package", "daedal-net", "--features", "dpdk", "--no-fail-fast"];
        let tests = ["--lib", "--test", "drivers", "--test", "dpdk_pairs", "--test", "corpora"];
        let tests = [&tests[..], &["--", "--show-output"]].concat();
        let named = ["dpdk", "processes", "foreign"];
        let driver = report.run_tests(command("cargo", &of_net).args(tests).args(named))?;
        let of_boxes = ["test", "--package", "daedal", "--package", "daedal-cli", "--features"];
        let tests = [
            "daedal-cli/dpdk",
            "--lib",
            "--test",
            "lab",
            "--test",
            "preflight",
            "--",
            "--show-output",
        ];
        let mut boxes = command("cargo", &of_boxes);
        let boxes = report.run_tests(boxes.args(tests).args(["dpdk", "settings"]))?;
        Ok(driver.and(boxes))
    });
}

/// Whether a driver that cannot run is a failure.
fn requires(driver: &str) -> bool {
    let named = std::env::var("DAEDAL_REQUIRE_DRIVERS").unwrap_or_default();
    named.split(',').any(|it| it == driver)
}

pub fn loom(report: &mut Report) {
    report.step("loom", |report| {
        let listed = loom_tests(&["--list"]).stdout(Stdio::piped()).spawn();
        let listed = listed.and_then(Child::wait_with_output).context("cannot list the tests")?;
        let tests = String::from_utf8_lossy(&listed.stdout);
        if listed.status.success() && !tests.lines().any(|line| line.ends_with(": test")) {
            return Ok(report.skip(
                "loom: neither daedal-boxes nor daedal-net has a test with loom in its name",
            ));
        }
        run(&mut loom_tests(&[]))
    });
}

/// Other flags would have everything built again, so they have a target folder of their own.
fn loom_tests(arguments: &[&str]) -> Command {
    let packages = ["--package", "daedal-boxes", "--package", "daedal-net"];
    let mut cargo = command("cargo", &["test", "--release", "--lib"]);
    cargo.args(packages);
    cargo.args(["--target-dir", "target/loom", "--", LOOM]).args(arguments);
    cargo.env("RUSTFLAGS", "--cfg loom");
    cargo
}

/// Seeds whose traces an unoptimised build has to have too: it is some ten times slower.
const SEEDS_IN_DEBUG: &str = "20";

/// Each seed runs in two processes; some of them in an unoptimised one too. One seed, one trace.
pub fn seeds(report: &mut Report) {
    report.step("seeds", |_| {
        let release = ["run", "--release", "--package", "daedal-cli", "--", "sim"];
        let twice = run(command("cargo", &release).args(["--seeds", "200", "--against"]))?;
        let debug = run(&mut command("cargo", &["build", "--package", "daedal-cli"]))?;
        if matches!((&twice, &debug), (Outcome::Passed, Outcome::Passed)) {
            let other = ["--seeds", SEEDS_IN_DEBUG, "--against", "target/debug/daedal"];
            return run(command("cargo", &release).args(other));
        }
        Ok(Outcome::Failed)
    });
}

/// Whether the simulator would see it if something were wrong.
pub fn planted(report: &mut Report) {
    report.step("planted", |report| {
        let arguments = ["test", "--release", "--features", "planted", "--package"];
        let in_model = ["daedal-boxes", "--lib", "a_done_box_that_is_left_behind_is_found"];
        let by_model = report.run_tests(command("cargo", &arguments).args(in_model))?;
        // Bugs may end in a panic, which a test survives.
        let in_simulator = ["daedal-sim", "--test", "planted", "--test", "reduced"];
        let mut in_simulator = command("cargo", &[&arguments[..], &in_simulator].concat());
        let by_simulator = report.run_tests(in_simulator.args(["--", "--show-output"]))?;
        Ok(by_model.and(by_simulator))
    });
}
