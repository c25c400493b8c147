//! kill -9 of a box in the middle of a load, and its coming back, past the kernel: what the kernel has of it (its
//! program, its rings, what lies in them) goes with it, and the link to it goes on. By sockets and by shared memory the
//! same is shown in `loaded.rs`.

use crate::pair;
use crate::system::System;
use crate::system::load::kill_under_load;

fn by(driver: &str) {
    let Some(lab) = pair("xdp") else { return };
    let mut system = System::stated_between(lab).by(driver).started();
    let is_past_the_kernel = |system: &System| {
        system.look(&["boxes"]).unwrap().matches("  xdp (lab queue 0, ").count() == 2
    };
    assert!(is_past_the_kernel(&system));
    kill_under_load(&mut system);
    assert!(is_past_the_kernel(&system));
}

#[test]
fn a_box_that_is_killed_under_load_comes_back_past_the_kernel_and_nothing_is_done_twice() {
    by("xdp:native");
}

#[test]
fn so_it_is_where_the_program_sits_in_the_kernels_stack() {
    by("xdp:generic");
}
