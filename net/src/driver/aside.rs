//! A kernel driver beside one that goes past the kernel: it has the port, and takes what cannot go the other way.
//!
//! A look at its sockets costs a tenth of a message's way and more, so while nothing comes or goes by it, it is looked
//! at only now and then.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::RawFd;

use super::kernel::{self, Kernel};
use super::{Counters, Driver, DriverError, Outgoing, Received};
use crate::pool::Pool;

/// How often it is looked at while all goes the other way, in nanoseconds.
const APART_NS: u64 = 20_000;

/// It is looked at by each call this long after something came or went by it, in nanoseconds.
const WARM_NS: u64 = 100_000;

/// What it receives into, 64 KiB each.
const BUFFERS: usize = 64;

pub(super) struct Aside {
    kernel: Kernel,
    /// For one call: what leaves by it.
    queue: VecDeque<Outgoing>,
    /// Frames that went by it, both ways.
    count: u64,
    look_at: u64,
    warm_until: u64,
}

impl Aside {
    /// For who never has more than `frames` to send at once.
    /// # Errors
    /// As [`Kernel::start`].
    pub(super) fn start(bind: SocketAddr, frames: usize) -> Result<Aside, DriverError> {
        let config =
            kernel::Config { frames: 1, receive_buffers: BUFFERS, ..kernel::Config::new(bind) };
        Ok(Aside {
            kernel: Kernel::start(&config)?,
            queue: VecDeque::with_capacity(frames),
            count: 0,
            look_at: 0,
            warm_until: 0,
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.kernel.address()
    }

    /// Of its own frames, which are those received.
    pub(super) fn receive_pool(&self) -> &Pool {
        self.kernel.receive_pool()
    }

    pub(super) fn mode(&self) -> String {
        self.kernel.mode()
    }

    pub(super) fn counters(&self) -> Counters {
        Counters { aside: self.count, ..self.kernel.counters() }
    }

    /// Takes a frame that is to leave by it, with the next [`Aside::transmit`].
    pub(super) fn put(&mut self, out: Option<Outgoing>) {
        self.queue.extend(out);
    }

    /// Has the kernel send what was put; what it did not take waits in `frames`, with the others.
    pub(super) fn transmit(&mut self, now: u64, frames: &mut VecDeque<Outgoing>) {
        if self.queue.is_empty() {
            return;
        }
        let count = self.queue.len();
        self.kernel.transmit(now, &mut self.queue);
        self.count += (count - self.queue.len()) as u64;
        while let Some(out) = self.queue.pop_back() {
            frames.push_front(out);
        }
        self.warm(now);
    }

    /// As [`Driver::receive`], when it is time.
    pub(super) fn receive(&mut self, now: u64, limit: usize, into: &mut Vec<Received>) -> usize {
        if now < self.look_at || limit == 0 {
            return 0;
        }
        let count = self.kernel.receive(now, limit, into);
        self.count += count as u64;
        if count > 0 {
            self.warm(now);
        } else if now >= self.warm_until {
            self.look_at = now + APART_NS;
        }
        count
    }

    /// As [`Driver::descriptors`].
    pub(super) fn descriptors(&mut self, into: &mut Vec<RawFd>) {
        self.kernel.descriptors(into);
        self.look_at = 0;
    }

    fn warm(&mut self, now: u64) {
        self.warm_until = now + WARM_NS;
        self.look_at = now;
    }
}
