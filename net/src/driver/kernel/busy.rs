//! Which peers most single frames are sent to, in a table of fixed size (Misra and Gries, "Finding
//! repeated elements", 1982). Pure: no socket, no clock.
//!
//! Invariants: a peer with more than a share of 1 / ([`CONNECTED_MAX`] + 1) of what is sent stays in the
//! table, unless it is forgotten; scores are not above [`SCORE_MAX`], and halve with time, so that an
//! idle peer leaves it.

use std::net::SocketAddr;

/// Peers that get a socket of their own. Each costs one more look that finds nothing a turn (100 ns),
/// and saves its peer some 350 ns a call; with four the first does not yet eat up the second.
pub(super) const CONNECTED_MAX: usize = 4;

/// Score from which on a peer is busy: making a socket costs about what as many calls save.
pub(super) const BUSY_SCORE: u32 = 64;

/// Highest score: a peer that falls idle is forgotten after eleven periods.
const SCORE_MAX: u32 = 1024;

/// Scores halve this often, in nanoseconds. So busy is who is sent something 320 times a second.
pub(super) const PERIOD_NS: u64 = 100_000_000;

pub(super) struct Busy {
    scores: Vec<(SocketAddr, u32)>,
    halve_at: u64,
}

impl Busy {
    pub(super) fn new() -> Busy {
        Busy { scores: Vec::with_capacity(CONNECTED_MAX), halve_at: 0 }
    }

    /// Counts a single frame that was sent to `to`: whether that peer is busy.
    pub(super) fn count(&mut self, to: SocketAddr) -> bool {
        if let Some((_, score)) = self.scores.iter_mut().find(|(peer, _)| *peer == to) {
            *score = (*score + 1).min(SCORE_MAX);
            return *score >= BUSY_SCORE;
        }
        if self.scores.len() < CONNECTED_MAX {
            self.scores.push((to, 1));
        } else {
            self.lower(|score| score - 1);
        }
        false
    }

    /// Halves all scores when it is time: whether it was.
    pub(super) fn age(&mut self, now: u64) -> bool {
        let is_time = now >= self.halve_at;
        if is_time {
            self.halve_at = now + PERIOD_NS;
            self.lower(|score| score / 2);
        }
        is_time
    }

    pub(super) fn has(&self, peer: SocketAddr) -> bool {
        self.scores.iter().any(|(it, _)| *it == peer)
    }

    /// It is no longer in a conversation: it has gone, or sends trains.
    pub(super) fn forget(&mut self, peer: SocketAddr) {
        self.scores.retain(|(it, _)| *it != peer);
    }

    fn lower(&mut self, by: impl Fn(u32) -> u32) {
        self.scores.retain_mut(|(_, score)| {
            *score = by(*score);
            *score > 0
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn peer(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn a_peer_is_busy_after_64_calls_and_forgotten_when_it_falls_idle() {
        let mut busy = Busy::new();
        let found: Vec<bool> = (0..100).map(|_| busy.count(peer(1))).collect();
        assert_eq!(found.iter().position(|it| *it), Some(63));
        assert!((0..10_000).all(|_| busy.count(peer(1))));
        let periods = (1..).take_while(|it| busy.age(it * PERIOD_NS) && busy.has(peer(1)));
        assert_eq!(periods.count(), 10);
        assert!(!busy.age(11 * PERIOD_NS + 1));
    }

    #[test]
    fn many_equal_peers_leave_nobody_busy() {
        let mut busy = Busy::new();
        let ports = (0..10_000u16).map(|call| call % (CONNECTED_MAX as u16 + 1));
        assert_eq!(ports.filter(|port| busy.count(peer(*port))).count(), 0);
    }

    proptest! {
        #[test]
        fn whoever_is_sent_more_than_a_share_stays_in_the_table(
            ports in prop::collection::vec(0u16..9, 1..300),
        ) {
            let mut busy = Busy::new();
            for port in &ports {
                busy.count(peer(*port));
            }
            for port in 0..9 {
                let calls = ports.iter().filter(|it| **it == port).count();
                prop_assert!(calls * (CONNECTED_MAX + 1) <= ports.len() || busy.has(peer(port)));
            }
        }
    }
}
