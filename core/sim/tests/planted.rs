//! The simulator finds bugs that were put in on purpose (feature `planted`).
#![allow(clippy::unwrap_used, missing_docs)]

use daedal_sim::planted::Bug;
use daedal_sim::scenario::{Options, Report, run};

mod transforms;

/// Seeds within which a bug has to be found.
const SEEDS: u64 = 1000;

fn options(planted: Option<Bug>) -> Options {
    Options { planted, ..transforms::options() }
}

/// What fails without the bug shows nothing.
fn finds(seed: u64, bug: Bug) -> Option<Report> {
    let report = run(seed, &options(Some(bug)));
    let is_found = report.failure.is_some() && run(seed, &options(None)).failure.is_none();
    is_found.then_some(report)
}

#[test]
fn each_planted_bug_is_found_by_the_seed_that_is_written_beside_it() {
    let mut wrong = Vec::new();
    for (bug, seed) in Bug::all() {
        let Some(report) = finds(seed, bug) else {
            let other = (0..SEEDS).find(|seed| finds(*seed, bug).is_some());
            println!("{bug}: not by {seed}, but by {other:?} of {SEEDS}");
            wrong.push(format!("{bug}: not by {seed}, but by {other:?} of {SEEDS}"));
            continue;
        };
        let failure = report.failure.unwrap().to_string();
        let line: String = failure.lines().next().unwrap_or_default().chars().take(90).collect();
        println!("{:<18} seed {seed:<4} {line}", bug.to_string());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
