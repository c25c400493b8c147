//! Processes of a running system that are killed, and come back (issue: kill -9 of a box, and of the
//! controller under load).

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, reason = "a test")]

mod system;
use std::fs;

use system::{Client, System, until};

/// A key of the shard in box `b`, and one of that in box `a`, both set.
fn keys(client: &mut Client) -> (String, String) {
    let keys: Vec<String> = (0..20).map(|index| format!("key{index}")).collect();
    for key in &keys {
        assert_eq!(client.ask(&format!("SET {key} before")).unwrap(), "+OK");
    }
    let is_lower = |key: &String| daedal::Point::of(key.as_str()).0 < 1 << 63;
    let (there, here): (Vec<_>, Vec<_>) = keys.into_iter().partition(is_lower);
    (there[0].clone(), here[0].clone())
}

#[test]
fn a_killed_box_comes_back_while_the_others_go_on() {
    let mut system = System::start();
    let mut client = system.client();
    let (there, here) = keys(&mut client);
    system.kill("b");
    let mut waits = system.client();
    waits.say(&format!("SET {there} under-way")).unwrap();
    for index in 0..20 {
        assert_eq!(client.ask(&format!("SET {here} {index}")).unwrap(), "+OK");
        assert_eq!(client.ask(&format!("GET {here}")).unwrap(), index.to_string());
    }
    system.start_box("b");
    until("a second life of the shard", || {
        system.look(&["tree"]).is_ok_and(|tree| tree.contains("in b.0 as kvs/shard1:2, "))
    });
    let answer = waits.hear().unwrap();
    assert!(answer == "+OK" || answer.contains("outcome is unknown"), "{answer}");
    until("its keys can be set", || {
        let mut client = system.client();
        client.ask(&format!("SET {there} after")).is_ok_and(|answer| answer == "+OK")
    });
    assert_eq!(system.client().ask(&format!("GET {there}")).unwrap(), "after");
    assert_eq!(client.ask(&format!("GET {here}")).unwrap(), "19");
}

/// More than what one destination may have waiting before its sender is held back.
const FLOOD: usize = 8_000;

#[test]
fn who_floods_a_box_that_is_away_holds_nobody_else_up() {
    let mut system = System::start();
    let mut client = system.client();
    let (there, here) = keys(&mut client);
    system.kill("b");
    let mut floods: Vec<Client> = (0..8).map(|_| system.client()).collect();
    for flood in &mut floods {
        (0..FLOOD / 8).for_each(|_| flood.say(&format!("SET {there} flood")).unwrap());
    }
    for index in 0..100 {
        assert_eq!(client.ask(&format!("SET {here} {index}")).unwrap(), "+OK");
    }
    system.start_box("b");
    for flood in &mut floods {
        for _ in 0..FLOOD / 8 {
            let answer = flood.hear().unwrap();
            assert!(answer == "+OK" || answer.contains("outcome is unknown"), "{answer}");
        }
    }
    assert_eq!(client.ask(&format!("GET {there}")).unwrap(), "flood");
}

/// Highest space and epoch ever given out.
fn journal(system: &System) -> Vec<u64> {
    let text = fs::read_to_string(system.folder.path().join("journal")).unwrap();
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

#[test]
fn a_killed_controller_learns_the_system_again_while_data_flows() {
    let mut system = System::start();
    let mut client = system.client();
    let (there, here) = keys(&mut client);
    let (tree, before) = (system.look(&["tree"]).unwrap(), journal(&system));
    system.kill("controller");
    for index in 0..50 {
        for key in [&there, &here] {
            assert_eq!(client.ask(&format!("SET {key} {index}")).unwrap(), "+OK");
        }
    }
    system.start_box("controller");
    until("the same tree", || {
        for key in [&there, &here] {
            assert_eq!(client.ask(&format!("GET {key}")).unwrap(), "49");
        }
        system.look(&["tree"]).is_ok_and(|again| again == tree)
    });
    let after = journal(&system);
    assert_eq!(after.len(), 2);
    assert!(
        before.iter().zip(&after).all(|(before, after)| before < after),
        "{before:?} {after:?}"
    );
}

#[test]
fn a_box_that_is_told_to_end_takes_its_leave_and_may_come_back() {
    let mut system = System::start();
    let mut client = system.client();
    let (there, here) = keys(&mut client);
    system.processes["b"].interrupt();
    assert!(system.processes.get_mut("b").unwrap().await_end().success());
    let tree = system.look(&["tree"]).unwrap();
    assert!(tree.contains("waits for box b"), "{tree}");
    let boxes = system.look(&["boxes"]).unwrap();
    assert!(boxes.contains("b  box 2  has not reported, or has ended"), "{boxes}");
    assert_eq!(client.ask(&format!("GET {here}")).unwrap(), "before");
    system.start_box("b");
    until("its keys can be set", || {
        let mut client = system.client();
        client.ask(&format!("SET {there} after")).is_ok_and(|answer| answer == "+OK")
    });
}

#[test]
fn a_controller_that_is_told_to_end_is_not_asked_any_more() {
    let mut system = System::start();
    let tree = system.folder.daedal(&["tree"]).output().unwrap();
    assert!(tree.status.success());
    system.processes["controller"].terminate();
    assert!(system.processes.get_mut("controller").unwrap().await_end().success());
    let why = system.folder.refused(&["tree"]);
    assert!(why.starts_with("no system was started by you on this host"), "{why}");
    assert_eq!(system.client().ask("SET key value").unwrap(), "+OK");
}
