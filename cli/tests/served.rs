//! A system of real processes as its users see it: clients, and the commands that show it.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, reason = "a test")]

mod system;
use std::io::Write;
use std::net::TcpStream;

use system::{System, until};

#[test]
fn a_store_on_two_boxes_serves_clients_and_shows_itself() {
    let system = System::start();
    let mut client = system.client();
    for index in 0..20 {
        assert_eq!(client.ask(&format!("SET key{index} value{index}")).unwrap(), "+OK");
    }
    for index in 0..20 {
        assert_eq!(client.ask(&format!("GET key{index}")).unwrap(), format!("value{index}"));
    }
    assert_eq!(client.ask("DBSIZE").unwrap(), ":20");
    let tree = system.look(&["tree"]).unwrap();
    for part in ["in a.0 as gateway, ", "in b.0 as kvs/shard1, ", "in a.0 as kvs/shard2, "] {
        assert!(tree.contains(part), "{tree}");
    }
    let routes = system.look(&["routes"]).unwrap();
    for part in ["kvs  pick by point of kvs/shard1, kvs/shard2  (epoch ", "to kvs/shard1 in b.0"] {
        assert!(routes.contains(part), "{routes}");
    }
    let boxes = system.look(&["boxes"]).unwrap();
    for (name, address) in [("a  box 1", system.boxes[0]), ("b  box 2", system.boxes[1])] {
        assert!(boxes.contains(&format!("{name}  {address}  1 reactor")), "{boxes}");
    }
    let state = system.look(&["state", "kvs"]).unwrap();
    for part in ["put together from 2 agents in one cut", "with its cause", "values: 20 keys: key"]
    {
        assert!(state.contains(part), "{state}");
    }
}

#[test]
fn the_state_of_one_shard_is_shown_by_its_path() {
    let system = System::start();
    let mut client = system.client();
    for index in 0..20 {
        assert_eq!(client.ask(&format!("SET key{index} value{index}")).unwrap(), "+OK");
    }
    let keys = |path: &str| {
        let state = system.look(&["state", path]).unwrap();
        assert!(state.starts_with(&format!("{path}, captured between two of its tran")), "{state}");
        let (before, _) = state.split_once(" keys: key").unwrap();
        before.rsplit(' ').next().unwrap().parse::<usize>().unwrap()
    };
    let (first, second) = (keys("kvs/shard1"), keys("kvs/shard2"));
    assert_eq!(first + second, 20);
    let why = system.look(&["state", "gateway"]).unwrap_err();
    assert!(why.contains("gateway is a shim: it has no state to capture"), "{why}");
}

#[test]
fn a_client_that_leaves_in_the_middle_of_a_command_changes_nothing() {
    let system = System::start();
    let parts = [
        "*",
        "*3\r\n",
        "*3\r\n$3\r\nSET\r\n$4\r\nhalf\r",
        "*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$100000\r\nnot all of it",
        "SET half done",
        "SET whole 1\r\n*2\r\n$3\r\nGET\r\n$5\r\nwho",
    ];
    for part in parts.into_iter().cycle().take(200) {
        TcpStream::connect(system.serves).unwrap().write_all(part.as_bytes()).unwrap();
    }
    let mut client = system.client();
    until("whole commands are done all the same", || client.ask("GET whole").unwrap() == "1");
    assert_eq!(client.ask("GET half").unwrap(), "$-1");
    assert_eq!(client.ask("DBSIZE").unwrap(), ":1");
    assert!(system.look(&["tree"]).unwrap().contains("in a.0 as gateway, "));
}

#[test]
fn a_state_is_not_shown_without_one_of_its_parts() {
    let mut system = System::stated();
    system.start_box("controller");
    system.start_box("a");
    until("the first box's shard", || {
        system.look(&["tree"]).is_ok_and(|tree| tree.contains("in a.0 as kvs/shard2, "))
    });
    let why = system.look(&["state", "kvs"]).unwrap_err();
    assert!(why.contains("kvs/shard1 does not run now; `daedal tree` shows why"), "{why}");
    assert!(system.look(&["tree"]).unwrap().contains("waits for box b"));
    assert!(system.look(&["state", "kvs/shard2"]).is_ok());
}
