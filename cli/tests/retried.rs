//! What could not be done at first and is done later: a gateway whose port is taken, a box that comes back at
//! another port.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, reason = "a test")]

mod system;

use std::net::TcpListener;

use system::{Process, System, free_address, until};

#[test]
fn a_gateway_whose_port_is_given_up_serves() {
    let mut system = System::stated();
    let holder = TcpListener::bind(system.serves).unwrap();
    for name in ["controller", "a", "b"] {
        system.start_box(name);
    }
    let told = format!("cannot listen on {}", system.serves);
    until("the tree to say why, and when it is tried again", || {
        system.look(&["tree"]).is_ok_and(|tree| {
            let line = tree.lines().find(|line| line.contains("gateway")).unwrap();
            line.contains(&format!("failed in a: {told}")) && line.contains("; tried again in ")
        })
    });
    drop(holder);
    system.await_service();
    let tree = system.look(&["tree"]).unwrap();
    assert!(!tree.contains("failed"), "{tree}");
    let said = system.processes["a"].said();
    assert_eq!(said.matches(&told).count(), 1, "{said}");
    assert!(said.contains("or stop who has it; it is tried again"), "{said}");
}

#[test]
fn a_gateway_that_is_told_something_wrong_is_not_tried_again() {
    let mut system = System::stated();
    let text = system.text().replace("listen = ", "clients = 0\nlisten = ");
    system.folder.write("system.toml", &text);
    system.start_box("controller");
    system.start_box("a");
    let told = "failed in a: clients = \"0\" is no number from 1 to 16384; not tried again until its box starts anew";
    until("the tree to say so", || system.look(&["tree"]).is_ok_and(|tree| tree.contains(told)));
}

#[test]
fn a_box_that_comes_back_at_another_port_is_found_there() {
    let mut system = System::start();
    let mut client = system.client();
    let set = |client: &mut system::Client| {
        (0..20).all(|index| {
            client.ask(&format!("SET key{index} {index}")).is_ok_and(|answer| answer == "+OK")
        })
    };
    assert!(set(&mut client));
    for _ in 0..2 {
        system.processes["b"].interrupt();
        assert!(system.processes.get_mut("b").unwrap().await_end().success());
        system.boxes[1] = free_address();
        system.folder.write("system.toml", &system.text());
        // While it is away, and after it came back, there are messages for it.
        let mut waits = system.client().patient();
        (0..20).for_each(|index| waits.say(&format!("SET key{index} {index}")).unwrap());
        system.start_box("b");
        until("all keys can be set", || set(&mut system.client()));
        for _ in 0..20 {
            let answer = waits.hear().unwrap();
            assert!(answer == "+OK" || answer.contains("outcome is unknown"), "{answer}");
        }
    }
    let boxes = system.look(&["boxes"]).unwrap();
    assert!(boxes.contains(&format!("b  box 2  {}  1 reactor", system.boxes[1])), "{boxes}");
    let state = system.look(&["state", "kvs"]).unwrap();
    assert!(state.contains("values: 20 keys: key"), "{state}");
}

#[test]
fn a_box_that_was_killed_and_comes_back_elsewhere_is_told_what_to_do() {
    let mut system = System::start();
    let was = system.boxes[1];
    system.kill("b");
    let second = free_address();
    let text = system.text().replacen(&was.to_string(), &second.to_string(), 1);
    system.folder.write("second.toml", &text);
    let why = system.folder.refused(&["box", "b", "--system", "second.toml"]);
    assert!(
        why.contains("if that one has crashed, start this one at its address once")
            || why.contains("if it has crashed, start this one at its address once"),
        "{why}"
    );
    // As it was told: at its address once, then elsewhere.
    system.start_box("b");
    system.processes["b"].await_words("box \"b\" is part of the system");
    system.processes["b"].interrupt();
    assert!(system.processes.get_mut("b").unwrap().await_end().success());
    system.boxes[1] = second;
    system.folder.write("system.toml", &text);
    system.start_box("b");
    until("all keys can be set", || {
        let mut client = system.client();
        (0..20).all(|index| client.ask(&format!("SET key{index} 1")).is_ok_and(|it| it == "+OK"))
    });
}

/// It is refused for now, and goes through when all shards run.
#[test]
fn a_reshard_that_cannot_be_done_for_now_says_what_it_waits_for_and_is_done() {
    let mut system = System::stated_together();
    system.start_box("controller");
    system.start_box("a");
    let words = ["reshard", "kvs", "3", "--system", "system.toml"];
    let command = Process::start(&system.folder, &words);
    command.await_words("kvs waits: kvs/shard");
    system.start_box("b");
    command.await_words("kvs has 3 shards now");
}
