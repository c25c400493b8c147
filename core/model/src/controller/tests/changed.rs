//! Agents that are cut into another number of parts while they run, by a controller and boxes that may end at
//! any moment.

use super::*;
use crate::control::RouteEntry;

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
    for _ in 0..world.random.below(90) {
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
        assert_eq!(parts(&world), before);
        let found = world.reach(0, "gateway", "kvs", HIGH);
        assert!(world.is_there(found), "{found:?}");
        // Nothing is left of the change.
        world.indivisible.clear();
        let told = world.answer(&reshard("kvs", 4));
        assert!(matches!(told, Some(FromController::Resharded { .. })), "{told:?}");
        assert_cut_into(&world, 4);
    }
}

/// A part runs that is as before, or goes on from all that the one before it was.
fn assert_as_before(world: &World, before: &[Hosting]) {
    assert_cut_into(world, before.len());
    for (part, was) in parts(world).iter().zip(before) {
        assert_eq!((part.range(), part.cut), (was.range(), was.cut));
        let mut path = &part.path;
        while *path != was.path {
            let inherited = &world.inherited[path];
            let of = inherited.first().map_or("", |text| text.split(' ').next().unwrap());
            let (of, kept) = world.ended.get_key_value(of).expect("it goes on from a life");
            assert_eq!(inherited, kept);
            path = of;
        }
    }
}

/// Whether it never can, or for now.
#[test]
fn those_that_have_ended_go_on_as_they_were_where_another_cannot_end() {
    for seed in 0..200 {
        let mut world = started(seed);
        let before = parts(&world);
        let may_pass = seed % 2 == 0;
        let those = if may_pass { &mut world.asking } else { &mut world.indivisible };
        those.insert(before[1].path.clone());
        let reason = if may_pass { Reason::NotNow } else { Reason::Invalid };
        let told = world.answer(&reshard("kvs", 3));
        let Some(FromController::Refused(why, text)) = told else { panic!("{told:?}") };
        assert!(why == reason && text.starts_with("kvs stays cut as it was; box "), "{text}");
        assert_as_before(&world, &before);
        assert!(parts(&world)[0].path != before[0].path && parts(&world)[1] == before[1]);
        // Nothing is left of the change, also for the next controller.
        let after = parts(&world);
        world.kill_controller();
        world.start_controller();
        world.settle();
        assert_eq!(parts(&world), after);
        assert_eq!(world.live().flat_map(|it| it.kept()).count(), 0);
        (world.asking, world.indivisible) = Default::default();
        let told = world.answer(&reshard("kvs", 3));
        assert!(matches!(told, Some(FromController::Resharded { .. })), "{told:?}");
        assert_cut_into(&world, 3);
        assert_all_inherited(&world, &after);
    }
}

#[test]
fn those_that_have_ended_go_on_as_they_were_where_another_is_not_heard_of() {
    for seed in 0..100 {
        let mut world = started(seed);
        let before = parts(&world);
        world.away.insert(1);
        assert_eq!(world.answer(&reshard("kvs", 3)), None);
        assert_eq!(parts(&world), before[1..]);
        world.now.0 += 3_000_000_000;
        world.ask(&ToController::Retry);
        world.settle();
        assert_as_before(&world, &before);
        assert_eq!(world.told, [], "nobody knows how the other fares");
        world.away.clear();
        world.settle();
        let [FromController::Refused(Reason::NotNow, why)] = &world.told[..] else {
            panic!("{:?}", world.told)
        };
        assert!(why.contains("has not said within 3s that kvs/"), "{why}");
        assert_as_before(&world, &before);
    }
}

/// It is found before anything is given up.
#[test]
fn a_constant_field_that_differs_is_named_and_all_go_on_as_they_were() {
    for seed in 0..100 {
        let mut world = started(seed);
        let before = parts(&world);
        world.different.insert(before[1].path.clone());
        for count in [1, 3] {
            let lives = parts(&world);
            world.different = [lives[1].path.clone()].into();
            let why = refusal(world.answer(&reshard("kvs", count)));
            let told = format!(
                "kvs stays cut as it was: its field `limit` is declared constant, and differs between {} and {}",
                lives[0].path, lives[1].path
            );
            assert!(why.starts_with(&told), "{why}");
            assert_as_before(&world, &before);
        }
        // Where nothing is joined nothing differs.
        let lives = parts(&world);
        world.different = [lives[1].path.clone()].into();
        let told = world.answer(&reshard("kvs", 4));
        assert!(matches!(told, Some(FromController::Resharded { .. })), "{told:?}");
        assert_all_inherited(&world, &lives);
    }
}

/// A controller that ends meanwhile is followed by one that tries the change again, and gives it up for the same
/// reason.
#[test]
fn a_change_that_is_given_up_loses_nothing_whenever_the_controller_ends() {
    for seed in 0..300 {
        let mut world = started(seed);
        let before = parts(&world);
        world.asking.insert(before[1].path.clone());
        world.ask(&reshard("kvs", 3));
        for _ in 0..world.random.below(60) {
            world.step();
        }
        world.kill_controller();
        world.start_controller();
        world.settle();
        assert_as_before(&world, &before);
        assert_eq!(world.live().flat_map(|it| it.kept()).count(), 0);
    }
}

/// What cannot be made of parts leaves them where they are, so that it can be tried again.
#[test]
fn parts_of_which_nothing_can_be_made_for_now_are_kept() {
    for seed in 0..50 {
        let mut world = started(seed);
        let before = parts(&world);
        world.unfit.insert(before[0].template.clone());
        assert_eq!(world.answer(&reshard("kvs", 3)), None);
        assert_eq!(parts(&world), []);
        assert_eq!(world.live().flat_map(|it| it.kept()).count(), before.len());
        world.unfit.clear();
        world.now.0 += 1_000_000_000;
        world.ask(&ToController::Retry);
        world.settle();
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

/// Who comes in the middle knows the statement alone at first, and may tell of that.
#[test]
fn how_an_agent_is_cut_now_is_told_under_a_later_epoch_than_how_it_was_cut_before() {
    let source = || "gateway".to_owned();
    let lookup = || ToController::Lookup { destination: AgentId::of("kvs").0, source: source() };
    let route = |told: &FromController| -> Option<RouteEntry> {
        let FromController::Learned(knowledge) = told else { return None };
        knowledge.routes.iter().find(|it| it.path == "kvs").cloned()
    };
    for seed in 0..600 {
        let (mut world, _) = begun(seed);
        if world.random.below(2) == 0 {
            world.kill_controller();
            world.start_controller();
        }
        for _ in 0..world.random.below(90) {
            world.ask(&lookup());
            world.step();
        }
        world.settle();
        let before: Vec<RouteEntry> = world.told.iter().filter_map(route).collect();
        let now = world.answer(&lookup()).as_ref().and_then(route).expect("it is there");
        let is_older = |it: &&RouteEntry| it.epoch < now.epoch || **it == now;
        assert_eq!(before.iter().find(|it| !is_older(it)), None, "{seed}: {now:?}");
    }
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

/// Who has run has taken what it began from: the next life does not begin there again, though the controller that
/// started it is gone too.
#[test]
fn a_new_part_that_has_run_and_dies_begins_anew() {
    let mut died = 0;
    for seed in 0..400 {
        let (mut world, before) = begun(seed);
        let is_new = |it: &&Hosting| {
            it.path.starts_with("kvs/") && before.iter().all(|old| old.path != it.path)
        };
        let victim = world.random.below(2);
        let hosted = world.boxes[victim].as_ref().unwrap().hosted.values();
        let dying: Vec<Hosting> = hosted.filter(is_new).cloned().collect();
        world.kill_box(victim);
        let (name, address) = [("a", "host:1"), ("b", "host:2")][victim];
        if seed % 2 == 0 {
            world.kill_controller();
            world.start_controller();
        }
        world.start_box(name, address, 2);
        world.settle();
        assert_cut_into(&world, parts(&world).len());
        for gone in dying {
            let next = parts(&world).into_iter().find(|it| it.range() == gone.range());
            // Where nobody is left that knows of the change, there was none.
            let Some(next) = next else { continue };
            died += 1;
            assert_ne!(next.path, gone.path);
            assert_eq!(world.inherited[&next.path], Vec::<String>::new());
        }
    }
    assert!(died > 50, "{died}");
}
