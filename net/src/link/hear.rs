//! A frame comes in: it is checked whole, then taken in whole, or dropped with a reason.

use zerocopy::little_endian::U64;

use super::guard::SEAL_BYTES;
use super::notice::controls;
use super::packet::Content;
use super::receive::Inbound;
use super::segment::Cutter;
use super::send::{Heard, Outbound};
use super::session::{Greeting, Session};
use super::{Arrival, Link, LinkConfig, LinkEvent, Live, Named, PacketId, Undone};
use crate::error::DropReason;
use crate::frame::Frame;
use crate::limits::{PAYLOAD_BYTES_MIN, RECORD_ALIGN, SCHEMAS_MAX};
use crate::wire::control::{Control, Hello, NamedRun, Status};
use crate::wire::link::{ASK, CONTROL, DONE, LinkHeader, SEALED};
use crate::wire::message::MessageHeader;
use crate::wire::record::{Record, Records};

/// What a frame holds, as far as its reading depends on it.
#[derive(Default)]
struct Summary {
    messages: usize,
    controls: usize,
    segments: usize,
}

impl Link {
    /// Takes in a frame from the peer, and hands its messages out in place.
    /// # Errors
    /// Why the frame was dropped, counted; nothing in it was heard, unless it is a duplicate, which
    /// is answered again.
    pub fn receive(&mut self, now: u64, frame: Frame) -> Result<Arrival, DropReason> {
        self.rests_until = 0;
        let arrival = self.take_in(now, frame);
        if let Err(reason) = &arrival {
            self.drops.count(*reason);
        }
        arrival
    }

    fn take_in(&mut self, now: u64, frame: Frame) -> Result<Arrival, DropReason> {
        let header = LinkHeader::new_checked(&frame)?;
        if !self.is_addressed(header) {
            return Err(DropReason::WrongEndpoint);
        }
        let session = header.session.get();
        if session != 0 && self.live.as_ref().is_none_or(|live| live.id != session) {
            return Err(DropReason::UnknownSession);
        }
        let frame = match (&mut self.guard, header.has(SEALED)) {
            (None, false) => frame,
            (Some(guard), true) => guard.open(frame)?,
            (Some(_), false) => return Err(DropReason::NotSealed),
            (None, true) => return Err(DropReason::Sealed),
        };
        let (header, area) = LinkHeader::parse(&frame)?;
        if session == 0 {
            self.hear_hellos(area)?;
            return Ok(Arrival { frame, packet: None });
        }
        let live = self.live.as_mut().ok_or(DropReason::UnknownSession)?;
        live.silence = 0;
        // Each end may wait for its next turn, and says what it has to say when that has ended.
        let away = now.saturating_sub(self.turn_at);
        self.away_ns = self.away_ns.max(away);
        live.outbound.excuse(away.saturating_add(header.away_ns()).saturating_mul(2));
        let is_control = header.has(CONTROL);
        let number = header.packet.get();
        if !is_control {
            live.inbound.check(number)?;
        }
        let summary = live.check(area, is_control)?;
        live.inbound.owes_status |= header.has(ASK);
        let ack = header.ack.get();
        live.outbound.hear_received(now, ack, &[], &mut self.rtt, &mut self.heard);
        // What asks may be said by one who hears nothing.
        live.is_answered |= !self.heard.is_empty() || is_control && !header.has(ASK);
        if header.has(DONE) {
            live.outbound.hear_done(ack, &[], &mut self.events);
            live.hear_credit(ack.saturating_add(live.credit_frames));
        }
        if !is_control {
            live.inbound.take(number, summary.messages > 0);
        }
        if summary.controls > 0 {
            self.hear_controls(now, area);
        }
        self.settle();
        let packet = (summary.messages > 0).then_some(PacketId { session, number });
        Ok(Arrival { frame, packet })
    }

    fn is_addressed(&self, header: &LinkHeader) -> bool {
        header.source_box.get() == self.config.peer.agent_box
            && header.source_reactor == self.config.peer.reactor
            && header.destination_reactor == self.config.local.reactor
    }

    /// Control records that were checked.
    fn hear_controls(&mut self, now: u64, area: &[u8]) {
        let mut records = Records::new(area);
        while let Some((head, body)) = records.next_control() {
            let (Ok(control), Some(live)) = (Control::parse(head, body), &mut self.live) else {
                continue;
            };
            match control {
                Control::Pad | Control::Hello(_) => (),
                Control::Schemas(first, entries) => live.inbound.learn_schemas(first, entries),
                Control::Status(status, received, done) => {
                    self.hear_status(now, status, received, done);
                }
                Control::Segment(id, segment, bytes) => {
                    if let Some(record) = live.inbound.joiner.join(id, segment, bytes) {
                        self.hear_large(record);
                    }
                }
                Control::Parked(packet, positions) => {
                    live.outbound.hear_parked(packet, positions, &mut self.events);
                }
                Control::DoneNamed(runs) => {
                    self.events.extend(runs.iter().map(|run| LinkEvent::SettledByName {
                        name: Named {
                            source: run.source.get(),
                            space: run.space.get(),
                            destination: run.destination.get(),
                            number: run.first.get(),
                        },
                        count: run.count.get(),
                        outcome: run.outcome.get(),
                    }));
                }
            }
        }
    }

    fn hear_status(&mut self, now: u64, status: &Status, received: &[U64], done: &[U64]) {
        let Some(live) = &mut self.live else { return };
        let through = status.received.get();
        live.outbound.hear_received(now, through, received, &mut self.rtt, &mut self.heard);
        live.outbound.hear_done(status.done.get(), done, &mut self.events);
        live.hear_credit(status.credit.get());
    }

    fn hear_large(&mut self, record: Vec<u8>) {
        if super::is_record(&record) && MessageHeader::parse(&record).is_ok() {
            self.events.push_back(LinkEvent::Large { record });
        } else {
            self.drops.count(DropReason::BadMessage);
        }
    }

    /// What follows from packets without messages having been received.
    #[inline]
    fn settle(&mut self) {
        if !self.heard.is_empty() || !self.is_open() {
            self.settle_heard();
        }
    }

    fn settle_heard(&mut self) {
        let Some(live) = &mut self.live else { return };
        for Heard { content, frame } in self.heard.drain(..) {
            match content {
                Content::Messages => (),
                Content::Schemas => live.schemas_unheard -= 1,
                Content::Notices => {
                    for control in controls(&frame) {
                        if let Control::Parked(packet, _) = control {
                            live.inbound.mark_done(packet);
                        }
                    }
                }
                Content::Segment(id) => {
                    live.segments_unheard -= 1;
                    if let Some(large) = live.cutter.heard(id) {
                        self.events.push_back(LinkEvent::Parked {
                            conversation: large.conversation,
                            number: large.number,
                            record: large.record,
                        });
                    }
                }
            }
            // The frame may be the one that is kept for notices, and the pool may be empty.
            self.notice_frame.get_or_insert(frame);
        }
        let table = self.config.schemas.len();
        let is_told = live.are_schemas_sent(table) && live.schemas_unheard == 0;
        if !live.is_open && is_told && live.inbound.has_schemas() {
            live.is_open = true;
            self.events.push_back(LinkEvent::Opened);
        }
    }

    fn hear_hellos(&mut self, area: &[u8]) -> Result<(), DropReason> {
        let (mut heard, mut records) = (None, Records::new(area));
        while let Some(record) = records.step()? {
            match record {
                Record::Control(head, body) => match Control::parse(head, body)? {
                    Control::Pad => (),
                    Control::Hello(hello) if heard.is_none() => heard = Some(*hello),
                    _ => return Err(DropReason::BadControl),
                },
                Record::Message(_) => return Err(DropReason::BadControl),
            }
        }
        let hello = heard.ok_or(DropReason::BadControl)?;
        let schemas = hello.schemas.get() as usize;
        if (hello.payload_bytes_max.get() as usize) < PAYLOAD_BYTES_MIN || schemas > SCHEMAS_MAX {
            return Err(DropReason::BadControl);
        }
        let greeting = Greeting {
            nonce: hello.nonce.get(),
            echo: hello.echo.get(),
            established: hello.established.get() != 0,
        };
        if self.opening.hear(greeting)? {
            self.begin(&hello);
        }
        Ok(())
    }

    /// A new session: what the old one had not done goes back to the caller.
    fn begin(&mut self, hello: &Hello) {
        let life = hello.life.get();
        if let Some(live) = self.live.take() {
            self.end(live, life != self.peer_life);
        }
        self.peer_life = life;
        let session = self.opening.session().expect("it has just begun");
        if let Some(guard) = &mut self.guard {
            guard.begin(session, self.config.local < self.config.peer);
            // No number is used twice with one key.
            self.control_packets = 0;
        }
        self.live = Some(Live::new(&self.config, session, hello));
        self.counters.sessions += 1;
        self.hellos = 0;
    }

    pub(super) fn end(&mut self, live: Live, is_other: bool) {
        let Live { outbound, cutter, .. } = live;
        let (mut undone, notices) = outbound.abandon();
        undone.extend(cutter.into_all().map(|large| Undone {
            conversation: large.conversation,
            number: large.number,
            record: large.record,
        }));
        self.notices.end_session();
        for frame in notices {
            self.notices.take_back(&frame);
            self.notice_frame.get_or_insert(frame);
        }
        self.events.push_back(LinkEvent::Broken { undone, is_other });
    }
}

impl Live {
    fn new(config: &LinkConfig, session: Session, hello: &Hello) -> Live {
        let theirs = hello.payload_bytes_max.get() as usize;
        let seal = if config.secret.is_some() { SEAL_BYTES } else { 0 };
        let payload = config.payload_bytes_max.min(theirs - theirs % RECORD_ALIGN) - seal;
        let credit = hello.credit.get();
        Live {
            id: session.id(config.local < config.peer),
            outbound: Outbound::new(payload, u64::from(credit), config.limits.queue_ns),
            credit_frames: u64::from(credit),
            inbound: Inbound::new(config.limits.credit_frames, hello.schemas.get() as usize),
            cutter: Cutter::default(),
            schemas_sent: 0,
            schemas_packets: 0,
            schemas_unheard: 0,
            is_open: false,
            small_at: 0,
            segments_unheard: 0,
            segments_unheard_max: (credit as usize / 2).max(1),
            is_stalled: false,
            ask_due: u64::MAX,
            asks: 0,
            silence: 0,
            is_answered: true,
            sealed_ack: 0,
        }
    }

    /// Whether all of our table, of `count` entries, went out. An empty one goes out too: it tells
    /// the peer that the session stands.
    pub(super) fn are_schemas_sent(&self, count: usize) -> bool {
        self.schemas_sent == count && self.schemas_packets > 0
    }

    /// Whether the peer takes one more packet.
    pub(super) fn has_credit(&mut self) -> bool {
        let has_credit = self.outbound.has_credit(0);
        self.is_stalled |= !has_credit;
        has_credit
    }

    /// The peer takes packets up to this one.
    fn hear_credit(&mut self, credit: u64) {
        if self.outbound.hear_credit(credit) {
            self.is_stalled = false;
            (self.ask_due, self.asks) = (u64::MAX, 0);
        }
    }

    pub(super) fn owes_status(&self) -> bool {
        self.inbound.owes_status || (self.inbound.owes_ack && self.inbound.has_gap())
    }

    /// Checks every record, so that a frame is taken in whole or not at all.
    fn check(&self, area: &[u8], is_control: bool) -> Result<Summary, DropReason> {
        let (mut summary, mut records) = (Summary::default(), Records::new(area));
        while let Some(record) = records.step()? {
            match record {
                Record::Message(_) => summary.messages += 1,
                Record::Control(head, body) => {
                    let control = Control::parse(head, body)?;
                    self.check_control(control, is_control)?;
                    summary.controls += 1;
                    summary.segments += usize::from(matches!(control, Control::Segment(..)));
                }
            }
        }
        if summary.messages > 0 && is_control || summary.segments > 1 {
            return Err(DropReason::BadControl);
        }
        if summary.messages > 0 && !self.inbound.has_schemas() {
            return Err(DropReason::NoSchemas);
        }
        Ok(summary)
    }

    fn check_control(&self, control: Control<'_>, is_control: bool) -> Result<(), DropReason> {
        match control {
            Control::Pad | Control::Status(..) => Ok(()),
            Control::Hello(_) => Err(DropReason::BadControl),
            _ if is_control => Err(DropReason::BadControl),
            Control::Schemas(first, entries) => self.inbound.check_schemas(first, entries.len()),
            Control::Segment(id, segment, bytes) => self.inbound.joiner.check(id, segment, bytes),
            Control::Parked(_, positions) => {
                let ascends = positions.is_sorted_by(|one, next| one.get() < next.get());
                if ascends { Ok(()) } else { Err(DropReason::BadControl) }
            }
            Control::DoneNamed(runs) => {
                let end = |run: &NamedRun| run.first.get().checked_add(run.count.get().into());
                let fit = runs.iter().all(|run| end(run).is_some());
                if fit { Ok(()) } else { Err(DropReason::BadControl) }
            }
        }
    }
}
