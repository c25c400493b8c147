//! One thing at a time: two links, and a network that does what the test says.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::super::*;
use super::world::{PAYLOAD, messages, record, schemas, shortened};
use crate::driver::Outgoing;
use crate::error::DropReason;
use crate::limits::{
    CONTROL_FRAMES, LARGE_ALONE_NS, LARGE_AT_ONCE, LARGE_FRAMES_ALONE, LARGE_FRAMES_BESIDE,
    LARGE_IN_TURN, RENEWAL_PACKETS, SESSION_PACKETS, TIMEOUT_NS_FIRST, TIMEOUT_NS_MIN, WATCH_NS,
};
use crate::wire::link::{CONTROL, DONE};
use crate::wire::record::{Record, Records};

pub(super) struct Pair {
    pub(super) now: u64,
    pub(super) links: [Link; 2],
    pub(super) pools: [Pool; 2],
    pub(super) rx: Pool,
}

pub(super) fn config(index: u16, nonce: u64, credit_frames: u32) -> LinkConfig {
    LinkConfig {
        local: Endpoint { agent_box: index, reactor: 0 },
        peer: Endpoint { agent_box: 1 - index, reactor: 0 },
        payload_bytes_max: PAYLOAD,
        schemas: schemas(100 + u64::from(index)),
        nonce,
        life: nonce,
        limits: LinkLimits { credit_frames, ..Default::default() },
        secret: None,
    }
}

impl Pair {
    pub(super) fn new(frames: usize, credit: u32) -> Pair {
        Pair::with_secrets(frames, credit, [None, None])
    }

    /// What each end seals with, if it does.
    pub(super) fn with_secrets(frames: usize, credit: u32, secrets: [Option<Secret>; 2]) -> Pair {
        let pools = [0, 1].map(|_| Pool::new(frames, PAYLOAD));
        let link = |index: u16| {
            let secret = secrets[usize::from(index)].clone();
            let config = LinkConfig { secret, ..config(index, 7 + u64::from(index), credit) };
            Link::new(config, &pools[usize::from(index)], 1000)
        };
        Pair { now: 1000, links: [link(0), link(1)], pools, rx: Pool::new(64, PAYLOAD) }
    }

    pub(super) fn opened(frames: usize, credit: u32) -> Pair {
        Pair::new(frames, credit).open()
    }

    pub(super) fn open(mut self) -> Pair {
        for _ in 0..6 {
            self.exchange();
        }
        for link in &mut self.links {
            assert_eq!(link.next_event(), Some(LinkEvent::Opened));
            assert_eq!(link.next_event(), None);
        }
        self
    }

    pub(super) fn flush(&mut self, index: usize) -> Vec<Vec<u8>> {
        let (mut out, to) = (VecDeque::new(), SocketAddr::from(([127, 0, 0, 1], 1)));
        self.links[index].flush(self.now, &self.pools[index], &mut out, to);
        out.into_iter().map(|Outgoing { frame, .. }| frame.to_vec()).collect()
    }

    pub(super) fn receive(&mut self, index: usize, bytes: &[u8]) -> Result<Arrival, DropReason> {
        let mut frame = self.rx.take().unwrap();
        frame.bytes_mut().unwrap()[..bytes.len()].copy_from_slice(bytes);
        frame.truncate(bytes.len());
        self.links[index].receive(self.now, frame)
    }

    /// Both flush, and get everything that the other said; what arrives stays unfinished.
    pub(super) fn exchange(&mut self) -> Vec<(usize, Arrival)> {
        self.now += 1000;
        let frames = [self.flush(0), self.flush(1)];
        let mut arrivals = Vec::new();
        for (from, frames) in frames.iter().enumerate() {
            for bytes in frames {
                let arrival = self.receive(1 - from, bytes).unwrap();
                arrivals.extend(arrival.packet.is_some().then_some((1 - from, arrival)));
            }
        }
        arrivals
    }

    pub(super) fn send(&mut self, index: usize, number: u64, body: usize) -> bool {
        let whole = record(index as u64, 1, 0, number, body);
        let link = &mut self.links[index];
        if !link.make_room(&self.pools[index], whole.len()) {
            return false;
        }
        let bytes = if link.follows(Stream::MIN, number) { shortened(&whole) } else { whole };
        link.room(bytes.len()).unwrap()[..bytes.len()].copy_from_slice(&bytes);
        link.close(bytes.len(), 0, number, Some(Stream::MIN));
        true
    }

    pub(super) fn events(&mut self, index: usize) -> Vec<LinkEvent> {
        std::iter::from_fn(|| self.links[index].next_event()).collect()
    }
}

pub(super) fn done(first: u64, count: u32) -> LinkEvent {
    LinkEvent::Done { conversation: 0, first, count }
}

#[test]
fn schema_tables_longer_than_a_frame_are_agreed_at_opening() {
    let pair = Pair::opened(20, 8);
    for (link, count) in pair.links.iter().zip([101, 100]) {
        for kind in 0..count {
            assert_eq!(link.peer_schema(kind).unwrap().hash, u64::from(kind));
        }
        assert_eq!(link.peer_schema(count), None);
    }
}

#[test]
fn messages_of_one_turn_share_a_frame_and_are_done_as_one_run() {
    let mut pair = Pair::opened(20, 8);
    (5..10).for_each(|number| assert!(pair.send(0, number, 3)));
    let arrivals = pair.exchange();
    let [(1, arrival)] = &arrivals[..] else { panic!("one frame: {arrivals:?}") };
    let came = messages(arrival).into_iter().map(|it| it.record);
    assert!(came.eq((5..10).map(|number| record(0, 1, 0, number, 3))));
    pair.exchange();
    assert_eq!(pair.events(0), [], "received is not done (Ovid §6.1)");
    assert_eq!(pair.links[0].packets_undone(), 1);
    pair.links[1].finish(arrival.packet.unwrap(), &[]);
    pair.exchange();
    assert_eq!(pair.events(0), [done(5, 5)]);
    assert_eq!(pair.links[0].packets_undone(), 0);
}

#[test]
fn a_reply_says_in_its_header_that_the_request_is_done() {
    let mut pair = Pair::opened(20, 2);
    for number in 0..10 {
        assert!(pair.send(0, number, 3), "credit comes back by the header as well");
        let [request] = &pair.flush(0)[..] else { panic!("one frame") };
        let arrival = pair.receive(1, request).unwrap();
        assert!(pair.send(1, number, 3));
        pair.links[1].finish(arrival.packet.unwrap(), &[]);
        let [reply] = &pair.flush(1)[..] else { panic!("one frame") };
        let (header, area) = LinkHeader::parse(reply).unwrap();
        assert!(header.has(DONE));
        let mut records = Records::new(area);
        assert!(matches!(records.step(), Ok(Some(Record::Message(_)))));
        assert_eq!(records.step(), Ok(None), "no status");
        let packet = pair.receive(0, reply).unwrap().packet.unwrap();
        pair.links[0].finish(packet, &[]);
        assert_eq!(pair.events(0), [done(number, 1)]);
    }
}

#[test]
fn a_header_says_nothing_of_what_is_parked() {
    let mut pair = Pair::opened(20, 8);
    assert!(pair.send(0, 0, 3));
    let arrivals = pair.exchange();
    assert!(pair.send(1, 0, 3));
    pair.links[1].finish(arrivals[0].1.packet.unwrap(), &[0]);
    let frames = pair.flush(1);
    let headers = frames.iter().map(|bytes| LinkHeader::parse(bytes).unwrap().0);
    assert!(headers.clone().count() > 0 && headers.clone().all(|header| !header.has(DONE)));
}

#[test]
fn an_exchange_in_both_directions_needs_no_frame_of_its_own_for_acknowledgements() {
    let mut pair = Pair::opened(20, 8);
    let before = pair.links.each_ref().map(|link| link.counters().control_frames);
    for number in 0..20 {
        for index in 0..2 {
            assert!(pair.send(index, number, 3));
        }
        for (at, arrival) in pair.exchange() {
            pair.links[at].finish(arrival.packet.unwrap(), &[]);
        }
    }
    assert_eq!(pair.links.each_ref().map(|link| link.counters().control_frames), before);
    assert_eq!(pair.links[0].counters().repeated, 0);
}

#[test]
fn only_parked_messages_leave_their_frame_for_the_outbox() {
    let mut pair = Pair::opened(20, 8);
    (0..4).for_each(|number| assert!(pair.send(0, number, 20)));
    let (_, arrival) = pair.exchange().remove(0);
    pair.links[1].finish(arrival.packet.unwrap(), &[1]);
    drop(arrival);
    pair.exchange();
    let record = record(0, 1, 0, 1, 20);
    let parked = LinkEvent::Parked { conversation: 0, number: 1, record };
    assert_eq!(pair.events(0), [done(0, 1), parked, done(2, 1), done(3, 1)]);
    assert_eq!(pair.pools[0].frames_free(), 20 - CONTROL_FRAMES - 1);
    pair.links[1].settle_by_name(named(1), 0);
    pair.links[1].settle_by_name(named(2), 0);
    pair.exchange();
    let named = LinkEvent::SettledByName { name: named(1), count: 2, outcome: 0 };
    assert_eq!(pair.events(0), [named]);
}

#[test]
fn without_credit_nothing_is_sent_and_finishing_gives_it_back() {
    let mut pair = Pair::opened(40, 3);
    let mut sent = 0;
    while pair.send(0, sent, 400) {
        sent += 1;
    }
    assert_eq!(sent, 3);
    let arrivals = pair.exchange();
    assert_eq!(arrivals.len(), 3);
    pair.exchange();
    assert!(!pair.send(0, sent, 400), "received frames give no credit");
    pair.links[1].finish(arrivals[1].1.packet.unwrap(), &[0]);
    pair.exchange();
    assert!(pair.send(0, sent, 400), "a parked one does");
    assert!(!pair.send(0, sent + 1, 400));
}

#[test]
fn a_large_message_that_finds_no_credit_asks_for_it() {
    let mut pair = Pair::opened(40, 3);
    (0..3).for_each(|number| assert!(pair.send(0, number, 400)));
    for (_, arrival) in pair.exchange() {
        pair.links[1].finish(arrival.packet.unwrap(), &[0]);
    }
    // The notices arrive; the frame that says the new credit gets lost.
    for bytes in pair.flush(1) {
        if !LinkHeader::parse(&bytes).unwrap().0.has(CONTROL) {
            pair.receive(0, &bytes).unwrap();
        }
    }
    pair.exchange();
    assert_eq!((pair.links[0].packets_undone(), pair.links[0].next_deadline()), (0, None));
    let large = record(0, 1, 0, 3, PAYLOAD);
    pair.links[0].send_large(large.clone(), 0, 3).unwrap();
    assert_eq!(pair.flush(0), Vec::<Vec<u8>>::new(), "no credit");
    pair.now = pair.links[0].next_deadline().expect("it asks");
    (0..9).for_each(|_| drop(pair.exchange()));
    assert!(pair.events(1).contains(&LinkEvent::Large { record: large }));
}

#[test]
fn an_exhausted_pool_still_lets_control_through() {
    let mut pair = Pair::opened(20, 64);
    assert!(pair.send(0, 0, 3));
    let (_, arrival) = pair.exchange().remove(0);
    let taken: Vec<_> = std::iter::from_fn(|| pair.pools[1].take()).collect();
    assert!(!pair.send(1, 0, 3));
    pair.links[1].finish(arrival.packet.unwrap(), &[0]);
    pair.links[1].settle_by_name(named(0), 0);
    for _ in 0..3 {
        pair.exchange();
    }
    let events = pair.events(0);
    assert!(matches!(events[..], [LinkEvent::Parked { .. }, LinkEvent::SettledByName { .. }]));
    assert_eq!(pair.links[0].packets_undone(), 0);
    drop(taken);
    assert!(pair.send(1, 0, 3));
}

#[test]
fn a_lost_packet_is_repeated_when_three_later_ones_arrived() {
    let mut pair = Pair::opened(40, 64);
    (0..5).for_each(|number| assert!(pair.send(0, number, 400)));
    let frames = pair.flush(0);
    for bytes in &frames[1..] {
        pair.receive(1, bytes).unwrap();
    }
    pair.exchange();
    let again = pair.flush(0);
    assert_eq!(again, frames[..1], "the same packet, byte for byte");
}

#[test]
fn a_packet_is_repeated_after_the_timeout_ever_later_and_for_ever() {
    let mut pair = Pair::opened(40, 64);
    assert!(pair.send(0, 0, 3));
    let first = pair.flush(0);
    let mut waits = Vec::new();
    for _ in 0..40 {
        let due = pair.links[0].next_deadline().unwrap();
        waits.push(due - pair.now);
        pair.now = due - 1;
        assert_eq!(pair.flush(0), Vec::<Vec<u8>>::new());
        pair.now = due;
        assert!(pair.flush(0).contains(&first[0]));
    }
    assert!(waits[0] >= TIMEOUT_NS_MIN && waits[0] < TIMEOUT_NS_FIRST);
    assert!(waits.is_sorted() && *waits.last().unwrap() == LinkLimits::default().timeout_ns_max);
}

#[test]
fn a_frame_that_the_driver_still_holds_is_copied_not_touched() {
    let mut pair = Pair::opened(40, 64);
    assert!(pair.send(0, 0, 3));
    let (mut held, to) = (VecDeque::new(), SocketAddr::from(([127, 0, 0, 1], 1)));
    pair.links[0].flush(pair.now, &pair.pools[0], &mut held, to);
    let bytes = held[0].frame.to_vec();
    pair.now = pair.links[0].next_deadline().unwrap();
    assert_eq!(pair.flush(0), Vec::<Vec<u8>>::new(), "it waits one more timeout");
    pair.now = pair.links[0].next_deadline().unwrap();
    assert_eq!(pair.flush(0), std::slice::from_ref(&bytes));
    let counters = pair.links[0].counters();
    assert_eq!((counters.repeats_held, counters.repeated_copied), (1, 1));
    assert!(held[0].frame.is_exclusive() && *held[0].frame == *bytes);
}

#[test]
fn a_restarted_peer_gets_everything_that_was_not_done_again() {
    let mut pair = Pair::opened(40, 8);
    (0..3).for_each(|number| assert!(pair.send(0, number, 400)));
    let arrivals = pair.exchange();
    pair.links[1].finish(arrivals[0].1.packet.unwrap(), &[]);
    pair.exchange();
    assert!(pair.send(0, 3, 5), "not even sealed");
    let large = record(0, 1, 0, 4, 100_000);
    pair.links[0].send_large(large.clone(), 0, 4).unwrap();
    pair.links[1] = Link::new(config(1, 99, 8), &pair.pools[1], pair.now);
    for _ in 0..8 {
        pair.now += 1000;
        for index in 0..2 {
            for bytes in pair.flush(index) {
                let _ = pair.receive(1 - index, &bytes);
            }
        }
    }
    let mut events = pair.events(0);
    assert_eq!(events.remove(0), done(0, 1));
    let LinkEvent::Broken { undone, is_other: true } = events.remove(0) else {
        panic!("{events:?}")
    };
    assert_eq!(events, [LinkEvent::Opened]);
    let numbers: Vec<_> = undone.iter().map(|it| (it.conversation, it.number)).collect();
    assert_eq!(numbers, [(0, 1), (0, 2), (0, 3), (0, 4)]);
    assert_eq!(undone[3].record, large);
    assert_eq!(undone[0].record, record(0, 1, 0, 1, 400));
}

#[test]
fn a_peer_that_starts_again_before_its_table_came_is_found() {
    let mut pair = Pair::new(40, 8);
    let rounds = |pair: &mut Pair, arrives: fn(usize, &[u8]) -> bool| {
        for _ in 0..20 {
            pair.now += TIMEOUT_NS_FIRST;
            for index in 0..2 {
                for bytes in pair.flush(index) {
                    let _ = arrives(index, &bytes).then(|| pair.receive(1 - index, &bytes));
                }
            }
        }
    };
    // Our table arrives, and is acknowledged; the peer's packets, its table among them, do not.
    rounds(&mut pair, |from, bytes| from == 0 || LinkHeader::parse(bytes).unwrap().0.has(CONTROL));
    assert!(pair.links[0].record_bytes_max() > 0 && !pair.links[0].is_open());
    assert_eq!(pair.links[0].packets_undone(), 0);
    // The peer that follows waits to be spoken to, as a controller does that knows no addresses.
    pair.links[1] = Link::new(config(1, 99, 8), &pair.pools[1], u64::MAX);
    pair.flush(1);
    (0..10).for_each(|_| {
        pair.now += WATCH_NS;
        rounds(&mut pair, |_, _| true)
    });
    assert!(pair.links.iter().all(Link::is_open));
}

#[test]
fn a_small_message_overtakes_a_large_one() {
    let mut pair = Pair::opened(1000, 256);
    pair.now += LARGE_ALONE_NS;
    let large = record(0, 1, 0, 0, 200_000);
    pair.links[0].send_large(large.clone(), 0, 0).unwrap();
    assert!(pair.send(0, 1, 3));
    let frames = pair.flush(0);
    assert_eq!(frames.len(), 1 + LARGE_FRAMES_BESIDE);
    let (header, area) = LinkHeader::parse(&frames[0]).unwrap();
    assert!(matches!(Records::new(area).step(), Ok(Some(Record::Message(_)))), "{header:?}");
    assert_eq!(pair.links[0].next_deadline(), Some(pair.now), "there is more to send");
}

#[test]
fn a_large_message_is_sent_a_train_at_a_time_where_no_small_ones_go() {
    let mut pair = Pair::opened(1000, 256);
    for number in 0..4 {
        pair.links[0].send_large(record(0, 1, 0, number, 200_000), 0, number).unwrap();
    }
    // The most segments that one flush sends, beside a small message or without.
    let mut most = |pauses_ns: u64, is_beside: bool| {
        pair.now += pauses_ns;
        let mut rounds = (0..40).map(|_| {
            pair.now += 1000;
            assert!(!is_beside || pair.send(0, 0, 3));
            let frames = [pair.flush(0), pair.flush(1)];
            for (from, bytes) in
                (0..2).flat_map(|from| frames[from].iter().map(move |it| (from, it)))
            {
                pair.receive(1 - from, bytes).unwrap();
            }
            frames[0].len() - usize::from(is_beside)
        });
        rounds.by_ref().max()
    };
    assert_eq!(most(0, true), Some(LARGE_FRAMES_BESIDE));
    assert_eq!(most(0, false), Some(LARGE_FRAMES_BESIDE), "one may come at any time");
    assert_eq!(most(LARGE_ALONE_NS, false), Some(LARGE_FRAMES_ALONE));
}

#[test]
fn large_messages_come_whole_and_enough_of_them_are_refused() {
    let mut pair = Pair::opened(1000, 256);
    let large = |number| record(0, 1, 0, number, 900);
    for number in 0..LARGE_AT_ONCE as u64 {
        pair.links[0].send_large(large(number), 0, number).unwrap();
    }
    assert!(!pair.links[0].takes_large(large(0).len()));
    assert_eq!(pair.links[0].send_large(large(0), 0, 0), Err(large(0)));
    for _ in 0..500 {
        pair.exchange();
    }
    let whole = |number| LinkEvent::Large { record: large(number) };
    let came = pair.events(1);
    assert_eq!(came, (0..LARGE_AT_ONCE as u64).map(whole).collect::<Vec<_>>());
    assert_eq!(pair.events(0).len(), LARGE_AT_ONCE, "all of them are parked");
    assert!(pair.links[0].send_large(large(0), 0, 0).is_ok());
    assert_eq!(pair.pools[0].frames_free(), 1000 - CONTROL_FRAMES - 1);
}

/// The shorter is not behind all of the longer, and of many the first is whole before the last is begun.
#[test]
fn large_messages_take_turns_and_not_all_at_once() {
    let mut pair = Pair::opened(1000, 256);
    let bytes = |number: u64| if number == 0 { 60_000 } else { 3_000 };
    for number in 0..20 {
        pair.links[0].send_large(record(0, 1, 0, number, bytes(number)), 0, number).unwrap();
    }
    let mut most = 0;
    for _ in 0..200 {
        pair.exchange();
        most = most.max(pair.links[1].large_halves());
    }
    assert!((2..=LARGE_IN_TURN).contains(&most), "{most}");
    let came = pair.events(1);
    assert_eq!(came.len(), 20);
    assert_eq!(came[19], LinkEvent::Large { record: record(0, 1, 0, 0, 60_000) });
}

#[test]
fn a_lost_status_is_asked_for_and_nothing_is_asked_afterwards() {
    let mut pair = Pair::opened(20, 8);
    assert!(pair.send(0, 0, 3));
    let (_, arrival) = pair.exchange().remove(0);
    pair.exchange();
    pair.links[1].finish(arrival.packet.unwrap(), &[]);
    assert_eq!(pair.flush(1).len(), 1, "the status, which gets lost");
    for _ in 0..2 {
        assert_eq!(pair.events(0), []);
        pair.flush(0);
        pair.now = pair.links[0].next_deadline().unwrap();
        pair.exchange();
    }
    assert_eq!(pair.events(0), [done(0, 1)]);
    pair.exchange();
    assert_eq!(pair.links.each_ref().map(Link::next_deadline), [None, None]);
}

#[test]
fn names_of_parked_messages_outlive_the_session() {
    let mut pair = Pair::opened(40, 8);
    pair.links[1].settle_by_name(named(6), 0);
    assert_eq!(pair.flush(1).len(), 1, "the notice, which gets lost");
    pair.links[0] = Link::new(config(0, 99, 8), &pair.pools[0], pair.now);
    for _ in 0..8 {
        pair.exchange();
    }
    let named = LinkEvent::SettledByName { name: named(6), count: 1, outcome: 0 };
    assert_eq!(pair.events(0), [LinkEvent::Opened, named]);
}

#[test]
fn a_session_whose_numbers_are_used_up_is_replaced_before_the_last() {
    let mut pair = Pair::opened(40, 8);
    let skip = SESSION_PACKETS - RENEWAL_PACKETS - 20;
    let [one, other] = &mut pair.links;
    one.live.as_mut().unwrap().outbound.skip(skip);
    other.live.as_mut().unwrap().inbound.skip(skip);
    pair.now += TIMEOUT_NS_FIRST;
    let (mut next, mut done) = (0, BTreeSet::new());
    for _ in 0..40 {
        next += u64::from(pair.send(0, next, 3));
        pair.now += 1000;
        for from in 0..2 {
            for bytes in pair.flush(from) {
                // What is still under way in the old session is dropped, and goes out again.
                let Ok(arrival) = pair.receive(1 - from, &bytes) else { continue };
                arrival.packet.into_iter().for_each(|it| pair.links[1 - from].finish(it, &[]));
            }
        }
        for event in pair.events(0) {
            match event {
                LinkEvent::Done { first, count, .. } => {
                    done.extend(first..first + u64::from(count))
                }
                LinkEvent::Broken { undone, is_other: false } => {
                    done.extend(undone.iter().map(|it| it.number))
                }
                LinkEvent::Broken { .. } => panic!("the peer's process is the same"),
                _ => {}
            }
        }
    }
    assert_eq!(pair.links.each_ref().map(|link| link.counters().sessions), [2, 2]);
    assert!(next > 30 && done.len() as u64 >= next - 2, "{} of {next}", done.len());
    assert!(pair.links[0].live.as_ref().unwrap().outbound.next() < 100);
}

#[test]
fn the_last_number_of_a_session_is_never_passed() {
    let mut pair = Pair::opened(40, 8);
    let [one, other] = &mut pair.links;
    one.live.as_mut().unwrap().outbound.skip(SESSION_PACKETS - 20);
    other.live.as_mut().unwrap().inbound.skip(SESSION_PACKETS - 20);
    // The peer's greetings get lost, so that there is no new session.
    for number in 0..100 {
        pair.send(0, number, 400);
        pair.now += 1000;
        for bytes in pair.flush(0) {
            if let Some(packet) = pair.receive(1, &bytes).unwrap().packet {
                pair.links[1].finish(packet, &[]);
            }
        }
        for bytes in pair.flush(1) {
            if LinkHeader::new_checked(&bytes).unwrap().session.get() != 0 {
                pair.receive(0, &bytes).unwrap();
            }
        }
    }
    let outbound = &pair.links[0].live.as_ref().unwrap().outbound;
    assert_eq!((outbound.next(), pair.links[0].packets_undone()), (SESSION_PACKETS + 1, 0));
    assert!(!pair.send(0, 100, 400));
}

fn named(number: u64) -> Named {
    Named { source: 0, space: 1, destination: 1, number }
}
