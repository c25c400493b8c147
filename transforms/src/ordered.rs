//! Order: one agent in place of one agent, behind the stage `ordered`. Each sender's messages are
//! processed in the order in which they were sent, at each leaf of what stands below.
//!
//! Does not order the messages of different senders, nor of one sender over several leaves.
//! Source: Ovid §3.2 (ingress and egress), §3.4 (messages are unordered by themselves).

use daedal_model::id::Point;
use daedal_model::merge::MergeFunction;
use daedal_model::path::AgentPath;
use daedal_model::point::PointRange;
use daedal_model::refine::{AgentState, Child, RefineError, Requirement, Transformation};
use daedal_model::route::Action;
use daedal_model::stage::Stage;

/// Puts an agent, as `NAME/line1`, behind the stage `ordered`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ordered;

impl Transformation for Ordered {
    fn label(&self) -> String {
        Stage::Ordered.name().to_owned()
    }

    fn requires(&self) -> &'static [Requirement] {
        &[]
    }

    /// The one child owns every point of the agent.
    fn expand(&self, path: &AgentPath, range: PointRange) -> Result<Vec<Child>, RefineError> {
        Ok(vec![Child { path: path.join("line1")?, range }])
    }

    fn routes(&self, children: &[Child]) -> Action {
        let next = children.first().map(Child::id).unwrap_or_default();
        Action::Through { stages: vec![Stage::Ordered.id()], next }
    }

    fn merge(&self, children: &[Child]) -> MergeFunction {
        MergeFunction::new(1, children.iter().map(Child::id).collect()).expect("there is one child")
    }

    fn done(&self, _: &[Child], _: Option<Point>, done: &[bool]) -> bool {
        done.iter().all(|done| *done)
    }

    /// The child's, as it is.
    fn get_state(
        &self,
        children: &[Child],
        states: Vec<Option<AgentState>>,
    ) -> Result<AgentState, RefineError> {
        let here = states.into_iter().flatten().next();
        match (here, children.first()) {
            (Some(state), _) => Ok(state),
            (None, Some(child)) => Err(RefineError::Away { child: child.path.clone() }),
            (None, None) => AgentState::union(Vec::new(), true),
        }
    }

    fn init_state(&self, _: &[Child], state: AgentState) -> Result<Vec<AgentState>, RefineError> {
        Ok(vec![state])
    }

    fn stages(&self) -> Vec<String> {
        vec![Stage::Ordered.name().to_owned()]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use daedal_model::id::AgentId;
    use daedal_model::refine::Qualities;

    use super::*;
    use crate::testing::{agent_state, path, twin};

    fn children() -> Vec<Child> {
        Ordered.expand(&path("kvs"), PointRange::ALL).unwrap()
    }

    #[test]
    fn expand() {
        let child = Child { path: path("kvs/line1"), range: PointRange::ALL };
        assert_eq!(children(), [child]);
    }

    #[test]
    fn routes() {
        let action = Ordered.routes(&children());
        assert_eq!(action.check(), Ok(()));
        let (stages, next) = (vec![Stage::Ordered.id()], AgentId::of("kvs/line1"));
        assert_eq!(action, Action::Through { stages, next });
        assert_eq!(Stage::find(Stage::Ordered.id()), Some(Stage::Ordered));
        assert_eq!(Stage::find(AgentId::of("kvs")), None);
    }

    #[test]
    fn merge() {
        let said = twin(AgentId::of("kvs/line1"), "hello");
        assert_eq!(Ordered.merge(&children()).merge(&[said]).len(), 1);
    }

    #[test]
    fn done() {
        assert!(Ordered.done(&children(), None, &[true]));
        assert!(!Ordered.done(&children(), None, &[false]));
    }

    #[test]
    fn mapping_both_ways() {
        let whole = agent_state(&BTreeSet::from([1, 2, u64::MAX]));
        let parts = Ordered.init_state(&children(), whole.clone()).unwrap();
        let states = parts.into_iter().map(Some).collect();
        assert_eq!(Ordered.get_state(&children(), states).unwrap(), whole);
        let error = Ordered.get_state(&children(), vec![None]).unwrap_err().to_string();
        assert!(error.starts_with("the state of kvs/line1 is needed"), "{error}");
    }

    #[test]
    fn requires() {
        assert_eq!(Qualities::default().check(&Ordered, &path("kvs")), Ok(()));
        assert_eq!(Ordered.stages(), ["ordered"]);
    }
}
