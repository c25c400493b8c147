//! A packet that was sealed: its frame, the names of its messages, and when it is due again.

use std::collections::VecDeque;

use zerocopy::little_endian::U64;

use super::Counters;
use super::rtt::Rtt;
use crate::frame::Frame;
use crate::pool::Pool;
use crate::wire::link::LinkHeader;
use crate::wire::record::Records;

/// Consecutive messages of one conversation, in the order they were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) conversation: u32,
    pub(super) first: u64,
    pub(super) count: u32,
}

/// What a packet carries, which decides what follows when it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Messages: done when the receiver says so. The others are done when received.
    Messages,
    Schemas,
    Notices,
    /// A segment of the large message of this id.
    Segment(u32),
}

/// Where a packet is, as far as its sender knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whereabouts {
    UnderWay,
    /// Overtaken, or its time is over; to be sent again.
    Lost,
    Received,
}

#[derive(Debug)]
pub(super) struct Packet {
    /// None once done, or given up to the outbox.
    pub(super) frame: Option<Frame>,
    pub(super) bytes: usize,
    pub(super) content: Content,
    pub(super) runs: u32,
    pub(super) runs_first: u64,
    pub(super) sent_at: u64,
    pub(super) due: u64,
    pub(super) times_sent: u32,
    pub(super) whereabouts: Whereabouts,
    pub(super) is_done: bool,
    /// Its buffer was still held when it was due: next time it is copied.
    pub(super) is_overdue: bool,
}

impl Run {
    pub(super) fn names(self) -> impl Iterator<Item = (u32, u64)> {
        let names = (0..u64::from(self.count)).map(move |at| self.first.wrapping_add(at));
        names.map(move |number| (self.conversation, number))
    }
}

impl Content {
    pub(super) fn is_segment(self) -> bool {
        matches!(self, Content::Segment(_))
    }
}

impl Packet {
    pub(super) fn is_received(&self) -> bool {
        self.whereabouts == Whereabouts::Received
    }

    /// The packet's bytes, to be sent once more; none while its buffer is held, or there is no
    /// other.
    pub(super) fn again(
        &mut self,
        now: u64,
        rtt: &Rtt,
        pool: &Pool,
        counters: &mut Counters,
    ) -> Option<Frame> {
        self.due = now + rtt.timeout(self.times_sent);
        let frame = self.frame.as_mut().expect("not received, so kept");
        if !frame.is_exclusive() {
            if !std::mem::replace(&mut self.is_overdue, true) {
                self.due = now + rtt.timeout(0);
                counters.repeats_held += 1;
                return None;
            }
            let mut copy = pool.take()?;
            let into = copy.bytes_mut().expect("just taken");
            into[..self.bytes].copy_from_slice(&frame[..self.bytes]);
            *frame = copy;
            counters.repeated_copied += 1;
        }
        self.is_overdue = false;
        self.sent_at = now;
        self.times_sent += 1;
        counters.repeated += 1;
        Some(frame.slice(0..self.bytes))
    }
}

/// Runs of a packet, in order; `base`: place of the first of `runs`.
pub(super) fn runs_of<'a>(
    runs: &'a VecDeque<Run>,
    base: u64,
    packet: &Packet,
) -> impl Iterator<Item = Run> + 'a {
    let first = (packet.runs_first - base) as usize;
    (first..first + packet.runs as usize).map(|at| runs[at])
}

/// Records of a frame of our own.
pub(super) fn records(frame: &Frame) -> Records<'_> {
    Records::new(&frame[LinkHeader::BYTES..])
}

/// Numbers above `through`, up to `last`, whose bits are set.
pub(super) fn numbers(through: u64, words: &[U64], last: u64) -> impl Iterator<Item = u64> {
    let all = words.iter().enumerate().flat_map(move |(index, word)| {
        let (word, first) = (word.get(), through.saturating_add(1 + 64 * index as u64));
        (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| first.saturating_add(bit))
    });
    all.take_while(move |number| *number <= last)
}
