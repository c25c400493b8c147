//! Boxes of one host over memory that they share: a system of real processes answers, says which way it went, and goes
//! on when one of them is killed.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, reason = "a test")]

mod system;

use system::{System, until};

fn set_all(system: &System, value: &str) -> bool {
    let mut client = system.client();
    (0..20).all(|index| {
        client.ask(&format!("SET key{index} {value}")).is_ok_and(|answer| answer == "+OK")
    })
}

/// Each with the other: the controller's driver is the kernel's.
fn both_share(system: &System) -> bool {
    let boxes = system.look(&["boxes"]).unwrap_or_default();
    boxes.matches("shm (rings from 1 peer, to 1; aside: kernel").count() == 2
}

#[test]
fn boxes_that_share_memory_say_so_and_one_that_is_killed_comes_back() {
    let mut system = System::start_by("shm");
    assert!(set_all(&system, "before"));
    until("both boxes to share memory", || both_share(&system));

    system.kill("b");
    system.start_box("b");
    until("its keys can be set again", || set_all(&system, "after"));
    let mut client = system.client();
    for index in 0..20 {
        assert_eq!(client.ask(&format!("GET key{index}")).unwrap(), "after");
    }
    until("both boxes to share memory again", || both_share(&system));
}
