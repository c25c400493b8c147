//! Greetings, questions, packets and remains of earlier sessions, in any order, changed and made up, for one
//! end of a link: it answers no greeting twice and nothing with more than was asked, gives back what it was
//! given to send once, keeps within its bounds, and then still finds an honest peer.
//! Input: 5 bytes a step.

use std::collections::BTreeSet;

use daedal_net::limits::{LARGE_AT_ONCE, SPAN_PACKETS};
use daedal_net::link::{LinkEvent, Named, PacketId, Stream};
use daedal_net::wire::U48;
use daedal_net::wire::control::{
    ARCHIVE_FORMAT, Control, DONE_NAMED, HELLO, Hello, MESSAGE, PARKED, SCHEMAS, STATUS, Status,
};
use daedal_net::wire::link::{ASK, CONTROL, LinkHeader};
use daedal_net::wire::message::{MessageHeader, ShortHeader};
use daedal_net::wire::record::Records;
use zerocopy::IntoBytes;

use crate::ends::End;

/// Of one input.
const STEPS_MAX: usize = 200;
/// Frames that are remembered, of both ends.
const REMEMBERED: usize = 64;
const MS: u64 = 1_000_000;

/// The greeting in a frame outside any session.
fn greeting(bytes: &[u8]) -> Option<Hello> {
    let (header, area) = LinkHeader::parse(bytes).ok()?;
    let mut records = Records::new(area);
    let heads = std::iter::from_fn(|| records.next_control());
    let mut controls = heads.filter_map(|(head, body)| Control::parse(head, body).ok());
    controls.find_map(|control| match control {
        Control::Hello(hello) if header.session.get() == 0 => Some(*hello),
        _ => None,
    })
}

fn control(kind: u8, argument: u32, body: &[u8]) -> Vec<u8> {
    let mut record = vec![0; 8];
    record.extend([kind, 0]);
    record.extend((body.len() as u16).to_le_bytes());
    record.extend(argument.to_le_bytes());
    record.extend(body);
    record.resize(record.len().next_multiple_of(16), 0);
    record
}

fn message(number: u64, body: usize) -> Vec<u8> {
    let header = MessageHeader {
        destination: 1.into(),
        number: number.into(),
        length: (body as u32).into(),
        ..Default::default()
    };
    let mut record = vec![7; MessageHeader::BYTES + body];
    header.emit(&mut record);
    record
}

/// The end that is tried, and what it may still say.
struct Tried {
    end: End,
    now: u64,
    /// Greetings that it heard and has not answered.
    asked: usize,
    /// Statuses that it may say: one for each frame that it heard, and each packet that was finished.
    statuses: usize,
    /// What it was given to send, and has not given back.
    given: BTreeSet<u64>,
    given_count: u64,
    in_hand: Vec<PacketId>,
    said: Vec<Vec<u8>>,
    nonces: Vec<u64>,
}

impl Tried {
    fn hear(&mut self, bytes: &[u8]) {
        self.asked += usize::from(greeting(bytes).is_some());
        self.statuses += 1;
        let Some(arrival) = self.end.hear(self.now, bytes) else { return };
        if let Ok(arrival) = arrival {
            assert_eq!(arrival.records().next_message().is_some(), arrival.packet.is_some());
            self.in_hand.extend(arrival.packet);
        }
        self.take_events();
        assert!(self.end.link.large_halves() <= LARGE_AT_ONCE);
        assert!(self.end.link.packets_undone() <= SPAN_PACKETS as usize);
    }

    fn take_events(&mut self) {
        while let Some(event) = self.end.link.next_event() {
            let mut back = |number| assert!(self.given.remove(&number), "{number} was not there");
            let is_it = |record: &[u8], number| {
                let header = MessageHeader::parse(record).expect("it has a whole header").header;
                assert_eq!(header.number.get(), number, "it is another");
            };
            match event {
                LinkEvent::Done { first, count, .. } => {
                    (first..first + u64::from(count)).for_each(back);
                }
                LinkEvent::Parked { number, record, .. } => {
                    is_it(&record, number);
                    back(number);
                }
                LinkEvent::Broken { undone, .. } => {
                    for it in undone {
                        is_it(&it.record, it.number);
                        back(it.number);
                    }
                    // Nothing of an earlier session is anywhere.
                    assert!(self.given.is_empty());
                }
                LinkEvent::Opened | LinkEvent::SettledByName { .. } | LinkEvent::Large { .. } => {}
            }
        }
    }

    fn flush(&mut self) -> Vec<Vec<u8>> {
        let said = self.end.flush(self.now);
        self.take_events();
        let mut questions = 0;
        for bytes in &said {
            let header = LinkHeader::new_checked(bytes).expect("ours");
            match greeting(bytes) {
                Some(hello) if hello.echo.get() == 0 => questions += 1,
                Some(_) => {
                    assert!(self.asked > 0, "nobody asked");
                    self.asked -= 1;
                }
                None if header.has(CONTROL) && !header.has(ASK) => {
                    assert!(self.statuses > 0, "it was not spoken to");
                    self.statuses -= 1;
                }
                None => {}
            }
            if let Some(hello) = greeting(bytes) {
                self.nonces.push(hello.nonce.get());
            }
        }
        assert!(questions <= 1);
        // What was not answered at once is not answered later.
        self.asked = 0;
        self.said.extend(said.iter().cloned());
        said
    }

    fn send(&mut self) {
        let (number, End { link, pool }) = (self.given_count, &mut self.end);
        let whole = message(number, 8);
        if !link.make_room(pool, whole.len()) {
            return;
        }
        let record = match link.follows(Stream::MIN, number) {
            true => {
                let length = (whole.len() - MessageHeader::BYTES) as u16;
                let short =
                    ShortHeader { kind: MESSAGE, length: length.into(), ..Default::default() };
                [short.as_bytes(), &whole[MessageHeader::BYTES..]].concat()
            }
            false => whole,
        };
        let room = link.room(record.len()).expect("it was made");
        room[..record.len()].copy_from_slice(&record);
        link.close(record.len(), 0, number, Some(Stream::MIN));
        self.given.insert(number);
        self.given_count += 1;
    }

    /// A number that stands somewhere in what was said, or anything.
    fn nonce(&self, which: u8) -> u64 {
        match which {
            0..8 => u64::from(which),
            _ => self.nonces[usize::from(which) % self.nonces.len()],
        }
    }

    /// The header of its own last frame in a session, turned round.
    fn header(&self, packet: u8, flags: u8, ack: u8) -> LinkHeader {
        let mut found =
            self.said.iter().rev().map(|bytes| *LinkHeader::new_checked(bytes).expect("ours"));
        let last = found.find(|header| header.session.get() != 0).unwrap_or_default();
        LinkHeader {
            version: 1,
            flags,
            source_box: 0.into(),
            session: last.session,
            packet: U48::new(packet.into()),
            ack: U48::new(ack.into()),
            ..Default::default()
        }
    }
}

fn framed(header: LinkHeader, records: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; LinkHeader::BYTES];
    header.emit(&mut bytes);
    bytes.extend(records);
    bytes.resize(bytes.len() + 10, 0);
    bytes
}

/// One step. `peer`: an honest one, whose link may be another by now.
fn step(tried: &mut Tried, peer: &mut End, [what, a, b, c, d]: [u8; 5]) {
    let now = tried.now;
    match what % 12 {
        0 | 1 => {
            tried.now += u64::from(a) * MS;
            for bytes in tried.flush() {
                if b & 1 == 0 {
                    let _ = peer.hear(tried.now, &bytes);
                }
            }
        }
        2 => {
            let said = peer.flush(now);
            tried
                .nonces
                .extend(said.iter().filter_map(|bytes| greeting(bytes)).map(|it| it.nonce.get()));
            for bytes in said {
                if a & 1 == 0 {
                    tried.hear(&bytes);
                }
                tried.said.push(bytes);
            }
        }
        3 | 4 if !tried.said.is_empty() => {
            let mut bytes = tried.said[usize::from(a) % tried.said.len()].clone();
            if what & 32 != 0 {
                let at = usize::from(b) % bytes.len();
                bytes[at] ^= c;
            }
            // Also its own words come back to it.
            bytes[2] = 0;
            tried.hear(&bytes);
        }
        5 => {
            let hello = Hello {
                nonce: tried.nonce(a).into(),
                echo: tried.nonce(b).into(),
                credit: u32::from(c).into(),
                schemas: u32::from(d & 3).into(),
                payload_bytes_max: (512 + u32::from(d) * 16).into(),
                established: u32::from(d >> 7).into(),
                life: u64::from(a).into(),
            };
            let told = control(HELLO, ARCHIVE_FORMAT, hello.as_bytes());
            tried.nonces.push(hello.nonce.get().max(1));
            tried.hear(&framed(
                LinkHeader { session: 0.into(), ..tried.header(1, CONTROL, 0) },
                &told,
            ));
        }
        6 => {
            let status = Status {
                credit: u64::from(c).into(),
                received: u64::from(a).into(),
                done: u64::from(b).into(),
                received_words: 1.into(),
                done_words: 1.into(),
                zero: 0.into(),
            };
            let body = [status.as_bytes(), &[d; 16]].concat();
            tried
                .hear(&framed(tried.header(1, CONTROL | (d & ASK), a), &control(STATUS, 0, &body)));
        }
        7 => {
            let records = match d % 4 {
                0 => message(u64::from(a), 8),
                1 => control(SCHEMAS, u32::from(b & 1), &[c; 16][..usize::from(b & 16)]),
                2 => {
                    let mut body = u64::from(b).to_le_bytes().to_vec();
                    body.extend([c & 3, 0, c & 12, 0]);
                    control(PARKED, 0, &body)
                }
                _ => control(DONE_NAMED, 0, &[c; 40]),
            };
            tried.hear(&framed(tried.header(a, d & !CONTROL, b), &records));
        }
        8 => {
            // It starts again, and knows nothing.
            *peer = End::new(0, 1000 + u64::from(a), None);
        }
        9 => (0..=a % 8).for_each(|_| tried.send()),
        10 => {
            let large = message(tried.given_count, 1500);
            if tried.end.link.send_large(large, 0, tried.given_count).is_ok() {
                tried.given.insert(tried.given_count);
                tried.given_count += 1;
            }
        }
        _ => {
            if let Some(packet) = tried.in_hand.pop() {
                tried.statuses += 1;
                tried.end.link.finish(packet, if a & 1 == 0 { &[] } else { &[0] });
                let name = Named { source: 1, space: 1, destination: 2, number: u64::from(b) };
                tried.end.link.settle_by_name(name, 0);
            }
        }
    }
    let surplus = tried.said.len().saturating_sub(REMEMBERED);
    tried.said.drain(..surplus);
    let surplus = tried.nonces.len().saturating_sub(REMEMBERED);
    tried.nonces.drain(..surplus);
}

/// Whatever came before: who starts now is heard, and hears.
fn finds(tried: &mut Tried, mut peer: End) -> bool {
    tried.now += 60_000 * MS;
    tried.in_hand.clear();
    let mut heard = false;
    for _ in 0..200 {
        tried.now += 50 * MS;
        let record = message(0, 8);
        if let Some(room) = peer.link.open(&peer.pool, record.len()) {
            room[..record.len()].copy_from_slice(&record);
            peer.link.close(record.len(), 0, 0, None);
        }
        tried.send();
        for bytes in tried.flush() {
            let arrival = peer.hear(tried.now, &bytes).and_then(Result::ok);
            heard |= arrival.is_some_and(|arrival| arrival.packet.is_some());
        }
        for bytes in peer.flush(tried.now) {
            tried.hear(&bytes);
        }
        while peer.link.next_event().is_some() {}
        if heard && !tried.in_hand.is_empty() {
            return true;
        }
    }
    false
}

/// One input.
pub fn run(data: &[u8]) {
    let mut peer = End::new(0, 1, None);
    let mut tried = Tried {
        end: End::new(1, 2, None),
        now: 1,
        asked: 0,
        statuses: 0,
        given: BTreeSet::new(),
        given_count: 0,
        in_hand: Vec::new(),
        said: Vec::new(),
        nonces: vec![1],
    };
    for input in data.as_chunks::<5>().0.iter().take(STEPS_MAX) {
        step(&mut tried, &mut peer, *input);
    }
    assert!(finds(&mut tried, End::new(0, 1 << 40, None)));
    let End { link, pool } = tried.end;
    drop(link);
    assert_eq!(pool.frames_free(), pool.frames_count());
}
