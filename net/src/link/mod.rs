//! A link: reliable, unordered exchange of messages between two reactors, over frames that get
//! lost, doubled and reordered. Without sockets or clock: frames and time are arguments.
//!
//! Two acknowledgements (Ovid §6.1, Escher §3.4): *received* stops repeats and nothing more; *done* tells
//! the sender that it may forget. What ties messages to agents is the caller's: a message is known
//! here by the conversation and number under which the caller closed it.
//!
//! What is under way is bounded by the peer's credit, and by what the network between takes (`rate`).
//! Does not order messages (Ovid §3.4). Frames are sealed where there is a secret (`guard`).
//!
//! Invariants: a packet number is taken once in a session; a frame goes back to its pool once all
//! its messages are done or parked; what is not done when a session ends is handed back, never
//! dropped.

mod config;
mod event;
mod flush;
mod guard;
mod hear;
mod notice;
mod packet;
mod rate;
mod receive;
mod rtt;
mod segment;
mod send;
mod session;
mod under_way;
mod window;

use std::collections::VecDeque;

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U32};

use crate::error::Drops;
use crate::frame::Frame;
use crate::limits;
use crate::pool::Pool;
use crate::wire::U48;
use crate::wire::link::{self, LinkHeader};
use crate::wire::message::{MessageHeader, ShortHeader};
use crate::wire::padded;
use crate::wire::record::ControlHead;

pub use config::{Endpoint, LinkConfig, LinkLimits, Schema};
pub use event::{Arrival, Counters, LinkEvent, Named, PacketId, Undone};
pub use guard::Secret;
pub use send::Stream;

use guard::Guard;
use notice::Notices;
use packet::Content;
use receive::Inbound;
use rtt::Rtt;
use segment::Cutter;
use send::{Heard, Outbound};
use session::Opening;

/// A session that stands, and what is under way in it.
#[derive(Debug)]
struct Live {
    id: u32,
    outbound: Outbound,
    /// Packets that the peer takes beyond those that are done.
    credit_frames: u64,
    inbound: Inbound,
    cutter: Cutter,
    /// Entries of our table that went out.
    schemas_sent: usize,
    /// Packets with parts of our table, and how many of them were not received yet.
    schemas_packets: usize,
    schemas_unheard: usize,
    /// Both tables are known.
    is_open: bool,
    /// When the turn ended before the one in which a small message was sealed last.
    small_at: u64,
    /// Segments on their way, and how many there may be.
    segments_unheard: usize,
    segments_unheard_max: usize,
    /// Credit was missing since it last grew.
    is_stalled: bool,
    ask_due: u64,
    asks: u32,
    /// Repeats and questions since the peer was last heard.
    silence: u32,
    /// The peer has shown that it hears us, since this was last asked.
    is_answered: bool,
    /// Acknowledged by the last packet that was sealed.
    sealed_ack: u64,
}

/// Joins two reactors. Each end has its own.
#[derive(Debug)]
pub struct Link {
    config: LinkConfig,
    opening: Opening,
    /// When to ask for a session again.
    hello_due: u64,
    hellos: u32,
    live: Option<Live>,
    /// Of the peer's process, as it said when the session began.
    peer_life: u64,
    /// When the last turn ended.
    turn_at: u64,
    /// How long what came since the last frame of ours may have waited for a turn, nanoseconds.
    away_ns: u64,
    /// The caller waits for something of the peer's.
    is_watched: bool,
    notices: Notices,
    rtt: Rtt,
    events: VecDeque<LinkEvent>,
    heard: Vec<Heard>,
    control: Vec<Frame>,
    /// Frame for notices when the pool is empty.
    notice_frame: Option<Frame>,
    control_packets: u64,
    /// Something had to wait for a frame, or for the next turn.
    retry_at: u64,
    /// There is nothing to say before; 0: something has happened since it was known when.
    rests_until: u64,
    /// Since when the peer owes us a sign that it hears us.
    unanswered_since: u64,
    counters: Counters,
    drops: Drops,
    /// Its keys take kilobytes, and a flush takes it out.
    guard: Option<Box<Guard>>,
}

impl Link {
    /// A link that opens its session with the next flush. Takes its control frames from `pool`.
    /// # Panics
    /// When `config` breaks a bound that its fields state, or `pool`'s frames are too small.
    pub fn new(config: LinkConfig, pool: &Pool, now: u64) -> Link {
        let payload = config.payload_bytes_max;
        assert!(payload.is_multiple_of(limits::RECORD_ALIGN) && payload <= pool.payload_bytes());
        assert!((limits::PAYLOAD_BYTES_MIN..=limits::PAYLOAD_BYTES_MAX).contains(&payload));
        assert!(config.schemas.len() <= limits::SCHEMAS_MAX);
        assert!(config.local != config.peer && config.limits.credit_frames > 0);
        let LinkLimits { timeout_ns_min, timeout_ns_max, .. } = config.limits;
        let mut link = Link {
            opening: Opening::new(config.nonce),
            hello_due: now,
            hellos: 0,
            live: None,
            peer_life: 0,
            turn_at: now,
            away_ns: 0,
            is_watched: false,
            notices: Notices::default(),
            rtt: Rtt::new(limits::TIMEOUT_NS_FIRST, timeout_ns_min, timeout_ns_max),
            events: VecDeque::new(),
            heard: Vec::new(),
            control: Vec::with_capacity(limits::CONTROL_FRAMES),
            notice_frame: None,
            control_packets: 0,
            retry_at: u64::MAX,
            rests_until: 0,
            unanswered_since: now,
            counters: Counters::default(),
            drops: Drops::default(),
            guard: config.secret.as_ref().map(|secret| Box::new(Guard::new(secret, pool))),
            config,
        };
        link.reserve(pool);
        link
    }

    /// Free tail, of at least `bytes`, of the frame that is being filled: a message record, header
    /// first, is written to its start, then kept by [`Link::close`]. `None`: no session yet, no
    /// credit, or no frame; the caller keeps the message and tries again next turn.
    /// # Panics
    /// When `bytes` is more than [`Link::record_bytes_max`].
    pub fn open(&mut self, pool: &Pool, bytes: usize) -> Option<&mut [u8]> {
        if self.make_room(pool, bytes) { self.room(bytes) } else { None }
    }

    /// The tail that was made or opened last; `None`: it has less than `bytes` bytes.
    #[inline]
    pub fn room(&mut self, bytes: usize) -> Option<&mut [u8]> {
        self.live.as_mut()?.outbound.tail(bytes)
    }

    /// Whether [`Link::open`] will give room for `bytes` bytes: there is, or was made.
    /// # Panics
    /// As [`Link::open`].
    #[inline]
    pub fn make_room(&mut self, pool: &Pool, bytes: usize) -> bool {
        let Some(live) = self.live.as_mut().filter(|live| live.is_open) else { return false };
        assert!(bytes <= live.outbound.capacity(), "larger records go by `send_large`");
        live.outbound.has_tail(bytes) || self.begin_frame(pool)
    }

    fn begin_frame(&mut self, pool: &Pool) -> bool {
        self.rests_until = 0;
        if self.live.as_ref().is_some_and(|live| live.outbound.is_filling()) {
            self.seal(Content::Messages);
        }
        let Some(live) = &mut self.live else { return false };
        if !live.has_credit() || !live.outbound.has_window() {
            return false;
        }
        let Some(frame) = pool.take() else { return false };
        live.outbound.fill(frame);
        true
    }

    /// Whether message `number` of a stream may have a [`ShortHeader`] at the start of the tail that was made last: it
    /// would stand behind the one before it.
    #[inline]
    pub fn follows(&self, stream: Stream, number: u64) -> bool {
        self.live.as_ref().is_some_and(|live| live.outbound.follows(stream, number))
    }

    /// Keeps the record of `bytes` bytes that was written to the tail just opened: nothing else is
    /// called in between. `stream`: what the next message may belong to, too.
    /// # Panics
    /// When no tail is open. With debug assertions also when its start is not a message record of
    /// exactly that length, or one with a short header that follows nothing.
    pub fn close(&mut self, bytes: usize, conversation: u32, number: u64, stream: Option<Stream>) {
        let live = self.live.as_mut().expect("opened before");
        debug_assert!(
            {
                let is_next = stream.is_some_and(|it| live.outbound.follows(it, number));
                let record = live.outbound.tail(bytes).map(|tail| &tail[..bytes]);
                record.is_some_and(|it| is_record(it) || is_next && is_short_record(it))
            },
            "a record is what its header says"
        );
        live.outbound.keep(bytes);
        live.outbound.name(conversation, number, stream);
    }

    /// Longest record, in bytes, that [`Link::open`] takes. 0 while there is no session.
    pub fn record_bytes_max(&self) -> usize {
        self.live.as_ref().map_or(0, |live| live.outbound.capacity())
    }

    /// Whether [`Link::send_large`] takes a record of so many bytes: there is a session, less under way than
    /// [`limits::LARGE_AT_ONCE`] records and [`limits::LARGE_BYTES_AT_ONCE`] bytes, and of those less to be cut than
    /// [`limits::LARGE_IN_TURN`] records or [`limits::LARGE_BYTES_UNCUT`] bytes.
    pub fn takes_large(&self, bytes: usize) -> bool {
        self.live.as_ref().is_some_and(|live| live.is_open && live.cutter.has_room(bytes))
    }

    /// Sends a record that is longer than a frame, in segments. When all of it was received it
    /// comes back as [`LinkEvent::Parked`].
    /// # Errors
    /// Gives the record back when it is not taken: the caller keeps it and tries again.
    /// # Panics
    /// When `record` is not one message record, or longer than the wire takes.
    pub fn send_large(
        &mut self,
        record: Vec<u8>,
        conversation: u32,
        number: u64,
    ) -> Result<(), Vec<u8>> {
        assert!(is_record(&record), "a record is what its header says");
        self.rests_until = 0;
        match self.live.as_mut().filter(|live| live.is_open) {
            Some(live) => live.cutter.push(record, conversation, number),
            None => Err(record),
        }
    }

    /// The caller is through with a packet. `parked`: positions, ascending, among its messages, of
    /// those that were copied out and are not done; each is named by [`Link::settle_by_name`] later.
    /// A packet of an earlier session, or one that is finished, changes nothing.
    /// # Panics
    /// When `parked` does not ascend.
    pub fn finish(&mut self, packet: PacketId, parked: &[u16]) {
        assert!(parked.is_sorted_by(|one, next| one < next));
        self.rests_until = 0;
        let Some(live) = self.live.as_mut().filter(|live| live.id == packet.session) else {
            return;
        };
        if live.inbound.finish(packet.number, parked.is_empty()) && !parked.is_empty() {
            self.notices.park(packet.number, parked.to_vec());
        }
    }

    /// A message that was parked, or came as [`LinkEvent::Large`], is done: `outcome` is 0. Any other
    /// outcome is the caller's own, and tells the sender's why it will not be done here.
    pub fn settle_by_name(&mut self, name: Named, outcome: u32) {
        self.rests_until = 0;
        self.notices.settle(name, outcome);
    }

    /// Whether the caller waits for something that the peer is to send: then a peer that started again is
    /// found out, though nothing of ours is under way.
    pub fn watch(&mut self, is_watched: bool) {
        if self.is_watched != is_watched {
            self.is_watched = is_watched;
            self.rests_until = 0;
        }
    }

    /// For how long the peer has shown no sign that it hears us, nanoseconds, though one was due each time that
    /// this was asked; 0 while nothing is under way, and the caller waits for nothing. That the peer is heard is
    /// no sign: the way there may be cut, and the way back not.
    pub fn unanswered_ns(&mut self, now: u64) -> u64 {
        let is_due = match &mut self.live {
            None => false,
            Some(live) => {
                let is_answered = std::mem::take(&mut live.is_answered);
                let waits = self.is_watched || !live.is_open || live.outbound.undone() > 0;
                waits && !is_answered
            }
        };
        if !is_due {
            self.unanswered_since = now;
        }
        now.saturating_sub(self.unanswered_since)
    }

    /// Whether nothing is under way, and nothing is to be said.
    pub fn is_idle(&self) -> bool {
        let is_quiet = |live: &Live| live.outbound.undone() == 0 && !live.cutter.has_more();
        self.live.as_ref().is_none_or(is_quiet) && self.notices.is_empty()
    }

    /// Ends for good: frames go back to their pool, and what was not done to the caller. Nothing is called after.
    pub fn give_up(&mut self) -> Vec<Undone> {
        if let Some(live) = self.live.take() {
            self.end(live, true);
        }
        let given_back = self.events.drain(..).filter_map(|event| match event {
            LinkEvent::Broken { undone, .. } => Some(undone),
            _ => None,
        });
        let undone = given_back.flatten().collect();
        self.control.clear();
        self.notice_frame = None;
        self.guard = None;
        undone
    }

    /// What happened, oldest first.
    pub fn next_event(&mut self) -> Option<LinkEvent> {
        self.events.pop_front()
    }

    /// When [`Link::flush`] must be called at the latest, nanoseconds; `None`: not before something
    /// else happens.
    pub fn next_deadline(&self) -> Option<u64> {
        let live = self.live.as_ref().map(|live| live.outbound.timer().min(live.ask_due));
        let hello = Some(self.hello_due).filter(|_| self.needs_session());
        let at = live.into_iter().chain(hello).fold(self.retry_at, u64::min);
        Some(at).filter(|at| *at != u64::MAX)
    }

    /// Whether messages may be sent.
    pub fn is_open(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.is_open)
    }

    /// What `kind` stands for in messages from the peer; `None`: its table has no such entry.
    pub fn peer_schema(&self, kind: u16) -> Option<Schema> {
        self.live.as_ref()?.inbound.schema(kind)
    }

    /// This end and the other.
    pub fn endpoints(&self) -> (Endpoint, Endpoint) {
        (self.config.local, self.config.peer)
    }

    /// Packets that were sealed and are not done.
    pub fn packets_undone(&self) -> usize {
        self.live.as_ref().map_or(0, |live| live.outbound.undone())
    }

    /// Large messages of the peer that are half assembled.
    pub fn large_halves(&self) -> usize {
        self.live.as_ref().map_or(0, |live| live.inbound.joiner.halves())
    }

    /// Smoothed round trip, nanoseconds; `None` before it was measured.
    pub fn rtt_ns(&self) -> Option<u64> {
        self.rtt.smoothed()
    }

    /// Counters.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// [`Counters::repeats_held`]: when a flush has added to it, the driver is to be asked for completions.
    #[inline]
    pub fn repeats_held(&self) -> u64 {
        self.counters.repeats_held
    }

    /// What was dropped, and why.
    pub fn drops(&self) -> &Drops {
        &self.drops
    }

    /// Whether there is no session, or one that ends soon.
    fn needs_session(&self) -> bool {
        self.live.as_ref().is_none_or(|live| live.outbound.is_worn_out())
    }

    /// Gives the frame that is being filled its number.
    fn seal(&mut self, content: Content) {
        let Some(live) = &mut self.live else { return };
        let (ack, is_even) = (live.inbound.ack(), live.inbound.is_even());
        let flags = if is_even { link::DONE } else { 0 } | LinkHeader::away_flags(self.away_ns);
        let header = LinkHeader { ack: U48::new(ack), ..header(&self.config, flags, live.id) };
        if live.outbound.seal(header, content) {
            live.sealed_ack = ack;
            self.away_ns = 0;
            if content == Content::Messages {
                live.small_at = self.turn_at;
            }
            if is_even {
                (live.inbound.owes_status, live.inbound.owes_ack) = (false, false);
            }
        }
    }
}

/// Who a payload says that it is from and for; `None` if it has no link header of ours.
/// For callers that look up the link of a frame.
pub fn addressed(payload: &[u8]) -> Option<(Endpoint, u8)> {
    let header = LinkHeader::new_checked(payload).ok()?;
    let source = Endpoint { agent_box: header.source_box.get(), reactor: header.source_reactor };
    Some((source, header.destination_reactor))
}

fn header(config: &LinkConfig, flags: u8, session: u32) -> LinkHeader {
    let sealed = if config.secret.is_some() { link::SEALED } else { 0 };
    LinkHeader {
        version: link::VERSION,
        flags: flags | sealed,
        source_box: U16::new(config.local.agent_box),
        source_reactor: config.local.reactor,
        destination_reactor: config.peer.reactor,
        session: U32::new(session),
        ..Default::default()
    }
}

fn is_short_record(record: &[u8]) -> bool {
    ShortHeader::new_checked(record)
        .is_ok_and(|header| ShortHeader::BYTES + usize::from(header.length.get()) == record.len())
}

fn is_record(record: &[u8]) -> bool {
    MessageHeader::new_checked(record)
        .is_ok_and(|header| MessageHeader::BYTES + header.length.get() as usize == record.len())
}

/// Writes a control record to the start of `into`, with zeroed padding; returns its padded bytes.
/// # Panics
/// When it does not fit.
fn emit_control(into: &mut [u8], kind: u8, argument: u32, parts: &[&[u8]]) -> usize {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let head = ControlHead {
        kind,
        length: U16::new(u16::try_from(length).expect("a frame is shorter than 64 KiB")),
        argument: U32::new(argument),
        ..Default::default()
    };
    into[..ControlHead::BYTES].copy_from_slice(head.as_bytes());
    let mut at = ControlHead::BYTES;
    for part in parts {
        into[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    into[at..padded(at)].fill(0);
    padded(at)
}

#[cfg(test)]
mod tests;
