//! From a run that fails to a shorter one that fails alike.
//!
//! Delta debugging, deterministic: one part after the other is cut down as far as the run still breaks the
//! same rule and its trace is no longer; and all over again, until nothing more can go or the budget is used
//! up. What is found is small, not smallest.
//! Source: Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input".

use std::collections::BTreeSet;

use crate::scenario::{Cut, Options, Report, run};

/// Runs that a reduction may take: a second or two of light load.
pub const RUNS_MAX: usize = 300;
/// Fewest boxes that a scenario has.
const BOXES_MIN: usize = 3;

/// What a reduction came to.
#[derive(Clone, Debug)]
pub struct Reduced {
    /// What is taken away from the seed.
    pub cut: Cut,
    /// The run that is left; it fails as the first one did.
    pub report: Report,
    /// How many runs it took.
    pub runs: usize,
}

/// Cuts down a run that has failed. One that has not stays as it is.
pub fn reduce(options: &Options, failed: Report) -> Reduced {
    let reduced = Reduced { cut: options.cut.clone(), report: failed, runs: 0 };
    let mut search = Search { options, reduced };
    if search.reduced.report.failure.is_some() {
        while search.round() {}
    }
    search.reduced
}

struct Search<'a> {
    options: &'a Options,
    reduced: Reduced,
}

impl Search<'_> {
    /// Tries each part once; whether anything went.
    fn round(&mut self) -> bool {
        let before = self.reduced.cut.clone();
        self.cut_kinds();
        self.cut_number(BOXES_MIN, |it| it.case.boxes.len(), |cut, it| cut.boxes = Some(it));
        self.cut_number(0, |it| it.case.clients, |cut, it| cut.clients = Some(it));
        let requests = |it: &Report| it.case.requests as usize;
        self.cut_number(0, requests, |cut, it| cut.requests = Some(it as u32));
        let until = |it: &Report| it.case.plan.shape().quiet_from as usize;
        self.cut_number(1, until, |cut, it| cut.until_ns = Some(it as u64));
        self.cut_outages();
        let window = |it: &Report| it.case.work.window as usize;
        self.cut_number(1, window, |cut, it| cut.window = Some(it as u32));
        self.reduced.cut != before
    }

    fn cut_kinds(&mut self) {
        let all = self.reduced.report.case.plan.kinds().clone();
        self.cut_set(all, |cut, kept| cut.kinds = Some(kept));
    }

    fn cut_outages(&mut self) {
        // They are numbered anew in what is left of the plan: those that are left out already stay so.
        let kept = self.reduced.cut.outages.clone();
        let all = kept.unwrap_or_else(|| (0..self.reduced.report.case.plan.outages()).collect());
        self.cut_set(all, |cut, kept| cut.outages = Some(kept));
    }

    /// Leaves out pieces of a set, halves first, then smaller ones.
    fn cut_set<T: Clone + Ord>(&mut self, all: BTreeSet<T>, put: fn(&mut Cut, BTreeSet<T>)) {
        let mut left: Vec<T> = all.into_iter().collect();
        let mut piece = left.len();
        while piece > 0 {
            let mut at = 0;
            while at < left.len() {
                let end = (at + piece).min(left.len());
                let fewer: Vec<T> = left[..at].iter().chain(&left[end..]).cloned().collect();
                if self.holds(|cut| put(cut, fewer.iter().cloned().collect())) {
                    left = fewer;
                } else {
                    at = end;
                }
            }
            piece /= 2;
        }
    }

    /// Makes a number smaller: the smallest, or half way to it, and so on, at last one less.
    fn cut_number(&mut self, min: usize, of: fn(&Report) -> usize, put: fn(&mut Cut, usize)) {
        let mut from = min;
        loop {
            let now = of(&self.reduced.report);
            if from >= now {
                return;
            }
            // What is just below `from` did not do.
            if !self.holds(|cut| put(cut, from)) {
                let step = (now - from).div_ceil(2);
                from += step;
            }
        }
    }

    /// Whether the run fails alike when a bit more is cut; then that is what is left.
    fn holds(&mut self, change: impl FnOnce(&mut Cut)) -> bool {
        let mut cut = self.reduced.cut.clone();
        change(&mut cut);
        if cut == self.reduced.cut || self.reduced.runs >= RUNS_MAX {
            return false;
        }
        self.reduced.runs += 1;
        let report =
            run(self.reduced.report.seed, &Options { cut: cut.clone(), ..self.options.clone() });
        let rule = |report: &Report| report.failure.as_ref().map(|failure| failure.rule);
        let is_alike = rule(&report) == rule(&self.reduced.report)
            && report.trace.events() <= self.reduced.report.trace.events();
        if is_alike {
            self.reduced.cut = cut;
            self.reduced.report = report;
        }
        is_alike
    }
}
