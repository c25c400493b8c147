//! `raw-dpdk <what>`: frames by DPDK between two pinned, spinning processes that share memory: by memif, or from
//! virtio_user to vhost. Prints one JSON line, as `raw` does.
//!
//! The program starts itself a second time. Of that wire's ends the first process has the one that must be there
//! before the other.

mod port;

use std::hint::spin_loop;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use raw::open_loop::{self, Carrier, DUE_BYTES};
use raw::second::{Second, be_second};
use raw::{Figure, STRIDE, ask, pin, rate, report};

use crate::port::{BURST, PATIENCE, Port};

/// Ethernet, IPv4 and UDP headers: as many bytes as a datagram has.
const HEADER_BYTES: usize = 42;
/// Bytes that a frame carries, at most.
const FRAME_BYTES_MAX: usize = 1472;
/// The largest message: it goes in several frames.
const MESSAGE_BYTES_MAX: usize = 1 << 17;

/// Subcommands of the second process: it sends back what came; or as much, written anew; or floods.
const ECHO: &str = "echo-process";
const ANSWER: &str = "answer-process";
const FLOOD: &str = "flood-process";

const USAGE: &str = "usage: raw-dpdk memif-ask [BYTES [written]]     BYTES: 1 to 1472, 64 by default
       raw-dpdk virtio-ask [BYTES [written]]    written: frames are read, and others sent back, which are
                                                written; else they are sent back as they came
       raw-dpdk memif-tell [BYTES [BATCH]]      BYTES: 1 to 131072; BATCH: 1 to 32 (default) a burst
       raw-dpdk virtio-tell [BYTES [BATCH]]
       raw-dpdk memif-load [BYTES [RATE]]       BYTES: 8 to 1472; RATE: asks a second, as many as are
                                                answered, if it is not said
       raw-dpdk virtio-load [BYTES [RATE]]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("raw-dpdk: {what}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), String> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |at: usize, default: usize, max: usize| {
        let number = words.get(at).map_or(Ok(default), |text| text.parse());
        number.ok().filter(|it| (1..=max).contains(it)).ok_or(USAGE)
    };
    match words[..] {
        [ECHO, device] => second_process(device, echo),
        [ANSWER, device] => second_process(device, answer),
        [FLOOD, device, ..] => {
            let (bytes, batch) = (number(2, 1, FRAME_BYTES_MAX)?, number(3, 1, BURST)?);
            second_process(device, |port| flood(port, HEADER_BYTES + bytes, batch))
        }
        [name @ ("memif-ask" | "virtio-ask"), .., "written"] if words.len() == 3 => {
            let bytes = number(1, 64, FRAME_BYTES_MAX)?;
            report(name, bytes, || {
                Wire::of(name).beside(&[ANSWER], |port| asked(port, HEADER_BYTES + bytes, true))
            })
        }
        [name @ ("memif-ask" | "virtio-ask"), ..] if words.len() <= 2 => {
            let bytes = number(1, 64, FRAME_BYTES_MAX)?;
            report(name, bytes, || {
                Wire::of(name).beside(&[ECHO], |port| asked(port, HEADER_BYTES + bytes, false))
            })
        }
        [name @ ("memif-tell" | "virtio-tell"), ..] if words.len() <= 3 => {
            let (bytes, batch) = (number(1, 64, MESSAGE_BYTES_MAX)?, number(2, BURST, BURST)?);
            let parts = bytes.div_ceil(FRAME_BYTES_MAX);
            let told = |port: &Port| Ok(Figure::Tell(told(port) / parts as f64));
            let frame = [bytes / parts, batch].map(|it| it.to_string());
            report(name, bytes, || Wire::of(name).beside(&[FLOOD, &frame[0], &frame[1]], told))
        }
        [name @ ("memif-load" | "virtio-load"), ..] if words.len() <= 3 => {
            let bytes = number(1, 64, FRAME_BYTES_MAX)?;
            let rate = words.get(2).map(|_| number(2, 1, u32::MAX as usize)).transpose()?;
            if bytes < DUE_BYTES {
                return Err(USAGE.into());
            }
            let asked = |port: &Port| {
                let mut frames = Frames::of(port, HEADER_BYTES + bytes);
                open_loop::load(rate.map(|it| it as u64), &mut frames).map_err(|it| it.to_string())
            };
            report(name, bytes, || Wire::of(name).beside(&[ECHO], asked))
        }
        _ => Err(USAGE.into()),
    }
}

/// The first bytes behind the headers of each say when its ask was due.
struct Frames<'a> {
    port: &'a Port,
    bytes: usize,
    /// Of those that came together, when those were due that were not looked at yet.
    came: Vec<u64>,
}

impl Frames<'_> {
    fn of(port: &Port, bytes: usize) -> Frames<'_> {
        Frames { port, bytes, came: Vec::with_capacity(BURST) }
    }
}

impl Carrier for Frames<'_> {
    fn send(&mut self, due_ns: u64) -> io::Result<bool> {
        let mut frame = self.port.filled(1, self.bytes).map_err(io::Error::other)?;
        frame.put(HEADER_BYTES, due_ns.to_ne_bytes());
        self.port.send(frame);
        Ok(true)
    }

    fn receive(&mut self) -> io::Result<Option<u64>> {
        if self.came.is_empty() {
            let came = self.port.receive();
            let due_ns = came.each().filter_map(|it| it[HEADER_BYTES..].first_chunk().copied());
            self.came.extend(due_ns.map(u64::from_ne_bytes));
            came.frames().free();
        }
        Ok(self.came.pop())
    }
}

/// A socket by which both find their memory, and the devices at its ends.
struct Wire {
    socket: PathBuf,
    devices: [String; 2],
}

impl Wire {
    fn of(name: &str) -> Wire {
        let socket = std::env::temp_dir().join(format!("raw-dpdk-{}.sock", std::process::id()));
        let at = socket.display();
        let devices = if name.starts_with("memif") {
            ["server", "client"]
                .map(|role| format!("net_memif0,role={role},id=0,socket={at},socket-abstract=no"))
        } else {
            [
                format!("net_vhost0,iface={at},queues=1"),
                format!("net_virtio_user0,path={at},queues=1,mac=02:00:00:00:00:02"),
            ]
        };
        Wire { socket, devices }
    }

    /// Runs `measure` at one end, while a second process does what `other` says at the other.
    fn beside(
        &self,
        other: &[&str],
        measure: impl FnOnce(&Port) -> Result<Figure, String>,
    ) -> Result<Figure, String> {
        pin(0);
        let [mine, others] = &self.devices;
        let port = Port::open(mine, 0)?;
        let second = Second::start(&[&other[..1], &[others], &other[1..]].concat());
        let _second = second.map_err(|error| format!("the second process: {error}"))?;
        port.await_other()?;
        measure(&port)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // DPDK may have removed it.
        std::fs::remove_file(&self.socket).ok();
    }
}

fn asked(port: &Port, bytes: usize, reads: bool) -> Result<Figure, String> {
    let mut failed = None;
    let figure = ask(|| {
        if failed.is_none() {
            failed = round(port, bytes, reads).err();
        }
    });
    failed.map_or(Ok(figure), Err)
}

fn round(port: &Port, bytes: usize, reads: bool) -> Result<(), String> {
    port.send(port.filled(1, bytes)?);
    let mut start = None;
    for tries in 1u64.. {
        let came = port.receive();
        if came.len() > 0 {
            if reads {
                came.read();
            }
            came.frames().free();
            break;
        }
        if tries % STRIDE == 0 && start.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
            return Err("a frame was lost".into());
        }
        spin_loop();
    }
    Ok(())
}

/// Frames received a second.
fn told(port: &Port) -> f64 {
    rate(|| {
        let came = port.receive();
        let count = came.len();
        came.frames().free();
        count as u64
    })
}

fn second_process(
    device: &str,
    run: impl FnOnce(&Port) -> Result<(), String>,
) -> Result<(), String> {
    be_second().map_err(|error| error.to_string())?;
    run(&Port::open(device, 1)?)
}

fn echo(port: &Port) -> Result<(), String> {
    loop {
        let came = port.receive();
        if came.len() > 0 {
            port.send(came.frames());
        } else {
            spin_loop();
        }
    }
}

fn answer(port: &Port) -> Result<(), String> {
    loop {
        let came = port.receive();
        if came.len() > 0 {
            let each = came.read() / came.len();
            let answers = port.filled(came.len(), each)?;
            came.frames().free();
            port.send(answers);
        } else {
            spin_loop();
        }
    }
}

fn flood(port: &Port, bytes: usize, batch: usize) -> Result<(), String> {
    loop {
        port.send(port.filled(batch, bytes)?);
    }
}
