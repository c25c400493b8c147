//! Two ends of a link, each with a pool of its own; what they say are bytes on their way. For fuzz targets.

use std::collections::VecDeque;
use std::net::SocketAddr;

use daedal_net::error::DropReason;
use daedal_net::link::{Arrival, Endpoint, Link, LinkConfig, LinkLimits, Schema, Secret};
use daedal_net::pool::Pool;
use daedal_net::wire::link::LinkHeader;

/// Of a datagram, and of each pool's buffers.
pub const PAYLOAD: usize = 1024;

pub struct End {
    pub link: Link,
    pub pool: Pool,
}

impl End {
    /// `secret`: what it seals with.
    pub fn new(own: u16, nonce: u64, secret: Option<Secret>) -> End {
        let config = LinkConfig {
            local: Endpoint { agent_box: own, reactor: 0 },
            peer: Endpoint { agent_box: 1 - own, reactor: 0 },
            payload_bytes_max: PAYLOAD,
            schemas: [Schema { hash: 1, version: 1 }].into(),
            nonce,
            life: nonce,
            limits: LinkLimits::default(),
            secret,
        };
        let pool = Pool::new(64, PAYLOAD);
        End { link: Link::new(config, &pool, 0), pool }
    }

    /// What it says now.
    pub fn flush(&mut self, now: u64) -> Vec<Vec<u8>> {
        let (mut out, to) = (VecDeque::new(), SocketAddr::from(([127, 0, 0, 1], 1)));
        self.link.flush(now, &self.pool, &mut out, to);
        out.into_iter().map(|outgoing| outgoing.frame.to_vec()).collect()
    }

    /// It hears `bytes`; none: it has no buffer for them.
    pub fn hear(&mut self, now: u64, bytes: &[u8]) -> Option<Result<Arrival, DropReason>> {
        let mut frame = self.pool.take()?;
        frame.bytes_mut().expect("just taken")[..bytes.len()].copy_from_slice(bytes);
        frame.truncate(bytes.len());
        Some(self.link.receive(now, frame))
    }
}

/// Two ends in a session, and the header of a packet that the first sent in it.
pub fn opened(secret: Option<Secret>) -> ([End; 2], LinkHeader) {
    let mut ends = [End::new(0, 1, secret.clone()), End::new(1, 2, secret)];
    let mut header = LinkHeader::default();
    for now in 1..8 {
        for from in 0..2 {
            for bytes in ends[from].flush(now) {
                if from == 0 {
                    header = *LinkHeader::new_checked(&bytes).expect("ours");
                }
                let heard = ends[1 - from].hear(now, &bytes).expect("most buffers are free");
                heard.expect("an honest frame");
            }
        }
    }
    for end in &mut ends {
        assert!(end.link.is_open());
        while end.link.next_event().is_some() {}
    }
    (ends, header)
}
