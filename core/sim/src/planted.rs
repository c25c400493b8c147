//! Bugs that are put in on purpose, to see that they are found.
//!
//! Those of the world are always there to be put in; those of the turn are compiled in only with the
//! feature `planted`. Each has the seed that finds it, which a test holds.
//!
//! Not among them, since no run shows it: a life that takes messages for points that are not its own. Ways and
//! places are learned together, so that what goes a stale way finds nobody. Nor a done box that is left behind, which
//! one run in ten thousand shows: the model of `daedal-boxes` finds it.

use std::fmt;
use std::str::FromStr;

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
    /// All that there are, each with a seed that finds it: the first one.
    pub fn all() -> Vec<(Bug, u64)> {
        let all = vec![(Bug::RepeatsStop, 4), (Bug::JournalForgets, 8)];
        #[cfg(feature = "planted")]
        let all = {
            use turn::Bug::*;
            let of_turn = [
                (FloorOverstated, 0),
                (DoneOnReceipt, 0),
                (AnsweredTwice, 0),
                (TimersLost, 0),
                (WakeLost, 0),
                (ReturnedLost, 0),
                (PartForWhole, 0),
                (RingReturnedLost, 0),
                (EarlyTaken, 0),
                (PlaceAnew, 4),
                (OldWayKept, 55),
                (RetiredEarly, 13),
                (CopiesAllAsked, 0),
                (TimersLeft, 2),
                (StampLeft, 2),
                (PartTwice, 2),
                (LifeGoesOn, 0),
                (GoneBackDone, 800),
                (PartReachesAll, 12),
                (LateGoesOn, 217),
                (FullIsDone, 26),
                (FullStaysDone, 26),
                (FullPasses, 52),
                (FullStaysFull, 26),
            ];
            all.into_iter().chain(of_turn.map(|(bug, seed)| (Bug::Turn(bug), seed))).collect()
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

    /// How often the network takes a packet.
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

impl FromStr for Bug {
    type Err = String;

    /// Reads what `Display` writes.
    fn from_str(text: &str) -> Result<Bug, String> {
        let all = Bug::all().into_iter().map(|(bug, _)| bug);
        let names: Vec<String> = all.clone().map(|bug| bug.to_string()).collect();
        let found = all.zip(&names).find(|(_, name)| *name == text).map(|(bug, _)| bug);
        found.ok_or_else(|| format!("{text} is no bug of this build; it has {}", names.join(", ")))
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
