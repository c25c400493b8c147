//! What others send to an AF_XDP driver, and what its rings lose.

use std::net::SocketAddr;

use daedal_lab::Lab;
use daedal_net::driver::Driver;
use daedal_net::driver::headers::{BYTES_V4, BYTES_V6, Checksums, Template};
use daedal_net::driver::xdp::Attach::{Generic, Native};
use daedal_net::driver::xdp::Xdp;
use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};

use crate::peer::{Peer, pair};
use crate::xdp::{RING, V4, V6, XdpPlace, with};

/// A socket that sends and receives whole Ethernet frames by an interface of a lab.
pub struct Raw(Socket);

impl Raw {
    #[expect(unsafe_code, reason = "the address of an interface has no safe maker")]
    pub fn open(lab: &Lab, end: usize, interface: &str) -> Raw {
        let all = (libc::ETH_P_ALL as u16).to_be();
        let protocol = Protocol::from(i32::from(all));
        let socket =
            lab.within(end, || Socket::new(Domain::PACKET, Type::RAW, Some(protocol)).unwrap());
        let index = rustix::net::netdevice::name_to_index(&socket, interface).unwrap();
        let fill = |storage: *mut SockAddrStorage, bytes: *mut libc::socklen_t| {
            let address = libc::sockaddr_ll {
                sll_family: libc::AF_PACKET as u16,
                sll_protocol: all,
                sll_ifindex: index as i32,
                sll_hatype: 0,
                sll_pkttype: 0,
                sll_halen: 0,
                sll_addr: [0; 8],
            };
            // SAFETY: a storage holds any address.
            unsafe { storage.cast::<libc::sockaddr_ll>().write(address) };
            // SAFETY: the caller's.
            unsafe { bytes.write(size_of::<libc::sockaddr_ll>() as libc::socklen_t) };
            Ok(())
        };
        // SAFETY: `fill` writes the storage, and how much of it.
        let ((), address) = unsafe { SockAddr::try_init(fill) }.unwrap();
        socket.bind(&address).unwrap();
        socket.set_nonblocking(true).unwrap();
        Raw(socket)
    }

    pub fn send(&self, frame: &[u8]) {
        assert_eq!(self.0.send(frame).unwrap(), frame.len());
    }

    pub fn received(&self) -> impl Iterator<Item = Vec<u8>> {
        let mut bytes = vec![0; 65_536];
        std::iter::from_fn(move || {
            let count = std::io::Read::read(&mut &self.0, &mut bytes).ok()?;
            Some(bytes[..count].to_vec())
        })
    }
}

/// A frame from the second end to `to`, and what became of it.
fn frame(to: SocketAddr, payload: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let from = SocketAddr::new(if to.is_ipv4() { V4 } else { V6 }[1].parse().unwrap(), 9);
    let macs = [[2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1]];
    let template = Template::new(macs, from, to).unwrap();
    let mut frame = template.emit(payload, Checksums::NONE).to_vec();
    frame.extend(payload);
    change(&mut frame);
    frame
}

#[test]
fn hostile_frames_are_dropped_and_counted_or_left_to_the_kernel_and_what_is_good_goes_on() {
    each_alone(V4, |place| {
        let mut a = Peer::start(place, None);
        let to = a.address();
        let sent = |change: fn(&mut Vec<u8>)| frame(to, &PLAIN, change);
        let ours = [
            // Shorter than it says, by its IP header and by its UDP header.
            sent(|it| it.truncate(80)),
            sent(|it| it.truncate(BYTES_V4)),
            sent(|it| it[39] = 4),
            sent(|it| it[39] += 8),
            // Checksums of IP and UDP.
            sent(|it| it[24] ^= 1),
            sent(|it| it[40] ^= 1),
            sent(|it| it[100] ^= 1),
            // Of no size that links send.
            frame(to, &[7; 15], |_| ()),
            frame(to, &[], |_| ()),
        ];
        let kernels = [
            // Cut in its headers, another protocol, version, address, port, tag, fragments.
            sent(|it| it.truncate(30)),
            sent(|it| it[23] = 6),
            sent(|it| it[14] = 0x55),
            sent(|it| it[33] = 3),
            sent(|it| it[37] ^= 1),
            sent(|it| drop(it.splice(12..12, [0x81, 0, 0, 5]))),
            sent(|it| it[20] = 0x20),
            sent(|it| it[21] = 1),
        ];
        check(&Raw::open(&place.lab, 1, "lab"), &mut a, &ours, &kernels);
    });
}

#[test]
fn over_ipv6_too_hostile_frames_are_dropped_and_counted_or_left_to_the_kernel() {
    each_alone(V6, |place| {
        let mut a = Peer::start(place, None);
        let to = a.address();
        let sent = |change: fn(&mut Vec<u8>)| frame(to, &PLAIN, change);
        let ours = [
            // Shorter than it says, by its IP header and by its UDP header.
            sent(|it| it.truncate(100)),
            sent(|it| it.truncate(BYTES_V6)),
            sent(|it| it[19] += 8),
            sent(|it| it[59] = 4),
            sent(|it| it[59] += 8),
            // Of another version.
            sent(|it| it[14] = 0x50),
            // Checksums; over IPv6 there has to be one.
            sent(|it| it[60] ^= 1),
            sent(|it| it[100] ^= 1),
            sent(|it| it[60..62].fill(0)),
            // Of no size that links send.
            frame(to, &[7; 15], |_| ()),
            frame(to, &[], |_| ()),
        ];
        let kernels = [
            // Cut in its headers, another protocol, address, port, tag, and headers that are not what they say.
            sent(|it| it.truncate(50)),
            sent(|it| it[20] = 6),
            sent(|it| it[20] = 58),
            sent(|it| it[53] = 3),
            sent(|it| it[57] ^= 1),
            sent(|it| drop(it.splice(12..12, [0x81, 0, 0, 5]))),
            sent(|it| it[20] = 0),
            sent(|it| it[20] = 43),
            sent(|it| it[20] = 44),
        ];
        check(&Raw::open(&place.lab, 1, "lab"), &mut a, &ours, &kernels);
    });
}

#[test]
fn over_ipv6_extension_headers_and_fragments_are_the_kernels_who_hands_over_what_they_hold() {
    const PAYLOAD_AT: usize = 54;
    each_alone(V6, |place| {
        let mut a = Peer::start(place, None);
        let raw = Raw::open(&place.lab, 1, "lab");
        // A header of `kind` before what is left of a frame.
        let behind = |kind: u8, header: [u8; 8], left: &[u8]| {
            let mut frame = frame(a.address(), &PLAIN, |it| it.truncate(PAYLOAD_AT));
            (frame[19], frame[20]) = ((header.len() + left.len()) as u8, kind);
            frame.extend(header);
            frame.extend(left);
            frame
        };
        let whole = frame(a.address(), &PLAIN, |_| ());
        let (first, last) = whole[PAYLOAD_AT..].split_at(40);
        // Options for the destination, of which there are none but padding; then two fragments.
        let frames = [
            behind(60, [17, 0, 1, 4, 0, 0, 0, 0], &whole[PAYLOAD_AT..]),
            behind(44, [17, 0, 0, 1, 0, 0, 0, 9], first),
            behind(44, [17, 0, 0, 40, 0, 0, 0, 9], last),
        ];
        for (sent, aside) in [(&frames[..1], 1), (&frames[1..], 2)] {
            sent.iter().for_each(|it| raw.send(it));
            assert_eq!(a.receive(1)[0].frame[..], PLAIN);
            let counters = a.driver.counters();
            assert_eq!((counters.aside, counters.malformed), (aside, 0));
        }
    });
}

/// What frames here carry, unless they say otherwise.
const PLAIN: [u8; 64] = [7; 64];

fn each_alone(ends: [&str; 2], test: impl Fn(&mut XdpPlace)) {
    for attach in [Generic, Native] {
        with(XdpPlace::alone(ends, attach), &test);
    }
}

/// `a` counts `ours`, the kernel has its own, and after each comes what is good.
fn check(raw: &Raw, a: &mut Peer<Xdp>, ours: &[Vec<u8>], kernels: &[Vec<u8>]) {
    for hostile in kernels.iter().chain(ours) {
        raw.send(hostile);
        raw.send(&frame(a.address(), &PLAIN, |_| ()));
        let received = a.receive(1);
        assert_eq!((received[0].frame[..] == PLAIN, received[0].from.port()), (true, 9));
    }
    assert!(a.receive_now().is_empty());
    let counters = a.driver.counters();
    assert_eq!((counters.malformed, counters.aside), (ours.len() as u64, 0));
    a.assert_nothing_on_loan();
}

#[test]
fn what_is_too_large_for_a_buffer_comes_by_the_kernel() {
    for (ends, largest) in [(V4, 1744), (V6, 1680)] {
        with(XdpPlace::alone(ends, Generic), |place| {
            place.lab.ip("-n {0} link set lab mtu 3000\n-n {1} link set lab mtu 3000").unwrap();
            let mut a = Peer::start(place, None);
            let raw = Raw::open(&place.lab, 1, "lab");
            for (bytes, aside) in [(largest, 0), (largest + 16, 1), (2928, 2)] {
                raw.send(&frame(a.address(), &vec![3; bytes], |_| ()));
                assert_eq!(a.receive(1)[0].frame.len(), bytes);
                assert_eq!(a.driver.counters().aside, aside);
            }
            assert_eq!(a.driver.counters().rings.receive_dropped, 0);
        });
    }
}

#[test]
fn what_the_rings_lose_is_counted_as_the_kernel_counts_it() {
    with(XdpPlace::v4(Generic), |place| {
        let (mut a, mut b) = pair(place);
        for seed in 0..300 {
            assert!(a.queue(b.address(), seed, 64));
        }
        a.flush();
        assert_eq!(b.receive(RING).len(), RING);
        assert!(b.receive_now().is_empty());
        let lost = b.driver.counters().rings;
        assert_eq!((lost.fill_empty, lost.receive_full), (300 - RING as u64, 0));
        b.assert_reached_by(&mut a);
    });
}
