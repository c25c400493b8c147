//! The steady data path of a link allocates nothing: counted, not believed.

use std::collections::VecDeque;
use std::net::SocketAddr;

use daedal_allocations::allocations;
use daedal_net::driver::Outgoing;
use daedal_net::link::{Endpoint, Link, LinkConfig, LinkEvent, LinkLimits, Schema, Secret};
use daedal_net::pool::Pool;
use daedal_net::wire::message::MessageHeader;

const BODY: usize = 24;

fn link(pool: &Pool, own: u16, secret: Option<Secret>) -> Link {
    let config = LinkConfig {
        local: Endpoint { agent_box: own, reactor: 0 },
        peer: Endpoint { agent_box: 1 - own, reactor: 0 },
        payload_bytes_max: 1472,
        schemas: [Schema { hash: 1, version: 1 }].into(),
        nonce: u64::from(own) + 1,
        life: 1,
        limits: LinkLimits::default(),
        secret,
    };
    Link::new(config, pool, 0)
}

/// One turn of both ends: `count` messages each way, all finished. Returns how many became done.
fn turn(
    now: u64,
    links: &mut [Link; 2],
    pool: &Pool,
    out: &mut VecDeque<Outgoing>,
    count: u64,
) -> u64 {
    let to = SocketAddr::from(([127, 0, 0, 1], 1));
    let mut done = 0;
    for from in 0..2 {
        for number in 0..count {
            let bytes = MessageHeader::BYTES + BODY;
            let tail = links[from].open(pool, bytes).expect("credit, and a frame");
            let length = (BODY as u32).into();
            MessageHeader { destination: 1.into(), length, ..Default::default() }.emit(tail);
            links[from].close(bytes, 0, now * count + number, None);
        }
        links[from].flush(now, pool, out, to);
        for Outgoing { frame, .. } in out.drain(..) {
            let arrival = links[1 - from].receive(now, frame).expect("an honest frame");
            let Some(packet) = arrival.packet else { continue };
            let mut records = arrival.records();
            while let Some(message) = records.next_message() {
                assert_eq!(message.body.len(), BODY);
            }
            links[1 - from].finish(packet, &[]);
        }
        while let Some(event) = links[from].next_event() {
            done += if let LinkEvent::Done { count, .. } = event { u64::from(count) } else { 0 };
        }
    }
    done
}

#[test]
fn messages_acknowledgements_and_done_need_no_allocation() {
    check(None);
}

#[test]
fn neither_do_those_that_are_sealed() {
    check(Some(Secret([7; 32])));
}

fn check(secret: Option<Secret>) {
    let pool = Pool::new(200, 1472);
    let mut links = [0, 1].map(|own| link(&pool, own, secret.clone()));
    let mut out = VecDeque::with_capacity(64);
    (0..10).for_each(|now| _ = turn(now, &mut links, &pool, &mut out, 0));
    (10..50).for_each(|now| _ = turn(now, &mut links, &pool, &mut out, 100));
    let (count, done) = allocations(|| -> u64 {
        (50..150).map(|now| turn(now, &mut links, &pool, &mut out, 100)).sum()
    });
    assert_eq!(count, 0);
    assert_eq!(done, 100 * 2 * 100);
}
