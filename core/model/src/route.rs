//! Routes: what a table says about a destination. Actions are data, not code, so that the controller can
//! send them and a box can check them; the address in an action is looked up again, so they nest.
//!
//! Does not know places: `To` gives a physical id, which the box table maps to a reactor.
//! Invariants of a checked [`Action`]: the shares of a `Pick` rise and cover every point; no list is empty
//! or longer than its bound.
//! Sources: Ovid §3.3, §6.3; Escher §2.2.

use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

use crate::id::{AgentId, Epoch, Name, Point};

/// Most children that a route names: the children of one virtual agent.
pub const CHILDREN_MAX: usize = 4096;

/// Most stages that one route puts a message through.
pub const STAGES_MAX: usize = 16;

/// What is done with a message for some destination, as of an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Version of the entry; a newer one replaces an older one.
    pub epoch: Epoch,
    /// What is done.
    pub action: Action,
}

/// What is done with a message for some destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It goes to the agent with this physical id.
    To(AgentId),
    /// It goes to one of the children.
    Pick {
        /// How the child is chosen.
        by: PickBy,
        /// Logical ids of the children, each with the last point of its share.
        among: Vec<Share>,
    },
    /// It goes to all of these, which do the same with it (Escher §3.1).
    Each {
        /// Logical ids of the children.
        among: Vec<AgentId>,
        /// How many of their replies must say the same, to be their parent's.
        wait_for_matching: u32,
    },
    /// It passes stages inline, outermost first, and is then looked up as `next`.
    Through {
        /// Ids of the stages.
        stages: Vec<AgentId>,
        /// Logical id that comes out.
        next: AgentId,
    },
    /// It waits: the destination is being changed.
    Hold,
    /// There is no such agent.
    Unknown,
}

/// How a `Pick` chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PickBy {
    /// The child in whose share the message's point falls.
    Point,
    /// The children in turn, counted by each reactor on its own.
    RoundRobin,
    /// The child that the sender has the fewest messages outstanding to.
    LeastOutstanding,
}

/// One child's share of the points: those after the share before, up to and including `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The greatest point of the share.
    pub last: Point,
    /// Logical id of the child.
    pub child: AgentId,
}

/// An action that no table may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RouteError {
    /// A list without entries.
    #[error("a route to nobody: name at least one child")]
    Empty,
    /// A list that is too long.
    #[error("a route has {given} entries, and at most {max}: nest it")]
    Long {
        /// How many it has.
        given: usize,
        /// How many it may have.
        max: usize,
    },
    /// More matching replies than there are children, or none.
    #[error(
        "a route to {of} that waits for {wait_for_matching} matching replies: wait for 1 to {of}"
    )]
    Matching {
        /// How many it waits for.
        wait_for_matching: u32,
        /// Of how many.
        of: usize,
    },
    /// Shares that do not rise.
    #[error("share {index} of a pick ends at {last}, not after the one before it: sort them")]
    NotRising {
        /// Which share, counted from 0.
        index: usize,
        /// Where it ends.
        last: Point,
    },
    /// Shares that end before the last point.
    #[error("the shares of a pick end at {last}: let the last one end at {}", u64::MAX)]
    Uncovered {
        /// Where the last share ends.
        last: Point,
    },
}

impl Action {
    /// Whether a table may hold it.
    /// # Errors
    /// [`RouteError`] names the first thing that is wrong.
    pub fn check(&self) -> Result<(), RouteError> {
        match self {
            Action::To(_) | Action::Hold | Action::Unknown => Ok(()),
            Action::Each { among, wait_for_matching } => check_each(among, *wait_for_matching),
            Action::Through { stages, .. } => check_length(stages.len(), STAGES_MAX),
            Action::Pick { among, .. } => check_shares(among),
        }
    }

    /// The logical ids that must be looked up next.
    pub fn next(&self) -> Vec<AgentId> {
        match self {
            Action::Pick { among, .. } => among.iter().map(|share| share.child).collect(),
            Action::Each { among, .. } => among.clone(),
            Action::Through { next, .. } => vec![*next],
            Action::To(_) | Action::Hold | Action::Unknown => Vec::new(),
        }
    }
}

/// The child in whose share a point falls. Cost: a binary search.
/// `among`: checked.
/// # Panics
/// When `among` is empty.
pub fn pick(among: &[Share], point: Point) -> AgentId {
    let index = among.partition_point(|share| share.last < point);
    among[index.min(among.len() - 1)].child
}

/// The child for a message whose sender is one of several replicas: a function of name and epoch alone,
/// so that all of them choose the same one (highest random weight). Cost: a hash for each child.
/// # Panics
/// When `among` is empty.
pub fn rendezvous(name: &Name, epoch: Epoch, among: &[Share]) -> AgentId {
    let mut key = [0; 32];
    key[0..8].copy_from_slice(&name.source.0.to_le_bytes());
    key[8..16].copy_from_slice(&name.number.0.to_le_bytes());
    key[16..20].copy_from_slice(&name.space.0.to_le_bytes());
    key[20..24].copy_from_slice(&epoch.0.to_le_bytes());
    let weight = |child: AgentId| {
        let mut key = key;
        key[24..32].copy_from_slice(&child.0.to_le_bytes());
        (xxh3_64(&key), child)
    };
    among.iter().map(|share| weight(share.child)).max().expect("a pick has children").1
}

fn check_length(given: usize, max: usize) -> Result<(), RouteError> {
    match given {
        0 => Err(RouteError::Empty),
        given if given > max => Err(RouteError::Long { given, max }),
        _ => Ok(()),
    }
}

fn check_each(among: &[AgentId], wait_for_matching: u32) -> Result<(), RouteError> {
    check_length(among.len(), CHILDREN_MAX)?;
    match (1..=among.len()).contains(&(wait_for_matching as usize)) {
        true => Ok(()),
        false => Err(RouteError::Matching { wait_for_matching, of: among.len() }),
    }
}

fn check_shares(among: &[Share]) -> Result<(), RouteError> {
    check_length(among.len(), CHILDREN_MAX)?;
    let falls = among.windows(2).position(|pair| pair[1].last <= pair[0].last);
    if let Some(index) = falls.map(|before| before + 1) {
        return Err(RouteError::NotRising { index, last: among[index].last });
    }
    match among[among.len() - 1].last {
        Point(u64::MAX) => Ok(()),
        last => Err(RouteError::Uncovered { last }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::{Number, Space};

    fn shares(lasts: &[u64]) -> Vec<Share> {
        let share = |(index, last): (usize, &u64)| Share {
            last: Point(*last),
            child: AgentId(index as u64),
        };
        lasts.iter().enumerate().map(share).collect()
    }

    proptest! {
        #[test]
        fn a_point_is_picked_as_by_a_linear_search(
            lasts in prop::collection::btree_set(0..1000u64, 0..20),
            point in 0..1100u64,
        ) {
            let lasts: Vec<u64> = lasts.into_iter().chain([u64::MAX]).collect();
            let among = shares(&lasts);
            let action = Action::Pick { by: PickBy::Point, among: among.clone() };
            prop_assert_eq!(action.check(), Ok(()));
            let expect = lasts.iter().position(|last| point <= *last).unwrap();
            prop_assert_eq!(pick(&among, Point(point)), AgentId(expect as u64));
        }

        #[test]
        fn a_rendezvous_moves_only_to_a_child_that_was_added(number in any::<u64>()) {
            let name = Name { source: AgentId(7), space: Space(1), number: Number(number) };
            let four = shares(&[1, 2, 3, u64::MAX]);
            let five = shares(&[1, 2, 3, 4, u64::MAX]);
            let (before, after) =
                (rendezvous(&name, Epoch(3), &four), rendezvous(&name, Epoch(3), &five));
            prop_assert!(after == before || after == AgentId(4));
        }
    }

    #[test]
    fn a_rendezvous_spreads_and_depends_on_the_epoch() {
        let among = shares(&[1, 2, 3, u64::MAX]);
        let mut counts = [0; 4];
        let mut moved = 0;
        for number in 0..4000 {
            let name = Name { source: AgentId(7), space: Space(1), number: Number(number) };
            let child = rendezvous(&name, Epoch(1), &among);
            counts[child.0 as usize] += 1;
            moved += u32::from(rendezvous(&name, Epoch(2), &among) != child);
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
        assert!(moved > 2000, "{moved}");
    }

    fn each(among: Vec<AgentId>, wait_for_matching: u32) -> Action {
        Action::Each { among, wait_for_matching }
    }

    #[test]
    fn a_bad_action_is_refused_by_name() {
        let check = |action: Action, expect: RouteError| assert_eq!(action.check(), Err(expect));
        let picked = |lasts: &[u64]| Action::Pick { by: PickBy::Point, among: shares(lasts) };
        check(picked(&[]), RouteError::Empty);
        check(each(Vec::new(), 1), RouteError::Empty);
        let matching = |wait_for_matching| RouteError::Matching { wait_for_matching, of: 2 };
        check(each(vec![AgentId(1), AgentId(2)], 0), matching(0));
        check(each(vec![AgentId(1), AgentId(2)], 3), matching(3));
        check(Action::Through { stages: Vec::new(), next: AgentId(1) }, RouteError::Empty);
        check(picked(&[4, 4, u64::MAX]), RouteError::NotRising { index: 1, last: Point(4) });
        check(picked(&[9, 4, u64::MAX]), RouteError::NotRising { index: 1, last: Point(4) });
        check(picked(&[4, 9]), RouteError::Uncovered { last: Point(9) });
        let many = vec![AgentId(1); CHILDREN_MAX + 1];
        check(each(many, 1), RouteError::Long { given: CHILDREN_MAX + 1, max: CHILDREN_MAX });
    }
}
