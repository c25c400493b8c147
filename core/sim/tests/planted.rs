//! The simulator finds bugs that were put in on purpose (feature `planted`).
#![allow(clippy::unwrap_used, missing_docs)]

use std::rc::Rc;

use daedal_model::refine::Transformation;
use daedal_sim::planted::Bug;
use daedal_sim::scenario::{Options, run};
use daedal_transforms::Shard;

fn shard(count: usize) -> Rc<dyn Transformation> {
    Rc::new(Shard(count))
}

fn options(planted: Option<Bug>) -> Options {
    Options { shard, kinds: None, planted, trace_bytes_max: 0 }
}

#[test]
fn each_planted_bug_is_found_within_a_thousand_seeds() {
    let mut missed = Vec::new();
    for bug in Bug::all() {
        let planted = options(Some(bug));
        let found = (0..1000).map(|seed| run(seed, &planted)).find(|report| {
            // What fails without the bug shows nothing.
            report.failure.is_some() && run(report.seed, &options(None)).failure.is_none()
        });
        match found {
            Some(report) => {
                let failure = report.failure.unwrap().to_string();
                let line: String =
                    failure.lines().next().unwrap_or_default().chars().take(90).collect();
                println!("{:<18} seed {:<4} {line}", bug.to_string(), report.seed);
            }
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
