//! Where AF_XDP drivers are started: network namespaces, an interface in each.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use daedal_lab::Lab;
use daedal_net::driver::Driver;
use daedal_net::driver::xdp::Attach::{self, Generic};
use daedal_net::driver::xdp::{Config, Interface, Options, Xdp};

use crate::peer::{Peer, pass};
use crate::places::{FRAMES, Place, started};
use crate::required;

/// Buffers that the kernel has: more than any test sends at once.
pub const RING: usize = 128;
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

/// The addresses of both ends.
pub const V4: [&str; 2] = ["10.0.0.1", "10.0.0.2"];
pub const V6: [&str; 2] = ["fd00::1", "fd00::2"];

/// A router between two networks, and nobody knows anybody. Over IPv6 it is known, and asks, by addresses of one
/// link.
const ROUTED: &str = "
link add lab netns {0} address 02:00:00:00:00:01 type veth peer name near netns {2}
link add lab netns {1} address 02:00:00:00:00:02 type veth peer name far netns {2}
-n {0} address add 10.1.0.2/24 dev lab
-n {0} address add fd01::2/64 dev lab nodad
-n {0} link set lab up
-n {0} route add default via 10.1.0.1
-n {0} route add default via fe80::1 dev lab
-n {1} address add 10.2.0.2/24 dev lab
-n {1} address add fd02::2/64 dev lab nodad
-n {1} link set lab up
-n {1} route add default via 10.2.0.1
-n {1} route add default via fe80::2 dev lab
-n {2} address add 10.1.0.1/24 dev near
-n {2} address add 10.2.0.1/24 dev far
-n {2} address add fd01::1/64 dev near nodad
-n {2} address add fd02::1/64 dev far nodad
-n {2} link set near addrgenmode none
-n {2} link set far addrgenmode none
-n {2} address add fe80::1/64 dev near nodad
-n {2} address add fe80::2/64 dev far nodad
-n {2} link set near up
-n {2} link set far up
";

/// Drivers in turn at one end and the other, each with a queue of its own.
pub struct XdpPlace {
    pub lab: Lab,
    pub ends: [IpAddr; 2],
    pub interfaces: Vec<Arc<Interface>>,
    /// The queue of each address that was ever started at.
    queues: BTreeMap<SocketAddr, u32>,
}

impl XdpPlace {
    pub fn v4(attach: Attach) -> Result<XdpPlace, String> {
        let known = format!("{PAIR}{KNOWN}");
        XdpPlace::of(Lab::new(2, &known)?, V4, attach)
    }

    pub fn v6(attach: Attach) -> Result<XdpPlace, String> {
        let known = format!("{PAIR}{KNOWN}");
        XdpPlace::of(Lab::new(2, &known)?, V6, attach)
    }

    /// With one queue at each end: what others than drivers send comes by that too.
    pub fn alone(ends: [&str; 2], attach: Attach) -> Result<XdpPlace, String> {
        let one = format!("{PAIR}{KNOWN}").replace("queues 8", "queues 1");
        XdpPlace::of(Lab::new(2, &one)?, ends, attach)
    }

    /// Two networks with a router between them.
    pub fn routed_v4() -> Result<XdpPlace, String> {
        XdpPlace::routed(["10.1.0.2", "10.2.0.2"], "ipv4/ip_forward")
    }

    pub fn routed_v6() -> Result<XdpPlace, String> {
        XdpPlace::routed(["fd01::2", "fd02::2"], "ipv6/conf/all/forwarding")
    }

    fn routed(ends: [&str; 2], setting: &str) -> Result<XdpPlace, String> {
        let lab = Lab::new(3, ROUTED)?;
        lab.within(2, || std::fs::write(format!("/proc/sys/net/{setting}"), "1"))
            .map_err(|error| format!("no router: {error}"))?;
        XdpPlace::of(lab, ends, Generic)
    }

    /// As at first: nobody knows his neighbour.
    pub fn unknown(ends: [&str; 2]) -> Result<XdpPlace, String> {
        XdpPlace::of(Lab::new(2, PAIR)?, ends, Generic)
    }

    pub fn config(&self, bind: SocketAddr, queue: u32) -> Config {
        Config {
            frames: FRAMES,
            receive_buffers: RECEIVE_BUFFERS,
            receive_ring: RING,
            send_ring: FRAMES,
            ..Config::new(bind, queue as u8, &self.interfaces[self.end_of(bind)])
        }
    }

    /// Gives the interfaces so many queues to receive by and to send by. None may receive by fewer than its peer
    /// sends by.
    #[expect(unsafe_code, reason = "ioctl(SIOCETHTOOL) has no safe wrapper")]
    pub fn set_queues(&self, receive: u32, send: u32) -> io::Result<()> {
        const SET_CHANNELS: u32 = 0x3d;
        for end in 0..self.ends.len() {
            // `struct ethtool_channels`: behind the command four bounds, which are not set, and four counts.
            let mut channels = [SET_CHANNELS, 0, 0, 0, 0, receive, send, 0, 0];
            let socket = self.lab.within(end, || UdpSocket::bind("127.0.0.1:0"))?;
            // SAFETY: it is numbers and a pointer, which may be null.
            let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
            for (to, from) in request.ifr_name.iter_mut().zip(b"lab") {
                *to = *from as libc::c_char;
            }
            request.ifr_ifru.ifru_data = (&raw mut channels).cast();
            // SAFETY: the kernel reads and writes `request`, and as much of `channels` as the command says.
            let result =
                unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
            if result < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    }

    fn end_of(&self, address: SocketAddr) -> usize {
        usize::from(address.ip() == self.ends[1])
    }

    /// Why there is no such driver.
    pub fn refused(&self, config: &Config) -> String {
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
    pub fn open(&mut self, options: Options) -> Result<(), String> {
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
        let interface = &self.interfaces[end];
        let driver = self.lab.within(end, || started(|| Xdp::start(interface, &config)));
        self.queues.insert(driver.address(), queue);
        driver
    }

    fn posted_max(&self) -> usize {
        RING
    }
}

/// Runs `test` with a place, if there can be one.
pub fn with(place: Result<XdpPlace, String>, test: impl FnOnce(&mut XdpPlace)) {
    if let Some(mut place) = required("xdp", place) {
        test(&mut place);
    }
}

/// Longer than what was found out about a peer holds.
pub fn forget() {
    pass(11);
}

/// How many frames a driver sent and received by its ring, and how many not.
pub fn ways<D: Driver>(peer: &Peer<D>) -> [u64; 2] {
    let counters = peer.driver.counters();
    [counters.sent + counters.received - counters.aside, counters.aside]
}
