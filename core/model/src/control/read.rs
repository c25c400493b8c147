//! Ids, paths, routes and actions, read out of the plain integers and text that messages hold; and actions
//! written into them. What no table may hold is left out.

use super::{ActionEntry, BoxEntry, Hosting, Knowledge, PartEntry, PlaceEntry, RouteEntry};
use crate::id::{AgentId, BoxId, Epoch, Point, ReactorAddress, Space};
use crate::path::AgentPath;
use crate::point::PointRange;
use crate::route::{Action, PickBy, Route, Share};

impl Hosting {
    /// The space of its messages.
    pub fn space(&self) -> Space {
        Space(self.space)
    }

    /// Epoch of the route to it.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.epoch)
    }

    /// The points that it owns.
    pub fn range(&self) -> PointRange {
        PointRange { first: Point(self.first), last: Point(self.last) }
    }
}

impl PartEntry {
    /// The range.
    pub fn range(&self) -> PointRange {
        PointRange { first: Point(self.first), last: Point(self.last) }
    }
}

impl From<PointRange> for PartEntry {
    fn from(range: PointRange) -> PartEntry {
        PartEntry { first: range.first.0, last: range.last.0 }
    }
}

/// [`Knowledge`], read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// Logical path of a destination, and its route.
    pub routes: Vec<(AgentPath, Route)>,
    /// Physical id of an agent, and where it runs.
    pub places: Vec<(AgentId, ReactorAddress)>,
    /// A box, its name, and how it is reached.
    pub boxes: Vec<(BoxId, String, String)>,
}

impl Knowledge {
    /// Reads it. A route that no table may hold is left out; so its destination stays unknown.
    pub fn read(&self) -> Learned {
        let route = |entry: &RouteEntry| {
            let route = Route { epoch: Epoch(entry.epoch), action: entry.action.read() };
            let path = AgentPath::parse(&entry.path).ok()?;
            route.action.check().is_ok().then_some((path, route))
        };
        let place = |entry: &PlaceEntry| {
            let agent_box = BoxId(entry.agent_box);
            (AgentId(entry.physical), ReactorAddress { agent_box, reactor: entry.reactor })
        };
        let agent_box =
            |entry: &BoxEntry| (BoxId(entry.agent_box), entry.name.clone(), entry.address.clone());
        Learned {
            routes: self.routes.iter().filter_map(route).collect(),
            places: self.places.iter().map(place).collect(),
            boxes: self.boxes.iter().map(agent_box).collect(),
        }
    }

    /// Whom it leads to.
    pub fn destination(&self) -> Option<AgentId> {
        self.routes.first().map(|entry| AgentId::from(entry.path.as_str()))
    }

    /// Whether some part of the agent is held.
    pub fn is_held(&self) -> bool {
        self.routes.iter().any(|entry| entry.action == ActionEntry::Hold)
    }
}

impl ActionEntry {
    /// Writes an action.
    pub fn of(action: &Action) -> ActionEntry {
        let ids = |ids: &[AgentId]| ids.iter().map(|id| id.0).collect();
        match action {
            Action::To(id) => ActionEntry::To(id.0),
            Action::Pick { by, among } => {
                let shares = among.iter().map(|share| (share.last.0, share.child.0)).collect();
                match by {
                    PickBy::Point => ActionEntry::PickPoint(shares),
                    PickBy::RoundRobin => ActionEntry::PickRoundRobin(shares),
                    PickBy::LeastOutstanding => ActionEntry::PickLeastOutstanding(shares),
                }
            }
            Action::Each { among, wait_for_matching } => {
                ActionEntry::Each(ids(among), *wait_for_matching)
            }
            Action::Through { stages, next } => ActionEntry::Through(ids(stages), next.0),
            Action::Hold => ActionEntry::Hold,
            Action::Unknown => ActionEntry::Unknown,
        }
    }

    /// Reads it; [`Action::check`] says whether a table may hold it.
    pub fn read(&self) -> Action {
        let ids = |ids: &[u64]| ids.iter().map(|id| AgentId(*id)).collect();
        let pick = |by, shares: &[(u64, u64)]| {
            let share =
                |(last, child): &(u64, u64)| Share { last: Point(*last), child: AgentId(*child) };
            Action::Pick { by, among: shares.iter().map(share).collect() }
        };
        match self {
            ActionEntry::To(id) => Action::To(AgentId(*id)),
            ActionEntry::PickPoint(shares) => pick(PickBy::Point, shares),
            ActionEntry::PickRoundRobin(shares) => pick(PickBy::RoundRobin, shares),
            ActionEntry::PickLeastOutstanding(shares) => pick(PickBy::LeastOutstanding, shares),
            ActionEntry::Each(children, wait_for_matching) => {
                Action::Each { among: ids(children), wait_for_matching: *wait_for_matching }
            }
            ActionEntry::Through(stages, next) => {
                Action::Through { stages: ids(stages), next: AgentId(*next) }
            }
            ActionEntry::Hold => Action::Hold,
            ActionEntry::Unknown => Action::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_written_and_read() {
        let among = vec![
            Share { last: Point(4), child: AgentId(1) },
            Share { last: Point::MAX, child: AgentId(2) },
        ];
        let pick = |by| Action::Pick { by, among: among.clone() };
        for action in [
            Action::To(AgentId(3)),
            pick(PickBy::Point),
            pick(PickBy::RoundRobin),
            pick(PickBy::LeastOutstanding),
            Action::Each { among: vec![AgentId(1), AgentId(2)], wait_for_matching: 2 },
            Action::Through { stages: vec![AgentId(5)], next: AgentId(6) },
            Action::Hold,
            Action::Unknown,
        ] {
            assert_eq!(ActionEntry::of(&action).read(), action);
        }
    }

    #[test]
    fn a_route_that_no_table_may_hold_is_left_out() {
        let entry = |path: &str, action| RouteEntry { path: path.to_owned(), epoch: 1, action };
        let routes = vec![
            entry("kvs", ActionEntry::PickPoint(vec![(4, 1)])),
            entry("no path", ActionEntry::To(1)),
            entry("log", ActionEntry::Hold),
        ];
        let knowledge = Knowledge { routes, ..Knowledge::default() };
        let route = Route { epoch: Epoch(1), action: Action::Hold };
        assert_eq!(knowledge.read().routes, [(AgentPath::parse("log").unwrap(), route)]);
        assert!(knowledge.is_held());
    }
}
