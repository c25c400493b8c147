//! The checks, each a function from what a box needs to what was found.

use std::fs;
use std::path::Path;

use daedal_net::driver::DriverKind;
use rustix::fs::Access;
use rustix::process::{Resource, getrlimit};
use rustix::thread::CapabilitySet;

use super::past::rights;
use super::{Finding, Needs, Standing};
use crate::executor::Executor;
use crate::idle::Idle;

/// What glommio asks for, whatever it then locks.
const MEMLOCK_BYTES: u64 = 512 << 10;
/// Descriptors of a process besides its reactors': input, output, run files, listeners, a few clients.
const DESCRIPTORS_BASE: u64 = 64;
/// Of a reactor: its bell, the sockets of its driver, and what a glommio executor opens.
const DESCRIPTORS_A_REACTOR: u64 = 16;
/// Besides, with driver shm: the connections of some peers of this host, two for each.
const DESCRIPTORS_OF_PEERS: u64 = 64;
/// Memory of a reactor before it holds any agent: its driver's buffers and its rings, rounded up.
const MEMORY_A_REACTOR_BYTES: u64 = 24 << 20;

/// The executor that can be had, and what it needs. What its driver locks is looked at elsewhere.
pub(super) fn executor(asked: Executor) -> (Executor, Vec<Finding>) {
    const FOLLOWS: &str =
        "reactors run on bare threads, and files are written through the page cache";
    if asked == Executor::Thread {
        return (asked, vec![Finding::ok("io_uring", "not needed: executor thread")]);
    }
    let memlock = match getrlimit(Resource::Memlock).current {
        Some(bytes) if bytes < MEMLOCK_BYTES => Finding::less(
            "memlock",
            format!("{} KiB may be locked, glommio wants {}", bytes >> 10, MEMLOCK_BYTES >> 10),
            FOLLOWS,
            "`ulimit -l 512` before it is started, `docker run --ulimit memlock=524288`, or \
             LimitMEMLOCK=512K in its systemd unit",
        ),
        Some(bytes) => Finding::ok("memlock", format!("{} KiB may be locked", bytes >> 10)),
        None => Finding::ok("memlock", "as much as there is may be locked"),
    };
    if !memlock.mend.is_empty() {
        let untried = "not tried, as memlock is too little";
        let io_uring = Finding::less("io_uring", untried, FOLLOWS, "as for memlock");
        return (Executor::Thread, vec![memlock, io_uring]);
    }
    match asked.choose() {
        (chosen, None) => {
            (chosen, vec![memlock, Finding::ok("io_uring", "a glommio executor was made")])
        }
        (chosen, Some(why)) => {
            let io_uring = Finding::less("io_uring", why, FOLLOWS, io_uring_mend());
            (chosen, vec![memlock, io_uring])
        }
    }
}

/// Why the kernel may refuse io_uring, as far as it tells.
fn io_uring_mend() -> &'static str {
    if cfg!(not(feature = "glommio")) {
        return "`cargo build --release -p daedal-cli --features glommio`";
    }
    let disabled = fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let is_filtered = status
        .lines()
        .any(|line| line.strip_prefix("Seccomp:").is_some_and(|mode| mode.trim() == "2"));
    if !["", "0"].contains(&disabled.trim()) {
        "`sysctl -w kernel.io_uring_disabled=0`"
    } else if is_filtered {
        "a seccomp filter is in force, and Docker's refuses io_uring: `docker run --security-opt \
         seccomp=unconfined`, or a profile that allows io_uring_setup, io_uring_enter and \
         io_uring_register"
    } else {
        "glommio needs Linux 5.8 or later with CONFIG_IO_URING: `uname -r` shows which this is"
    }
}

pub(super) fn capabilities(needs: &Needs, driver: DriverKind) -> Vec<Finding> {
    let is_past = matches!(driver, DriverKind::Xdp(_) | DriverKind::ShmXdp(..));
    let of_driver = is_past.then(rights);
    let of_port = port_rights(needs, driver);
    let needless = of_driver.is_some() && of_port.standing == Standing::Ok;
    of_driver.into_iter().chain((!needless).then_some(of_port)).collect()
}

/// The other drivers need none, but for ports that are not everybody's.
fn port_rights(needs: &Needs, driver: DriverKind) -> Finding {
    const WHAT: &str = "capabilities";
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let first = first.ok().and_then(|it| it.trim().parse().ok()).unwrap_or(1024);
    let port = needs.address.port();
    if port == 0 || port >= first {
        return Finding::ok(WHAT, format!("none needed: driver {driver}, ports from {first}"));
    }
    let has = rustix::thread::capabilities(None)
        .is_ok_and(|it| it.effective.contains(CapabilitySet::NET_BIND_SERVICE));
    if has {
        return Finding::ok(WHAT, format!("CAP_NET_BIND_SERVICE, for port {port}"));
    }
    Finding::missing(
        WHAT,
        format!("port {port} needs CAP_NET_BIND_SERVICE, which this process has not"),
        format!(
            "`setcap cap_net_bind_service=+ep $(readlink -f $(command -v daedal))`, `sysctl -w \
             net.ipv4.ip_unprivileged_port_start={port}`, or write a port from {first} in the \
             system file"
        ),
    )
}

pub(super) fn descriptors(needs: &Needs, driver: DriverKind) -> Finding {
    const WHAT: &str = "descriptors";
    let of_driver = match driver {
        DriverKind::Shm(_) | DriverKind::ShmXdp(..) => DESCRIPTORS_OF_PEERS,
        _ => 0,
    };
    let a_reactor = DESCRIPTORS_A_REACTOR + of_driver;
    let needed = DESCRIPTORS_BASE + a_reactor * u64::from(needs.reactors);
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < needed => Finding::missing(
            WHAT,
            format!("{limit} may be open, {needed} are needed"),
            format!(
                "`ulimit -n {}` before it is started, and more for many clients, or LimitNOFILE= in \
                 its systemd unit",
                needed.next_power_of_two().max(1024)
            ),
        ),
        Some(limit) => {
            Finding::ok(WHAT, format!("{limit} may be open, {needed} are needed without clients"))
        }
        None => Finding::ok(WHAT, "as many as there are may be open"),
    }
}

pub(super) fn memory(needs: &Needs) -> Finding {
    const WHAT: &str = "memory";
    let needed = MEMORY_A_REACTOR_BYTES * u64::from(needs.reactors);
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let free = text.lines().find_map(|line| {
        let (kib, _) = line.strip_prefix("MemAvailable:")?.trim().split_once(' ')?;
        kib.parse::<u64>().ok().map(|kib| kib << 10)
    });
    let Some(free) = free else { return Finding::ok(WHAT, "not told by this kernel") };
    let found = format!("{} MiB are free, its buffers take {}", free >> 20, needed >> 20);
    if free >= needed {
        return Finding::ok(WHAT, found);
    }
    let mend =
        "give it fewer reactors in the system file, or end something: `ps aux --sort=-rss | head`";
    Finding::missing(WHAT, found, mend)
}

/// How many cores this process may use.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

pub(super) fn busy(needs: &Needs, idle: Idle, cores: usize) -> Finding {
    let found = format!("{} reactors, idle {}, on {cores} cores", needs.reactors, needs.idle);
    if idle == needs.idle {
        return Finding::ok("cores", found);
    }
    Finding::less(
        "cores",
        found,
        "they spin only briefly (idle balanced): long spins would keep them from each other",
        format!("write `reactors = {cores}`, or `idle = \"balanced\"`, in the system file"),
    )
}

/// Whether the cores that reactors are pinned to are there for this process.
pub(super) fn pinned(needs: &Needs) -> Option<Finding> {
    const WHAT: &str = "pinning";
    if needs.cpus.is_empty() {
        return None;
    }
    let allowed = rustix::thread::sched_getaffinity(None).ok()?;
    let is_there = |cpu: usize| cpu < rustix::thread::CpuSet::MAX_CPU && allowed.is_set(cpu);
    match needs.cpus.iter().find(|cpu| !is_there(**cpu)) {
        None => Some(Finding::ok(WHAT, format!("cores {:?} are this process's", needs.cpus))),
        Some(cpu) => Some(Finding::missing(
            WHAT,
            format!("core {cpu} is not there, or not for this process"),
            "`taskset -p $$` shows which are; name those by `cpus` in the system file, or by --cpus",
        )),
    }
}

/// Whether files can be made where the box writes them.
pub(super) fn writable(needs: &Needs) -> Vec<Finding> {
    let whole = needs.writes.iter().map(|path| writable_one(path));
    whole.chain(needs.pcaps.iter().map(|path| writable_pcap(path))).collect()
}

/// Whether frames can be written to a file: it is written over, if it is there.
fn writable_pcap(path: &Path) -> Finding {
    let wanted = if path.exists() { path } else { crate::executor::folder(path) };
    let access = if path.exists() { Access::WRITE_OK } else { Access::WRITE_OK | Access::EXEC_OK };
    let written = match rustix::fs::access(wanted, access) {
        Ok(()) if path.is_dir() => Err(std::io::ErrorKind::IsADirectory.into()),
        told => told.map_err(std::io::Error::from),
    };
    match written {
        Ok(()) => Finding::ok("files", format!("{} can be written", path.display())),
        Err(error) => Finding::missing(
            "files",
            format!("cannot write frames to \"{}\": {error}", path.display()),
            "name another file by `pcap` in the system file or by --pcap, or leave it out",
        ),
    }
}

fn writable_one(path: &Path) -> Finding {
    let folder = crate::executor::folder(path);
    match rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Finding::ok("files", format!("{} can be written", path.display())),
        Err(error) => Finding::missing(
            "files",
            format!("{} cannot be written: {error}", path.display()),
            format!(
                "`mkdir -p {0}; chown $(id -un) {0}` as root, or name another file",
                folder.display()
            ),
        ),
    }
}
