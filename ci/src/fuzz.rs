//! Runs fuzz targets, one after the other, and says how long each ran and how many inputs it tried. Not among
//! `all`: their corpora are replayed by the ordinary tests.

#![expect(clippy::disallowed_methods, reason = "reads the clock, to say how long a target ran")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::setup;
use crate::step::{Outcome, Report, command, root, started, succeeds};

/// A word for every target there is.
const ALL: &str = "all";

/// What libFuzzer says at its end, before the number of inputs that it tried.
const EXECUTIONS: &str = "stat::number_of_executed_units:";

pub fn fuzz(report: &mut Report, target: &str, seconds: u32) {
    report.step("fuzz", |report| {
        ensure!(
            succeeds("cargo", &["+nightly", "fuzz", "--version"]),
            "cargo-fuzz or the nightly toolchain is not there; run rustup toolchain install nightly \
             and cargo install cargo-fuzz --locked"
        );
        let mut outcome = Outcome::Passed;
        for target in chosen(target, targets()?)? {
            if needs_dpdk(&target)
                && let Some(why) = setup::missing_dpdk()
            {
                report.note(format!("fuzz {target}: skipped, {why}"));
                continue;
            }
            if let Outcome::Failed = one(report, &target, seconds)? {
                outcome = Outcome::Failed;
            }
        }
        Ok(outcome)
    });
}

/// Whether it is of the feature `dpdk`.
fn needs_dpdk(target: &str) -> bool {
    target.starts_with("dpdk_")
}

/// One of the targets, or all.
fn chosen(target: &str, known: Vec<String>) -> Result<Vec<String>> {
    match target {
        ALL => Ok(known),
        one if known.iter().any(|it| it == one) => Ok(vec![one.to_owned()]),
        other => bail!("no fuzz target {other}; there are {}, and {ALL}", known.join(", ")),
    }
}

/// The targets, by name.
fn targets() -> Result<Vec<String>> {
    let folder = root().join("ci/fuzz/fuzz_targets");
    let files =
        fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut names = Vec::new();
    for file in files {
        let file = file?.path();
        names.extend(file.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

/// Runs a target for so long, or until it finds something.
fn one(report: &mut Report, target: &str, seconds: u32) -> Result<Outcome> {
    let time = format!("-max_total_time={seconds}");
    let run = ["+nightly", "fuzz", "run", "--fuzz-dir", "ci/fuzz"];
    let features: &[&str] = if needs_dpdk(target) { &["--features", "dpdk"] } else { &[] };
    let rest = [target, "--", &time, "-print_final_stats=1"];
    let mut command = command("cargo", &[&run[..], features, &rest].concat());
    if needs_dpdk(target) {
        // DPDK keeps what it is started with.
        command.env("ASAN_OPTIONS", "detect_leaks=0");
    }
    let begun = Instant::now();
    let mut child = started(command.stderr(Stdio::piped()))?;
    let said = child.stderr.take().context("what it says was asked for")?;
    let mut executions = None;
    for line in BufReader::new(said).split(b'\n') {
        let line = line.context("reading what the target says")?;
        let line = String::from_utf8_lossy(&line);
        eprintln!("{line}");
        executions = executions.or(executions_of(&line));
    }
    let passed = child.wait()?.success();
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    let counted = executions.map_or("it did not say how many".to_owned(), |it| it.to_string());
    let found = if passed { "" } else { "; it FOUND something, see above" };
    report.note(format!("fuzz {target}: {minutes:.1} minutes, {counted} executions{found}"));
    Ok(if passed { Outcome::Passed } else { Outcome::Failed })
}

fn executions_of(line: &str) -> Option<u64> {
    line.trim().strip_prefix(EXECUTIONS)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executions_are_read_off_libfuzzers_last_words() {
        assert_eq!(executions_of("stat::number_of_executed_units: 1234567"), Some(1_234_567));
        assert_eq!(executions_of("stat::average_exec_per_sec:     200"), None);
    }

    #[test]
    fn one_target_or_all_are_run_and_others_refused_with_those_that_are() {
        let known = targets().unwrap();
        assert!(known.contains(&"resp".to_owned()) && known.is_sorted(), "{known:?}");
        assert_eq!(chosen("all", known.clone()).unwrap(), known);
        assert_eq!(chosen("resp", known.clone()).unwrap(), ["resp"]);
        let error = chosen("rasp", known).unwrap_err().to_string();
        assert!(error.contains("no fuzz target rasp; there are ") && error.contains("resp"));
    }
}
