//! What every driver owes, tested on each of them, and what each owes besides. A driver passes by handing a
//! [`Place`](places::Place) to the `conformance!` macro.
//!
//! One that cannot run here says `skipped: what, why`; it fails, if the environment's `DAEDAL_REQUIRE_DRIVERS` names
//! it.

#![expect(clippy::unwrap_used, reason = "tests")]

mod beside;
#[cfg(feature = "dpdk")]
mod dpdk;
mod faulty;
mod filled;
mod hostile;
mod kernel;
mod peer;
mod places;
mod promises;
mod reached;
mod refused;
mod shm;
mod shm_hostile;
mod xdp;
mod zero_copy;

use daedal_lab::required;
use daedal_net::driver::xdp::Attach::{Generic, Native};
#[cfg(feature = "dpdk")]
use dpdk::DpdkPlace;
use places::{FaultPlace, PcapPlace, has_ipv6, plain, sim, v4, v6};
use xdp::XdpPlace;

macro_rules! conformance {
    ($name:ident, $driver:literal, $place:expr) => {
        mod $name {
            use super::*;
            conformance!(@tests $driver, $place;
                bursts_arrive_whole_and_unaltered,
                mixed_sizes_and_addresses_arrive_where_they_should,
                the_largest_payload_arrives_in_large_trains,
                exhausted_receive_buffers_give_fewer_frames_and_never_block,
                an_exhausted_send_pool_refills_when_frames_leave,
                a_flooded_peer_loses_frames_but_neither_side_stops,
                a_peer_that_restarts_on_its_port_is_reached_again,
                conversations_begin_and_end_without_a_loss,
                a_peer_that_restarts_in_a_conversation_is_reached_again,
                trains_in_the_middle_of_a_conversation_arrive_whole,
                a_datagram_starts_at_42_mod_64,
                no_frame_leaks_in_many);
        }
    };
    (@tests $driver:literal, $place:expr; $($test:ident),*) => {
        $(#[test]
        fn $test() {
            if let Some(mut place) = required($driver, $place) {
                promises::$test(&mut place);
            }
        })*
    };
}

/// What takes long, at one place of each driver.
macro_rules! at_length {
    ($name:ident, $driver:literal, $place:expr) => {
        mod $name {
            use super::*;
            conformance!(@tests $driver, $place; no_frame_leaks_in_a_million);
        }
    };
}

at_length!(kernel_at_length, "kernel", Ok(v4()));
at_length!(xdp_at_length, "xdp", XdpPlace::v4(Generic));
at_length!(shm_at_length, "shm", Ok(shm::v4()));
#[cfg(feature = "dpdk")]
at_length!(dpdk_at_length, "dpdk", DpdkPlace::v4());

conformance!(kernel_v4, "kernel", Ok(v4()));
conformance!(kernel_v6, "kernel", has_ipv6().map(|()| v6()));
conformance!(kernel_without_offload, "kernel", Ok(plain()));
conformance!(fault_over_kernel, "kernel", Ok(FaultPlace(v4())));
conformance!(pcap_over_kernel, "kernel", Ok(PcapPlace(v4())));
conformance!(simulated, "sim", Ok(sim()));
conformance!(xdp_generic_v4, "xdp", XdpPlace::v4(Generic));
conformance!(xdp_generic_v6, "xdp", XdpPlace::v6(Generic));
conformance!(xdp_native_v4, "xdp", XdpPlace::v4(Native));
conformance!(xdp_native_v6, "xdp", XdpPlace::v6(Native));
conformance!(fault_over_xdp, "xdp", XdpPlace::v4(Generic).map(FaultPlace));
conformance!(pcap_over_xdp, "xdp", XdpPlace::v4(Generic).map(PcapPlace));
conformance!(shm_v4, "shm", Ok(shm::v4()));
conformance!(shm_v6, "shm", has_ipv6().map(|()| shm::v6()));
conformance!(shm_copied, "shm", Ok(shm::copied()));
conformance!(fault_over_shm, "shm", Ok(FaultPlace(shm::v4())));
conformance!(pcap_over_shm, "shm", Ok(PcapPlace(shm::v4())));
#[cfg(feature = "dpdk")]
conformance!(dpdk_ring_v4, "dpdk", DpdkPlace::v4());
#[cfg(feature = "dpdk")]
conformance!(dpdk_ring_v6, "dpdk", DpdkPlace::v6());
#[cfg(feature = "dpdk")]
conformance!(fault_over_dpdk, "dpdk", DpdkPlace::v4().map(FaultPlace));
#[cfg(feature = "dpdk")]
conformance!(pcap_over_dpdk, "dpdk", DpdkPlace::v4().map(PcapPlace));
