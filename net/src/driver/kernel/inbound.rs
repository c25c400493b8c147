//! Receiving: buffers posted to the kernel, and what it put into them cut into frames.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use socket2::Socket;

use super::busy::{Busy, CONNECTED_MAX};
use super::calls::{BURST, ReceiveBurst, ReceivedDatagram};
use super::sockets::Source;
use crate::driver::{Counters, DATAGRAM_ALIGN, Received, is_whole};
use crate::frame::Frame;
use crate::pool::Pool;

/// As many datagrams at once are no conversation: they come better as a train.
const SINGLES_MAX: usize = 8;

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
    burst: ReceiveBurst,
}

impl Inbound {
    pub(super) fn new(pool: Pool) -> Inbound {
        Inbound {
            pool,
            posted: Vec::with_capacity(BURST),
            arrived: VecDeque::with_capacity(BURST * (1 + CONNECTED_MAX)),
            burst: ReceiveBurst::new(),
        }
    }

    /// Reads what waits, up to what was asked for: how many datagrams or trains came; `None`: nobody
    /// knows what waits, since there was no buffer for any, or the kernel had an error to report first.
    pub(super) fn read(
        &mut self,
        source: &mut Source,
        busy: &mut Busy,
        counters: &mut Counters,
    ) -> Option<usize> {
        while self.posted.len() < source.asked {
            let Some(frame) = self.pool.take() else { break };
            self.posted.push(frame);
        }
        let asked = self.posted.len().min(source.asked);
        if asked == 0 {
            counters.starved += 1;
            return None;
        }
        let count = match source.sender() {
            Some(sender) => self.read_singles(&source.socket, sender, asked, counters),
            None => self.read_burst(&source.socket, asked, busy, counters),
        }?;
        if let Some(sender) = source.sender()
            && count >= SINGLES_MAX
        {
            busy.forget(sender);
        }
        source.asked = if count == asked { (2 * asked).min(BURST) } else { count.max(1) };
        Some(count)
    }

    /// One call for datagrams and trains of anybody.
    fn read_burst(
        &mut self,
        socket: &Socket,
        asked: usize,
        busy: &mut Busy,
        counters: &mut Counters,
    ) -> Option<usize> {
        let count = match self.burst.receive(socket, &mut self.posted[..asked]) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            // An ICMP report on an earlier send: there may be datagrams behind it.
            Err(_) => return None,
        };
        for (index, frame) in self.posted.drain(..count).enumerate() {
            match arrived(&self.burst.received(index), frame) {
                Some(arrived) => {
                    if arrived.segment_bytes < arrived.frame.len() {
                        busy.forget(arrived.from);
                    }
                    self.arrived.push_back(arrived);
                }
                None => counters.malformed += 1,
            }
        }
        Some(count)
    }

    /// One call for each datagram of `sender`, by the cheapest one that there is.
    fn read_singles(
        &mut self,
        socket: &Socket,
        sender: SocketAddr,
        asked: usize,
        counters: &mut Counters,
    ) -> Option<usize> {
        for count in 0..asked {
            let posted = self.posted.last_mut().expect("as many as are asked for are posted");
            let buffer = posted.bytes_mut().expect("a posted buffer has one handle");
            let bytes = match recv(socket, buffer, RecvFlags::DONTWAIT) {
                Ok((bytes, _)) => bytes,
                // As above.
                Err(error) => return (count > 0 || error == Errno::AGAIN).then_some(count),
            };
            let mut frame = self.posted.pop().expect("it was the last one just now");
            frame.truncate(bytes);
            match bytes {
                0 => counters.malformed += 1,
                _ => self.arrived.push_back(Arrived {
                    frame,
                    from: sender,
                    segment_bytes: bytes,
                    at: 0,
                }),
            }
        }
        Some(asked)
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
            // Others' trains may end in a datagram of our size that lies where no message may.
            if is_whole(end - *at) && at.is_multiple_of(DATAGRAM_ALIGN) {
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
