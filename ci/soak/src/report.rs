//! What a run came to, as text and as JSON.

use std::fmt;

use serde::Serialize;

use crate::account::{Happened, Row, Verdict};
use crate::histories::Judged;
use crate::watch::Held;

/// What a run came to.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The seed that it was drawn from.
    pub seed: u64,
    /// How long it was to be, and was, in minutes.
    pub minutes: f64,
    /// As above.
    pub took_minutes: f64,
    /// How to repeat it.
    pub repeat: String,
    /// The load.
    pub load: Load,
    /// What happened.
    pub happened: Happened,
    /// What was done, in order: seconds since the begin, and what.
    pub diary: Vec<(f64, String)>,
    /// What clients heard, judged.
    pub histories: Judged,
    /// What processes held.
    pub memory: Vec<Held>,
    /// Every counter.
    pub counters: Vec<Row>,
    /// All that is wrong; empty: nothing.
    pub wrong: Vec<String>,
}

/// The load, and how it was answered.
#[derive(Debug, Default, Serialize)]
pub struct Load {
    /// Clients, and how many commands each has under way at the most.
    pub clients: usize,
    /// As above.
    pub pipeline: usize,
    /// Each time that saturation was measured: seconds since the begin, answers a second, and the load from then
    /// on, commands a second.
    pub measured: Vec<(f64, f64, f64)>,
    /// Commands said.
    pub said: u64,
    /// Answered.
    pub answered: u64,
    /// Told that nobody knows.
    pub told_unknown: u64,
    /// Of connections that ended.
    pub cut_off: u64,
    /// Of the open loop, from when they were due: nanoseconds by percentile.
    pub latency_ns: Vec<(f64, u64)>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_well(&self) -> bool {
        self.wrong.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { load, happened, histories, .. } = self;
        writeln!(out, "soak of {:.1} minutes, seed {}", self.took_minutes, self.seed)?;
        writeln!(
            out,
            "\nload: {} clients, {} commands each under way",
            load.clients, load.pipeline
        )?;
        for (at, saturation, rate) in &load.measured {
            writeln!(
                out,
                "  at {at:>7.1} s: {saturation:.0} answers/s at saturation; {rate:.0} commands/s from then on"
            )?;
        }
        writeln!(
            out,
            "  said {}: {} answered, {} told that nobody knows, {} of connections that ended",
            load.said, load.answered, load.told_unknown, load.cut_off
        )?;
        let shown =
            load.latency_ns.iter().map(|(at, ns)| format!("p{at} {:.2} ms", *ns as f64 / 1e6));
        writeln!(out, "  from due to answered: {}", shown.collect::<Vec<_>>().join(", "))?;
        writeln!(
            out,
            "\ntroubles: {} boxes and {} controllers killed, {} pauses, {} cuts, {} reshards",
            happened.boxes_killed,
            happened.controllers_killed,
            happened.pauses,
            happened.cuts,
            happened.reshards
        )?;
        writeln!(
            out,
            "histories: {} windows, {} keys, {} operations, {} unknown, {} histories undecided",
            histories.windows,
            histories.keys,
            histories.operations,
            histories.unknown,
            histories.undecided
        )?;
        writeln!(out, "\nmemory, KiB: in the fifth minute, in the last, at most")?;
        for held in self.memory.iter().filter(|it| it.is_flat.is_some() || it.lived_s > 60.0) {
            let Held { process, lived_s, filled_kib, last_kib, most_kib, is_flat } = held;
            let judged = match is_flat {
                Some(true) => "flat",
                Some(false) => "NOT FLAT",
                None => "too young to be judged",
            };
            writeln!(
                out,
                "  {process:<20} {lived_s:>6.0} s {filled_kib:>8} {last_kib:>8} {most_kib:>8}  {judged}"
            )?;
        }
        writeln!(out, "\ncounters")?;
        for row in &self.counters {
            let verdict = match row.verdict {
                Verdict::Exact => "exact",
                Verdict::Within => "within",
                Verdict::Told => "told",
                Verdict::Wrong => "WRONG",
            };
            let Row { process, metric, value, account, .. } = row;
            writeln!(out, "  {process:<20} {metric:<24} {value:>20} {verdict:<7} {account}")?;
        }
        match &self.wrong[..] {
            [] => writeln!(out, "\nnothing is wrong")?,
            wrong => {
                writeln!(out, "\nWRONG:")?;
                wrong.iter().try_for_each(|it| writeln!(out, "  - {it}"))?;
            }
        }
        writeln!(out, "to repeat it: {}", self.repeat)
    }
}
