//! How every program here measures and reports, so that figures of different programs compare.
//!
//! Each program warms up, runs for about a second, and prints one line of JSON. A rate is counted where
//! messages are handled, a round trip where it was begun. The cache-line bounce between processors 0
//! and 1 is taken just before and just after: on virtual machines it comes and goes by a factor of
//! three, and every figure between two cores follows it.

pub mod alone;
pub mod bounce;
pub mod lab;
pub mod mmsg;
pub mod open_loop;
pub mod ring;
pub mod seal;
pub mod second;
pub mod shm;
pub mod tcp;
pub mod udp;
pub mod xdp;

use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2DeflateSerializer};
use rustix::thread::{CpuSet, sched_setaffinity};

/// What is run before anything counts.
pub const WARM_UP: Duration = Duration::from_millis(200);

/// What counts.
pub const MEASURED: Duration = Duration::from_secs(1);

/// Loops between two looks at the clock, where a look would show in the figure.
pub const STRIDE: u64 = 1024;

/// A wait for another thread or process that takes longer has failed.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Pins the calling thread to processor `cpu`.
/// # Panics
/// When the machine has no such processor.
pub fn pin(cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu);
    if let Err(error) = sched_setaffinity(None, &set) {
        panic!("processor {cpu} is needed, of processors 0 and 1: {error}");
    }
}

/// What one program found.
#[derive(Debug)]
pub enum Figure {
    /// Round trips.
    Ask(Histogram<u64>),
    /// Messages handled a second.
    Tell(f64),
    /// Bytes received a second.
    Stream(f64),
    /// Answers a second, and how long each took from when it was due to be asked for.
    Load(f64, Histogram<u64>),
    /// What one of many takes, in nanoseconds or bytes.
    Each(&'static str, f64),
}

/// How much memory this process has, in bytes.
/// # Panics
/// Without `/proc`.
pub fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<usize>().ok());
    1024 * kilobytes.expect("it says how much memory is resident")
}

/// Times `round` until [`MEASURED`] has passed.
pub fn ask(mut round: impl FnMut()) -> Figure {
    let start = Instant::now();
    while start.elapsed() < WARM_UP {
        round();
    }
    let mut times = Times::new();
    while !times.has_run(MEASURED) {
        round();
        times.lap();
    }
    times.figure()
}

/// As [`ask`]; before each round this thread sleeps for `rest`, if that is any time, which does not count.
pub fn ask_with_rests(rest: Duration, mut round: impl FnMut()) -> Figure {
    if rest.is_zero() {
        return ask(round);
    }
    let (start, mut times) = (Instant::now(), Times::new());
    while start.elapsed() < WARM_UP + MEASURED {
        std::thread::sleep(rest);
        times.begin();
        round();
        if start.elapsed() >= WARM_UP {
            times.lap();
        }
    }
    times.figure()
}

/// Round trips that follow each other: the end of one is the beginning of the next.
#[derive(Debug)]
pub struct Times {
    histogram: Histogram<u64>,
    start: Instant,
    last: Instant,
}

impl Times {
    /// Starts the clock.
    #[expect(clippy::new_without_default, reason = "it reads the clock")]
    pub fn new() -> Times {
        let now = Instant::now();
        Times { histogram: histogram(), start: now, last: now }
    }

    /// Begins one that does not follow the one before at once.
    pub fn begin(&mut self) {
        self.last = Instant::now();
    }

    /// Ends one round trip and begins the next.
    pub fn lap(&mut self) {
        let now = Instant::now();
        self.histogram.saturating_record((now - self.last).as_nanos() as u64);
        self.last = now;
    }

    /// Whether `duration` has passed.
    pub fn has_run(&self, duration: Duration) -> bool {
        self.last - self.start >= duration
    }

    /// What was timed.
    pub fn figure(self) -> Figure {
        Figure::Ask(self.histogram)
    }
}

/// For times of up to ten seconds, in nanoseconds.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 10_000_000_000, 3).expect("bounds and digits are valid ones")
}

/// Messages a second: calls `handle`, which says how many it handled, until [`MEASURED`] has passed.
pub fn tell(handle: impl FnMut() -> u64) -> Figure {
    Figure::Tell(rate(handle))
}

/// Of what `handle` counts, how much there is a second.
pub fn rate(mut handle: impl FnMut() -> u64) -> f64 {
    let mut count_for = |duration: Duration| {
        let (start, mut count, mut looked) = (Instant::now(), 0, 0);
        loop {
            let handled = handle();
            count += handled;
            looked += 1;
            if looked % STRIDE == 0 && start.elapsed() >= duration {
                return count as f64 / start.elapsed().as_secs_f64();
            }
        }
    };
    count_for(WARM_UP);
    count_for(MEASURED)
}

/// Runs one program between two bounces, and prints its line.
/// # Errors
/// That of `run`; nothing is printed then.
pub fn report<E>(
    name: &str,
    bytes: usize,
    run: impl FnOnce() -> Result<Figure, E>,
) -> Result<(), E> {
    let before = bounce::p50_ns();
    let figure = run()?;
    let after = bounce::p50_ns();
    println!("{}", line(name, bytes, &figure, [before, after]));
    Ok(())
}

/// Prints, in place of a program's line, what the machine lacks for it: for people.
pub fn report_lacks(name: &str, lacks: &str) {
    println!("{}", serde_json::json!({ "name": name, "lacks": lacks }));
}

fn line(name: &str, bytes: usize, figure: &Figure, [before, after]: [u64; 2]) -> String {
    let (metric, unit, value, times) = match figure {
        Figure::Ask(times) => ("ask", "ns", times.value_at_quantile(0.5).to_string(), Some(times)),
        Figure::Tell(rate) => ("tell", "messages/s", format!("{rate:.0}"), None),
        Figure::Stream(rate) => ("tell", "bytes/s", format!("{rate:.0}"), None),
        Figure::Load(rate, times) => ("load", "asks/s", format!("{rate:.0}"), Some(times)),
        Figure::Each(unit, value) => ("each", *unit, format!("{value:.1}"), None),
    };
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|quantile| {
        times.map_or("null".to_owned(), |times| times.value_at_quantile(quantile).to_string())
    });
    let histogram = times.map_or("null".to_owned(), |times| format!("\"{}\"", encoded(times)));
    format!(
        "{{\"name\":\"{name}\",\"metric\":\"{metric}\",\"unit\":\"{unit}\",\"value\":{value},\
         \"p50_ns\":{p50},\"p99_ns\":{p99},\"p999_ns\":{p999},\"bounce_ns\":{before},\
         \"bounce_after_ns\":{after},\"bytes\":{bytes},\"histogram\":{histogram}}}"
    )
}

/// As HdrHistogram hands it on: deflated, in base64.
fn encoded(times: &Histogram<u64>) -> String {
    let mut bytes = Vec::new();
    let done = V2DeflateSerializer::new().serialize(times, &mut bytes);
    done.expect("memory takes what is written");
    BASE64_STANDARD.encode(bytes)
}
