//! Any bytes behind the link header of a frame that belongs to an open session: the walk stays inside
//! the frame, and the link drops it, or takes it in and still works.
//! Input: 1 byte packet number, 1 byte flags, then records.

use std::collections::VecDeque;
use std::net::SocketAddr;

use daedal_net::frame::Frame;
use daedal_net::link::{Endpoint, Link, LinkConfig, LinkLimits, Schema};
use daedal_net::pool::Pool;
use daedal_net::wire::control::Control;
use daedal_net::wire::link::LinkHeader;
use daedal_net::wire::record::{Record, Records};
use daedal_net::wire::{U48, padded};

const PAYLOAD: usize = 1024;

fn link(pool: &Pool, own: u16) -> Link {
    let config = LinkConfig {
        local: Endpoint { agent_box: own, reactor: 0 },
        peer: Endpoint { agent_box: 1 - own, reactor: 0 },
        payload_bytes_max: PAYLOAD,
        schemas: [Schema { hash: 1, version: 1 }].into(),
        nonce: u64::from(own) + 1,
        life: 1,
        limits: LinkLimits::default(),
    };
    Link::new(config, pool, 0)
}

fn flush(link: &mut Link, pool: &Pool, now: u64) -> Vec<Frame> {
    let (mut out, to) = (VecDeque::new(), SocketAddr::from(([127, 0, 0, 1], 1)));
    link.flush(now, pool, &mut out, to);
    out.into_iter().map(|outgoing| outgoing.frame).collect()
}

/// One input.
pub fn run(data: &[u8]) {
    let [packet, flags, records @ ..] = data else { return };
    let records = &records[..records.len().min(PAYLOAD - 32)];
    let mut walked = 0;
    for record in Records::new(records).flatten() {
        walked += match record {
            Record::Message(_, bytes) => padded(bytes.len()),
            Record::Control(head, body) => {
                let _ = Control::parse(head, body);
                16 + padded(body.len())
            }
        };
    }
    assert!(walked <= records.len());

    let pool = Pool::new(40, PAYLOAD);
    let mut links = [link(&pool, 0), link(&pool, 1)];
    let mut header = LinkHeader::default();
    for now in 1..8 {
        for from in 0..2 {
            for frame in flush(&mut links[from], &pool, now) {
                if from == 0 {
                    header = *LinkHeader::new_checked(&frame).expect("ours");
                }
                links[1 - from].receive(now, frame).expect("an honest frame");
            }
        }
    }
    assert!(links[1].is_open());
    header.flags = *flags;
    header.packet = U48::new(u64::from(*packet));
    let mut frame = pool.take().expect("most are free");
    let payload = frame.bytes_mut().expect("just taken");
    header.emit(payload);
    payload[LinkHeader::BYTES..][..records.len()].copy_from_slice(records);
    frame.truncate(LinkHeader::BYTES + records.len());
    if let Ok(arrival) = links[1].receive(9, frame)
        && let Some(packet) = arrival.packet
    {
        let count = arrival.messages().count();
        assert!(count > 0 && count == arrival.records().count());
        links[1].finish(packet, &[0]);
    }
    while links[1].next_event().is_some() {}
    for now in 10..14 {
        flush(&mut links[1], &pool, now * 1_000_000_000);
    }
}
