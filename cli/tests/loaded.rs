//! kill -9 beside real load: clients at once, each with many commands under way, and their histories checked.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, reason = "a test")]

mod system;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use system::load::{beside_load, check_whole, keys, kill_under_load, now};
use system::{Client, System, until};

#[test]
fn a_controller_that_is_killed_twice_under_load_costs_no_command() {
    let mut system = System::start();
    let (counters, all) = keys();
    let histories = beside_load(&mut system, &counters, |system, progress| {
        for _ in 0..2 {
            system.kill("controller");
            progress();
            system.start_box("controller");
            until("it to know the system again", || {
                system.look(&["tree"]).is_ok_and(|tree| tree.matches(" as kvs/shard").count() == 2)
            });
            progress();
        }
    });
    let mut client = system.client();
    for key in &all {
        check_whole(&histories, key, now(&mut client, key));
    }
}

#[test]
fn a_box_that_is_killed_under_load_loses_its_own_and_nothing_else_and_does_nothing_twice() {
    kill_under_load(&mut System::start_by("shm"));
}

#[test]
fn so_it_is_by_the_kernel() {
    kill_under_load(&mut System::start_by("kernel"));
}

#[test]
fn shards_become_three_and_two_again_under_load_and_no_command_is_lost_or_done_twice() {
    let mut system = System::start_together();
    let (counters, all) = keys();
    let mut said = Vec::new();
    let histories = beside_load(&mut system, &counters, |system, progress| {
        for shards in ["3", "2", "4", "1", "3"] {
            let told = system.look(&["reshard", "kvs", shards]);
            said.push((shards, told, system.look(&["tree"])));
            progress();
        }
    });
    for (shards, told, tree) in said {
        let (told, tree) = (told.unwrap(), tree.unwrap());
        assert!(told.starts_with(&format!("kvs has {shards} shard")), "{told}");
        assert_eq!(tree.matches(" as kvs/shard").count().to_string(), shards, "{tree}");
    }
    let mut client = system.client();
    for key in &all {
        check_whole(&histories, key, now(&mut client, key));
    }
}

#[test]
fn a_state_is_shown_while_requests_are_in_flight_in_one_cut() {
    let mut system = System::start();
    let (counters, all) = keys();
    let mut states = Vec::new();
    let histories = beside_load(&mut system, &counters, |system, _| {
        for _ in 0..5 {
            states.push(system.look(&["state", "kvs"]).unwrap());
        }
    });
    for state in states {
        for part in [
            "kvs, put together from 2 agents in one cut, between two transitions of each",
            &format!("values: {} keys: ", all.len()),
        ] {
            assert!(state.contains(part), "{part}: {state}");
        }
    }
    let mut client = system.client();
    for key in &all {
        check_whole(&histories, key, now(&mut client, key));
    }
}

/// What a state says that a key counts; 0: it is not there.
fn shown(state: &str, key: &str) -> u64 {
    let behind = state.split(key).nth(1).unwrap_or_default();
    let digits = behind.trim_start_matches(|it: char| !it.is_ascii_digit());
    digits.split(|it: char| !it.is_ascii_digit()).next().unwrap().parse().unwrap_or(0)
}

/// A client counts in one shard, and when that is answered in the other.
#[test]
fn a_state_across_shards_shows_no_effect_without_its_cause() {
    let system = System::start();
    let is_low = |key: &String| daedal::Point::of(key.as_str()).0 < 1 << 63;
    let cause = (0..).map(|index| format!("cause{index}")).find(|key| is_low(key)).unwrap();
    let effect = (0..).map(|index| format!("effect{index}")).find(|key| !is_low(key)).unwrap();
    let (stop, done, at) = (AtomicBool::new(false), AtomicU64::new(0), system.serves);
    let mut states = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = Client::connect(at).unwrap().patient();
            while !stop.load(Ordering::Relaxed) {
                client.ask(&format!("INCR {cause}")).unwrap();
                client.ask(&format!("INCR {effect}")).unwrap();
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
        until("the client to count", || done.load(Ordering::Relaxed) > 0);
        states.extend((0..10).map(|_| system.look(&["state", "kvs"])));
        stop.store(true, Ordering::Relaxed);
    });
    for state in states {
        let state = state.unwrap();
        let (cause, effect) = (shown(&state, &cause), shown(&state, &effect));
        assert!(effect > 0 && (cause == effect || cause == effect + 1), "{state}");
    }
}
