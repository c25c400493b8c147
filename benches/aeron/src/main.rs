//! `aeron <what>`: messages of 64 bytes between two pinned, spinning threads of one process, by Aeron. Prints one JSON
//! line, as `raw` does.
//!
//! Exclusive publications, memory touched beforehand, all else at its defaults. By `ipc` there is one media driver,
//! on a thread that sleeps when it has nothing to do: messages pass it by. By `udp` each thread runs a driver of its
//! own between its polls ("invoker"), so that no third thread takes a processor.

mod side;

use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use raw::{Figure, ask, pin, report, tell};

use crate::side::{BURST, Channels, Side, drive};

/// Bytes of a message.
const BYTES: usize = 64;

const USAGE: &str = "usage: aeron ipc-ask | ipc-tell | udp-ask | udp-tell";

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    match report(&name, BYTES, || measure(&name)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("aeron: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(name: &str) -> Result<Figure> {
    let (channels, is_ask) = match name {
        "ipc-ask" => (Channels::ipc()?, true),
        "ipc-tell" => (Channels::ipc()?, false),
        "udp-ask" => (Channels::udp()?, true),
        "udp-tell" => (Channels::udp()?, false),
        _ => return Err(USAGE.into()),
    };
    let is_over = AtomicBool::new(false);
    // Who measures misses what others do no longer.
    let end = |done: Result<()>| {
        is_over.store(true, Ordering::Relaxed);
        done.unwrap_or_else(|error| eprintln!("aeron: {error}"));
    };
    std::thread::scope(|scope| {
        if !channels.is_udp {
            scope.spawn(|| end(drive(&channels, &is_over)));
        }
        scope.spawn(|| {
            pin(1);
            let side = Side::open(&channels, 1, &is_over);
            end(side.and_then(|side| if is_ask { echo(&side) } else { flood(&side) }));
        });
        pin(0);
        let side = Side::open(&channels, 0, &is_over);
        let figure = side.and_then(|side| if is_ask { asked(&side) } else { told(&side) });
        is_over.store(true, Ordering::Relaxed);
        figure
    })
}

fn asked(side: &Side<'_>) -> Result<Figure> {
    let mut failed = None;
    let figure = ask(|| {
        if failed.is_none() {
            failed = side.send(&[7; BYTES]).and_then(|()| side.await_one()).err();
        }
    });
    failed.map_or(Ok(figure), Err)
}

fn told(side: &Side<'_>) -> Result<Figure> {
    let mut failed = None;
    let figure = tell(|| {
        let polled = side.poll(|_| Ok(()));
        polled.unwrap_or_else(|error| {
            failed = Some(error);
            0
        })
    });
    if failed.is_none() && side.is_over() {
        failed = Some("the other thread has ended".into());
    }
    failed.map_or(Ok(figure), Err)
}

fn echo(side: &Side<'_>) -> Result<()> {
    while !side.is_over() {
        side.poll(|message| side.send(message))?;
    }
    Ok(())
}

fn flood(side: &Side<'_>) -> Result<()> {
    while !side.is_over() {
        for _ in 0..BURST {
            side.send(&[7; BYTES])?;
        }
        side.work(false)?;
    }
    Ok(())
}
