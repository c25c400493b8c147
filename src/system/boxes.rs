//! Reads `[controller]` and `[box.NAME]`, and sees that no two of them listen on one port.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use daedal_boxes::executor::Executor;
use daedal_model::control::manager_path;

use crate::assemble::HOME;

use super::error::{Problem, SystemError, shown};
use super::section::{Key, Placed, Section};
use super::source::Source;
use super::{BOXES_MAX, BoxSpec, ControllerSpec, DriverKind, Idle, LinkSpec, names};

/// Most reactors of a box: frames name a reactor in one byte.
const REACTORS_MAX: u16 = 255;

/// Highest number of a processor: Linux's masks of them have so many bits (`sched_setaffinity(2)`).
const CPU_MAX: u16 = 1023;

const ADDRESS: &str = "an IP address and a port, such as \"127.0.0.1:7201\"";
const METRICS: &str = "an IP address and a port, such as \"127.0.0.1:9201\"";
const IDLE: [&str; 3] = ["latency", "balanced", "frugal"];
const EXECUTORS: [&str; 2] = [Executor::ALL[0].1, Executor::ALL[1].1];
const DRIVERS: &[&str] = DriverKind::NAMES;

/// Reads the controller, and takes its port.
pub(super) fn read_controller(
    section: Option<Section<'_>>,
    ports: &mut Ports,
) -> Result<ControllerSpec, SystemError> {
    let mut controller = ControllerSpec::default();
    let mut owner = "the controller, which has it unless [controller] says another".to_owned();
    if let Some(mut section) = section {
        section.expect_keys(&[
            "address",
            "journal",
            "executor",
            "metrics",
            "queue_us",
            "repeat_us",
        ])?;
        if let Some(address) = take_address(&mut section, 1)? {
            controller.address = address.value;
            owner = format!("the controller on line {}", section.line_of(&address.span));
        }
        controller.journal = take_journal(&mut section)?;
        controller.executor = take_executor(&mut section)?;
        controller.metrics = take_metrics(&mut section)?;
        controller.links = take_links(&mut section)?;
    }
    ports.taken.insert(first_port(controller.address), (controller.address.port(), owner));
    Ok(controller)
}

fn take_journal(section: &mut Section<'_>) -> Result<Option<String>, SystemError> {
    take_file(section, "journal", "a file name, such as \"kvs.journal\"")
}

/// A name of a file, not an empty one.
pub(super) fn take_file(
    section: &mut Section<'_>,
    key: &'static str,
    example: &'static str,
) -> Result<Option<String>, SystemError> {
    let Some(file) = section.take_text(key, example)? else { return Ok(None) };
    if file.value.is_empty() {
        return Err(section.error(file.span, Problem::Empty { key, example }));
    }
    Ok(Some(file.value.to_owned()))
}

/// Reads all boxes, and takes their ports.
pub(super) fn read_boxes(
    source: &Source<'_>,
    section: Option<Section<'_>>,
    ports: &mut Ports,
) -> Result<BTreeMap<String, BoxSpec>, SystemError> {
    let sections = section.map(Section::into_sections).transpose()?.unwrap_or_default();
    match sections.len() {
        0 => return Err(source.whole(Problem::NoBox)),
        1..=BOXES_MAX => {}
        count => return Err(source.whole(Problem::TooManyBoxes { count })),
    }
    let mut boxes = BTreeMap::new();
    for (name, section) in sections {
        boxes.insert(name.value.to_owned(), read_box(name, section, ports)?);
    }
    Ok(boxes)
}

fn read_box(
    name: Key<'_>,
    mut section: Section<'_>,
    ports: &mut Ports,
) -> Result<BoxSpec, SystemError> {
    section.expect_segment(&name)?;
    if let Err(problem) = check_name(name.value) {
        return Err(section.error(name.span, problem));
    }
    section.expect_keys(&[
        "address",
        "reactors",
        "executor",
        "idle",
        "driver",
        "cpus",
        "pcap",
        "metrics",
        "queue_us",
        "repeat_us",
    ])?;
    let reactors = section.take_number("reactors", 1, REACTORS_MAX)?.map_or(1, |n| n.value as u8);
    let Some(address) = take_address(&mut section, reactors)? else {
        let example = "address = \"127.0.0.1:7201\"";
        return Err(section.error(name.span, Problem::Missing { key: "address", example }));
    };
    let executor = take_executor(&mut section)?;
    let metrics = take_metrics(&mut section)?;
    let idle = take_idle(&mut section)?;
    let driver = take_driver(&mut section)?;
    let cpus = take_cpus(&mut section, reactors)?;
    let pcap = take_file(&mut section, "pcap", "a file name, such as \"a.pcap\"")?;
    let links = take_links(&mut section)?;

    let owner = format!("box \"{}\" on line {}", name.value, section.line_of(&address.span));
    ports
        .take(address.value, reactors, owner)
        .map_err(|problem| section.error(address.span, problem))?;
    let address = address.value;
    Ok(BoxSpec { address, reactors, executor, metrics, idle, driver, cpus, pcap, links })
}

/// Beyond what every name is, it must leave names for the box's manager and reactors.
fn check_name(name: &str) -> Result<(), Problem> {
    if name == HOME {
        return Err(Problem::BoxNameTaken);
    }
    let manager = manager_path(name).map(drop);
    manager.map_err(|error| Problem::BoxName { why: error.to_string() })
}

fn take_idle(section: &mut Section<'_>) -> Result<Option<Idle>, SystemError> {
    let Some(text) = section.take_text("idle", "\"latency\", \"balanced\" or \"frugal\"")? else {
        return Ok(None);
    };
    let idle = [Idle::Latency, Idle::Balanced, Idle::Frugal];
    match IDLE.iter().position(|known| *known == text.value) {
        Some(place) => Ok(Some(idle[place])),
        None => Err(section.error(text.span, not_one_of("idle", text.value, &IDLE))),
    }
}

fn take_executor(section: &mut Section<'_>) -> Result<Executor, SystemError> {
    let Some(text) = section.take_text("executor", "\"thread\" or \"glommio\"")? else {
        return Ok(Executor::default());
    };
    text.value
        .parse()
        .map_err(|_| section.error(text.span, not_one_of("executor", text.value, &EXECUTORS)))
}

/// TCP, so it takes no port of those that boxes have; one that is taken is found at the start.
fn take_metrics(section: &mut Section<'_>) -> Result<Option<SocketAddr>, SystemError> {
    let Some(text) = section.take_text("metrics", METRICS)? else { return Ok(None) };
    match text.value.parse() {
        Ok(address) => Ok(Some(address)),
        Err(_) => Err(section.error(text.span, Problem::Address { text: shown(text.value) })),
    }
}

fn take_links(section: &mut Section<'_>) -> Result<LinkSpec, SystemError> {
    let mut take = |key| section.take_number(key, 1, u16::MAX).map(|it| it.map(|it| it.value));
    Ok(LinkSpec { queue_us: take("queue_us")?, repeat_us: take("repeat_us")? })
}

fn take_driver(section: &mut Section<'_>) -> Result<Option<DriverKind>, SystemError> {
    let Some(text) = section.take_text("driver", "the driver's name, such as \"kernel\"")? else {
        return Ok(None);
    };
    let kind = text.value.split(':').next().unwrap_or("");
    let problem = match text.value.parse() {
        Ok(driver) => return Ok(Some(driver)),
        Err(Some(why)) => Problem::DriverOptions { why },
        Err(None) if kind == "dpdk" => Problem::NotInThisBuild { feature: "dpdk", built: DRIVERS },
        Err(None) => not_one_of("driver", text.value, DRIVERS),
    };
    Err(section.error(text.span, problem))
}

/// The processors that reactors are pinned to, in turn. Whether this machine has them shows when the box
/// starts: the file may be of another's.
fn take_cpus(section: &mut Section<'_>, reactors: u8) -> Result<Vec<u16>, SystemError> {
    let mut cpus = Vec::new();
    let list = section.take_list("cpus", "a list of processors' numbers, such as [0, 1]")?;
    let count = list.len();
    for value in list {
        let cpu = section.number("cpus", "cpus", value, 0, CPU_MAX)?;
        let problem = if cpus.contains(&cpu.value) {
            Problem::Twice { key: "cpus", name: cpu.value.to_string() }
        } else if count > usize::from(reactors) {
            Problem::MoreCpusThanReactors { cpus: count, reactors }
        } else {
            cpus.push(cpu.value);
            continue;
        };
        return Err(section.error(cpu.span, problem));
    }
    Ok(cpus)
}

fn not_one_of(key: &'static str, found: &str, known: &'static [&'static str]) -> Problem {
    let nearest = names::nearest(found, known.iter().copied());
    Problem::NotOneOf { key, found: shown(found), nearest, known }
}

/// The address under `address`, from which so many ports are needed.
fn take_address(
    section: &mut Section<'_>,
    reactors: u8,
) -> Result<Option<Placed<SocketAddr>>, SystemError> {
    let Some(text) = section.take_text("address", ADDRESS)? else { return Ok(None) };
    match check_address(text.value, reactors) {
        Ok(value) => Ok(Some(Placed { value, span: text.span })),
        Err(problem) => Err(section.error(text.span, problem)),
    }
}

fn check_address(text: &str, reactors: u8) -> Result<SocketAddr, Problem> {
    let address: SocketAddr = text.parse().map_err(|_| Problem::Address { text: shown(text) })?;
    let (ip, port) = (address.ip().to_canonical(), address.port());
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    if ip.is_unspecified() || ip.is_multicast() || broadcast {
        return Err(Problem::Unreachable { ip });
    }
    if port == 0 {
        return Err(Problem::PortZero);
    }
    if u32::from(port) + u32::from(reactors) - 1 > u32::from(u16::MAX) {
        return Err(Problem::PortsRunOut { port, reactors });
    }
    Ok(address)
}

/// The ports that are taken. Invariant: no two ranges of one address overlap.
#[derive(Default)]
pub(super) struct Ports {
    /// First port of each range → its last port, and whose it is.
    taken: BTreeMap<(IpAddr, u16), (u16, String)>,
}

impl Ports {
    /// Takes `reactors` ports, at least one, from `address` on, which [`check_address`] found to exist.
    fn take(&mut self, address: SocketAddr, reactors: u8, owner: String) -> Result<(), Problem> {
        let (ip, first) = first_port(address);
        let last = first + u16::from(reactors - 1);
        // Ranges do not overlap, so of those that start early enough the latest reaches furthest.
        let below = self.taken.range((ip, 0)..=(ip, last)).next_back();
        if let Some(((_, start), (end, owner))) = below
            && *end >= first
        {
            let port = first.max(*start);
            return Err(Problem::PortTaken { port, ip, owner: owner.clone() });
        }
        self.taken.insert((ip, first), (last, owner));
        Ok(())
    }
}

fn first_port(address: SocketAddr) -> (IpAddr, u16) {
    (address.ip().to_canonical(), address.port())
}
