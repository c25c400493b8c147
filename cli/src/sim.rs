//! `daedal sim`: runs seeds of the simulator, or one seed and explains it.

use std::collections::BTreeSet;
use std::rc::Rc;

use anyhow::{Result, bail};
use daedal::model::refine::Transformation;
use daedal::sim::fault::Kind;
use daedal::sim::planted::Bug;
use daedal::sim::scenario::{Options, Report, run as run_seed};
use daedal::sim::trace::Event;
use daedal::transforms::Shard;

/// Bytes of a trace that one explained seed keeps.
const TRACE_BYTES_MAX: usize = 256 << 20;
/// Seeds within which a planted bug has to be found.
const PLANTED_SEEDS: u64 = 1000;

/// What to simulate.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many seeds to run
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Run this seed alone, and explain it
    #[arg(long, conflicts_with_all = ["seeds", "from", "planted"])]
    seed: Option<u64>,
    /// With --seed: the walk of the messages of this trace, as a run without it prints them (hexadecimal)
    #[arg(long, requires = "seed", value_parser = hexadecimal)]
    follow: Option<u64>,
    /// Put bugs in, one after the other, and show which seed finds each (a build with `--features planted`)
    #[arg(long)]
    planted: bool,
}

fn hexadecimal(text: &str) -> Result<u64, std::num::ParseIntError> {
    u64::from_str_radix(text, 16)
}

/// Runs it.
/// # Errors
/// When a seed fails, or a planted bug is not found or not in this build.
pub fn run(args: Args) -> Result<()> {
    match args.seed {
        Some(seed) => explain(seed, args.follow),
        None if args.planted => plant(),
        None => sweep(args.from, args.seeds),
    }
}

fn options() -> Options {
    let shard = |count: usize| -> Rc<dyn Transformation> { Rc::new(Shard(count)) };
    Options { shard, kinds: None, planted: None, trace_bytes_max: 0 }
}

fn sweep(from: u64, seeds: u64) -> Result<()> {
    let (mut failed, mut asked, mut unknown) = (Vec::new(), 0, 0);
    for seed in from..from.saturating_add(seeds) {
        let report = run_seed(seed, &options());
        asked += report.asked;
        unknown += report.unknown;
        if let Some(failure) = &report.failure {
            println!("seed {seed} failed: {failure}");
            println!("  again, and explained: daedal sim --seed {seed}");
            failed.push(seed);
        }
    }
    println!("{seeds} seeds from {from}: {asked} requests, {unknown} of them with unknown outcome");
    if failed.is_empty() {
        return Ok(());
    }
    bail!("{} of {seeds} seeds failed: {failed:?}", failed.len())
}

fn explain(seed: u64, follow: Option<u64>) -> Result<()> {
    let report = run_seed(seed, &Options { trace_bytes_max: TRACE_BYTES_MAX, ..options() });
    let traces: BTreeSet<u64> = report
        .trace
        .records()
        .filter_map(|record| match record.event {
            Event::Message { message, .. } => Some(message.trace),
            _ => None,
        })
        .collect();
    println!("{} boxes with the controller's, {} shards", report.boxes, report.shards);
    print!("{}", report.plan);
    for trace in traces.into_iter().filter(|trace| follow.is_none_or(|only| only == *trace)) {
        println!("\ntrace {trace:x}");
        for record in report.trace.explain(trace) {
            println!("{record}");
        }
    }
    println!("\n{}", summary(&report));
    match report.failure {
        None => Ok(()),
        Some(failure) => {
            let needed = needed(seed, report.plan.kinds());
            bail!("seed {seed}: {failure}\nfaults that it takes: {needed:?}")
        }
    }
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

/// A smallest set of the seed's kinds of faults with which it fails still.
fn needed(seed: u64, kinds: &BTreeSet<Kind>) -> BTreeSet<Kind> {
    let mut needed = kinds.clone();
    for kind in kinds {
        let mut fewer = needed.clone();
        fewer.remove(kind);
        let options = Options { kinds: Some(fewer.clone()), ..options() };
        if run_seed(seed, &options).failure.is_some() {
            needed = fewer;
        }
    }
    needed
}

fn plant() -> Result<()> {
    if cfg!(not(feature = "planted")) {
        bail!(
            "this build of daedal has no bugs of the turn to put in; run `cargo run --release \
             --package daedal-cli --features planted -- sim --planted`"
        );
    }
    println!("{:<18} {:>5}  what was seen", "bug", "seed");
    let mut missed = Vec::new();
    for bug in Bug::all() {
        let planted = Options { planted: Some(bug), ..options() };
        let found = (0..PLANTED_SEEDS).map(|seed| run_seed(seed, &planted)).find(|report| {
            report.failure.is_some() && run_seed(report.seed, &options()).failure.is_none()
        });
        let Some((seed, failure)) = found.and_then(|it| Some((it.seed, it.failure?))) else {
            missed.push(bug.to_string());
            continue;
        };
        let failure = failure.to_string();
        let line: String = failure.lines().next().unwrap_or_default().chars().take(100).collect();
        println!("{:<18} {seed:>5}  {line}", bug.to_string());
    }
    if missed.is_empty() {
        return Ok(());
    }
    bail!("not found within {PLANTED_SEEDS} seeds: {}", missed.join(", "))
}
