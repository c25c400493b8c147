//! What a driver owes: it moves whole frames in bursts, and says when it is done with one.
//!
//! A driver neither orders nor repeats; loss, duplication and reordering are the link's business. It is
//! owned by one reactor and is not shared.

use std::net::SocketAddr;
use std::os::fd::RawFd;

use crate::frame::Frame;
use crate::pool::Pool;

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

/// Moves frames. Poll-mode: no call blocks.
pub trait Driver {
    /// The pool that frames to be sent are taken from.
    fn pool(&self) -> &Pool;

    /// Appends at most `limit` arrived frames to `into`, and returns how many. `now`: nanoseconds since
    /// 1970, for drivers that have no clock of their own.
    fn receive(&mut self, now: u64, limit: usize, into: &mut Vec<Received>) -> usize;

    /// Sends frames from the front of `frames`, removing those that it took. What stays (a full ring, a
    /// full socket buffer) is offered again next turn. A frame that the network refuses is dropped and
    /// counted, never an error: the link repeats it.
    fn transmit(&mut self, now: u64, frames: &mut std::collections::VecDeque<Outgoing>);

    /// Asks for completions of frames that were sent but are still held.
    fn reclaim(&mut self) {}

    /// The address that peers reach this driver at.
    fn address(&self) -> SocketAddr;

    /// Largest datagram payload, in bytes, that it carries. A multiple of 16.
    fn payload_bytes_max(&self) -> usize;

    /// A descriptor that becomes readable when frames may have arrived, for parking.
    fn descriptor(&self) -> Option<RawFd> {
        None
    }

    /// Name and mode, as shown by `daedal boxes`: `kernel (gso, gro)`.
    fn mode(&self) -> String;
}
