//! Rounds become rows: medians, a table for people and JSON for programs.

use std::fmt::Write;

use serde::Serialize;

use super::agents::Figure;

/// One line of the result: ours beside one baseline.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// `local`, `cross`, `remote` or `kvs`.
    pub scenario: &'static str,
    /// What carries the messages; `none` where nothing has to.
    pub driver: &'static str,
    /// `tell`, a rate, or `ask`, the median of round trips.
    pub metric: &'static str,
    /// `messages/s` or `ns`.
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
}

/// One alternation of ours and theirs.
#[derive(Clone, Debug)]
pub struct Round {
    /// Ours.
    pub ours: Figure,
    /// Of each baseline, in order; none outside a checkout.
    pub theirs: Vec<Figure>,
    /// The cache-line bounce just before and just after.
    pub bounces_ns: Option<[f64; 2]>,
}

impl Round {
    /// Whether the machine was another after the round than before it: figures of such a round compare
    /// with nothing.
    pub fn is_mixed(&self) -> bool {
        self.bounces_ns.is_some_and(|[one, other]| one.max(other) > one.min(other) * 1.5)
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

/// The row for the baseline at `index`.
pub fn row(
    (scenario, driver, metric): (&'static str, &'static str, &'static str),
    (index, baseline_name): (usize, &str),
    rounds: &[Round],
) -> Row {
    let value = median(rounds.iter().map(|round| round.ours.value));
    let baseline = median(rounds.iter().filter_map(|round| Some(round.theirs.get(index)?.value)));
    let percentile = |at: usize| {
        median(rounds.iter().filter_map(|round| Some(round.ours.percentiles?[at] as f64)))
    };
    Row {
        scenario,
        driver,
        metric,
        unit: if metric == "tell" { "messages/s" } else { "ns" },
        value,
        baseline_name: baseline_name.to_string(),
        baseline,
        ratio: value.zip(baseline).map(|(value, baseline)| value / baseline),
        rounds: rounds.len(),
        bounce_ns: median(rounds.iter().filter_map(|round| round.bounces_ns).flatten()),
        p50_ns: percentile(0),
        p99_ns: percentile(1),
        p999_ns: percentile(2),
    }
}

/// For people.
pub fn render(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<9}{:<8}{:<7}{:>13}  {:<32}{:>13}{:>8}{:>8}{:>10}\n",
        "scenario", "driver", "metric", "daedal", "baseline", "", "ratio", "rounds", "bounce"
    );
    for row in rows {
        let ratio = row.ratio.map_or("-".to_string(), |ratio| format!("{ratio:.2}"));
        let _ = writeln!(
            text,
            "{:<9}{:<8}{:<7}{:>13}  {:<32}{:>13}{:>8}{:>8}{:>10}",
            row.scenario,
            row.driver,
            row.metric,
            human(row.value, row.unit),
            row.baseline_name,
            human(row.baseline, row.unit),
            ratio,
            row.rounds,
            human(row.bounce_ns, "ns"),
        );
    }
    text
}

fn human(value: Option<f64>, unit: &str) -> String {
    match value {
        None => "-".to_string(),
        Some(value) if unit == "ns" => format!("{value:.0} ns"),
        Some(value) => format!("{:.3} M/s", value / 1e6),
    }
}
