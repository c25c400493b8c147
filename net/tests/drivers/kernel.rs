//! What every driver owes, tested on each of them. A driver passes by handing a [`Place`] to the
//! `conformance!` macro. Nothing here sleeps: what is awaited is polled, a bounded number of times.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt::Debug;
use std::io::Sink;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};

use daedal_net::driver::fault::{Fault, Rates};
use daedal_net::driver::kernel::{self, Kernel};
use daedal_net::driver::pcap::Pcap;
use daedal_net::driver::sim::{self, SimDriver, SimNetwork};
use daedal_net::driver::{Driver, DriverError, Outgoing, Received};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Waits of [`Peer::receive`], each of at most 50 ms.
const TRIES: usize = 100;
const FRAMES: usize = 512;
const RECEIVE_BUFFERS: usize = 192;

thread_local! {
    /// The time of this test, in nanoseconds.
    static NOW: Cell<u64> = const { Cell::new(0) };
}

/// Lets `periods` tenths of a second go by: what is idle grows old.
fn pass(periods: u64) {
    NOW.set(NOW.get() + periods * 100_000_000);
}

/// The next moment: later than the simulated network's latency and completion.
fn tick() -> u64 {
    NOW.set(NOW.get() + 5_000);
    NOW.get()
}

/// Where drivers of one kind are started.
trait Place {
    type D: Driver + Debug;

    /// Starts a driver at `address`, or anywhere.
    fn start(&mut self, address: Option<SocketAddr>) -> Self::D;
}

struct KernelPlace {
    ip: &'static str,
    offload: bool,
}

impl Place for KernelPlace {
    type D = Kernel;

    fn start(&mut self, address: Option<SocketAddr>) -> Kernel {
        let any = SocketAddr::new(self.ip.parse().unwrap(), 0);
        let config = kernel::Config {
            frames: FRAMES,
            receive_buffers: RECEIVE_BUFFERS,
            offload: self.offload,
            ..kernel::Config::new(address.unwrap_or(any))
        };
        Kernel::start(&config).unwrap()
    }
}

struct FaultPlace;

impl Place for FaultPlace {
    type D = Fault<Kernel>;

    fn start(&mut self, address: Option<SocketAddr>) -> Fault<Kernel> {
        Fault::new(v4().start(address), Rates::default(), 1)
    }
}

struct PcapPlace;

impl Place for PcapPlace {
    type D = Pcap<Kernel, Sink>;

    fn start(&mut self, address: Option<SocketAddr>) -> Pcap<Kernel, Sink> {
        Pcap::new(v4().start(address), std::io::sink()).unwrap()
    }
}

struct SimPlace {
    network: SimNetwork,
    ports: u16,
}

impl Place for SimPlace {
    type D = SimDriver;

    fn start(&mut self, address: Option<SocketAddr>) -> SimDriver {
        self.ports += 1;
        let any = SocketAddr::from(([10, 0, 0, 1], self.ports));
        let config = sim::Config {
            frames: FRAMES,
            receive_buffers: RECEIVE_BUFFERS,
            ..sim::Config::new(address.unwrap_or(any))
        };
        SimDriver::start(&self.network, config, tick()).unwrap()
    }
}

fn v4() -> KernelPlace {
    KernelPlace { ip: "127.0.0.1", offload: true }
}

fn v6() -> KernelPlace {
    KernelPlace { ip: "::1", offload: true }
}

fn plain() -> KernelPlace {
    KernelPlace { ip: "127.0.0.1", offload: false }
}

fn sim() -> SimPlace {
    SimPlace { network: SimNetwork::perfect(1_000), ports: 0 }
}

/// A driver, and what its user has waiting.
struct Peer<D> {
    driver: D,
    queue: VecDeque<Outgoing>,
}

impl<D: Driver> Peer<D> {
    fn start<P: Place<D = D>>(place: &mut P, address: Option<SocketAddr>) -> Peer<D> {
        Peer { driver: place.start(address), queue: VecDeque::new() }
    }

    fn address(&self) -> SocketAddr {
        self.driver.address()
    }

    /// Queues a frame whose bytes are a function of `seed`. Whether there was a free one.
    fn queue(&mut self, to: SocketAddr, seed: u64, bytes: usize) -> bool {
        let Some(mut frame) = self.driver.pool().take() else { return false };
        frame.truncate(bytes);
        fill(seed, frame.bytes_mut().unwrap());
        self.queue.push_back(Outgoing { frame, to });
        true
    }

    fn transmit(&mut self) {
        self.driver.transmit(tick(), &mut self.queue);
    }

    /// Transmits until nothing waits and every frame was completed.
    fn flush(&mut self) {
        for _ in 0..TRIES {
            self.transmit();
            self.driver.reclaim();
            let pool = self.driver.pool();
            if self.queue.is_empty() && pool.frames_free() == pool.frames_count() {
                return;
            }
        }
        panic!("{} frames still wait, {:?}", self.queue.len(), self.driver.pool());
    }

    /// Receives until there are `want` frames, or nothing came for long.
    fn receive(&mut self, want: usize) -> Vec<Received> {
        let mut into = Vec::with_capacity(want);
        for _ in 0..TRIES {
            let now = tick();
            while into.len() < want {
                let limit = (want - into.len()).min(32);
                let before = into.len();
                let count = self.driver.receive(now, limit, &mut into);
                assert_eq!(into.len() - before, count);
                assert!(count <= limit);
                if count == 0 {
                    break;
                }
            }
            if into.len() == want {
                break;
            }
            self.wait();
        }
        into
    }

    /// Receives what there is, without waiting for more.
    fn receive_now(&mut self) -> Vec<Received> {
        let now = tick();
        let mut into = Vec::new();
        while self.driver.receive(now, 32, &mut into) > 0 {}
        into
    }

    /// Receives and gives back until nothing comes: how many frames.
    fn drain(&mut self) -> usize {
        let bursts = (0..10_000).map(|_| self.receive_now().len());
        bursts.take_while(|count| *count > 0).sum()
    }

    fn descriptors(&mut self) -> Vec<RawFd> {
        let mut descriptors = Vec::new();
        self.driver.descriptors(&mut descriptors);
        descriptors
    }

    fn wait(&mut self) {
        let descriptors = self.descriptors();
        if descriptors.is_empty() {
            return;
        }
        let mut polled: Vec<_> = descriptors
            .iter()
            .map(|descriptor| {
                // SAFETY: the driver, which owns the descriptor, is borrowed.
                #[expect(unsafe_code, reason = "a raw descriptor has to be borrowed for poll")]
                let descriptor = unsafe { BorrowedFd::borrow_raw(*descriptor) };
                PollFd::from_borrowed_fd(descriptor, PollFlags::IN)
            })
            .collect();
        let timeout = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        poll(&mut polled, Some(&timeout)).unwrap();
    }

    /// Whatever was lost before: what `from` sends from now on arrives.
    fn assert_reached_by(&mut self, from: &mut Peer<D>) {
        const SEED: u64 = 1 << 40;
        self.drain();
        assert!(from.queue(self.address(), SEED, 64));
        from.flush();
        // The kernel may hand over, late, what was sent before.
        let mut arrived = (0..40 * FRAMES).map_while(|_| self.receive(1).pop());
        let last = arrived.find(|it| it.frame[..8] == SEED.to_le_bytes());
        assert_filled(&last.expect("it was sent last"), from.address(), SEED, 64);
    }

    fn assert_nothing_on_loan(&self) {
        let (send, receive) = (self.driver.pool(), self.driver.receive_pool());
        assert_eq!(send.frames_free(), send.frames_count());
        // A driver keeps some of the receive buffers posted.
        assert!(receive.frames_free() + 32 >= receive.frames_count(), "{receive:?}");
    }
}

fn fill(seed: u64, bytes: &mut [u8]) {
    bytes.fill(seed as u8);
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
}

fn assert_filled(received: &Received, from: SocketAddr, seed: u64, bytes: usize) {
    let mut expect = vec![0; bytes];
    fill(seed, &mut expect);
    assert_eq!(received.from, from);
    assert!(received.frame[..] == expect[..], "frame {seed} of {bytes} bytes was altered");
    assert_eq!(received.frame.as_ptr() as usize % 16, 42 % 16);
}

fn pair<P: Place>(place: &mut P) -> (Peer<P::D>, Peer<P::D>) {
    (Peer::start(place, None), Peer::start(place, None))
}

fn bursts_arrive_whole_and_unaltered<P: Place>(place: &mut P) {
    let (mut a, mut b) = pair(place);
    for (round, burst) in [1, 2, 3, 31, 32, 33, 64, 65, 100].into_iter().enumerate() {
        let bytes = 64 + 16 * round;
        let (to_a, to_b) = (a.address(), b.address());
        for seed in 0..burst {
            assert!(a.queue(to_b, seed, bytes) && b.queue(to_a, 1_000 + seed, bytes));
        }
        a.flush();
        b.flush();
        for (seed, received) in (0..burst).zip(b.receive(burst as usize)) {
            assert_filled(&received, to_a, seed, bytes);
        }
        let back = a.receive(burst as usize);
        assert_eq!(back.len(), burst as usize);
        for (seed, received) in (1_000..).zip(&back) {
            assert_filled(received, to_b, seed, bytes);
        }
    }
    assert_eq!(a.driver.counters().sent, b.driver.counters().received);
    a.assert_nothing_on_loan();
    b.assert_nothing_on_loan();
}

fn mixed_sizes_and_addresses_arrive_where_they_should<P: Place>(place: &mut P) {
    let (mut a, mut b) = pair(place);
    let mut c = Peer::start(place, None);
    // Trains of 5, of 3 with a shorter last, of 1, and a change of address in between.
    let sizes = [64, 64, 64, 64, 64, 128, 128, 32, 256, 16, 512, 512];
    for seed in 0..240 {
        let to = if seed % 7 < 5 { b.address() } else { c.address() };
        assert!(a.queue(to, seed, sizes[seed as usize % sizes.len()]));
        if seed % 60 != 59 {
            continue;
        }
        a.flush();
        let here: Vec<u64> = (seed - 59..=seed).collect();
        let (for_b, for_c): (Vec<u64>, Vec<u64>) = here.iter().partition(|seed| *seed % 7 < 5);
        for (peer, expect) in [(&mut b, for_b), (&mut c, for_c)] {
            let received = peer.receive(expect.len());
            assert_eq!(received.len(), expect.len());
            for (received, seed) in received.iter().zip(expect) {
                assert_filled(received, a.address(), seed, sizes[seed as usize % sizes.len()]);
            }
        }
    }
}

fn the_largest_payload_arrives_in_large_trains<P: Place>(place: &mut P) {
    let (mut a, mut b) = pair(place);
    let bytes = a.driver.payload_bytes_max();
    assert_eq!(bytes % 16, 0);
    assert!(bytes >= 1440);
    // More than one train in 64 KiB, yet little enough for a socket buffer of default size.
    for round in 0..10 {
        for seed in 0..50 {
            assert!(a.queue(b.address(), round * 100 + seed, bytes));
        }
        a.flush();
        let received = b.receive(50);
        assert_eq!(received.len(), 50);
        for (seed, received) in (0..).zip(&received) {
            assert_filled(received, a.address(), round * 100 + seed, bytes);
        }
    }
}

fn exhausted_receive_buffers_give_fewer_frames_and_never_block<P: Place>(place: &mut P) {
    let (mut a, mut b) = pair(place);
    let mut on_loan = Vec::new();
    // Alternating sizes: each datagram or pair takes a buffer of its own.
    for seed in 0..400 {
        assert!(a.queue(b.address(), seed, if seed % 2 == 0 { 64 } else { 128 }));
        if seed % 20 == 19 {
            a.flush();
            on_loan.extend(b.receive_now());
        }
    }
    assert!(!on_loan.is_empty() && on_loan.len() < 400);
    assert!(b.driver.counters().starved > 0);
    assert_eq!(b.driver.receive_pool().frames_free(), 0);
    assert!(b.receive_now().is_empty());

    drop(on_loan);
    b.assert_reached_by(&mut a);
}

fn an_exhausted_send_pool_refills_when_frames_leave<P: Place>(place: &mut P) {
    let (mut a, mut b) = pair(place);
    let to = b.address();
    let mut queued = 0;
    while a.queue(to, queued, 64) {
        queued += 1;
    }
    assert_eq!(queued as usize, FRAMES);
    assert!(a.driver.pool().take().is_none());
    a.flush();
    assert_eq!(a.driver.pool().frames_free(), FRAMES);
    assert_eq!(b.receive(100).len(), 100);
}

fn a_flooded_peer_loses_frames_but_neither_side_stops<P: Place>(place: &mut P) {
    let (mut a, mut b) = pair(place);
    let bytes = a.driver.payload_bytes_max();
    for round in 0..40 {
        while a.queue(b.address(), round, bytes) {}
        a.flush();
    }
    assert_eq!(b.receive(100).len(), 100);
    b.assert_reached_by(&mut a);
    b.assert_nothing_on_loan();
}

fn a_peer_that_restarts_on_its_port_is_reached_again<P: Place>(place: &mut P) {
    let (mut a, mut b) = pair(place);
    let at = b.address();
    for seed in 0..3 {
        assert!(a.queue(at, seed, 64));
        a.flush();
        assert_filled(&b.receive(1)[0], a.address(), seed, 64);
        drop(b);
        // Nobody is there: what is sent now is lost, not an error.
        assert!(a.queue(at, 99, 64));
        a.flush();
        b = Peer::start(place, Some(at));
        assert_eq!(b.address(), at);
    }
    assert!(a.queue(at, 4, 64));
    a.flush();
    assert_filled(&b.receive(1)[0], a.address(), 4, 64);
}

/// One frame there, one back, so many times: what most conversations are.
fn converse<D: Driver>(a: &mut Peer<D>, b: &mut Peer<D>, rounds: u64) {
    fn one<D: Driver>(from: &mut Peer<D>, to: &mut Peer<D>, seed: u64) {
        assert!(from.queue(to.address(), seed, 64));
        from.flush();
        assert_filled(&to.receive(1)[0], from.address(), seed, 64);
    }
    for seed in 0..rounds {
        one(a, b, seed);
        one(b, a, seed);
    }
}

fn conversations_begin_and_end_without_a_loss<P: Place>(place: &mut P) {
    let (mut a, mut b) = pair(place);
    let mut others: Vec<_> = (0..6).map(|_| Peer::start(place, None)).collect();
    for _ in 0..3 {
        converse(&mut a, &mut b, 200);
        for other in &mut others {
            converse(&mut a, other, 100);
        }
        // What comes in the middle of an end is read too.
        for _ in 0..20 {
            pass(1);
            assert!(b.queue(a.address(), 7, 64) && others[0].queue(a.address(), 8, 80));
            b.flush();
            others[0].flush();
            let mut received = a.receive(2);
            assert_eq!(received.len(), 2);
            received.sort_by_key(|it| it.frame.len());
            assert_filled(&received[0], b.address(), 7, 64);
            assert_filled(&received[1], others[0].address(), 8, 80);
        }
    }
    a.assert_nothing_on_loan();
}

fn a_peer_that_restarts_in_a_conversation_is_reached_again<P: Place>(place: &mut P) {
    let (mut a, mut b) = pair(place);
    let at = b.address();
    for _ in 0..3 {
        converse(&mut a, &mut b, 100);
        drop(b);
        for _ in 0..3 {
            assert!(a.queue(at, 99, 64));
            a.flush();
        }
        b = Peer::start(place, Some(at));
    }
    converse(&mut a, &mut b, 100);
    assert_eq!(a.driver.counters().refused, 0);
}

fn trains_in_the_middle_of_a_conversation_arrive_whole<P: Place>(place: &mut P) {
    let (mut a, mut b) = pair(place);
    for _ in 0..3 {
        converse(&mut a, &mut b, 200);
        pass(2);
        for round in 0..3 {
            for seed in 0..64 {
                assert!(a.queue(b.address(), seed, 64 + 16 * round));
            }
            a.flush();
            let received = b.receive(64);
            assert_eq!(received.len(), 64);
            for (seed, received) in (0..).zip(&received) {
                assert_filled(received, a.address(), seed, 64 + 16 * round);
            }
        }
    }
}

fn a_datagram_starts_at_42_mod_64<P: Place>(place: &mut P) {
    let (mut a, mut b) = pair(place);
    assert!(a.queue(b.address(), 1, 64));
    a.flush();
    let received = b.receive(1);
    assert_eq!(received[0].frame.as_ptr() as usize % 64, 42);
}

fn no_frame_leaks_in_100_000<P: Place>(place: &mut P) {
    let (mut a, mut b) = pair(place);
    let (mut sent, mut received) = (0, 0);
    while sent < 100_000 {
        for _ in 0..100 {
            assert!(a.queue(b.address(), sent, 64 + 16 * (sent as usize / 10 % 4)));
            sent += 1;
        }
        a.flush();
        received += b.receive(100).len();
    }
    assert_eq!(received, 100_000);
    assert_eq!(b.driver.counters().received, 100_000);
    a.assert_nothing_on_loan();
    b.assert_nothing_on_loan();
}

macro_rules! conformance {
    ($name:ident, $place:expr, $required:expr) => {
        mod $name {
            use super::*;
            conformance!(@tests $place, $required;
                bursts_arrive_whole_and_unaltered,
                mixed_sizes_and_addresses_arrive_where_they_should,
                the_largest_payload_arrives_in_large_trains,
                exhausted_receive_buffers_give_fewer_frames_and_never_block,
                an_exhausted_send_pool_refills_when_frames_leave,
                a_flooded_peer_loses_frames_but_neither_side_stops,
                a_peer_that_restarts_on_its_port_is_reached_again,
                conversations_begin_and_end_without_a_loss,
                a_peer_that_restarts_in_a_conversation_is_reached_again,
                trains_in_the_middle_of_a_conversation_arrive_whole,
                a_datagram_starts_at_42_mod_64,
                no_frame_leaks_in_100_000);
        }
    };
    (@tests $place:expr, $required:expr; $($test:ident),*) => {
        $(#[test]
        fn $test() {
            if let Err(why) = $required {
                println!("skipped: {why}");
                return;
            }
            super::$test(&mut $place);
        })*
    };
}

const ALWAYS: Result<(), String> = Ok(());

fn has_ipv6() -> Result<(), String> {
    UdpSocket::bind("[::1]:0").map(drop).map_err(|error| format!("no IPv6 loopback: {error}"))
}

conformance!(kernel_v4, v4(), ALWAYS);
conformance!(kernel_v6, v6(), has_ipv6());
conformance!(kernel_without_offload, plain(), ALWAYS);
conformance!(fault_over_kernel, FaultPlace, ALWAYS);
conformance!(pcap_over_kernel, PcapPlace, ALWAYS);
conformance!(simulated, sim(), ALWAYS);

#[test]
fn the_kernel_driver_says_which_offloads_it_uses() {
    assert!(v4().start(None).mode().starts_with("kernel (gso, gro"));
    let mode = plain().start(None).mode();
    assert!(mode.starts_with("kernel (no gso: switched off, no gro: switched off"), "{mode}");
}

#[test]
fn a_train_that_arrives_coalesced_shares_one_buffer() {
    let (mut a, mut b) = pair(&mut v4());
    for seed in 0..64 {
        assert!(a.queue(b.address(), seed, 64));
    }
    a.flush();
    let received = b.receive(64);
    assert_eq!(received.len(), 64);
    let start = received[0].frame.as_ptr() as usize;
    for (index, received) in received.iter().enumerate() {
        assert_eq!(received.frame.as_ptr() as usize, start + 64 * index);
    }
}

/// Runs `test` over IPv4, and over IPv6 where there is some.
fn over_both(test: impl Fn(&mut KernelPlace)) {
    test(&mut v4());
    match has_ipv6() {
        Ok(()) => test(&mut v6()),
        Err(why) => println!("skipped: {why}"),
    }
}

#[test]
fn a_conversation_has_a_socket_of_its_own_until_it_ends() {
    over_both(|place| {
        let (mut a, mut b) = pair(place);
        // Scores halve for the first time at the first read.
        assert!(a.receive_now().is_empty());
        converse(&mut a, &mut b, 63);
        assert_eq!(a.descriptors().len(), 1);
        converse(&mut a, &mut b, 1);
        assert_eq!(a.descriptors().len(), 2);
        // The port is still ours alone.
        let error = Kernel::start(&kernel::Config::new(a.address())).unwrap_err();
        assert!(matches!(error, DriverError::PortTaken { .. }), "{error}");
        // Everybody else is heard as before.
        let mut other = Peer::start(place, None);
        other.assert_reached_by(&mut a);
        a.assert_reached_by(&mut other);

        // A score of 64 halves to nothing in seven periods; the socket goes when it is empty for one more.
        for _ in 0..6 {
            pass(1);
            assert!(a.receive_now().is_empty());
        }
        for seed in 0..10 {
            assert!(b.queue(a.address(), seed, 64));
            b.flush();
        }
        pass(1);
        let received = a.receive(10);
        for (seed, received) in (0..).zip(&received) {
            assert_filled(received, b.address(), seed, 64);
        }
        assert_eq!((received.len(), a.descriptors().len()), (10, 2));
        pass(1);
        for _ in 0..8 {
            assert!(a.receive_now().is_empty());
        }
        assert_eq!(a.descriptors().len(), 1);
        converse(&mut a, &mut b, 200);
    });
}

#[test]
fn there_are_few_sockets_however_many_conversations() {
    over_both(|place| {
        let mut a = Peer::start(place, None);
        let mut others: Vec<_> = (0..12).map(|_| Peer::start(place, None)).collect();
        // Four at a time, each time others: they take the places of those before them.
        for _ in 0..2 {
            for group in others.chunks_mut(4) {
                for _ in 0..250 {
                    group.iter_mut().for_each(|other| converse(&mut a, other, 1));
                }
                assert!((2..=5).contains(&a.descriptors().len()));
            }
            pass(1);
        }
    });
}

#[test]
fn who_sends_trains_gets_no_socket_of_its_own() {
    let (mut a, mut b) = pair(&mut v4());
    for round in 0..200 {
        assert!(a.queue(b.address(), round, 64));
        a.flush();
        assert_eq!(b.receive(1).len(), 1);
        for seed in 0..2 {
            assert!(b.queue(a.address(), seed, 64));
        }
        b.flush();
        assert_eq!(a.receive(2).len(), 2);
    }
    assert_eq!(a.descriptors().len(), 1);
}

#[test]
fn what_others_send_while_conversations_begin_and_end_is_neither_lost_nor_taken_for_anothers() {
    const COUNT: u64 = 20_000;
    /// As many as fit a socket buffer of default size.
    const AHEAD_MAX: u64 = 128;
    /// Lets the other thread go on when a test fails.
    struct Release<'a>(&'a AtomicU64);
    impl Drop for Release<'_> {
        fn drop(&mut self) {
            self.0.store(COUNT, Ordering::Release);
        }
    }
    over_both(|place| {
        let (mut a, mut b) = pair(place);
        let (to, seen) = (a.address(), AtomicU64::new(0));
        let outside = UdpSocket::bind((to.ip(), 0)).unwrap();
        let from = outside.local_addr().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for seed in 0..COUNT {
                    while seed >= seen.load(Ordering::Acquire) + AHEAD_MAX {
                        std::thread::yield_now();
                    }
                    let mut bytes = [0; 32];
                    fill(seed, &mut bytes);
                    outside.send_to(&bytes, to).unwrap();
                }
            });
            let _release = Release(&seen);
            let mut had = [false; COUNT as usize];
            let (mut begun, mut ended) = (0, 0);
            while seen.load(Ordering::Relaxed) < COUNT {
                for _ in 0..64 {
                    assert!(a.queue(b.address(), 1, 64));
                    a.flush();
                }
                begun += u64::from(a.descriptors().len() == 2);
                b.drain();
                for _ in 0..10 {
                    pass(1);
                    for received in a.receive_now() {
                        let seed = u64::from_le_bytes(*received.frame.first_chunk().unwrap());
                        assert_filled(&received, from, seed, 32);
                        assert!(!std::mem::replace(&mut had[seed as usize], true));
                        seen.fetch_add(1, Ordering::Release);
                    }
                }
                ended += u64::from(a.descriptors().len() == 1);
            }
            assert!(begun > 0 && ended > 0);
        });
    });
}

#[test]
fn what_no_link_sends_is_dropped_and_counted() {
    let mut b = Peer::start(&mut v4(), None);
    let outside = UdpSocket::bind("127.0.0.1:0").unwrap();
    for bytes in [0, 1, 15, 17, 1471] {
        outside.send_to(&vec![1; bytes], b.address()).unwrap();
    }
    outside.send_to(&[2; 48], b.address()).unwrap();
    assert_eq!(b.receive(1)[0].frame[..], [2; 48]);
    assert_eq!(b.driver.counters().malformed, 5);
    assert_eq!(b.driver.counters().received, 1);
}

#[test]
fn what_the_network_refuses_is_dropped_and_counted_and_the_rest_goes_on() {
    let (mut a, mut b) = pair(&mut v4());
    // An address of the other family, and one that may not be sent to without SO_BROADCAST.
    for to in ["[::1]:9", "255.255.255.255:9"] {
        assert!(a.queue(to.parse().unwrap(), 1, 64) && a.queue(to.parse().unwrap(), 1, 64));
    }
    assert!(a.queue(b.address(), 2, 64));
    a.flush();
    assert_filled(&b.receive(1)[0], a.address(), 2, 64);
    assert_eq!(a.driver.counters().refused, 4);
    assert_eq!(a.driver.counters().sent, 1);
}

#[test]
fn what_keeps_a_driver_from_starting_is_said_with_its_remedy() {
    let taken = v4().start(None);
    let at = taken.address();
    let start = |bind| Kernel::start(&kernel::Config::new(bind)).unwrap_err();
    let error = start(at);
    assert!(matches!(error, DriverError::PortTaken { address } if address == at));
    let port = at.port();
    assert_eq!(
        error.to_string(),
        format!(
            "port {port} of 127.0.0.1 is taken; stop the process that has it (`ss -lunp`), or choose \
             another port, or 0 for any"
        )
    );
    // 192.0.2.0/24 is for documentation (RFC 5737), 240.0.0.0/4 is for nobody.
    let error = start("240.0.0.1:0".parse().unwrap());
    assert!(matches!(error, DriverError::AddressNotHere { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "240.0.0.1 is not an address of this host; choose one that `ip address` lists, or 0.0.0.0 \
         for all of them"
    );
    let odd = kernel::Config { payload_bytes_max: 1471, ..kernel::Config::new(at) };
    assert_eq!(
        Kernel::start(&odd).unwrap_err().to_string(),
        format!(
            "driver at {at}: payload_bytes_max is 1471; choose from 64 to 65504, a multiple of 16"
        )
    );
}
