//! What a DPDK driver owes besides: frames in place, neighbours, queues, and what others send.

use std::net::SocketAddr;

use daedal_net::driver::dpdk::{Config, Dpdk, Port};
use daedal_net::driver::headers::{Checksums, Template};
use daedal_net::driver::neighbour::{self, Word};
use daedal_net::driver::{Driver, Outgoing};

use super::{DpdkPlace, EAL, Switched, with};
use crate::peer::{Peer, assert_filled, fill, pair, pass};
use crate::places::Place;
use crate::promises::converse;

/// Both ends of a wire by which mbufs go as they are.
pub fn wired(place: &mut DpdkPlace) -> [Dpdk; 2] {
    let devices = place.switch.borrow_mut().wire();
    let mut host = 0;
    devices.map(|device| {
        host += 1;
        let there = 3 - host;
        let known = format!("neighbour=10.0.0.{there}@02:00:0a:00:00:0{there}");
        let options = format!("{device} {known} {EAL}").parse().unwrap();
        let port = Port::open([10, 0, 0, host].into(), options, 1, 64).unwrap();
        place.ports.insert([10, 0, 0, host].into(), port.clone());
        let bind = SocketAddr::from(([10, 0, 0, host], 7000));
        Dpdk::start(&port, &Config { frames: 64, ..Config::new(bind, 0, &port) }).unwrap()
    })
}

#[test]
fn a_frame_is_sent_and_received_where_it_is_and_nobody_writes_it_meanwhile() {
    with(DpdkPlace::v4(), |place| {
        let [mut a, mut b] = wired(place);
        let mut kept = a.pool().take().unwrap();
        kept.truncate(64);
        for round in 0..3 {
            fill(round, kept.bytes_mut().unwrap());
            let mut queue = [Outgoing { frame: kept.share(), to: b.address() }].into();
            a.transmit(0, &mut queue);
            a.reclaim();
            assert!(queue.is_empty() && kept.bytes_mut().is_none());
            let mut into = Vec::new();
            assert_eq!(b.receive(0, 8, &mut into), 1);
            assert_filled(&into[0], a.address(), round, 64);
            // The very bytes: they lie in the mbuf that was sent.
            assert_eq!(into[0].frame.as_ptr(), kept.as_ptr());
            // Who reads them holds them, also when another handle is gone.
            let part = into[0].frame.slice(8..16);
            into.clear();
            assert_eq!(b.receive(0, 8, &mut into), 0);
            a.reclaim();
            assert!(kept.bytes_mut().is_none());
            drop(part);
            assert_eq!(b.receive(0, 8, &mut into), 0);
            a.reclaim();
            assert!(kept.is_exclusive());
        }
    });
}

#[test]
fn what_is_on_its_way_is_sent_again_as_a_copy_and_what_is_elsewhere_too() {
    with(DpdkPlace::v4(), |place| {
        let [mut a, mut b] = wired(place);
        let mut kept = a.pool().take().unwrap();
        kept.truncate(64);
        fill(9, kept.bytes_mut().unwrap());
        let out = |frame| Outgoing { frame, to: b.address() };
        // Whole, again while the first is on its way, and a part of it.
        let mut queue = [out(kept.share()), out(kept.share()), out(kept.slice(16..48))].into();
        a.transmit(0, &mut queue);
        assert!(queue.is_empty());
        let mut into = Vec::new();
        assert_eq!(b.receive(0, 8, &mut into), 3);
        assert_eq!(into[0].frame.as_ptr(), kept.as_ptr());
        assert_filled(&into[0], a.address(), 9, 64);
        assert_filled(&into[1], a.address(), 9, 64);
        assert_ne!(into[1].frame.as_ptr(), kept.as_ptr());
        assert_eq!(into[2].frame[..], kept[16..48]);
        // What was received is sent on as a copy: it is the other's buffer.
        let mut queue = [Outgoing { frame: into[1].frame.share(), to: a.address() }].into();
        b.transmit(0, &mut queue);
        into.clear();
        assert_eq!(a.receive(0, 8, &mut into), 1);
        assert_filled(&into[0], b.address(), 9, 64);
    });
}

#[test]
fn frames_outlive_their_driver_and_its_port() {
    with(DpdkPlace::v4(), |place| {
        let [mut a, mut b] = wired(place);
        let mut queue = Default::default();
        for seed in 0..2 {
            let mut frame = a.pool().take().unwrap();
            frame.truncate(64);
            fill(seed, frame.bytes_mut().unwrap());
            std::collections::VecDeque::push_back(&mut queue, Outgoing { frame, to: b.address() });
        }
        a.transmit(0, &mut queue);
        let (mut into, from) = (Vec::new(), a.address());
        assert_eq!(b.receive(0, 1, &mut into), 1);
        drop(a);
        drop(b);
        place.ports.clear();
        assert_filled(&into[0], from, 0, 64);
    });
}

fn unknown(is_v4: bool) -> Result<DpdkPlace, String> {
    DpdkPlace::new(is_v4, false)
}

#[test]
fn a_neighbour_that_is_not_known_is_asked_after_and_what_waited_arrives() {
    for is_v4 in [true, false] {
        with(unknown(is_v4), |place| {
            let (mut a, mut b) = pair(place);
            for seed in 0..3 {
                assert!(a.queue(b.address(), seed, 64));
            }
            a.transmit();
            assert!(a.queue.is_empty());
            // The answer, and what follows from it.
            assert!(b.receive_now().is_empty());
            assert!(a.receive_now().is_empty());
            let received = b.receive(3);
            for (seed, received) in (0..).zip(&received) {
                assert_filled(received, a.address(), seed, 64);
            }
            assert_eq!((received.len(), a.driver.counters().refused), (3, 0));
            // Who was asked knows who asked.
            converse(&mut b, &mut a, 10);
        });
    }
}

#[test]
fn what_waits_for_nobody_is_refused_and_counted_and_asked_after_again() {
    with(unknown(true), |place| {
        let mut a = Peer::start(place, None);
        let nobody = SocketAddr::new(place.ip(9), 7000);
        place.switch.borrow_mut().is_dead = true;
        place.switch.borrow_mut().outgoing();
        for seed in 0..100 {
            assert!(a.queue(nobody, seed, 64));
        }
        a.transmit();
        // As many wait as may; one question is on its way.
        assert_eq!((a.queue.len(), a.driver.counters().refused), (0, 36));
        let asked = |place: &DpdkPlace| {
            let frames = place.switch.borrow_mut().outgoing();
            let words = frames.iter().filter_map(|it| neighbour::parse(it));
            words
                .filter(|it| matches!(it, Word::Asks { about, .. } if *about == nobody.ip()))
                .count()
        };
        assert_eq!(asked(place), 1);
        pass(9);
        a.transmit();
        assert_eq!((asked(place), a.driver.counters().refused), (0, 36));
        pass(2);
        a.transmit();
        assert_eq!((asked(place), a.driver.counters().refused), (1, 100));
        a.assert_nothing_on_loan();
    });
}

#[test]
fn who_is_neither_near_nor_behind_a_gateway_is_refused_and_counted() {
    with(DpdkPlace::v4(), |place| {
        let (mut a, mut b) = pair(place);
        for to in ["10.0.1.1:9", "[fd00::1]:9", "224.0.0.1:9", "0.0.0.0:9"] {
            assert!(a.queue(to.parse().unwrap(), 1, 64));
        }
        assert!(a.queue(b.address(), 2, 64));
        a.flush();
        assert_filled(&b.receive(1)[0], a.address(), 2, 64);
        assert_eq!((a.driver.counters().refused, a.driver.counters().sent), (4, 1));
    });
}

#[test]
fn what_is_of_another_network_goes_to_the_gateway() {
    with(DpdkPlace::v4(), |place| {
        let device = place.switch.borrow_mut().plug([2, 0, 0, 0, 0, 1], 1);
        let gateway =
            "gateway=10.0.0.254 neighbour=10.0.0.254@02:00:00:00:00:fe mac=02:00:00:00:00:01";
        let options = format!("{device} {gateway} prefix=24 {EAL}").parse().unwrap();
        let port = Port::open([10, 0, 0, 1].into(), options, 1, 8).unwrap();
        place.ports.insert([10, 0, 0, 1].into(), port.clone());
        let mut a = place.start_at(&port, "10.0.0.1:7000".parse().unwrap(), 0).driver;
        place.switch.borrow_mut().outgoing();
        let mut frame = a.pool().take().unwrap();
        frame.truncate(64);
        a.transmit(0, &mut [Outgoing { frame, to: "10.9.0.1:7".parse().unwrap() }].into());
        let sent = place.switch.borrow_mut().outgoing();
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0][..12], [2, 0, 0, 0, 0, 0xfe, 2, 0, 0, 0, 0, 1]);
        assert_eq!(sent[0][30..34], [10, 9, 0, 1]);
    });
}

#[test]
fn what_comes_by_another_reactors_queue_crosses_to_it_and_is_counted() {
    with(DpdkPlace::v4(), |place| {
        let ip = place.ip(1);
        let port = place.port(ip, 2);
        let one = |place: &mut DpdkPlace, queue| -> Peer<Switched> {
            let driver = place.start_at(&port, SocketAddr::new(ip, 7000 + u16::from(queue)), queue);
            Peer::of(driver)
        };
        let (mut first, mut second) = (one(place, 0), one(place, 1));
        let mut b = Peer::start(place, None);
        assert!(b.queue(first.address(), 1, 64) && b.queue(second.address(), 2, 64));
        b.flush();
        // The network gives everything to the first.
        assert!(second.receive_now().is_empty());
        assert_filled(&first.receive(1)[0], b.address(), 1, 64);
        assert!(first.receive_now().is_empty());
        assert_filled(&second.receive(1)[0], b.address(), 2, 64);
        assert_eq!((first.driver.counters().aside, second.driver.counters().aside), (0, 1));
        place.switch.borrow_mut().queue = 1;
        assert!(b.queue(first.address(), 3, 64));
        b.flush();
        assert!(second.receive_now().is_empty());
        assert_filled(&first.receive(1)[0], b.address(), 3, 64);
        // Both send.
        for (seed, from) in [(4, &mut first), (5, &mut second)] {
            assert!(from.queue(b.address(), seed, 64));
            from.flush();
            assert_filled(&b.receive(1)[0], from.address(), seed, 64);
        }
    });
}

/// What is done to a good frame to the first host of a place.
type Change = &'static dyn Fn(&mut Vec<u8>);

/// Has the first host get each of these, and a good one behind each: what is good goes on, the first `counted` are
/// counted, and nothing stays.
fn check_hostile(is_v4: bool, hostile: &[(&[u8], Change)], counted: usize) {
    with(DpdkPlace::new(is_v4, true), |place| {
        let mut a = Peer::start(place, None);
        let (to, from) = (a.address(), SocketAddr::new(place.ip(2), 9));
        let template = Template::new([place.mac(from.ip()), place.mac(to.ip())], from, to).unwrap();
        let frame = |payload: &[u8], change: Change| {
            let mut frame = [&template.emit(payload, Checksums::NONE)[..], payload].concat();
            change(&mut frame);
            frame
        };
        for (at, (payload, change)) in hostile.iter().enumerate() {
            place.switch.borrow_mut().inject(&frame(payload, *change));
            place.switch.borrow_mut().inject(&frame(&PLAIN, &|_| ()));
            let received = a.receive(1);
            assert_eq!((&received[0].frame[..], received[0].from), (&PLAIN[..], from));
            let expect = counted.min(at + 1) as u64;
            assert_eq!(a.driver.counters().malformed, expect, "frame {at}");
        }
        // Those that come in several buffers, and one of which the first would be good.
        let long = frame(&[7; 512], &|_| ());
        let padded = frame(&PLAIN, &|it| it.resize(300, 0));
        for parted in [long, padded] {
            assert!(place.switch.borrow_mut().inject_in_parts(&parted) > 1);
        }
        assert!(a.receive_now().is_empty());
        assert_eq!(a.driver.counters().malformed, 2 + counted as u64);
        a.assert_nothing_on_loan();
        assert!(place.switch.borrow().is_whole());
    });
}

const PLAIN: [u8; 64] = [7; 64];

#[test]
fn hostile_frames_are_dropped_and_counted_and_what_is_good_goes_on() {
    check_hostile(
        true,
        &[
            // Shorter than it says, by IP's header and by UDP's; checksums; of no size that links send.
            (&PLAIN, &|it| it.truncate(80)),
            (&PLAIN, &|it| it[39] = 4),
            (&PLAIN, &|it| it[24] ^= 1),
            (&PLAIN, &|it| it[40] ^= 1),
            (&PLAIN, &|it| it[100] ^= 1),
            (&[7; 15], &|_| ()),
            (&[], &|_| ()),
            // Cut in its headers; another protocol, version, port; a tag, fragments; no kind at all.
            (&PLAIN, &|it| it.truncate(30)),
            (&PLAIN, &|it| it[23] = 6),
            (&PLAIN, &|it| it[14] = 0x55),
            (&PLAIN, &|it| it[37] ^= 1),
            (&PLAIN, &|it| drop(it.splice(12..12, [0x81, 0, 0, 5]))),
            (&PLAIN, &|it| it[20] = 0x20),
            (&PLAIN, &|it| it[21] = 1),
            (&PLAIN, &|it| it.truncate(12)),
            // For another card and for another address; nothing at all; ICMP and ARP.
            (&PLAIN, &|it| it[5] = 9),
            (&PLAIN, &|it| it[33] = 3),
            (&PLAIN, &|it| it.clear()),
            (&PLAIN, &|it| it[23] = 1),
            (&PLAIN, &|it| it[13] = 6),
            // Tagged, and for all.
            (&PLAIN, &|it| {
                it[..14].copy_from_slice(&[
                    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 2, 0x81, 0,
                ])
            }),
        ],
        15,
    );
}

#[test]
fn over_ipv6_hostile_frames_are_dropped_and_counted_and_what_is_good_goes_on() {
    check_hostile(
        false,
        &[
            // Shorter than it says, by IP's header and by UDP's; checksums, of which none is one; of no size that links
            // send.
            (&PLAIN, &|it| it.truncate(100)),
            (&PLAIN, &|it| it[59] = 4),
            (&PLAIN, &|it| it[60] ^= 1),
            (&PLAIN, &|it| it[60..62].fill(0)),
            (&PLAIN, &|it| it[120] ^= 1),
            (&[7; 15], &|_| ()),
            (&[], &|_| ()),
            // From a group.
            (&PLAIN, &|it| it[22] = 0xff),
            // Cut in its headers; another protocol, version, port; fragments and another extension; a tag.
            (&PLAIN, &|it| it.truncate(50)),
            (&PLAIN, &|it| it[20] = 6),
            (&PLAIN, &|it| it[14] = 0x50),
            (&PLAIN, &|it| it[57] ^= 1),
            (&PLAIN, &|it| it[20] = 44),
            (&PLAIN, &|it| it[20] = 0),
            (&PLAIN, &|it| drop(it.splice(12..12, [0x81, 0, 0, 5]))),
            // For another card and for another address; ICMP.
            (&PLAIN, &|it| it[5] = 9),
            (&PLAIN, &|it| it[53] = 3),
            (&PLAIN, &|it| it[20] = 58),
        ],
        15,
    );
}

#[test]
fn a_checksum_that_the_card_has_judged_is_as_it_says_and_any_other_is_looked_at() {
    const NOTHING: u8 = 0;
    const GOOD: u8 = dpdk_sys::SAYS_GOOD;
    const BAD: u8 = dpdk_sys::SAYS_BAD;
    /// DPDK's: the sum is not in the frame, and others are to make it.
    const NONE: u8 = GOOD | BAD;
    for is_v4 in [true, false] {
        with(DpdkPlace::new(is_v4, true), |place| {
            let mut a = Peer::start(place, None);
            let (to, from) = (a.address(), SocketAddr::new(place.ip(2), 9));
            let macs = [[2, 0, 10, 0, 0, 2], place.mac(to.ip())];
            let template = Template::new(macs, from, to).unwrap();
            let mut malformed = 0;
            let mut check = |a: &mut Peer<Switched>, by_card, wrong: usize, said, expect: bool| {
                let mut frame = [&template.emit(&[7; 64], by_card)[..], &[7; 64]].concat();
                if let Some(byte) = frame.get_mut(wrong) {
                    *byte ^= 1;
                }
                place.switch.borrow_mut().inject_said(&frame, said);
                let count = a.receive_now().len();
                malformed += u64::from(!expect);
                assert_eq!((count > 0, a.driver.counters().malformed), (expect, malformed));
            };
            let made = |ip, udp| Checksums { ip, udp };
            let right = usize::MAX;
            let payload = 100;
            for nothing in [NOTHING, NONE] {
                // Its own: whole, UDP's unfinished, and none that fits.
                check(&mut a, Checksums::NONE, right, [nothing; 2], true);
                check(&mut a, made(false, true), right, [nothing; 2], true);
                check(&mut a, Checksums::NONE, payload, [nothing; 2], false);
                check(&mut a, Checksums::NONE, right, [nothing, BAD], false);
                check(&mut a, Checksums::NONE, payload, [nothing, GOOD], true);
                check(&mut a, Checksums::NONE, payload, [GOOD, nothing], false);
            }
            check(&mut a, Checksums::NONE, right, [GOOD, GOOD], true);
            check(&mut a, Checksums::NONE, payload, [GOOD, GOOD], true);
            check(&mut a, Checksums::NONE, right, [GOOD, BAD], false);
            // Over IPv6 there is none of IP.
            check(&mut a, Checksums::NONE, right, [BAD, GOOD], !is_v4);
            check(&mut a, made(true, false), right, [NOTHING, GOOD], !is_v4);
            check(&mut a, made(true, false), right, [GOOD, NOTHING], true);
            // What was received goes back at the next turn.
            assert!(a.receive_now().is_empty());
            a.assert_nothing_on_loan();
            assert!(place.switch.borrow().is_whole());
        });
    }
}

#[test]
fn what_crosses_to_another_reactor_is_judged_there_as_the_card_said() {
    with(DpdkPlace::v4(), |place| {
        let ip = place.ip(1);
        let port = place.port(ip, 2);
        let [mut first, mut second] = [0, 1].map(|queue| {
            let bind = SocketAddr::new(ip, 7000 + u16::from(queue));
            Peer::of(place.start_at(&port, bind, queue))
        });
        let macs = [[2, 0, 10, 0, 0, 2], [2, 0, 10, 0, 0, 1]];
        let from = SocketAddr::new(place.ip(2), 9);
        let template = Template::new(macs, from, second.address()).unwrap();
        let mut frame = [&template.emit(&[7; 64], Checksums::NONE)[..], &[7; 64]].concat();
        *frame.last_mut().unwrap() ^= 1;
        for (said, malformed) in [(0, 1), (dpdk_sys::SAYS_GOOD, 1), (dpdk_sys::SAYS_BAD, 2)] {
            place.switch.borrow_mut().inject_said(&frame, [0, said]);
            assert!(first.receive_now().is_empty());
            assert_eq!(second.receive_now().len(), usize::from(said == dpdk_sys::SAYS_GOOD));
            assert_eq!(second.driver.counters().malformed, malformed);
        }
        assert_eq!(first.driver.counters().malformed, 0);
    });
}

#[test]
fn the_mode_says_which_port_and_queue_and_dpdk() {
    with(DpdkPlace::v4(), |place| {
        let mode = place.start(None).mode();
        assert!(mode.starts_with("dpdk (net_ring_lab"), "{mode}");
        // Rings see to no checksums.
        assert!(mode.contains(" by net_ring, queue 0, DPDK "), "{mode}");
    });
}
