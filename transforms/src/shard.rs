//! Sharding: each child owns an equal range of the points, and with it the keys whose points lie there.
//!
//! Costs a client one look-up and no hop: the point is computed where the message is sent. Shards send as
//! their parent, each in a space of its own, so every message of theirs counts alone.
//! Sources: Ovid §3.2, Escher §2.3.

use std::rc::Rc;

use daedal_model::id::Point;
use daedal_model::merge::MergeFunction;
use daedal_model::path::AgentPath;
use daedal_model::point::PointRange;
use daedal_model::refine::{AgentState, Child, RefineError, Requirement, Transformation};
use daedal_model::route::{Action, CHILDREN_MAX, PickBy, Share};

/// Cuts a keyed agent into this many shards, `shard1` and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard(pub usize);

impl Transformation for Shard {
    fn label(&self) -> String {
        format!("shard = {}", self.0)
    }

    fn requires(&self) -> &'static [Requirement] {
        &[Requirement::Keyed]
    }

    fn expand(&self, path: &AgentPath, range: PointRange) -> Result<Vec<Child>, RefineError> {
        let ranges = if self.0 <= CHILDREN_MAX { range.split(self.0) } else { Vec::new() };
        if ranges.is_empty() || ranges.len() < self.0 {
            let (agent, change) = (path.clone(), self.label());
            return Err(RefineError::Count { agent, change, given: self.0, max: CHILDREN_MAX });
        }
        let child = |(index, range)| {
            let path = path.join(&format!("shard{}", index + 1))?;
            Ok(Child { path, range })
        };
        ranges.into_iter().enumerate().map(child).collect()
    }

    /// The last share goes on to the last point: tables cover everything, and each child checks that a
    /// point lies in its own range.
    fn routes(&self, children: &[Child]) -> Action {
        let share = |child: &Child| Share { last: child.range.last, child: child.id() };
        let mut among: Vec<Share> = children.iter().map(share).collect();
        if let Some(share) = among.last_mut() {
            share.last = Point::MAX;
        }
        Action::Pick { by: PickBy::Point, among }
    }

    fn merge(&self, children: &[Child]) -> MergeFunction {
        MergeFunction::new(1, children.iter().map(Child::id).collect())
            .expect("an agent is cut into one shard at least")
    }

    fn done(&self, children: &[Child], point: Option<Point>, done: &[bool]) -> bool {
        let concerns = |child: &Child| point.is_none_or(|point| child.range.contains(point));
        children.iter().zip(done).all(|(child, done)| *done || !concerns(child))
    }

    fn get_state(
        &self,
        children: &[Child],
        states: Vec<Option<AgentState>>,
    ) -> Result<AgentState, RefineError> {
        let here = |(child, state): (&Child, Option<AgentState>)| {
            state.ok_or_else(|| RefineError::Away { child: child.path.clone() })
        };
        let states = children.iter().zip(states).map(here).collect::<Result<_, _>>()?;
        AgentState::union(states, false)
    }

    fn init_state(
        &self,
        children: &[Child],
        state: AgentState,
    ) -> Result<Vec<AgentState>, RefineError> {
        let ranges: Vec<PointRange> = children.iter().map(|child| child.range).collect();
        let variables = state.variables.clone().split(&ranges)?;
        Ok(state.part(variables, &ranges))
    }

    fn stages(&self) -> Vec<String> {
        Vec::new()
    }

    fn recut(&self, children: usize) -> Option<Rc<dyn Transformation>> {
        Some(Rc::new(Shard(children)))
    }
}

#[cfg(test)]
mod tests {
    use daedal_model::id::AgentId;
    use daedal_model::refine::Qualities;
    use daedal_model::route::pick;
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{agent_state, path, twin};

    fn children(shards: usize) -> Vec<Child> {
        Shard(shards).expand(&path("kvs"), PointRange::ALL).unwrap()
    }

    #[test]
    fn expand() {
        let children = children(3);
        let paths: Vec<_> = children.iter().map(|child| child.path.as_str()).collect();
        assert_eq!(paths, ["kvs/shard1", "kvs/shard2", "kvs/shard3"]);
        assert_eq!(children[0].range.first, Point::MIN);
        assert_eq!(children[2].range.last, Point::MAX);
        for pair in children.windows(2) {
            assert_eq!(pair[0].range.last.0 + 1, pair[1].range.first.0);
        }
        // A shard is sharded within its own range.
        let inner = Shard(2).expand(&children[1].path, children[1].range).unwrap();
        assert_eq!(inner[0].range.first, children[1].range.first);
        assert_eq!(inner[1].range.last, children[1].range.last);
        for count in [0, CHILDREN_MAX + 1, usize::MAX] {
            let error = Shard(count).expand(&path("kvs"), PointRange::ALL).unwrap_err();
            let expect =
                format!("kvs: `shard = {count}` makes {count} children; it may make 1 to 4096");
            assert_eq!(error.to_string(), expect);
        }
    }

    proptest! {
        #[test]
        fn routes(point in any::<u64>(), shards in 1..20usize) {
            let children = children(shards);
            let action = Shard(shards).routes(&children);
            prop_assert_eq!(action.check(), Ok(()));
            let Action::Pick { by: PickBy::Point, among } = action else { panic!("by point") };
            let owner = children.iter().find(|child| child.range.contains(Point(point))).unwrap();
            prop_assert_eq!(pick(&among, Point(point)), owner.id());
        }

        #[test]
        fn mapping_both_ways(
            keys in prop::collection::btree_set(any::<u64>(), 0..40),
            shards in 1..9usize,
        ) {
            let (shard, children) = (Shard(shards), children(shards));
            let whole = agent_state(&keys);
            let parts = shard.init_state(&children, whole.clone()).unwrap();
            for (child, part) in children.iter().zip(&parts) {
                for point in part.inbox.values().flatten() {
                    prop_assert!(child.range.contains(*point));
                }
            }
            prop_assert_eq!(parts.iter().filter(|part| !part.outbox.is_empty()).count(), 1);
            let states: Vec<_> = parts.into_iter().map(Some).collect();
            prop_assert_eq!(&shard.get_state(&children, states.clone()).unwrap(), &whole);
            // One shard unwedged: so is the agent (Ovid §3.2).
            let mut states = states;
            states[0].as_mut().unwrap().wedged = false;
            prop_assert!(!shard.get_state(&children, states.clone()).unwrap().wedged);
            states[0] = None;
            let error = shard.get_state(&children, states).unwrap_err().to_string();
            prop_assert!(error.starts_with("the state of kvs/shard1 is needed, and it is away"));
        }
    }

    #[test]
    fn merge() {
        let mu = Shard(3).merge(&children(3));
        assert_eq!(mu.wait_for_matching(), 1);
        let mut ids = [1, 2, 3].map(|n| AgentId::from(format!("kvs/shard{n}").as_str()));
        ids.sort_unstable();
        assert_eq!(mu.from(), ids);
        // What one shard says counts, whatever the others do; said twice, it counts once.
        let said = twin(ids[1], "done");
        assert_eq!(mu.merge(&[said.clone(), said.clone()]).len(), 1);
        assert!(mu.merge(&[twin(AgentId::of("stranger"), "done")]).is_empty());
    }

    #[test]
    fn done() {
        let children = children(2);
        let check = |point: Option<Point>, done: [bool; 2], expect: bool| {
            assert_eq!(Shard(2).done(&children, point, &done), expect, "{point:?} {done:?}");
        };
        check(Some(Point::MIN), [true, false], true);
        check(Some(Point::MIN), [false, true], false);
        check(Some(Point::MAX), [false, true], true);
        check(None, [true, false], false);
        check(None, [true, true], true);
    }

    #[test]
    fn requires() {
        let keyed = Qualities { keyed: true, ..Qualities::default() };
        assert_eq!(keyed.check(&Shard(2), &path("kvs")), Ok(()));
        let error = Qualities::default().check(&Shard(2), &path("log")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "log: `shard = 2` requires a keyed agent: mark its state's maps #[keyed], and give every \
             message a #[point] or #[broadcast]"
        );
        assert!(Shard(2).stages().is_empty());
    }
}
