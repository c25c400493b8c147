//! A box of two reactors past the kernel: a queue of its interface each, agents on both, and all of them are reached from
//! another box, by whichever queue a frame came.

use daedal_lab::{Lab, PAIR, required};

use crate::system::System;

/// Two hosts, whose interfaces have two queues each.
fn pair(driver: &str) -> Option<Lab> {
    let queues = "numtxqueues 2 numrxqueues 2";
    let script = PAIR.replace("type veth", &format!("{queues} type veth"));
    let script = script.replace("netns {1}\n", &format!("netns {{1}} {queues}\n"));
    required(driver, Lab::new(2, &script))
}

/// Both shards in box `b`, which has two reactors.
fn stated(lab: Lab) -> System {
    let system = System::stated_between(lab);
    let system = system.rewritten("apart = [\"shard\"]\n", "box = \"b\"\n");
    system.rewritten("[box.b]\n", "[box.b]\nreactors = 2\n")
}

/// `modes`: how each reactor of `b` says that it runs.
fn check(mut system: System, modes: [&str; 2]) {
    for name in ["controller", "a", "b"] {
        system.start_box_with(name, &["--metrics", "127.0.0.1:0"]);
    }
    system.await_service();
    let boxes = system.look(&["boxes"]).unwrap();
    modes.iter().for_each(|mode| assert!(boxes.contains(mode), "{mode} in\n{boxes}"));
    let tree = system.look(&["tree"]).unwrap();
    for place in ["in b.0 as kvs/shard", "in b.1 as kvs/shard"] {
        assert!(tree.contains(place), "{place} in\n{tree}");
    }
    let before = system.metrics("b");
    let mut client = system.client();
    for index in 0..200 {
        assert_eq!(client.ask(&format!("SET key{index} {index}")).unwrap(), "+OK");
    }
    for index in 0..200 {
        assert_eq!(client.ask(&format!("GET key{index}")).unwrap(), index.to_string());
    }
    let after = system.metrics("b");
    for reactor in [0, 1] {
        let grew = |field| after.sample(field, reactor) - before.sample(field, reactor);
        let [delivered, received] = ["delivered_total", "frames_received_total"].map(grew);
        assert!(delivered > 100 && received > 50, "b.{reactor}: {delivered}, {received}");
    }
}

#[test]
fn agents_on_two_reactors_past_the_kernel_are_reached_from_another_box() {
    for attach in ["native", "generic"] {
        let Some(lab) = pair("xdp") else { return };
        let modes = [0, 1].map(|it| format!("b.{it}  xdp (lab queue {it}, {attach}"));
        let system = stated(lab).by(&format!("xdp:{attach}"));
        check(system, modes.each_ref().map(String::as_str));
    }
}

#[cfg(feature = "dpdk")]
#[test]
fn agents_on_two_reactors_by_dpdk_are_reached_from_another_box() {
    const DEVICE: &str = "net_af_packet0,iface=lab,qpairs=2 mac=02:00:00:00:00:22 --no-huge -m 256";
    let Some(lab) = pair("dpdk") else { return };
    let system = crate::by_dpdk(stated(lab), DEVICE);
    let modes =
        [0, 1].map(|it| format!("b.{it}  dpdk (net_af_packet0 by net_af_packet, queue {it}"));
    check(system, modes.each_ref().map(String::as_str));
}
