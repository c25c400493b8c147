//! Send side of a session: packets that are being filled, wait to be sent, or are not done.
//!
//! Knows packets, not what control records mean. Invariants: a packet keeps its number and its
//! bytes however often it is sent; a buffer is written or sent again only while nobody else holds
//! it; *received* stops repeats, *done* frees the frame (Ovid §6.1).

use std::collections::VecDeque;
use std::num::NonZeroU64;

use zerocopy::little_endian::{U16, U64};

use super::packet::{Content, Packet, Run, Whereabouts, numbers, records, runs_of};
use super::rate::Rate;
use super::rtt::Rtt;
use super::under_way::UnderWay;
use super::{Counters, LinkEvent, Undone};
use crate::frame::Frame;
use crate::limits::{
    NOTICE_PACKETS, RENEWAL_PACKETS, REORDER_PACKETS, REPEATS_PER_FLUSH, SESSION_PACKETS,
    SPAN_PACKETS,
};
use crate::pool::Pool;
use crate::wire::link::LinkHeader;
use crate::wire::padded;
use crate::wire::record::Records;

/// Bytes behind the last record that make a payload a multiple of 16.
pub(super) const TAIL_BYTES: usize = padded(LinkHeader::BYTES) - LinkHeader::BYTES;
/// What a payload holds beside its records.
pub(super) const AROUND_BYTES: usize = LinkHeader::BYTES + TAIL_BYTES;

#[derive(Debug)]
struct Filling {
    frame: Frame,
    used: usize,
    runs: u32,
    /// What would follow its last message.
    follows: Option<(Stream, u64)>,
}

/// Messages whose headers are alike but for number, floor, length and flags: a number that its caller gives to no
/// others of this link.
pub type Stream = NonZeroU64;

/// A packet without messages that was received.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) content: Content,
    pub(super) frame: Frame,
}

/// When the latest were sent of the packets that were just heard to be received.
#[derive(Default)]
struct Latest {
    /// Of those that were sent once.
    once: Option<u64>,
    /// Of the others.
    again: u64,
}

#[derive(Debug)]
pub(super) struct Outbound {
    /// Number of `packets[0]`.
    base: u64,
    packets: VecDeque<Packet>,
    /// Of `packets`, then of `filling`.
    runs: VecDeque<Run>,
    runs_base: u64,
    filling: Option<Filling>,
    /// Bytes that the records of one frame may take.
    capacity: usize,
    /// Packets up to this one went to the driver.
    sent: u64,
    /// Packets up to this one were received.
    received: u64,
    received_highest: u64,
    /// When the last of those was sent that were received.
    newest: u64,
    credit: u64,
    /// No packet is due before this.
    timer: u64,
    under_way: UnderWay,
    /// Packets that were received and are not done.
    waiting: usize,
}

impl Outbound {
    /// `payload_bytes`: of the largest datagram that both ends take.
    pub(super) fn new(payload_bytes: usize, credit: u64, queue_ns: u64) -> Outbound {
        Outbound {
            base: 1,
            packets: VecDeque::new(),
            runs: VecDeque::new(),
            runs_base: 0,
            filling: None,
            capacity: payload_bytes - AROUND_BYTES,
            sent: 0,
            received: 0,
            received_highest: 0,
            newest: 0,
            credit,
            timer: u64::MAX,
            under_way: UnderWay::new(Rate::new(queue_ns)),
            waiting: 0,
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Number that the next sealed packet gets.
    pub(super) fn next(&self) -> u64 {
        self.base + self.packets.len() as u64
    }

    /// What is heard now may have waited for so long at the ends, nanoseconds.
    #[inline]
    pub(super) fn excuse(&mut self, ns: u64) {
        self.under_way.rate.excuse(ns);
    }

    /// Whether there are few numbers left.
    pub(super) fn is_worn_out(&self) -> bool {
        self.next() > SESSION_PACKETS - RENEWAL_PACKETS
    }

    /// Whether the network takes one more packet.
    pub(super) fn has_window(&self) -> bool {
        self.under_way.has_room(u64::from(self.filling.is_some()))
    }

    /// Whether it takes one more segment.
    pub(super) fn has_window_for_segment(&self) -> bool {
        self.under_way.has_room_for_segment()
    }

    /// Whether the peer takes one more packet, `beyond` packets over the credit.
    pub(super) fn has_credit(&self, beyond: u64) -> bool {
        let next = self.next() + u64::from(self.filling.is_some());
        // The last numbers of the span are kept for notices, which need no credit.
        let span = SPAN_PACKETS - NOTICE_PACKETS + beyond.min(NOTICE_PACKETS);
        next <= self.credit.saturating_add(beyond) && next < self.base + span
    }

    /// As if so many more packets had been sent and were done.
    #[cfg(test)]
    pub(super) fn skip(&mut self, packets: u64) {
        assert!(self.packets.is_empty());
        for number in [&mut self.base, &mut self.sent, &mut self.received, &mut self.credit] {
            *number += packets;
        }
        self.received_highest += packets;
    }

    #[cfg(test)]
    pub(super) fn window(&self) -> u64 {
        self.under_way.rate.window()
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.waiting > 0
    }

    pub(super) fn timer(&self) -> u64 {
        self.timer
    }

    /// How many packets wait to be sent for the first time.
    pub(super) fn unsent(&self) -> usize {
        (self.next() - 1 - self.sent) as usize
    }

    /// Packets that are not done.
    pub(super) fn undone(&self) -> usize {
        self.packets.iter().filter(|packet| !packet.is_done).count()
    }

    /// Whether the frame that is being filled has room for a record.
    pub(super) fn has_tail(&self, bytes: usize) -> bool {
        let used = self.filling.as_ref().map(|filling| filling.used);
        used.is_some_and(|used| self.capacity - used >= padded(bytes))
    }

    /// Free tail of the frame that is being filled: at least `bytes`. None: start another.
    pub(super) fn tail(&mut self, bytes: usize) -> Option<&mut [u8]> {
        let end = LinkHeader::BYTES + self.capacity;
        let filling = self.filling.as_mut()?;
        let start = LinkHeader::BYTES + filling.used;
        if end - start < padded(bytes) {
            return None;
        }
        let frame = filling.frame.bytes_mut().expect("an unsealed frame has one handle");
        Some(&mut frame[start..end])
    }

    /// Starts to fill `frame`; what was being filled has been sealed.
    pub(super) fn fill(&mut self, frame: Frame) {
        assert!(self.filling.is_none(), "sealed before");
        self.filling = Some(Filling { frame, used: 0, runs: 0, follows: None });
    }

    /// Whether a frame is being filled that holds something.
    pub(super) fn is_filling(&self) -> bool {
        self.filling.as_ref().is_some_and(|filling| filling.used > 0)
    }

    /// Keeps `bytes` bytes written to the tail, and zeroes their padding.
    pub(super) fn keep(&mut self, bytes: usize) {
        let end = padded(bytes);
        if end > bytes {
            let tail = self.tail(bytes).expect("a tail of at least `bytes` was open");
            tail[bytes..end].fill(0);
        }
        self.filling.as_mut().expect("it has a tail").used += end;
    }

    /// Whether the last message of the frame that is being filled is the one before `number` of that stream.
    #[inline]
    pub(super) fn follows(&self, stream: Stream, number: u64) -> bool {
        self.filling.as_ref().is_some_and(|it| it.follows == Some((stream, number)))
    }

    /// The record just kept is message `number` of `conversation`, and of that stream.
    pub(super) fn name(&mut self, conversation: u32, number: u64, stream: Option<Stream>) {
        let filling = self.filling.as_mut().expect("a record was kept");
        filling.follows = stream.map(|it| (it, number.wrapping_add(1)));
        let last = self.runs.back_mut().filter(|_| filling.runs > 0);
        if let Some(run) = last
            && run.conversation == conversation
            && run.first.wrapping_add(u64::from(run.count)) == number
        {
            run.count += 1;
            return;
        }
        self.runs.push_back(Run { conversation, first: number, count: 1 });
        filling.runs += 1;
    }

    /// Gives the frame that is being filled its number; an empty one goes back to its pool.
    /// `header` has all but the packet. Whether a packet was sealed.
    pub(super) fn seal(&mut self, mut header: LinkHeader, content: Content) -> bool {
        let number = self.next();
        let Some(Filling { mut frame, used, runs, .. }) = self.filling.take_if(|it| it.used > 0)
        else {
            self.filling = None;
            return false;
        };
        header.packet = crate::wire::U48::new(number);
        let bytes = used + AROUND_BYTES;
        let payload = frame.bytes_mut().expect("an unsealed frame has one handle");
        header.emit(payload);
        payload[LinkHeader::BYTES + used..bytes].fill(0);
        let runs_first = self.runs_base + self.runs.len() as u64 - u64::from(runs);
        self.under_way.enter(content);
        self.packets.push_back(Packet {
            frame: Some(frame),
            bytes,
            content,
            runs,
            runs_first,
            sent_at: 0,
            due: u64::MAX,
            times_sent: 0,
            whereabouts: Whereabouts::UnderWay,
            is_done: false,
            is_overdue: false,
        });
        true
    }

    /// Sends what was never sent.
    pub(super) fn transmit(&mut self, now: u64, rtt: &Rtt, mut send: impl FnMut(Frame)) {
        while self.sent + 1 < self.next() {
            self.sent += 1;
            let packet = &mut self.packets[(self.sent - self.base) as usize];
            let frame = packet.frame.as_ref().expect("not sent, so not done");
            send(frame.slice(0..packet.bytes));
            packet.sent_at = now;
            packet.times_sent = 1;
            packet.due = now + rtt.timeout(0);
            self.timer = self.timer.min(packet.due);
        }
    }

    /// Sends again what is due. Returns whether anything was.
    pub(super) fn repeat(
        &mut self,
        now: u64,
        rtt: &Rtt,
        pool: &Pool,
        counters: &mut Counters,
        mut send: impl FnMut(Frame),
    ) -> bool {
        if now < self.timer {
            return false;
        }
        let (mut timer, mut budget) = (u64::MAX, REPEATS_PER_FLUSH);
        let first = (self.received + 1).max(self.base) - self.base;
        for packet in self.packets.iter_mut().skip(first as usize) {
            if packet.is_received() || packet.times_sent == 0 {
                continue;
            }
            if packet.due <= now {
                if packet.whereabouts == Whereabouts::UnderWay {
                    self.under_way.put(packet, Whereabouts::Lost);
                }
                if !self.under_way.has_room_for_repeat() {
                    // There is when one of those that are under way is heard of, or is due.
                    continue;
                }
                if budget > 0 {
                    budget -= 1;
                    if let Some(frame) = packet.again(now, rtt, pool, counters) {
                        self.under_way.put(packet, Whereabouts::UnderWay);
                        send(frame);
                    }
                }
            }
            timer = timer.min(packet.due);
        }
        self.timer = timer;
        budget < REPEATS_PER_FLUSH
    }

    /// Packets up to `through` were received, and those that `words` name above it.
    pub(super) fn hear_received(
        &mut self,
        now: u64,
        through: u64,
        words: &[U64],
        rtt: &mut Rtt,
        heard: &mut Vec<Heard>,
    ) {
        let last = through.min(self.sent);
        if last <= self.received && words.is_empty() {
            return;
        }
        let (mut latest, under_way) = (Latest::default(), self.under_way.all());
        for number in self.received.max(self.base - 1) + 1..=last {
            self.hear_one(number, &mut latest, heard);
        }
        self.received = self.received.max(last);
        for number in numbers(through, words, self.sent) {
            self.hear_one(number, &mut latest, heard);
        }
        if let Some(sent_at) = latest.once {
            self.newest = self.newest.max(sent_at);
            rtt.sample(now.saturating_sub(sent_at));
            self.under_way.rate.hear(now, sent_at, under_way);
        }
        if self.received_highest > self.received {
            self.find_lost(now, latest.again, rtt.smoothed().unwrap_or(0));
        }
        if self.under_way.has_lost() {
            self.timer = now;
        }
        if self.received == self.sent {
            self.timer = u64::MAX;
        }
        self.shrink();
    }

    fn hear_one(&mut self, number: u64, latest: &mut Latest, heard: &mut Vec<Heard>) {
        let Some(index) = number.checked_sub(self.base) else { return };
        let packet = &mut self.packets[index as usize];
        if packet.is_received() {
            return;
        }
        self.under_way.put(packet, Whereabouts::Received);
        match packet.times_sent {
            1 => latest.once = Some(packet.sent_at),
            _ => latest.again = latest.again.max(packet.sent_at),
        }
        self.received_highest = self.received_highest.max(number);
        if packet.is_done {
            return;
        }
        if packet.content == Content::Messages {
            self.waiting += 1;
            return;
        }
        packet.is_done = true;
        let frame = packet.frame.take().expect("kept until it is done");
        heard.push(Heard { content: packet.content, frame });
    }

    /// Packets sent once, that [`REORDER_PACKETS`] later ones overtook, are due now: RFC 9002
    /// §6.1.1. So are repeats, when something was received that was sent a quarter of a round trip after
    /// them: RFC 8985 §6.2. `again`: when the latest repeat was sent that was received.
    fn find_lost(&mut self, now: u64, again: u64, round_trip: u64) {
        // Sooner than that after the repeat, an earlier copy was received.
        if again.saturating_add(round_trip / 2) <= now {
            self.newest = self.newest.max(again);
        }
        let first = (self.received + 1).max(self.base);
        for number in first..=self.received_highest.saturating_sub(REORDER_PACKETS) {
            let packet = &mut self.packets[(number - self.base) as usize];
            let is_overtaken = packet.times_sent == 1
                || packet.sent_at.saturating_add(round_trip / 4) < self.newest;
            if packet.whereabouts == Whereabouts::UnderWay && is_overtaken && packet.due > now {
                packet.due = now;
                self.under_way.put(packet, Whereabouts::Lost);
            }
        }
    }

    /// Packets up to `through` are done, and those that `words` name above it.
    pub(super) fn hear_done(
        &mut self,
        through: u64,
        words: &[U64],
        events: &mut VecDeque<LinkEvent>,
    ) {
        for number in self.base..=through.min(self.sent) {
            self.finish(number, &[], events);
        }
        for number in numbers(through, words, self.sent) {
            self.finish(number, &[], events);
        }
        self.shrink();
    }

    /// All messages of a packet are done but those at the positions `parked`, ascending: they go
    /// back to the outbox.
    pub(super) fn hear_parked(
        &mut self,
        number: u64,
        parked: &[U16],
        events: &mut VecDeque<LinkEvent>,
    ) {
        if number <= self.sent {
            self.finish(number, parked, events);
            self.shrink();
        }
    }

    fn finish(&mut self, number: u64, parked: &[U16], events: &mut VecDeque<LinkEvent>) {
        let Some(index) = number.checked_sub(self.base) else { return };
        let packet = &mut self.packets[index as usize];
        if packet.is_done || packet.content != Content::Messages {
            return;
        }
        packet.is_done = true;
        self.waiting -= usize::from(packet.is_received());
        self.under_way.put(packet, Whereabouts::Received);
        let frame = packet.frame.take();
        let runs = runs_of(&self.runs, self.runs_base, packet);
        if parked.is_empty() {
            for Run { conversation, first, count } in runs {
                events.push_back(LinkEvent::Done { conversation, first, count });
            }
            return;
        }
        let mut records = frame.as_ref().map(records);
        for (position, (conversation, number)) in runs.flat_map(Run::names).enumerate() {
            let message = records.as_mut().and_then(Records::next_message);
            let is_parked = u16::try_from(position)
                .is_ok_and(|it| parked.binary_search_by_key(&it, |parked| parked.get()).is_ok());
            if !is_parked {
                events.push_back(LinkEvent::Done { conversation, first: number, count: 1 });
            } else if let Some(message) = message {
                let record = message.to_vec();
                events.push_back(LinkEvent::Parked { conversation, number, record });
            }
        }
    }

    #[inline]
    fn shrink(&mut self) {
        while let Some(packet) = self.packets.pop_front_if(|it| it.is_done && it.times_sent > 0) {
            self.base += 1;
            self.runs_base += u64::from(packet.runs);
            for _ in 0..packet.runs {
                self.runs.pop_front();
            }
        }
    }

    pub(super) fn hear_credit(&mut self, credit: u64) -> bool {
        let credit = credit.min(SESSION_PACKETS);
        let grew = credit > self.credit;
        self.credit = self.credit.max(credit);
        grew
    }

    /// Everything that is not done, and not in the outbox already.
    pub(super) fn abandon(mut self) -> (Vec<Undone>, Vec<Frame>) {
        // The caller has gone on: what it was filling counts as sealed.
        self.seal(LinkHeader::default(), Content::Messages);
        let (mut undone, mut notices) = (Vec::new(), Vec::new());
        for packet in &mut self.packets {
            let Some(frame) = packet.frame.take() else { continue };
            if packet.content == Content::Notices {
                notices.push(frame);
                continue;
            }
            let mut records = records(&frame);
            let names = runs_of(&self.runs, self.runs_base, packet).flat_map(Run::names);
            undone.extend(names.map_while(|(conversation, number)| {
                let record = records.next_message()?.to_vec();
                Some(Undone { conversation, number, record })
            }));
        }
        (undone, notices)
    }
}
