//! Frames in memory and virtual time, for the simulator: a network that a policy rules, and drivers
//! on it that behave as a NIC would.
//!
//! What is lost, late, doubled or cut off is the policy's decision; nothing here draws a random number
//! or reads a clock. Like a NIC, a driver copies what arrives into its own pool, and goes on reading a
//! sent frame until it is *completed*, some time after `transmit`.
//!
//! Invariants: datagrams are handed out in the order (arrival time, order of sending); a frame that a
//! driver holds has the bytes that it had when it was given.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;

use super::{Counters, Driver, DriverError, Outgoing, Received, is_whole};
use crate::frame::Frame;
use crate::pool::Pool;

/// Datagrams on the way to one address: more than any window of links, so that only a flood meets it.
pub const IN_FLIGHT_MAX: usize = 65_536;

/// A datagram that is being sent, as the policy sees it.
#[derive(Clone, Copy, Debug)]
pub struct Flight<'a> {
    /// Who sends it.
    pub from: SocketAddr,
    /// Where it goes.
    pub to: SocketAddr,
    /// Its payload.
    pub bytes: &'a [u8],
    /// When it is sent, in nanoseconds since 1970.
    pub now: u64,
}

type Policy = Box<dyn FnMut(&Flight<'_>, &mut Vec<u64>)>;

/// The network that simulated drivers share. Cloning makes another handle on the same network.
#[derive(Clone)]
pub struct SimNetwork(Rc<RefCell<Network>>);

struct Network {
    policy: Policy,
    inboxes: BTreeMap<SocketAddr, Inbox>,
    /// Datagrams delivered so far: decides among equal arrival times.
    order: u64,
    overflowed: u64,
    arrivals: Vec<u64>,
}

#[derive(Default)]
struct Inbox {
    bound: bool,
    datagrams: BTreeMap<(u64, u64), Datagram>,
}

struct Datagram {
    from: SocketAddr,
    bytes: Rc<[u8]>,
}

impl SimNetwork {
    /// A network that asks `policy`, of each datagram, at which times it arrives: it appends none
    /// (lost), one, or several (doubled). The policy must not touch the network.
    pub fn new(policy: impl FnMut(&Flight<'_>, &mut Vec<u64>) + 'static) -> SimNetwork {
        SimNetwork(Rc::new(RefCell::new(Network {
            policy: Box::new(policy),
            inboxes: BTreeMap::new(),
            order: 0,
            overflowed: 0,
            arrivals: Vec::new(),
        })))
    }

    /// A network that loses nothing and takes `latency_ns` for everything.
    pub fn perfect(latency_ns: u64) -> SimNetwork {
        SimNetwork::new(move |flight, arrivals| arrivals.push(flight.now + latency_ns))
    }

    /// When the next datagram arrives at `address`: when its box has to be run. `None` when none is
    /// on its way.
    pub fn next_arrival(&self, address: SocketAddr) -> Option<u64> {
        let network = self.0.borrow();
        network.inboxes.get(&address)?.datagrams.first_key_value().map(|(&(at, _), _)| at)
    }

    /// Deliveries that were lost because [`IN_FLIGHT_MAX`] were on their way to that address.
    pub fn overflowed(&self) -> u64 {
        self.0.borrow().overflowed
    }
}

impl fmt::Debug for SimNetwork {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SimNetwork({} addresses)", self.0.borrow().inboxes.len())
    }
}

impl Network {
    /// Takes the address for a driver. What arrived there before `now` found nobody, and is lost.
    fn bind(&mut self, address: SocketAddr, now: u64) -> Result<(), DriverError> {
        let inbox = self.inboxes.entry(address).or_default();
        if inbox.bound {
            return Err(DriverError::PortTaken { address });
        }
        inbox.bound = true;
        inbox.datagrams = inbox.datagrams.split_off(&(now, 0));
        Ok(())
    }

    fn unbind(&mut self, address: SocketAddr) {
        if let Some(inbox) = self.inboxes.get_mut(&address) {
            inbox.bound = false;
        }
    }

    fn send(&mut self, flight: &Flight<'_>, bytes: &Rc<[u8]>) {
        (self.policy)(flight, &mut self.arrivals);
        let inbox = self.inboxes.entry(flight.to).or_default();
        for at in self.arrivals.drain(..) {
            if inbox.datagrams.len() == IN_FLIGHT_MAX {
                self.overflowed += 1;
                continue;
            }
            let datagram = Datagram { from: flight.from, bytes: bytes.clone() };
            inbox.datagrams.insert((at.max(flight.now), self.order), datagram);
            self.order += 1;
        }
    }

    fn pop(&mut self, address: SocketAddr, now: u64) -> Option<Datagram> {
        let first = self.inboxes.get_mut(&address)?.datagrams.first_entry()?;
        let (at, _) = *first.key();
        (at <= now).then(|| first.remove())
    }
}

/// What a simulated driver is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its address in the network.
    pub address: SocketAddr,
    /// Frames for sending.
    pub frames: usize,
    /// Buffers for receiving.
    pub receive_buffers: usize,
    /// Largest datagram payload, in bytes; a multiple of 16.
    pub payload_bytes_max: usize,
    /// Sent frames that it holds before it takes no more: the length of a NIC's ring.
    pub held_max: usize,
    /// How long it goes on reading a sent frame, in nanoseconds.
    pub completion_delay_ns: u64,
}

impl Config {
    /// The defaults: 1,024 frames and buffers of 1,472 bytes, a ring of 512, completion after 2 µs.
    pub fn new(address: SocketAddr) -> Config {
        Config {
            address,
            frames: 1024,
            receive_buffers: 1024,
            payload_bytes_max: super::kernel::PAYLOAD_BYTES_MAX_V4,
            held_max: 512,
            completion_delay_ns: 2_000,
        }
    }
}

/// A driver on a [`SimNetwork`]. Dropping it frees its address; what is on its way stays on its way.
pub struct SimDriver {
    network: SimNetwork,
    config: Config,
    pool: Pool,
    receive_pool: Pool,
    held: VecDeque<Held>,
    now: u64,
    counters: Counters,
}

/// A sent frame that the driver still reads, and what it has to read.
struct Held {
    out: Outgoing,
    bytes: Rc<[u8]>,
    completed_at: u64,
}

impl SimDriver {
    /// Joins `network` at `now`, in nanoseconds since 1970.
    /// # Errors
    /// [`DriverError::PortTaken`] when another driver has the address.
    pub fn start(network: &SimNetwork, config: Config, now: u64) -> Result<SimDriver, DriverError> {
        network.0.borrow_mut().bind(config.address, now)?;
        Ok(SimDriver {
            network: network.clone(),
            pool: Pool::new(config.frames, config.payload_bytes_max),
            receive_pool: Pool::new(config.receive_buffers, config.payload_bytes_max),
            held: VecDeque::with_capacity(config.held_max),
            now,
            counters: Counters::default(),
            config,
        })
    }

    /// When this driver next has something to do: an arrival, or a completion.
    pub fn next_event(&self) -> Option<u64> {
        let arrival = self.network.next_arrival(self.config.address);
        let completion = self.held.front().map(|held| held.completed_at);
        arrival.into_iter().chain(completion).min()
    }

    /// Lets go of the frames that are completed by `now`.
    /// # Panics
    /// When one of them was written while this driver held it.
    fn complete(&mut self, now: u64) {
        self.now = self.now.max(now);
        while self.held.front().is_some_and(|held| held.completed_at <= self.now) {
            let Some(Held { out: Outgoing { frame, to }, bytes, .. }) = self.held.pop_front()
            else {
                return;
            };
            let from = self.config.address;
            assert!(frame[..] == bytes[..], "a frame {from} -> {to} was written before completion");
        }
    }
}

impl Driver for SimDriver {
    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn receive_pool(&self) -> &Pool {
        &self.receive_pool
    }

    fn receive(&mut self, now: u64, limit: usize, into: &mut Vec<Received>) -> usize {
        self.complete(now);
        let mut count = 0;
        while count < limit {
            let Some(frame) = self.receive_pool.take() else {
                self.counters.starved += 1;
                break;
            };
            let datagram = self.network.0.borrow_mut().pop(self.config.address, self.now);
            let Some(datagram) = datagram else { break };
            match store(frame, &datagram) {
                Some(received) => {
                    into.push(received);
                    count += 1;
                }
                None => self.counters.malformed += 1,
            }
        }
        self.counters.received += count as u64;
        count
    }

    fn transmit(&mut self, now: u64, frames: &mut VecDeque<Outgoing>) {
        self.complete(now);
        while self.held.len() < self.config.held_max {
            let Some(out) = frames.pop_front() else { break };
            if out.frame.len() > self.config.payload_bytes_max {
                self.counters.refused += 1;
                continue;
            }
            let bytes: Rc<[u8]> = Rc::from(&out.frame[..]);
            let from = self.config.address;
            let flight = Flight { from, to: out.to, bytes: &bytes, now: self.now };
            self.network.0.borrow_mut().send(&flight, &bytes);
            self.counters.sent += 1;
            let completed_at = self.now + self.config.completion_delay_ns;
            self.held.push_back(Held { out, bytes, completed_at });
        }
    }

    fn reclaim(&mut self) {
        self.complete(self.now);
    }

    fn address(&self) -> SocketAddr {
        self.config.address
    }

    fn payload_bytes_max(&self) -> usize {
        self.config.payload_bytes_max
    }

    fn counters(&self) -> Counters {
        self.counters
    }

    fn mode(&self) -> String {
        "sim".to_owned()
    }
}

/// Copies a datagram into a buffer, as a NIC's DMA would. `None` when it has no size that links send.
fn store(mut frame: Frame, datagram: &Datagram) -> Option<Received> {
    let bytes = datagram.bytes.len();
    if !is_whole(bytes) || bytes > frame.len() {
        return None;
    }
    frame.truncate(bytes);
    frame.bytes_mut()?.copy_from_slice(&datagram.bytes);
    Some(Received { frame, from: datagram.from })
}

impl Drop for SimDriver {
    fn drop(&mut self) {
        self.network.0.borrow_mut().unbind(self.config.address);
    }
}

impl fmt::Debug for SimDriver {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SimDriver({}, {} held)", self.config.address, self.held.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    fn start(network: &SimNetwork, port: u16, now: u64) -> SimDriver {
        SimDriver::start(network, Config::new(address(port)), now).unwrap()
    }

    fn send(driver: &mut SimDriver, to: u16, fill: u8, now: u64) {
        let mut frame = driver.pool().take().unwrap();
        frame.truncate(16);
        frame.bytes_mut().unwrap().fill(fill);
        driver.transmit(now, &mut VecDeque::from([Outgoing { frame, to: address(to) }]));
    }

    fn received(driver: &mut SimDriver, now: u64) -> Vec<u8> {
        let mut into = Vec::new();
        driver.receive(now, 100, &mut into);
        into.iter().map(|received| received.frame[0]).collect()
    }

    #[test]
    fn the_policy_loses_doubles_delays_and_reorders() {
        let network = SimNetwork::new(|flight, arrivals| match flight.bytes[0] {
            1 => arrivals.push(flight.now + 30),
            2 => arrivals.extend([flight.now + 20, flight.now + 40]),
            3 => {}
            _ => arrivals.push(flight.now + 20),
        });
        let (mut a, mut b) = (start(&network, 1, 0), start(&network, 2, 0));
        for fill in 1..=4 {
            send(&mut a, 2, fill, 100);
        }
        assert_eq!(network.next_arrival(address(2)), Some(120));
        assert_eq!(received(&mut b, 119), []);
        assert_eq!(received(&mut b, 120), [2, 4]);
        assert_eq!(received(&mut b, 200), [1, 2]);
        assert_eq!(b.next_event(), None);
    }

    #[test]
    fn a_sent_frame_is_held_until_its_completion() {
        let network = SimNetwork::perfect(1);
        let mut a = start(&network, 1, 0);
        let free = a.pool().frames_free();
        send(&mut a, 2, 7, 1_000);
        assert_eq!(a.next_event(), Some(3_000));
        a.transmit(2_999, &mut VecDeque::new());
        assert_eq!(a.pool().frames_free(), free - 1);
        a.transmit(3_000, &mut VecDeque::new());
        assert_eq!(a.pool().frames_free(), free);
    }

    #[test]
    #[should_panic(expected = "was written before completion")]
    fn a_frame_written_before_its_completion_is_found() {
        let network = SimNetwork::perfect(1);
        let mut a = start(&network, 1, 0);
        send(&mut a, 2, 7, 0);
        // The type forbids writing it, so the driver is made to remember other bytes.
        a.held[0].bytes = Rc::from([8; 16]);
        a.transmit(10_000, &mut VecDeque::new());
    }

    #[test]
    fn a_full_ring_leaves_frames_with_the_caller() {
        let network = SimNetwork::perfect(1);
        let config = Config { held_max: 2, ..Config::new(address(1)) };
        let mut a = SimDriver::start(&network, config, 0).unwrap();
        let take = |_| {
            let mut frame = a.pool().take().unwrap();
            frame.truncate(64);
            Outgoing { frame, to: address(2) }
        };
        let mut frames: VecDeque<_> = (0..5).map(take).collect();
        a.transmit(0, &mut frames);
        assert_eq!(frames.len(), 3);
        a.transmit(2_000, &mut frames);
        assert_eq!(frames.len(), 1);
    }

    #[test]
    fn what_arrives_while_nobody_is_bound_is_lost_and_what_arrives_later_is_not() {
        let network = SimNetwork::perfect(10);
        let (mut a, b) = (start(&network, 1, 0), start(&network, 2, 0));
        drop(b);
        send(&mut a, 2, 1, 0);
        send(&mut a, 2, 2, 50);
        let mut b = start(&network, 2, 20);
        assert!(SimDriver::start(&network, Config::new(address(2)), 20).is_err());
        assert_eq!(received(&mut b, 100), [2]);
    }
}
