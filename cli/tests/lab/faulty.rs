//! Boxes whose frames are lost, doubled and overtaken under load, by memory that they share and by DPDK: each command is
//! done once. By sockets and past the kernel the same is shown in `lab.rs`.

use crate::FAULTS;
use crate::system::System;
use crate::system::load::{beside_load, check_whole, keys, now};

fn check(mut system: System) {
    for (seed, name) in ["controller", "a", "b"].into_iter().enumerate() {
        system.start_box_with(name, &["--faults", &format!("{FAULTS}{seed}")]);
    }
    system.await_service();
    let (counters, all) = keys();
    let histories = beside_load(&mut system, &counters, |_, progress| progress());
    let mut client = system.client().patient();
    for key in &all {
        check_whole(&histories, key, now(&mut client, key));
    }
}

#[test]
fn by_shared_memory_that_loses_doubles_and_reorders_each_command_is_done_once() {
    check(System::stated().by("shm"));
}

#[cfg(feature = "dpdk")]
#[test]
fn by_dpdk_that_loses_doubles_and_reorders_each_command_is_done_once() {
    let Some(lab) = crate::pair("dpdk") else { return };
    check(crate::by_af_packet(System::stated_between(lab)));
}
