//! Runs one fuzz target. Not among `all`: its corpus is replayed by the ordinary tests.

use anyhow::ensure;

use crate::step::{Report, command, run, succeeds};

pub fn fuzz(report: &mut Report, target: &str, seconds: u32) {
    report.step("fuzz", |_| {
        ensure!(
            succeeds("cargo", &["+nightly", "fuzz", "--version"]),
            "cargo-fuzz or the nightly toolchain is not there; run rustup toolchain install nightly \
             and cargo install cargo-fuzz --locked"
        );
        let time = format!("-max_total_time={seconds}");
        let arguments = ["+nightly", "fuzz", "run", "--fuzz-dir", "ci/fuzz", target, "--", &time];
        run(&mut command("cargo", &arguments))
    });
}
