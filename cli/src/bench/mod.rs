//! `daedal bench`: what messages cost, beside what the machine and other frameworks take for the same.
//!
//! Ours and theirs alternate within a round, and the cache-line bounce is taken around each: on virtual
//! machines it changes by a factor of three from minute to minute, and every figure between two
//! processors with it. Nothing here is set otherwise than a user would set it.

mod agents;
mod bar;
mod baseline;
mod case;
mod cases;
mod cpu;
mod cross;
mod curve;
mod dpdk;
mod figure;
mod kvs;
mod local;
mod log;
mod many;
mod open_loop;
mod page;
mod pairs;
mod phases;
mod plot;
mod reactors;
mod remote;
mod report;
mod target;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, anyhow, bail};
use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};

use self::baseline::Baselines;
use self::case::Case;
use self::cases::{DRIVERS, cases};
use self::remote::Pair;
use self::report::{Head, LeftOut, Outcome, render};
use self::target::Target;
use crate::say::{self, note};
use crate::stop;

/// What `daedal bench` takes.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What to measure
    #[arg(required_unless_present = "second", value_name = "SCENARIO")]
    scenarios: Vec<Scenario>,
    /// Only what goes by this driver; `none` is what needs none
    #[arg(long, value_name = "DRIVER", value_parser = PossibleValuesParser::new(DRIVERS))]
    driver: Option<String>,
    /// Rounds that count, ours and the baselines in turn; up to three times as many more are taken in
    /// place of those during which the machine changed
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// File for the result, as a JSON array
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// File for the times of each round, ours and the baselines', in the log format of HdrHistogram
    #[arg(long, value_name = "FILE")]
    hdr: Option<PathBuf>,
    /// File for the result as a page: tables, times, load curves, and the cache-line bounce around each round
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// What the second process of `remote` is told
    #[arg(long, hide = true)]
    second: Option<Pair>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// All of these, but for what this machine lacks something for: that is said
    All,
    /// Agents of one reactor: two; three that do the same; ten thousand pairs; and what one of a million takes that
    /// has handled one message
    Local,
    /// Two reactors of one box, spinning
    Cross,
    /// Two processes, spinning, by each driver: kernel sockets of this host, and parked when there is nothing to do, and
    /// with sealed frames; memory that they share; past the kernel over a virtual Ethernet between two network namespaces,
    /// as root, and by the kernel; DPDK's memif and virtio_user, in a build with `--features dpdk`. Sixteen that tell one,
    /// and ten thousand pairs, too
    Remote,
    /// One way by size of messages, from 16 bytes to 64 KiB, as `remote`; and the largest over a virtual Ethernet beside
    /// a TCP stream, as root
    Sizes,
    /// One way by how many messages are told a turn, 1 to 32, as `remote`
    Batches,
    /// What each phase of a message's turns takes, in turns of 32 messages at least: one reactor, or two, by their rings
    /// or by a driver, which take turns in one thread
    Phases,
    /// The load-latency curve: two processes as in `remote`, one of which asks by a schedule, at parts of the most that
    /// each program answers (`most`). A time counts from when an ask was due
    Load,
    /// A store in one box with one reactor, under redis-benchmark (50 clients, 64 bytes) beside
    /// redis-server, both sleeping when idle (the box is `balanced`): `tell` is its rate, `cpu` the
    /// server's processor time a request. Which row is which stands in the baseline's name, as in
    /// `redis-server SET -P 16`. With a driver: gateway and store in a box each, which it joins
    Kvs,
}

/// Measures, and prints what was found.
pub fn run(arguments: &Arguments) -> Result<()> {
    if let Some(pair) = &arguments.second {
        return remote::second(pair).map_err(|why| anyhow!(why));
    }
    let open = |file: &Option<PathBuf>| file.as_deref().map(Target::open).transpose();
    let (json, hdr, html) = (open(&arguments.json)?, open(&arguments.hdr)?, open(&arguments.html)?);
    let (cases, mut outcome) = (cases(), Outcome::default());
    let chosen = cases.iter().filter(|case| arguments.chooses(case));
    let cases = with_what_they_need(arguments, chosen, &mut outcome);
    let baselines = match &cases[..] {
        [] => None,
        cases => baselines_of(cases)?,
    };
    if let Some(why) = kvs::lacks_baseline().filter(|_| arguments.wants(Scenario::Kvs)) {
        note!("{why}");
    }
    let stop = stop::at_ctrl_c()?;
    measure(arguments, &cases, baselines.as_ref(), &stop, &mut outcome);
    if let Some(file) = json {
        file.write(serde_json::to_string_pretty(&outcome.rows())? + "\n")?;
    }
    if let Some(file) = hdr {
        file.write(log::text(&outcome.measured)?)?;
    }
    if let Some(file) = html {
        file.write(page::html(&outcome)?)?;
    }
    say::print(format_args!("{}", render(&outcome)))?;
    let failed = outcome.left_out.iter().filter(|left_out| left_out.is_failure).count();
    if failed > 0 {
        bail!("{failed} of what was to be measured was not: see what was left out");
    }
    if outcome.measured.is_empty() {
        bail!("nothing was measured");
    }
    Ok(())
}

/// Those that this machine lacks nothing for; the others are left out, before minutes are spent on building.
fn with_what_they_need<'a>(
    arguments: &Arguments,
    cases: impl Iterator<Item = &'a Case>,
    outcome: &mut Outcome,
) -> Vec<&'a Case> {
    let has_what_it_needs = |case: &&Case| match case.lacks() {
        None => true,
        Some(why) => {
            leave_out(outcome, case.name(), why, arguments.asks_for(case));
            false
        }
    };
    cases.filter(has_what_it_needs).collect()
}

fn baselines_of(cases: &[&Case]) -> Result<Option<Baselines>> {
    let names: Vec<String> =
        cases.iter().flat_map(|case| case.heads()).map(|head| head.baseline_name).collect();
    let baselines = Baselines::build(&names)?;
    if baselines.is_none() {
        note!(
            "no baselines: they are built from benches/, which is in no directory above this one; \
             run this in a checkout of daedal"
        );
    }
    Ok(baselines)
}

/// What fails is left out, and the rest is measured; once the user has enough, what was measured is all.
fn measure(
    arguments: &Arguments,
    cases: &[&Case],
    baselines: Option<&Baselines>,
    stop: &AtomicBool,
    outcome: &mut Outcome,
) {
    for case in cases {
        let measured = case.measure(baselines, arguments.rounds.into(), stop);
        if stop.load(Ordering::Relaxed) {
            note!("stopped: what was measured until now follows");
            outcome.measured.extend(measured.ok().filter(|it| !it.rounds.counted.is_empty()));
            return;
        }
        match measured {
            Ok(measured) => {
                for Head { baseline_name: name, .. } in &measured.heads {
                    if let Some(why) = baselines.and_then(|it| it.lacks(name)) {
                        let what = format!("{} beside {name}", case.name());
                        leave_out(outcome, what, why, false);
                    }
                }
                outcome.measured.push(measured);
            }
            Err(error) => leave_out(outcome, case.name(), format!("{error:#}"), true),
        }
    }
}

/// `is_failure`: it was asked for by its name, or went wrong.
fn leave_out(outcome: &mut Outcome, what: String, why: String, is_failure: bool) {
    note!("{what}: left out: {why}");
    outcome.left_out.push(LeftOut { what, why, is_failure });
}

impl Scenario {
    fn name(self) -> &'static str {
        match self {
            Scenario::All => "all",
            Scenario::Local => "local",
            Scenario::Cross => "cross",
            Scenario::Remote => "remote",
            Scenario::Sizes => "sizes",
            Scenario::Batches => "batches",
            Scenario::Phases => "phases",
            Scenario::Load => "load",
            Scenario::Kvs => "kvs",
        }
    }
}

impl Arguments {
    fn chooses(&self, case: &Case) -> bool {
        let is_by = |driver: &str| self.driver.as_deref().is_none_or(|it| it == driver);
        self.wants(case.scenario) && is_by(case.driver)
    }

    fn wants(&self, scenario: Scenario) -> bool {
        self.names(Scenario::All) || self.names(scenario)
    }

    fn names(&self, scenario: Scenario) -> bool {
        self.scenarios.contains(&scenario)
    }

    /// Whether it was asked for by its name, and by that of its driver, if there is one.
    fn asks_for(&self, case: &Case) -> bool {
        self.names(case.scenario) && (self.driver.is_some() || case.driver == "none")
    }
}

#[cfg(test)]
mod tests;
