//! An interface that goes down under load and comes up: nothing is lost, nothing is done twice.

use crate::pair;
use crate::system::load::{beside_load, check_whole, keys, now};
use crate::system::{System, until};

/// Of either end, one after the other: who has it is refused by the kernel, who has not sends into nothing.
#[test]
fn while_an_interface_is_down_messages_wait_and_then_each_is_done_once() {
    let Some(lab) = pair("kernel") else { return };
    let mut system = System::stated_between(lab).by("kernel");
    for name in ["controller", "a", "b"] {
        system.start_box_with(name, &["--metrics", "127.0.0.1:0"]);
    }
    system.await_service();
    let (counters, all) = keys();
    let histories = beside_load(&mut system, &counters, |system, progress| {
        for end in [1, 0] {
            let lab = system.lab.as_ref().unwrap();
            let repeated = || system.metrics("a").sample("packets_repeated_total", 0);
            lab.ip(&format!("-n {{{end}}} link set lab down")).unwrap();
            let before = repeated();
            until("what is lost to be sent again, in vain", || repeated() >= before + 3);
            lab.ip(&format!("-n {{{end}}} link set lab up")).unwrap();
            progress();
        }
    });
    assert!(system.metrics("a").sample("frames_refused_total", 0) > 0);
    let mut client = system.client();
    for key in &all {
        check_whole(&histories, key, now(&mut client, key));
    }
}
