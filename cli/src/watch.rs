//! `daedal boxes`: as `boxes` shows them; with `--watch`, what the reactors of this user's boxes on this
//! host count, read from the files that they keep, so that looking costs them nothing.

#![expect(clippy::disallowed_methods, reason = "looks, waits, and looks again")]

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use daedal::Templates;
use daedal::boxes::counters::{BoxReading, ReactorReading, read_all};

use crate::boxes;
use crate::find::{Where, run_folder};
use crate::say;

/// What `daedal boxes` takes.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    at: Where,
    /// Watch the boxes that you run on this host: rates, levels, how full every bound is, drops by name
    #[arg(long)]
    watch: bool,
    /// Seconds between two looks
    #[arg(long, requires = "watch", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
    /// How often to look [default: until Ctrl-C]
    #[arg(long, requires = "watch")]
    times: Option<u64>,
    /// Folder of the files [default: your run folder]
    #[arg(long, requires = "watch", value_name = "FOLDER")]
    run: Option<PathBuf>,
}

/// Shows the boxes.
pub fn run(arguments: &Arguments, templates: &Arc<Templates>) -> Result<()> {
    if !arguments.watch {
        return boxes::run(&arguments.at, templates);
    }
    let every = Duration::from_secs(arguments.every);
    let mut last: Vec<Look> = Vec::new();
    let mut since = Instant::now();
    for round in 0.. {
        let now = Instant::now();
        let boxes = boxes_in(arguments.run.as_ref())?;
        let looks: Vec<Look> = boxes.iter().map(Look::at).collect();
        let seconds = now.duration_since(since).as_secs_f64();
        for look in &looks {
            let before = last.iter().find(|it| it.is_of(look));
            say::print(format_args!("{}", render(look, before, seconds)))?;
        }
        (last, since) = (looks, now);
        if arguments.times.is_some_and(|times| round + 1 >= times) {
            break;
        }
        std::thread::sleep(every);
    }
    Ok(())
}

/// The boxes whose counters can be read.
/// # Errors
/// When there are none.
pub fn boxes_in(folder: Option<&PathBuf>) -> Result<Vec<BoxReading>> {
    let folder = folder.cloned().unwrap_or_else(run_folder);
    let boxes = if folder.exists() { read_all(&folder) } else { Ok(Vec::new()) };
    let boxes = boxes.with_context(|| format!("cannot read {}", folder.display()))?;
    if boxes.is_empty() {
        bail!(
            "no box of yours runs on this host, as far as {} shows: start one by `daedal box`, or name \
             its --run folder",
            folder.display()
        );
    }
    Ok(boxes)
}

/// What was read of a box at one moment.
struct Look {
    name: String,
    process: u32,
    reactors: Vec<ReactorReading>,
}

impl Look {
    fn at(it: &BoxReading) -> Look {
        let reactors = (0..it.reactors).map(|reactor| it.reactor(reactor)).collect();
        Look { name: it.name.clone(), process: it.process, reactors }
    }

    fn is_of(&self, other: &Look) -> bool {
        (&self.name, self.process) == (&other.name, other.process)
    }
}

/// `before`: an earlier look, `seconds` ago; without one there are totals instead of rates.
fn render(look: &Look, before: Option<&Look>, seconds: f64) -> String {
    let mut text = format!("box \"{}\", process {}\n", look.name, look.process);
    for (index, reactor) in look.reactors.iter().enumerate() {
        let before = before.and_then(|it| it.reactors.get(index)).map(|it| (it, seconds));
        let rows = [
            (if before.is_some() { "a second" } else { "in all" }, counts(reactor, before)),
            ("full", fills(reactor)),
            ("now", levels(reactor)),
            ("drops", drops(reactor)),
        ];
        let _ = writeln!(text, "  reactor {index}");
        for (head, row) in rows.iter().filter(|(_, row)| !row.is_empty()) {
            let _ = writeln!(text, "    {head:<9} {row}");
        }
    }
    text
}

const DROPS: &str = "drops_";

fn is_count(reactor: &ReactorReading, name: &str) -> bool {
    let is_level = name.ends_with("_max") || name.ends_with("_now") || name.starts_with(DROPS);
    !is_level && reactor.get(&format!("{name}_max")).is_none()
}

fn counts(reactor: &ReactorReading, before: Option<(&ReactorReading, f64)>) -> String {
    let counts = reactor.iter().filter(|(name, _)| is_count(reactor, name));
    let shown = counts.filter_map(|(name, count)| {
        let shown = match before {
            None => count,
            Some((before, seconds)) => {
                let grown = count.saturating_sub(before.get(name).unwrap_or(0));
                (grown as f64 / seconds).round() as u64
            }
        };
        (shown > 0).then(|| format!("{name} {shown}"))
    });
    joined(shown)
}

fn fills(reactor: &ReactorReading) -> String {
    joined(reactor.iter().filter_map(|(name, value)| {
        let most = reactor.get(&format!("{name}_max"))?;
        let percent = (value * 100).checked_div(most).unwrap_or(0);
        Some(format!("{name} {value}/{most} ({percent} %)"))
    }))
}

fn levels(reactor: &ReactorReading) -> String {
    joined(reactor.iter().filter_map(|(name, value)| {
        let level = name.strip_suffix("_now")?;
        (level != "updated_ns" && value > 0).then(|| format!("{level} {value}"))
    }))
}

fn drops(reactor: &ReactorReading) -> String {
    joined(reactor.iter().filter_map(|(name, count)| {
        let reason = name.strip_prefix(DROPS)?;
        (count > 0).then(|| format!("{reason} {count}"))
    }))
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(" · ")
}
