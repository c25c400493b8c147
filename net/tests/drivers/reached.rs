//! How an AF_XDP driver reaches its peers: by the ring, by the kernel beside, and as both change.

use daedal_net::driver::headers::Mac;
use daedal_net::driver::kernel::Kernel;
use daedal_net::driver::xdp::Attach::{Generic, Native};
use daedal_net::driver::xdp::{Options, Xdp};
use daedal_net::driver::{Driver, Outgoing};

use crate::hostile::Raw;
use crate::peer::{Peer, assert_filled, fill, pair};
use crate::places::KernelPlace;
use crate::promises::converse;
use crate::xdp::{V4, V6, XdpPlace, forget, ways, with};

#[test]
fn what_is_for_a_neighbour_goes_by_the_ring_and_the_mode_says_how() {
    for attach in [Generic, Native] {
        with(XdpPlace::v4(attach), |place| {
            let (mut a, mut b) = pair(place);
            converse(&mut a, &mut b, 100);
            assert_eq!((ways(&a), ways(&b)), ([200, 0], [200, 0]));
            let mode = a.driver.mode();
            let expect = format!("xdp (lab queue 0, {attach}, copy; aside: kernel (gso, gro");
            assert!(mode.starts_with(&expect), "{mode}");
        });
    }
}

#[test]
fn a_peer_on_this_host_and_another_reactors_queue_are_reached_by_the_kernel() {
    with(XdpPlace::v4(Native), |place| {
        let (mut a, mut b) = pair(place);
        let mut beside = Peer::start(place, None);
        converse(&mut a, &mut beside, 100);
        assert_eq!(ways(&a), [0, 200]);
        // Leaves by the ring of queue 0, and comes by that queue.
        converse(&mut b, &mut beside, 100);
        assert_eq!((ways(&b), ways(&beside)), ([100, 100], [100, 300]));
    });
}

#[test]
fn a_neighbour_that_is_not_known_is_asked_after_and_nothing_is_lost() {
    for ends in [V4, V6] {
        with(XdpPlace::unknown(ends), |place| {
            let (mut a, mut b) = pair(place);
            converse(&mut a, &mut b, 1);
            let [_, aside] = ways(&a);
            assert!(aside > 0);
            forget();
            converse(&mut a, &mut b, 100);
            assert_eq!(ways(&a), [202 - aside, aside]);
            assert_eq!(a.driver.counters().refused, 0);
        });
    }
}

#[test]
fn what_is_behind_a_router_goes_to_the_router_also_when_that_has_another_card() {
    for place in [XdpPlace::routed_v4(), XdpPlace::routed_v6()] {
        with(place, |place| {
            let (mut a, mut b) = pair(place);
            converse(&mut a, &mut b, 1);
            forget();
            converse(&mut a, &mut b, 100);
            let [before, aside] = ways(&a);
            assert!(before >= 198, "{before} by the ring, {aside} aside");

            // A router takes no frame that is for another card. It asks after us, and so is known by its new one.
            place.lab.ip("-n {2} link set near address 02:00:00:00:00:77").unwrap();
            assert!(b.queue(a.address(), 1, 64));
            b.flush();
            assert_filled(&a.receive(1)[0], b.address(), 1, 64);
            forget();
            converse(&mut a, &mut b, 100);
            assert!(ways(&a)[0] >= before + 198);
        });
    }
}

#[test]
fn a_neighbour_with_another_card_is_reached_there_once_it_was_heard_from() {
    for ends in [V4, V6] {
        with(XdpPlace::unknown(ends), |place| {
            // Else the kernel believes for a second whom it heard first.
            let locktime = "/proc/sys/net/ipv4/neigh/lab/locktime";
            place.lab.within(0, || std::fs::write(locktime, "0")).unwrap();
            let mut a = Peer::start(place, None);
            place.lab.within(1, || {
                // Who has frames by the kernel has none that are for another card.
                let mut b = Peer::start(&mut KernelPlace { ip: ends[1], offload: true }, None);
                converse(&mut a, &mut b, 1);
                forget();
                converse(&mut a, &mut b, 10);
                place.lab.ip("-n {1} link set lab address 02:00:00:00:00:79").unwrap();
                assert!(b.queue(a.address(), 1, 64));
                b.flush();
                assert_filled(&a.receive(1)[0], b.address(), 1, 64);
                forget();
                let before = ways(&a)[0];
                converse(&mut a, &mut b, 100);
                assert!(ways(&a)[0] >= before + 100, "{:?}", ways(&a));
            });
            a.assert_nothing_on_loan();
        });
    }
}

#[test]
fn our_own_card_may_be_another_too() {
    with(XdpPlace::routed_v4(), |place| {
        let (mut a, mut b) = pair(place);
        let ours: Mac = [2, 0, 0, 0, 0, 0x78];
        place.lab.ip("-n {0} link set lab address 02:00:00:00:00:78").unwrap();
        place.lab.ip("-n {0} route replace default via 10.1.0.1").unwrap();
        converse(&mut a, &mut b, 1);
        forget();
        let router = Raw::open(&place.lab, 2, "near");
        let before = ways(&a)[0];
        converse(&mut a, &mut b, 10);
        assert!(ways(&a)[0] >= before + 18, "{:?}", ways(&a));
        let from: Vec<Mac> =
            router.received().filter_map(|it| it.get(6..12)?.try_into().ok()).collect();
        assert!(from.iter().filter(|it| **it == ours).count() >= 10, "{from:x?}");
    });
}

#[test]
fn a_frame_is_held_until_it_has_left_also_while_the_interface_is_down() {
    with(XdpPlace::v4(Generic), |place| {
        let (mut a, mut b) = pair(place);
        converse(&mut a, &mut b, 10);
        place.lab.ip("-n {0} link set lab down").unwrap();
        let pool = a.driver.pool().clone();
        let mut kept = pool.take().unwrap();
        kept.truncate(64);
        fill(5, kept.bytes_mut().unwrap());
        let frame = kept.share();
        a.queue.push_back(Outgoing { frame, to: b.address() });
        a.transmit();
        a.driver.reclaim();
        // It lies on the ring: nobody may write it, and it goes nowhere else by the ring meanwhile.
        assert!(a.queue.is_empty() && !kept.is_exclusive() && kept.bytes_mut().is_none());

        place.lab.ip("-n {0} link set lab up").unwrap();
        place
            .lab
            .ip("-n {0} neigh replace 10.0.0.2 lladdr 02:00:00:00:00:02 dev lab nud permanent")
            .unwrap();
        a.driver.reclaim();
        assert!(kept.is_exclusive());
        drop(kept);
        assert_filled(&b.receive(1)[0], a.address(), 5, 64);
        forget();
        converse(&mut a, &mut b, 100);
        a.assert_nothing_on_loan();
        b.assert_nothing_on_loan();
    });
}

#[test]
fn while_the_interface_is_down_what_is_sent_is_refused_and_counted() {
    with(XdpPlace::v4(Generic), |place| {
        let (mut a, mut b) = pair(place);
        place.lab.ip("-n {0} link set lab down").unwrap();
        for seed in 0..10 {
            assert!(a.queue(b.address(), seed, 64));
        }
        a.flush();
        assert_eq!(a.driver.counters().refused, 10);
        place.lab.ip("-n {0} link set lab up").unwrap();
        forget();
        converse(&mut a, &mut b, 10);
    });
}

#[test]
fn what_fits_the_interface_or_the_route_no_longer_goes_by_the_kernel_in_fragments() {
    for (ends, smaller) in [
        (V4, "-n {0} link set lab mtu 1300"),
        (V6, "-n {0} link set lab mtu 1300"),
        (V4, "-n {0} route replace 10.0.0.2/32 dev lab mtu 1300"),
        (V6, "-n {0} route replace fd00::2/128 dev lab mtu 1300"),
    ] {
        let place = if ends == V4 { XdpPlace::v4(Native) } else { XdpPlace::v6(Native) };
        with(place, |place| {
            let (mut a, mut b) = pair(place);
            let bytes = a.driver.payload_bytes_max();
            converse(&mut a, &mut b, 10);
            place.lab.ip(smaller).unwrap();
            forget();
            for seed in 0..20 {
                assert!(a.queue(b.address(), seed, bytes));
            }
            a.flush();
            let mut received = b.receive(20);
            received.sort_by_key(|it| it.frame[..8].to_vec());
            assert_eq!((received.len(), ways(&a)), (20, [20, 20]), "{smaller}");
            for (seed, received) in (0..).zip(&received) {
                assert_filled(received, a.address(), seed, bytes);
            }
            // What fits still, goes by the ring still.
            converse(&mut a, &mut b, 10);
            assert_eq!((ways(&a), a.driver.counters().refused), ([40, 20], 0));
        });
    }
}

#[test]
fn an_interface_may_get_more_queues_and_fewer_while_drivers_have_theirs() {
    for attach in [Generic, Native] {
        with(XdpPlace::v4(attach), |place| {
            let (mut a, mut b) = pair(place);
            let (mut c, mut d) = pair(place);
            let mut all = |place: &XdpPlace, queues: [u32; 2]| {
                place.set_queues(queues[0], queues[1]).unwrap();
                converse(&mut a, &mut b, 100);
                converse(&mut c, &mut d, 100);
                // Without native XDP, what leaves by queue 1 of a veth does not come by queue 1.
                [&a, &b].map(ways)
            };
            for (rounds, queues) in (1..).zip([[8, 8], [8, 2], [2, 2], [8, 2], [8, 8], [8, 2]]) {
                assert_eq!(all(place, queues), [[200 * rounds, 0]; 2], "{queues:?}");
            }
            // The kernel takes none away that a driver has.
            assert_eq!(place.set_queues(8, 1).unwrap_err().raw_os_error(), Some(libc::EINVAL));
            all(place, [8, 2]);

            drop((c, d));
            // It goes on for a moment with sockets that were closed.
            let mut tries = (0..100_000).inspect(|_| std::thread::yield_now());
            assert!(tries.any(|_| place.set_queues(8, 1).is_ok()));
            place.set_queues(1, 1).unwrap();
            converse(&mut a, &mut b, 100);
            assert_eq!((ways(&a), ways(&b)), ([1600, 0], [1600, 0]));
            let error = place.refused(&place.config((place.ends[0], 0).into(), 1));
            assert!(error.contains("it has no queue 1: each reactor needs one"), "{error}");
        });
    }
}

#[test]
fn an_interface_that_is_taken_away_leaves_a_driver_that_says_so() {
    with(XdpPlace::v4(Generic), |place| {
        let (mut a, b) = pair(place);
        assert!(a.queue(b.address(), 1, 64));
        a.flush();
        place.lab.ip("-n {0} link delete lab").unwrap();
        for seed in 0..10 {
            assert!(a.queue(b.address(), seed, 64));
        }
        a.transmit();
        assert!(a.queue.is_empty());
        // Nobody reads any more what lies on the ring.
        a.assert_nothing_on_loan();
        forget();
        assert!(a.queue(b.address(), 1, 64));
        a.transmit();
        assert!(a.driver.counters().refused > 0);
        let mode = a.driver.mode();
        assert!(mode.contains("gone: all goes aside"), "{mode}");
    });
}

#[test]
fn a_kernel_driver_and_one_of_xdp_understand_each_other_trains_included() {
    for (attach, is_v4) in [(Generic, true), (Native, true), (Generic, false), (Native, false)] {
        let place = if is_v4 { XdpPlace::v4(attach) } else { XdpPlace::v6(attach) };
        with(place, |place| {
            let a = Peer::start(place, None);
            let ip = if is_v4 { "10.0.0.2" } else { "fd00::2" };
            // It opens sockets when it has a busy peer.
            place.lab.within(1, || {
                understand(a, Peer::start(&mut KernelPlace { ip, offload: true }, None));
            });
        });
    }
}

fn understand(mut a: Peer<Xdp>, mut b: Peer<Kernel>) {
    converse(&mut a, &mut b, 100);
    for _ in 0..10 {
        for seed in 0..64 {
            assert!(a.queue(b.address(), seed, 1024) && b.queue(a.address(), seed, 1024));
        }
        a.flush();
        b.flush();
        let (mut here, mut there) = (a.receive(64), b.receive(64));
        assert_eq!((here.len(), there.len()), (64, 64));
        // What comes by the kernel may pass what comes by the ring.
        here.sort_by_key(|it| it.frame[..8].to_vec());
        there.sort_by_key(|it| it.frame[..8].to_vec());
        for seed in 0..64 {
            assert_filled(&there[seed as usize], a.address(), seed, 1024);
            assert_filled(&here[seed as usize], b.address(), seed, 1024);
        }
    }
    // All that we sent, at least.
    assert!(ways(&a)[0] >= 740, "{:?}", ways(&a));
}

#[test]
fn polling_busily_loses_nothing_and_is_shown() {
    with(XdpPlace::v4(Native), |place| {
        let options = Options { attach: Some(Native), busy_poll: Some(32), ..Options::default() };
        place.open(options).unwrap();
        let (mut a, mut b) = pair(place);
        converse(&mut a, &mut b, 100);
        let mode = a.driver.mode();
        assert!(mode.contains(", native, copy, busy-poll of 32;"), "{mode}");
    });
}
