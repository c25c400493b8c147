//! Agents that are cut into another number of parts while they run, by a controller and boxes that may end at
//! any moment.

use super::*;

fn reshard(at: &str, shards: u32) -> ToController {
    ToController::Reshard { path: at.to_owned(), shards }
}

/// The parts that run, in the order of their points.
fn parts(world: &World) -> Vec<Hosting> {
    let hosted = world.hosted();
    let mut parts: Vec<Hosting> =
        hosted.into_iter().filter(|(path, _)| path.starts_with("kvs/")).map(|(_, it)| it).collect();
    parts.sort_by_key(|it| it.first);
    parts
}

/// Exactly so many parts run, and each point is somebody's.
fn assert_cut_into(world: &World, count: usize) {
    let parts = parts(world);
    assert_eq!(parts.len(), count, "{parts:?}");
    assert_eq!((parts[0].first, parts[count - 1].last), (0, u64::MAX));
    parts.windows(2).for_each(|pair| assert_eq!(pair[0].last + 1, pair[1].first));
}

/// What each part went on from, together with the others: all points of each life, once.
fn assert_all_inherited(world: &World, from: &[Hosting]) {
    for old in from {
        let heirs = parts(world);
        let of_old = |it: &Hosting| {
            let inherited = world.inherited[&it.path].iter();
            let prefix = format!("{} ", old.path);
            inherited.filter(|text| text.starts_with(&prefix)).cloned().collect::<Vec<_>>()
        };
        let found: Vec<String> = heirs.iter().flat_map(of_old).collect();
        let common = heirs.iter().filter_map(|it| it.range().common(&old.range()));
        let expected: Vec<String> = common.map(|it| format!("{} {it}", old.path)).collect();
        assert_eq!(found, expected);
    }
}

/// A change under way, some steps after it began; and the parts of before.
fn begun(seed: u64) -> (World, Vec<Hosting>) {
    let mut world = started(seed);
    let before = parts(&world);
    world.ask(&reshard("kvs", 3));
    for _ in 0..world.random.below(60) {
        world.step();
    }
    (world, before)
}

#[test]
fn shards_become_more_and_fewer_and_inherit_each_point_once() {
    for seed in 0..50 {
        let mut world = started(seed);
        for (step, count) in [3, 2, 5, 1].into_iter().enumerate() {
            let before = parts(&world);
            let told = world.answer(&reshard("kvs", count));
            assert!(matches!(told, Some(FromController::Resharded { .. })), "{step}: {told:?}");
            assert_cut_into(&world, count as usize);
            assert_all_inherited(&world, &before);
            world.forget_routes(0);
            for point in [LOW, u64::MAX / 2, HIGH] {
                let found = world.reach(0, "gateway", "kvs", point);
                assert!(world.is_there(found), "{found:?}");
            }
        }
        let kept = world.live().flat_map(|process| process.kept()).collect::<Vec<_>>();
        assert_eq!(kept, Vec::<String>::new(), "what is over is collected");
    }
}

#[test]
fn what_cannot_be_resharded_is_refused_with_the_reason() {
    let mut world = started(1);
    let mut why = |at: &str, shards| refusal(world.answer(&reshard(at, shards)));
    assert!(why("nobody", 2).contains("there is no agent nobody"));
    assert!(why("counter", 2).contains("counter is in one piece"));
    let told = world.answer(&reshard("kvs", 2));
    assert_eq!(told, Some(FromController::Resharded { took_ns: 0, paused_ns: 0 }));
}

#[test]
fn what_does_not_split_is_not_tried_again_and_goes_on_as_it_was() {
    for seed in 0..100 {
        let mut world = started(seed);
        let before = parts(&world);
        world.indivisible = before.iter().map(|it| it.path.clone()).collect();
        let why = refusal(world.answer(&reshard("kvs", 3)));
        assert!(why.starts_with("kvs stays cut as it was; box "), "{why}");
        assert!(why.ends_with(": field `entries` can neither be split nor joined"), "{why}");
        assert_eq!((parts(&world), world.alarms()), (before, Vec::new()));
        let found = world.reach(0, "gateway", "kvs", HIGH);
        assert!(world.is_there(found), "{found:?}");
        // Nothing is left of the change.
        world.indivisible.clear();
        let told = world.answer(&reshard("kvs", 4));
        assert!(matches!(told, Some(FromController::Resharded { .. })), "{told:?}");
        assert_cut_into(&world, 4);
    }
}

/// Where one part has ended, there is no way back: what the other lacks may come with a new process of its box.
#[test]
fn a_part_that_does_not_split_is_asked_again_where_another_has_ended() {
    for seed in 0..100 {
        let mut world = started(seed);
        let before = parts(&world);
        world.indivisible.insert(before[1].path.clone());
        assert_eq!(world.answer(&reshard("kvs", 3)), None);
        assert_eq!(parts(&world), before[1..]);
        assert!(!world.alarms().is_empty());
        world.indivisible.clear();
        world.now.0 += 200_000_000;
        world.ask(&ToController::Retry);
        world.settle();
        assert!(matches!(world.told[..], [FromController::Resharded { .. }]), "{:?}", world.told);
        assert_cut_into(&world, 3);
        assert_all_inherited(&world, &before);
    }
}

/// A controller that begins knows how an agent is stated, not how it is cut.
#[test]
fn a_controller_that_does_not_know_all_says_so_and_not_that_nothing_is_to_do() {
    let mut world = started(1);
    world.answer(&reshard("kvs", 3));
    world.kill_controller();
    world.away = [0, 1].into();
    world.start_controller();
    let why = refusal(world.answer(&reshard("kvs", 2)));
    assert!(why.contains("does not know yet what all boxes run"), "{why}");
    world.away.clear();
    world.settle();
    let told = world.answer(&reshard("kvs", 2));
    assert!(matches!(told, Some(FromController::Resharded { .. })), "{told:?}");
    assert_cut_into(&world, 2);
}

/// A client may remember the epoch of a part that was of this name in an earlier cut.
#[test]
fn a_part_that_has_not_begun_is_held_under_an_epoch_later_than_all_before_the_change() {
    let mut world = started(1);
    world.ask(&reshard("kvs", 3));
    while world.controller().cuts.is_empty() {
        assert!(world.step());
    }
    let since = world.controller().cuts.values().next().expect("there is one").since;
    world.away.insert(1);
    world.settle();
    let source = "gateway".to_owned();
    let told = world.answer(&ToController::Lookup { destination: AgentId::of("kvs").0, source });
    let Some(FromController::Learned(knowledge)) = told else { panic!("{told:?}") };
    let held = knowledge.routes.iter().filter(|it| it.action == ActionEntry::Hold);
    let held: Vec<u32> = held.map(|it| it.epoch).collect();
    assert!(!held.is_empty() && held.iter().all(|epoch| *epoch >= since), "{held:?} {since}");
}

/// A controller that comes in the middle finishes what the one before began, though it is told of two parts.
#[test]
fn a_change_goes_on_under_the_next_controller_whenever_the_first_one_ends() {
    for seed in 0..600 {
        let (mut world, before) = begun(seed);
        world.kill_controller();
        world.start_controller();
        world.settle();
        let count = parts(&world).len();
        assert_cut_into(&world, count);
        assert!(count == 3 || count == 2 && parts(&world) == before, "{:?}", parts(&world));
        if count == 3 {
            assert_all_inherited(&world, &before);
        }
        let found = world.reach(0, "gateway", "kvs", HIGH);
        assert!(world.is_there(found), "{found:?}");
    }
}

/// The points of a box that dies are lost, and nobody else's; all have an owner in the end.
#[test]
fn a_change_is_finished_though_a_box_dies_in_the_middle() {
    for seed in 0..600 {
        let (mut world, before) = begun(seed);
        let victim = world.random.below(2);
        world.kill_box(victim);
        if world.random.below(2) == 0 {
            world.kill_controller();
            world.start_controller();
        }
        let (name, address) = [("a", "host:1"), ("b", "host:2")][victim];
        world.start_box(name, address, 2);
        world.settle();
        let count = parts(&world).len();
        assert!(count == 2 || count == 3, "{:?}", parts(&world));
        assert_cut_into(&world, count);
        let found = world.reach(2, "gateway", "kvs", HIGH);
        assert!(world.is_there(found), "{found:?}, {before:?}");
    }
}

/// What is kept is from before all that a new part has done: who has run does not begin there again.
#[test]
fn a_new_part_that_has_run_and_dies_begins_anew() {
    let mut died = 0;
    for seed in 0..300 {
        let (mut world, before) = begun(seed);
        let is_new = |it: &Hosting| before.iter().all(|old| old.path != it.path);
        let ran: Vec<Hosting> =
            world.controller().running().filter(|it| is_new(it)).cloned().collect();
        let victim = world.random.below(2);
        let dies = |it: &&Hosting| {
            it.path.starts_with("kvs/")
                && world.boxes[victim].as_ref().unwrap().hosted.contains_key(&it.path)
        };
        let dying: Vec<Hosting> = ran.iter().filter(dies).cloned().collect();
        world.kill_box(victim);
        let (name, address) = [("a", "host:1"), ("b", "host:2")][victim];
        world.start_box(name, address, 2);
        world.settle();
        assert_cut_into(&world, parts(&world).len());
        for gone in dying {
            died += 1;
            let next = parts(&world).into_iter().find(|it| it.range() == gone.range()).unwrap();
            assert_ne!(next.path, gone.path);
            assert_eq!(world.inherited[&next.path], Vec::<String>::new());
        }
    }
    assert!(died > 50, "{died}");
}
