//! Merge functions (μ): how messages of several children become the one message of their parent, at the
//! receiver. The vocabulary is Escher's dictionary: `wait_for_matching` and `from`.
//!
//! Does not keep windows or quotas, which belong to the receiver's inbox; does not look inside messages.
//! Laws, held by tests: order and duplicates do not matter, and what is merged once stays merged.
//! Sources: Escher §2.2, §3.1.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::id::{AgentId, Name};

/// How many of which children must say the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeFunction {
    wait_for_matching: u32,
    from: Vec<AgentId>,
}

/// A merge function that could never yield anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "a merge that waits for {wait_for_matching} matching messages of {from} children: wait for 1 to {from}"
)]
pub struct MergeError {
    /// How many it waits for.
    pub wait_for_matching: u32,
    /// Of how many children.
    pub from: usize,
}

/// One child's version of its parent's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment<B> {
    /// Logical id of the child that sent it.
    pub child: AgentId,
    /// The name, which all children give it.
    pub name: Name,
    /// What it says, after every inner stage was undone.
    pub body: B,
}

impl MergeFunction {
    /// Waits for `wait_for_matching` children of `from`, duplicates counted once, to say the same.
    /// # Errors
    /// [`MergeError`] when no children could fulfil it.
    pub fn new(
        wait_for_matching: u32,
        mut from: Vec<AgentId>,
    ) -> Result<MergeFunction, MergeError> {
        from.sort_unstable();
        from.dedup();
        if wait_for_matching == 0 || wait_for_matching as usize > from.len() {
            return Err(MergeError { wait_for_matching, from: from.len() });
        }
        Ok(MergeFunction { wait_for_matching, from })
    }

    /// How many children must say the same.
    pub fn wait_for_matching(&self) -> u32 {
        self.wait_for_matching
    }

    /// Whose messages count, in rising order.
    pub fn from(&self) -> &[AgentId] {
        &self.from
    }

    /// The messages of the parent that the fragments make: at most one a name. A fragment of somebody
    /// else counts for nothing. Cost: fragments × log.
    pub fn merge<B: Clone + Ord>(&self, fragments: &[Fragment<B>]) -> BTreeMap<Name, B> {
        let mut said: BTreeMap<Name, BTreeMap<&B, Vec<AgentId>>> = BTreeMap::new();
        let known = |fragment: &&Fragment<B>| self.from.binary_search(&fragment.child).is_ok();
        for fragment in fragments.iter().filter(known) {
            let children =
                said.entry(fragment.name).or_default().entry(&fragment.body).or_default();
            if !children.contains(&fragment.child) {
                children.push(fragment.child);
            }
        }
        let enough = |children: &Vec<AgentId>| children.len() >= self.wait_for_matching as usize;
        let merged = |(name, bodies): (Name, BTreeMap<&B, Vec<AgentId>>)| {
            let mut agreed = bodies.into_iter().filter(|(_, children)| enough(children));
            agreed.next().map(|(body, _)| (name, body.clone()))
        };
        said.into_iter().filter_map(merged).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::{Number, Space};

    fn name(number: u64) -> Name {
        Name { source: AgentId(1), space: Space(1), number: Number(number) }
    }

    fn children(count: u64) -> Vec<AgentId> {
        (0..count).map(AgentId).collect()
    }

    fn fragments() -> impl Strategy<Value = Vec<Fragment<u8>>> {
        let fragment = (0..5u64, 0..3u64, 0..2u8).prop_map(|(child, number, body)| Fragment {
            child: AgentId(child),
            name: name(number),
            body,
        });
        prop::collection::vec(fragment, 0..20)
    }

    proptest! {
        #[test]
        fn order_and_duplicates_do_not_matter(
            fragments in fragments(),
            shuffled in any::<prop::sample::Index>(),
            k in 3..=4u32,
        ) {
            let mu = MergeFunction::new(k, children(4)).unwrap();
            let once = mu.merge(&fragments);
            let mut other: Vec<_> = fragments.iter().rev().cloned().collect();
            if !other.is_empty() {
                let at = shuffled.index(other.len());
                other.rotate_left(at);
                other.push(other[at].clone());
            }
            prop_assert_eq!(mu.merge(&other), once);
        }

        #[test]
        fn what_is_merged_stays_merged(fragments in fragments(), more in fragments()) {
            // Children that are correct say one thing under one name (Escher §2.2, soundness).
            let honest = |mut all: Vec<Fragment<u8>>| {
                all.iter_mut().for_each(|fragment| fragment.body = fragment.name.number.0 as u8);
                all
            };
            let (fragments, more) = (honest(fragments), honest(more));
            let mu = MergeFunction::new(2, children(4)).unwrap();
            let before = mu.merge(&fragments);
            let after = mu.merge(&[fragments, more].concat());
            for (name, body) in before {
                prop_assert_eq!(after.get(&name), Some(&body));
            }
        }
    }

    #[test]
    fn only_matching_fragments_of_different_children_count() {
        let mu = MergeFunction::new(2, children(3)).unwrap();
        let said = |child: u64, body: u8| Fragment { child: AgentId(child), name: name(0), body };
        assert!(mu.merge(&[said(0, 1), said(0, 1), said(1, 2), said(9, 1)]).is_empty());
        let merged = mu.merge(&[said(0, 1), said(1, 2), said(2, 1)]);
        assert_eq!(merged.into_iter().collect::<Vec<_>>(), [(name(0), 1)]);
    }

    #[test]
    fn a_merge_that_cannot_be_fulfilled_is_refused() {
        assert!(MergeFunction::new(0, children(2)).is_err());
        assert!(MergeFunction::new(3, children(2)).is_err());
        let twice = MergeFunction::new(2, vec![AgentId(1), AgentId(1)]).unwrap_err();
        assert_eq!(
            twice.to_string(),
            "a merge that waits for 2 matching messages of 1 children: wait for 1 to 1"
        );
    }
}
