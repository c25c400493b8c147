//! Exactly once, for real: two network namespaces, a box in each, and between them drivers that lose 30 %
//! of the frames, double half of them and have others overtake them, or a network that does.
//!
//! Needs root and namespaces; where they are not to be had it says that it was skipped.
//! Source: Ovid §3.4, §6.1.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, reason = "a test")]

#[path = "lab/counts.rs"]
mod counts;
#[path = "lab/dead.rs"]
mod dead;
#[cfg(feature = "dpdk")]
#[path = "lab/devices.rs"]
mod devices;
#[path = "lab/faulty.rs"]
mod faulty;
#[path = "lab/killed.rs"]
mod killed;
#[path = "lab/link_down.rs"]
mod link_down;
#[path = "lab/reactors.rs"]
mod reactors;
mod system;
#[cfg(feature = "dpdk")]
#[path = "lab/wire.rs"]
mod wire;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::ops::Range;

use daedal_lab::{Lab, PAIR, required};
#[cfg(feature = "dpdk")]
use system::System;
use system::{AT_MOST, Client, Folder, Process, until};

const CLIENTS: usize = 10;
const MESSAGES: usize = 20_000;
/// At each end; a frame meets both: 31 % are lost, 51 % come twice, 29 % are overtaken.
const FAULTS: &str = "drop=17,duplicate=23,reorder=16,seed=";

const RECORD_BYTES: usize = 6;

/// Appends a record for each number, all at once, and returns the lengths that are heard.
fn append(mut stream: TcpStream, numbers: Range<usize>) -> Vec<usize> {
    stream.set_read_timeout(Some(AT_MOST)).unwrap();
    let replies = BufReader::new(stream.try_clone().unwrap()).lines().take(numbers.len());
    let requests: String = numbers.map(|number| format!("APPEND log {number:05};\r\n")).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| stream.write_all(requests.as_bytes()).unwrap());
        replies.map(|reply| reply.unwrap()[1..].parse().unwrap()).collect()
    })
}

const SERVED: &str = "10.0.0.1:6379";

const SYSTEM: &str = "[controller]
address = \"10.0.0.1:7000\"
journal = \"journal\"
[agent.kvs]
kind = \"KeyValue\"
box = \"b\"
[agent.gateway]
kind = \"Resp\"
listen = \"10.0.0.1:6379\"
box = \"a\"
[box.a]
address = \"10.0.0.1:7100\"
idle = \"frugal\"
[box.b]
address = \"10.0.0.2:7200\"
idle = \"frugal\"
";

/// Two hosts. `None`, said: there can be none, and the driver is not one that must run.
fn pair(driver: &str) -> Option<Lab> {
    required(driver, Lab::pair())
}

/// Box `b` by a device at the interface of its host.
#[cfg(feature = "dpdk")]
fn by_af_packet(system: System) -> System {
    by_dpdk(system, "net_af_packet0,iface=lab mac=02:00:00:00:00:22 --no-huge -m 128")
}

/// Box `b` by this device, at an address that the kernel there has not; box `a` by the kernel.
#[cfg(feature = "dpdk")]
fn by_dpdk(system: System, device: &str) -> System {
    // What leaves by a virtual Ethernet is not cut into packets, which a card would do.
    system.lab.as_ref().unwrap().ip("-n {0} link set lab gso_max_segs 1").unwrap();
    let driver = |it: &str| format!("\"\ndriver = \"{it}\"\n");
    let b = format!("10.0.0.22:7200{}", driver(&format!("dpdk:{device}")));
    let a = format!("10.0.0.1:7100{}", driver("kernel"));
    system.rewritten("10.0.0.2:7200\"\n", &b).rewritten("10.0.0.1:7100\"\n", &a)
}

/// Two hosts, and a folder with the system's file.
struct Hosts {
    lab: Lab,
    folder: Folder,
}

impl Hosts {
    /// `None`: as [`pair`].
    fn new(driver: &str, system: &str) -> Option<Hosts> {
        let lab = pair(driver)?;
        let folder = Folder::new();
        folder.write("system.toml", system);
        Some(Hosts { lab, folder })
    }

    fn start(&self, host: usize, name: &str, more: &[&str]) -> Process {
        let arguments = [&["box", name, "--system", "system.toml"], more].concat();
        self.lab.within(host, || Process::start(&self.folder, &arguments))
    }

    /// What a command prints there.
    fn look(&self, host: usize, arguments: &[&str]) -> String {
        let output = self.lab.within(host, || self.folder.daedal(arguments).output().unwrap());
        String::from_utf8(output.stdout).unwrap()
    }

    /// Of the store, which is served at that address of the first.
    fn client(&self, served: &str) -> std::io::Result<Client> {
        self.lab.within(0, || Client::connect(served.parse().unwrap()))
    }

    fn await_service(&self, served: &str) {
        until("the store answers", || {
            let answer = self.client(served).and_then(|mut it| it.ask("DBSIZE"));
            answer.is_ok_and(|it| it.starts_with(':'))
        });
    }
}

#[test]
fn with_loss_duplication_and_reordering_everything_is_processed_exactly_once() {
    let Some(hosts) = Hosts::new("kernel", &by("kernel")) else { return };
    exactly_once(&hosts, FAULTS);
}

#[test]
fn so_it_is_past_the_kernel() {
    let Some(hosts) = Hosts::new("xdp", &by("xdp:generic")) else { return };
    exactly_once(&hosts, FAULTS);
}

#[test]
fn so_it_is_where_the_network_itself_loses_and_doubles_packets() {
    let Some(hosts) = Hosts::new("kernel", &by("kernel")) else { return };
    for host in 0..2 {
        if let Err(why) = hosts.lab.trouble(host, 20, 20) {
            assert!(std::env::var("DAEDAL_REQUIRE_DRIVERS").is_err(), "{why}");
            return println!("skipped: a network that loses and doubles: {why}");
        }
    }
    exactly_once(&hosts, "seed=");
}

/// The system, with this driver in each box.
fn by(driver: &str) -> String {
    SYSTEM.replace("idle =", &format!("driver = \"{driver}\"\nidle ="))
}

#[test]
fn boxes_past_the_kernel_say_so_and_a_killed_one_leaves_its_interface_to_the_next() {
    let system = SYSTEM.replace("idle =", "driver = \"xdp\"\nidle =");
    let Some(hosts) = Hosts::new("xdp", &system) else { return };

    let looked = hosts.look(1, &["preflight", "b", "--system", "system.toml"]);
    for words in [
        "ok       memlock       driver xdp locks 12288 KiB of buffers, and CAP_IPC_LOCK allows it",
        "CAP_BPF, for driver xdp",
        "ok       bpffs         not needed: driver xdp, which holds its program by a descriptor",
        "ok       rings         2048 entries to receive by and 2048 to send by",
        "ok       xdp           xdp (lab queue 0, native, copy; aside",
    ] {
        assert!(looked.contains(words), "{words} in\n{looked}");
    }
    let _others = [(0, "controller"), (0, "a")].map(|(host, name)| hosts.start(host, name, &[]));
    for _ in 0..2 {
        let mut b = hosts.start(1, "b", &[]);
        hosts.await_service(SERVED);
        let boxes = hosts.look(0, &["boxes", "--controller", "10.0.0.1:7000"]);
        for name in ["a", "b"] {
            let expect = format!("{name}.0  xdp (lab queue 0, native, copy; aside: kernel");
            assert!(boxes.contains(&expect), "{expect} in\n{boxes}");
        }
        // While it runs, no other has the interface.
        let second = hosts.look(1, &["preflight", "b", "--system", "system.toml"]);
        assert!(second.contains("a program is attached already, number "), "{second}");
        b.kill();
    }
    // Nobody took the program off.
    let looked = hosts.look(1, &["preflight", "b", "--system", "system.toml"]);
    assert!(looked.contains("xdp (lab queue 0, native"), "{looked}");
}

#[test]
fn boxes_that_are_told_no_driver_have_the_best_and_lose_nothing_when_its_interface_is_taken_away() {
    let system = SYSTEM.replace(SERVED, "127.0.0.1:6379");
    let system = system + "[box.c]\naddress = \"10.0.0.2:7300\"\nidle = \"frugal\"\n";
    let Some(hosts) = Hosts::new("xdp", &system) else { return };
    let served = "127.0.0.1:6379";
    let _controller = hosts.start(0, "controller", &[]);
    let boxes = [(0, "a"), (1, "b")].map(|(host, name)| hosts.start(host, name, &[]));
    for it in &boxes {
        it.await_words(
            "driver: none is stated, this is the best: shm to boxes of this host, xdp to",
        );
        it.await_words("driver dpdk ");
    }
    // A box of this driver has its interface alone.
    let c = hosts.start(1, "c", &[]);
    c.await_words("this is the best: shm to boxes of this host, the kernel to all others");
    c.await_words("a program is attached already");
    hosts.await_service(served);
    let shown = || hosts.look(0, &["boxes", "--controller", "10.0.0.1:7000"]);
    let both = |mode: &str| until(mode, || shown().matches(mode).count() == 2);
    both("; aside: xdp (lab queue 0, native, copy; aside: kernel (");

    // Some requests before, some while there is no way, some after.
    let stream = || hosts.lab.within(0, || TcpStream::connect(served).unwrap());
    let mut lengths = append(stream(), 0..1000);
    std::thread::scope(|scope| {
        hosts.lab.ip("-n {0} link delete lab").unwrap();
        let stream = stream();
        let meanwhile = scope.spawn(|| append(stream, 1000..2000));
        hosts.lab.ip(PAIR).unwrap();
        lengths.extend(meanwhile.join().unwrap());
    });
    both("gone: all goes aside; aside: kernel (");
    lengths.extend(append(stream(), 2000..3000));
    assert!(lengths.into_iter().eq((1..=3000).map(|count| count * RECORD_BYTES)));
}

#[cfg(feature = "dpdk")]
#[test]
fn a_box_by_dpdk_is_served_by_others_and_a_killed_one_leaves_its_device_to_the_next() {
    const DEVICE: &str = "net_af_packet0,iface=lab mac=02:00:00:00:00:22 --no-huge -m 128";
    let by_dpdk = format!("10.0.0.22:7200\"\ndriver = \"dpdk:{DEVICE}\"");
    let system = SYSTEM.replace("10.0.0.2:7200\"", &by_dpdk);
    let system = system.replace("10.0.0.1:7100\"", "10.0.0.1:7100\"\ndriver = \"kernel\"");
    let Some(hosts) = Hosts::new("dpdk", &system) else { return };
    // What leaves by a virtual Ethernet is not cut into packets, which a card would do.
    hosts.lab.ip("-n {0} link set lab gso_max_segs 1").unwrap();
    let looked = hosts.look(1, &["preflight", "b", "--system", "system.toml"]);
    assert!(looked.contains("ok       dpdk          net_af_packet0 by net_af_packet"), "{looked}");
    assert!(
        looked.contains(", rings of 1024 entries to receive by and 1024 to send by"),
        "{looked}"
    );
    let _others = [(0, "controller"), (0, "a")].map(|(host, name)| hosts.start(host, name, &[]));
    for _ in 0..2 {
        let mut b = hosts.start(1, "b", &[]);
        hosts.await_service(SERVED);
        let boxes = hosts.look(0, &["boxes", "--controller", "10.0.0.1:7000"]);
        let expect = "b.0  dpdk (net_af_packet0 by net_af_packet, queue 0, DPDK ";
        assert!(boxes.contains(expect), "{expect} in\n{boxes}");
        b.kill();
    }
}

/// Between a box in each namespace, whose drivers are of this kind.
/// `faults`: of each box's driver, but for the seed.
fn exactly_once(hosts: &Hosts, faults: &str) {
    let start = |(seed, (host, name)): (usize, (usize, &str))| {
        hosts.start(host, name, &["--faults", &format!("{faults}{seed}")])
    };
    let _processes: Vec<Process> =
        [(0, "controller"), (0, "a"), (1, "b")].into_iter().enumerate().map(start).collect();
    hosts.await_service(SERVED);

    // Each appends a record of its own, and hears how long they all are then.
    let mut lengths = std::thread::scope(|scope| {
        let stream = || hosts.lab.within(0, || TcpStream::connect(SERVED).unwrap());
        let share = |client| (client * MESSAGES / CLIENTS)..((client + 1) * MESSAGES / CLIENTS);
        let streams: Vec<_> = (0..CLIENTS).map(|client| (stream(), share(client))).collect();
        let clients = streams.into_iter().map(|(it, share)| scope.spawn(|| append(it, share)));
        let clients: Vec<_> = clients.collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<_>>()
    });
    lengths.sort_unstable();
    assert!(lengths.into_iter().eq((1..=MESSAGES).map(|count| count * RECORD_BYTES)));
    let log = hosts.client(SERVED).unwrap().patient().ask("GET log").unwrap();
    let mut numbers: Vec<usize> = log.split_terminator(';').map(|it| it.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..MESSAGES));
}
