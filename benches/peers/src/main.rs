//! `peers <peer>`: messages between two tasks or actors of one thread, or two processes, in other people's frameworks.
//! Prints one JSON line, as `raw` does.
//!
//! Fair to the peer: the client is itself a spawned task (as the root future it would be slower), and
//! each peer is used as its documentation shows. A tell carries one word, an ask answers with one; one
//! ask is outstanding.

mod actix_peer;
mod iceoryx_peer;
mod tokio_peer;

use std::cell::Cell;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use raw::{Figure, MEASURED, WARM_UP, pin, report};

/// Bytes of a message: one word.
const BYTES: usize = 8;

const USAGE: &str = "usage: peers tokio-tell | tokio-ask | tokio-pairs | actix-tell | actix-ask | \
                     actix-pairs | actix-each-ns | actix-each-bytes | iceoryx2-ask";

/// Those who ask, and those who are asked, where there are many.
const PAIRS: usize = 10_000;

/// Whom one of those asks: not the one that was made as it was. No step has a divisor with their number in common.
fn partner(client: usize) -> usize {
    client * 7_919 % PAIRS
}

thread_local! {
    static ANSWERS: Cell<u64> = const { Cell::new(0) };
}

/// Counts one of those answers.
fn answered() {
    ANSWERS.set(ANSWERS.get() + 1);
}

/// Those answers a second, while others have their turn.
async fn answers_a_second<T: Future<Output = ()>>(others: impl Fn() -> T) -> Figure {
    let mut rate = 0.0;
    for duration in [WARM_UP, MEASURED] {
        let (start, before) = (Instant::now(), ANSWERS.get());
        while start.elapsed() < duration {
            others().await;
        }
        rate = (ANSWERS.get() - before) as f64 / start.elapsed().as_secs_f64();
    }
    Figure::Tell(rate)
}

/// Counts what one actor handles, and says when it has run for long enough.
struct Rate {
    start: Instant,
    count: u64,
    duration: Duration,
}

impl Rate {
    fn start(duration: Duration) -> Rate {
        Rate { start: Instant::now(), count: 0, duration }
    }

    /// Counts one message. The rate, once `duration` has passed.
    fn handled(&mut self) -> Option<f64> {
        self.count += 1;
        if !self.count.is_multiple_of(raw::STRIDE) {
            return None;
        }
        let elapsed = self.start.elapsed();
        (elapsed >= self.duration).then(|| self.count as f64 / elapsed.as_secs_f64())
    }
}

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    if name.starts_with("iceoryx2-") {
        return two_processes(&name);
    }
    let run: fn() -> Figure = match name.as_str() {
        "tokio-tell" => tokio_peer::tell,
        "tokio-ask" => tokio_peer::ask,
        "tokio-pairs" => tokio_peer::pairs,
        "actix-tell" => actix_peer::tell,
        "actix-ask" => actix_peer::ask,
        "actix-pairs" => actix_peer::pairs,
        "actix-each-ns" => || actix_peer::each("ns"),
        "actix-each-bytes" => || actix_peer::each("bytes"),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    let pinned = || {
        pin(0);
        Ok::<_, std::convert::Infallible>(run())
    };
    match report(&name, BYTES, pinned) {
        Ok(()) => ExitCode::SUCCESS,
    }
}

/// The peers that run as two processes, and may fail to.
fn two_processes(name: &str) -> ExitCode {
    let run = std::env::args().nth(2).unwrap_or_default();
    let done = match name {
        "iceoryx2-ask" => report(name, iceoryx_peer::BYTES, iceoryx_peer::iceoryx2_ask),
        iceoryx_peer::ECHO => iceoryx_peer::second_process(&run),
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}
