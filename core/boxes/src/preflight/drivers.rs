//! Drivers: which can be had, what keeps the others away, and which one a box has that was told none.
//!
//! Each is tried as the box would have it, on each reactor's port. The best is what is fastest to each peer: memory that
//! is shared with boxes of this host, AF_XDP to who is behind the interface, the kernel to all others. DPDK is not among
//! those that are chosen: it takes a device away from the kernel.

use std::net::SocketAddr;

use daedal_net::driver::kernel::{self, Kernel};
use daedal_net::driver::shm::{self, Shm};
use daedal_net::driver::xdp::{self, Interface, Problem, Xdp};
use daedal_net::driver::{Driver, DriverError, DriverKind, OR_BY_THE_KERNEL};

use super::past::{locked, rights};
use super::{Finding, Needs, Standing, Taken};

/// The driver that a box has.
pub(super) struct Found {
    pub kind: DriverKind,
    /// Which nobody else can have meanwhile.
    pub taken: Taken,
    /// Of the driver; if the box was told none, of all.
    pub findings: Vec<Finding>,
}

/// The driver that was told, or else the best.
pub(super) fn found(needs: &Needs) -> Found {
    let Some(kind) = needs.driver else { return chosen(needs) };
    match tried(needs, kind) {
        Ok(Tried { mode, taken }) => Found { kind, taken, findings: had(needs, kind, &mode) },
        Err(error) => {
            let new = (!is_memlock(needs, &error)).then(|| lacking(&error));
            Found { kind, taken: Taken::Nothing, findings: new.into_iter().collect() }
        }
    }
}

/// Whether it is what is found of memory that may be locked.
fn is_memlock(needs: &Needs, error: &DriverError) -> bool {
    let DriverError::Xdp { problem, .. } = error else { return false };
    matches!(**problem, Problem::NoMemory { .. }) && locked(needs.reactors).standing != Standing::Ok
}

/// Of the drivers that the box is told not to have, whether it could.
pub(super) fn others(needs: &Needs) -> Vec<Finding> {
    let Some(kind) = needs.driver else { return Vec::new() };
    let kind = kind.to_string();
    let is_asked = |name| kind.split(['+', ':']).any(|it| it == name);
    let kernel = (!is_asked("kernel")).then(|| looked(needs, DriverKind::Kernel));
    let shm = (!is_asked("shm")).then(|| looked(needs, DriverKind::Shm(Default::default())));
    let xdp = (!is_asked("xdp")).then(|| looked(needs, DriverKind::Xdp(Default::default())));
    let dpdk = (!is_asked("dpdk")).then(|| Err(no_device()));
    let all = [kernel, shm, xdp, dpdk].into_iter().flatten().map(|it| in_any_case(&it));
    // What is wrong with the port is said already.
    all.filter(|it| it.what != PORT).collect()
}

fn chosen(needs: &Needs) -> Found {
    let kernel = looked(needs, DriverKind::Kernel);
    if let Err(missing) = kernel {
        return Found { kind: DriverKind::Kernel, taken: Taken::Nothing, findings: vec![missing] };
    }
    let shm = looked(needs, DriverKind::Shm(Default::default()));
    let xdp = looked(needs, DriverKind::Xdp(Default::default()));
    let (kind, found) = match (&shm, &xdp) {
        (Ok(_), Ok(_)) => (
            DriverKind::ShmXdp(Default::default(), Default::default()),
            "shm to boxes of this host, xdp to who is behind the interface, the kernel to all others",
        ),
        (Ok(_), Err(_)) => (
            DriverKind::Shm(Default::default()),
            "shm to boxes of this host, the kernel to all others",
        ),
        (Err(_), Ok(_)) => (
            DriverKind::Xdp(Default::default()),
            "xdp to who is behind the interface, the kernel to all others",
        ),
        (Err(_), Err(_)) => (DriverKind::Kernel, "the kernel"),
    };
    let choice = Finding::ok(Finding::CHOICE, format!("none is stated, this is the best: {found}"));
    let all = [&kernel, &shm, &xdp, &Err(no_device())].map(in_any_case);
    let findings = [port(needs), choice].into_iter().chain(all).collect();
    Found { kind, taken: xdp.map(|it| it.taken).unwrap_or_default(), findings }
}

/// One that can be had.
struct Had {
    finding: Finding,
    taken: Taken,
}

/// One that was not asked for. What keeps it away keeps no box from starting.
fn looked(needs: &Needs, kind: DriverKind) -> Result<Had, Finding> {
    let is_xdp = matches!(kind, DriverKind::Xdp(_));
    let lacks =
        [rights(), locked(needs.reactors)].into_iter().find(|it| it.standing != Standing::Ok);
    if let Some(lacks) = lacks.filter(|_| is_xdp) {
        return Err(Finding { what: "xdp", ..lacks });
    }
    let Tried { mode, taken } = tried(needs, kind).map_err(|error| lacking(&error))?;
    let finding = match kind {
        DriverKind::Kernel => offloads(&mode),
        _ => Finding::ok(if is_xdp { "xdp" } else { "shm" }, mode),
    };
    Ok(Had { finding, taken })
}

fn in_any_case(looked: &Result<Had, Finding>) -> Finding {
    match looked {
        Ok(had) => had.finding.clone(),
        Err(lacks) => {
            let follows = match lacks.what {
                "shm" => "boxes of this host are reached as all others are",
                _ => "the other drivers move its frames",
            };
            // Nobody asked for it, so another driver is no way out.
            let mend = lacks.mend.strip_suffix(OR_BY_THE_KERNEL).unwrap_or(&lacks.mend).to_owned();
            Finding { standing: Standing::Without, follows, mend, ..lacks.clone() }
        }
    }
}

#[cfg(not(feature = "dpdk"))]
fn no_device() -> Finding {
    let mend = "`apt-get install libdpdk-dev pkg-config; cargo build --release -p daedal-cli --features dpdk`";
    Finding::missing("dpdk", "driver dpdk is not in this build", mend)
}

#[cfg(feature = "dpdk")]
fn no_device() -> Finding {
    let pages = match super::past::huge_pages_count() {
        0 => "`sysctl -w vm.nr_hugepages=512`, and ",
        _ => "",
    };
    let mend = format!(
        "{pages}`dpdk-devbind.py --status` shows devices: name one, such as `driver = \"dpdk:0000:03:00.0\"`"
    );
    Finding::missing("dpdk", "driver dpdk has a device of its own, and none is named", mend)
}

/// How the first reactor's driver runs, and on what.
struct Tried {
    mode: String,
    taken: Taken,
}

/// Starts the driver of each reactor, and has all of them at once.
fn tried(needs: &Needs, kind: DriverKind) -> Result<Tried, DriverError> {
    let ip = needs.address.ip();
    let interface = match kind {
        DriverKind::Xdp(options) | DriverKind::ShmXdp(_, options) => {
            Some(Interface::open(ip, options)?)
        }
        #[cfg(feature = "dpdk")]
        DriverKind::Dpdk(options) => {
            use daedal_net::driver::dpdk::{Port, RECEIVE_BUFFERS};
            let port = Port::open(ip, options, needs.reactors, RECEIVE_BUFFERS)?;
            let [receive, send] = port.rings();
            let rings = format!("rings of {receive} entries to receive by and {send} to send by");
            return Ok(Tried { mode: format!("{port}, {rings}"), taken: Taken::Port(port) });
        }
        _ => None,
    };
    let drivers = (0..needs.reactors).map(|reactor| {
        let bind = SocketAddr::new(ip, port_of(needs, reactor));
        let xdp = |interface| Xdp::start(interface, &xdp::Config::new(bind, reactor, interface));
        Ok::<Box<dyn Driver>, DriverError>(match (&interface, kind) {
            (Some(interface), DriverKind::ShmXdp(options, _)) => {
                let slots = shm::Config::new(bind, options).slots;
                Box::new(Shm::beside(xdp(interface)?, slots, options)?)
            }
            (Some(interface), _) => Box::new(xdp(interface)?),
            (None, DriverKind::Shm(options)) => {
                let buffers = shm::Config { frames: 1, ..shm::Config::new(bind, options) };
                Box::new(Shm::start(&buffers)?)
            }
            (None, _) => {
                let few = kernel::Config::new(bind);
                Box::new(Kernel::start(&kernel::Config { frames: 1, receive_buffers: 1, ..few })?)
            }
        })
    });
    let drivers = drivers.collect::<Result<Vec<_>, _>>()?;
    let taken = interface.map_or(Taken::Nothing, Taken::Interface);
    Ok(Tried { mode: drivers.first().map_or(String::new(), |it| it.mode()), taken })
}

fn port_of(needs: &Needs, reactor: u8) -> u16 {
    match needs.address.port() {
        0 => 0,
        first => first.saturating_add(reactor.into()),
    }
}

/// One that was asked for, and can be had.
fn had(needs: &Needs, kind: DriverKind, mode: &str) -> Vec<Finding> {
    let found = match kind {
        DriverKind::Xdp(_) | DriverKind::ShmXdp(..) => natively(mode),
        DriverKind::Shm(_) => Finding::ok("shm", mode),
        #[cfg(feature = "dpdk")]
        DriverKind::Dpdk(_) => return vec![Finding::ok("dpdk", mode)],
        _ => offloads(mode),
    };
    vec![port(needs), found]
}

const PORT: &str = "port";

/// Of ports that were bound.
fn port(needs: &Needs) -> Finding {
    let (first, last) = (needs.address.port(), port_of(needs, needs.reactors.saturating_sub(1)));
    let free = match first {
        0 => "any port will do".to_string(),
        first if first == last => format!("{} is free", needs.address),
        first => format!("ports {first} to {last} of {} are free", needs.address.ip()),
    };
    Finding::ok(PORT, free)
}

/// From an xdp driver's mode, which says if it could not be had natively.
fn natively(mode: &str) -> Finding {
    const WHAT: &str = "xdp";
    if mode.contains("no native") {
        let follows = "frames are taken from the kernel's stack, not from the card's driver";
        let mend =
            "write `driver = \"xdp:generic\"`, if that is well, or use a card whose driver has XDP";
        return Finding::less(WHAT, mode, follows, mend);
    }
    Finding::ok(WHAT, mode)
}

fn lacking(error: &DriverError) -> Finding {
    match error {
        DriverError::PortTaken { address } => Finding::missing(
            PORT,
            format!("port {} of {} is taken", address.port(), address.ip()),
            format!(
                "`ss -lunp 'sport = :{}'` shows by whom: stop that process, if it is this box in an \
                 earlier life, or write another port in the system file",
                address.port()
            ),
        ),
        DriverError::Xdp { .. } => split("xdp", error),
        DriverError::NameTaken { .. } => split("shm", error),
        #[cfg(feature = "dpdk")]
        DriverError::Dpdk { .. } => split("dpdk", error),
        // These say what is to be done themselves.
        other => Finding::missing(PORT, other.to_string(), "`ip address` shows what there is"),
    }
}

/// From an error that says what to do behind what it found.
fn split(what: &'static str, error: &DriverError) -> Finding {
    let text = error.to_string();
    let (found, mend) = text.split_once("; ").unwrap_or((&text, "write another driver"));
    Finding::missing(what, found, mend)
}

/// From a kernel driver's mode, which names what it could not get.
fn offloads(mode: &str) -> Finding {
    const WHAT: &str = "udp";
    if mode.contains("no gso") || mode.contains("no gro") {
        let follows = "each datagram is sent or received by itself, at a tenth of the rate";
        return Finding::less(WHAT, mode, follows, "Linux 5.0 or later has both: `uname -r`");
    }
    if mode.contains("socket buffer") {
        let follows = "bursts of more are lost and sent again";
        let mend = "`sysctl -w net.core.rmem_max=8388608 net.core.wmem_max=8388608`";
        return Finding::less(WHAT, mode, follows, mend);
    }
    Finding::ok(WHAT, mode)
}
