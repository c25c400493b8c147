//! The times of each round that counts, as a log of HdrHistogram: what its readers and plotters take.
//!
//! An interval is a round. Its tag says what was measured and of whom: `remote/kernel/ask/daedal`,
//! `load/kernel/p99-at-50-%/raw-udp-load-150`. Times are in nanoseconds; the column of maxima is in milliseconds, as
//! those readers expect.

use std::collections::BTreeMap;
use std::time::SystemTime;

use anyhow::{Result, anyhow};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use super::figure::Figure;
use super::report::{Measured, Round};

/// Nanoseconds in the unit of the column of maxima.
const MAX_DIVISOR: f64 = 1e6;

/// The whole file.
/// # Errors
/// A histogram that cannot be written.
pub fn text(measured: &[Measured]) -> Result<Vec<u8>> {
    let mut rounds: Vec<(&Measured, &Round)> = measured
        .iter()
        .flat_map(|it| it.rounds.counted.iter().map(move |round| (it, round)))
        .collect();
    rounds.sort_by_key(|(_, round)| round.start);
    let start = rounds.first().map_or(SystemTime::UNIX_EPOCH, |(_, round)| round.start);
    let (mut text, mut serializer) = (Vec::new(), V2DeflateSerializer::new());
    let mut log = IntervalLogWriterBuilder::new()
        .with_start_time(start)
        .with_base_time(start)
        .with_max_value_divisor(MAX_DIVISOR)
        .begin_log_with(&mut text, &mut serializer)?;
    for (measured, round) in rounds {
        let at = round.start.duration_since(start).unwrap_or_default();
        for (tag, times) in tagged(measured, round) {
            let tag = Tag::new(&tag);
            log.write_histogram(times, at, round.lasted, tag)
                .map_err(|error| anyhow!("{error:?}"))?;
        }
    }
    Ok(text)
}

/// Its times, each once: ours stand beside several baselines.
fn tagged<'a>(measured: &Measured, round: &'a Round) -> BTreeMap<String, &'a Histogram<u64>> {
    let mut all = BTreeMap::new();
    for (head, pair) in measured.heads.iter().zip(&round.pairs) {
        let mut add = |who: &str, figure: &'a Figure| {
            let Some(times) = &figure.times else { return };
            let words = [measured.scenario, measured.driver, &head.name(), who];
            all.insert(words.join("/").replace(' ', "-"), times);
        };
        add("daedal", &pair.ours);
        if let Some(theirs) = &pair.theirs {
            add(&head.baseline_name, theirs);
        }
    }
    all
}
