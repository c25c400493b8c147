//! Whole systems over seeds: clients, faults, judgement.
#![allow(clippy::unwrap_used, missing_docs)]

use daedal_sim::fault::Kind;
use daedal_sim::scenario::{Cut, Options, Report, run};
use std::collections::BTreeSet;

mod transforms;

use transforms::options;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

/// Runs seeds and prints those that fail. `SEEDS=1000 FROM=7` runs others than the usual.
fn check(kinds: Option<&[Kind]>) -> Vec<Report> {
    check_some(kinds, None, number("SEEDS", 200))
}

fn check_some(kinds: Option<&[Kind]>, is_heavy: Option<bool>, seeds: u64) -> Vec<Report> {
    let from = number("FROM", 0);
    let kinds = kinds.map(|kinds| kinds.iter().copied().collect::<BTreeSet<_>>());
    let options = Options { cut: Cut { kinds, ..Cut::default() }, is_heavy, ..options() };
    let reports: Vec<Report> = (from..from + seeds).map(|seed| run(seed, &options)).collect();
    let failed = reports.iter().filter(|report| report.failure.is_some());
    for report in failed.clone() {
        let failure = report.failure.as_ref().unwrap();
        eprintln!(
            "daedal sim --seed {}  {:?}\n{}{failure}",
            report.seed,
            report.case.plan.kinds(),
            report.case
        );
    }
    assert_eq!(failed.count(), 0, "of {} seeds", reports.len());
    reports
}

#[test]
fn without_faults_all_is_well() {
    check(Some(&[]));
}

#[test]
fn frames_get_lost_doubled_and_late_and_everything_is_processed_exactly_once() {
    let reports = check(Some(&[Kind::Drop, Kind::Duplicate, Kind::Delay]));
    assert!(reports.iter().all(|report| report.unknown == 0));
    assert!(reports.iter().any(|report| report.parked > 0));
}

#[test]
fn boxes_and_the_controller_crash_and_come_back() {
    // Frames get lost so that clients are still at work when boxes crash.
    let reports = check(Some(&[Kind::Drop, Kind::Crash, Kind::ControllerCrash]));
    assert!(reports.iter().any(|report| report.unknown > 0));
    assert!(reports.iter().any(|report| report.returned > 0));
}

/// As few seeds as show what these kinds alone can do; all kinds together have more.
const FEW: u64 = 30;

#[test]
fn boxes_that_do_not_hear_each_other_for_a_while_do_everything_once_and_leave_nobody_unanswered() {
    let kinds = [Kind::Drop, Kind::OneWayPartition, Kind::Partition];
    let reports = check_some(Some(&kinds), None, FEW);
    assert!(reports.iter().all(|report| report.unknown == 0));
}

#[test]
fn boxes_that_stand_still_or_are_slow_do_everything_once_and_leave_nobody_unanswered() {
    let reports = check_some(Some(&[Kind::Pause, Kind::Slowness]), None, FEW);
    assert!(reports.iter().all(|report| report.unknown == 0));
    assert!(reports.iter().any(|report| report.parked > 0));
}

#[test]
fn clocks_that_are_wrong_take_nobodys_time_back() {
    check_some(Some(&[Kind::Delay, Kind::ClockSkew, Kind::Crash]), None, FEW);
}

#[test]
fn all_faults_together() {
    let reports = check(None);
    assert_eq!(reports.iter().map(|report| report.undecided).sum::<usize>(), 0);
}

/// Deep pipelines from several reactors, while the controller is gone and comes back: nobody waits for it
/// who knows the way.
#[test]
fn heavy_load_goes_on_while_the_controller_is_gone() {
    let frames = [Kind::Drop, Kind::Duplicate, Kind::Delay, Kind::ControllerCrash];
    let mut without = 0;
    for kinds in [&frames[3..], &frames[..]] {
        let reports = check_some(Some(kinds), Some(true), 40);
        assert!(reports.iter().all(|report| report.unknown == 0));
        without += reports.iter().map(|report| report.without_controller).sum::<usize>();
    }
    assert!(without > 300, "only {without} requests were asked and answered meanwhile");
}

/// Each line of the file: a seed, and why it is kept.
#[test]
fn seeds_that_once_failed_fail_no_more() {
    for line in include_str!("../seeds/kept.txt").lines() {
        let Some((seed, why)) = line.split_once(' ').filter(|_| !line.starts_with('#')) else {
            continue;
        };
        let report = run(seed.parse().unwrap(), &options());
        assert_eq!(report.failure, None, "seed {seed}, kept since: {why}");
    }
}

#[test]
fn a_seed_has_one_trace_in_one_process() {
    for seed in 0..20 {
        let [first, second] =
            [(); 2].map(|()| run(seed, &Options { trace_bytes_max: 1 << 20, ..options() }).trace);
        let difference = first.first_difference(&second);
        assert!(difference.is_none(), "seed {seed}: {}", difference.unwrap());
    }
}
