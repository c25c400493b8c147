//! A driver under test with what its user has waiting, and the time of a test. Nothing here sleeps: what is awaited is
//! polled, a bounded number of times.

use std::cell::Cell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, RawFd};
use std::time::Duration;

use daedal_net::driver::{Driver, Outgoing, Received};
use rustix::event::{PollFd, PollFlags, poll};

pub use crate::filled::{assert_filled, fill};
use crate::places::{FRAMES, Place};

/// Waits of [`Peer::receive`], each of at most 50 ms.
const TRIES: usize = 100;

thread_local! {
    /// The time of this test, in nanoseconds.
    static NOW: Cell<u64> = const { Cell::new(0) };
}

/// Lets `periods` tenths of a second go by: what is idle grows old.
pub fn pass(periods: u64) {
    NOW.set(NOW.get() + periods * 100_000_000);
}

/// The next moment: later than the simulated network's latency and completion.
pub fn tick() -> u64 {
    NOW.set(NOW.get() + 5_000);
    NOW.get()
}

/// A driver, and what its user has waiting.
pub struct Peer<D> {
    pub driver: D,
    pub queue: VecDeque<Outgoing>,
    /// Receive buffers that the driver may keep posted.
    posted_max: usize,
}

impl<D: Driver> Peer<D> {
    pub fn start<P: Place<D = D>>(place: &mut P, address: Option<SocketAddr>) -> Peer<D> {
        let posted_max = place.posted_max();
        Peer { driver: place.start(address), queue: VecDeque::new(), posted_max }
    }

    pub fn of(driver: D) -> Peer<D> {
        Peer { driver, queue: VecDeque::new(), posted_max: 0 }
    }

    pub fn address(&self) -> SocketAddr {
        self.driver.address()
    }

    /// Queues a frame whose bytes are a function of `seed`. Whether there was a free one.
    pub fn queue(&mut self, to: SocketAddr, seed: u64, bytes: usize) -> bool {
        let Some(mut frame) = self.driver.pool().take() else { return false };
        frame.truncate(bytes);
        fill(seed, frame.bytes_mut().unwrap());
        self.queue.push_back(Outgoing { frame, to });
        true
    }

    pub fn transmit(&mut self) {
        self.driver.transmit(tick(), &mut self.queue);
    }

    /// Transmits until nothing waits and every frame was completed.
    pub fn flush(&mut self) {
        for _ in 0..TRIES {
            self.transmit();
            self.driver.reclaim();
            let pool = self.driver.pool();
            if self.queue.is_empty() && pool.frames_free() == pool.frames_count() {
                return;
            }
        }
        panic!("{} frames still wait, {:?}", self.queue.len(), self.driver.pool());
    }

    /// Receives until there are `want` frames, or nothing came for long.
    pub fn receive(&mut self, want: usize) -> Vec<Received> {
        let mut into = Vec::with_capacity(want);
        for _ in 0..TRIES {
            let now = tick();
            while into.len() < want {
                let limit = (want - into.len()).min(32);
                let before = into.len();
                let count = self.driver.receive(now, limit, &mut into);
                assert_eq!(into.len() - before, count);
                assert!(count <= limit);
                if count == 0 {
                    break;
                }
            }
            if into.len() == want {
                break;
            }
            self.wait();
        }
        into
    }

    /// Receives what there is, without waiting for more.
    pub fn receive_now(&mut self) -> Vec<Received> {
        let now = tick();
        let mut into = Vec::new();
        while self.driver.receive(now, 32, &mut into) > 0 {}
        into
    }

    /// Receives and gives back until nothing comes: how many frames.
    pub fn drain(&mut self) -> usize {
        let bursts = (0..10_000).map(|_| self.receive_now().len());
        bursts.take_while(|count| *count > 0).sum()
    }

    pub fn descriptors(&mut self) -> Vec<RawFd> {
        let mut descriptors = Vec::new();
        self.driver.descriptors(&mut descriptors);
        descriptors
    }

    /// Waits for what may come, not for long.
    pub fn wait(&mut self) {
        self.wait_at_most(Duration::from_millis(50));
    }

    /// Parks as a reactor does: whether it was woken. Who has nothing to park on is not.
    pub fn wait_at_most(&mut self, patience: Duration) -> bool {
        let descriptors = self.descriptors();
        if descriptors.is_empty() {
            return false;
        }
        let mut polled: Vec<_> = descriptors
            .iter()
            .map(|descriptor| {
                // SAFETY: the driver, which owns the descriptor, is borrowed.
                #[expect(unsafe_code, reason = "a raw descriptor has to be borrowed for poll")]
                let descriptor = unsafe { BorrowedFd::borrow_raw(*descriptor) };
                PollFd::from_borrowed_fd(descriptor, PollFlags::IN)
            })
            .collect();
        poll(&mut polled, Some(&patience.try_into().unwrap())).unwrap() > 0
    }

    /// Whatever was lost before: what `from` sends from now on arrives.
    pub fn assert_reached_by(&mut self, from: &mut Peer<D>) {
        const SEED: u64 = 1 << 40;
        self.drain();
        assert!(from.queue(self.address(), SEED, 64));
        from.flush();
        // The kernel may hand over, late, what was sent before.
        let mut arrived = (0..40 * FRAMES).map_while(|_| self.receive(1).pop());
        let last = arrived.find(|it| it.frame[..8] == SEED.to_le_bytes());
        assert_filled(&last.expect("it was sent last"), from.address(), SEED, 64);
    }

    pub fn assert_nothing_on_loan(&self) {
        let (send, receive) = (self.driver.pool(), self.driver.receive_pool());
        assert_eq!(send.frames_free(), send.frames_count());
        // A driver keeps some of the receive buffers posted.
        assert!(receive.frames_free() + self.posted_max >= receive.frames_count(), "{receive:?}");
    }
}

pub fn pair<P: Place>(place: &mut P) -> (Peer<P::D>, Peer<P::D>) {
    (Peer::start(place, None), Peer::start(place, None))
}
