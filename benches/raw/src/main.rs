//! `raw <baseline> [bytes [more]]`: what the machine does without a framework. Prints one JSON line.

use std::io;
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::time::Duration;

use raw::{Figure, alone, bounce, mmsg, open_loop, report, ring, seal, shm, tcp, udp, xdp};

const USAGE: &str = "usage: raw bounce
       raw clock
       raw line [BYTES [COUNT]]         one of COUNT things of BYTES: 1 to 4096, 64 by default;
                                        1 to 1000000, 10000 by default
       raw ring-ask [BYTES]             BYTES: 8, 16, 64 (default), 256, 1024 or 4096
       raw ring-tell [BYTES [BATCH]]    BYTES: 128, 16384 or 65536, too; BATCH: 1
                                        (default) to 1024 published together
       raw ring-fields-tell             of 128 bytes, 64 at a time, each made a word at a time
       raw shm-ask [BYTES]              BYTES: 16, 64 (default), 160, 256, 1024, 4096, 16384 or 65536
       raw shm-tell [BYTES [BATCH]]     BYTES: as shm-ask; BATCH: 1 to 1024, 64 by default
       raw udp-ask [BYTES]              BYTES: 1 to 65507, 64 by default
       raw udp-unconnected-ask [BYTES]
       raw udp-blocking-ask [BYTES [REST]]     REST: microseconds between two, 0 by default
       raw veth-udp-ask [BYTES]         as root
       raw xdp-generic-ask [BYTES]      BYTES: 1 to 1472, 64 by default; as root
       raw xdp-native-ask [BYTES]
       raw udp-tell [BYTES [BATCH]]     BYTES: 1 to 131014, 64 by default; BATCH: 1 to 32 (default) sent
                                        by a call
       raw udp-gso-tell [BYTES]         BYTES: 1 to 1023, 64 by default
       raw xdp-generic-tell [BYTES [BATCH]], xdp-native-tell     as udp-tell; as root
       raw veth-tcp-tell [BYTES]        as root
       raw seal [BYTES]
       raw udp-load [BYTES [RATE]]      BYTES: 8 to 1472, 64 by default; RATE: asks a second, as many
                                        as are answered, if it is not said
       raw veth-udp-load [BYTES [RATE]], xdp-generic-load, xdp-native-load     as root
       raw shm-load [BYTES [RATE]]      BYTES: as shm-ask";

/// Bytes that a datagram carries, and a frame, and one that says when it was due.
const DATAGRAM: RangeInclusive<usize> = 1..=udp::DATAGRAM_BYTES_MAX;
const FRAME: RangeInclusive<usize> = 1..=xdp::FRAME_BYTES_MAX;
const DUE: RangeInclusive<usize> = open_loop::DUE_BYTES..=1472;

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
    let number = |at: usize| {
        let number = arguments.get(at).map(|text| text.parse::<usize>());
        number.transpose().map_err(|_| format!("{} is not a number\n{USAGE}", arguments[at]))
    };
    let failed = |error: io::Error| format!("{name}: {error}");
    let usage = || USAGE.to_owned();
    if name.ends_with("-process") {
        return second_process(name, &arguments[1..]).ok_or_else(usage)?.map_err(failed);
    }
    let (bytes, more) = (number(1)?.unwrap_or(64), number(2)?);
    report(name, bytes, || figure(name, bytes, more).ok_or_else(usage)?.map_err(failed))
}

/// `None`: there is no such program, or not for so many bytes.
fn figure(name: &str, bytes: usize, more: Option<usize>) -> Option<io::Result<Figure>> {
    if let Some(carrier) = name.strip_suffix("-load") {
        return load(carrier, bytes, more.map(|rate| rate as u64));
    }
    let within = |sizes: RangeInclusive<usize>| sizes.contains(&bytes).then_some(bytes);
    let told = || {
        let batch = more.unwrap_or(mmsg::BURST);
        let bytes = within(1..=2 * udp::DATAGRAM_BYTES_MAX)?;
        (1..=mmsg::BURST).contains(&batch).then_some((bytes, batch))
    };
    match name {
        "bounce" => Some(Ok(bounce::figure())),
        "clock" => Some(Ok(alone::clock())),
        "line" => {
            let (bytes, count) = (within(1..=4096)?, more.unwrap_or(alone::MANY));
            (1..=1_000_000).contains(&count).then(|| Ok(alone::line(bytes, count)))
        }
        "ring-ask" => ring::ring_ask(bytes).map(Ok),
        "ring-tell" => ring::ring_tell(bytes, more.unwrap_or(1)).map(Ok),
        "ring-fields-tell" => ring::ring_fields_tell(shm::BATCH).map(Ok),
        "seal" => within(FRAME).map(seal::seal).map(Ok),
        "shm-ask" => shm::shm_ask(bytes),
        "shm-tell" => shm::shm_tell(bytes, more.unwrap_or(shm::BATCH)),
        "udp-ask" => within(DATAGRAM).map(udp::udp_ask),
        "udp-unconnected-ask" => within(DATAGRAM).map(udp::udp_unconnected_ask),
        "udp-blocking-ask" => {
            let rest = Duration::from_micros(more.unwrap_or(0) as u64);
            within(DATAGRAM).map(|bytes| udp::udp_blocking_ask(bytes, rest))
        }
        "veth-udp-ask" => within(DATAGRAM).map(udp::veth_udp_ask),
        "xdp-generic-ask" => within(FRAME).map(|bytes| xdp::xdp_ask(bytes, xdp::Attach::Generic)),
        "xdp-native-ask" => within(FRAME).map(|bytes| xdp::xdp_ask(bytes, xdp::Attach::Native)),
        "udp-tell" => told().map(|(bytes, batch)| udp::udp_tell(bytes, batch)),
        "udp-gso-tell" => within(1..=udp::SEGMENT_BYTES_MAX).map(udp::udp_gso_tell),
        "xdp-generic-tell" => {
            told().map(|(bytes, batch)| xdp::xdp_tell(bytes, batch, xdp::Attach::Generic))
        }
        "xdp-native-tell" => {
            told().map(|(bytes, batch)| xdp::xdp_tell(bytes, batch, xdp::Attach::Native))
        }
        "veth-tcp-tell" => within(1..=1 << 24).map(tcp::veth_tcp_tell),
        _ => None,
    }
}

fn load(carrier: &str, bytes: usize, per_second: Option<u64>) -> Option<io::Result<Figure>> {
    if per_second == Some(0) || !DUE.contains(&bytes) {
        return None;
    }
    match carrier {
        "udp" => Some(udp::udp_load(bytes, per_second)),
        "veth-udp" => Some(udp::veth_udp_load(bytes, per_second)),
        "xdp-generic" => Some(xdp::xdp_load(bytes, per_second, xdp::Attach::Generic)),
        "xdp-native" => Some(xdp::xdp_load(bytes, per_second, xdp::Attach::Native)),
        "shm" => shm::shm_load(bytes, per_second),
        _ => None,
    }
}

/// What a program starts beside itself. `None`: it was told nonsense.
fn second_process(name: &str, arguments: &[String]) -> Option<io::Result<()>> {
    let (first, numbers) = arguments.split_first()?;
    let numbers: Vec<usize> = numbers.iter().map(|it| it.parse().ok()).collect::<Option<_>>()?;
    match (name, &numbers[..]) {
        (shm::ECHO, &[bytes]) => Some(shm::second_process(first.parse().ok()?, bytes, None)),
        (shm::FLOOD, &[bytes, batch]) => {
            Some(shm::second_process(first.parse().ok()?, bytes, Some(batch)))
        }
        (tcp::FLOOD, &[bytes]) => Some(tcp::second_process(first.parse().ok()?, bytes)),
        (_, &[bytes, batch]) => {
            Some(udp::second_process(name, first.parse().ok()?, (bytes, batch)))
        }
        _ => None,
    }
}
