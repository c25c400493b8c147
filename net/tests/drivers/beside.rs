//! Shared memory beside AF_XDP: each peer is reached by the fastest way that there is to it.

use daedal_net::driver::Driver;
use daedal_net::driver::shm::{Options, Shm};
use daedal_net::driver::xdp::Attach::Generic;
use daedal_net::driver::xdp::Xdp;

use crate::peer::Peer;
use crate::places::{KernelPlace, Place};
use crate::promises::converse;
use crate::shm::SLOTS;
use crate::xdp::{XdpPlace, ways, with};

/// The next driver at the first end.
fn start(place: &mut XdpPlace) -> Peer<Shm<Xdp>> {
    let bind = (place.ends[0], 0).into();
    let xdp = place.start(Some(bind));
    // Names are those of its namespace.
    place.lab.within(0, || Peer::of(Shm::beside(xdp, SLOTS, Options::default()).unwrap()))
}

#[test]
fn who_is_on_this_host_is_reached_by_a_ring_who_is_not_by_xdp_and_all_others_by_the_kernel() {
    with(XdpPlace::v4(Generic), |place| {
        let mut a = start(place);
        let mut far = Peer::start(place, None);
        let mut near = start(place);
        place.lab.within(0, || {
            let mut other = Peer::start(&mut KernelPlace { ip: "10.0.0.1", offload: true }, None);
            converse(&mut a, &mut far, 100);
            converse(&mut a, &mut near, 100);
            assert_eq!((ways(&a), ways(&far), ways(&near)), ([400, 0], [200, 0], [200, 0]));
            let mode = a.driver.mode();
            let expect = "shm (rings from 1 peer, to 1; aside: xdp (lab queue 0, generic, copy; aside: kernel (gso";
            assert!(mode.starts_with(expect), "{mode}");
            converse(&mut a, &mut other, 100);
            assert_eq!(ways(&a), [400, 200]);
        });
        a.assert_nothing_on_loan();
    });
}

#[test]
fn when_the_interface_goes_who_is_on_this_host_is_reached_as_before() {
    with(XdpPlace::v4(Generic), |place| {
        let (mut a, mut far) = (start(place), Peer::start(place, None));
        let mut near = start(place);
        place.lab.within(0, || {
            converse(&mut a, &mut far, 10);
            converse(&mut a, &mut near, 10);
            place.lab.ip("-n {0} link delete lab").unwrap();
            assert!(a.queue(far.address(), 1, 64));
            a.transmit();
            converse(&mut a, &mut near, 100);
            assert!(a.driver.mode().contains("gone: all goes aside"), "{}", a.driver.mode());
        });
    });
}
