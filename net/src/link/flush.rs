//! End of a turn: what a link says, in which frames. Greetings first, then packets, then, if no
//! packet could carry it, one status in the control lane. A link with nothing to say sends nothing.

use std::collections::VecDeque;
use std::net::SocketAddr;

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U32, U64};

use super::guard::SEAL_BYTES;
use super::packet::Content;
use super::receive::STATUS_BYTES_MAX;
use super::send::{AROUND_BYTES, TAIL_BYTES};
use super::session::Greeting;
use super::{Link, emit_control, header};
use crate::driver::Outgoing;
use crate::frame::Frame;
use crate::limits::{
    CONTROL_FRAMES, LARGE_ALONE_NS, LARGE_FRAMES_ALONE, LARGE_FRAMES_BESIDE, NOTICE_PACKETS,
    REPEATS_BEFORE_HELLO, WATCH_NS,
};
use crate::pool::Pool;
use crate::wire::control::{self, Hello, SchemaEntry, Segment};
use crate::wire::link::{ASK, CONTROL, LinkHeader};
use crate::wire::record::ControlHead;
use crate::wire::{U48, padded};

const _: () = assert!(
    AROUND_BYTES + SEAL_BYTES + ControlHead::BYTES + STATUS_BYTES_MAX
        <= crate::limits::PAYLOAD_BYTES_MIN
);

impl Link {
    /// Ends the turn: appends to `out`, addressed to `to`, everything that is to be said now.
    #[inline]
    pub fn flush(&mut self, now: u64, pool: &Pool, out: &mut VecDeque<Outgoing>, to: SocketAddr) {
        if now >= self.rests_until {
            self.end_turn(now, pool, out, to);
        }
        self.turn_at = now;
    }

    fn end_turn(&mut self, now: u64, pool: &Pool, out: &mut VecDeque<Outgoing>, to: SocketAddr) {
        // What the link says goes through the guard, if there is one.
        let mut guard = self.guard.take();
        let mut unsealed = 0;
        let mut send = |frame: Frame| {
            let sealed = match &mut guard {
                Some(guard) => guard.seal(&frame),
                None => Some(frame),
            };
            match sealed {
                Some(frame) => out.push_back(Outgoing { frame, to }),
                None => unsealed += 1,
            }
        };
        self.retry_at = u64::MAX;
        if !self.has_reserve() {
            self.reserve(pool);
        }
        if self.needs_session() || self.opening.has_word() {
            self.greet(now, pool, &mut send);
        }
        if self.live.is_some() {
            self.speak(now, pool, &mut send);
        }
        self.counters.unsealed += unsealed;
        self.guard = guard;
        if self.has_reserve() {
            self.rests_until = self.next_deadline().unwrap_or(u64::MAX);
        }
    }

    fn speak(&mut self, now: u64, pool: &Pool, mut send: impl FnMut(Frame)) {
        self.send_schemas(now, pool);
        self.append_status();
        self.seal(Content::Messages);
        self.send_notices(now, pool);
        self.send_segments(now, pool);
        // Behind everything that may find credit missing: who is stalled has a time to ask.
        let asks = self.asks(now);
        self.send_status(now, asks, pool, &mut send);
        self.transmit(now, pool, &mut send);
        if self.opening.has_word() {
            self.greet(now, pool, &mut send);
        }
    }

    /// Takes the frames that control needs when the pool is empty.
    pub(super) fn reserve(&mut self, pool: &Pool) {
        while self.control.len() < CONTROL_FRAMES
            && let Some(frame) = pool.take()
        {
            self.control.push(frame);
        }
        if self.notice_frame.is_none() {
            self.notice_frame = pool.take();
        }
    }

    fn has_reserve(&self) -> bool {
        self.control.len() == CONTROL_FRAMES && self.notice_frame.is_some()
    }

    fn greet(&mut self, now: u64, pool: &Pool, send: &mut impl FnMut(Frame)) {
        if self.needs_session() && now >= self.hello_due {
            self.opening.renew();
            self.hello_due = now + self.rtt.timeout(self.hellos);
            self.hellos += 1;
        }
        while let Some(Greeting { nonce, echo, established }) = self.opening.next() {
            let hello = Hello {
                nonce: U64::new(nonce),
                echo: U64::new(echo),
                credit: U32::new(self.config.limits.credit_frames),
                schemas: U32::new(self.config.schemas.len() as u32),
                payload_bytes_max: U32::new(self.config.payload_bytes_max as u32),
                established: U32::new(u32::from(established)),
                life: U64::new(self.config.life),
            };
            let mut area = [0; padded(ControlHead::BYTES + size_of::<Hello>())];
            let parts = [hello.as_bytes()];
            emit_control(&mut area, control::HELLO, control::ARCHIVE_FORMAT, &parts);
            // Without a frame it is lost like any other; who needs it asks again.
            self.send_control(now, 0, 0, &area, pool, send);
        }
    }

    /// Our schema table, as packets: no message is sent before all of it was received.
    fn send_schemas(&mut self, now: u64, pool: &Pool) {
        if self.live.as_ref().is_some_and(|live| live.are_schemas_sent(self.config.schemas.len())) {
            return;
        }
        let table = self.config.schemas.clone();
        while let Some(live) = &mut self.live
            && !live.are_schemas_sent(table.len())
        {
            if !live.has_credit() || !live.outbound.has_window() {
                return;
            }
            let Some(frame) = notice_frame(pool, &mut self.notice_frame) else {
                self.retry_at = now + self.config.limits.timeout_ns_min;
                return;
            };
            live.outbound.fill(frame);
            let fits = (live.outbound.capacity() - ControlHead::BYTES) / size_of::<SchemaEntry>();
            let first = live.schemas_sent;
            let part = &table[first..table.len().min(first + fits)];
            let tail = live.outbound.tail(ControlHead::BYTES).expect("an empty frame");
            let mut used = emit_control(tail, control::SCHEMAS, first as u32, &[]);
            for schema in part {
                let entry = SchemaEntry {
                    hash: U64::new(schema.hash),
                    version: schema.version.into(),
                    ..Default::default()
                };
                tail[used..used + size_of::<SchemaEntry>()].copy_from_slice(entry.as_bytes());
                used += size_of::<SchemaEntry>();
            }
            ControlHead {
                kind: control::SCHEMAS,
                length: ((used - ControlHead::BYTES) as u16).into(),
                argument: U32::new(first as u32),
                ..Default::default()
            }
            .emit(tail);
            live.outbound.keep(used);
            live.schemas_sent += part.len();
            live.schemas_packets += 1;
            live.schemas_unheard += 1;
            self.seal(Content::Schemas);
        }
    }

    /// Whether to ask the peer for its status: packets were received and are not done, or credit is
    /// missing, and nothing was heard of it for a timeout; or the caller waits for the peer, or we for its
    /// table, and it may have gone without a word.
    fn asks(&mut self, now: u64) -> bool {
        let Some(live) = &mut self.live else { return false };
        let needs = live.is_stalled || live.outbound.is_waiting();
        if !needs && !self.is_watched && live.is_open {
            (live.ask_due, live.asks) = (u64::MAX, 0);
            return false;
        }
        let is_due = now >= live.ask_due;
        if is_due {
            live.asks += 1;
            live.silence += 1;
        }
        let next = now + if needs { self.rtt.timeout(live.asks) } else { WATCH_NS };
        live.ask_due = if is_due { next } else { live.ask_due.min(next) };
        is_due
    }

    /// Puts the status behind the messages of the last frame, if it has room, and if the frame's header
    /// does not say as much.
    fn append_status(&mut self) {
        let Some(live) = &mut self.live else { return };
        if !live.owes_status() || live.inbound.is_even() || !live.outbound.is_filling() {
            return;
        }
        let mut status = [0; STATUS_BYTES_MAX];
        let bytes = live.inbound.emit_status(&mut status);
        if let Some(tail) = live.outbound.tail(ControlHead::BYTES + bytes) {
            let used = emit_control(tail, control::STATUS, 0, &[&status[..bytes]]);
            live.outbound.keep(used);
            (live.inbound.owes_status, live.inbound.owes_ack) = (false, false);
        }
    }

    fn send_notices(&mut self, now: u64, pool: &Pool) {
        while let Some(live) = self.live.as_mut().filter(|live| live.is_open)
            && !self.notices.is_empty()
        {
            // Every packet that is received lets one more go.
            if !live.outbound.has_credit(NOTICE_PACKETS) {
                live.is_stalled = true;
                return;
            }
            let Some(frame) = notice_frame(pool, &mut self.notice_frame) else {
                self.retry_at = now + self.config.limits.timeout_ns_min;
                return;
            };
            live.outbound.fill(frame);
            let tail = live.outbound.tail(0).expect("an empty frame");
            let used = self.notices.emit(tail);
            live.outbound.keep(used);
            self.seal(Content::Notices);
        }
    }

    /// Cuts large messages, a bounded part of them each turn, and leaves half of the credit to
    /// others.
    fn send_segments(&mut self, now: u64, pool: &Pool) {
        let Some(live) = self.live.as_ref().filter(|live| live.cutter.has_more()) else { return };
        let is_alone = self.turn_at >= live.small_at.saturating_add(LARGE_ALONE_NS);
        let frames = if is_alone { LARGE_FRAMES_ALONE } else { LARGE_FRAMES_BESIDE };
        for _ in 0..frames {
            let Some(live) = &mut self.live else { return };
            if !live.cutter.has_more() || live.segments_unheard >= live.segments_unheard_max {
                return;
            }
            if !live.has_credit() || !live.outbound.has_window_for_segment() {
                return;
            }
            let Some(frame) = pool.take() else {
                self.retry_at = now + self.config.limits.timeout_ns_min;
                return;
            };
            live.outbound.fill(frame);
            let around = ControlHead::BYTES + size_of::<Segment>();
            let bytes_max = live.outbound.capacity() - around;
            let cut = live.cutter.cut(bytes_max).expect("there is more to cut");
            let (id, total, offset, bytes) = cut;
            let segment = Segment {
                total: U32::new(total as u32),
                offset: U32::new(offset as u32),
                ..Default::default()
            };
            let tail = live.outbound.tail(around + bytes.len()).expect("cut to fit");
            let used = emit_control(tail, control::SEGMENT, id, &[segment.as_bytes(), bytes]);
            live.outbound.keep(used);
            live.segments_unheard += 1;
            self.seal(Content::Segment(id));
        }
        if self.live.as_ref().is_some_and(|live| live.cutter.has_more()) {
            self.retry_at = now;
        }
    }

    /// Sends the status alone, if it is owed and no packet carries it.
    fn send_status(&mut self, now: u64, asks: bool, pool: &Pool, send: &mut impl FnMut(Frame)) {
        let Some(live) = &mut self.live else { return };
        let is_carried = live.outbound.unsent() > 0 && live.sealed_ack == live.inbound.ack();
        if !asks && !live.owes_status() && (!live.inbound.owes_ack || is_carried) {
            live.inbound.owes_ack = false;
            return;
        }
        let mut status = [0; STATUS_BYTES_MAX];
        let bytes = live.inbound.emit_status(&mut status);
        let mut area = [0; ControlHead::BYTES + STATUS_BYTES_MAX];
        let used = emit_control(&mut area, control::STATUS, 0, &[&status[..bytes]]);
        let (id, flags) = (live.id, if asks { ASK } else { 0 });
        if self.send_control(now, id, flags, &area[..used], pool, send)
            && let Some(live) = &mut self.live
        {
            (live.inbound.owes_status, live.inbound.owes_ack) = (false, false);
        }
    }

    /// Sends one frame of the control lane. False: there was no frame for it.
    fn send_control(
        &mut self,
        now: u64,
        session: u32,
        flags: u8,
        area: &[u8],
        pool: &Pool,
        send: &mut impl FnMut(Frame),
    ) -> bool {
        let own = self.control.iter_mut().find(|frame| frame.is_exclusive());
        let mut taken = None;
        let Some(frame) = own.or_else(|| {
            taken = pool.take();
            taken.as_mut()
        }) else {
            self.retry_at = now + self.config.limits.timeout_ns_min;
            return false;
        };
        self.control_packets += 1;
        let ack = self.live.as_ref().filter(|_| session != 0).map_or(0, |live| live.inbound.ack());
        let away = LinkHeader::away_flags(std::mem::take(&mut self.away_ns));
        let header = LinkHeader {
            packet: U48::new(self.control_packets),
            ack: U48::new(ack),
            ..header(&self.config, flags | away | CONTROL, session)
        };
        let end = LinkHeader::BYTES + padded(area.len());
        let payload = frame.bytes_mut().expect("nobody else holds it");
        header.emit(payload);
        payload[LinkHeader::BYTES..][..area.len()].copy_from_slice(area);
        payload[LinkHeader::BYTES + area.len()..end + TAIL_BYTES].fill(0);
        send(frame.slice(0..end + TAIL_BYTES));
        self.counters.control_frames += 1;
        true
    }

    fn transmit(&mut self, now: u64, pool: &Pool, send: &mut impl FnMut(Frame)) {
        let Some(live) = &mut self.live else { return };
        live.outbound.transmit(now, &self.rtt, &mut *send);
        let counters = &mut self.counters;
        if live.outbound.repeat(now, &self.rtt, pool, counters, send) {
            live.silence += 1;
        }
        if live.silence > REPEATS_BEFORE_HELLO {
            live.silence = 0;
            self.opening.ask();
        }
    }
}

/// A frame for what must go even when the pool is empty.
fn notice_frame(pool: &Pool, kept: &mut Option<Frame>) -> Option<Frame> {
    pool.take().or_else(|| kept.take_if(|frame| frame.is_exclusive()))
}
