//! `daedal trace`: the walks of sampled messages through the boxes of this user on this host, as their reactors
//! noted them. Times are those of turns: what one turn does has one time, and what comes by ring or link may seem
//! to come up to a turn before it was sent.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use daedal::boxes::counters::BoxReading;
use daedal::boxes::walk::{Note, Step};

use crate::say;
use crate::watch::boxes_in;

/// What `daedal trace` takes.
#[derive(Debug, Args)]
pub struct Arguments {
    /// How many of the last walks
    #[arg(default_value_t = 5)]
    count: usize,
    /// Folder of the boxes' files [default: your run folder]
    #[arg(long, value_name = "FOLDER")]
    run: Option<PathBuf>,
}

/// A note, and where it was made.
struct Hop {
    note: Note,
    at: String,
}

/// Prints the last walks, the latest last.
pub fn run(arguments: &Arguments) -> Result<()> {
    let boxes = boxes_in(arguments.run.as_ref())?;
    let mut walks: BTreeMap<u64, Vec<Hop>> = BTreeMap::new();
    for hop in boxes.iter().flat_map(hops) {
        walks.entry(hop.note.trace).or_default().push(hop);
    }
    // A walk whose beginning was written over says little.
    walks.retain(|_, hops| hops.iter().any(|hop| hop.note.step == Step::Sent));
    if walks.is_empty() {
        bail!(
            "no message was sampled lately: start boxes with `daedal box --trace 1000`, which notes one of \
             a thousand messages that enter there"
        );
    }
    let mut walks: Vec<_> = walks.into_values().collect();
    // Stable, so that what one reactor noted within one turn stays in its order.
    walks.iter_mut().for_each(|hops| hops.sort_by_key(|hop| hop.note.at));
    walks.sort_by_key(|hops| hops[0].note.at);
    let first = walks.len().saturating_sub(arguments.count);
    walks[first..].iter().try_for_each(|hops| say::print(format_args!("{}", render(hops))))
}

fn hops(from: &BoxReading) -> Vec<Hop> {
    let reactors = 0..from.reactors;
    let at = |reactor: usize| format!("{}.{reactor}", from.name);
    reactors
        .flat_map(|reactor| from.notes(reactor).into_iter().map(move |note| (reactor, note)))
        .map(|(reactor, note)| Hop { note, at: at(reactor) })
        .collect()
}

fn render(hops: &[Hop]) -> String {
    let begun = hops[0].note.at.0;
    let mut text = format!("trace {:x}\n", hops[0].note.trace);
    for Hop { note, at } in hops {
        let after = (note.at.0 - begun) as f64 / 1e3;
        let did = match note.step {
            Step::Sent => "sends",
            Step::Came => "takes",
            Step::Parked => "parks",
            Step::Answered => "is answered",
        };
        let via = if note.via.is_empty() { String::new() } else { format!(", by {}", note.via) };
        let _ = writeln!(
            text,
            "  {after:>10.1} µs  {at:<8} {} {did} message {}{via}",
            note.agent, note.number
        );
    }
    text
}
