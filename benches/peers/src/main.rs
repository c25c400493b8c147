//! `peers <peer>`: messages between two tasks or actors of one thread, or two processes, in other people's frameworks.
//! Prints one JSON line, as `raw` does.
//!
//! Fair to the peer: the client is itself a spawned task (as the root future it would be slower), and
//! each peer is used as its documentation shows. On one thread a tell carries one word, an ask answers with one; one
//! ask is outstanding.

mod actix_peer;
mod glommio_peer;
mod iceoryx_peer;
mod kameo_peer;
mod one_thread;
mod ractor_peer;
mod tokio_peer;
mod tonic_peer;

use std::error::Error;
use std::process::ExitCode;

use raw::{Figure, pin, report, report_lacks};

use crate::one_thread::on_tokio;

/// Bytes of a message between two of one thread: one word.
const BYTES: usize = 8;

/// What is sent before any of it is handled, where nothing holds a sender back.
const BURST: u64 = 1000;

/// Those who ask, and those who are asked, where there are many.
const PAIRS: usize = 10_000;

const USAGE: &str =
    "usage: peers tokio-tell | tokio-ask | tokio-pairs | actix-tell | actix-ask | actix-pairs
             kameo-tell | kameo-ask | ractor-tell | ractor-ask | glommio-tell | glommio-ask
             actix-each-ns | actix-each-bytes | iceoryx2-ask | tonic-ask";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error + Send + Sync>> {
    let name = std::env::args().nth(1).unwrap_or_default();
    let told = std::env::args().nth(2).unwrap_or_default();
    match name.as_str() {
        "tokio-tell" => one_thread(&name, || on_tokio(tokio_peer::tell())),
        "tokio-ask" => one_thread(&name, || on_tokio(tokio_peer::ask())),
        "tokio-pairs" => one_thread(&name, || on_tokio(tokio_peer::pairs())),
        "actix-tell" => one_thread(&name, actix_peer::tell),
        "actix-ask" => one_thread(&name, actix_peer::ask),
        "actix-pairs" => one_thread(&name, actix_peer::pairs),
        "actix-each-ns" => one_thread(&name, || actix_peer::each("ns")),
        "actix-each-bytes" => one_thread(&name, || actix_peer::each("bytes")),
        "kameo-tell" => one_thread(&name, || on_tokio(kameo_peer::tell())),
        "kameo-ask" => one_thread(&name, || on_tokio(kameo_peer::ask())),
        "ractor-tell" => one_thread(&name, || on_tokio(ractor_peer::tell())),
        "ractor-ask" => one_thread(&name, || on_tokio(ractor_peer::ask())),
        "glommio-tell" | "glommio-ask" => match glommio_peer::executor() {
            Err(lacks) => report_lacks(&name, &lacks),
            Ok(glommio) if name == "glommio-tell" => {
                one_thread(&name, || glommio.run(glommio_peer::tell()));
            }
            Ok(glommio) => one_thread(&name, || glommio.run(glommio_peer::ask())),
        },
        "iceoryx2-ask" => report(&name, iceoryx_peer::BYTES, iceoryx_peer::iceoryx2_ask)?,
        "tonic-ask" => report(&name, tonic_peer::BYTES, tonic_peer::tonic_ask)?,
        iceoryx_peer::ECHO => iceoryx_peer::second_process(&told)?,
        tonic_peer::ECHO => tonic_peer::second_process(&told)?,
        _ => return Err(USAGE.into()),
    }
    Ok(())
}

/// Whom one of those asks: not the one that was made as it was. No step has a divisor with their number in common.
fn partner(client: usize) -> usize {
    client * 7_919 % PAIRS
}

fn one_thread(name: &str, run: impl FnOnce() -> Figure) {
    let pinned = || {
        pin(0);
        Ok::<_, std::convert::Infallible>(run())
    };
    match report(name, BYTES, pinned) {
        Ok(()) => {}
    }
}
