//! kill -9 beside real load: clients at once, each with many commands under way, and their histories checked.
//!
//! INCR answers how often it was done, so that among all answers of a counter one that is missing was lost, and
//! one that is there twice was done twice. APPEND answers the length that it made.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, reason = "a test")]

mod system;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use system::{Client, System, until};

const CLIENTS: usize = 8;
/// Commands that a client has under way at once.
const PIPELINE: usize = 16;
const KEYS: usize = 8;

/// What a client heard of one key: values in the order of its commands, and how many ended as unknown.
#[derive(Debug, Default, Clone)]
struct Heard {
    values: Vec<u64>,
    unknown: u64,
}

/// By key, of one client.
type History = BTreeMap<String, Heard>;

/// Loads the system until told to stop: one history for each client.
fn load(system: &System, keys: &[String], stop: &AtomicBool, done: &AtomicU64) -> Vec<History> {
    std::thread::scope(|scope| {
        let client = |index: usize| {
            let at = system.serves;
            scope.spawn(move || {
                let mut client = Client::connect(at).unwrap().patient();
                let mut history = History::new();
                let own = format!("log{index}");
                for round in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    one_round(&mut client, keys, &own, index + round, &mut history);
                    done.fetch_add(PIPELINE as u64, Ordering::Relaxed);
                }
                history
            })
        };
        let clients: Vec<_> = (0..CLIENTS).map(client).collect();
        clients.into_iter().map(|it| it.join().unwrap()).collect()
    })
}

/// Says all commands at once, then hears all answers.
fn one_round(client: &mut Client, keys: &[String], own: &str, turn: usize, history: &mut History) {
    let mut said = String::new();
    let key = |at: usize| match at % 4 {
        3 => own,
        _ => keys[(turn + at) % keys.len()].as_str(),
    };
    for at in 0..PIPELINE {
        let _ = match at % 4 {
            3 => write!(said, "APPEND {own} x\r\n"),
            _ => write!(said, "INCR {}\r\n", key(at)),
        };
    }
    client.say(said.trim_end()).unwrap();
    for at in 0..PIPELINE {
        let answer = client.hear().unwrap();
        let heard = history.entry(key(at).to_owned()).or_default();
        match answer.strip_prefix(':').and_then(|it| it.parse().ok()) {
            Some(value) => heard.values.push(value),
            None if answer.contains("outcome is unknown") => heard.unknown += 1,
            None => panic!("{}: {answer}", key(at)),
        }
    }
}

/// Runs a load, does something beside it, lets it go on for a while, and gives what the clients heard.
fn beside_load(
    system: &mut System,
    keys: &[String],
    act: impl FnOnce(&mut System, &dyn Fn()),
) -> Vec<History> {
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    // Clients need only know where it serves.
    let shown = System { processes: BTreeMap::new(), folder: system::Folder::new(), ..*system };
    std::thread::scope(|scope| {
        let loaded = scope.spawn(|| load(&shown, keys, &stop, &done));
        let progress = || {
            let until_then = done.load(Ordering::Relaxed) + (20 * CLIENTS * PIPELINE) as u64;
            until("the load to go on", || {
                assert!(!loaded.is_finished(), "a client has ended");
                done.load(Ordering::Relaxed) > until_then
            });
        };
        progress();
        act(system, &progress);
        progress();
        stop.store(true, Ordering::Relaxed);
        loaded.join().unwrap()
    })
}

/// All that clients heard of one key.
fn of_key<'a>(histories: &'a [History], key: &'a str) -> impl Iterator<Item = &'a Heard> {
    histories.iter().filter_map(move |history| history.get(key))
}

/// What a key of one life says must be all the numbers from 1 on, each once, and in order for each client.
#[track_caller]
fn check_whole(histories: &[History], key: &str, now: u64) {
    let mut all = Vec::new();
    for heard in of_key(histories, key) {
        assert_eq!(heard.unknown, 0, "{key}");
        assert!(heard.values.is_sorted_by(|one, next| one < next), "{key}: out of order");
        all.extend_from_slice(&heard.values);
    }
    all.sort_unstable();
    assert!(all.iter().copied().eq(1..=all.len() as u64), "{key}: lost or twice: {all:?}");
    assert_eq!(now, all.len() as u64, "{key}");
}

fn now(client: &mut Client, key: &str) -> u64 {
    match key.starts_with("log") {
        true => client.ask(&format!("STRLEN {key}")).unwrap()[1..].parse().unwrap(),
        false => client.ask(&format!("GET {key}")).unwrap().parse().unwrap_or(0),
    }
}

fn keys() -> (Vec<String>, Vec<String>) {
    let keys: Vec<String> = (0..KEYS).map(|index| format!("count{index}")).collect();
    let logs = (0..CLIENTS).map(|index| format!("log{index}"));
    (keys.clone(), keys.into_iter().chain(logs).collect())
}

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
    kill_under_load(System::start_by("shm"));
}

#[test]
fn so_it_is_by_the_kernel() {
    kill_under_load(System::start_by("kernel"));
}

fn kill_under_load(mut system: System) {
    let (counters, all) = keys();
    let histories = beside_load(&mut system, &counters, |system, progress| {
        system.kill("b");
        std::thread::sleep(Duration::from_millis(100));
        system.start_box("b");
        until("a second life of its shard", || {
            system.look(&["tree"]).is_ok_and(|tree| tree.contains("in b.0 as kvs/shard1:2, "))
        });
        progress();
    });
    let mut client = system.client();
    let is_there = |key: &&String| daedal::Point::of(key.as_str()).0 < 1 << 63;
    let (there, here): (Vec<_>, Vec<_>) = all.iter().partition(is_there);
    assert!(!there.is_empty() && !here.is_empty());
    for key in here {
        check_whole(&histories, key, now(&mut client, key));
    }
    for key in there {
        check_lives(&histories, key, now(&mut client, key));
    }
}

/// Of a key whose agent had two lives: in each, no number twice, and no more of them than were asked for.
#[track_caller]
fn check_lives(histories: &[History], key: &str, now: u64) {
    let mut lives = [BTreeSet::new(), BTreeSet::new()];
    let mut unknown = 0;
    for heard in of_key(histories, key) {
        unknown += heard.unknown;
        let (mut life, mut before) = (0, 0);
        for &value in &heard.values {
            if value <= before {
                life += 1;
                assert!(life < 2, "{key}: a third life: {:?}", heard.values);
            }
            assert!(lives[life].insert(value), "{key}: {value} twice in one life");
            before = value;
        }
    }
    // A client that heard nothing of the first life counts the second as its first: so both together.
    let [first, second] = &lives;
    let heard = (first.len() + second.len()) as u64;
    let reached = second.last().copied().unwrap_or(0);
    assert!(now >= reached, "{key}: {now} is less than {reached}, which was heard");
    assert!(now <= heard + unknown, "{key}: {now} of {heard} heard and {unknown} unknown");
    let highest = first.last().copied().unwrap_or(0);
    assert!(highest + now <= heard + unknown, "{key}: {highest} and {now}, {heard} + {unknown}");
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
