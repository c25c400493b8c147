//! One cache line handed to and fro between processors 0 and 1: the floor of everything that crosses.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Figure, Times, pin};

/// Rounds of a run of its own, and of one that goes before and after another program. Counted, not
/// timed: in a time slice that others take there would be too few for a median.
const ROUNDS: usize = 2_000_000;
const ROUNDS_BESIDE: usize = 100_000;

/// A line of its own, and the one that the prefetcher would take along.
#[repr(align(128))]
struct Line(AtomicU64);

/// The median of a short run.
pub fn p50_ns() -> u64 {
    match run(ROUNDS_BESIDE) {
        Figure::Ask(times) => times.value_at_quantile(0.5),
        _ => unreachable!("a bounce is a round trip"),
    }
}

/// A bounce of full length.
pub fn figure() -> Figure {
    run(ROUNDS)
}

fn run(rounds: usize) -> Figure {
    const STOP: u64 = u64::MAX;
    let line = Line(AtomicU64::new(0));
    let await_change = |from: u64| loop {
        let value = line.0.load(Ordering::Acquire);
        if value != from {
            return value;
        }
        spin_loop();
    };
    std::thread::scope(|scope| {
        // Odd numbers go out, even ones come back.
        scope.spawn(|| {
            pin(1);
            let mut seen = 0;
            loop {
                seen = await_change(seen);
                if seen == STOP {
                    return;
                }
                seen += 1;
                line.0.store(seen, Ordering::Release);
            }
        });
        let pinged = scope.spawn(|| {
            pin(0);
            let mut sent = 0;
            let mut round = || {
                line.0.store(sent + 1, Ordering::Release);
                await_change(sent + 1);
                sent += 2;
            };
            (0..10_000).for_each(|_| round());
            let mut times = Times::new();
            for _ in 0..rounds {
                round();
                times.lap();
            }
            line.0.store(STOP, Ordering::Release);
            times.figure()
        });
        pinged.join().expect("both processors were there")
    })
}
