//! Runs `daedal bench` over what other frameworks do too. Not among `all`: it decides nothing, and wants a quiet machine.

use crate::step::{Report, command, run};

/// Scenarios that have a peer among their baselines.
const SCENARIOS: [&str; 4] = ["local", "cross", "remote", "kvs"];

pub fn peers(report: &mut Report, rounds: u16) {
    report.step("peers", |_| {
        let bench = ["run", "--release", "--package", "daedal-cli", "--", "bench"];
        let rounds = ["--rounds", &rounds.to_string()];
        run(command("cargo", &bench).args(SCENARIOS).args(rounds))
    });
}
