//! Two links over each driver, wrapped as for tests: frames are written down, lost, doubled and overtaken, both ways, more
//! of them than on any network. Each message comes once, each is done, and every frame is back at the end.
//!
//! That wrappers that do nothing keep what a driver promises is shown beside (`FaultPlace`, `PcapPlace`).

use std::collections::{BTreeSet, VecDeque};
use std::io::{Sink, sink};

use daedal_net::driver::fault::{Fault, Rates};
use daedal_net::driver::pcap::Pcap;
use daedal_net::driver::{Driver, Outgoing, Received};
use daedal_net::link::{Endpoint, Link, LinkConfig, LinkEvent, LinkLimits, Schema};
use daedal_net::wire::message::MessageHeader;

use crate::peer::tick;
use crate::places::Place;
use crate::xdp::XdpPlace;
use crate::{places, required, shm};

const MESSAGES: u64 = 2_000;
const BODY_BYTES: usize = 64;
const RECORD_BYTES: usize = MessageHeader::BYTES + BODY_BYTES;
/// At each end: a frame meets both.
const RATES: Rates = Rates {
    drop_ppm: 150_000,
    duplicate_ppm: 200_000,
    reorder_ppm: 150_000,
    delay_ppm: 0,
    delay_ns_max: 0,
};
/// Turns of both: far more than it takes.
const TURNS: usize = 2_000_000;

/// A driver with faults, and a link over it.
struct End<D> {
    driver: Fault<Pcap<D, Sink>>,
    link: Link,
    queue: VecDeque<Outgoing>,
    into: Vec<Received>,
    said: u64,
    done: u64,
    heard: BTreeSet<u64>,
}

impl<D: Driver> End<D> {
    fn new(driver: D, own: u16) -> End<D> {
        let config = LinkConfig {
            local: Endpoint { agent_box: own, reactor: 0 },
            peer: Endpoint { agent_box: 1 - own, reactor: 0 },
            payload_bytes_max: driver.payload_bytes_max(),
            schemas: [Schema { hash: 1, version: 1 }].into(),
            nonce: u64::from(own) + 1,
            life: 1,
            limits: LinkLimits::default(),
            secret: None,
        };
        let driver = Fault::new(Pcap::new(driver, sink()).unwrap(), RATES, u64::from(own));
        let link = Link::new(config, driver.pool(), tick());
        let (queue, into) = (VecDeque::new(), Vec::new());
        End { driver, link, queue, into, said: 0, done: 0, heard: BTreeSet::new() }
    }

    /// Says as many as there is room for, and what the link has to say.
    fn say(&mut self, to: &End<D>) {
        let pool = self.driver.pool().clone();
        while self.said < MESSAGES {
            let Some(room) = self.link.open(&pool, RECORD_BYTES) else { break };
            let length = (BODY_BYTES as u32).into();
            let number = self.said.into();
            MessageHeader { destination: 1.into(), length, number, ..Default::default() }
                .emit(room);
            room[MessageHeader::BYTES..].fill(self.said as u8);
            self.link.close(RECORD_BYTES, 0, self.said, None);
            self.said += 1;
        }
        self.link.flush(tick(), &pool, &mut self.queue, to.driver.address());
        self.driver.transmit(tick(), &mut self.queue);
    }

    fn hear(&mut self) {
        self.driver.receive(tick(), 32, &mut self.into);
        for Received { frame, .. } in self.into.drain(..) {
            // What was doubled is refused, or has no packet.
            let Ok(arrival) = self.link.receive(tick(), frame) else { continue };
            let Some(packet) = arrival.packet else { continue };
            let mut records = arrival.records();
            while let Some(message) = records.next_message() {
                let number = message.header.number.get();
                assert!(
                    message.body.iter().all(|byte| *byte == number as u8),
                    "{number} is another"
                );
                assert!(self.heard.insert(number), "{number} came twice");
            }
            drop(arrival);
            self.link.finish(packet, &[]);
        }
        while let Some(event) = self.link.next_event() {
            match event {
                LinkEvent::Done { count, .. } => self.done += u64::from(count),
                LinkEvent::Broken { .. } => panic!("the peer is the same"),
                _ => {}
            }
        }
    }

    fn is_through(&self) -> bool {
        self.done == MESSAGES && self.heard.len() as u64 == MESSAGES
    }

    fn check_faults(&self) {
        let faults = self.driver.fault_counts();
        let each = [faults.dropped, faults.duplicated, faults.reordered];
        assert!(each.iter().all(|count| *count > 10), "{faults:?}");
    }
}

/// Takes turns until it is so for both.
fn until<D: Driver>(ends: &mut [End<D>; 2], mut is_so: impl FnMut(&mut End<D>) -> bool) {
    for _ in 0..TURNS {
        let [a, b] = ends;
        a.say(b);
        b.say(a);
        ends.iter_mut().for_each(End::hear);
        if ends.iter_mut().all(&mut is_so) {
            return;
        }
        std::thread::yield_now();
    }
    let [a, b] = ends.each_ref().map(|it| (it.said, it.done, it.heard.len(), it.driver.counters()));
    panic!("it takes too long: {a:?} {b:?}");
}

fn check<P: Place>(place: &mut P) {
    let mut ends = [0, 1].map(|own| End::new(place.start(None), own));
    until(&mut ends, |end| end.is_through());
    ends.iter().for_each(End::check_faults);
    let posted_max = place.posted_max();
    // What was kept back to be overtaken goes, too.
    ends.iter_mut().for_each(|end| end.driver.set_rates(Rates::default()));
    let fresh = ends.each_ref().map(|end| end.link.packets_undone());
    assert_eq!(fresh, [0, 0]);
    let kept = daedal_net::limits::CONTROL_FRAMES + 1;
    until(&mut ends, |end| {
        end.driver.reclaim();
        let used = [end.driver.pool(), end.driver.receive_pool()]
            .map(|pool| pool.frames_count() - pool.frames_free());
        used[0] <= kept && used[1] <= posted_max
    });
}

#[test]
fn with_the_kernel_messages_come_once_and_no_frame_leaks_whatever_happens_to_frames() {
    check(&mut places::v4());
}

#[test]
fn with_xdp_messages_come_once_and_no_frame_leaks_whatever_happens_to_frames() {
    use daedal_net::driver::xdp::Attach::{Generic, Native};

    for attach in [Generic, Native] {
        let Some(mut place) = required("xdp", XdpPlace::v4(attach)) else { return };
        check(&mut place);
    }
}

#[test]
fn with_shared_memory_messages_come_once_and_no_frame_leaks_whatever_happens_to_frames() {
    check(&mut shm::v4());
}

#[cfg(feature = "dpdk")]
#[test]
fn with_dpdk_messages_come_once_and_no_frame_leaks_whatever_happens_to_frames() {
    crate::dpdk::with(crate::dpdk::DpdkPlace::v4(), check);
}
