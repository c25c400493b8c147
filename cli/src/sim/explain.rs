//! One seed: what it is a run of, what went wrong by plan, and the walk of its messages. If it fails, a
//! short run that fails alike, with the walk of those that the failure is about.

use std::collections::BTreeSet;
use std::panic;

use anyhow::{Result, bail};
use daedal::sim::reduce::reduce;
use daedal::sim::scenario::{Cut, Failure, Options, Report, run as run_seed};
use daedal::sim::trace::Event;

use crate::say::{self, note, say};

/// Bytes of a trace that one explained seed keeps.
const TRACE_BYTES_MAX: usize = 256 << 20;
/// Most events that are shown of a run whose failure is about no message in particular.
const EVENTS_MAX: u64 = 400;

/// # Errors
/// When the seed fails: what was demanded.
pub(super) fn explain(seed: u64, options: &Options, follow: Option<u64>) -> Result<()> {
    let is_whole = options.cut == Cut::default();
    say_where_panics_are_caught();
    let options = Options { trace_bytes_max: TRACE_BYTES_MAX, ..options.clone() };
    let report = run_seed(seed, &options);
    let Some(failure) = report.failure.clone() else {
        return show(&report, follow.map_or_else(|| traces(&report), |only| [only].into()));
    };
    let seed = seed.to_string() + &bug_of(&options);
    if !is_whole || follow.is_some() {
        show(&report, follow.map_or_else(|| concerned(&failure), |only| [only].into()))?;
        bail!("seed {seed}{}: {failure}", options.cut);
    }
    say!("seed {seed} fails: {failure}\n{}", summary(&report))?;
    say!("looking for a shorter run that fails alike …")?;
    let silent = Options { trace_bytes_max: 0, ..options.clone() };
    let reduced = reduce(&silent, report);
    let cut = &reduced.cut;
    say!("after {} runs: daedal sim --seed {seed}{cut}\n", reduced.runs)?;
    let report = run_seed(reduced.report.seed, &Options { cut: cut.clone(), ..options });
    let Some(failure) = &report.failure else {
        bail!("seed {seed}: failed, and with{cut} fails no more when its trace is kept")
    };
    show(&report, concerned(failure))?;
    bail!("seed {seed}{cut}: {failure}")
}

/// What a command line says of the bug that is in.
fn bug_of(options: &Options) -> String {
    options.planted.map_or_else(String::new, |bug| format!(" --bug {bug}"))
}

/// A build that ends with a panic cannot reduce one.
fn say_where_panics_are_caught() {
    if cfg!(panic = "abort") {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            before(info);
            note!("this build ends here; one without --release goes on, and reduces the run");
        }));
    }
}

fn traces(report: &Report) -> BTreeSet<u64> {
    let messages = report.trace.records().filter_map(|record| match record.event {
        Event::Message { message, .. } => Some(message.trace),
        _ => None,
    });
    messages.collect()
}

fn concerned(failure: &Failure) -> BTreeSet<u64> {
    failure.traces.iter().copied().collect()
}

/// What a run was, and the walk of these of its messages; without any of all, if they are few.
fn show(report: &Report, traces: BTreeSet<u64>) -> Result<()> {
    say::print(format_args!("{}{}", report.case, report.case.plan))?;
    let is_any = !traces.is_empty();
    for trace in traces {
        say!("\ntrace {trace:x}")?;
        for record in report.trace.explain(trace) {
            say!("{record}")?;
        }
    }
    if !is_any && report.trace.events() <= EVENTS_MAX {
        say!("\n{}", report.trace)?;
    }
    say!("\n{}", summary(report))
}

fn summary(report: &Report) -> String {
    let Report { asked, unknown, turns, ended_at, .. } = report;
    format!(
        "{asked} requests, {unknown} with unknown outcome; {turns} turns in {ended_at} virtual ns; \
         {} events, digest {:032x}",
        report.trace.events(),
        report.trace.digest()
    )
}
