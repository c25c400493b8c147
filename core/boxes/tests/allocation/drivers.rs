//! Over real drivers, between two boxes of this process: messages are written to the frames that are sent, and read in
//! those that came, in whose memory these lie: the kernel sockets' buffers, AF_XDP's UMEM, the peer's ring, mbufs.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use daedal_allocations::allocations;
use daedal_boxes::turn::Turn;
use daedal_lab::{Lab, required};
use daedal_net::driver::xdp::Attach::{self, Generic, Native};
use daedal_net::driver::{Driver, Outgoing, Received, kernel, shm, xdp};
use daedal_net::leave_to;

use crate::PROMPT;
use crate::players::{frame_came, frame_goes, seen};
use crate::system::{at, counts, pair, take};

/// Messages until all is warm, and then.
const WARM_UP: u64 = 20_000;
const COUNTED: u64 = 10_000;
/// How often all is tried to be warm.
const TRIES: usize = 1_000;
/// Turns that so many messages may take: far more than they do.
const TURNS_MAX: usize = 10_000_000;

/// A driver that notes which frames go by it and come.
struct Watched<D> {
    driver: D,
    /// How many did not go by its rings, but by the kernel beside.
    aside: Rc<Cell<u64>>,
}

impl<D: Driver> Driver for Watched<D> {
    leave_to!(driver: pool, receive_pool, reclaim, address, payload_bytes_max, descriptors, counters, mode);

    fn receive(&mut self, now: u64, limit: usize, into: &mut Vec<Received>) -> usize {
        let before = into.len();
        let count = self.driver.receive(now, limit, into);
        into[before..].iter().for_each(|it| frame_came(it.frame.as_ptr_range()));
        self.aside.set(self.driver.counters().aside);
        count
    }

    fn transmit(&mut self, now: u64, frames: &mut VecDeque<Outgoing>) {
        frames.iter().for_each(|it| frame_goes(it.frame.as_ptr_range()));
        self.driver.transmit(now, frames);
    }
}

/// Takes turns until so many more messages were handled.
fn handle<D: Driver>(turns: &mut [Turn<D>], now: &mut u64, count: u64) {
    let until = counts(turns)[0] + count;
    let is_done = (0..TURNS_MAX).any(|_| {
        take(turns, now, 1);
        counts(turns)[0] >= until
    });
    assert!(is_done, "{} of {until} messages were handled", counts(turns)[0]);
}

/// What is told and asked, in order or not, between drivers of such a pair.
fn check<D: Driver + Debug>(mut drivers: impl FnMut() -> [D; 2]) {
    for how in PROMPT {
        let asides: [Rc<Cell<u64>>; 2] = Default::default();
        let aside = || asides.each_ref().map(|it| it.get());
        let [a, b] = drivers();
        let watched = |driver, end: usize| Watched { driver, aside: asides[end].clone() };
        let [a, b] = [watched(a, 0), watched(b, 1)];
        let mode = a.mode();
        let mut turns = pair(vec![(at(1, 0), a), (at(2, 0), b)], how, None);
        let mut now = 0;
        // Until the neighbour's address is known, all goes aside.
        let mut is_known = || {
            let before = aside();
            handle(&mut turns, &mut now, WARM_UP);
            aside() == before
        };
        assert!((0..TRIES).any(|_| is_known()), "{mode}, {how:?}: {:?} went aside", aside());
        let before = (counts(&turns)[1], aside());
        seen();
        let (count, ()) = allocations(|| handle(&mut turns, &mut now, COUNTED));
        let seen = seen();
        assert_eq!((count, (counts(&turns)[1], aside())), (0, before), "{mode}, {how:?}");
        assert!(seen.read >= COUNTED, "{mode}, {how:?}: {seen:?}");
        assert_eq!((seen.outside, seen.unsent), (0, 0), "{mode}, {how:?}: {seen:?}");
    }
}

fn lo() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

#[test]
fn by_the_kernel_nothing_is_allocated_and_all_is_written_and_read_in_frames() {
    let start = || kernel::Kernel::start(&kernel::Config::new(lo())).expect("any port");
    check(|| [start(), start()]);
}

#[test]
fn by_shared_memory_nothing_is_allocated_and_all_is_read_in_the_ring() {
    let options = shm::Options { copy: false };
    let start = || shm::Shm::start(&shm::Config::new(lo(), options)).expect("any port");
    check(|| [start(), start()]);
}

#[test]
fn by_xdp_nothing_is_allocated_and_all_is_written_and_read_in_umem() {
    for attach in [Generic, Native] {
        let Some(lab) = required("xdp", Lab::pair()) else { return };
        let interfaces = [0, 1].map(|end| interface(&lab, end, attach));
        check(|| {
            [0, 1].map(|end| {
                let interface = &interfaces[end];
                let config =
                    xdp::Config::new(SocketAddr::new(address(end).into(), 0), 0, interface);
                lab.within(end, || xdp::Xdp::start(interface, &config)).expect("a queue of its own")
            })
        });
    }
}

fn address(end: usize) -> [u8; 4] {
    [10, 0, 0, end as u8 + 1]
}

fn interface(lab: &Lab, end: usize, attach: Attach) -> Arc<xdp::Interface> {
    let options = xdp::Options { attach: Some(attach), ..xdp::Options::default() };
    let opened = lab.within(end, || xdp::Interface::open(address(end).into(), options));
    opened.expect("a lab's interfaces take a program")
}

/// Both ends of a memif in one process.
#[cfg(feature = "dpdk")]
#[test]
fn by_dpdk_nothing_is_allocated_and_all_is_written_and_read_in_mbufs() {
    use daedal_net::driver::dpdk;

    let socket = std::env::temp_dir().join(format!("daedal-memif-{}", std::process::id()));
    let open = |end: usize| {
        let role = ["server", "client"][end];
        let device = format!(
            "net_memif{end},id=0,role={role},socket={},socket-abstract=no mac=02:00:00:00:00:0{} --no-huge -m 128",
            socket.display(),
            end + 1,
        );
        let options = device.parse().expect("a device and options");
        let opened = dpdk::Port::open(address(end).into(), options, 1, dpdk::RECEIVE_BUFFERS);
        opened.map_err(|error| error.to_string())
    };
    let Some(first) = required("dpdk", open(0)) else { return };
    let ports = [first, open(1).expect("as the first")];
    check(|| {
        [0, 1].map(|end| {
            let bind = SocketAddr::new(address(end).into(), 7000);
            let config = dpdk::Config::new(bind, 0, &ports[end]);
            dpdk::Dpdk::start(&ports[end], &config).expect("a queue that was left")
        })
    });
    // Of two ends in one process memif may not close one while its own thread hears that the other has gone.
    std::mem::forget(ports);
}
