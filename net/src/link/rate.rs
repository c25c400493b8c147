//! How many packets a link may have under way: congestion control by delay, after Swift (Kumar and
//! others, SIGCOMM 2020).
//!
//! What counts is the time in the network: what both ends may have waited for their own next turn is
//! taken off, as far as they know it, since a slow core is not helped by more room on the wire.
//!
//! A *round* lasts until a packet that was sent in it is acknowledged; its *standing* delay is the
//! shortest round trip that was seen in it. A queue that stays raises even the shortest, jitter does
//! not. A queue that stays for two rounds is congestion; one round may be a peer whose core did
//! something else. Loss alone is none: a network may lose packets and be empty.
//!
//! What a round trip takes without a queue is the shortest one that was seen lately. For that to be
//! seen, those that share a queue have to leave it empty together: links that were slowed down hold
//! back at times that all know from the clock (BBR's ProbeRTT, which each flow does on its own).
//!
//! Invariant: [`WINDOW_MIN`] ≤ window ≤ [`SPAN_PACKETS`], so that a link always makes progress.

use crate::limits::SPAN_PACKETS;

/// Packets under way before anything is known: the burst that sixteen peers may send at one more at once
/// fits the buffer of a switch.
const WINDOW_FIRST: u64 = 16;

/// Packets that may always be under way: with one, each loss would cost a timeout.
const WINDOW_MIN: u64 = 2;

/// Links that were slowed down hold back once in each period, by the clock, nanoseconds.
const PERIOD_NS: u64 = 1_000_000_000;

/// For how long: a hundredth of the time, and longer than clocks that are synchronised disagree.
const DRAIN_NS: u64 = 10_000_000;

#[derive(Debug)]
pub(super) struct Rate {
    /// Standing delay, beyond the shortest round trip, that is congestion.
    queue_ns: u64,
    window: u64,
    /// No queue was seen yet: the window doubles each round.
    is_opening: bool,
    /// Shortest round trips of the last period and of this one.
    shortest: [u64; 2],
    period_ends: u64,
    /// The window was cut in the last period, and in this one.
    was_cut: [bool; 2],
    is_draining: bool,
    /// How much of a round trip may not be the network's: the most of the last round, and of this one. A turn that
    /// took long shows in the frames of the next one.
    excused_ns: [u64; 2],
    round_began: u64,
    standing: u64,
    /// Longest round trip of this round.
    longest: u64,
    has_lost: bool,
    was_over: bool,
}

impl Rate {
    pub(super) fn new(queue_ns: u64) -> Rate {
        Rate {
            queue_ns,
            window: WINDOW_FIRST,
            is_opening: true,
            shortest: [u64::MAX; 2],
            period_ends: 0,
            was_cut: [false; 2],
            is_draining: false,
            excused_ns: [0; 2],
            round_began: 0,
            standing: u64::MAX,
            longest: 0,
            has_lost: false,
            was_over: false,
        }
    }

    /// Packets that may be under way now.
    pub(super) fn window(&self) -> u64 {
        if self.is_draining { WINDOW_MIN } else { self.window }
    }

    /// What is heard now may have waited for so long at the ends.
    #[inline]
    pub(super) fn excuse(&mut self, ns: u64) {
        self.excused_ns[1] = self.excused_ns[1].max(ns);
    }

    /// A packet that was sent once, at `sent_at`, was received; `under_way` packets were before that. A link that
    /// uses less than half of its window learns nothing about more.
    #[inline]
    pub(super) fn hear(&mut self, now: u64, sent_at: u64, under_way: u64) {
        let delay = now.saturating_sub(sent_at);
        self.shortest[1] = self.shortest[1].min(delay);
        if 2 * under_way < self.window && !self.is_draining {
            return;
        }
        let delay = delay.saturating_sub(self.excused_ns[0].max(self.excused_ns[1]));
        self.standing = self.standing.min(delay);
        self.longest = self.longest.max(delay);
        if sent_at >= self.round_began {
            self.end_round(now);
        }
    }

    /// A packet was overtaken by later ones.
    pub(super) fn lose(&mut self) {
        self.has_lost = true;
    }

    fn end_round(&mut self, now: u64) {
        let standing = std::mem::replace(&mut self.standing, u64::MAX);
        let longest = std::mem::take(&mut self.longest);
        let shortest = self.shortest[0].min(self.shortest[1]);
        let queue = standing.saturating_sub(shortest);
        let has_lost = std::mem::take(&mut self.has_lost);
        // Where the queue is short packets are lost before they wait for long.
        let is_over = queue > self.queue_ns || (has_lost && queue > self.queue_ns / 8);
        // Bursts that double are to be seen before they have become a queue.
        let is_open =
            has_lost || longest.saturating_sub(shortest) > (self.queue_ns + shortest / 2) / 2;
        if is_open && std::mem::take(&mut self.is_opening) {
            // Twice as much is on its way already.
            self.window = (self.window / 2).max(WINDOW_MIN);
        } else if is_over && self.was_over {
            self.cut(queue.saturating_sub(self.queue_ns), standing);
        } else if !is_over && !self.is_draining {
            let more = if self.is_opening { self.window } else { 1 };
            self.window = (self.window + more).min(SPAN_PACKETS);
        }
        // What is cut shows only in the round after the next.
        self.was_over = is_over && !self.was_over;
        self.round_began = now;
        self.excused_ns = [self.excused_ns[1], 0];
        self.keep_time(now);
    }

    /// By the share that the queue is too long, at least by an eighth, so that links that share it become
    /// equal; at most by a half.
    fn cut(&mut self, excess: u64, standing: u64) {
        let share = (u128::from(self.window) * u128::from(excess) / u128::from(standing)) as u64;
        let cut = share.clamp(self.window / 8, self.window / 2).max(1);
        self.window = (self.window - cut).max(WINDOW_MIN);
        self.was_cut[1] = true;
    }

    fn keep_time(&mut self, now: u64) {
        if now >= self.period_ends {
            self.period_ends = now - now % PERIOD_NS + PERIOD_NS;
            self.shortest = [self.shortest[1], u64::MAX];
            self.was_cut = [self.was_cut[1], false];
        }
        self.is_draining = self.was_cut[0] && now + PERIOD_NS < self.period_ends + DRAIN_NS;
    }
}
