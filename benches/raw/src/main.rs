//! `raw <baseline> [bytes [batch]]`: what the machine does without a framework. Prints one JSON line.

use std::io;
use std::process::ExitCode;

use raw::{Figure, bounce, open_loop, report, ring, shm, udp, xdp};

const USAGE: &str = "usage: raw bounce
       raw ring-ask [BYTES]             BYTES: 16, 64 (default), 256, 1024 or 4096
       raw ring-tell [BYTES [BATCH]]    BATCH: 1 (default) to 1024 published together
       raw shm-ask [BYTES]              BYTES: 16, 64 (default), 160, 256, 1024 or 4096
       raw udp-ask [BYTES]              BYTES: 1 to 65507, 64 by default
       raw veth-udp-ask [BYTES]         as root
       raw xdp-generic-ask [BYTES]      BYTES: 1 to 1472, 64 by default; as root
       raw xdp-native-ask [BYTES]
       raw udp-tell                     64 bytes a datagram, 32 datagrams a call
       raw udp-load [BYTES [RATE]]      BYTES: 8 to 1472, 64 by default; RATE: asks a second, as many
                                        as are answered, if it is not said
       raw veth-udp-load [BYTES [RATE]], xdp-generic-load, xdp-native-load     as root
       raw shm-load [BYTES [RATE]]      BYTES: as shm-ask";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("raw: {what}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), String> {
    let name = arguments.first().map_or("", String::as_str);
    let number = |at: usize, default: usize| match arguments.get(at) {
        Some(text) => text.parse().map_err(|_| format!("{text} is not a number\n{USAGE}")),
        None => Ok(default),
    };
    let failed = |error: std::io::Error| format!("{name}: {error}");
    let usage = || USAGE.to_owned();
    if let udp::ECHO | udp::FLOOD = name {
        let first = arguments.get(1).and_then(|text| text.parse().ok()).ok_or_else(usage)?;
        return udp::second_process(name, first, number(2, 1)?).map_err(failed);
    }
    let (bytes, batch) = (number(1, 64)?, number(2, 1)?);
    match name {
        "bounce" => report(name, 8, || Ok(bounce::figure())),
        "ring-ask" => report(name, bytes, || ring::ring_ask(bytes).ok_or_else(usage)),
        "ring-tell" => report(name, bytes, || ring::ring_tell(bytes, batch).ok_or_else(usage)),
        "shm-ask" => report(name, bytes, || shm::shm_ask(bytes).ok_or_else(usage)?.map_err(failed)),
        shm::ECHO => {
            let file = i32::try_from(bytes).map_err(|_| usage())?;
            shm::second_process(file, batch).map_err(failed)
        }
        "udp-ask" if (1..=udp::ASK_BYTES_MAX).contains(&bytes) => {
            report(name, bytes, || udp::udp_ask(bytes).map_err(failed))
        }
        "veth-udp-ask" if (1..=udp::ASK_BYTES_MAX).contains(&bytes) => {
            report(name, bytes, || udp::veth_udp_ask(bytes).map_err(failed))
        }
        "xdp-generic-ask" | "xdp-native-ask" if (1..=1472).contains(&bytes) => {
            let attach =
                if name == "xdp-native-ask" { xdp::Attach::Native } else { xdp::Attach::Generic };
            report(name, bytes, || xdp::xdp_ask(bytes, attach).map_err(failed))
        }
        "udp-tell" => report(name, udp::TELL_BYTES, || udp::udp_tell().map_err(failed)),
        "udp-load" | "veth-udp-load" | "xdp-generic-load" | "xdp-native-load" | "shm-load" => {
            let per_second = arguments.get(2).map(|_| number(2, 0)).transpose()?;
            if per_second == Some(0) || !(open_loop::DUE_BYTES..=1472).contains(&bytes) {
                return Err(usage());
            }
            let per_second = per_second.map(|rate| rate as u64);
            report(name, bytes, || load(name, bytes, per_second).ok_or_else(usage)?.map_err(failed))
        }
        _ => Err(usage()),
    }
}

fn load(name: &str, bytes: usize, per_second: Option<u64>) -> Option<io::Result<Figure>> {
    match name {
        "udp-load" => Some(udp::udp_load(bytes, per_second)),
        "veth-udp-load" => Some(udp::veth_udp_load(bytes, per_second)),
        "xdp-generic-load" => Some(xdp::xdp_load(bytes, per_second, xdp::Attach::Generic)),
        "xdp-native-load" => Some(xdp::xdp_load(bytes, per_second, xdp::Attach::Native)),
        _ => shm::shm_load(bytes, per_second),
    }
}
