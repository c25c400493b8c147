//! The load-latency curve: how long asks take at fractions of the most that can be answered.
//!
//! The most is what is answered while 32 are always under way, and is each one's own: ours and the baseline stand side
//! by side where both are equally busy, not where both have equally much to do.

use anyhow::{Result, anyhow};

use super::bar::Bar;
use super::baseline::{Baselines, Name};
use super::figure::{Figure, Found};
use super::report::{Beside, Head};

/// The steps: parts of saturation, in percent.
pub const STEPS_PERCENT: [u16; 6] = [10, 25, 50, 75, 90, 100];

/// What a round finds, in the order of [`pairs`].
pub fn heads(baseline: Name) -> Vec<Head> {
    let head = |metric, unit, load_percent, bar| Head {
        metric,
        unit,
        load_percent,
        message_bytes: None,
        batch: None,
        baseline_name: baseline.to_owned(),
        bar,
    };
    let bar = |percent| (percent == 50).then_some(Bar::AtMost(3.0));
    let steps = STEPS_PERCENT.map(|percent| head("p99", "ns", Some(percent), bar(percent)));
    std::iter::once(head("most", "asks/s", None, None)).chain(steps).collect()
}

/// One round: the most, then each step, ours and theirs in turn.
/// # Errors
/// What one of them says that fails.
pub fn pairs(
    ours: impl Fn(Option<u64>) -> Found,
    baselines: Option<&Baselines>,
    baseline: Name,
) -> Result<Vec<Beside>> {
    let ours = |rate| ours(rate).map_err(|why| anyhow!(why));
    let theirs = |baselines: &Baselines, rate: u64| baselines.run(&format!("{baseline} {rate}"));
    let most = Beside {
        ours: ours(None)?,
        theirs: baselines.map(|baselines| baselines.run(baseline)).transpose()?.flatten(),
    };
    let rate = |figure: &Figure| Figure::tell(figure.value);
    let mut pairs = vec![Beside { ours: rate(&most.ours), theirs: most.theirs.as_ref().map(rate) }];
    for percent in STEPS_PERCENT {
        let both = baselines.zip(most.theirs.as_ref());
        let theirs = both.map(|(baselines, most)| theirs(baselines, part(most, percent)));
        pairs.push(Beside {
            ours: ours(Some(part(&most.ours, percent)))?.p99(),
            theirs: theirs.transpose()?.flatten().map(Figure::p99),
        });
    }
    Ok(pairs)
}

/// So much of `most`, in asks a second: one at least.
fn part(most: &Figure, percent: u16) -> u64 {
    (most.value * f64::from(percent) / 100.0).max(1.0) as u64
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;

    use super::*;
    use crate::bench::figure::times;

    /// Answers 200 a second, if it may; otherwise what it is asked for, each in a nanosecond for each ask a second.
    fn ours(per_second: Option<u64>) -> Found {
        let rate = per_second.unwrap_or(200);
        let mut all: Histogram<u64> = times();
        all.record(rate).expect("it is within bounds");
        Ok(Figure::load(rate as f64, all))
    }

    #[test]
    fn a_curve_begins_with_the_most_and_goes_up_to_it_in_parts() {
        let pairs = pairs(ours, None, "raw udp-load 64").expect("nothing fails");
        let values: Vec<f64> = pairs.iter().map(|pair| pair.ours.value).collect();
        assert_eq!(values, [200.0, 20.0, 50.0, 100.0, 150.0, 180.0, 200.0]);
        assert!(pairs.iter().all(|pair| pair.theirs.is_none()));
        let names: Vec<String> = heads("raw udp-load 64").iter().map(Head::name).collect();
        assert_eq!(names[..2], ["most", "p99 at 10 %"]);
        assert_eq!(names.len(), values.len());
    }

    #[test]
    fn at_least_one_is_asked_for() {
        assert_eq!(part(&Figure::tell(3.0), 10), 1);
    }
}
