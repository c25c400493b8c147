//! What others send to an AF_XDP driver, and what its rings lose.

use std::net::SocketAddr;

use daedal_lab::Lab;
use daedal_net::driver::Driver;
use daedal_net::driver::headers::{BYTES_V4, Checksums, Template};
use daedal_net::driver::xdp::Attach::{Generic, Native};
use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};

use crate::peer::{Peer, pair};
use crate::xdp::{RING, XdpPlace, with};

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
    let from = SocketAddr::new([10, 0, 0, 2].into(), 9);
    let macs = [[2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1]];
    let template = Template::new(macs, from, to).unwrap();
    let mut frame = template.emit(payload, Checksums::NONE).to_vec();
    frame.extend(payload);
    change(&mut frame);
    frame
}

#[test]
fn hostile_frames_are_dropped_and_counted_or_left_to_the_kernel_and_what_is_good_goes_on() {
    for attach in [Generic, Native] {
        with(XdpPlace::alone(attach), |place| {
            let mut a = Peer::start(place, None);
            let (to, raw) = (a.address(), Raw::open(&place.lab, 1, "lab"));
            let plain = [7; 64];
            let sent = |change: fn(&mut Vec<u8>)| frame(to, &plain, change);
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
            for hostile in kernels.iter().chain(&ours) {
                raw.send(hostile);
                raw.send(&frame(to, &plain, |_| ()));
                let received = a.receive(1);
                assert_eq!((received[0].frame[..] == plain, received[0].from.port()), (true, 9));
            }
            assert!(a.receive_now().is_empty());
            let counters = a.driver.counters();
            assert_eq!((counters.malformed, counters.aside), (ours.len() as u64, 0));
            a.assert_nothing_on_loan();
        });
    }
}

#[test]
fn what_is_too_large_for_a_buffer_comes_by_the_kernel() {
    with(XdpPlace::alone(Generic), |place| {
        place.lab.ip("-n {0} link set lab mtu 3000\n-n {1} link set lab mtu 3000").unwrap();
        let mut a = Peer::start(place, None);
        let raw = Raw::open(&place.lab, 1, "lab");
        for (bytes, aside) in [(1744, 0), (1760, 1), (2944, 2)] {
            raw.send(&frame(a.address(), &vec![3; bytes], |_| ()));
            assert_eq!(a.receive(1)[0].frame.len(), bytes);
            assert_eq!(a.driver.counters().aside, aside);
        }
        assert_eq!(a.driver.counters().rings.receive_dropped, 0);
    });
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
