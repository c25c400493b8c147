//! Builds the command and `ci/soak`, and has that run. Not among `all`: it takes as long as it is told to.

use crate::step::{Outcome, Report, command, run};

pub fn soak(report: &mut Report, minutes: f64, seed: Option<u64>) {
    report.step("soak", |_| {
        let packages = ["--package", "daedal-cli", "--package", "daedal-soak"];
        let mut build = command("cargo", &["build", "--release"]);
        if let Outcome::Failed = run(build.args(packages))? {
            return Ok(Outcome::Failed);
        }
        let mut soak = command("target/release/daedal-soak", &["--minutes", &minutes.to_string()]);
        if let Some(seed) = seed {
            soak.args(["--seed", &seed.to_string()]);
        }
        run(&mut soak)
    });
}
