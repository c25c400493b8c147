//! Where drivers of each kind are started.

use std::fmt::Debug;
use std::io::Sink;
use std::net::{SocketAddr, UdpSocket};

use daedal_net::driver::fault::{Fault, Rates};
use daedal_net::driver::kernel::{self, Kernel};
use daedal_net::driver::pcap::Pcap;
use daedal_net::driver::sim::{self, SimDriver, SimNetwork};
use daedal_net::driver::{Driver, DriverError};

use crate::peer::tick;

pub const FRAMES: usize = 512;
pub const RECEIVE_BUFFERS: usize = 192;

/// How often a port is tried that another process may hold: far more often than it takes to run a program.
const STARTS: usize = 100_000;

/// A driver that starts. A program that another test is just starting has this process's sockets until it runs, so that
/// the port of a driver that ended a moment ago may be taken still.
pub fn started<D>(mut start: impl FnMut() -> Result<D, DriverError>) -> D {
    for _ in 0..STARTS {
        match start() {
            Err(DriverError::PortTaken { .. } | DriverError::NameTaken { .. }) => {
                std::thread::yield_now();
            }
            other => return other.unwrap(),
        }
    }
    start().unwrap()
}

/// Where drivers of one kind are started.
pub trait Place {
    type D: Driver + Debug;

    /// Starts a driver at `address`, or anywhere.
    fn start(&mut self, address: Option<SocketAddr>) -> Self::D;

    /// Receive buffers that such a driver may keep posted, of [`RECEIVE_BUFFERS`].
    fn posted_max(&self) -> usize {
        32
    }
}

pub struct KernelPlace {
    pub ip: &'static str,
    pub offload: bool,
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
        started(|| Kernel::start(&config))
    }
}

/// A wrapper that does nothing, around each driver of another place.
pub struct FaultPlace<P>(pub P);

impl<P: Place> Place for FaultPlace<P> {
    type D = Fault<P::D>;

    fn start(&mut self, address: Option<SocketAddr>) -> Fault<P::D> {
        Fault::new(self.0.start(address), Rates::default(), 1)
    }

    fn posted_max(&self) -> usize {
        self.0.posted_max()
    }
}

/// One that writes frames down, and throws away what it writes.
pub struct PcapPlace<P>(pub P);

impl<P: Place> Place for PcapPlace<P> {
    type D = Pcap<P::D, Sink>;

    fn start(&mut self, address: Option<SocketAddr>) -> Pcap<P::D, Sink> {
        Pcap::new(self.0.start(address), std::io::sink()).unwrap()
    }

    fn posted_max(&self) -> usize {
        self.0.posted_max()
    }
}

pub struct SimPlace {
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

pub fn v4() -> KernelPlace {
    KernelPlace { ip: "127.0.0.1", offload: true }
}

pub fn v6() -> KernelPlace {
    KernelPlace { ip: "::1", offload: true }
}

pub fn plain() -> KernelPlace {
    KernelPlace { ip: "127.0.0.1", offload: false }
}

pub fn sim() -> SimPlace {
    SimPlace { network: SimNetwork::perfect(1_000), ports: 0 }
}

pub fn has_ipv6() -> Result<(), String> {
    UdpSocket::bind("[::1]:0").map(drop).map_err(|error| format!("no IPv6 loopback: {error}"))
}
