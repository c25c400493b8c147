//! A system of real processes as its users see it: clients, and the commands that show it.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, reason = "a test")]

mod system;
use system::System;

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
        assert!(boxes.contains(&format!("{name}  {address}  1 reactors")), "{boxes}");
    }
    let state = system.look(&["state", "kvs"]).unwrap();
    for part in ["put together from 2 agents", "not one cut across all", "values: 20 keys: key"] {
        assert!(state.contains(part), "{state}");
    }
}
