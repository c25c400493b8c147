mod changed;
mod pump;

use pump::{Found, World};

use super::*;
use crate::control::{
    ActionEntry, BoxState, FromPort, ProcessState, Standing, ToPort, View, port_path,
};
use crate::id::BoxId;
use crate::latt::tests::{keyed, path};
use crate::manager::Registration;

const LOW: u64 = 1;
const HIGH: u64 = u64::MAX - 1;

/// A key-value agent cut in two and a counter, over two boxes.
fn system() -> System {
    let site = |name: &str| Site { name: name.to_owned(), reactors: 2 };
    let missing = Specification { template: "Missing".to_owned(), ..Specification::default() };
    let templates = [("kv", keyed(&[])), ("cut", keyed(&[2])), ("missing", missing)];
    System {
        agents: vec![(path("kvs"), keyed(&[2])), (path("counter"), keyed(&[]))],
        templates: templates.map(|(name, spec)| (name.to_owned(), spec)).into(),
        boxes: vec![site("a"), site("b")],
        home: "home".to_owned(),
    }
}

fn started(seed: u64) -> World {
    let mut world = World::new(system(), seed);
    world.start_box("a", "host:1", 2);
    world.start_box("b", "host:2", 2);
    world.settle();
    world
}

fn create(at: &str, template: &str, agent_box: Option<&str>) -> ToController {
    ToController::Create {
        path: at.to_owned(),
        template: template.to_owned(),
        parameters: String::new(),
        agent_box: agent_box.map(str::to_owned),
        reactor: None,
    }
}

fn stop(at: &str) -> ToController {
    ToController::Stop { path: at.to_owned() }
}

fn text(world: &mut World, view: View) -> String {
    match world.answer(&ToController::Describe(view)) {
        Some(FromController::Text(text)) => text,
        other => panic!("{other:?}"),
    }
}

fn refusal(told: Option<FromController>) -> String {
    match told {
        Some(FromController::Refused(_, why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn boxes_register_and_run_what_was_placed_on_them() {
    let mut world = started(1);
    assert_eq!(world.boxes[0].as_ref().unwrap().registration(), &Registration::Member(BoxId(1)));
    assert_eq!(world.boxes[1].as_ref().unwrap().registration(), &Registration::Member(BoxId(2)));
    let hosted = world.hosted();
    let paths: Vec<_> = hosted.keys().map(String::as_str).collect();
    assert_eq!(paths, ["counter", "kvs/part0", "kvs/part1"]);
    assert_eq!(hosted["kvs/part0"].source, "kvs");
    assert_eq!(hosted["kvs/part0"].path, "kvs/part0");
    assert!(hosted["kvs/part0"].last < hosted["kvs/part1"].first);
    let tree = text(&mut world, View::Tree);
    assert!(tree.contains("├── kvs"), "{tree}");
    assert!(tree.contains("as kvs/part1, space "), "{tree}");
    let Some(FromController::Boxes(boxes)) = world.answer(&ToController::Boxes) else { panic!() };
    let process = ProcessState { address: "host:1".to_owned(), reactors: 2, agents: 2 };
    let (name, standing) = ("a".to_owned(), Standing::Stated);
    let first = BoxState { name, standing, agent_box: Some(1), process: Some(process) };
    assert_eq!((&boxes[0], boxes.len()), (&first, 2));
    let routes = text(&mut world, View::Routes);
    assert!(routes.starts_with("kvs  pick by point of kvs/part0, kvs/part1"), "{routes}");
}

#[test]
fn one_look_up_tells_all_that_is_needed_to_reach_the_leaves() {
    let mut world = started(2);
    let low = world.reach(0, "gateway", "kvs", LOW);
    assert!(world.is_there(low), "{low:?}");
    // The other part came with the same answer.
    let high = world.resolve(0, 0, "kvs", HIGH);
    assert!(world.is_there(high) && high != low, "{high:?}");
    let Found::At(_, place) = high else { panic!("{high:?}") };
    let table = &world.boxes[0].as_ref().unwrap().places;
    let address = table.address(place.agent_box);
    assert!(matches!(address, Some("host:1" | "host:2")), "{address:?}");
    // The system's own agents are found like any other.
    for own in ["box-b", "box-b-1"] {
        let found = world.reach(0, "gateway", own, LOW);
        assert!(matches!(found, Found::At(_, place) if place.agent_box == BoxId(2)), "{found:?}");
    }
}

#[test]
fn who_is_unknown_or_not_a_sibling_is_refused() {
    let mut world = started(3);
    let mut check = |source: &str, at: &str, expect: &str| {
        assert_eq!(world.reach(0, source, at, LOW), Found::Miss);
        let why = world.boxes[0].as_mut().unwrap().refused.pop().unwrap();
        assert!(why.contains(expect), "{why}");
    };
    check("gateway", "nobody", "`daedal tree` shows those that there are");
    check("gateway", "kvs/part0", "gateway may not send to kvs/part0");
    check("no path", "kvs", "a name has only letters");
    // A part of the same agent may.
    assert!(matches!(world.reach(0, "kvs/part1", "kvs/part0", LOW), Found::At(..)));
}

#[test]
fn a_box_that_comes_back_runs_the_next_lives() {
    let mut world = started(4);
    let before = world.hosted();
    let old = world.reach(1, "gateway", "kvs", LOW);
    let held = before["kvs/part0"].clone();
    let home = usize::from(!world.boxes[0].as_ref().unwrap().hosted.contains_key("kvs/part0"));
    let client = 1 - home;
    world.kill_box(home);
    let (name, address) = [("a", "host:1"), ("b", "host:2")][home];
    let back = world.start_box(name, address, 2);
    world.settle();
    let after = world.hosted();
    assert_eq!(after["kvs/part0"].path, "kvs/part0:2");
    assert!(after["kvs/part0"].epoch > held.epoch && after["kvs/part0"].space != held.space);
    assert_eq!(after["kvs/part1"].path.contains(':'), home == 1 || before.len() == 2);
    // A stale route is forgotten, and the next look-up finds the new life.
    let destination = AgentId::of("kvs").0;
    world.tell_port(client, 0, &ToPort::Forget { destination, epoch: u32::MAX });
    world.settle();
    let new = world.reach(client, "gateway", "kvs", LOW);
    assert!(world.is_there(new) && new != old, "{new:?}");
    assert!(world.boxes[back].is_some());
}

#[test]
fn a_part_that_is_away_is_held_and_told_when_it_runs() {
    let mut world = World::new(system(), 5);
    let here = world.start_box("a", "host:1", 2);
    world.settle();
    let (low, high) =
        (world.reach(here, "gateway", "kvs", LOW), world.resolve(here, 0, "kvs", HIGH));
    assert!([low, high].contains(&Found::Hold) && low != high, "{low:?} {high:?}");
    world.start_box("b", "host:2", 2);
    world.settle();
    for point in [LOW, HIGH] {
        let found = world.resolve(here, 0, "kvs", point);
        assert!(world.is_there(found), "{found:?}");
    }
}

#[test]
fn a_second_live_box_of_the_same_name_is_refused_and_the_first_goes_on() {
    let mut world = started(6);
    let before = world.hosted();
    let second = world.start_box("a", "host:9", 1);
    world.settle();
    let expect = "a box of this name is there already, at host:1: stop that one, or give the one at host:9 \
                  another name; if it has crashed, start this one at its address once";
    let registration = world.boxes[second].as_ref().unwrap().registration();
    assert_eq!(registration, &Registration::Refused(expect.to_owned()));
    world.kill_controller();
    world.start_controller();
    world.settle();
    assert_eq!(world.hosted(), before);
}

#[test]
fn a_controller_that_comes_back_adopts_what_runs() {
    for seed in 0..20 {
        let mut world = started(seed);
        assert_eq!(world.answer(&create("extra", "cut", None)), Some(FromController::Created));
        let before = world.hosted();
        let synced = world.synced;
        world.kill_controller();
        world.settle();
        world.start_controller();
        world.settle();
        assert_eq!(world.hosted(), before);
        assert!(world.synced.space > synced.space && world.synced.epoch > synced.epoch);
        let running: Vec<_> = world.controller().running().cloned().collect();
        assert_eq!(running.len(), before.len());
        assert!(running.iter().all(|hosting| before.values().any(|other| other == hosting)));
        for at in ["kvs", "counter", "extra"] {
            let found = world.reach(1, "gateway", at, LOW);
            assert!(world.is_there(found), "{at}: {found:?}");
        }
    }
}

#[test]
fn nothing_is_told_or_started_that_an_absent_box_may_still_run() {
    let mut world = started(7);
    world.kill_controller();
    world.kill_box(1);
    world.start_controller();
    world.settle();
    // `b` may run what nobody has reported: also an agent that an earlier controller created.
    let asked = world.reach(0, "gateway", "extra", LOW);
    assert_eq!(asked, Found::Miss);
    assert!(world.boxes[0].as_ref().unwrap().refused.is_empty());
    for other in ["other1", "other2", "other3", "other4"] {
        assert_eq!(world.answer(&create(other, "kv", None)), None);
    }
    // What names its box waits for that box alone.
    let told = world.answer(&create("mine", "kv", Some("a")));
    assert_eq!(told, Some(FromController::Created));
    world.told.clear();
    world.start_box("b", "host:2", 2);
    world.settle();
    assert_eq!(world.told, vec![FromController::Created; 4]);
    let why = world.boxes[0].as_mut().unwrap().refused.pop().unwrap();
    assert!(why.contains("no agent has the id"), "{why}");
}

#[test]
fn what_an_earlier_controller_said_is_not_started() {
    for seed in 0..20 {
        let mut world = started(seed);
        world.are_starts_late = true;
        assert_eq!(world.answer(&create("extra", "cut", None)), None);
        world.kill_controller();
        world.start_controller();
        world.settle();
        // Both boxes have told the new controller what they run; now the old one's word arrives.
        world.are_starts_late = false;
        world.settle();
        assert_eq!(world.hosted().len(), 3);
        assert_eq!(world.answer(&create("extra", "cut", None)), Some(FromController::Created));
        assert_eq!(world.hosted().len(), 5);
    }
}

#[test]
fn a_link_that_broke_under_one_controller_loses_nothing() {
    for seed in 0..50 {
        let mut world = started(seed);
        let before = world.hosted();
        world.told.clear();
        world.ask(&create("extra", "cut", None));
        for _ in 0..seed % 5 {
            world.step();
        }
        world.say_that_the_controller_is_new(0);
        world.say_that_the_controller_is_new(1);
        world.settle();
        assert_eq!(world.told, [FromController::Created], "seed {seed}");
        assert!(before.iter().all(|(path, life)| world.hosted().get(path) == Some(life)));
    }
}

#[test]
fn agents_come_and_go_while_the_system_runs() {
    let mut world = started(8);
    assert_eq!(world.answer(&create("extra", "cut", None)), Some(FromController::Created));
    let first = world.hosted()["extra/part0"].clone();
    // Asked for again, as after an answer that was lost: it is there.
    assert_eq!(world.answer(&create("extra", "cut", None)), Some(FromController::Created));
    assert_eq!(world.hosted()["extra/part0"], first);
    let mut check = |at: &str, template: &str, agent_box: Option<&str>, expect: &str| {
        let why = refusal(world.answer(&create(at, template, agent_box)));
        assert!(why.contains(expect), "{why}");
    };
    check("kvs", "missing", None, "kvs has the same id as kvs");
    check("box-x", "kv", None, "are the system's own");
    check("a/b", "kv", None, "inside of another agent");
    check("x", "nothing", None, "no template \"nothing\"; there are: cut, kv, missing");
    check("x", "kv", Some("z"), "x may run in box z, and there is no such box; there are: a, b");
    check("y", "missing", None, "this box has no template Missing");
    assert_eq!(world.answer(&stop("y")), Some(FromController::Stopped));
    assert_eq!(world.answer(&stop("extra")), Some(FromController::Stopped));
    assert!(!world.hosted().contains_key("extra/part0"));
    assert!(refusal(world.answer(&stop("extra"))).contains("no agent of the top level"));
    assert!(refusal(world.answer(&stop("kvs/part0"))).contains("no agent of the top level"));
    assert_eq!(world.answer(&create("extra", "cut", None)), Some(FromController::Created));
    assert_ne!(world.hosted()["extra/part0"].path, first.path);
}

#[test]
fn a_guest_runs_what_names_it_and_takes_it_along() {
    let mut world = started(9);
    let guest = world.start_box("visitor", "host:3", 1);
    world.settle();
    let told = world.answer(&create("handle", "kv", Some("visitor")));
    assert_eq!(told, Some(FromController::Created));
    assert!(world.boxes[guest].as_ref().unwrap().hosted.len() == 1);
    let found = world.reach(0, "gateway", "handle", LOW);
    assert!(matches!(found, Found::At(_, place) if place.agent_box.0 >= 1 << 15), "{found:?}");
    let gone = ToController::Gone { name: "visitor".to_owned(), incarnation: 5 };
    let incarnation = world.controller().members["visitor"].current.as_ref().unwrap().incarnation;
    assert_eq!(world.answer(&gone), Some(FromController::Reported));
    assert!(world.controller().members.contains_key("visitor"));
    let gone = ToController::Gone { name: "visitor".to_owned(), incarnation };
    world.kill_box(guest);
    assert_eq!(world.answer(&gone), Some(FromController::Reported));
    assert!(world.controller().latt().at(&path("handle")).is_none());
    assert!(refusal(world.answer(&stop("handle"))).contains("no agent of the top level"));
}

#[test]
fn a_state_is_captured_through_the_port() {
    let mut world = started(10);
    let home = usize::from(!world.boxes[0].as_ref().unwrap().hosted.contains_key("kvs/part0"));
    let port = port_path(["a", "b"][home], 0).unwrap();
    let capture = |path: &str| ToPort::Capture { path: path.to_owned(), held_by: None };
    world.ask_port(&port, &capture("kvs/part0"));
    assert_eq!(world.captured.pop(), Some(FromPort::Captured(b"kvs/part0".to_vec())));
    world.ask_port(&port, &capture("kvs/part7"));
    let refused = FromPort::Refused("kvs/part7 does not run here".into());
    assert_eq!(world.captured, [refused]);
}

#[test]
fn a_reactor_says_how_it_runs() {
    let mut world = started(11);
    world.ask_port(&port_path("b", 1).unwrap(), &ToPort::Describe);
    assert_eq!(world.captured, [FromPort::Described("reactor 1".to_owned())]);
}

#[test]
fn an_agent_that_could_not_start_for_now_is_tried_again_ever_more_seldom() {
    let mut world = World::new(system(), 12);
    world.unfit.insert("KeyValue".to_owned());
    world.start_box("a", "host:1", 2);
    world.start_box("b", "host:2", 2);
    world.settle();
    let mut apart = Vec::new();
    for _ in 0..8 {
        let alarms = world.alarms();
        let first = alarms[0];
        // One for each of the three leaves.
        assert_eq!(alarms, [first; 3]);
        apart.push(first.as_secs());
        let tree = text(&mut world, View::Tree);
        let told = format!(": its port is taken; tried again in {} s", first.as_secs());
        assert_eq!(tree.matches(&told).count(), 3, "{tree}");
        // Too early, as from somebody else.
        world.now.0 += first.as_nanos() as u64 - 1;
        world.ask(&ToController::Retry);
        world.settle();
        assert!(world.alarms().is_empty());
        world.now.0 += 1;
        world.ask(&ToController::Retry);
        world.settle();
    }
    assert_eq!(apart, [1, 2, 4, 8, 16, 32, 32, 32]);
    assert_eq!(world.alarms().len(), 3);
    world.unfit.clear();
    world.now.0 += 32_000_000_000;
    world.ask(&ToController::Retry);
    world.settle();
    assert_eq!((world.hosted().len(), world.alarms().len()), (3, 0));
}

#[test]
fn an_agent_whose_box_starts_anew_is_tried_as_if_for_the_first_time() {
    let mut world = World::new(system(), 13);
    world.unfit.insert("KeyValue".to_owned());
    let index = world.start_box("a", "host:1", 2);
    world.settle();
    for _ in 0..3 {
        world.now.0 += 60_000_000_000;
        world.ask(&ToController::Retry);
        world.settle();
    }
    let alarms = world.alarms();
    assert_eq!(alarms.last().map(|it| it.as_secs()), Some(8));
    world.kill_box(index);
    world.start_box("a", "host:1", 2);
    world.settle();
    assert_eq!(world.alarms().first().map(|it| it.as_secs()), Some(1));
}

#[test]
fn a_journal_that_cannot_be_written_is_asked_again_each_second_and_the_tree_says_so() {
    let mut world = World::new(system(), 15);
    world.is_journal_stuck = true;
    world.start_box("a", "host:1", 2);
    world.start_box("b", "host:2", 2);
    world.settle();
    for _ in 0..3 {
        assert_eq!(world.alarms().iter().map(|it| it.as_secs()).collect::<Vec<_>>(), [1]);
        assert_eq!(world.hosted().len(), 0);
        let tree = text(&mut world, View::Tree);
        assert!(tree.ends_with("the controller's journal cannot be written: nothing new starts until it can; its box logs why\n"), "{tree}");
        // Too early, as from somebody else.
        world.now.0 += 999_999_999;
        world.ask(&ToController::Retry);
        world.settle();
        assert!(world.alarms().is_empty());
        world.now.0 += 1;
        world.ask(&ToController::Retry);
        world.settle();
    }
    world.is_journal_stuck = false;
    world.now.0 += 1_000_000_000;
    world.ask(&ToController::Retry);
    world.settle();
    assert_eq!(world.hosted().len(), 3);
    assert!(!text(&mut world, View::Tree).contains("journal"));
}

#[test]
fn what_will_not_pass_is_not_tried_again_and_the_tree_says_so() {
    let mut world = started(14);
    let why = refusal(world.answer(&create("extra", "missing", Some("a"))));
    assert_eq!((why.as_str(), world.alarms().len()), ("this box has no template Missing", 0));
    let tree = text(&mut world, View::Tree);
    let told =
        "failed in a: this box has no template Missing; not tried again until its box starts anew";
    assert!(tree.contains(told), "{tree}");
}

/// Where a box's process has that of `b` to be.
fn address_of_b(world: &World, index: usize) -> Option<String> {
    world.boxes[index].as_ref().unwrap().places.address(BoxId(2)).map(str::to_owned)
}

#[test]
fn a_box_that_comes_back_elsewhere_is_found_there_by_those_who_knew_it() {
    let mut world = started(15);
    for point in [LOW, HIGH] {
        world.reach(0, "gateway", "kvs", point);
    }
    assert_eq!(address_of_b(&world, 0).as_deref(), Some("host:2"));
    let incarnation = world.incarnation(1);
    world.kill_box(1);
    world.answer(&ToController::Gone { name: "b".to_owned(), incarnation });
    world.start_box("b", "host:7", 2);
    world.settle();
    assert_eq!(address_of_b(&world, 0).as_deref(), Some("host:7"));
    // A controller that was not there cannot know that it has moved: it says so all the same.
    world.kill_controller();
    world.kill_box(2);
    world.start_controller();
    world.start_box("b", "host:8", 2);
    world.settle();
    assert_eq!(address_of_b(&world, 0).as_deref(), Some("host:8"));
}

#[test]
fn a_miss_is_asked_about_once_and_again_when_the_controller_is_new() {
    let mut world = started(11);
    let destination = AgentId::of("kvs").0;
    let miss = ToPort::Miss { destination, source: "gateway".to_owned() };
    world.kill_controller();
    for _ in 0..3 {
        world.tell_port(0, 0, &miss);
        world.settle();
        assert_eq!(world.lookups(), 1);
    }
    world.start_controller();
    world.settle();
    assert_eq!(world.lookups(), 0);
    let found = world.resolve(0, 0, "kvs", LOW);
    assert!(world.is_there(found), "{found:?}");
}

#[test]
fn of_look_ups_that_overtake_each_other_none_is_forgotten() {
    for seed in 0..50 {
        let mut world = started(seed);
        world.kill_controller();
        let destination = AgentId::of("counter").0;
        world.tell_port(0, 0, &ToPort::Miss { destination, source: "gateway".to_owned() });
        world.settle();
        // Asked again, while the question to the controller before is on its way to this one.
        world.start_controller();
        world.tell_port(0, 0, &ToPort::ControllerIsNew);
        world.settle();
        let found = world.resolve(0, 0, "counter", LOW);
        assert!(world.is_there(found), "seed {seed}: {found:?}");
    }
}

#[test]
fn a_manager_spreads_agents_over_its_reactors() {
    let world = started(12);
    for process in world.live() {
        let mut reactors: Vec<_> = process.hosted.values().map(|one| one.reactor).collect();
        reactors.sort();
        reactors.dedup();
        assert_eq!(reactors.len(), process.hosted.len());
    }
}

#[test]
fn what_was_held_and_is_stopped_is_told_to_be_unknown() {
    let mut world = World::new(system(), 13);
    let here = world.start_box("a", "host:1", 2);
    world.settle();
    assert_eq!(world.answer(&create("extra", "cut", None)), None);
    assert!(matches!(world.reach(here, "gateway", "extra", LOW), Found::At(..) | Found::Hold));
    assert_eq!(world.answer(&stop("extra")), Some(FromController::Stopped));
    assert_eq!(world.resolve(here, 0, "extra", LOW), Found::Unknown);
    assert!(matches!(world.told[..], [FromController::Refused(..)]), "{:?}", world.told);
}

#[test]
fn no_space_epoch_or_life_is_used_twice_whoever_dies_and_when() {
    let addresses = [("a", "host:1"), ("b", "host:2")];
    let (mut restarts, mut creations) = (0, 0);
    for seed in 0..200 {
        let mut world = World::new(system(), seed);
        let mut at = addresses.map(|(name, address)| world.start_box(name, address, 2));
        let mut controller_is_up = true;
        for _ in 0..40 {
            for _ in 0..world.random.below(30) {
                world.step();
            }
            let extra = ["x", "y"][world.random.below(2)];
            match world.random.below(10) {
                0 => {
                    controller_is_up = !controller_is_up;
                    if controller_is_up {
                        world.start_controller()
                    } else {
                        world.kill_controller()
                    }
                    restarts += 1;
                }
                1 | 2 => {
                    let which = world.random.below(2);
                    match world.boxes[at[which]] {
                        Some(_) => world.kill_box(at[which]),
                        None => {
                            let (name, address) = addresses[which];
                            at[which] = world.start_box(name, address, 2);
                        }
                    }
                    restarts += 1;
                }
                3 => world.ask(&create(extra, "cut", None)),
                4 => world.ask(&stop(extra)),
                5 if world.boxes[at[0]].is_some() => {
                    let destination = AgentId::of("kvs").0;
                    let miss = ToPort::Miss { destination, source: "gateway".to_owned() };
                    world.tell_port(at[0], 0, &miss);
                }
                6 | 7 => {
                    let which = world.random.below(2);
                    if !world.away.remove(&at[which]) {
                        world.away.insert(at[which]);
                    }
                }
                _ => {}
            }
        }
        // Then everybody is there and reached, and the system must become whole.
        world.away.clear();
        if !controller_is_up {
            world.start_controller();
        }
        for which in 0..2 {
            if world.boxes[at[which]].is_none() {
                let (name, address) = addresses[which];
                at[which] = world.start_box(name, address, 2);
            }
        }
        world.settle();
        let mut running: Vec<_> =
            world.controller().running().map(|hosting| hosting.path.clone()).collect();
        let mut hosted: Vec<_> = world.hosted().values().map(|one| one.path.clone()).collect();
        running.sort();
        hosted.sort();
        assert_eq!(running, hosted, "seed {seed}");
        creations += usize::from(world.controller().latt().at(&path("x")).is_some());
        let fresh = world.start_box("visitor", "host:3", 1);
        world.settle();
        for (destination, point) in [("kvs", LOW), ("kvs", HIGH), ("counter", LOW)] {
            let found = world.reach(fresh, "gateway", destination, point);
            assert!(world.is_there(found), "seed {seed}: {destination} {found:?}");
        }
    }
    assert!(restarts > 1000 && creations > 20, "{restarts} {creations}");
}
