//! What came by the ring, as datagrams.

use std::net::SocketAddr;

use super::socket::{Taken, XdpSocket};
use crate::driver::headers::{self, Verdicts, scoped};
use crate::driver::{Counters, Received};
use crate::frame::Frame;

/// Whom they are for: an address, and the interface that has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Here {
    pub address: SocketAddr,
    pub interface: u32,
}

impl Here {
    /// Looks at what came, at most `limit` frames: how many there were. Datagrams are appended to `into`, all else is
    /// counted, and buffers are posted in their place.
    pub(super) fn receive(
        self,
        socket: &mut XdpSocket,
        limit: usize,
        into: &mut Vec<Received>,
        counters: &mut Counters,
    ) -> usize {
        let before = into.len();
        let mut looked = 0;
        while looked < limit
            && let Some(taken) = socket.take()
        {
            looked += 1;
            let received = match taken {
                Taken::Frame(frame) => self.datagram(frame),
                Taken::Wrong => None,
            };
            match received {
                Some(received) => into.push(received),
                None => counters.malformed += 1,
            }
        }
        socket.took(looked == 0);
        if socket.post() == 0 {
            counters.starved += 1;
        }
        counters.received += (into.len() - before) as u64;
        looked
    }

    /// A frame that came, as a datagram.
    fn datagram(self, mut frame: Frame) -> Option<Received> {
        let read = |headers: &[u8]| headers::parse(self.address, headers, &frame, Verdicts::NONE);
        let read = match self.address {
            SocketAddr::V4(_) => read(&frame.before::<{ headers::BYTES_V4 }>()),
            SocketAddr::V6(_) => read(&frame.before::<{ headers::BYTES_V6 }>()),
        };
        let datagram = read.ok()?;
        frame.truncate(datagram.payload_bytes);
        Some(Received { frame, from: scoped(datagram.from, self.interface) })
    }
}
