//! Load balancing: copies of an agent without state, of which each message goes to one.
//!
//! The sender chooses, by the policy; where the sender is itself replicated, its runtime chooses by
//! rendezvous of the name instead, so that all replicas choose the same copy.
//! Does not keep anything of a client at one copy: that takes a key, and sharding.
//! Source: Ovid §3.2.

use daedal_model::id::Point;
use daedal_model::merge::MergeFunction;
use daedal_model::path::AgentPath;
use daedal_model::point::PointRange;
use daedal_model::refine::{AgentState, Child, RefineError, Requirement, Transformation};
use daedal_model::route::{Action, CHILDREN_MAX, PickBy, Share};

/// Spreads the messages of an agent without state over copies of it, `copy1` and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    /// How many copies.
    pub copies: usize,
    /// Which one a message goes to.
    pub by: Policy,
}

/// Which copy a message goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// The one that the sender has the fewest messages outstanding to.
    #[default]
    LeastOutstanding,
    /// Each in turn.
    RoundRobin,
}

impl Transformation for Balance {
    fn label(&self) -> String {
        match self.by {
            Policy::LeastOutstanding => format!("balance = {}", self.copies),
            Policy::RoundRobin => format!("balance = {} in turn", self.copies),
        }
    }

    fn requires(&self) -> &'static [Requirement] {
        &[Requirement::Stateless]
    }

    /// Each copy owns every point of the agent.
    fn expand(&self, path: &AgentPath, range: PointRange) -> Result<Vec<Child>, RefineError> {
        if !(1..=CHILDREN_MAX).contains(&self.copies) {
            let (agent, change) = (path.clone(), self.label());
            return Err(RefineError::Count {
                agent,
                change,
                given: self.copies,
                max: CHILDREN_MAX,
            });
        }
        let child = |n| Ok(Child { path: path.join(&format!("copy{n}"))?, range });
        (1..=self.copies).map(child).collect()
    }

    /// The shares are equal and stand for nothing: who picks does not look at the point.
    fn routes(&self, children: &[Child]) -> Action {
        let shares = PointRange::ALL.split(children.len()).into_iter().zip(children);
        let share =
            |(range, child): (PointRange, &Child)| Share { last: range.last, child: child.id() };
        let by = match self.by {
            Policy::LeastOutstanding => PickBy::LeastOutstanding,
            Policy::RoundRobin => PickBy::RoundRobin,
        };
        Action::Pick { by, among: shares.map(share).collect() }
    }

    fn merge(&self, children: &[Child]) -> MergeFunction {
        MergeFunction::new(1, children.iter().map(Child::id).collect())
            .expect("an agent has one copy at least")
    }

    fn done(&self, _: &[Child], _: Option<Point>, done: &[bool]) -> bool {
        done.contains(&true)
    }

    /// One copy has all the variables, since there are none; the rest is what those that are here have.
    fn get_state(
        &self,
        children: &[Child],
        states: Vec<Option<AgentState>>,
    ) -> Result<AgentState, RefineError> {
        let here: Vec<AgentState> = states.into_iter().flatten().collect();
        match children.first() {
            Some(first) if here.is_empty() => Err(RefineError::Away { child: first.path.clone() }),
            _ => AgentState::union(here, true),
        }
    }

    fn init_state(
        &self,
        children: &[Child],
        state: AgentState,
    ) -> Result<Vec<AgentState>, RefineError> {
        let variables = vec![state.variables.clone(); children.len()];
        let ranges: Vec<PointRange> = children.iter().map(|child| child.range).collect();
        Ok(state.part(variables, &ranges))
    }

    fn stages(&self) -> Vec<String> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use daedal_model::id::AgentId;
    use daedal_model::refine::Qualities;

    use super::*;
    use crate::testing::{agent_state, path, twin};

    const BALANCE: Balance = Balance { copies: 3, by: Policy::LeastOutstanding };

    fn children() -> Vec<Child> {
        BALANCE.expand(&path("echo"), PointRange::ALL).unwrap()
    }

    #[test]
    fn expand() {
        let children = children();
        let paths: Vec<_> = children.iter().map(|child| child.path.as_str()).collect();
        assert_eq!(paths, ["echo/copy1", "echo/copy2", "echo/copy3"]);
        assert!(children.iter().all(|child| child.range == PointRange::ALL));
        for copies in [0, CHILDREN_MAX + 1] {
            let error = Balance { copies, ..BALANCE }.expand(&path("echo"), PointRange::ALL);
            let expect = format!(
                "echo: `balance = {copies}` makes {copies} children; it may make 1 to 4096"
            );
            assert_eq!(error.unwrap_err().to_string(), expect);
        }
    }

    #[test]
    fn routes() {
        let check = |policy: Policy, expect: PickBy| {
            let action = Balance { copies: 3, by: policy }.routes(&children());
            assert_eq!(action.check(), Ok(()));
            let Action::Pick { by, among } = action else { panic!("one of the copies") };
            assert_eq!((by, among.len()), (expect, 3));
        };
        check(Policy::LeastOutstanding, PickBy::LeastOutstanding);
        check(Policy::RoundRobin, PickBy::RoundRobin);
    }

    #[test]
    fn merge() {
        let mu = BALANCE.merge(&children());
        assert_eq!(mu.wait_for_matching(), 1);
        let said = twin(AgentId::of("echo/copy2"), "hello");
        assert_eq!(mu.merge(&[said.clone(), said]).len(), 1);
    }

    #[test]
    fn done() {
        let check = |done: [bool; 3], expect: bool| {
            assert_eq!(BALANCE.done(&children(), None, &done), expect, "{done:?}");
        };
        check([false, true, false], true);
        check([false, false, false], false);
    }

    #[test]
    fn mapping_both_ways() {
        let mut whole = agent_state(&BTreeSet::from([1, 2, u64::MAX]));
        whole.variables = daedal_model::state::State::capture(&());
        let parts = BALANCE.init_state(&children(), whole.clone()).unwrap();
        assert_eq!(parts.len(), 3);
        let mut states: Vec<_> = parts.into_iter().map(Some).collect();
        assert_eq!(BALANCE.get_state(&children(), states.clone()).unwrap(), whole);
        // Any copy suffices for the variables.
        states[0] = None;
        let rest = BALANCE.get_state(&children(), states).unwrap();
        assert_eq!(rest.variables, whole.variables);
        let error = BALANCE.get_state(&children(), vec![None; 3]).unwrap_err().to_string();
        assert!(error.starts_with("the state of echo/copy1 is needed"), "{error}");
    }

    #[test]
    fn requires() {
        let stateless = Qualities { stateless: true, ..Qualities::default() };
        assert_eq!(stateless.check(&BALANCE, &path("echo")), Ok(()));
        let error = Qualities::default().check(&BALANCE, &path("kvs")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "kvs: `balance = 3` requires an agent without state: shard or replicate this one instead"
        );
        assert!(BALANCE.stages().is_empty());
    }
}
