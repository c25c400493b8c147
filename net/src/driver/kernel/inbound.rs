//! Receiving: buffers posted to the kernel, and what it put into them cut into frames.

use std::collections::VecDeque;
use std::net::SocketAddr;

use socket2::Socket;

use super::calls::{BURST, ReceiveBurst, ReceivedDatagram};
use crate::driver::{Counters, Received, is_whole};
use crate::frame::Frame;
use crate::pool::Pool;

/// What the kernel put into one buffer: a datagram, or a train's worth of them, being cut.
struct Arrived {
    frame: Frame,
    from: SocketAddr,
    segment_bytes: usize,
    at: usize,
}

pub(super) struct Inbound {
    pub pool: Pool,
    /// Buffers for the next read, each held by this driver alone.
    posted: Vec<Frame>,
    arrived: VecDeque<Arrived>,
    /// Datagrams that the next read asks for: as many as lately came, since a read that asks for more
    /// than there is pays for one more look at the socket, between a message and its answer.
    asked: usize,
    burst: ReceiveBurst,
}

impl Inbound {
    pub(super) fn new(pool: Pool) -> Inbound {
        Inbound {
            pool,
            posted: Vec::with_capacity(BURST),
            arrived: VecDeque::with_capacity(BURST),
            asked: 1,
            burst: ReceiveBurst::new(),
        }
    }

    /// One `recvmmsg`.
    pub(super) fn read(&mut self, socket: &Socket, counters: &mut Counters) {
        while self.posted.len() < self.asked {
            let Some(frame) = self.pool.take() else { break };
            self.posted.push(frame);
        }
        let asked = self.posted.len().min(self.asked);
        if asked == 0 {
            counters.starved += 1;
            return;
        }
        // An error is either "nothing there" or an ICMP report on an earlier send: nothing was read.
        let count = self.burst.receive(socket, &mut self.posted[..asked]).unwrap_or(0);
        self.asked = if count == asked { (2 * asked).min(BURST) } else { count.max(1) };
        for (index, frame) in self.posted.drain(..count).enumerate() {
            match arrived(&self.burst.received(index), frame) {
                Some(arrived) => self.arrived.push_back(arrived),
                None => counters.malformed += 1,
            }
        }
    }

    /// Cuts frames off what has arrived.
    pub(super) fn cut(
        &mut self,
        limit: usize,
        into: &mut Vec<Received>,
        counters: &mut Counters,
    ) -> usize {
        let mut count = 0;
        while count < limit {
            let Some(Arrived { frame, from, segment_bytes, at }) = self.arrived.front_mut() else {
                break;
            };
            let end = frame.len().min(*at + *segment_bytes);
            if is_whole(end - *at) {
                into.push(Received { frame: frame.slice(*at..end), from: *from });
                count += 1;
            } else {
                counters.malformed += 1;
            }
            *at = end;
            if end == frame.len() {
                self.arrived.pop_front();
            }
        }
        count
    }
}

/// `None` when it was truncated, is empty, or came from no address.
fn arrived(datagram: &ReceivedDatagram<'_>, mut frame: Frame) -> Option<Arrived> {
    let from = datagram.name.parse(datagram.name_bytes)?;
    if datagram.cut || datagram.bytes == 0 {
        return None;
    }
    frame.truncate(datagram.bytes);
    let coalesced = datagram.control.coalesced(datagram.control_bytes);
    Some(Arrived { frame, from, segment_bytes: coalesced.unwrap_or(datagram.bytes), at: 0 })
}
