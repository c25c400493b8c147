//! A reactor's routing table and box table: caches of what the controller decided (Ovid §6.1, §6.3),
//! resolved down to where each leaf is, so that a send is one look-up.
//!
//! What was decided is kept apart from what follows from it: `settle` derives every way anew whenever a
//! route, a place or an agent of this reactor changes, which is rare. Who is written to no more is forgotten
//! now and then, where there is somebody to ask again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use daedal_model::agent::Refusal;
use daedal_model::id::{AgentId, BoxId, Epoch, Point, ReactorAddress};
use daedal_model::merge::MergeFunction;
use daedal_model::path::AgentPath;
use daedal_model::point::PointRange;
use daedal_model::route::{Action, PickBy, Route};
use daedal_model::stage::Stage;
use hashbrown::HashMap;

use crate::conversation::RouteIndex;
use crate::plane::Via;
use crate::planted::{self, Bug};

/// Destinations that nobody writes to, and that are kept all the same, beside half of the others: while the
/// controller is away they cannot be asked for.
const UNUSED_MAX: usize = 1024;

/// How deep ways nest: as deep as a path has segments.
const DEPTH_MAX: usize = 16;

/// Where a message ends up: a leaf, and how it is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub physical: AgentId,
    pub via: Via,
}

/// A route, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Not known: messages wait, and the controller is asked.
    Closed,
    /// Not to be used just now: messages wait, and the controller will tell.
    Held,
    /// Known not to lead anywhere.
    Refused(Refusal),
    One(Leaf),
    /// By point: each entry holds up to and including its point.
    Pick(Box<[(Point, Way)]>),
    /// One of them, whichever: the sender chooses.
    Spread(PickBy, Box<[Way]>),
    /// All of them.
    Each(Box<[Way]>),
}

impl Way {
    /// The one leaf for a message. `turn`: which of several that are alike, if it is there; else the next.
    #[inline]
    pub fn leaf(&self, point: Option<Point>, turn: u64) -> Result<Leaf, Detour> {
        match self {
            Way::One(leaf) if leaf.via != Via::Nowhere => Ok(*leaf),
            Way::Pick(among) => {
                let point = point.ok_or(Detour::Refuse(Refusal::NoPoint))?;
                let at = among.partition_point(|(last, _)| *last < point);
                among.get(at).map_or(Err(Detour::Wait), |(_, way)| way.leaf(Some(point), turn))
            }
            Way::Spread(..) if planted::is(Bug::CopiesAllAsked) => Err(Detour::Each),
            Way::Spread(_, among) => {
                let (before, from) = among.split_at((turn % among.len().max(1) as u64) as usize);
                let mut leaves = from.iter().chain(before).map(|way| way.leaf(point, turn));
                leaves.find(|leaf| *leaf != Err(Detour::Wait)).unwrap_or(Err(Detour::Wait))
            }
            Way::Refused(refusal) => Err(Detour::Refuse(*refusal)),
            Way::Closed | Way::Held | Way::One(_) => Err(Detour::Wait),
            Way::Each(..) => Err(Detour::Each),
        }
    }

    /// The leaf of this id, if it is one of several that are alike, and is there.
    pub fn copy(&self, physical: AgentId, point: Option<Point>) -> Option<Leaf> {
        match self {
            Way::Pick(among) => {
                let at = among.partition_point(|(last, _)| point.is_some_and(|it| *last < it));
                among.get(at)?.1.copy(physical, point)
            }
            Way::Spread(_, among) => among.iter().find_map(|way| match way {
                Way::One(leaf) => Some(*leaf).filter(|it| it.physical == physical),
                _ => None,
            }),
            _ => None,
        }
        .filter(|leaf| leaf.via != Via::Nowhere)
    }

    /// The one leaf for a message to all points of a range.
    pub fn leaf_of_all(&self, range: PointRange, turn: u64) -> Result<Leaf, Detour> {
        match self {
            Way::Pick(among) => {
                let at = among.partition_point(|(last, _)| *last < range.first);
                let (last, way) = among.get(at).ok_or(Detour::Wait)?;
                if *last < range.last {
                    return Err(Detour::Cut);
                }
                way.leaf_of_all(range, turn)
            }
            way => way.leaf(None, turn),
        }
    }

    /// The parts of a range that have one leaf each, as far as is known, with their lanes.
    pub fn cut(&self, range: PointRange) -> Vec<(u16, PointRange)> {
        let Way::Pick(among) = self else { return vec![(0, range)] };
        let mut first = Point(0);
        let mut parts = Vec::new();
        for (lane, (last, way)) in (1..).zip(among.iter()) {
            let part = PointRange { first, last: *last }.common(&range);
            let below = part.into_iter().flat_map(|part| way.cut(part));
            parts.extend(below.map(|(_, part)| (lane, part)));
            first = Point(last.0.saturating_add(1));
        }
        parts
    }

    /// All leaves, with the points that each owns; copies that are alike own none.
    pub fn lines(&self) -> Vec<(AgentId, Option<PointRange>)> {
        let mut all = Vec::new();
        self.add_lines(Some(PointRange::ALL), &mut all);
        all
    }

    fn add_lines(&self, range: Option<PointRange>, all: &mut Vec<(AgentId, Option<PointRange>)>) {
        match self {
            Way::One(leaf) => all.push((leaf.physical, range)),
            Way::Pick(among) => {
                let mut first = Point(0);
                for (last, way) in among {
                    let part = PointRange { first, last: *last };
                    way.add_lines(range.and_then(|range| range.common(&part)), all);
                    first = Point(last.0.saturating_add(1));
                }
            }
            Way::Spread(_, among) => among.iter().for_each(|way| way.add_lines(None, all)),
            Way::Each(among) => among.iter().for_each(|way| way.add_lines(range, all)),
            Way::Closed | Way::Held | Way::Refused(_) => {}
        }
    }

    /// The lane of a message's numbers: one for each child that a key may fall to, 0 where there are none.
    /// Of copies that are alike the sender chooses one.
    #[inline]
    pub fn lane(&self, point: Option<Point>) -> u16 {
        match (self, point) {
            (Way::Pick(among), Some(point)) => {
                1 + among.partition_point(|(last, _)| *last < point) as u16
            }
            _ => 0,
        }
    }

    fn add_leaves_over(&self, link: u32, all: &mut Vec<AgentId>) {
        match self {
            Way::One(leaf) if leaf.via == Via::Link(link) => all.push(leaf.physical),
            Way::Pick(among) => among.iter().for_each(|(_, way)| way.add_leaves_over(link, all)),
            Way::Spread(_, among) | Way::Each(among) => {
                among.iter().for_each(|way| way.add_leaves_over(link, all));
            }
            Way::One(_) | Way::Closed | Way::Held | Way::Refused(_) => {}
        }
    }

    /// Whether the controller has something to tell that is not known here, or is no longer so.
    pub fn is_missing(&self) -> bool {
        match self {
            Way::Closed => true,
            Way::Held | Way::Refused(_) => false,
            Way::One(leaf) => leaf.via == Via::Nowhere,
            Way::Pick(among) => among.iter().any(|(_, way)| way.is_missing()),
            Way::Spread(_, among) | Way::Each(among) => among.iter().any(Way::is_missing),
        }
    }

    /// Whether all leaves are known.
    pub fn is_whole(&self) -> bool {
        match self {
            Way::Closed | Way::Held | Way::Refused(_) => false,
            Way::One(_) => true,
            Way::Pick(among) => among.iter().all(|(_, way)| way.is_whole()),
            Way::Spread(_, among) | Way::Each(among) => among.iter().all(Way::is_whole),
        }
    }

    /// To how many leaves a message goes that goes to all; `None` unless they are known.
    pub fn each_count(&self, point: Option<Point>, turn: u64) -> Option<usize> {
        let Way::Each(among) = self else { return None };
        among.iter().all(|way| way.leaf(point, turn).is_ok()).then_some(among.len())
    }

    /// One of those.
    pub fn each(&self, point: Option<Point>, turn: u64, index: usize) -> Option<Leaf> {
        let Way::Each(among) = self else { return None };
        among.get(index)?.leaf(point, turn).ok()
    }
}

/// Why a message has no one leaf to go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detour {
    Wait,
    /// It is for several leaves, each of which has all points.
    Each,
    /// It is for points of several leaves.
    Cut,
    Refuse(Refusal),
}

/// A destination that somebody of this reactor writes to.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    pub id: AgentId,
    pub epoch: Epoch,
    pub way: Way,
    /// Counts how often the way has changed.
    pub ways: u32,
    /// Whether the way leads through the stage `ordered`.
    pub is_ordered: bool,
    /// Whose replies count, and how many of them must say the same, where all of several are asked.
    pub merge: Option<MergeFunction>,
}

/// Says how an agent is reached that is at a reactor, whose box has an address if it is known.
pub(crate) type Reach<'a> = dyn FnMut(AgentId, ReactorAddress, Option<SocketAddr>) -> Via + 'a;

/// What is known of routes, places and addresses.
#[derive(Clone, Debug)]
pub(crate) struct Routes {
    /// The first is for conversations of replies alone; nobody's are [`NOBODY`].
    destinations: Vec<Destination>,
    free: Vec<RouteIndex>,
    by_id: HashMap<AgentId, RouteIndex, foldhash::fast::FixedState>,
    decided: BTreeMap<AgentId, Route>,
    /// The last epochs of routes that did not lead there any more.
    forgotten: BTreeMap<AgentId, Epoch>,
    /// How many of those make a look at them worth it.
    forgotten_mark: usize,
    /// Logical paths of destinations, for the sibling rule.
    paths: BTreeMap<AgentId, AgentPath>,
    forbidden: Option<RouteIndex>,
    places: BTreeMap<AgentId, ReactorAddress>,
    boxes: BTreeMap<BoxId, SocketAddr>,
    fixed: BTreeSet<AgentId>,
}

/// Id of a destination that is nobody's.
const NOBODY: AgentId = AgentId(0);

impl Default for Routes {
    fn default() -> Routes {
        Routes {
            destinations: vec![Destination::new(NOBODY, Way::Closed)],
            free: Vec::new(),
            by_id: HashMap::default(),
            decided: BTreeMap::new(),
            forgotten: BTreeMap::new(),
            forgotten_mark: UNUSED_MAX,
            paths: BTreeMap::new(),
            forbidden: None,
            places: BTreeMap::new(),
            boxes: BTreeMap::new(),
            fixed: BTreeSet::new(),
        }
    }
}

impl Routes {
    /// The place of a destination in the table, and whether it is new there and not yet settled.
    pub fn index(&mut self, id: AgentId) -> (RouteIndex, bool) {
        if let Some(index) = self.by_id.get(&id) {
            return (*index, false);
        }
        let new = Destination::new(id, Way::Closed);
        let index = match self.free.pop() {
            Some(index) => {
                self.destinations[index.0 as usize] = new;
                index
            }
            None => {
                self.destinations.push(new);
                RouteIndex(self.destinations.len() as u32 - 1)
            }
        };
        self.by_id.insert(id, index);
        (index, true)
    }

    /// Forgets the destinations that nobody writes to, if they are many: those that are not `used`, by their
    /// places. `here`: what is known of its agents stays.
    pub fn collect(&mut self, used: &[bool], here: ReactorAddress) {
        let is_used = |index: usize| used.get(index).copied().unwrap_or(false);
        let used_count = used.iter().filter(|is_used| **is_used).count();
        if self.by_id.len() <= used_count + used_count / 2 + UNUSED_MAX {
            return;
        }
        let mut gone = Vec::new();
        for (index, it) in self.destinations.iter_mut().enumerate() {
            if it.id != NOBODY && !is_used(index) {
                gone.push(it.id);
                self.by_id.remove(&it.id);
                *it = Destination::new(NOBODY, Way::Closed);
                self.free.push(RouteIndex(index as u32));
            }
        }
        if gone.is_empty() {
            return;
        }
        let needed = self.led_to(self.by_id_in_order());
        self.forgotten.retain(|id, _| needed.contains(id));
        for id in self.led_to(gone).difference(&needed) {
            let physical = match self.decided.get(id).map(|route| &route.action) {
                Some(Action::To(physical)) => Some(*physical),
                _ => None,
            };
            if physical.is_some_and(|physical| self.fixed.contains(&physical)) {
                continue;
            }
            self.decided.remove(id);
            self.paths.remove(id);
            if let Some(physical) = physical
                && self.places.get(&physical).is_some_and(|at| *at != here)
            {
                self.places.remove(&physical);
            }
        }
    }

    fn by_id_in_order(&self) -> Vec<AgentId> {
        self.destinations.iter().map(|it| it.id).filter(|id| *id != NOBODY).collect()
    }

    /// These, and all that the routes to them lead by.
    fn led_to(&self, mut from: Vec<AgentId>) -> BTreeSet<AgentId> {
        let mut all = BTreeSet::new();
        while let Some(id) = from.pop() {
            if all.insert(id)
                && let Some(route) = self.decided.get(&id)
            {
                from.extend(route.action.next());
            }
        }
        all
    }

    /// How many destinations, routes, paths and places there are.
    pub fn counts(&self) -> [usize; 4] {
        let destinations = self.destinations.len() - self.free.len();
        [destinations, self.decided.len(), self.paths.len(), self.places.len()]
    }

    /// Takes note of a route, unless a newer one is known.
    pub fn learn(&mut self, path: AgentPath, route: Route) {
        let id = path.logical_id();
        // Messages overtake each other: what was held under an epoch may be told after what came of it, which
        // may even be over. Nobody would tell that twice.
        let is_news = match (self.decided.get(&id), &route.action) {
            (Some(old), Action::Hold) => old.epoch < route.epoch,
            (Some(old), _) => old.epoch <= route.epoch,
            (None, Action::Hold) => self.forgotten.get(&id).is_none_or(|old| *old <= route.epoch),
            (None, _) => true,
        };
        if is_news {
            let leads_to = |route: Option<&Route>| match route?.action {
                Action::To(physical) => Some(physical),
                _ => None,
            };
            let after = leads_to(Some(&route));
            // The life that was there before is over.
            let before = leads_to(self.decided.insert(id, route).as_ref());
            let before = before.filter(|it| after.is_some_and(|after| after != *it));
            if let Some(before) = before.filter(|it| !self.fixed.contains(it)) {
                self.places.remove(&before);
            }
        }
        self.paths.insert(id, path);
    }

    /// The path of an agent that some route leads to at once, if that is known.
    pub fn name_of(&self, physical: AgentId) -> Option<&AgentPath> {
        let leads_there = |(_, route): &(&AgentId, &Route)| match route.action {
            Action::To(it) => it == physical,
            _ => false,
        };
        let (id, _) = self.decided.iter().find(leads_there)?;
        self.paths.get(id)
    }

    /// Forgets the route to a destination, unless it is newer than `epoch`.
    pub fn forget_route(&mut self, id: AgentId, epoch: Epoch) {
        if self.decided.get(&id).is_some_and(|route| route.epoch <= epoch) {
            let route = self.decided.remove(&id).expect("it was seen there");
            self.forgotten.insert(id, route.epoch);
        }
    }

    /// Whether `source` may not write to `to` (Escher §2.2: siblings, and siblings of ancestors). Of
    /// those that are not known yet the controller judges.
    pub fn forbids(&self, source: &AgentPath, to: AgentId) -> bool {
        self.paths.get(&to).is_some_and(|path| !source.may_send_to(path))
    }

    /// The route of those who write to whom they may not.
    pub fn forbidden(&mut self) -> RouteIndex {
        *self.forbidden.get_or_insert_with(|| {
            let way = Way::Refused(Refusal::NotASibling);
            self.destinations.push(Destination::new(AgentId(0), way));
            RouteIndex(self.destinations.len() as u32 - 1)
        })
    }

    pub fn place(&mut self, physical: AgentId, at: ReactorAddress) {
        self.places.insert(physical, at);
    }

    pub fn unplace(&mut self, physical: AgentId) {
        self.places.remove(&physical);
    }

    pub fn put_box(&mut self, agent_box: BoxId, address: SocketAddr) {
        self.boxes.insert(agent_box, address);
    }

    /// The address of a reactor: that of its box, with the port counted on.
    pub fn address(&self, at: ReactorAddress) -> Option<SocketAddr> {
        let mut address = *self.boxes.get(&at.agent_box)?;
        address.set_port(address.port().checked_add(u16::from(at.reactor))?);
        Some(address)
    }

    /// Takes note of a place that holds as long as the process: the controller's, say.
    pub fn fix(&mut self, physical: AgentId, at: ReactorAddress) {
        self.fixed.insert(physical);
        self.places.insert(physical, at);
    }

    /// Forgets where all agents of a reactor are: it has started again, and they are gone.
    pub fn forget_reactor(&mut self, at: ReactorAddress) {
        let there: Vec<AgentId> =
            self.places.iter().filter(|(_, place)| **place == at).map(|(id, _)| *id).collect();
        for physical in there {
            self.forget(physical);
        }
    }

    /// Forgets whatever leads to `physical`: it is not where it was.
    pub fn forget(&mut self, physical: AgentId) {
        if self.fixed.contains(&physical) {
            return;
        }
        self.places.remove(&physical);
        let leads_there = |_: &AgentId, route: &mut Route| matches!(route.action, Action::To(to) if to == physical);
        for (id, route) in self.decided.extract_if(.., leads_there) {
            self.paths.remove(&id);
            self.forgotten.insert(id, route.epoch);
        }
        // It matters where somebody writes to.
        if self.forgotten.len() > self.forgotten_mark {
            let needed = self.led_to(self.by_id_in_order());
            self.forgotten.retain(|id, _| needed.contains(id));
            self.forgotten_mark = 2 * self.forgotten.len() + UNUSED_MAX;
        }
    }

    /// Leaves that are reached by a link.
    pub fn leaves_over(&self, link: u32) -> Vec<AgentId> {
        let mut all = Vec::new();
        self.destinations.iter().for_each(|it| it.way.add_leaves_over(link, &mut all));
        all
    }

    fn merge(&self, id: AgentId) -> Option<MergeFunction> {
        match &self.decided.get(&id)?.action {
            Action::Each { among, wait_for_matching } => {
                MergeFunction::new(*wait_for_matching, among.clone()).ok()
            }
            _ => None,
        }
    }

    /// Derives all ways anew. `via` says how a placed agent is reached. Whether some way is another than before.
    pub fn settle(&mut self, via: &mut Reach<'_>) -> bool {
        let all = 0..self.destinations.len() as u32;
        all.fold(false, |is_any_new, index| self.settle_one(RouteIndex(index), via) | is_any_new)
    }

    /// As [`Routes::settle`], the way to one destination.
    pub fn settle_one(&mut self, index: RouteIndex, via: &mut Reach<'_>) -> bool {
        let index = index.0 as usize;
        let id = self.destinations[index].id;
        if id == NOBODY {
            return false;
        }
        let way = self.way(id, DEPTH_MAX, via);
        let is_ordered = self.is_ordered(id, DEPTH_MAX);
        let merge = self.merge(id);
        let destination = &mut self.destinations[index];
        let is_new = destination.way != way;
        if is_new {
            destination.ways += 1;
            destination.way = way;
        }
        destination.merge = merge;
        // What was ordered stays so while the route is not known.
        destination.is_ordered =
            is_ordered || destination.is_ordered && !self.decided.contains_key(&id);
        destination.epoch = self.decided.get(&id).map_or(Epoch(0), |route| route.epoch);
        is_new
    }

    /// Whether some part of the way leads through the stage `ordered`, which then holds for all of it.
    fn is_ordered(&self, id: AgentId, depth: usize) -> bool {
        let Some(route) = self.decided.get(&id) else { return false };
        let is_here = match &route.action {
            Action::Through { stages, .. } => stages.contains(&Stage::Ordered.id()),
            _ => false,
        };
        is_here || depth > 0 && route.action.next().iter().any(|id| self.is_ordered(*id, depth - 1))
    }

    fn way(&self, id: AgentId, depth: usize, via: &mut Reach<'_>) -> Way {
        let route = match self.decided.get(&id) {
            Some(route) if depth > 0 => route,
            _ => return Way::Closed,
        };
        let mut child = |id: &AgentId| self.way(*id, depth - 1, via);
        match &route.action {
            Action::To(physical) => match self.places.get(physical) {
                Some(at) => Way::One(Leaf {
                    physical: *physical,
                    via: via(*physical, *at, self.address(*at)),
                }),
                None => Way::Closed,
            },
            Action::Pick { by: PickBy::Point, among } => {
                Way::Pick(among.iter().map(|share| (share.last, child(&share.child))).collect())
            }
            Action::Pick { by, among } => {
                Way::Spread(*by, among.iter().map(|share| child(&share.child)).collect())
            }
            Action::Each { among, .. } => Way::Each(among.iter().map(child).collect()),
            Action::Through { stages, next } => {
                match stages.iter().all(|stage| Stage::find(*stage).is_some()) {
                    true => child(next),
                    false => Way::Refused(Refusal::UnknownStage),
                }
            }
            Action::Hold => Way::Held,
            Action::Unknown => Way::Refused(Refusal::UnknownAgent),
        }
    }
}

impl Destination {
    fn new(id: AgentId, way: Way) -> Destination {
        Destination { id, epoch: Epoch(0), way, ways: 0, is_ordered: false, merge: None }
    }
}

impl std::ops::Index<RouteIndex> for Routes {
    type Output = Destination;
    #[inline]
    fn index(&self, index: RouteIndex) -> &Destination {
        &self.destinations[index.0 as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_held_before_a_route_that_is_forgotten_is_not_held_again() {
        let path = AgentPath::parse("there").expect("a path");
        let (id, physical) = (path.logical_id(), path.physical_id());
        let at = ReactorAddress { agent_box: BoxId(1), reactor: 0 };
        let told = |routes: &mut Routes, epoch, action| {
            routes.learn(path.clone(), Route { epoch: Epoch(epoch), action });
            routes.settle(&mut |_, _, _| Via::Ring(0));
            let index = routes.by_id[&id];
            routes[index].way.clone()
        };
        let mut routes = Routes::default();
        routes.index(id);
        routes.place(physical, at);
        let one = Way::One(Leaf { physical, via: Via::Ring(0) });
        assert_eq!(told(&mut routes, 4, Action::To(physical)), one);
        routes.forget(physical);
        // It was told before, and comes behind.
        assert_eq!(told(&mut routes, 3, Action::Hold), Way::Closed);
        assert_eq!(told(&mut routes, 4, Action::Hold), Way::Held);
        routes.place(physical, at);
        assert_eq!(told(&mut routes, 5, Action::To(physical)), one);
        routes.forget_route(id, Epoch(5));
        assert_eq!(told(&mut routes, 4, Action::Hold), Way::Closed);
    }

    #[test]
    fn a_new_destination_is_looked_up_alone() {
        let mut routes = Routes::default();
        let mut looked_up = Vec::new();
        for number in 0..100 {
            let path = AgentPath::parse(&format!("there{number}")).expect("a path");
            let physical = path.physical_id();
            routes.place(physical, ReactorAddress { agent_box: BoxId(1), reactor: 0 });
            let (index, is_new) = routes.index(path.logical_id());
            routes.learn(path, Route { epoch: Epoch(1), action: Action::To(physical) });
            assert!(is_new);
            routes.settle_one(index, &mut |physical, _, _| {
                looked_up.push(physical);
                Via::Ring(0)
            });
            assert_eq!(routes[index].way, Way::One(Leaf { physical, via: Via::Ring(0) }));
            assert_eq!(looked_up.pop(), Some(physical));
            assert!(looked_up.is_empty());
        }
    }

    #[test]
    fn who_left_for_a_copy_finds_it_again_while_it_is_there() {
        let leaf = |id, via| Leaf { physical: AgentId(id), via };
        let copies = |first: Via| {
            let all = [leaf(1, first), leaf(2, Via::Ring(0))].map(Way::One);
            Way::Spread(PickBy::RoundRobin, all.into())
        };
        let there = copies(Via::Ring(0));
        assert_eq!(there.leaf(None, 0), Ok(leaf(1, Via::Ring(0))));
        // It left while the other was away.
        assert_eq!(there.copy(AgentId(2), None), Some(leaf(2, Via::Ring(0))));
        assert_eq!(there.copy(AgentId(3), None), None);
        assert_eq!(copies(Via::Nowhere).copy(AgentId(1), None), None);
        let shards = Way::Pick([(Point(7), there), (Point::MAX, copies(Via::Ring(1)))].into());
        assert_eq!(shards.copy(AgentId(1), Some(Point(8))), Some(leaf(1, Via::Ring(1))));
        assert_eq!(Way::One(leaf(1, Via::Ring(0))).copy(AgentId(1), None), None, "it has points");
    }
}
