//! Zero copy, of each driver, both ways: a message is written into the frame that is sent, and read in the frame that
//! was received, which lies where the driver's ring, card or socket has put it; nothing is allocated for it, and every
//! buffer comes back. What agents do with frames is shown in core/boxes/tests/allocation, which says what is copied
//! all the same.
//!
//! Of drivers these copy: the kernel's sockets, from and to frames; AF_XDP without zero-copy, in the kernel; shared
//! memory, once, what is sent.

use std::ops::Range;

use daedal_allocations::allocations;
use daedal_net::driver::xdp::Attach::{Generic, Native};
use daedal_net::driver::{Driver, Received};
use daedal_net::frame::Frame;
use daedal_net::link::{Endpoint, Link, LinkConfig, LinkLimits, Schema};
use daedal_net::wire::message::MessageHeader;

use crate::peer::{Peer, pair, tick};
use crate::places;
use crate::shm::{self, is_in_ring};
use crate::xdp::{XdpPlace, ways, with};

const BODY_BYTES: usize = 64;
const RECORD_BYTES: usize = MessageHeader::BYTES + BODY_BYTES;

/// Rounds until links know each other, and drivers their peers.
const WARM_UP: u64 = 100;
const ROUNDS: u64 = 500;

/// Looks for a frame: far more than one takes.
const LOOKS: usize = 10_000_000;

/// A driver, and a link over it.
struct End<D> {
    peer: Peer<D>,
    link: Link,
    /// What was received, for a moment.
    into: Vec<Received>,
}

impl<D: Driver> End<D> {
    fn new(peer: Peer<D>, own: u16) -> End<D> {
        let config = LinkConfig {
            local: Endpoint { agent_box: own, reactor: 0 },
            peer: Endpoint { agent_box: 1 - own, reactor: 0 },
            payload_bytes_max: peer.driver.payload_bytes_max(),
            schemas: [Schema { hash: 1, version: 1 }].into(),
            nonce: u64::from(own) + 1,
            life: 1,
            limits: LinkLimits::default(),
            secret: None,
        };
        let link = Link::new(config, peer.driver.pool(), tick());
        End { peer, link, into: Vec::with_capacity(64) }
    }

    /// Buffers that are free, for sending and for receiving.
    fn free(&self) -> [usize; 2] {
        [self.peer.driver.pool(), self.peer.driver.receive_pool()].map(|it| it.frames_free())
    }

    /// Says one message, if the link is open, and whatever the link has to say: where the message's body was written.
    fn say<O: Driver>(&mut self, to: &End<O>, number: u64) -> Option<usize> {
        let at = to.peer.address();
        let pool = self.peer.driver.pool().clone();
        let room = self.link.open(&pool, RECORD_BYTES);
        let written = room.map(|room| {
            let length = (BODY_BYTES as u32).into();
            MessageHeader { destination: 1.into(), length, ..Default::default() }.emit(room);
            room[MessageHeader::BYTES..].as_ptr() as usize
        });
        if written.is_some() {
            self.link.close(RECORD_BYTES, 0, number, None);
        }
        self.link.flush(tick(), &pool, &mut self.peer.queue, at);
        let mut sent = self.peer.queue.iter().map(|out| lies(&out.frame));
        assert!(written.is_none_or(|it| sent.any(|frame| frame.contains(&it))), "it was copied");
        self.peer.transmit();
        written
    }

    /// Hears what came: where a message's body is read, if there was one.
    fn hear(&mut self) -> Option<usize> {
        let mut read = None;
        self.peer.driver.receive(tick(), 32, &mut self.into);
        for Received { frame, .. } in self.into.drain(..) {
            let (received, pool) = (lies(&frame), self.peer.driver.receive_pool());
            let arrival = self.link.receive(tick(), frame).expect("an honest frame");
            let Some(packet) = arrival.packet else { continue };
            let mut records = arrival.records();
            while let Some(message) = records.next_message() {
                let body = message.body.as_ptr() as usize;
                assert!(received.contains(&body), "it was copied");
                read = Some(body);
            }
            let free = pool.frames_free();
            drop(arrival);
            assert_eq!(pool.frames_free(), free + 1, "it lay elsewhere");
            self.link.finish(packet, &[]);
        }
        while self.link.next_event().is_some() {}
        read
    }
}

/// Where a frame's bytes are.
fn lies(frame: &Frame) -> Range<usize> {
    let Range { start, end } = frame.as_ptr_range();
    start as usize..end as usize
}

/// One message there and one back: where each was written and read.
fn round<D: Driver>([a, b]: &mut [End<D>; 2], number: u64) -> [[usize; 2]; 2] {
    fn one<D: Driver>(from: &mut End<D>, to: &mut End<D>, number: u64) -> [usize; 2] {
        let written = from.say(to, number);
        let read = (0..LOOKS).find_map(|_| {
            std::thread::yield_now();
            to.hear()
        });
        [written.expect("the link is open"), read.expect("it comes")]
    }
    [one(a, b, number), one(b, a, number)]
}

/// What went there and back: where each was written and read, and the drivers.
fn check<D: Driver>((a, b): (Peer<D>, Peer<D>)) -> ([[usize; 2]; 2], [Peer<D>; 2]) {
    let mut ends = [End::new(a, 0), End::new(b, 1)];
    for _ in 0..LOOKS {
        let [a, b] = &mut ends;
        if a.link.is_open() && b.link.is_open() {
            break;
        }
        a.say(b, 0);
        b.say(a, 0);
        a.hear();
        b.hear();
    }
    let many = |ends: &mut [End<D>; 2], from, count| {
        (from..from + count).map(|number| round(ends, number)).last().expect("some")
    };
    many(&mut ends, 0, WARM_UP);
    let free = ends.each_ref().map(End::free);
    let (count, last) = allocations(|| many(&mut ends, WARM_UP, ROUNDS));
    assert_eq!((count, ends.each_ref().map(End::free)), (0, free));
    (last, ends.map(|it| it.peer))
}

#[test]
fn with_the_kernel_messages_are_written_and_read_in_frames_and_nothing_is_allocated() {
    check(pair(&mut places::v4()));
}

#[test]
fn with_xdp_messages_are_written_and_read_in_the_memory_that_the_rings_are_of() {
    for attach in [Generic, Native] {
        with(XdpPlace::v4(attach), |place| {
            // What goes by the rings lies in that memory: all that does not goes aside.
            let (_, peers) = check(pair(place));
            peers.iter().for_each(|it| assert_eq!(ways(it)[1], 0));
        });
    }
}

#[test]
fn with_shared_memory_messages_are_read_in_the_ring() {
    let (last, peers) = check(pair(&mut shm::v4()));
    peers.iter().for_each(|it| assert_eq!(ways(it)[1], 0));
    last.iter().for_each(|[written, read]| {
        assert_eq!([is_in_ring(*written), is_in_ring(*read)], [false, true]);
    });
}

#[cfg(feature = "dpdk")]
#[test]
fn with_dpdk_messages_are_read_where_they_were_written() {
    use crate::dpdk::{DpdkPlace, behaviour::wired};

    crate::dpdk::with(DpdkPlace::v4(), |place| {
        let [a, b] = wired(place).map(Peer::of);
        let (last, _) = check((a, b));
        last.iter().for_each(|[written, read]| assert_eq!(written, read));
    });
}
