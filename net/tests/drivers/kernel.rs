//! What the kernel driver owes besides: its offloads, its sockets for busy peers, and its errors.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicU64, Ordering};

use daedal_net::driver::kernel::{self, Kernel};
use daedal_net::driver::{Driver, DriverError};

use crate::peer::{Peer, assert_filled, fill, pair, pass};
use crate::places::{KernelPlace, Place, has_ipv6, plain, v4, v6};
use crate::promises::converse;

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
