//! Where DPDK drivers are started: ports made of rings, in this process, and a switch between them. As anybody, without
//! huge pages.
//!
//! Tests of DPDK take turns: a process has 32 ports.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use daedal_net::driver::dpdk::{Config, Dpdk, Port};
use daedal_net::driver::{Driver, Outgoing, Received};
use daedal_net::leave_to;

use crate::places::{FRAMES, Place, RECEIVE_BUFFERS};
use crate::required;

pub mod behaviour;
mod refused;
mod switch;

use switch::Switch;

/// Behind each device: the same for all, as a process has one DPDK.
pub const EAL: &str = "--no-huge -m 512";

/// Whether DPDK runs, or why not.
fn runs() -> Result<(), String> {
    static RUNS: OnceLock<Result<(), String>> = OnceLock::new();
    let run = || {
        let options = format!("net_null0 {EAL}").parse().unwrap();
        let port = Port::open([10, 0, 0, 1].into(), options, 1, 1);
        port.map(drop).map_err(|error| error.to_string())
    };
    RUNS.get_or_init(run).clone()
}

/// Drivers of one network, each with an address and a port of its own, that see each other by a switch.
pub struct DpdkPlace {
    /// Before the switch, whose ends they have.
    pub ports: BTreeMap<IpAddr, Arc<Port>>,
    pub switch: Rc<RefCell<Switch>>,
    is_v4: bool,
    knows: bool,
    _turn: MutexGuard<'static, ()>,
}

impl DpdkPlace {
    pub fn v4() -> Result<DpdkPlace, String> {
        DpdkPlace::new(true, true)
    }

    pub fn v6() -> Result<DpdkPlace, String> {
        DpdkPlace::new(false, true)
    }

    /// `knows`: everybody is told where his neighbours are.
    pub fn new(is_v4: bool, knows: bool) -> Result<DpdkPlace, String> {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(|it| it.into_inner());
        runs()?;
        let switch = Rc::new(RefCell::new(Switch::new(is_v4)));
        Ok(DpdkPlace { ports: BTreeMap::new(), switch, is_v4, knows, _turn: turn })
    }

    /// The address of a host.
    pub fn ip(&self, host: u8) -> IpAddr {
        match self.is_v4 {
            true => [10, 0, 0, host].into(),
            false => [0xfd00, 0, 0, 0, 0, 0, 0, host.into()].into(),
        }
    }

    /// A port of so many queues.
    pub fn port(&mut self, ip: IpAddr, queues: u8) -> Arc<Port> {
        if let Some(port) = self.ports.get(&ip) {
            return port.clone();
        }
        let device = self.switch.borrow_mut().plug(self.mac(ip), queues.into());
        let mut options = device;
        for host in (1..=16).filter(|_| self.knows) {
            let [a, b, c, d, e, f] = self.mac(self.ip(host));
            let ip = self.ip(host);
            let mac = format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
            write!(options, " neighbour={ip}@{mac}").unwrap();
        }
        let options = format!("{options} {EAL}").parse().unwrap();
        let port = Port::open(ip, options, queues, RECEIVE_BUFFERS).unwrap();
        self.ports.insert(ip, port.clone());
        port
    }

    /// As ports of rings have none, theirs is made up of the address.
    pub fn mac(&self, ip: IpAddr) -> [u8; 6] {
        let end = match ip {
            IpAddr::V4(ip) => ip.octets(),
            IpAddr::V6(ip) => *ip.octets().last_chunk().unwrap(),
        };
        [2, 0, end[0], end[1], end[2], end[3]]
    }

    pub fn start_at(&mut self, port: &Arc<Port>, bind: SocketAddr, queue: u8) -> Switched {
        let config = Config { frames: FRAMES, ..Config::new(bind, queue, port) };
        let driver = Dpdk::start(port, &config).unwrap();
        Switched { driver, switch: self.switch.clone() }
    }
}

impl Place for DpdkPlace {
    type D = Switched;

    fn start(&mut self, address: Option<SocketAddr>) -> Switched {
        let next = SocketAddr::new(self.ip(self.ports.len() as u8 + 1), 0);
        let bind = address.unwrap_or(next);
        let port = self.port(bind.ip(), 1);
        self.start_at(&port, bind, 0)
    }

    /// Those that are posted are in no pool of ours.
    fn posted_max(&self) -> usize {
        0
    }
}

/// Runs `test` with a place, if there can be one.
pub fn with(place: Result<DpdkPlace, String>, test: impl FnOnce(&mut DpdkPlace)) {
    if let Some(mut place) = required("dpdk", place) {
        test(&mut place);
    }
}

/// A driver whose network works when it is looked at.
#[derive(Debug)]
pub struct Switched {
    pub driver: Dpdk,
    switch: Rc<RefCell<Switch>>,
}

impl Driver for Switched {
    leave_to!(driver: pool, receive_pool, reclaim, address, payload_bytes_max, descriptors, counters, mode);

    fn receive(&mut self, now: u64, limit: usize, into: &mut Vec<Received>) -> usize {
        self.switch.borrow_mut().pump();
        self.driver.receive(now, limit, into)
    }

    fn transmit(&mut self, now: u64, frames: &mut VecDeque<Outgoing>) {
        self.driver.transmit(now, frames);
        self.switch.borrow_mut().pump();
    }
}
