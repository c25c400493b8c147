//! What the kernel counts of a box's AF_XDP sockets (`XDP_STATISTICS`) is among the metrics of the box.

use crate::pair;
use crate::system::{Metrics, System, until};

const XDP: [&str; 6] = [
    "xdp_receive_dropped_total",
    "xdp_receive_wrong_total",
    "xdp_send_wrong_total",
    "xdp_receive_full_total",
    "xdp_fill_empty_total",
    "xdp_send_empty_total",
];

fn started(driver: &str) -> Option<System> {
    let mut system = System::stated_between(pair(driver)?).by(driver);
    for name in ["controller", "a", "b"] {
        system.start_box_with(name, &["--metrics", "127.0.0.1:0"]);
    }
    system.await_service();
    Some(system)
}

/// Datagrams that no box sent, from the first host to box `b`, more than any ring has room for.
fn flood(system: &System) {
    let lab = system.lab.as_ref().unwrap();
    let socket = lab.within(0, || std::net::UdpSocket::bind("10.0.0.1:0").unwrap());
    for _ in 0..10_000 {
        // The kernel may be out of room: then it was enough.
        let _ = socket.send_to(&[0; 64], system.boxes[1]);
    }
}

#[test]
fn what_a_box_had_no_room_for_while_it_stood_still_the_kernel_counted_and_its_metrics_say() {
    let Some(system) = started("xdp") else { return };
    let lost = |metrics: &Metrics| XDP[..5].iter().map(|it| metrics.sample(it, 0)).sum::<u64>();
    let before = system.metrics("b");
    assert_eq!(lost(&before), 0);
    // Each call has it look until nothing is left.
    assert!(before.sample("xdp_send_empty_total", 0) > 0);
    system.processes["b"].hold();
    flood(&system);
    system.processes["b"].go_on();
    until("its metrics to say so", || lost(&system.metrics("b")) > 1000);
    system.await_service();
}

#[test]
fn by_another_driver_there_is_nothing_of_it_to_count() {
    let Some(system) = started("kernel") else { return };
    for name in XDP {
        assert_eq!(system.metrics("b").sample(name, 0), 0, "{name}");
    }
}
