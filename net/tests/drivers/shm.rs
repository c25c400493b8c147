//! What a driver of shared memory owes besides: where frames lie, which way they go, how peers wake each other, and how
//! those that end or die are missed.

use std::net::SocketAddr;
use std::process::{Child, Command};
use std::sync::mpsc::channel;
use std::time::Duration;

use daedal_lab::Lab;
use daedal_net::driver::shm::{Config, Options, Shm};
use daedal_net::driver::{Driver, DriverError, Outgoing, Received};

use crate::peer::{Peer, assert_filled, pair};
use crate::places::{FRAMES, Place, started, v4 as kernel_v4};
use crate::promises::converse;
use crate::xdp::{forget, ways};
use crate::{required, shm_hostile};

/// Slots of a ring: more than any test sends at once, and expects to arrive, while as many were not given back.
pub const SLOTS: usize = 256;

pub struct ShmPlace {
    ip: &'static str,
    options: Options,
}

impl Place for ShmPlace {
    type D = Shm;

    fn start(&mut self, address: Option<SocketAddr>) -> Shm {
        let any = SocketAddr::new(self.ip.parse().unwrap(), 0);
        let bind = address.unwrap_or(any);
        let config = Config { frames: FRAMES, slots: SLOTS, ..Config::new(bind, self.options) };
        started(|| Shm::start(&config))
    }

    /// None is kept: those of a ring that are not on loan are free.
    fn posted_max(&self) -> usize {
        0
    }
}

pub fn v4() -> ShmPlace {
    ShmPlace { ip: "127.0.0.1", options: Options { copy: false } }
}

pub fn v6() -> ShmPlace {
    ShmPlace { ip: "::1", ..v4() }
}

pub fn copied() -> ShmPlace {
    ShmPlace { options: Options { copy: true }, ..v4() }
}

/// Whether the address lies in a file that is a ring.
pub fn is_in_ring(at: usize) -> bool {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.contains("/memfd:daedal-shm")).any(|line| {
        let (range, _) = line.split_once(' ').unwrap();
        let (start, end) = range.split_once('-').unwrap();
        let number = |text| usize::from_str_radix(text, 16).unwrap();
        (number(start)..number(end)).contains(&at)
    })
}

#[test]
fn peers_of_one_host_go_by_rings_and_the_mode_says_so() {
    for mut place in [v4(), copied()] {
        let (mut a, mut b) = pair(&mut place);
        converse(&mut a, &mut b, 100);
        assert_eq!((ways(&a), ways(&b)), ([200, 0], [200, 0]));
        let copied = if place.options.copy { "copied, " } else { "" };
        let expect = format!("shm ({copied}rings from 1 peer, to 1; aside: kernel (gso, gro");
        assert!(a.driver.mode().starts_with(&expect), "{}", a.driver.mode());
    }
}

#[test]
fn what_is_received_lies_in_the_ring_unless_a_copy_is_asked_for() {
    for (mut place, is_in_place) in [(v4(), true), (copied(), false)] {
        let (mut a, mut b) = pair(&mut place);
        for seed in 0..10 {
            assert!(a.queue(b.address(), seed, 64));
        }
        a.flush();
        for received in b.receive(10) {
            let part = received.frame.slice(22..64);
            let at = part.as_ptr() as usize;
            assert_eq!((is_in_ring(at), at % 64), (is_in_place, 0));
        }
    }
}

#[test]
fn a_slot_is_written_again_when_its_last_handle_has_gone_and_not_before() {
    let (mut a, mut b) = pair(&mut v4());
    for seed in 0..SLOTS as u64 {
        assert!(a.queue(b.address(), seed, 64));
    }
    a.flush();
    let mut kept = b.receive(SLOTS);
    let part = kept[5].frame.slice(0..16);
    for seed in 1_000..1_050 {
        assert!(a.queue(b.address(), seed, 64));
    }
    a.flush();
    assert!(b.receive_now().is_empty());
    assert_eq!(a.driver.counters().refused, 50);
    for (seed, received) in (0..).zip(&kept) {
        assert_filled(received, a.address(), seed, 64);
    }
    // A part of the sixth is kept: the five before it may be written again.
    kept.clear();
    assert!(b.receive_now().is_empty());
    for seed in 2_000..2_020 {
        assert!(a.queue(b.address(), seed, 64));
    }
    a.flush();
    let received = b.receive_now();
    assert_eq!(received.len(), 5);
    assert_eq!(part[..8], 5u64.to_le_bytes());
    drop((part, received));
    b.assert_reached_by(&mut a);
    b.assert_nothing_on_loan();
}

#[test]
fn a_frame_that_is_kept_for_repeats_is_free_to_be_written_at_once() {
    let (mut a, mut b) = pair(&mut v4());
    let mut kept = a.driver.pool().take().unwrap();
    kept.truncate(64);
    kept.bytes_mut().unwrap().fill(1);
    a.queue.push_back(Outgoing { frame: kept.share(), to: b.address() });
    a.transmit();
    assert!(kept.is_exclusive());
    kept.bytes_mut().unwrap().fill(2);
    assert_eq!(b.receive(1)[0].frame[..], [1; 64]);
}

#[test]
fn a_kernel_driver_and_one_of_shared_memory_understand_each_other() {
    let (mut a, mut b) = (Peer::start(&mut v4(), None), Peer::start(&mut kernel_v4(), None));
    converse(&mut a, &mut b, 100);
    assert_eq!(ways(&a), [0, 200]);
}

#[test]
fn a_peer_that_changes_its_driver_is_reached_and_by_a_ring_when_it_has_one() {
    let mut a = Peer::start(&mut v4(), None);
    let mut b = Peer::start(&mut kernel_v4(), None);
    let at = b.address();
    converse(&mut a, &mut b, 100);
    drop(b);
    let mut b = Peer::start(&mut v4(), Some(at));
    // For a while it is believed to have none.
    converse(&mut a, &mut b, 1);
    forget();
    let before = ways(&a);
    converse(&mut a, &mut b, 100);
    assert_eq!(ways(&a), [before[0] + 200, before[1]]);
    drop(b);
    let mut b = Peer::start(&mut kernel_v4(), Some(at));
    converse(&mut a, &mut b, 100);
    assert!(a.driver.mode().starts_with("shm (rings from 0 peers, to 0;"), "{}", a.driver.mode());
}

#[test]
fn a_peer_in_another_network_namespace_is_not_taken_for_one_of_that_address_here() {
    let Some(lab) = required("shm", Lab::new(1, "-n {0} link set lo up")) else { return };
    let at = kernel_v4().start(None).address();
    let mut there = lab.within(0, || Peer::start(&mut v4(), Some(at)));
    let mut a = Peer::start(&mut v4(), None);
    assert!(a.queue(at, 1, 64));
    a.flush();
    assert_eq!(ways(&a), [0, 1]);
    assert!(there.receive_now().is_empty());
}

#[test]
fn a_peer_of_another_user_is_reached_by_the_kernel() {
    let is_root = rustix::process::geteuid().is_root();
    if required("shm", is_root.then_some(()).ok_or("not root".to_owned())).is_none() {
        return;
    }
    let mut a = Peer::start(&mut v4(), None);
    let to = a.address();
    let their_ways = std::thread::scope(|scope| {
        let there = scope.spawn(move || {
            // Who a thread is, is its own.
            let (kept, other) = (rustix::thread::Uid::ROOT, rustix::thread::Uid::from_raw(1));
            rustix::thread::set_thread_res_uid(kept, other, kept).unwrap();
            let mut b = Peer::start(&mut v4(), None);
            for seed in 0..10 {
                assert!(b.queue(to, seed, 64));
                b.flush();
                assert_eq!(parked(&mut b).frame[..8], u64::to_le_bytes(seed));
            }
            ways(&b)
        });
        for seed in 0..10 {
            let from = parked(&mut a).from;
            assert!(a.queue(from, seed, 64));
            a.flush();
        }
        there.join().unwrap()
    });
    assert_eq!((ways(&a), their_ways), ([0, 20], [0, 20]));
}

/// Parks, and long enough that a wake-up which is lost shows.
fn park(peer: &mut Peer<Shm>) {
    assert!(peer.wait_at_most(Duration::from_secs(20)), "a wake-up was lost");
}

/// The next frame, parking while there is none.
fn parked(peer: &mut Peer<Shm>) -> Received {
    loop {
        if let Some(received) = peer.receive_now().pop() {
            return received;
        }
        park(peer);
    }
}

#[test]
fn who_parks_is_woken_by_what_comes() {
    const ROUNDS: u64 = 3_000;
    let mut a = Peer::start(&mut v4(), None);
    let (says, hears) = channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut b = Peer::start(&mut v4(), None);
            says.send(b.address()).unwrap();
            let to = parked(&mut b).from;
            for seed in 0..ROUNDS {
                assert!(b.queue(to, seed, 64));
                b.flush();
                assert_eq!(parked(&mut b).frame[..8], seed.to_le_bytes());
            }
        });
        let to = hears.recv().unwrap();
        assert!(a.queue(to, 1, 64));
        a.flush();
        for seed in 0..ROUNDS {
            assert_eq!(parked(&mut a).frame[..8], seed.to_le_bytes());
            assert!(a.queue(to, seed, 64));
            a.flush();
        }
    });
    assert_eq!(ways(&a), [2 * ROUNDS + 1, 0]);
}

/// What another process is told: whom to write to.
const TO: &str = "DAEDAL_SHM_TO";

/// A process that writes to us and sends back whatever comes; it ends with this value.
struct Other(Child);

impl Other {
    fn start(to: SocketAddr) -> Other {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "shm::another_process", "--nocapture"]).env(TO, to.to_string());
        Other(command.spawn().unwrap())
    }

    /// As a crash does.
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// No test, but what [`Other`] runs.
#[test]
fn another_process() {
    let Ok(to) = std::env::var(TO) else { return };
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).unwrap();
    let mut here = Peer::start(&mut v4(), None);
    assert!(here.queue(to.parse().unwrap(), 1, 64));
    here.flush();
    loop {
        for received in here.receive_now() {
            let mut frame = here.driver.pool().take().unwrap();
            frame.truncate(received.frame.len());
            frame.bytes_mut().unwrap().copy_from_slice(&received.frame);
            here.queue.push_back(Outgoing { frame, to: received.from });
        }
        here.flush();
        here.wait();
    }
}

#[test]
fn a_peer_that_is_killed_is_missed_and_what_it_had_is_given_back() {
    let mut a = Peer::start(&mut v4(), None);
    for _ in 0..3 {
        let mut other = Other::start(a.address());
        let to = parked(&mut a).from;
        let before = ways(&a);
        for seed in 0..100 {
            assert!(a.queue(to, seed, 64));
            a.flush();
            assert_filled(&a.receive(1)[0], to, seed, 64);
        }
        assert_eq!(ways(&a), [before[0] + 200, before[1]]);
        let mode = a.driver.mode();
        assert!(mode.starts_with("shm (rings from 1 peer, to 1;"), "{mode}");
        // It dies with frames of ours before it, and we with frames of its in hand.
        assert!(a.queue(to, 7, 64));
        a.flush();
        let kept = a.receive(1);
        for seed in 0..10 {
            assert!(a.queue(to, seed, 64));
        }
        a.transmit();
        other.kill();
        while !a.driver.mode().starts_with("shm (rings from 0 peers, to 0;") {
            park(&mut a);
            a.receive_now();
        }
        assert_filled(&kept[0], to, 7, 64);
        // Nobody is there: that is lost, not an error.
        assert!(a.queue(to, 1, 64));
        a.flush();
        assert_eq!(a.driver.counters().refused, 0);
    }
}

#[test]
fn what_keeps_a_driver_from_starting_is_said_with_its_remedy() {
    let taken = v4().start(None);
    let any = Config::new(SocketAddr::from(([127, 0, 0, 1], 0)), Options::default());
    let check = |config: Config, expect: &str| {
        let error = Shm::start(&config).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    };
    let at = taken.address();
    check(Config { bind: at, ..any.clone() }, &format!("port {} of 127.0.0.1 is taken", at.port()));
    check(
        Config { slots: 100, ..any.clone() },
        "slots is 100; choose from 16 to 4096, a multiple of 128",
    );
    check(Config { slots: 8, ..any.clone() }, "slots is 8; choose from 16 to 4096");
    check(
        Config { payload_bytes_max: 1488, ..any },
        "payload_bytes_max is 1488; choose from 64 to 1472, a multiple of 16",
    );
}

#[test]
fn a_name_that_another_process_has_is_said_with_its_remedy() {
    // A port that is free, as far as UDP goes.
    let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = free.local_addr().unwrap();
    let squatter = shm_hostile::socket();
    rustix::net::bind(&squatter, &shm_hostile::name(at)).unwrap();
    drop(free);
    let error = loop {
        match Shm::start(&Config::new(at, Options::default())).unwrap_err() {
            // A program that another test is just starting has our sockets until it runs.
            DriverError::PortTaken { .. } => std::thread::yield_now(),
            other => break other,
        }
    };
    assert_eq!(
        error.to_string(),
        format!(
            "driver shm at {at}: another process listens at the Unix socket @daedal-shm/{at}, though it has not the \
             port; end it (`ss -lxp` shows it) or choose another port, or write `driver = \"kernel\"`"
        )
    );
}
