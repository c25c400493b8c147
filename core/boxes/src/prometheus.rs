//! A box's counters as text for Prometheus, and the listener that gives it out: a side thread, never a reactor.
//!
//! The listener is ours, as it is one answer to one request: of the small servers none has had a release for
//! years, and the others bring a runtime. It reads at most 8 KiB of a request, waits
//! 2 s for it, speaks with one client at a time, and closes each connection.
//! Source: Prometheus, "Exposition formats", text format 0.0.4; RFC 9112 §2, §9.6.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::counters::{BoxReading, FIELDS};

/// Longest request that is read, in bytes: what scrapers send takes some hundreds.
const REQUEST_BYTES_MAX: usize = 8 << 10;
/// How long a client may take to ask, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(2);
const DROPS: &str = "drops_";

/// All counters of a box as text.
pub fn render(reading: &BoxReading) -> String {
    let reactors: Vec<_> = (0..reading.reactors).map(|it| reading.reactor(it)).collect();
    let Some(first) = reactors.first() else { return String::new() };
    let mut text = String::new();
    let mut last_head = String::new();
    for (index, (field, _)) in first.iter().enumerate() {
        let (name, reason) = match field.strip_prefix(DROPS) {
            Some(reason) => ("daedal_drops_total".to_string(), Some(reason)),
            None => (metric(field, first.get(&format!("{field}_max")).is_some()), None),
        };
        if last_head != name {
            head(&mut text, &name, field);
            last_head.clone_from(&name);
        }
        for (reactor, it) in reactors.iter().enumerate() {
            let value = it.iter().nth(index).map_or(0, |(_, value)| value);
            let reason = reason.map_or(String::new(), |it| format!(",reason=\"{it}\""));
            let labels = format!("box=\"{}\",reactor=\"{reactor}\"{reason}", reading.name);
            writeln!(text, "{name}{{{labels}}} {value}").expect("a String takes what is written");
        }
    }
    text
}

/// What Prometheus calls a field: levels as they are, and what only grows a total.
fn metric(field: &str, is_bounded: bool) -> String {
    match field.strip_suffix("_now") {
        Some(level) => format!("daedal_{level}"),
        None if is_bounded || field.ends_with("_max") => format!("daedal_{field}"),
        None => format!("daedal_{field}_total"),
    }
}

fn head(text: &mut String, name: &str, field: &str) {
    let help = FIELDS.iter().find_map(|(known, help)| (*known == field).then_some(*help));
    let help = help.unwrap_or("frames dropped, by why");
    let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}")
        .expect("a String takes what is written");
}

/// The listener. Dropped, it ends.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens at `address`, and gives out what `reading` says at that moment.
    /// # Errors
    /// A port that is taken, an address that is not this host's, no thread.
    pub fn start(address: SocketAddr, reading: BoxReading) -> io::Result<Server> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let serve = move || {
            for client in listener.incoming() {
                if told.load(Ordering::Acquire) {
                    break;
                }
                if let Err(error) = client.and_then(|client| answer(client, &reading)) {
                    tracing::debug!(%error, "a client of the metrics did not get them");
                }
            }
        };
        let thread = std::thread::Builder::new().name("metrics".into()).spawn(serve)?;
        Ok(Server { address, stop, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // It waits for a client: this is one. Where nobody can be, it ends with the process.
        if TcpStream::connect_timeout(&self.address, PATIENCE).is_ok()
            && let Some(thread) = self.thread.take()
        {
            // It does not panic, and if it had there would be nothing to wait for.
            let _ = thread.join();
        }
    }
}

fn answer(mut client: TcpStream, reading: &BoxReading) -> io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    let request = read_request(&mut client)?;
    let (status, body) = match request.split_once(' ') {
        Some(("GET", rest)) if is_metrics(rest) => ("200 OK", render(reading)),
        Some(("GET", _)) => ("404 Not Found", "there is only /metrics\n".to_string()),
        _ => ("405 Method Not Allowed", "only GET is answered\n".to_string()),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {length}\r\nAllow: GET\r\nConnection: close\r\n\r\n"
    );
    client.write_all(head.as_bytes())?;
    client.write_all(body.as_bytes())
}

fn is_metrics(rest: &str) -> bool {
    let path = rest.split([' ', '?']).next();
    path == Some("/metrics") && rest.contains(" HTTP/1.")
}

/// The first line of a request, whose head has come whole.
fn read_request(client: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut part = [0; 1024];
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        let count = client.read(&mut part)?;
        if count == 0 || head.len() + count > REQUEST_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        head.extend_from_slice(&part[..count]);
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(line).into_owned())
}

#[cfg(test)]
mod tests;
