//! What keeps an AF_XDP driver from starting, and what is said then.

use std::net::SocketAddr;

use daedal_net::driver::xdp::Attach::{Generic, Native};
use daedal_net::driver::xdp::{Config, Interface, Options, Problem, Xdp};
use daedal_net::driver::{Driver, DriverError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::peer::{Peer, pair};
use crate::promises::converse;
use crate::xdp::{RING, XdpPlace, ways, with};

#[test]
fn what_keeps_a_driver_from_its_queue_is_said_with_its_remedy() {
    with(XdpPlace::v4(Generic), |place| {
        let taken = Peer::start(place, None);
        let any = place.config(SocketAddr::new(place.ends[0], 0), 1);
        let check = |config: Config, expect: &str| {
            let error = place.refused(&config);
            assert!(error.contains(expect), "{error}");
        };
        let interface = "driver xdp at 10.0.0.1, interface lab: ";
        check(Config { queue: 8, ..any.clone() }, &format!("{interface}it has no queue 8: each"));
        check(Config { queue: 0, ..any.clone() }, &format!("{interface}queue 0 is taken by"));
        check(
            Config { receive_ring: 100, ..any.clone() },
            &format!("{interface}receive_ring is 100; choose a power of two, such as 128"),
        );
        check(Config { send_ring: 8, ..any.clone() }, "send_ring is 8; choose from 16 to 32768");
        check(Config { queue: 1024, ..any.clone() }, "queue is 1024; choose from 0 to 1023");
        check(
            Config { receive_buffers: RING, ..any.clone() },
            "receive_buffers is 128; choose from 129 to 1048576",
        );
        check(
            Config { payload_bytes_max: 1488, ..any.clone() },
            "payload_bytes_max is 1488; choose from 64 to 1472, a multiple of 16",
        );
        let port = taken.address().port();
        check(
            Config { bind: taken.address(), ..any.clone() },
            &format!("port {port} of 10.0.0.1 is taken"),
        );
    });
}

#[test]
fn what_keeps_an_interface_from_serving_is_said_with_its_remedy() {
    with(XdpPlace::v4(Generic), |place| {
        let lab = &place.lab;
        let open = |ip: [u8; 4], attach| {
            let options = Options { attach, ..Options::default() };
            lab.within(0, || Interface::open(ip.into(), options))
        };
        let refused = |ip, attach| open(ip, attach).unwrap_err();
        for attach in [None, Some(Generic), Some(Native)] {
            let error = refused([10, 0, 0, 1], attach);
            let DriverError::Xdp { problem, .. } = &error else { panic!("{error}") };
            assert!(matches!(**problem, Problem::ProgramThere { program: Some(_), .. }), "{error}");
            assert!(error.to_string().contains("`ip link set dev lab xdp off`"), "{error}");
        }
        let error = refused([127, 0, 0, 1], None).to_string();
        assert!(
            error.starts_with("driver xdp at 127.0.0.1, interface lo: it is no Ethernet;"),
            "{error}"
        );
        let error = refused([240, 0, 0, 1], None);
        assert!(matches!(error, DriverError::AddressNotHere { .. }), "{error}");

        // It is gone with who had it; then there is room for another. None of veth's queues has zero-copy.
        let (ends, none) = (place.ends, Options::default());
        place.open(Options { zero_copy: true, ..none }).unwrap();
        let error = place.refused(&place.config(SocketAddr::new(ends[0], 0), 0));
        assert!(error.contains("has no zero-copy for queue 0; leave `zero-copy` out"), "{error}");
        place.open(none).unwrap();
        assert!(Peer::start(place, None).driver.mode().contains(", native, copy;"));
    });
}

#[test]
fn what_is_too_large_for_native_xdp_is_taken_generically_and_the_mode_says_why() {
    with(XdpPlace::v4(Generic), |place| {
        place.lab.ip("-n {0} link set lab mtu 9000\n-n {1} link set lab mtu 9000").unwrap();
        let native = Options { attach: Some(Native), ..Options::default() };
        let error = place.open(native).unwrap_err();
        assert!(error.contains("or a smaller MTU if that is why"), "{error}");
        place.open(Options::default()).unwrap();
        let (mut a, mut b) = pair(place);
        converse(&mut a, &mut b, 10);
        assert_eq!(ways(&a), [20, 0]);
        let mode = a.driver.mode();
        // ERANGE.
        let expect = "xdp (lab queue 0, generic (no native: Numerical result out of range";
        assert!(mode.starts_with(expect), "{mode}");
    });
}

/// Without these rights, which are a thread's: what it is granted it may lay down, and take up again.
fn without<T>(rights: CapabilitySet, run: impl FnOnce() -> T) -> T {
    let granted = rustix::thread::capabilities(None).unwrap();
    let effective = granted.effective.difference(rights);
    rustix::thread::set_capabilities(None, CapabilitySets { effective, ..granted }).unwrap();
    let result = run();
    rustix::thread::set_capabilities(None, granted).unwrap();
    result
}

#[test]
fn who_may_lock_too_little_memory_is_told_how_much_it_takes_and_with_just_that_starts_again_at_once()
 {
    with(XdpPlace::v4(Generic), |place| {
        let config = place.config(SocketAddr::new(place.ends[0], 0), 0);
        let interface = &place.interfaces[0];
        let bytes = (config.frames + config.receive_buffers) as u64 * 2048;
        let start = |may_lock: u64| {
            // Others of this process may lock all the same, as they have the right to.
            let before = getrlimit(Resource::Memlock);
            setrlimit(Resource::Memlock, Rlimit { current: Some(may_lock), ..before }).unwrap();
            let start = || Xdp::start(interface, &config).map_err(|it| it.to_string());
            let started = place.lab.within(0, || without(CapabilitySet::IPC_LOCK, start));
            setrlimit(Resource::Memlock, before).unwrap();
            started
        };
        let error = start(bytes - 1).unwrap_err();
        let expect = format!(
            "driver xdp at 10.0.0.1, interface lab: its buffers, {bytes} bytes, cannot be locked in memory; \
             `ulimit -l {}` before it is started",
            bytes / 1024
        );
        assert!(error.starts_with(&expect), "{error}");
        // The kernel lets go of what a socket had when it has closed it.
        for _ in 0..50 {
            drop(start(bytes).unwrap());
        }
    });
}

#[test]
fn who_may_not_is_told_which_rights_it_takes() {
    with(XdpPlace::v4(Generic), |place| {
        place.interfaces.clear();
        let open = || {
            let open = || Interface::open([10, 0, 0, 1].into(), Options::default());
            let opened = place.lab.within(0, || without(CapabilitySet::all(), open));
            opened.unwrap_err().to_string()
        };
        let error = open();
        assert!(
            error.contains(
                "BPF_MAP_CREATE: this process may not; start it as root or grant `setcap"
            ),
            "{error}"
        );
    });
}
