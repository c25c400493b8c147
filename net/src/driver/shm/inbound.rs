//! The rings that are read: each was made and handed over by the peer that writes it.
//!
//! A peer that goes leaves what it wrote, which is read first. Invariants: at most [`PEERS_MAX`] rings, and
//! [`SAME_MAX`] of one address, and [`WAITING_MAX`] connections that have not said yet who they are; of a ring
//! nothing is believed but that its file stays as long as it is.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;

use super::PEERS_MAX;
use super::hello::Hello;
use super::rendezvous::{Connection, Token, Watch};
use super::ring::Reader;
use super::slots::Slots;
use crate::driver::{Counters, Received, is_whole};
use crate::frame::Frame;
use crate::mapping::Mapping;
use crate::pool::Pool;

/// Rings of one address: the one before may not have been read to its end.
const SAME_MAX: usize = 4;
/// Connections that have not said who they are; the oldest is closed for one more.
const WAITING_MAX: usize = 64;

/// Bytes of a cache line, and how many lines a small message takes, with all that stands around it.
const LINE_BYTES: usize = 64;
const LINES_FETCHED: usize = 4;

/// A ring from one peer.
struct RingFrom {
    from: SocketAddr,
    token: Token,
    connection: Connection,
    slots: Slots,
    reader: Reader,
    pool: Pool,
    /// Its peer has gone.
    is_over: bool,
}

/// A slot's payload, if it is one.
enum Read {
    Frame(Frame),
    Wrong,
    /// There is no buffer to copy it into.
    NoBuffer,
}

impl RingFrom {
    fn give_back(&mut self) {
        let pool = &self.pool;
        self.reader.give_back(&self.slots, |slot| pool.is_free(slot));
    }

    /// Takes at most `limit` payloads: how many were frames.
    fn receive(
        &mut self,
        (limit, copies): (usize, Option<&Pool>),
        into: &mut Vec<Received>,
        counters: &mut Counters,
    ) -> usize {
        self.give_back();
        let mut count = 0;
        for _ in 0..limit {
            let Some((slot, bytes)) = self.reader.peek(&self.slots) else { break };
            // On loan still: its writer does not wait until it is given back.
            let Some(frame) = self.pool.take_at(slot) else { break };
            match read(frame, bytes as usize, copies) {
                Read::Frame(frame) => {
                    into.push(Received { frame, from: self.from });
                    count += 1;
                }
                Read::Wrong => counters.malformed += 1,
                Read::NoBuffer => break,
            }
            self.reader.advance();
        }
        count
    }
}

fn read(mut frame: Frame, bytes: usize, copies: Option<&Pool>) -> Read {
    if !is_whole(bytes) || bytes > frame.len() {
        return Read::Wrong;
    }
    frame.truncate(bytes);
    let Some(copies) = copies else {
        fetch(&frame);
        return Read::Frame(frame);
    };
    if bytes > copies.payload_bytes() {
        return Read::Wrong;
    }
    let Some(mut copy) = copies.take() else { return Read::NoBuffer };
    copy.truncate(bytes);
    copy.bytes_mut().expect("it was just taken").copy_from_slice(&frame);
    Read::Frame(copy)
}

/// Has the lines of a small payload come from the processor that wrote them all at once, and not one after the other as
/// each is read.
#[inline]
fn fetch(payload: &[u8]) {
    for line in payload.chunks(LINE_BYTES).take(LINES_FETCHED) {
        std::hint::black_box(line[0]);
    }
}

/// A connection that has not said who it is.
struct Waiting {
    token: Token,
    connection: Connection,
}

pub(super) struct Inbound {
    rings: Vec<RingFrom>,
    waiting: VecDeque<Waiting>,
    /// The ring that is read first.
    first: usize,
}

/// What a connection said that was looked at.
pub(super) enum Heard {
    /// It is none of these.
    Unknown,
    /// Nothing to be looked into.
    Nothing,
    /// It handed over a ring.
    Greeting(Connection, Hello, OwnedFd),
    /// It said something else, and is closed.
    Wrong,
}

impl Inbound {
    pub(super) fn new() -> Inbound {
        Inbound { rings: Vec::new(), waiting: VecDeque::new(), first: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.rings.len()
    }

    /// The pool of the ring that has the fewest buffers free.
    pub(super) fn fullest(&self) -> Option<&Pool> {
        self.rings.iter().map(|ring| &ring.pool).min_by_key(|pool| pool.frames_free())
    }

    /// As [`Driver::receive`](crate::driver::Driver::receive). `copies`: what is received is copied into its buffers.
    pub(super) fn receive(
        &mut self,
        limit: usize,
        copies: Option<&Pool>,
        into: &mut Vec<Received>,
        counters: &mut Counters,
    ) -> usize {
        let rings = self.rings.len();
        let (mut count, mut is_starved, mut is_any_over) = (0, false, false);
        for step in 0..rings {
            let ring = &mut self.rings[(self.first + step) % rings];
            count += ring.receive((limit - count, copies), into, counters);
            is_starved |= copies.unwrap_or(&ring.pool).frames_free() == 0;
            is_any_over |= ring.is_over;
        }
        self.first = self.first.wrapping_add(1) % rings.max(1);
        counters.starved += u64::from(is_starved);
        if is_any_over {
            self.rings.retain(|it| !it.is_over || it.reader.peek(&it.slots).is_some());
        }
        count
    }

    /// Has writers wake us. Whether something is there all the same.
    pub(super) fn doze(&mut self) -> bool {
        let mut is_any = false;
        for ring in &mut self.rings {
            // What came back meanwhile is for what comes while nobody looks.
            ring.give_back();
            is_any |= ring.reader.doze(&ring.slots);
        }
        is_any
    }

    /// Has them leave it.
    pub(super) fn wake(&self) {
        self.rings.iter().for_each(|ring| ring.reader.wake(&ring.slots));
    }

    /// Tells them that this is the end.
    pub(super) fn close(&self) {
        self.rings.iter().for_each(|ring| ring.reader.close(&ring.slots));
    }

    /// Waits for what a connection hands over.
    pub(super) fn wait_for(&mut self, connection: Connection, watch: &mut Watch) -> Option<Token> {
        let token = watch.add(&connection.socket).ok()?;
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back(Waiting { token, connection });
        Some(token)
    }

    /// A connection has something to say.
    pub(super) fn heard(&mut self, token: Token, watch: &Watch) -> Heard {
        if let Some(ring) = self.rings.iter_mut().find(|ring| ring.token == token) {
            if !ring.connection.woken() {
                ring.is_over = true;
                watch.forget(&ring.connection.socket);
            }
            return Heard::Nothing;
        }
        let Some(index) = self.waiting.iter().position(|it| it.token == token) else {
            return Heard::Unknown;
        };
        let greeting = self.waiting[index].connection.greeting();
        if matches!(greeting, Ok(None)) {
            return Heard::Nothing;
        }
        let connection = self.waiting.remove(index).expect("it was just found").connection;
        watch.forget(&connection.socket);
        match greeting {
            Ok(Some((hello, file))) => Heard::Greeting(connection, hello, file),
            Err(Errno::BADMSG) => Heard::Wrong,
            // Who only asked whether we are here, or has gone.
            _ => Heard::Nothing,
        }
    }

    /// Whether one more ring from that address may be read.
    pub(super) fn has_room_for(&self, from: SocketAddr) -> bool {
        let same = self.rings.iter().filter(|ring| ring.from == from && !ring.is_over).count();
        self.rings.len() < PEERS_MAX && same < SAME_MAX
    }

    /// Reads that ring from now on.
    pub(super) fn read_from(
        &mut self,
        from: SocketAddr,
        connection: Connection,
        slots: Slots,
        watch: &mut Watch,
    ) {
        let Ok(token) = watch.add(&connection.socket) else { return };
        let (reader, pool) = (Reader::new(), slots.pool());
        let is_over = false;
        self.rings.push(RingFrom { from, token, connection, slots, reader, pool, is_over });
    }
}

/// The ring that was handed over, mapped, if it is one.
pub(super) fn mapped(hello: &Hello, file: &OwnedFd) -> Option<Slots> {
    let mapping = Mapping::of(file.as_fd(), hello.sizes.bytes()).ok()?;
    Some(Slots::new(mapping, hello.sizes))
}
