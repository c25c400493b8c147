//! A measured load: clients that each send a request, wait for its answer, and send the next, as real
//! ones do, over real connections.

#![expect(
    clippy::disallowed_methods,
    reason = "measures: reads the clock, and each client is a thread"
)]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// Bytes of a value.
const VALUE_BYTES: usize = 64;
/// How many keys there are.
const KEYS: u64 = 10_000;
/// Half of the requests read what the others wrote.
const CLIENTS: usize = 16;

/// What was measured.
pub struct Measured {
    /// Writes, in nanoseconds.
    pub sets: Histogram<u64>,
    /// Reads, in nanoseconds.
    pub gets: Histogram<u64>,
    /// How long the load lasted.
    pub lasted: Duration,
}

/// Loads the store at `at` for `duration`, telling `progress` the share of it that is done, in
/// thousandths, and how many requests were answered.
pub fn run(
    at: SocketAddr,
    duration: Duration,
    stop: &AtomicBool,
    mut progress: impl FnMut(u64, u64),
) -> io::Result<Measured> {
    let answered = AtomicU64::new(0);
    let begun = Instant::now();
    let end = begun + duration;
    let is_over = || Instant::now() >= end || stop.load(Ordering::Relaxed);
    let of_each = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|index| {
                let answered = &answered;
                scope.spawn(move || client(at, index as u64, answered, &is_over))
            })
            .collect();
        while !is_over() {
            std::thread::sleep(Duration::from_millis(100));
            let share = begun.elapsed().as_millis() * 1000 / duration.as_millis().max(1);
            progress(share.min(1000) as u64, answered.load(Ordering::Relaxed));
        }
        clients.into_iter().map(|it| it.join().expect("clients do not panic")).collect::<Vec<_>>()
    });
    let mut measured = Measured { sets: histogram(), gets: histogram(), lasted: begun.elapsed() };
    for client in of_each {
        let (sets, gets) = client?;
        measured.sets += sets;
        measured.gets += gets;
    }
    Ok(measured)
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("the bounds are in order")
}

/// One client: writes and reads in turn, keys in an order of its own.
fn client(
    at: SocketAddr,
    index: u64,
    answered: &AtomicU64,
    is_over: &(impl Fn() -> bool + Sync),
) -> io::Result<(Histogram<u64>, Histogram<u64>)> {
    let stream = TcpStream::connect(at)?;
    stream.set_nodelay(true)?;
    let mut replies = BufReader::new(stream.try_clone()?);
    let mut requests = stream;
    let (mut sets, mut gets) = (histogram(), histogram());
    let value = "v".repeat(VALUE_BYTES);
    let mut buffer = Vec::new();
    let mut key = index;
    while !is_over() {
        key = key.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let name = format!("key:{:06}", (key >> 33) % KEYS);
        for (latencies, request) in
            [(&mut sets, command(&["SET", &name, &value])), (&mut gets, command(&["GET", &name]))]
        {
            let asked = Instant::now();
            requests.write_all(request.as_bytes())?;
            read_reply(&mut replies, &mut buffer)?;
            latencies.saturating_record(asked.elapsed().as_nanos() as u64);
            answered.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok((sets, gets))
}

fn command(words: &[&str]) -> String {
    let mut text = format!("*{}\r\n", words.len());
    for word in words {
        text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    text
}

/// Reads one reply: a line, or a bulk.
fn read_reply(replies: &mut BufReader<TcpStream>, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.clear();
    replies.read_until(b'\n', buffer)?;
    let line = String::from_utf8_lossy(buffer).trim_end().to_string();
    match line.as_bytes().first() {
        Some(b'$') => match line[1..].parse::<usize>() {
            Ok(bytes) => {
                buffer.resize(bytes + 2, 0);
                replies.read_exact(buffer)
            }
            Err(_) => Ok(()),
        },
        Some(b'-') => Err(io::Error::other(line)),
        Some(_) => Ok(()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
