//! What is reduced fails as before, and is no longer (feature `planted`).
#![allow(clippy::unwrap_used, missing_docs)]

use daedal_sim::planted::Bug;
use daedal_sim::reduce::{RUNS_MAX, reduce};
use daedal_sim::scenario::{Cut, Options, run};

mod transforms;

use transforms::options;

/// Reduces what finds a bug, and runs once more what is left.
fn check(bug: Bug, seed: u64) {
    let options = Options { planted: Some(bug), ..options() };
    let failed = run(seed, &options);
    let rule = failed.failure.as_ref().unwrap().rule;
    let (events, asked) = (failed.trace.events(), failed.asked);
    let reduced = reduce(&options, failed);
    assert!(reduced.cut != Cut::default() && reduced.runs <= RUNS_MAX, "{bug}: {reduced:?}");
    let again = run(seed, &Options { cut: reduced.cut, ..options });
    assert_eq!(again.failure.as_ref().unwrap().rule, rule, "{bug}");
    assert_eq!(again.trace.digest(), reduced.report.trace.digest(), "{bug}: it is what was found");
    println!(
        "{bug}: {events} events to {}, {asked} requests to {}",
        again.trace.events(),
        again.asked
    );
    assert!(again.trace.events() <= events && again.asked <= asked, "{bug}");
}

#[test]
fn a_run_that_is_reduced_fails_alike_and_is_no_longer() {
    // Those that break the rules that are quick to judge: who waits for ever does so for a virtual minute.
    for name in ["AnsweredTwice", "EarlyTaken", "PartTwice", "PartForWhole"] {
        let bug: Bug = name.parse().unwrap();
        let (_, seed) = Bug::all().into_iter().find(|(it, _)| *it == bug).unwrap();
        check(bug, seed);
    }
}

#[test]
fn a_run_that_does_not_fail_stays_as_it_is() {
    let report = run(1, &options());
    let digest = report.trace.digest();
    let reduced = reduce(&options(), report);
    assert_eq!((reduced.cut, reduced.runs), (Cut::default(), 0));
    assert_eq!(reduced.report.trace.digest(), digest);
}
