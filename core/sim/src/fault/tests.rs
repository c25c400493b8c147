use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const SHAPE: Shape = Shape { boxes: 4, travel_ns: 20_000, quiet_from: 1_000_000_000 };

fn fates(plan: &FaultPlan, count: usize) -> Vec<Fate> {
    let mut random = Random::new(9);
    (0..count).map(|_| plan.decide(1, 2, 500, &mut random)).collect()
}

proptest! {
    #[test]
    fn every_plan_is_in_order_and_over_before_the_quiet(
        seed in any::<u64>(),
        boxes in 1..9_u16,
        quiet_from in prop_oneof![0..10_u64, 0..1_u64 << 40],
        moments in prop::collection::vec(0..1_u64 << 40, 0..5),
    ) {
        let shape = Shape { boxes, travel_ns: 20_000, quiet_from };
        let mut plan = FaultPlan::swarm(shape, &Random::new(seed));
        plan.aim(&moments, &Random::new(seed));
        prop_assert!(plan.events().is_sorted());
        let mut stopped = BTreeMap::new();
        let (mut set, mut slow) = (BTreeSet::new(), BTreeSet::new());
        for FaultEvent { at, fault } in plan.events() {
            prop_assert!(*at < quiet_from.max(1));
            match *fault {
                Fault::PartitionSet(index) => prop_assert!(set.insert(index)),
                Fault::PartitionHealed(index) => prop_assert!(set.remove(&index)),
                Fault::SlownessSet(index) => prop_assert!(slow.insert(index)),
                Fault::SlownessOver(index) => prop_assert!(slow.remove(&index)),
                Fault::Paused(one) => prop_assert_eq!(stopped.insert(one, "paused"), None),
                Fault::Crashed(one) => prop_assert_eq!(stopped.insert(one, "crashed"), None),
                Fault::Resumed(one) => prop_assert_eq!(stopped.remove(&one), Some("paused")),
                Fault::Restarted(one) => prop_assert_eq!(stopped.remove(&one), Some("crashed")),
                Fault::ClockSet { agent_box, ahead_ns } => {
                    prop_assert!(*at == 0 || stopped.get(&agent_box) == Some(&"crashed"));
                    prop_assert!(ahead_ns.unsigned_abs() <= 10_000_000_000);
                }
            }
        }
        prop_assert!(stopped.is_empty() && set.is_empty() && slow.is_empty());
        for partition in plan.partitions() {
            prop_assert!(!partition.side.is_empty() && !partition.other.is_empty());
            prop_assert!(partition.side.is_disjoint(&partition.other));
        }
        let mut random = Random::new(seed);
        for (from, to) in [(0, 0), (0, boxes - 1), (boxes, 0)] {
            let fate = plan.decide(from, to, quiet_from, &mut random);
            prop_assert_eq!(fate, Fate::Arrives(20_000));
        }
    }

    #[test]
    fn a_kind_is_the_same_whichever_others_are_on(seed in any::<u64>()) {
        let random = Random::new(seed);
        let whole = FaultPlan::of(SHAPE, Kind::ALL, &random);
        let crashes = FaultPlan::of(SHAPE, [Kind::Crash], &random);
        prop_assert!(crashes.events().iter().all(|event| whole.events().contains(event)));
        let drops = FaultPlan::of(SHAPE, [Kind::Drop], &random);
        for (alone, beside) in drops.links.iter().zip(&whole.links) {
            prop_assert_eq!(alone.drop_per_million, beside.drop_per_million);
            prop_assert_eq!(alone.duplicate_per_million, 0);
        }
    }
}

#[test]
fn seeds_differ_in_their_faults_and_no_kind_is_left_out() {
    let plans: Vec<_> = (0..200).map(|seed| FaultPlan::swarm(SHAPE, &Random::new(seed))).collect();
    for kind in Kind::ALL {
        let with = plans.iter().filter(|plan| plan.kinds().contains(&kind)).count();
        assert!((60..140).contains(&with), "{kind:?} in {with} of 200 plans");
    }
    let subsets: BTreeSet<_> = plans.iter().map(|plan| plan.kinds().clone()).collect();
    assert!(subsets.len() > 100);
    assert_eq!(plans[7], FaultPlan::swarm(SHAPE, &Random::new(7)));
    let mut seen = BTreeSet::new();
    for event in plans.iter().flat_map(|plan| plan.events()) {
        seen.insert(match event.fault {
            Fault::PartitionSet(_) => "partition",
            Fault::Paused(0) => "controller paused",
            Fault::Paused(_) => "paused",
            Fault::Crashed(0) => "controller crashed",
            Fault::Crashed(_) => "crashed",
            Fault::ClockSet { ahead_ns, .. } if ahead_ns < 0 => "clock behind",
            Fault::ClockSet { .. } => "clock ahead",
            Fault::SlownessSet(_) => "slowness",
            _ => "end",
        });
    }
    assert_eq!(seen.len(), 9, "{seen:?}");
}

/// Of what is aimed at a moment, a box is slow and not heard before, and stops after.
#[test]
fn what_is_aimed_strikes_about_its_moment() {
    const MOMENT: u64 = 500_000_000;
    let all = [Kind::Slowness, Kind::PartialPartition, Kind::Crash, Kind::Pause];
    let aimed = |seed, kinds: &[Kind]| {
        let mut plan = FaultPlan::none(SHAPE);
        plan.kinds = kinds.iter().copied().collect();
        plan.aim(&[MOMENT], &Random::new(seed));
        plan
    };
    let mut struck = BTreeSet::new();
    for seed in 0..50 {
        let plan = aimed(seed, &all);
        assert_eq!(plan.slownesses.len(), plan.partitions.len());
        let (Some(slow), Some(cut)) = (plan.slownesses.first(), plan.partitions.first()) else {
            assert!(plan.events.is_empty());
            continue;
        };
        let stop = plan.events.iter().find_map(|event| match event.fault {
            Fault::Crashed(it) | Fault::Paused(it) => Some((event.at, it, event.fault)),
            _ => None,
        });
        let (at, victim, fault) = stop.expect("nothing else has stopped it");
        assert!(slow.begins <= MOMENT && cut.begins <= MOMENT && MOMENT <= at);
        assert!(at <= MOMENT + 40 * (SHAPE.travel_ns + slow.longer_ns) && at < cut.ends);
        assert!(cut.cuts(victim, *cut.other.first().expect("one is not reached")));
        struck.insert(fault);
        let only = aimed(seed, &[Kind::PartialPartition]);
        assert_eq!(only.partitions[0].side, cut.side, "whichever kinds are on");
        assert!(aimed(seed, &[Kind::Drop]).events.is_empty());
    }
    assert_eq!(struck.len(), 6, "each of three boxes, both ways: {struck:?}");
}

#[test]
fn frames_meet_the_faults_of_their_link_as_often_as_it_says() {
    let faults = LinkFaults {
        drop_per_million: 300_000,
        duplicate_per_million: 500_000,
        delay_per_million: 200_000,
        delay_ns_mean: 1_000_000,
    };
    let fates = fates(&FaultPlan::uniform(SHAPE, faults), 100_000);
    let share = |is: fn(&Fate) -> bool| fates.iter().filter(|fate| is(fate)).count() / 1_000;
    assert_eq!(share(|fate| matches!(fate, Fate::Cut)), 0);
    assert!((29..=31).contains(&share(|fate| matches!(fate, Fate::Dropped))));
    assert!((34..=36).contains(&share(|fate| matches!(fate, Fate::Duplicated(..)))));
    assert!((6..=8).contains(&share(|fate| matches!(fate, Fate::Delayed(_)))));
    assert!(fates.iter().flat_map(|fate| fate.arrivals()).all(|after| after >= SHAPE.travel_ns));
    let overtaken = |pair: &[Fate]| match (pair[0], pair[1]) {
        (Fate::Delayed(first), Fate::Arrives(second)) => first > second + 100_000,
        _ => false,
    };
    assert!(fates.windows(2).any(overtaken));
}

#[test]
fn without_faults_every_frame_arrives_once_in_its_time() {
    let fates = fates(&FaultPlan::none(SHAPE), 1_000);
    assert!(fates.iter().all(|fate| *fate == Fate::Arrives(SHAPE.travel_ns)));
    assert!(fates.iter().all(|fate| fate.arrivals().eq([SHAPE.travel_ns])));
}

#[test]
fn a_partition_cuts_one_way_or_both_while_it_lasts() {
    fn check(is_two_way: bool, now: u64, from: u16, to: u16, is_cut: bool) {
        let mut plan = FaultPlan::none(SHAPE);
        let (side, other) = (BTreeSet::from([1, 3]), BTreeSet::from([2]));
        plan.set_partition(Partition { begins: 100, ends: 200, side, other, is_two_way });
        let fate = plan.decide(from, to, now, &mut Random::new(1));
        assert_eq!(fate == Fate::Cut, is_cut, "{is_two_way} {now} {from} {to}");
        assert!(!is_cut || fate.arrivals().next().is_none());
    }
    for is_two_way in [false, true] {
        check(is_two_way, 100, 1, 2, true);
        check(is_two_way, 199, 3, 2, true);
        check(is_two_way, 150, 3, 0, false);
        check(is_two_way, 150, 2, 1, is_two_way);
        check(is_two_way, 150, 1, 3, false);
        check(is_two_way, 150, 0, 2, false);
        check(is_two_way, 99, 1, 2, false);
        check(is_two_way, 200, 1, 2, false);
    }
}

#[test]
fn a_plan_prints_what_it_does() {
    let mut plan = FaultPlan::none(SHAPE);
    plan.kinds.extend([Kind::Drop, Kind::OneWayPartition]);
    let side = BTreeSet::from([1, 3]);
    let other = BTreeSet::from([0, 2]);
    plan.set_partition(Partition { begins: 5, ends: 9, side, other, is_two_way: false });
    let boxes = BTreeSet::from([0]);
    plan.set_slowness(Slowness { begins: 6, ends: 15, boxes, longer_ns: 7 });
    plan.at(10, Fault::Crashed(2));
    plan.at(20, Fault::ClockSet { agent_box: 2, ahead_ns: -7 });
    plan.at(20, Fault::Restarted(2));
    plan.events.sort_unstable();
    let expect = "\
faults until 1000000000: Drop, OneWayPartition
              5  partition 0 set: boxes {1, 3} to {0, 2}
              6  slowness 0: boxes {0} by 7 ns a frame
              9  partition 0 healed
             10  box 2 crashed
             15  slowness 0 over
             20  box 2 starts -7 ns ahead
             20  box 2 restarted
";
    assert_eq!(plan.to_string(), expect);
}
