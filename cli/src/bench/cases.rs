//! All that is measured, in the order in which it is: each beside its baselines, and with its bar where one is set.

use super::Scenario::{self, Cross, Dpdk, Kvs, Load, Local, Remote, Shm, Sizes, Xdp};
use super::bar::Bar::{AtLeast, AtMost, PlusNs};
use super::baseline::Name;
use super::case::Ours::{Here, Longer, Two};
use super::case::{Case, Measure, What, ask, measure, stream, tell};
use super::figure::Found;
use super::remote::Work;
use super::{cross, kvs, local, many, pairs, phases};

/// All that carry messages in some case.
pub const DRIVERS: [&str; 7] =
    ["none", "kernel", "shm", "xdp:generic", "xdp:native", "dpdk:memif", "dpdk:virtio_user"];

const ASK: Work = Work::ASK;
const TELL: Work = Work::TELL;
const LOAD: Work = Work::LOAD;
const PARKING: Work = Work { parks: true, ..ASK };
const SEALED: Work = Work { is_sealed: true, ..ASK };

/// Bytes of a message.
const SIZES: [usize; 7] = [16, 64, 256, 1024, 4096, 16_384, 65_536];

/// Where round trips are over the Ethernet, and under load, theirs have as many bytes as a frame of ours: 22 of its
/// link and 64 of its message, and the body.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(in_one_process());
    cases.extend(each(Remote, "kernel", by_kernel()));
    cases.extend(each(Remote, "kernel", by_phase()));
    cases.extend(each(Shm, "shm", by_shm()));
    cases.extend(over_ethernet());
    cases.extend(by_dpdk());
    cases.extend(sizes());
    cases.extend([
        load("kernel", LOAD, "raw udp-load 150"),
        load("shm", LOAD, "raw shm-load 160"),
        load("xdp:generic", LOAD.over_ethernet(), "raw xdp-generic-load 150"),
        load("xdp:native", LOAD.over_ethernet(), "raw xdp-native-load 150"),
    ]);
    let store = |pipeline, driver| {
        let what = What::Store { pipeline };
        Case { scenario: Kvs, driver, what }
    };
    cases.extend(kvs::PIPELINES.map(|pipeline| store(pipeline, "none")));
    // In two boxes.
    cases.extend(["kernel", "shm"].map(|driver| store(16, driver)));
    cases
}

fn in_one_process() -> impl Iterator<Item = Case> {
    let local = vec![
        tell(Here(local::tell))
            .beside("peers tokio-tell", AtLeast(3.0))
            .beside("peers actix-tell", AtLeast(3.0))
            .beside("peers glommio-tell", AtLeast(3.0))
            .beside("peers kameo-tell", None)
            .beside("peers ractor-tell", None),
        ask(Here(local::ask))
            .beside("peers tokio-ask", AtMost(0.4))
            .beside("peers actix-ask", AtMost(0.4))
            .beside("peers glommio-ask", AtMost(0.4))
            .beside("peers kameo-ask", None)
            .beside("peers ractor-ask", None),
        measure("each", "ns", Here(many::ns)).beside("peers actix-each-ns", None),
        measure("each", "bytes", Here(many::bytes)).beside("peers actix-each-bytes", None),
        measure("merged", "ns", Here(local::merged)).beside_ours(
            "daedal: three asks",
            Here(local::three_asks),
            AtMost(1.2),
        ),
        measure("pairs", "asks/s", Here(pairs::many))
            .beside_ours("daedal: one pair", Here(pairs::one), None)
            .beside("peers tokio-pairs", None)
            .beside("peers actix-pairs", None),
    ];
    let cross = vec![
        tell(Here(cross::tell))
            .beside("raw ring-tell 64 64", None)
            // The lines that a message and its header take.
            .beside("raw ring-tell 128 64", AtLeast(0.5))
            .beside("aeron ipc-tell", AtLeast(1.2)),
        ask(Here(cross::ask)).beside("raw ring-ask 64", PlusNs(120.0)),
    ];
    each(Local, "none", local).chain(each(Cross, "none", cross))
}

fn by_kernel() -> Vec<Measure> {
    vec![
        tell(Two(TELL))
            .beside("raw udp-tell", AtLeast(20.0))
            .beside("raw udp-gso-tell", AtLeast(0.6))
            .beside("aeron udp-tell", AtLeast(2.0)),
        ask(Two(ASK))
            .beside("raw udp-ask 64", None)
            .beside("aeron udp-ask", AtMost(1.0))
            .beside("peers tonic-ask", None),
        fan_in().beside("raw udp-gso-tell", None),
        measure("balanced", "ns", Two(PARKING)).beside("raw udp-blocking-ask 64", AtMost(1.1)),
        measure("parked", "ns", Two(Work { rest_us: 200, ..PARKING }))
            .beside("raw udp-blocking-ask 64 200", AtMost(1.1)),
        measure("sealed", "ns", Two(SEALED)).beside_ours("daedal: ask", Two(ASK), None),
        // No more than the unsealed ask, and 1.3 times what the library takes for the records of two frames.
        measure("sealing", "ns", Longer(SEALED, ASK)).beside("raw seal 128", AtMost(1.3)),
    ]
}

/// What each phase of a message's turns takes, beside both turns.
fn by_phase() -> Vec<Measure> {
    let phase = |metric, find: fn() -> Found| {
        measure(metric, "ns", Here(find)).beside_ours(
            "daedal: both turns",
            Here(phases::whole),
            None,
        )
    };
    vec![
        phase("phase: write", phases::writing),
        phase("phase: send", phases::sending),
        phase("phase: receive", phases::receiving),
        phase("phase: acknowledge", phases::acknowledging),
    ]
}

/// Several on one agent.
fn fan_in() -> Measure {
    let ours = Two(Work { senders: 16, ..TELL });
    measure("fan-in", "messages/s", ours).beside_ours("daedal: tell", Two(TELL), None)
}

fn by_shm() -> Vec<Measure> {
    vec![
        ask(Two(ASK))
            .beside("raw shm-ask 64", None)
            .beside("raw shm-ask 160", PlusNs(300.0))
            .beside("peers iceoryx2-ask", AtMost(1.0))
            .beside("aeron ipc-ask", None),
        tell(Two(TELL)).beside("raw ring-tell 64", None),
        fan_in().beside("raw ring-tell 64", None),
    ]
}

fn over_ethernet() -> impl Iterator<Item = Case> {
    let ask = || ask(Two(ASK.over_ethernet()));
    let tell = || tell(Two(TELL.over_ethernet()));
    let generic = vec![
        ask().beside("raw xdp-generic-ask 150", AtMost(1.15)),
        tell().beside("raw xdp-generic-tell 64", AtLeast(8.0)),
    ];
    let native = vec![
        ask().beside("raw xdp-native-ask 150", AtMost(1.15)),
        tell().beside("raw xdp-native-tell 64", AtLeast(8.0)),
    ];
    let kernel = vec![ask().beside("raw veth-udp-ask 150", AtMost(1.12))];
    each(Xdp, "xdp:generic", generic)
        .chain(each(Xdp, "xdp:native", native))
        .chain(each(Xdp, "kernel", kernel))
}

fn by_dpdk() -> impl Iterator<Item = Case> {
    let ask = || ask(Two(ASK));
    let memif = vec![ask().beside("raw-dpdk memif-ask 150", PlusNs(350.0))];
    let virtio_user = vec![
        ask().beside("raw-dpdk virtio-ask 150", PlusNs(350.0)),
        tell(Two(TELL)).beside("raw-dpdk virtio-tell", AtLeast(2.0)),
    ];
    each(Dpdk, "dpdk:memif", memif).chain(each(Dpdk, "dpdk:virtio_user", virtio_user))
}

/// Large messages as a stream; and one case for each driver, with a figure for each size.
fn sizes() -> impl Iterator<Item = Case> {
    let of = |bytes| Work { bytes: Some(bytes), ..TELL };
    let all = move |program: &str| {
        let tell = |bytes| tell(Two(of(bytes))).beside(format!("{program} {bytes}"), None);
        What::Measures(SIZES.map(tell).into())
    };
    let large = of(65_536).over_ethernet();
    let large = vec![stream(Two(large)).beside("raw veth-tcp-tell 65536", AtLeast(1.0))];
    each(Sizes, "kernel", large).chain([
        Case { scenario: Sizes, driver: "kernel", what: all("raw udp-tell") },
        Case { scenario: Sizes, driver: "shm", what: all("raw ring-tell") },
    ])
}

/// A case of each.
fn each(
    scenario: Scenario,
    driver: &'static str,
    measures: Vec<Measure>,
) -> impl Iterator<Item = Case> {
    let what = measures.into_iter().map(|measure| What::Measures(vec![measure]));
    what.map(move |what| Case { scenario, driver, what })
}

fn load(driver: &'static str, ours: Work, baseline: Name) -> Case {
    Case { scenario: Load, driver, what: What::Load { ours, baseline } }
}
