//! What a driver owes: it moves whole frames in bursts, and says when it is done with one.
//!
//! A driver neither orders nor repeats; loss, duplication and reordering are the link's business. It is
//! owned by one reactor and is not shared.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::RawFd;

use crate::frame::Frame;
use crate::pool::Pool;

mod aside;
#[cfg(feature = "dpdk")]
pub mod dpdk;
pub mod error;
pub mod fault;
pub mod headers;
mod inner;
pub mod kernel;
mod kind;
pub mod neighbour;
pub mod pcap;
pub mod shm;
pub mod sim;
mod train;
pub mod xdp;

pub use aside::Beside;
pub use error::{DriverError, OR_BY_THE_KERNEL};
pub use kind::DriverKind;

/// Datagrams are padded to multiples of this, in bytes, so that the concatenation that UDP_GRO makes
/// of them keeps every message at a multiple of 16. What arrives otherwise was not sent by a link.
pub const DATAGRAM_ALIGN: usize = 16;

/// A frame that has arrived, and the address it came from.
#[derive(Debug)]
pub struct Received {
    /// The datagram's payload: starts with the link header.
    pub frame: Frame,
    /// Whom it claims to come from. Not authenticated.
    pub from: SocketAddr,
}

/// A frame to be sent.
#[derive(Debug)]
pub struct Outgoing {
    /// The datagram's payload. The driver drops this handle when it no longer needs the bytes: a frame
    /// that [`Frame::is_exclusive`] again was completed.
    pub frame: Frame,
    /// Where it goes.
    pub to: SocketAddr,
}

/// What a driver has counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames handed out by [`Driver::receive`].
    pub received: u64,
    /// Frames that the network took.
    pub sent: u64,
    /// Datagrams that were truncated or are not a multiple of [`DATAGRAM_ALIGN`], rings that a process of this host
    /// handed over and that are none, and, where no kernel is beside, what is no plain datagram or for no port that
    /// is ours: dropped.
    pub malformed: u64,
    /// Outgoing frames that the network refused (no route, filtered, too large; a peer of this host whose ring is
    /// full): dropped.
    pub refused: u64,
    /// Calls of [`Driver::receive`] that found no free buffer to receive into.
    pub starved: u64,
    /// Of the frames received and sent, those that went by the kernel beside a driver that goes past it, or that came
    /// by another reactor's queue.
    pub aside: u64,
    /// What the kernel counts of rings that are shared with it.
    pub rings: RingCounters,
    /// Frames that [`fault`] lost on purpose, both ways; the counts above are then those of the driver below it.
    pub faults_dropped: u64,
    /// Frames that [`fault`] doubled on purpose, both ways.
    pub faults_doubled: u64,
}

/// What the kernel counts of an AF_XDP socket (`XDP_STATISTICS`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingCounters {
    /// Frames dropped on receiving: too long for a buffer, for instance.
    pub receive_dropped: u64,
    /// Posted buffers that are none.
    pub receive_wrong: u64,
    /// Frames to be sent that are none.
    pub send_wrong: u64,
    /// Frames dropped because the ring for receiving was full.
    pub receive_full: u64,
    /// Frames dropped because no buffer was posted.
    pub fill_empty: u64,
    /// Times that the kernel found nothing to send.
    pub send_empty: u64,
}

/// Whether a datagram has a size that links send.
pub(crate) fn is_whole(bytes: usize) -> bool {
    bytes > 0 && bytes.is_multiple_of(DATAGRAM_ALIGN)
}

/// Moves frames. Poll-mode: no call blocks.
pub trait Driver {
    /// The pool that frames to be sent are taken from.
    fn pool(&self) -> &Pool;

    /// The pool that received frames lie in: who keeps them on loan for long empties it.
    fn receive_pool(&self) -> &Pool {
        self.pool()
    }

    /// Appends at most `limit` arrived frames to `into`, and returns how many. Not 0: there may be
    /// more; 0: a caller may park on [`Driver::descriptors`]. `now`: nanoseconds since 1970, for drivers
    /// that have no clock of their own.
    fn receive(&mut self, now: u64, limit: usize, into: &mut Vec<Received>) -> usize;

    /// Sends frames from the front of `frames`, removing those that it took. What stays (a full ring, a
    /// full socket buffer) is offered again next turn. A frame that the network refuses is dropped and
    /// counted, never an error: the link repeats it.
    fn transmit(&mut self, now: u64, frames: &mut VecDeque<Outgoing>);

    /// Asks for completions of frames that were sent but are still held: called when one of them is due to be
    /// sent again. Drivers that hold none need not do anything.
    fn reclaim(&mut self) {}

    /// The address that peers reach this driver at.
    fn address(&self) -> SocketAddr;

    /// Largest datagram payload, in bytes, that it carries. A multiple of 16.
    fn payload_bytes_max(&self) -> usize;

    /// Appends the descriptors of which one becomes readable when frames may have arrived, for parking:
    /// others after each turn. The next [`Driver::receive`] looks behind all of them.
    fn descriptors(&mut self, into: &mut Vec<RawFd>) {
        let _ = into;
    }

    /// What it has counted since it started.
    fn counters(&self) -> Counters;

    /// Name and mode, as shown by `daedal boxes`: `kernel (gso, gro)`.
    fn mode(&self) -> String;
}

/// One that is chosen at run time: wrappers around a driver are, as each kind of driver makes a turn of its
/// own.
impl Driver for Box<dyn Driver> {
    fn pool(&self) -> &Pool {
        (**self).pool()
    }

    fn receive_pool(&self) -> &Pool {
        (**self).receive_pool()
    }

    fn receive(&mut self, now: u64, limit: usize, into: &mut Vec<Received>) -> usize {
        (**self).receive(now, limit, into)
    }

    fn transmit(&mut self, now: u64, frames: &mut VecDeque<Outgoing>) {
        (**self).transmit(now, frames);
    }

    fn reclaim(&mut self) {
        (**self).reclaim();
    }

    fn address(&self) -> SocketAddr {
        (**self).address()
    }

    fn payload_bytes_max(&self) -> usize {
        (**self).payload_bytes_max()
    }

    fn descriptors(&mut self, into: &mut Vec<RawFd>) {
        (**self).descriptors(into);
    }

    fn counters(&self) -> Counters {
        (**self).counters()
    }

    fn mode(&self) -> String {
        (**self).mode()
    }
}
