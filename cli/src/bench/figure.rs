//! What one run found, ours or a baseline's.

use hdrhistogram::Histogram;
use serde::Serialize;

/// One figure, and the times that it is of, if it is of times.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Nanoseconds; messages, answers or bytes a second; or bytes.
    pub value: f64,
    /// In nanoseconds.
    pub times: Option<Histogram<u64>>,
}

/// How a run ended: the text is for people.
pub type Found = Result<Figure, String>;

/// How times are spread.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half of them take no longer.
    pub p50_ns: f64,
    /// So do 99 of 100.
    pub p99_ns: f64,
    /// So do 999 of 1,000.
    pub p999_ns: f64,
}

impl Figure {
    /// The median of round trips, in nanoseconds.
    pub fn ask(times: Histogram<u64>) -> Figure {
        Figure { value: times.value_at_quantile(0.5) as f64, times: Some(times) }
    }

    /// Answers a second, and how long each took from when it was due to be asked for, in nanoseconds.
    pub fn load(rate: f64, times: Histogram<u64>) -> Figure {
        Figure { value: rate, times: Some(times) }
    }

    /// What one of many takes.
    pub fn each(value: f64) -> Figure {
        Figure { value, times: None }
    }

    /// That of messages a second.
    pub fn tell(rate: f64) -> Figure {
        Figure { value: rate, times: None }
    }

    /// That rate in bytes, of messages of so many.
    pub fn in_bytes(self, message_bytes: usize) -> Figure {
        Figure { value: self.value * message_bytes as f64, ..self }
    }

    /// The same times, of which the 99th percentile is the figure, if there are times.
    pub fn p99(self) -> Figure {
        let value = self.percentiles().map_or(self.value, |all| all.p99_ns);
        Figure { value, ..self }
    }

    /// How its times are spread.
    pub fn percentiles(&self) -> Option<Percentiles> {
        let times = self.times.as_ref()?;
        let [p50_ns, p99_ns, p999_ns] =
            [0.5, 0.99, 0.999].map(|at| times.value_at_quantile(at) as f64);
        Some(Percentiles { p50_ns, p99_ns, p999_ns })
    }
}

impl Percentiles {
    /// What they are called, for people, in the order of [`Percentiles::ns`].
    pub const NAMES: [&str; 3] = ["p50", "p99", "p99.9"];

    /// All, from the least.
    pub fn ns(self) -> [f64; 3] {
        [self.p50_ns, self.p99_ns, self.p999_ns]
    }
}

/// For times of up to ten seconds, in nanoseconds.
pub fn times() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 10_000_000_000, 3).expect("the bounds are in order")
}
