//! Two processes joined by DPDK's own kinds of wires: memif, vhost and virtio_user, af_packet over a virtual Ethernet.
//! The second is this program again (`second.rs`). Behind a tap the kernel is the second.
//!
//! `DAEDAL_PAIR_ROUNDS` says how many round trips each makes; of many, how long one took is printed.

#![cfg(feature = "dpdk")]
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(
    clippy::disallowed_methods,
    reason = "reads the clock, to give up, and to say how long a round trip took"
)]

mod bursts;
#[path = "../drivers/filled.rs"]
mod filled;
mod second;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use daedal_lab::Lab;
use daedal_net::driver::dpdk::{Config, Dpdk, Port, RECEIVE_BUFFERS};
use daedal_net::driver::{Driver, Outgoing, Received};
use second::{Second, Socket, by_sockets};
use socket2::{Domain, Protocol, Socket as RawSocket, Type};

const EAL: &str = "--no-huge -m 128";
/// Addresses that the kernel of a lab has not: it would answer for them too.
const ENDS: [&str; 2] = ["10.0.0.11:7000", "10.0.0.12:7000"];
/// How long a frame may take, and a process to start.
const PATIENCE: Duration = Duration::from_secs(20);

fn open(device: &str, end: usize) -> Result<Dpdk, String> {
    open_at(device, end, ENDS)
}

fn open_at(device: &str, end: usize, ends: [&str; 2]) -> Result<Dpdk, String> {
    let bind: SocketAddr = ends[end].parse().unwrap();
    let options = format!("{device} mac=02:00:00:00:00:0{} {EAL}", end + 1).parse().unwrap();
    let port = Port::open(bind.ip(), options, 1, RECEIVE_BUFFERS);
    let port = port.map_err(|it| it.to_string())?;
    Dpdk::start(&port, &Config::new(bind, 0, &port)).map_err(|it| it.to_string())
}

/// Nanoseconds, for a driver that is told the time.
fn now(begun: Instant) -> u64 {
    begun.elapsed().as_nanos() as u64
}

/// The second process: runs nothing, unless it is one.
#[test]
fn second() {
    second::run();
}

/// A conversation of frames of all sizes; then many of one.
fn converse(driver: &mut Dpdk, rounds: u64) {
    converse_with(driver, ENDS[1].parse().unwrap(), rounds);
}

fn converse_with(driver: &mut Dpdk, to: SocketAddr, rounds: u64) {
    let begun = Instant::now();
    let (mut queue, mut into) = (VecDeque::new(), Vec::new());
    let mut took = Vec::new();
    let sizes = driver.payload_bytes_max() as u64 / 16;
    for round in 0..rounds {
        let bytes = if round < 200 { 16 * (1 + round * 7 % sizes) } else { 64 };
        let asked = Instant::now();
        let mut tries = 0;
        while into.is_empty() {
            // What was lost is sent again: nobody was there, or not yet.
            if asked.elapsed() > Duration::from_millis(200) * tries {
                assert!(asked.elapsed() < PATIENCE, "no answer: {}", driver.mode());
                tries += 1;
                let mut frame = driver.pool().take().unwrap();
                frame.truncate(bytes as usize);
                let content = frame.bytes_mut().unwrap();
                content.fill(round as u8);
                content[..8].copy_from_slice(&round.to_le_bytes());
                queue.push_back(Outgoing { frame, to });
            }
            driver.transmit(now(begun), &mut queue);
            driver.receive(now(begun), 32, &mut into);
            into.retain(|it| it.frame[..8] == round.to_le_bytes());
        }
        took.push(asked.elapsed().as_nanos() as u64);
        let received = into.pop().unwrap();
        assert_eq!((received.from, received.frame.len()), (to, bytes as usize));
        assert!(received.frame[8..].iter().all(|byte| *byte == round as u8));
        assert_eq!(received.frame.as_ptr() as usize % 64, 42);
        into.clear();
    }
    if rounds >= 10_000 {
        took.sort_unstable();
        let at = |part: usize| took[took.len() * part / 100];
        println!("{}: round trip p50 {} ns, p99 {} ns", driver.mode(), at(50), at(99));
    }
}

fn rounds() -> u64 {
    std::env::var("DAEDAL_PAIR_ROUNDS").map_or(2000, |it| it.parse().unwrap())
}

/// Runs a test in a process of its own: one has one DPDK, and a device a name.
fn alone(name: &str, test: impl FnOnce()) {
    const ALONE: &str = "DAEDAL_PAIR_ALONE";
    if std::env::var(ALONE).is_ok() {
        return test();
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env(ALONE, "1");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let why = said.lines().filter(|it| it.contains("skipped: ") || it.contains(" p50 "));
    // Behind the name of the test, which stands on the same line.
    why.for_each(|it| println!("{}", it.find("skipped: ").map_or(it, |at| &it[at..])));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
}

fn required<T>(here: Result<T, String>) -> Option<T> {
    daedal_lab::required("dpdk", here)
}

#[test]
fn processes_reach_each_other_by_memif_also_one_that_restarts() {
    alone("processes_reach_each_other_by_memif_also_one_that_restarts", || {
        let socket = Socket::new("memif");
        let device = |end: usize, role| {
            let path = socket.0.display();
            format!("net_memif{end},role={role},id=0,socket={path},socket-abstract=no")
        };
        let Some(mut driver) = required(open(&device(0, "server"), 0)) else { return };
        for _ in 0..2 {
            let _second = Second::start(&device(1, "client"));
            converse(&mut driver, rounds());
        }
        assert_eq!(driver.counters().malformed, 0);
    });
}

/// Else its memory could go while somebody is in the middle of a burst.
#[test]
fn that_a_memifs_peer_has_gone_is_heard_where_the_driver_is_called_and_nowhere_else() {
    alone(
        "that_a_memifs_peer_has_gone_is_heard_where_the_driver_is_called_and_nowhere_else",
        || {
            let [(_socket, server, client), _] = by_sockets();
            let Some(mut driver) = required(open(&server, 0)) else { return };
            let second = Second::start(&client);
            converse(&mut driver, 10);
            second.kill(std::thread::yield_now);
            // DPDK's own thread hears of it within microseconds, if it hears of it.
            std::thread::sleep(Duration::from_millis(100));
            assert!(!driver.mode().contains(", down"), "{}", driver.mode());
            let (begun, mut into) = (Instant::now(), Vec::new());
            while !driver.mode().contains(", down") {
                assert!(begun.elapsed() < PATIENCE, "{}", driver.mode());
                driver.receive(now(begun), 32, &mut into);
            }
        },
    );
}

#[test]
fn processes_reach_each_other_by_vhost_and_virtio_user() {
    alone("processes_reach_each_other_by_vhost_and_virtio_user", || {
        let socket = Socket::new("vhost");
        let path = socket.0.display();
        let second = format!("net_vhost0,iface={path},queues=1");
        if required(open("net_null0", 0)).is_none() {
            return;
        }
        let second = Second::start(&second);
        let mut driver = open(&format!("net_virtio_user0,path={path},queues=1"), 0).unwrap();
        // Neither sums up payloads: each says to the other that it has only the pseudo-header's sum.
        let checksums = ", makes udp checksums, checks udp checksums, ";
        assert!(second.mode.contains(checksums), "{}", second.mode);
        assert!(driver.mode().contains(checksums), "{}", driver.mode());
        converse(&mut driver, rounds());
        assert_eq!(driver.counters().malformed, 0);
    });
}

#[test]
fn processes_start_where_one_that_was_killed_left_its_socket() {
    alone("processes_start_where_one_that_was_killed_left_its_socket", || {
        if required(open("net_null0", 0)).is_none() {
            return;
        }
        for (socket, server, client) in by_sockets() {
            Second::start(&server).kill(std::thread::yield_now);
            assert!(socket.0.exists(), "{server}");
            let _second = Second::start(&server);
            converse(&mut open(&client, 0).unwrap(), rounds());
        }
    });
}

/// As `daedal preflight` does. DPDK shakes hands on a thread of its own.
#[test]
fn processes_open_a_port_to_another_and_close_it_at_once() {
    alone("processes_open_a_port_to_another_and_close_it_at_once", || {
        if required(open("net_null0", 0)).is_none() {
            return;
        }
        for (_socket, server, client) in by_sockets() {
            let _second = Second::start(&server);
            (0..20).for_each(|_| drop(open(&client, 0).unwrap()));
            converse(&mut open(&client, 0).unwrap(), rounds());
        }
    });
}

#[test]
fn processes_leave_a_socket_alone_that_another_has_and_say_so() {
    alone("processes_leave_a_socket_alone_that_another_has_and_say_so", || {
        if required(open("net_null0", 0)).is_none() {
            return;
        }
        for (socket, server, client) in by_sockets() {
            let _second = Second::start(&server);
            let error = open(&server, 0).unwrap_err();
            let expect = format!("somebody has its socket {} already", socket.0.display());
            assert!(error.contains(&expect), "{error}");
            converse(&mut open(&client, 0).unwrap(), rounds());
        }
    });
}

/// Has the kernel send back what it gets there, as long as this process lives.
fn echo(at: SocketAddr) {
    let socket = UdpSocket::bind(at).unwrap();
    std::thread::spawn(move || {
        let mut bytes = [0; 2048];
        loop {
            // A tap's signal may come in between.
            if let Ok((count, from)) = socket.recv_from(&mut bytes) {
                socket.send_to(&bytes[..count], from).unwrap();
            }
        }
    });
}

/// Receives until it is so.
fn receive_until(driver: &mut Dpdk, is_so: impl Fn(&Dpdk, &[Received]) -> bool) -> Vec<Received> {
    let (begun, mut into) = (Instant::now(), Vec::new());
    while !is_so(driver, &into) {
        assert!(begun.elapsed() < PATIENCE, "{} came, {:?}", into.len(), driver.counters());
        driver.receive(now(begun), 32, &mut into);
    }
    into
}

/// The kernel has back what is sent in place, again, as a copy and in part, and each with its checksums.
fn send_again(driver: &mut Dpdk, to: SocketAddr) {
    let mut kept = driver.pool().take().unwrap();
    kept.truncate(64);
    for round in 0..3 {
        kept.bytes_mut().unwrap().fill(round);
        let out = |frame| Outgoing { frame, to };
        let mut queue = [out(kept.share()), out(kept.share()), out(kept.slice(16..48))].into();
        driver.transmit(0, &mut queue);
        let came = receive_until(driver, |_, came| came.len() == 3);
        for (received, bytes) in came.iter().zip([64, 64, 32]) {
            assert_eq!(received.frame[..], vec![round; bytes]);
        }
        driver.reclaim();
    }
}

/// What comes with a wrong checksum, from the kernel, is counted, as the tap says; what comes with a right one goes on.
fn receive_wrong(driver: &mut Dpdk, from: SocketAddr) {
    let domain = if from.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = RawSocket::new(domain, Type::RAW, Some(Protocol::UDP)).unwrap();
    socket.bind(&SocketAddr::new(from.ip(), 0).into()).unwrap();
    let mut datagram = [&[0; 8][..], &[7; 16]].concat();
    for (at, value) in [(0, from.port()), (2, driver.address().port()), (4, 24)] {
        datagram[at..at + 2].copy_from_slice(&value.to_be_bytes());
    }
    let words = |bytes: &[u8]| -> u32 {
        bytes.chunks(2).map(|it| u32::from(it[0]) << 8 | u32::from(it[1])).sum()
    };
    let address = |it: SocketAddr| match it.ip() {
        IpAddr::V4(ip) => words(&ip.octets()),
        IpAddr::V6(ip) => words(&ip.octets()),
    };
    let pseudo = address(from) + address(driver.address()) + 17 + 24;
    let fold = |sum: u32| ((sum & 0xffff) + (sum >> 16)) as u16;
    let right = !fold(pseudo + words(&datagram));
    // One that is not finished passes where the driver looks, and not where the tap does.
    for (checksum, malformed) in [(right ^ 1, 1), (right, 1), (fold(pseudo), 2)] {
        datagram[6..8].copy_from_slice(&checksum.to_be_bytes());
        let to = SocketAddr::new(driver.address().ip(), 0);
        socket.send_to(&datagram, &to.into()).unwrap();
        let is_right = checksum == right;
        let came = receive_until(driver, |driver, came| {
            driver.counters().malformed == malformed && came.len() == usize::from(is_right)
        });
        assert!(came.iter().all(|it| it.frame[..] == [7; 16] && it.from == from));
    }
}

#[test]
fn by_dpdk_a_tap_makes_checksums_for_the_kernel_and_finds_its_wrong_ones() {
    alone("by_dpdk_a_tap_makes_checksums_for_the_kernel_and_finds_its_wrong_ones", || {
        let Some(lab) = required(Lab::new(1, "-n {0} link set lo up")) else { return };
        lab.enter(0);
        for (tap, ends, kernels, which) in [
            ("lab4", ENDS, "10.0.0.12/24", "ip+udp"),
            ("lab6", ["[fd00::11]:7000", "[fd00::12]:7000"], "fd00::12/64 nodad", "udp"),
        ] {
            let device = format!("net_tap_{tap},iface={tap}");
            let Some(mut driver) = required(open_at(&device, 0, ends)) else { return };
            let checksums = format!(", makes {which} checksums, checks {which} checksums, ");
            assert!(driver.mode().contains(&checksums), "{}", driver.mode());
            lab.ip(&format!("-n {{0}} address add {kernels} dev {tap}")).unwrap();
            let there: SocketAddr = ends[1].parse().unwrap();
            echo(there);
            converse_with(&mut driver, there, rounds());
            send_again(&mut driver, there);
            assert_eq!(driver.counters().malformed, 0);
            receive_wrong(&mut driver, there);
        }
    });
}

#[test]
fn processes_reach_each_other_by_af_packet() {
    alone("processes_reach_each_other_by_af_packet", || {
        let Some(lab) = required(Lab::pair()) else { return };
        let device = |end| format!("net_af_packet{end},iface=lab");
        lab.enter(0);
        let Some(mut driver) = required(open(&device(0), 0)) else { return };
        let _second = lab.within(1, || Second::start(&device(1)));
        converse(&mut driver, rounds());
    });
}
