//! What the AF_XDP driver owes besides.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use daedal_net::driver::kernel::Kernel;
use daedal_net::driver::xdp::Attach::{self, Generic, Native};
use daedal_net::driver::xdp::headers::{BYTES_V4, Mac, Template};
use daedal_net::driver::xdp::{Config, Interface, Options, Problem, Xdp};
use daedal_net::driver::{Driver, DriverError};

use rustix::thread::{CapabilitySet, CapabilitySets};
use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};

use crate::lab::Lab;
use crate::peer::{Peer, assert_filled, fill, pair, pass};
use crate::places::{FRAMES, KernelPlace, Place};
use crate::promises::converse;
use crate::required;

/// Buffers that the kernel has: more than any test sends at once.
const RING: usize = 128;
/// As many, also while that many are on loan.
const RECEIVE_BUFFERS: usize = 2 * RING;

/// Two namespaces joined by an Ethernet of eight queues; everybody knows his neighbour.
const PAIR: &str = "
link add lab netns {0} address 02:00:00:00:00:01 numtxqueues 8 numrxqueues 8 type veth peer name lab netns {1} address 02:00:00:00:00:02 numtxqueues 8 numrxqueues 8
-n {0} address add 10.0.0.1/24 dev lab
-n {0} address add fd00::1/64 dev lab nodad
-n {0} link set lab up
-n {0} link set lo up
-n {1} address add 10.0.0.2/24 dev lab
-n {1} address add fd00::2/64 dev lab nodad
-n {1} link set lab up
-n {1} link set lo up
";
const KNOWN: &str = "
-n {1} neigh add 10.0.0.1 lladdr 02:00:00:00:00:01 dev lab nud permanent
-n {1} neigh add fd00::1 lladdr 02:00:00:00:00:01 dev lab nud permanent
-n {0} neigh add 10.0.0.2 lladdr 02:00:00:00:00:02 dev lab nud permanent
-n {0} neigh add fd00::2 lladdr 02:00:00:00:00:02 dev lab nud permanent
";

/// A router between two networks, and nobody knows anybody.
const ROUTED: &str = "
link add lab netns {0} address 02:00:00:00:00:01 type veth peer name near netns {2}
link add lab netns {1} address 02:00:00:00:00:02 type veth peer name far netns {2}
-n {0} address add 10.1.0.2/24 dev lab
-n {0} link set lab up
-n {0} route add default via 10.1.0.1
-n {1} address add 10.2.0.2/24 dev lab
-n {1} link set lab up
-n {1} route add default via 10.2.0.1
-n {2} address add 10.1.0.1/24 dev near
-n {2} address add 10.2.0.1/24 dev far
-n {2} link set near up
-n {2} link set far up
";

/// Drivers in turn at one end and the other, each with a queue of its own.
pub struct XdpPlace {
    lab: Lab,
    ends: [IpAddr; 2],
    interfaces: Vec<Arc<Interface>>,
    /// The queue of each address that was ever started at.
    queues: BTreeMap<SocketAddr, u32>,
}

impl XdpPlace {
    pub fn v4(attach: Attach) -> Result<XdpPlace, String> {
        let known = format!("{PAIR}{KNOWN}");
        XdpPlace::of(Lab::new(2, &known)?, ["10.0.0.1", "10.0.0.2"], attach)
    }

    pub fn v6(attach: Attach) -> Result<XdpPlace, String> {
        let known = format!("{PAIR}{KNOWN}");
        XdpPlace::of(Lab::new(2, &known)?, ["fd00::1", "fd00::2"], attach)
    }

    /// With one queue at each end: what others than drivers send comes by that too.
    fn alone(attach: Attach) -> Result<XdpPlace, String> {
        let one = format!("{PAIR}{KNOWN}").replace("queues 8", "queues 1");
        XdpPlace::of(Lab::new(2, &one)?, ["10.0.0.1", "10.0.0.2"], attach)
    }

    /// Two networks with a router between them.
    fn routed() -> Result<XdpPlace, String> {
        let lab = Lab::new(3, ROUTED)?;
        lab.within(2, || std::fs::write("/proc/sys/net/ipv4/ip_forward", "1"))
            .map_err(|error| format!("no router: {error}"))?;
        XdpPlace::of(lab, ["10.1.0.2", "10.2.0.2"], Generic)
    }

    /// As at first: nobody knows his neighbour.
    fn unknown() -> Result<XdpPlace, String> {
        XdpPlace::of(Lab::new(2, PAIR)?, ["10.0.0.1", "10.0.0.2"], Generic)
    }

    fn config(&self, bind: SocketAddr, queue: u32) -> Config {
        Config {
            frames: FRAMES,
            receive_buffers: RECEIVE_BUFFERS,
            receive_ring: RING,
            send_ring: FRAMES,
            ..Config::new(bind, queue, &self.interfaces[self.end_of(bind)])
        }
    }

    fn end_of(&self, address: SocketAddr) -> usize {
        usize::from(address.ip() == self.ends[1])
    }

    /// Why there is no such driver.
    fn refused(&self, config: &Config) -> String {
        let end = self.end_of(config.bind);
        let driver = self.lab.within(end, || Xdp::start(&self.interfaces[end], config));
        driver.unwrap_err().to_string()
    }

    fn of(lab: Lab, ends: [&str; 2], attach: Attach) -> Result<XdpPlace, String> {
        let ends = ends.map(|it| it.parse().unwrap());
        let mut place = XdpPlace { lab, ends, interfaces: Vec::new(), queues: BTreeMap::new() };
        place.open(Options { attach: Some(attach), ..Options::default() })?;
        Ok(place)
    }

    /// Takes both interfaces, having left them if they were taken.
    fn open(&mut self, options: Options) -> Result<(), String> {
        self.interfaces.clear();
        for end in 0..self.ends.len() {
            let opened = self.lab.within(end, || Interface::open(self.ends[end], options));
            self.interfaces.push(opened.map_err(|error| error.to_string())?);
        }
        Ok(())
    }
}

impl Place for XdpPlace {
    type D = Xdp;

    fn start(&mut self, address: Option<SocketAddr>) -> Xdp {
        let count = self.queues.len();
        let bind = address.unwrap_or_else(|| SocketAddr::new(self.ends[count % 2], 0));
        let queue = self.queues.get(&bind).copied().unwrap_or(count as u32 / 2);
        let (end, config) = (self.end_of(bind), self.config(bind, queue));
        let driver = self.lab.within(end, || Xdp::start(&self.interfaces[end], &config).unwrap());
        self.queues.insert(driver.address(), queue);
        driver
    }

    fn posted_max(&self) -> usize {
        RING
    }
}

/// Runs `test` with a place, if there can be one.
fn with(place: Result<XdpPlace, String>, test: impl FnOnce(&mut XdpPlace)) {
    if let Some(mut place) = required("xdp", place) {
        test(&mut place);
    }
}

/// Longer than what was found out about a peer holds.
fn forget() {
    pass(11);
}

/// How many frames a driver sent and received by its ring, and how many not.
fn ways<D: Driver>(peer: &Peer<D>) -> [u64; 2] {
    let counters = peer.driver.counters();
    [counters.sent + counters.received - counters.aside, counters.aside]
}

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
    with(XdpPlace::unknown(), |place| {
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

#[test]
fn what_is_behind_a_router_goes_to_the_router_also_when_that_has_another_card() {
    with(XdpPlace::routed(), |place| {
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

#[test]
fn our_own_card_may_be_another_too() {
    with(XdpPlace::routed(), |place| {
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
        a.queue.push_back(daedal_net::driver::Outgoing { frame, to: b.address() });
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
    for seed in 0..100 {
        assert!(a.queue(b.address(), seed, 64));
        a.flush();
        assert_filled(&b.receive(1)[0], a.address(), seed, 64);
        assert!(b.queue(a.address(), seed, 64));
        b.flush();
        assert_filled(&a.receive(1)[0], b.address(), seed, 64);
    }
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

/// A socket that sends and receives whole Ethernet frames by an interface of a lab.
struct Raw(Socket);

impl Raw {
    #[expect(unsafe_code, reason = "the address of an interface has no safe maker")]
    fn open(lab: &Lab, end: usize, interface: &str) -> Raw {
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

    fn send(&self, frame: &[u8]) {
        assert_eq!(self.0.send(frame).unwrap(), frame.len());
    }

    fn received(&self) -> impl Iterator<Item = Vec<u8>> {
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
    let mut frame = Template::new(macs, from, to).unwrap().emit(payload).to_vec();
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

#[test]
fn what_keeps_a_driver_from_its_queue_is_said_with_its_remedy() {
    with(XdpPlace::v4(Generic), |place| {
        let taken = Peer::start(place, None);
        let any = place.config(SocketAddr::new(place.ends[0], 0), 1);
        let check = |config: Config, expect: &str| {
            let error = place.refused(&config);
            assert!(error.contains(expect), "{error}");
        };
        let interface = "driver xdp at 10.0.0.1, interface lab: ";
        check(Config { queue: 8, ..any.clone() }, &format!("{interface}it has no queue 8: each"));
        check(Config { queue: 0, ..any.clone() }, &format!("{interface}queue 0 is taken by"));
        check(
            Config { receive_ring: 100, ..any.clone() },
            &format!("{interface}receive_ring is 100; choose a power of two, such as 128"),
        );
        check(Config { send_ring: 8, ..any.clone() }, "send_ring is 8; choose from 16 to 32768");
        check(Config { queue: 1024, ..any.clone() }, "queue is 1024; choose from 0 to 1023");
        check(
            Config { receive_buffers: RING, ..any.clone() },
            "receive_buffers is 128; choose from 129 to 1048576",
        );
        check(
            Config { payload_bytes_max: 1488, ..any.clone() },
            "payload_bytes_max is 1488; choose from 64 to 1472, a multiple of 16",
        );
        let port = taken.address().port();
        check(
            Config { bind: taken.address(), ..any.clone() },
            &format!("port {port} of 10.0.0.1 is taken"),
        );
    });
}

#[test]
fn what_keeps_an_interface_from_serving_is_said_with_its_remedy() {
    with(XdpPlace::v4(Generic), |place| {
        let lab = &place.lab;
        let open = |ip: [u8; 4], attach| {
            let options = Options { attach, ..Options::default() };
            lab.within(0, || Interface::open(ip.into(), options))
        };
        let refused = |ip, attach| open(ip, attach).unwrap_err();
        for attach in [None, Some(Generic), Some(Native)] {
            let error = refused([10, 0, 0, 1], attach);
            let DriverError::Xdp { problem, .. } = &error else { panic!("{error}") };
            assert!(matches!(**problem, Problem::ProgramThere { program: Some(_), .. }), "{error}");
            assert!(error.to_string().contains("`ip link set dev lab xdp off`"), "{error}");
        }
        let error = refused([127, 0, 0, 1], None).to_string();
        assert!(
            error.starts_with("driver xdp at 127.0.0.1, interface lo: it is no Ethernet;"),
            "{error}"
        );
        let error = refused([240, 0, 0, 1], None);
        assert!(matches!(error, DriverError::AddressNotHere { .. }), "{error}");

        // It is gone with who had it; then there is room for another. None of veth's queues has zero-copy.
        let (ends, none) = (place.ends, Options::default());
        place.open(Options { zero_copy: true, ..none }).unwrap();
        let error = place.refused(&place.config(SocketAddr::new(ends[0], 0), 0));
        assert!(error.contains("has no zero-copy for queue 0; leave `zero-copy` out"), "{error}");
        place.open(none).unwrap();
        assert!(Peer::start(place, None).driver.mode().contains(", native, copy;"));
    });
}

#[test]
fn who_may_not_is_told_which_rights_it_takes() {
    with(XdpPlace::v4(Generic), |place| {
        place.interfaces.clear();
        let open = || {
            place.lab.within(0, || {
                // Rights are a thread's; what it is granted it may lay down, and take up again.
                let rights = rustix::thread::capabilities(None).unwrap();
                let none = CapabilitySets { effective: CapabilitySet::empty(), ..rights };
                rustix::thread::set_capabilities(None, none).unwrap();
                let error = Interface::open([10, 0, 0, 1].into(), Options::default()).unwrap_err();
                rustix::thread::set_capabilities(None, rights).unwrap();
                error.to_string()
            })
        };
        let error = open();
        assert!(
            error.contains("BPF_MAP_CREATE: this process may not; start it as root, grant `setcap"),
            "{error}"
        );
    });
}
