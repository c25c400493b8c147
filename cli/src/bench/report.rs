//! Rounds become rows: medians, a table for people and JSON for programs.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::bar::Bar;
use super::figure::{Figure, Percentiles};

/// Bounces before and after a round that differ by more than this factor make it a mixed one.
const MIXED_FROM: f64 = 1.5;

/// One line of the result: ours beside one baseline.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// `local`, `cross`, `remote`, `sizes`, `batches`, `phases`, `load` or `kvs`.
    pub scenario: &'static str,
    /// What carries the messages; `none` where nothing has to.
    pub driver: &'static str,
    /// What it is about.
    #[serde(flatten)]
    pub head: Head,
    /// Ours; the median of the rounds. None: no round was fit to count.
    pub value: Option<f64>,
    /// Its figure; the median of the same rounds.
    pub baseline: Option<f64>,
    /// Ours ÷ baseline.
    pub ratio: Option<f64>,
    /// Whether ours is where `bar` has it.
    pub is_reached: Option<bool>,
    /// Rounds that count.
    pub rounds: usize,
    /// The cache-line bounce around them; the median.
    pub bounce_ns: Option<f64>,
    /// Just before and just after each round, those that do not count behind those that do.
    pub bounces_ns: Vec<[f64; 2]>,
    /// How our times are spread; medians of the rounds.
    pub times: Option<Percentiles>,
    /// As `times`, of the baseline's.
    pub baseline_times: Option<Percentiles>,
    /// Rounds that were repeated, as they were mixed.
    pub mixed: usize,
}

/// What a row is about.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Head {
    /// `tell`, a rate; `ask`, the median of round trips; `cpu`, a server's processor time a request; `each`, what one
    /// of a million agents takes that has handled one message; `most`, the asks that are answered a second when there
    /// are always some; `p99`, of times from when an ask was due until its answer. As `tell`: `fan-in`, of several
    /// senders; `pairs`, of answers to many who ask. As `ask`: `veth ask`, over a virtual Ethernet
    /// where others are not; `balanced`, of reactors that park when there is nothing to do for long; `parked`, when they do so before each ask; `sealed`; `merged`, of several who are to say the
    /// same. `sealing`: what `sealed` takes longer than `ask`.
    pub metric: &'static str,
    /// `messages/s`, `bytes/s`, `requests/s`, `asks/s`, `ns` or `bytes`.
    pub unit: &'static str,
    /// Of a load curve, how busy both are: asks a second, in percent of the most that each of them answers.
    pub load_percent: Option<u16>,
    /// Bytes of a message, where rows differ in that.
    pub message_bytes: Option<usize>,
    /// How many are told a turn, where rows differ in that.
    pub batch: Option<u16>,
    /// The program that it is compared with, or another figure of ours.
    pub baseline_name: String,
    /// Where ours is to be beside it, if that is said.
    pub bar: Option<Bar>,
}

impl Head {
    /// What was measured, for people: `p99 at 50 %`, `tell 64 B`, `tell by 16`.
    pub fn name(&self) -> String {
        match (self.load_percent, self.message_bytes, self.batch) {
            (Some(percent), _, _) => format!("{} at {percent} %", self.metric),
            (None, Some(bytes), _) => format!("{} {bytes} B", self.metric),
            (None, None, Some(batch)) => format!("{} by {batch}", self.metric),
            (None, None, None) => self.metric.to_string(),
        }
    }
}

impl Row {
    /// Its bar, for people, and whether it is reached: `≤ 3 yes`.
    pub fn bar(&self) -> String {
        let Some(bar) = self.head.bar else { return "-".to_owned() };
        match self.is_reached {
            Some(true) => format!("{bar} yes"),
            Some(false) => format!("{bar} no"),
            None => bar.to_string(),
        }
    }
}

/// What a round finds for one row.
#[derive(Clone, Debug)]
pub struct Beside {
    /// Ours.
    pub ours: Figure,
    /// The baseline's, if there is one to run.
    pub theirs: Option<Figure>,
}

/// One alternation of ours and theirs.
#[derive(Clone, Debug)]
pub struct Round {
    /// When it began.
    pub start: SystemTime,
    /// How long it took.
    pub lasted: Duration,
    /// One for each row.
    pub pairs: Vec<Beside>,
    /// The cache-line bounce just before and just after.
    pub bounces_ns: Option<[f64; 2]>,
}

/// What a run found.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What was measured.
    pub measured: Vec<Measured>,
    /// What was not.
    pub left_out: Vec<LeftOut>,
}

/// A case, and its rounds.
#[derive(Clone, Debug)]
pub struct Measured {
    /// As in [`Row`].
    pub scenario: &'static str,
    /// As in [`Row`].
    pub driver: &'static str,
    /// What each pair of a round is about.
    pub heads: Vec<Head>,
    /// What they found.
    pub rounds: Rounds,
}

/// A case that was not measured.
#[derive(Clone, Debug)]
pub struct LeftOut {
    /// Its name.
    pub what: String,
    /// For people.
    pub why: String,
    /// Whether it was asked for by name, or this machine has what it needs.
    pub is_failure: bool,
}

/// What is known of a case.
#[derive(Clone, Debug, Default)]
pub struct Rounds {
    /// Those that count.
    pub counted: Vec<Round>,
    /// Those that were mixed.
    pub mixed: Vec<Round>,
}

impl Round {
    /// Whether the machine was another after the round than before it: figures of such a round compare
    /// with nothing.
    pub fn is_mixed(&self) -> bool {
        self.bounces_ns.is_some_and(|[one, other]| one.max(other) > one.min(other) * MIXED_FROM)
    }
}

/// The middle one; of an even number, the mean of the two.
pub fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = values[(values.len() - 1) / 2];
    Some((lower + upper) / 2.0)
}

impl Outcome {
    /// Those of all that was measured.
    pub fn rows(&self) -> Vec<Row> {
        self.measured.iter().flat_map(Measured::rows).collect()
    }
}

impl Measured {
    /// One for each head.
    pub fn rows(&self) -> Vec<Row> {
        (0..self.heads.len()).map(|index| self.row(index)).collect()
    }

    fn row(&self, index: usize) -> Row {
        let Rounds { counted, mixed } = &self.rounds;
        let ours = || counted.iter().map(|round| &round.pairs[index].ours);
        let theirs = || counted.iter().filter_map(|round| round.pairs[index].theirs.as_ref());
        let value = median(ours().map(|figure| figure.value));
        let baseline = median(theirs().map(|figure| figure.value));
        let bounces = |rounds: &[Round]| -> Vec<[f64; 2]> {
            rounds.iter().filter_map(|round| round.bounces_ns).collect()
        };
        Row {
            scenario: self.scenario,
            driver: self.driver,
            head: self.heads[index].clone(),
            value,
            baseline,
            is_reached: value.zip(baseline).and_then(|(value, baseline)| {
                Some(self.heads[index].bar?.is_reached(value, baseline))
            }),
            ratio: value.zip(baseline).map(|(value, baseline)| value / baseline),
            rounds: counted.len(),
            bounce_ns: median(bounces(counted).into_iter().flatten()),
            bounces_ns: [bounces(counted), bounces(mixed)].concat(),
            times: percentiles(ours()),
            baseline_times: percentiles(theirs()),
            mixed: mixed.len(),
        }
    }
}

/// The median of each.
fn percentiles<'a>(figures: impl Iterator<Item = &'a Figure>) -> Option<Percentiles> {
    let all: Vec<Percentiles> = figures.filter_map(Figure::percentiles).collect();
    let of = |which: fn(&Percentiles) -> f64| median(all.iter().map(which));
    Some(Percentiles {
        p50_ns: of(|it| it.p50_ns)?,
        p99_ns: of(|it| it.p99_ns)?,
        p999_ns: of(|it| it.p999_ns)?,
    })
}

/// For people.
pub fn render(outcome: &Outcome) -> String {
    let rows = outcome.rows();
    let mut text = figures(&rows) + &times(&rows);
    if rows.iter().any(|row| row.mixed > 0) {
        let _ = writeln!(
            text,
            "mixed: rounds that do not count, and were repeated: the cache-line bounce before and after \
             them differs by more than {MIXED_FROM} times"
        );
    }
    for LeftOut { what, why, .. } in &outcome.left_out {
        let _ = writeln!(text, "left out: {what}: {why}");
    }
    text
}

/// A line for each row.
fn figures(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<9}{:<17}{:<13}{:>13}  {:<32}{:>13}{:>8}{:>15}{:>8}{:>7}{:>10}\n",
        "scenario",
        "driver",
        "metric",
        "daedal",
        "baseline",
        "",
        "ratio",
        "bar",
        "rounds",
        "mixed",
        "bounce"
    );
    for row in rows {
        let ratio = row.ratio.map_or("-".to_string(), |ratio| format!("{ratio:.2}"));
        let _ = writeln!(
            text,
            "{:<9}{:<17}{:<13}{:>13}  {:<32}{:>13}{:>8}{:>15}{:>8}{:>7}{:>10}",
            row.scenario,
            row.driver,
            row.head.name(),
            human(row.value, row.head.unit),
            row.head.baseline_name,
            human(row.baseline, row.head.unit),
            ratio,
            row.bar(),
            row.rounds,
            row.mixed,
            human(row.bounce_ns, "ns"),
        );
    }
    text
}

/// For people: whose times there are, by scenario, driver, metric and name, and how they are spread. Of each row ours and
/// the baseline's; ours once, where it stands beside several.
pub fn spreads(rows: &[Row]) -> Vec<([String; 4], [String; 3])> {
    let mut all = Vec::new();
    for row in rows {
        let ours = ("daedal", row.times);
        for (who, times) in [ours, (&row.head.baseline_name, row.baseline_times)] {
            let Some(times) = times else { continue };
            let whose = [row.scenario, row.driver, &row.head.name(), who].map(str::to_owned);
            let spread = (whose, times.ns().map(|ns| human(Some(ns), "ns")));
            if !all.contains(&spread) {
                all.push(spread);
            }
        }
    }
    all
}

/// A line for each.
fn times(rows: &[Row]) -> String {
    let line = |([scenario, driver, metric, who], [p50, p99, p999]): ([String; 4], [String; 3])| {
        format!("{scenario:<9}{driver:<17}{metric:<13}{who:<32}{p50:>13}{p99:>13}{p999:>13}\n")
    };
    let lines: Vec<String> = spreads(rows).into_iter().map(line).collect();
    if lines.is_empty() {
        return String::new();
    }
    let head = format!(
        "\n{:<9}{:<17}{:<13}{:<32}{:>13}{:>13}{:>13}\n",
        "scenario", "driver", "metric", "times of", "p50", "p99", "p99.9"
    );
    head + &lines.concat()
}

/// With its unit; `-` for nothing.
pub fn human(value: Option<f64>, unit: &str) -> String {
    match value {
        None => "-".to_string(),
        Some(value) if unit == "ns" && value >= 1e6 => format!("{:.2} ms", value / 1e6),
        Some(value) if unit == "ns" => format!("{value:.0} ns"),
        Some(value) if unit == "bytes" => format!("{value:.0} B"),
        Some(value) if unit == "bytes/s" => format!("{:.2} GB/s", value / 1e9),
        Some(value) if value < 1e5 => format!("{:.1} k/s", value / 1e3),
        Some(value) => format!("{:.3} M/s", value / 1e6),
    }
}
