//! What keeps a DPDK driver from starting, and what is said then.

use daedal_net::driver::dpdk::{Config, Dpdk, Options, Port, Problem};
use daedal_net::driver::{Driver, DriverError};

use super::{DpdkPlace, EAL, with};
use crate::places::Place;

fn options(device: &str) -> Options {
    format!("{device} {EAL}").parse().unwrap()
}

#[test]
fn what_keeps_a_driver_from_its_queue_is_said_with_its_remedy() {
    with(DpdkPlace::v4(), |place| {
        let taken = place.start(None);
        let port = place.port(place.ip(1), 1);
        let any = Config::new("10.0.0.1:0".parse().unwrap(), 0, &port);
        let check = |config: Config, expect: &str| {
            let error = Dpdk::start(&port, &config).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        check(any.clone(), ": queue 0 is taken by another reactor of this process");
        check(Config { queue: 1, ..any.clone() }, ": it has 1 queues, and each reactor needs one");
        check(Config { frames: 0, ..any.clone() }, "frames is 0; choose from 1 to 1048576");
        check(
            Config { payload_bytes_max: 1488, ..any.clone() },
            "payload_bytes_max is 1488; choose from 64 to 1472, a multiple of 16",
        );
        check(
            Config { bind: "10.0.0.9:0".parse().unwrap(), ..any.clone() },
            ": its address is 10.0.0.1; a box has one address a port",
        );
        let error = Dpdk::start(&port, &Config { bind: taken.address(), ..any.clone() });
        assert!(matches!(error, Err(DriverError::PortTaken { .. })));
        check(Config { frames: 1 << 20, ..any }, ": DPDK has no memory for ");
    });
}

#[test]
fn what_keeps_a_port_from_serving_is_said_with_its_remedy() {
    with(DpdkPlace::v4(), |place| {
        let ip = place.ip(1);
        let open = |options, reactors| Port::open(ip, options, reactors, 8).unwrap_err();
        let error = open(options("net_nothing0"), 1);
        let text = error.to_string();
        assert!(
            text.starts_with("driver dpdk at 10.0.0.1, device net_nothing0: there is no such"),
            "{text}"
        );
        let DriverError::Dpdk { problem, .. } = error else { panic!("{text}") };
        assert!(matches!(*problem, Problem::NoDevice { .. }));

        let device = place.switch.borrow_mut().plug([2; 6], 1);
        let text = open(options(&device), 200).to_string();
        assert!(text.contains(" queues, and each reactor needs one; give the box "), "{text}");

        let other = "net_null7 --no-huge -m 64".parse().unwrap();
        let text = open(other, 1).to_string();
        assert!(text.contains("DPDK runs in this process with `--no-huge -m 512`, and was asked for with `--no-huge -m 64`"), "{text}");
    });
}

#[test]
fn a_port_that_was_closed_is_opened_again() {
    with(DpdkPlace::v4(), |place| {
        for _ in 0..40 {
            drop(Port::open(place.ip(1), options("net_null3"), 1, 8).unwrap());
        }
    });
}
