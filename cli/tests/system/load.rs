//! Clients at once, each with many commands under way, and their histories checked.
//!
//! INCR answers how often it was done, so that among all answers of a counter one that is missing was lost, and
//! one that is there twice was done twice. APPEND answers the length that it made.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::{Client, System, until};

const CLIENTS: usize = 8;
/// Commands that a client has under way at once.
const PIPELINE: usize = 16;
const KEYS: usize = 8;

/// What a client heard of one key: values in the order of its commands, and how many ended as unknown.
#[derive(Debug, Default, Clone)]
pub struct Heard {
    values: Vec<u64>,
    unknown: u64,
}

/// By key, of one client.
pub type History = BTreeMap<String, Heard>;

/// Loads the system until told to stop: one history for each client.
fn load(
    clients: Vec<Client>,
    keys: &[String],
    stop: &AtomicBool,
    done: &AtomicU64,
) -> Vec<History> {
    std::thread::scope(|scope| {
        let load = |(index, mut client): (usize, Client)| {
            scope.spawn(move || {
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
        let clients: Vec<_> = clients.into_iter().enumerate().map(load).collect();
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
pub fn beside_load(
    system: &mut System,
    keys: &[String],
    act: impl FnOnce(&mut System, &dyn Fn()),
) -> Vec<History> {
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let clients = (0..CLIENTS).map(|_| system.client().patient()).collect();
    std::thread::scope(|scope| {
        let loaded = scope.spawn(|| load(clients, keys, &stop, &done));
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
pub fn check_whole(histories: &[History], key: &str, now: u64) {
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

/// What a key's value says that it counts.
pub fn now(client: &mut Client, key: &str) -> u64 {
    match key.starts_with("log") {
        true => client.ask(&format!("STRLEN {key}")).unwrap()[1..].parse().unwrap(),
        false => client.ask(&format!("GET {key}")).unwrap().parse().unwrap_or(0),
    }
}

/// Counters, and all keys of a load.
pub fn keys() -> (Vec<String>, Vec<String>) {
    let keys: Vec<String> = (0..KEYS).map(|index| format!("count{index}")).collect();
    let logs = (0..CLIENTS).map(|index| format!("log{index}"));
    (keys.clone(), keys.into_iter().chain(logs).collect())
}

/// kill -9 of box `b`, and a start, beside a load: nothing of the other box's is lost, nothing is done twice.
pub fn kill_under_load(system: &mut System) {
    let (counters, all) = keys();
    let histories = beside_load(system, &counters, |system, progress| {
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
