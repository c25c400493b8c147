//! What one reactor takes from its queue, and from the ring of what came for it by another's, a burst at a time.

#![expect(unsafe_code, reason = "foreign functions")]

use dpdk_sys::Seen;

use super::mbuf::{BURST, Came};
use super::port::Port;

/// What came.
pub(super) struct Burst {
    seen: [Seen; BURST],
    count: usize,
}

impl Burst {
    pub(super) fn new() -> Burst {
        Burst { seen: [Seen::NONE; BURST], count: 0 }
    }

    /// Takes at most so many frames; those that were here are somebody's. How many of them came by another's queue.
    pub(super) fn take(&mut self, port: &Port, queue: u16, limit: usize) -> usize {
        let limit = limit.min(BURST) as u16;
        let into = self.seen.as_mut_ptr();
        let mut crossed = 0;
        if port.queues.len() > 1 {
            let ring = port.queues[usize::from(queue)].crossing.pointer();
            // SAFETY: there is room for `BURST`; who has the queue, and nobody else, takes from its ring.
            crossed = unsafe { dpdk_sys::daedal_ring_take(ring, into, limit) };
        }
        // SAFETY: fewer than `BURST` came.
        let into = unsafe { into.add(crossed.into()) };
        // SAFETY: there is room for the rest; the queue is this thread's, as its driver is.
        let came = unsafe { dpdk_sys::daedal_receive(port.id, queue, into, limit - crossed) };
        self.count = usize::from(crossed + came);
        crossed.into()
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// One of those that came, to be taken up once.
    pub(super) fn frame(&self, index: usize) -> Came {
        assert!(index < self.count);
        // SAFETY: the queue gave it to us.
        unsafe { Came::new(self.seen[index]) }
    }
}

/// Has the port let go of what it has sent.
pub(super) fn clean(port: &Port, queue: u16) {
    // SAFETY: the port is there, and the queue this thread's. Some PMDs know no such call, and let go by themselves.
    let _ = unsafe { dpdk_sys::rte_eth_tx_done_cleanup(port.id, queue, 0) };
}
