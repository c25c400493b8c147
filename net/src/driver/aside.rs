//! What stands beside a driver that goes a faster way: it has the port, and takes what cannot go that way.
//!
//! Mostly it is a kernel driver. A look at its sockets costs a tenth of a message's way and more, so while nothing comes
//! or goes by it, it is looked at only now and then.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::RawFd;

use super::kernel::{self, Kernel};
use super::xdp::Xdp;
use super::{Counters, Driver, Outgoing, Received};
use crate::pool::Pool;

/// It is looked at by each call this long after something came or went by it, in nanoseconds.
const WARM_NS: u64 = 100_000;

/// What a kernel driver receives into, 64 KiB each.
const BUFFERS: usize = 64;

/// A driver that reaches everybody, and may stand beside one that does not.
pub trait Beside: Driver {
    /// How often it is looked at while all goes the other way, in nanoseconds.
    const APART_NS: u64;

    /// How many frames went by the kernel, both ways.
    fn by_kernel(&self) -> u64;
}

impl Beside for Kernel {
    const APART_NS: u64 = 20_000;

    fn by_kernel(&self) -> u64 {
        let Counters { received, sent, .. } = self.counters();
        received + sent
    }
}

/// Whose rings cost next to nothing to look at.
impl Beside for Xdp {
    const APART_NS: u64 = 0;

    fn by_kernel(&self) -> u64 {
        self.counters().aside
    }
}

/// What a kernel driver that stands beside another is started with.
pub(super) fn of_kernel(bind: SocketAddr, frames: usize) -> kernel::Config {
    kernel::Config { frames, receive_buffers: BUFFERS, ..kernel::Config::new(bind) }
}

pub(super) struct Aside<B> {
    driver: B,
    /// For one call: what leaves by it.
    queue: VecDeque<Outgoing>,
    look_at: u64,
    warm_until: u64,
}

impl<B: Beside> Aside<B> {
    /// For who never has more than `frames` to send at once.
    pub(super) fn new(driver: B, frames: usize) -> Aside<B> {
        Aside { driver, queue: VecDeque::with_capacity(frames), look_at: 0, warm_until: 0 }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.driver.address()
    }

    pub(super) fn pool(&self) -> &Pool {
        self.driver.pool()
    }

    /// Of its own frames, which are those received.
    pub(super) fn receive_pool(&self) -> &Pool {
        self.driver.receive_pool()
    }

    pub(super) fn mode(&self) -> String {
        self.driver.mode()
    }

    pub(super) fn counters(&self) -> Counters {
        Counters { aside: self.driver.by_kernel(), ..self.driver.counters() }
    }

    /// Takes a frame that is to leave by it, with the next [`Aside::transmit`].
    pub(super) fn put(&mut self, out: Option<Outgoing>) {
        self.queue.extend(out);
    }

    /// Has it send what was put; what it did not take waits in `frames`, with the others.
    pub(super) fn transmit(&mut self, now: u64, frames: &mut VecDeque<Outgoing>) {
        if !self.queue.is_empty() {
            self.warm(now);
        }
        self.driver.transmit(now, &mut self.queue);
        while let Some(out) = self.queue.pop_back() {
            frames.push_front(out);
        }
    }

    /// As [`Driver::receive`], when it is time.
    pub(super) fn receive(&mut self, now: u64, limit: usize, into: &mut Vec<Received>) -> usize {
        if now < self.look_at || limit == 0 {
            return 0;
        }
        let count = self.driver.receive(now, limit, into);
        if count > 0 {
            self.warm(now);
        } else if now >= self.warm_until {
            self.look_at = now + B::APART_NS;
        }
        count
    }

    /// As [`Driver::reclaim`].
    pub(super) fn reclaim(&mut self) {
        self.driver.reclaim();
    }

    /// As [`Driver::descriptors`].
    pub(super) fn descriptors(&mut self, into: &mut Vec<RawFd>) {
        self.driver.descriptors(into);
        self.look_at = 0;
    }

    fn warm(&mut self, now: u64) {
        self.warm_until = now + WARM_NS;
        self.look_at = now;
    }
}
