//! `raw-dpdk <what>`: frames by DPDK between two pinned, spinning processes that share memory: by memif, or from
//! virtio_user to vhost. Prints one JSON line, as `raw` does.
//!
//! The program starts itself a second time. Of that wire's ends the first process has the one that must be there
//! before the other.

mod port;

use std::hint::spin_loop;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use raw::second::{Second, be_second};
use raw::{Figure, STRIDE, ask, pin, report, tell};

use crate::port::{BURST, PATIENCE, Port};

/// Ethernet, IPv4 and UDP headers: as many bytes as a datagram has.
const HEADER_BYTES: usize = 42;
/// What is told: one message of 64 bytes a frame.
const TELL_BYTES: usize = 64;

/// Subcommands of the second process.
const ECHO: &str = "echo-process";
const FLOOD: &str = "flood-process";

const USAGE: &str = "usage: raw-dpdk memif-ask [BYTES]     BYTES: 1 to 1472, 64 by default
       raw-dpdk virtio-ask [BYTES]
       raw-dpdk virtio-tell             64 bytes a frame, 32 frames a burst";

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
    let bytes = |text: &str| text.parse().ok().filter(|it| (1..=1472).contains(it));
    let bytes = |text: Option<&&str>| text.map_or(Some(64), |it| bytes(it)).ok_or(USAGE);
    match words[..] {
        [ECHO, device] => second_process(device, echo),
        [FLOOD, device] => second_process(device, flood),
        [name @ ("memif-ask" | "virtio-ask"), ..] if words.len() <= 2 => {
            let (wire, bytes) = (Wire::of(name), bytes(words.get(1))?);
            report(name, bytes, || wire.beside(ECHO, |port| asked(port, HEADER_BYTES + bytes)))
        }
        [name @ "virtio-tell"] => {
            report(name, TELL_BYTES, || Wire::of(name).beside(FLOOD, |port| Ok(told(port))))
        }
        _ => Err(USAGE.into()),
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

    /// Runs `measure` at one end, while a second process has the other.
    fn beside(
        &self,
        other: &str,
        measure: impl FnOnce(&Port) -> Result<Figure, String>,
    ) -> Result<Figure, String> {
        pin(0);
        let [mine, others] = &self.devices;
        let port = Port::open(mine, 0)?;
        let second = Second::start(&[other, others]);
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

fn asked(port: &Port, bytes: usize) -> Result<Figure, String> {
    let mut failed = None;
    let figure = ask(|| {
        if failed.is_none() {
            failed = round(port, bytes).err();
        }
    });
    failed.map_or(Ok(figure), Err)
}

fn round(port: &Port, bytes: usize) -> Result<(), String> {
    port.send(&mut port.filled::<1>(bytes)?);
    let mut start = None;
    for tries in 1u64.. {
        let mut came = port.receive();
        if came.len() > 0 {
            came.free();
            break;
        }
        if tries % STRIDE == 0 && start.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
            return Err("a frame was lost".into());
        }
        spin_loop();
    }
    Ok(())
}

fn told(port: &Port) -> Figure {
    tell(|| {
        let mut came = port.receive();
        came.free();
        came.len() as u64
    })
}

fn second_process(device: &str, run: fn(&Port) -> Result<(), String>) -> Result<(), String> {
    be_second().map_err(|error| error.to_string())?;
    run(&Port::open(device, 1)?)
}

fn echo(port: &Port) -> Result<(), String> {
    loop {
        let mut came = port.receive();
        if came.len() > 0 {
            port.send(came.mbufs());
        } else {
            spin_loop();
        }
    }
}

fn flood(port: &Port) -> Result<(), String> {
    loop {
        port.send(&mut port.filled::<BURST>(HEADER_BYTES + TELL_BYTES)?);
    }
}
