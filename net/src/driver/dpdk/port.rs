//! A port of DPDK's, by which all reactors of a box send and receive, a queue each: opened, prepared, started, and at
//! the end stopped, and closed if it was made for us.
//!
//! What all of them need of it stands here: its address and neighbours, which UDP port is whose, and a ring by which
//! each gets what came by another's queue. The card spreads what comes by its own lights, so that this is the common
//! case with many reactors; a frame crosses as it is.

#![expect(unsafe_code, reason = "foreign functions")]

use std::ffi::{CStr, CString};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use dpdk_sys::Mbuf;

use super::eal::{self, Held};
use super::error::{Problem, called, error, last};
use super::gate::{self, Inside};
use super::mbuf::{Mempool, sweep};
use super::neighbours::Neighbours;
use super::options::{Options, Parts, name};
use super::socket;
use crate::driver::DriverError;
use crate::driver::headers::{Checksums, Mac};

/// Entries of a queue's rings, where the port has no wish of its own: two bursts of a link's credit.
const ENTRIES: u16 = 1024;
/// Frames that wait for a reactor by whose queue they did not come.
const CROSSING_ENTRIES: u32 = 1024;
/// Ports for who takes any: RFC 6335's dynamic ones.
const ANY_PORT: std::ops::RangeInclusive<u16> = 49_152..=65_535;

/// A ring of DPDK's, into which any reactor puts, and from which one takes.
pub(super) struct Ring(NonNull<dpdk_sys::Ring>);

// SAFETY: many may put at once; who takes is the one who has the queue.
unsafe impl Send for Ring {}
// SAFETY: as above.
unsafe impl Sync for Ring {}

impl Ring {
    fn new(socket: i32) -> Result<Ring, Problem> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = CString::new(format!("daedal-ring{number}")).expect("it has no zero byte");
        // SAFETY: DPDK runs, and copies the name.
        let ring = unsafe { dpdk_sys::daedal_ring(name.as_ptr(), CROSSING_ENTRIES, socket) };
        let none = || Problem::Call { what: "rte_ring_create", source: last().0 };
        NonNull::new(ring).map(Ring).ok_or_else(none)
    }

    pub(super) fn pointer(&self) -> *mut dpdk_sys::Ring {
        self.0.as_ptr()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: nobody else has it, as it goes here.
        unsafe { dpdk_sys::rte_ring_free(self.pointer()) };
    }
}

/// A queue, each way.
pub(super) struct Queue {
    /// What comes by it lies in these.
    pub mempool: Arc<Mempool>,
    /// What came for its reactor by another's.
    pub crossing: Ring,
    /// The UDP port of its reactor; 0: nobody has the queue.
    port: AtomicU16,
    /// Of a memif's.
    inside: Option<Inside>,
}

/// A port that runs. All reactors of a box have it together.
pub struct Port {
    pub(super) id: u16,
    pub(super) ip: IpAddr,
    pub(super) mac: Mac,
    pub(super) mtu: usize,
    pub(super) prefix: u8,
    pub(super) gateway: Option<IpAddr>,
    pub(super) socket: i32,
    pub(super) queues: Box<[Queue]>,
    pub(super) receive_buffers: usize,
    /// Entries of a queue's rings, to receive and to send: what the port takes, as near to ours as it does.
    entries: [u16; 2],
    /// The checksums of what is sent that it makes.
    pub(super) makes: Checksums,
    /// The checksums of what comes that it looks at.
    checks: Checksums,
    /// How often somebody was found where he was not known to be.
    pub(super) news: AtomicU64,
    /// Whether there was somebody at the other end when it was looked last.
    was_up: AtomicBool,
    /// There was somebody, and there will be nobody again.
    is_gone: AtomicBool,
    neighbours: Mutex<Neighbours>,
    device: &'static str,
    /// Whether it goes to where another listens, and not again when that one is gone.
    goes_once: bool,
    driver: String,
    /// It was made for us, and goes with us.
    is_ours: bool,
}

impl Port {
    /// Has DPDK run and the device's port start, with a queue for each reactor. `receive_buffers`: what each reactor may
    /// have on loan of what came.
    /// # Errors
    /// [`DriverError::Dpdk`], with every [`Problem`].
    pub fn open(
        ip: IpAddr,
        options: Options,
        reactors: u8,
        receive_buffers: usize,
    ) -> Result<Arc<Port>, DriverError> {
        let parts = options.parts();
        let device = parts.device;
        let wrong = |problem| DriverError::Dpdk { address: ip, device: device.into(), problem };
        let open = || {
            let held = eal::started(&parts)?;
            Port::open_held(&held, ip, &parts, reactors.max(1), receive_buffers)
        };
        open().map(Arc::new).map_err(|it| wrong(Box::new(it)))
    }

    fn open_held(
        held: &Held,
        ip: IpAddr,
        parts: &Parts,
        reactors: u8,
        receive_buffers: usize,
    ) -> Result<Port, Problem> {
        let (id, is_ours) = found(parts.device)?;
        let mut port = Port {
            id,
            ip,
            mac: Mac::default(),
            mtu: 0,
            prefix: parts.prefix.unwrap_or(if ip.is_ipv4() { 24 } else { 64 }),
            gateway: parts.gateway,
            socket: -1,
            queues: Box::default(),
            receive_buffers,
            entries: [ENTRIES; 2],
            makes: Checksums::NONE,
            checks: Checksums::NONE,
            news: AtomicU64::new(0),
            was_up: AtomicBool::new(false),
            is_gone: AtomicBool::new(false),
            neighbours: Mutex::new(Neighbours::new((ip, Mac::default()), Vec::new())),
            device: parts.device,
            goes_once: socket::goes_once(parts.whole()),
            driver: String::new(),
            is_ours,
        };
        held.opened();
        if let Err(problem) = port.prepare(parts, reactors.into()) {
            // DPDK is held already.
            port.close(held);
            std::mem::forget(port);
            return Err(problem);
        }
        Ok(port)
    }

    fn prepare(&mut self, parts: &Parts, reactors: u16) -> Result<(), Problem> {
        let mut told = dpdk_sys::Port {
            driver: [0; 64],
            mac: [0; 6],
            mtu: 0,
            receive_entries: ENTRIES,
            send_entries: ENTRIES,
            receive_queues_max: 0,
            send_queues_max: 0,
            socket: -1,
            checksums: 0,
        };
        // SAFETY: the port is there, and the place ours.
        let described = unsafe { dpdk_sys::daedal_port_describe(self.id, &raw mut told) };
        called("rte_eth_dev_info_get", described)?;
        (told.receive_entries, told.send_entries) = (ENTRIES, ENTRIES);
        // SAFETY: the shim left a zero at the end.
        let driver = unsafe { CStr::from_ptr(told.driver.as_ptr()) };
        self.driver = driver.to_string_lossy().into_owned();
        let has = told.receive_queues_max.min(told.send_queues_max);
        if has < reactors {
            return Err(Problem::TooFewQueues { has });
        }
        (self.mtu, self.socket) = (told.mtu.into(), told.socket);
        self.mac = parts.mac.unwrap_or(told.mac);
        if self.mac == Mac::default() {
            self.mac = made_up(self.ip);
        }
        let here = (self.ip, self.mac);
        self.neighbours = Mutex::new(Neighbours::new(here, parts.neighbours.clone()));
        if !self.ip.is_ipv4() {
            told.checksums &= !(dpdk_sys::MAKES_IP | dpdk_sys::CHECKS_IP);
        }
        let has =
            |ip, udp| Checksums { ip: told.checksums & ip != 0, udp: told.checksums & udp != 0 };
        self.makes = has(dpdk_sys::MAKES_IP, dpdk_sys::MAKES_UDP);
        self.checks = has(dpdk_sys::CHECKS_IP, dpdk_sys::CHECKS_UDP);
        // SAFETY: the port is there and stopped, and the place ours.
        let configured =
            unsafe { dpdk_sys::daedal_port_configure(self.id, reactors, &raw mut told) };
        called("rte_eth_dev_configure", configured)?;
        self.entries = [told.receive_entries, told.send_entries];
        self.queues = (0..reactors).map(|it| self.queue(it, &told)).collect::<Result<_, _>>()?;
        // SAFETY: the port is there, and all its queues are.
        called("rte_eth_dev_start", unsafe { dpdk_sys::rte_eth_dev_start(self.id) })?;
        if self.mac != told.mac {
            // SAFETY: the port is there. Some hear all in any case, and say that they know no such call.
            let _ = unsafe { dpdk_sys::rte_eth_promiscuous_enable(self.id) };
        } else if !self.ip.is_ipv4() {
            // SAFETY: as above.
            let _ = unsafe { dpdk_sys::rte_eth_allmulticast_enable(self.id) };
        }
        Ok(())
    }

    fn queue(&self, queue: u16, told: &dpdk_sys::Port) -> Result<Queue, Problem> {
        let count = usize::from(told.receive_entries) + self.receive_buffers;
        let what = "buffers to receive into";
        let mempool = Mempool::new(what, count + count / 2, self.ip.is_ipv4(), self.socket)?;
        // SAFETY: the port is there, configured, and stopped; the pool is kept as long as it may run.
        let set_up =
            unsafe { dpdk_sys::daedal_port_queue(self.id, queue, told, mempool.pointer()) };
        called("rte_eth_rx_queue_setup", set_up)?;
        let inside = self.is_memif().then(Inside::new).transpose()?;
        let (crossing, port) = (Ring::new(self.socket)?, AtomicU16::new(0));
        Ok(Queue { mempool, crossing, port, inside })
    }

    /// Entries of a queue's rings, to receive and to send.
    pub fn rings(&self) -> [u16; 2] {
        self.entries
    }

    /// Has a reactor have the queue, and a UDP port, or any: which.
    pub(super) fn take(&self, queue: u16, address: SocketAddr) -> Result<u16, DriverError> {
        // Who takes and who leaves is seen one at a time.
        let _neighbours = self.neighbours();
        let is_taken = |port| self.reactor_of(port).is_some();
        let port = match address.port() {
            0 => ANY_PORT.into_iter().find(|it| !is_taken(*it)).unwrap_or(0),
            port => port,
        };
        if is_taken(port) {
            return Err(DriverError::PortTaken { address });
        }
        let has = self.queues.len();
        let Some(it) = self.queues.get(usize::from(queue)) else {
            return Err(self.wrong(Problem::TooFewQueues { has: has as u16 }));
        };
        if it.port.load(Ordering::Relaxed) != 0 {
            return Err(self.wrong(Problem::Taken { what: format!("queue {queue}") }));
        }
        it.port.store(port, Ordering::Release);
        Ok(port)
    }

    /// The reverse.
    pub(super) fn leave(&self, queue: u16) {
        let _neighbours = self.neighbours();
        self.queues[usize::from(queue)].port.store(0, Ordering::Release);
    }

    fn reactor_of(&self, port: u16) -> Option<&Queue> {
        self.queues.iter().find(|it| it.port.load(Ordering::Acquire) == port)
    }

    /// Gives a frame to whose UDP port it is for: whether there was somebody who took it.
    pub(super) fn cross(&self, port: u16, mbuf: *mut Mbuf) -> bool {
        let Some(queue) = self.reactor_of(port).filter(|_| port != 0) else { return false };
        // SAFETY: the mbuf is the caller's to give, and the ring lives as long as this.
        unsafe { dpdk_sys::daedal_ring_put(queue.crossing.pointer(), mbuf) == 0 }
    }

    pub(super) fn neighbours(&self) -> MutexGuard<'_, Neighbours> {
        self.neighbours.lock().unwrap_or_else(|it| it.into_inner())
    }

    /// Whether there is somebody at the other end.
    pub(super) fn is_up(&self) -> bool {
        // SAFETY: the port is there.
        !self.is_gone.load(Ordering::Relaxed)
            && unsafe { dpdk_sys::daedal_port_is_up(self.id) != 0 }
    }

    fn is_memif(&self) -> bool {
        self.driver == "net_memif"
    }

    /// Begins a burst by that queue, which is this thread's: `false`, if it is not the time for it.
    #[inline]
    pub(super) fn enter(&self, queue: u16) -> bool {
        self.queues[usize::from(queue)].inside.as_ref().is_none_or(Inside::enter)
    }

    /// Begins one when it is the time.
    pub(super) fn await_entry(&self, queue: u16) {
        while !self.enter(queue) {
            std::thread::yield_now();
        }
    }

    /// Ends it.
    #[inline]
    pub(super) fn leave_burst(&self, queue: u16) {
        self.queues[usize::from(queue)].inside.iter().for_each(Inside::leave);
    }

    /// Has DPDK hear what its devices have to say, if it does so only where it is let, and says when that is to be
    /// done next. Not to be called in a burst.
    #[inline]
    pub(super) fn let_hear(&self, now: u64) -> u64 {
        if !self.is_memif() {
            return u64::MAX;
        }
        gate::open_once();
        now + if self.is_up() { gate::UP_NS } else { gate::DOWN_NS }
    }

    /// Whether what is sent is read by another core, from where it was written.
    pub(super) fn is_read_elsewhere(&self) -> bool {
        self.driver.starts_with("net_virtio")
    }

    /// Looks whether somebody is at the other end, and says so if it is news. Devices that listen take in who comes back
    /// when they are looked at.
    pub(super) fn watch(&self) {
        let (device, is_up) = (self.device, self.is_up());
        match (self.was_up.swap(is_up, Ordering::Relaxed), is_up) {
            (false, true) => tracing::info!(device, "a port is up"),
            (true, false) => self.say_down(),
            _ => {}
        }
    }

    fn say_down(&self) {
        let device = self.device;
        if !self.goes_once {
            return tracing::warn!(
                device,
                "a port is down: what is sent is lost until there is somebody at its other end"
            );
        }
        self.is_gone.store(true, Ordering::Relaxed);
        tracing::warn!(
            device,
            "a port is down: who was at its other end is gone, and DPDK has such a device go there once; start this box \
             again when somebody listens there, or have the device listen, so that others come to it"
        );
    }

    pub(super) fn wrong(&self, problem: Problem) -> DriverError {
        DriverError::Dpdk {
            address: self.ip,
            device: self.device.into(),
            problem: Box::new(problem),
        }
    }

    fn close(&mut self, held: &Held) {
        self.await_handshake();
        // SAFETY: the port is there; nobody has a queue of it. What it has still it lets go of.
        let _ = unsafe { dpdk_sys::rte_eth_dev_stop(self.id) };
        if self.is_ours {
            // SAFETY: as above, and it is stopped.
            let closed = unsafe { dpdk_sys::daedal_port_remove(self.id) };
            if closed < 0 {
                let error = error(closed);
                tracing::warn!(device = self.device, %error, "a port could not be closed");
            }
        }
        held.closed();
        self.queues = Box::default();
        sweep();
    }
}

impl Port {
    /// A thread of DPDK's shakes hands for a memif that has just gone to its server, and does not survive that the port is
    /// stopped meanwhile.
    #[expect(clippy::disallowed_methods, reason = "who ends may wait; that thread tells nobody")]
    fn await_handshake(&self) {
        const LOOKS_MAX: u32 = 100;
        let is_gone = self.is_gone.load(Ordering::Relaxed);
        let is_memif = self.is_memif() && self.goes_once && !is_gone;
        for _ in (0..LOOKS_MAX).take_while(|_| is_memif && !self.is_up()) {
            gate::open_once();
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The port of a device: one that there is, or else one that is made. Whether it was.
fn found(device: &'static str) -> Result<(u16, bool), Problem> {
    let text = |text: &str| CString::new(text).expect("options have no zero byte");
    let name = text(name(device));
    let mut id = 0;
    // SAFETY: DPDK runs, the text is terminated, and the place ours.
    let by_name =
        |id: &mut u16| unsafe { dpdk_sys::rte_eth_dev_get_port_by_name(name.as_ptr(), id) == 0 };
    if by_name(&mut id) {
        return Ok((id, false));
    }
    socket::make_room(device)?;
    let device = text(device);
    // SAFETY: as above.
    let probed = unsafe { dpdk_sys::rte_dev_probe(device.as_ptr()) };
    if probed < 0 {
        return Err(Problem::NoDevice { source: error(probed) });
    }
    if by_name(&mut id) {
        return Ok((id, true));
    }
    // A card's port may have another name than the card.
    // SAFETY: as above.
    let found = unsafe { dpdk_sys::daedal_port_of(device.as_ptr(), &raw mut id) };
    if found == 0 { Ok((id, true)) } else { Err(Problem::NoDevice { source: error(found) }) }
}

/// For a device that has none: one of those that nobody gives out, and that differs where the address does.
fn made_up(ip: IpAddr) -> Mac {
    let end = match ip {
        IpAddr::V4(ip) => ip.octets(),
        IpAddr::V6(ip) => *ip.octets().last_chunk().expect("16 are more than 4"),
    };
    [2, 0, end[0], end[1], end[2], end[3]]
}

impl Drop for Port {
    fn drop(&mut self) {
        self.close(&Held::again());
    }
}

impl fmt::Display for Port {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} by {}", name(self.device), self.driver)?;
        for (does, it) in [("makes", self.makes), ("checks", self.checks)] {
            let which = match (it.ip, it.udp) {
                (true, true) => "ip+udp",
                (true, false) => "ip",
                (false, true) => "udp",
                (false, false) => continue,
            };
            write!(out, ", {does} {which} checksums")?;
        }
        out.write_str(if self.is_up() { "" } else { ", down" })
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Port({self}, {})", self.ip)
    }
}
