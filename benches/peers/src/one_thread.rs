//! How a client measures what runs on its own thread.

use std::cell::Cell;
use std::time::Instant;

use raw::{Figure, MEASURED, Times, WARM_UP};

thread_local! {
    static HANDLED: Cell<u64> = const { Cell::new(0) };
}

/// Counts a message, where it is handled.
pub fn count_handled() {
    HANDLED.set(HANDLED.get() + 1);
}

/// How many were.
pub fn handled() -> u64 {
    HANDLED.get()
}

/// Lets others run until so many were: where nothing holds a sender back, its messages would only pile up.
pub async fn until_handled(count: u64) {
    while handled() < count {
        tokio::task::yield_now().await;
    }
}

/// Messages handled a second, while `burst` sends some and lets others run.
pub async fn tell<F: Future<Output = ()>>(mut burst: impl FnMut() -> F) -> Figure {
    let mut rate = 0.0;
    for duration in [WARM_UP, MEASURED] {
        let (before, start) = (handled(), Instant::now());
        while start.elapsed() < duration {
            burst().await;
        }
        rate = (handled() - before) as f64 / start.elapsed().as_secs_f64();
    }
    Figure::Tell(rate)
}

/// Round trips.
pub async fn ask<F: Future<Output = ()>>(mut round: impl FnMut() -> F) -> Figure {
    let start = Instant::now();
    while start.elapsed() < WARM_UP {
        round().await;
    }
    let mut times = Times::new();
    while !times.has_run(MEASURED) {
        round().await;
        times.lap();
    }
    times.figure()
}

/// Runs a client on tokio, as a task.
pub fn on_tokio<T: Send + 'static>(client: impl Future<Output = T> + Send + 'static) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("the system has descriptors left");
    runtime.block_on(async { tokio::spawn(client).await.expect("the client does not panic") })
}
