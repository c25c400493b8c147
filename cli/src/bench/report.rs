//! Rounds become rows: medians, a table for people and JSON for programs.

use std::fmt::Write;

use serde::Serialize;

use super::agents::Figure;

/// Bounces before and after a round that differ by more than this factor make it a mixed one.
const MIXED_FROM: f64 = 1.5;

/// One line of the result: ours beside one baseline.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// `local`, `cross`, `remote` or `kvs`.
    pub scenario: &'static str,
    /// What carries the messages; `none` where nothing has to.
    pub driver: &'static str,
    /// `tell`, a rate; `ask`, the median of round trips; `cpu`, a server's processor time a request; `each`, what one
    /// of a million agents takes that has handled one message.
    pub metric: &'static str,
    /// `messages/s`, `requests/s`, `ns` or `bytes`.
    pub unit: &'static str,
    /// Ours; the median of the rounds. None: no round was fit to count.
    pub value: Option<f64>,
    /// The program that it is compared with.
    pub baseline_name: String,
    /// Its figure; the median of the same rounds.
    pub baseline: Option<f64>,
    /// Ours ÷ baseline.
    pub ratio: Option<f64>,
    /// Rounds that count.
    pub rounds: usize,
    /// The cache-line bounce around them; the median.
    pub bounce_ns: Option<f64>,
    /// Of our round trips; the median of the rounds.
    pub p50_ns: Option<f64>,
    /// As `p50_ns`.
    pub p99_ns: Option<f64>,
    /// As `p50_ns`.
    pub p999_ns: Option<f64>,
    /// Rounds that were repeated, as they were mixed.
    #[serde(skip)]
    pub mixed: usize,
}

/// What a row is about.
#[derive(Clone, Debug)]
pub struct Head {
    /// As in [`Row`].
    pub metric: &'static str,
    /// As in [`Row`].
    pub unit: &'static str,
    /// As in [`Row`].
    pub baseline_name: String,
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
    /// One for each row.
    pub pairs: Vec<Beside>,
    /// The cache-line bounce just before and just after.
    pub bounces_ns: Option<[f64; 2]>,
}

/// What a run found.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What was measured.
    pub rows: Vec<Row>,
    /// What was not.
    pub left_out: Vec<LeftOut>,
}

/// A case without rows.
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
    /// How many were mixed.
    pub mixed: usize,
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

/// The row at `index` of each round.
pub fn row(
    (scenario, driver): (&'static str, &'static str),
    (index, head): (usize, &Head),
    rounds: &Rounds,
) -> Row {
    let pairs = || rounds.counted.iter().map(|round| &round.pairs[index]);
    let value = median(pairs().map(|pair| pair.ours.value));
    let baseline = median(pairs().filter_map(|pair| Some(pair.theirs.as_ref()?.value)));
    let percentile =
        |at: usize| median(pairs().filter_map(|pair| Some(pair.ours.percentiles?[at] as f64)));
    let bounces = rounds.counted.iter().filter_map(|round| round.bounces_ns).flatten();
    Row {
        scenario,
        driver,
        metric: head.metric,
        unit: head.unit,
        value,
        baseline_name: head.baseline_name.clone(),
        baseline,
        ratio: value.zip(baseline).map(|(value, baseline)| value / baseline),
        rounds: rounds.counted.len(),
        bounce_ns: median(bounces),
        p50_ns: percentile(0),
        p99_ns: percentile(1),
        p999_ns: percentile(2),
        mixed: rounds.mixed,
    }
}

/// For people.
pub fn render(outcome: &Outcome) -> String {
    let rows = &outcome.rows;
    let mut text = format!(
        "{:<9}{:<13}{:<7}{:>13}  {:<32}{:>13}{:>8}{:>8}{:>7}{:>10}\n",
        "scenario",
        "driver",
        "metric",
        "daedal",
        "baseline",
        "",
        "ratio",
        "rounds",
        "mixed",
        "bounce"
    );
    for row in rows {
        let ratio = row.ratio.map_or("-".to_string(), |ratio| format!("{ratio:.2}"));
        let _ = writeln!(
            text,
            "{:<9}{:<13}{:<7}{:>13}  {:<32}{:>13}{:>8}{:>8}{:>7}{:>10}",
            row.scenario,
            row.driver,
            row.metric,
            human(row.value, row.unit),
            row.baseline_name,
            human(row.baseline, row.unit),
            ratio,
            row.rounds,
            row.mixed,
            human(row.bounce_ns, "ns"),
        );
    }
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

fn human(value: Option<f64>, unit: &str) -> String {
    match value {
        None => "-".to_string(),
        Some(value) if unit == "ns" => format!("{value:.0} ns"),
        Some(value) if unit == "bytes" => format!("{value:.0} B"),
        Some(value) => format!("{:.3} M/s", value / 1e6),
    }
}
