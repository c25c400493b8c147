//! Bugs that are put in on purpose, to see that they are found.
//!
//! Those of the network and of the journal are always there to be put in; those of the turn are compiled
//! in only with the feature `planted`.
//!
//! Not among them, since no run can show it yet: a done box that admits what it has seen. A link refuses
//! packets that it has taken, sessions end only with a process, and agents do not move.

use std::fmt;

#[cfg(feature = "planted")]
use daedal_boxes::planted as turn;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    /// A packet is given up after three sends.
    RepeatsStop,
    /// The controller's journal answers before it is synced.
    JournalForgets,
    /// One of the turn's.
    #[cfg(feature = "planted")]
    Turn(turn::Bug),
}

impl Bug {
    /// All that there are.
    pub fn all() -> Vec<Bug> {
        let all = vec![Bug::RepeatsStop, Bug::JournalForgets];
        #[cfg(feature = "planted")]
        let all = {
            use turn::Bug::*;
            let of_turn = [
                FloorOverstated,
                DoneOnReceipt,
                AnsweredTwice,
                TimersLost,
                WakeLost,
                ReturnedLost,
                PartForWhole,
                RingReturnedLost,
            ];
            all.into_iter().chain(of_turn.map(Bug::Turn)).collect()
        };
        all
    }

    /// Puts it in, until the guard is dropped.
    pub(crate) fn plant(self) -> Planted {
        #[cfg(feature = "planted")]
        if let Bug::Turn(bug) = self {
            turn::plant(Some(bug));
        }
        Planted
    }

    pub(crate) fn sends_max(self) -> Option<u32> {
        (self == Bug::RepeatsStop).then_some(3)
    }
}

impl fmt::Display for Bug {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(feature = "planted")]
            Bug::Turn(bug) => fmt::Debug::fmt(bug, out),
            own => fmt::Debug::fmt(own, out),
        }
    }
}

/// A bug that is in.
#[derive(Debug)]
pub(crate) struct Planted;

impl Drop for Planted {
    fn drop(&mut self) {
        #[cfg(feature = "planted")]
        turn::plant(None);
    }
}
