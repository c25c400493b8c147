//! When a reactor visits its sockets, and when it stops looking and parks.
//!
//! Decides from what the last turn found and from the time that it is given: no clock, no thread.
//! Local and ring work is looked at every turn; asking a socket costs more than handling a message (an
//! empty `recvmmsg` 400 ns, a round trip through a ring 110 ns). So sockets are visited every turn while
//! nothing else goes on or while they have something, and ever more seldom, to a bound, while they are
//! empty and there is work inside. Invariants: two visits are at most `APART_NS_MAX` and two turns
//! apart; a reactor parks only after a turn that visited everything and found nothing.

use std::fmt;
use std::str::FromStr;

use daedal_model::id::Stamp;

/// Spin of [`Idle::Latency`]: only a reactor that nobody has talked to for a whole second parks, so that
/// no request of a service that is used at all pays for a wake-up.
const LATENCY_SPIN_NS: u64 = 1_000_000_000;
/// Spin of [`Idle::Balanced`]: about what parking and being woken costs, so that a reactor never loses
/// more than twice what knowing the future would have cost it.
const BALANCED_SPIN_NS: u64 = 50_000;
/// Spin of [`Idle::Frugal`]: none.
const FRUGAL_SPIN_NS: u64 = 0;

/// Longest time without a visit to the sockets while there is work inside: a twentieth of a round trip
/// over a network, and twelve times an empty `recvmmsg`.
const APART_NS_MAX: u64 = 5_000;
/// The first step away from visiting every turn: about one empty `recvmmsg`.
const APART_NS_FIRST: u64 = 500;

/// What a reactor does when there is nothing to do: spins for some time, then parks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Idle {
    /// Spins for a second: a core for itself, and no wake-ups.
    Latency,
    /// Spins about as long as a wake-up takes.
    #[default]
    Balanced,
    /// Parks at once.
    Frugal,
}

impl Idle {
    const ALL: [(Idle, &str); 3] =
        [(Idle::Latency, "latency"), (Idle::Balanced, "balanced"), (Idle::Frugal, "frugal")];

    /// How long it spins before it parks, in nanoseconds.
    pub fn spin_ns(self) -> u64 {
        match self {
            Idle::Latency => LATENCY_SPIN_NS,
            Idle::Balanced => BALANCED_SPIN_NS,
            Idle::Frugal => FRUGAL_SPIN_NS,
        }
    }

    /// The setting for `threads` busy threads on `cores` cores: who spins for long where others wait
    /// for the core only delays them, so that [`Idle::Latency`] becomes [`Idle::Balanced`].
    #[must_use]
    pub fn fitting(self, threads: usize, cores: usize) -> Idle {
        if self == Idle::Latency && threads > cores { Idle::Balanced } else { self }
    }
}

impl fmt::Display for Idle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Self::ALL.iter().find(|(idle, _)| idle == self);
        out.write_str(named.expect("all have a name").1)
    }
}

/// No setting has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("idle = \"{0}\": there is no such setting; write \"latency\", \"balanced\" or \"frugal\"")]
pub struct UnknownIdle(String);

impl FromStr for Idle {
    type Err = UnknownIdle;

    fn from_str(text: &str) -> Result<Idle, UnknownIdle> {
        let named = Self::ALL.iter().find(|(_, name)| *name == text);
        named.map(|(idle, _)| *idle).ok_or_else(|| UnknownIdle(text.to_string()))
    }
}

/// What a turn found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Work in rings, local queue or timers.
    pub inside: bool,
    /// Whether sockets and shims were visited; if so, whether they had something.
    pub outside: Option<bool>,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another turn.
    Turn {
        /// Whether it visits the sockets.
        sockets: bool,
    },
    /// Nothing was found for long enough: park, then take a turn that visits the sockets.
    Park,
}

/// One reactor's pace.
#[derive(Clone, Debug)]
pub struct Pace {
    spin_ns: u64,
    /// How long after a visit to the sockets the next one is due.
    apart_ns: u64,
    visited: Stamp,
    /// When there was last something to do inside.
    inside: Stamp,
    /// When there was last something to do anywhere.
    busy: Stamp,
}

impl Pace {
    /// Starts at `now`, as if there had just been something to do.
    pub fn new(idle: Idle, now: Stamp) -> Pace {
        Pace { spin_ns: idle.spin_ns(), apart_ns: 0, visited: now, inside: Stamp(0), busy: now }
    }

    /// What follows a turn that was taken at `now` and found `found`.
    pub fn next(&mut self, found: Found, now: Stamp) -> Next {
        if found.inside {
            self.inside = now;
        }
        if let Some(outside) = found.outside {
            self.visited = now;
            self.apart_ns = if outside || !self.is_busy_inside(now) {
                0
            } else {
                (self.apart_ns * 2).clamp(APART_NS_FIRST, APART_NS_MAX)
            };
        }
        if found.inside || found.outside == Some(true) {
            self.busy = now;
        } else if found.outside.is_some() && since(self.busy, now) >= self.spin_ns {
            return Next::Park;
        }
        let due = !self.is_busy_inside(now) || since(self.visited, now) >= self.apart_ns;
        Next::Turn { sockets: due }
    }

    /// Whether there was work inside just now: between two messages of a conversation with another
    /// reactor, turns find nothing.
    fn is_busy_inside(&self, now: Stamp) -> bool {
        since(self.inside, now) < APART_NS_MAX
    }
}

fn since(then: Stamp, now: Stamp) -> u64 {
    now.0.saturating_sub(then.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Found = Found { inside: false, outside: Some(false) };
    const START: u64 = 1_000_000_000_000;

    /// Takes turns of `turn_ns` each for `for_ns`; `found` says what one finds. Returns how many
    /// visited the sockets, out of how many, and the longest time between two visits.
    fn run(
        pace: &mut Pace,
        turn_ns: u64,
        for_ns: u64,
        mut found: impl FnMut(u64) -> (bool, bool),
    ) -> (u64, u64, u64) {
        let (mut now, mut sockets) = (START, true);
        let (mut visits, mut turns, mut last, mut apart) = (0, 0, START, 0);
        while now < START + for_ns {
            now += turn_ns;
            turns += 1;
            let (inside, outside) = found(turns);
            if sockets {
                visits += 1;
                apart = apart.max(now - last);
                last = now;
            }
            let found = Found { inside, outside: sockets.then_some(outside) };
            match pace.next(found, Stamp(now)) {
                Next::Turn { sockets: next } => sockets = next,
                Next::Park => sockets = true,
            }
        }
        (visits, turns, apart)
    }

    #[test]
    fn the_named_settings_are_read_as_they_are_written() {
        for (idle, name) in Idle::ALL {
            assert_eq!(name.parse(), Ok(idle));
            assert_eq!(idle.to_string(), name);
        }
        let error = "fast".parse::<Idle>().unwrap_err();
        assert!(error.to_string().contains("\"fast\"") && error.to_string().contains("balanced"));
    }

    #[test]
    fn with_more_threads_than_cores_nobody_spins_for_long() {
        assert_eq!(Idle::Latency.fitting(3, 2), Idle::Balanced);
        assert_eq!(Idle::Latency.fitting(2, 2), Idle::Latency);
        assert_eq!(Idle::Frugal.fitting(3, 2), Idle::Frugal);
    }

    #[test]
    fn sockets_are_visited_each_turn_when_only_they_carry_traffic() {
        let mut pace = Pace::new(Idle::Balanced, Stamp(START));
        let (visits, turns, _) = run(&mut pace, 500, 1_000_000, |turn| (false, turn % 7 == 0));
        assert_eq!(visits, turns);
    }

    #[test]
    fn sockets_are_visited_seldom_but_never_left_alone_while_rings_are_busy() {
        let mut pace = Pace::new(Idle::Balanced, Stamp(START));
        let (visits, turns, apart) = run(&mut pace, 110, 10_000_000, |_| (true, false));
        assert!(visits * 40 < turns, "{visits} visits in {turns} turns");
        assert!(apart <= APART_NS_MAX + 2 * 110, "{apart}");
    }

    #[test]
    fn empty_turns_between_the_messages_of_a_ring_do_not_call_for_sockets() {
        let mut pace = Pace::new(Idle::Balanced, Stamp(START));
        let (visits, turns, _) = run(&mut pace, 50, 10_000_000, |turn| (turn % 3 == 0, false));
        assert!(visits * 40 < turns, "{visits} visits in {turns} turns");
    }

    #[test]
    fn sockets_that_have_something_are_visited_each_turn_beside_busy_rings() {
        let mut pace = Pace::new(Idle::Balanced, Stamp(START));
        let (visits, turns, _) = run(&mut pace, 500, 1_000_000, |_| (true, true));
        assert_eq!(visits, turns);
    }

    #[test]
    fn a_reactor_parks_once_it_has_spun_in_vain_and_not_before() {
        for idle in [Idle::Latency, Idle::Balanced, Idle::Frugal] {
            let mut pace = Pace::new(idle, Stamp(START));
            let mut next = |found, after| pace.next(found, Stamp(START + after));
            let inside = Found { inside: true, outside: None };
            assert_ne!(next(inside, 10), Next::Park);
            if idle.spin_ns() > 0 {
                assert_eq!(next(NOTHING, 9 + idle.spin_ns()), Next::Turn { sockets: true });
            }
            assert_eq!(next(NOTHING, 10 + idle.spin_ns()), Next::Park);
            // Woken for nothing, it parks again at once; woken for something, it spins anew.
            assert_eq!(next(NOTHING, 11 + idle.spin_ns()), Next::Park);
            assert_ne!(next(inside, 20 + idle.spin_ns()), Next::Park);
        }
    }

    #[test]
    fn nobody_parks_before_the_sockets_were_visited() {
        let mut pace = Pace::new(Idle::Frugal, Stamp(START));
        let unvisited = Found { inside: false, outside: None };
        assert_ne!(pace.next(unvisited, Stamp(START + 1)), Next::Park);
        assert_eq!(pace.next(NOTHING, Stamp(START + 2)), Next::Park);
    }
}
