//! Taking faults out of a plan, and leaving the others where they are: what a failure is reduced by.
//!
//! Invariant: what is left is a plan that could have been drawn: who stops goes on again, before the quiet.

use std::collections::BTreeSet;

use super::{Fault, FaultEvent, FaultPlan};

impl FaultPlan {
    /// How many outages there are: partitions, slownesses, pauses and crashes, numbered in the order in which they
    /// begin.
    pub fn outages(&self) -> usize {
        self.events.iter().filter(|event| begins(event.fault)).count()
    }

    /// Leaves out all other outages.
    pub fn keep_outages(&mut self, kept: &BTreeSet<usize>) {
        let mut index = 0;
        self.retain(|_| {
            index += 1;
            kept.contains(&(index - 1))
        });
    }

    /// Has all faults over at `quiet_from`: what begins later is left out, what lasts longer is over by
    /// then. Too early for any fault is at 1 ns.
    pub fn end_at(&mut self, quiet_from: u64) {
        if quiet_from >= self.shape.quiet_from {
            return;
        }
        self.shape.quiet_from = quiet_from.max(1);
        let last = self.shape.quiet_from - 1;
        self.retain(|event| event.at < last);
        self.events
            .retain(|event| event.at < last || !matches!(event.fault, Fault::ClockSet { .. }));
        self.events.iter_mut().for_each(|event| event.at = event.at.min(last));
        self.partitions.iter_mut().for_each(|partition| partition.ends = partition.ends.min(last));
        self.slownesses.iter_mut().for_each(|slowness| slowness.ends = slowness.ends.min(last));
        self.events.sort_unstable();
    }

    /// Leaves out the outages of which `is_kept` does not say so, with their ends.
    fn retain(&mut self, mut is_kept: impl FnMut(&FaultEvent) -> bool) {
        // Ends of what was left out: a box has one outage at a time, so the next end is that of the last
        // beginning.
        let mut left_out = BTreeSet::new();
        let (partitions, slownesses) = (&mut self.partitions, &mut self.slownesses);
        self.events.retain(|event| {
            let Some(end) = end_of(event.fault) else { return !left_out.remove(&event.fault) };
            let is_kept = is_kept(event);
            if !is_kept {
                left_out.insert(end);
                // Events number them: it stays, and lasts no time.
                match event.fault {
                    Fault::PartitionSet(at) => partitions[at].ends = partitions[at].begins,
                    Fault::SlownessSet(at) => slownesses[at].ends = slownesses[at].begins,
                    _ => {}
                }
            }
            is_kept
        });
    }
}

fn begins(fault: Fault) -> bool {
    end_of(fault).is_some()
}

/// What ends an outage that begins so.
fn end_of(fault: Fault) -> Option<Fault> {
    match fault {
        Fault::PartitionSet(index) => Some(Fault::PartitionHealed(index)),
        Fault::SlownessSet(index) => Some(Fault::SlownessOver(index)),
        Fault::Paused(agent_box) => Some(Fault::Resumed(agent_box)),
        Fault::Crashed(agent_box) => Some(Fault::Restarted(agent_box)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::fault::{Kind, Shape};
    use crate::random::Random;

    const SHAPE: Shape = Shape { boxes: 5, travel_ns: 20_000, quiet_from: 1_000_000_000 };

    /// Every outage that begins ends, and how many there are.
    fn whole(plan: &FaultPlan) -> usize {
        let mut ends = BTreeMap::new();
        assert!(plan.events().is_sorted());
        for event in plan.events() {
            assert!(event.at < plan.shape().quiet_from);
            match end_of(event.fault) {
                Some(end) => assert_eq!(ends.insert(end, event.at), None),
                None => drop(ends.remove(&event.fault)),
            }
        }
        assert!(ends.is_empty());
        plan.outages()
    }

    proptest! {
        #[test]
        fn what_is_left_is_where_it_was(seed in any::<u64>(), kept in any::<u64>()) {
            let mut plan = FaultPlan::of(SHAPE, Kind::ALL, &Random::new(seed));
            plan.aim(&[SHAPE.quiet_from / 2, SHAPE.quiet_from / 3], &Random::new(seed));
            let outages = whole(&plan);
            let kept: BTreeSet<usize> = (0..outages).filter(|it| kept >> (it % 64) & 1 == 1).collect();
            let mut cut = plan.clone();
            cut.keep_outages(&kept);
            prop_assert_eq!(whole(&cut), kept.len());
            prop_assert!(cut.events().iter().all(|event| plan.events().contains(event)));
            let lasting = cut.partitions().iter().filter(|it| it.begins < it.ends).count();
            let set = |event: &&FaultEvent| matches!(event.fault, Fault::PartitionSet(_));
            prop_assert_eq!(lasting, cut.events().iter().filter(set).count());
        }

        #[test]
        fn faults_end_early_when_they_are_to(seed in any::<u64>(), at in 0..1_200_000_000_u64) {
            let plan = FaultPlan::of(SHAPE, Kind::ALL, &Random::new(seed));
            let mut cut = plan.clone();
            cut.end_at(at);
            prop_assert_eq!(cut.shape().quiet_from, at.clamp(1, SHAPE.quiet_from));
            prop_assert!(whole(&cut) <= whole(&plan));
        }
    }
}
