//! All that is measured, in the order in which it is: each beside its baselines, and with its bar where one is set.

use super::Scenario::{self, Batches, Cross, Kvs, Load, Local, Phases, Remote, Sizes};
use super::bar::Bar::{self, AtLeast, AtMost, PlusNs};
use super::case::Ours::{self, Here, Longer, Two, TwoBy};
use super::case::{Case, Measure, What, ask, measure, stream, tell};
use super::phases::{Part, Way};
use super::remote::Work;
use super::{cross, kvs, local, many, pairs};

/// All that carry messages in some case.
pub const DRIVERS: [&str; 7] =
    ["none", "kernel", "shm", "xdp:generic", "xdp:native", "dpdk:memif", "dpdk:virtio_user"];

const ASK: Work = Work::ASK;
const TELL: Work = Work::TELL;
const PARKING: Work = Work { parks: true, ..ASK };
const SEALED: Work = Work { is_sealed: true, ..ASK };

/// Bytes of a message.
const SIZES: [usize; 7] = [16, 64, 256, 1024, 4096, 16_384, 65_536];
/// Messages that are told a turn.
const BATCHES: [u16; 6] = [1, 2, 4, 8, 16, 32];

/// How two processes are joined, and the programs that do the same by the same means.
struct Wire {
    driver: &'static str,
    is_over_ethernet: bool,
    /// Messages one way: it takes their bytes, and how many go together.
    tell: &'static str,
    /// Round trips by a schedule, of frames that have as many bytes as ours: it takes the rate.
    load: &'static str,
}

const WIRES: [Wire; 6] = [
    Wire::new("kernel", "raw udp-tell", "raw udp-load 150"),
    Wire::new("shm", "raw shm-tell", "raw shm-load 160"),
    Wire::new("xdp:generic", "raw xdp-generic-tell", "raw xdp-generic-load 150").over_ethernet(),
    Wire::new("xdp:native", "raw xdp-native-tell", "raw xdp-native-load 150").over_ethernet(),
    Wire::new("dpdk:memif", "raw-dpdk memif-tell", "raw-dpdk memif-load 150"),
    Wire::new("dpdk:virtio_user", "raw-dpdk virtio-tell", "raw-dpdk virtio-load 150"),
];

impl Wire {
    const fn new(driver: &'static str, tell: &'static str, load: &'static str) -> Wire {
        Wire { driver, is_over_ethernet: false, tell, load }
    }

    const fn over_ethernet(self) -> Wire {
        Wire { is_over_ethernet: true, ..self }
    }

    fn work(&self, work: Work) -> Work {
        Work { is_over_ethernet: self.is_over_ethernet, ..work }
    }

    /// What is measured of every driver, beside round trips and messages one way.
    fn remote(&self) -> Vec<Measure> {
        let fan_in = self.work(Work { senders: 16, ..TELL });
        let [many, one] = [pairs::MANY, 1].map(|count| Two(self.work(Work::pairs(count))));
        vec![
            measure("fan-in", "messages/s", Two(fan_in)).beside_ours(
                "daedal: tell",
                Two(self.work(TELL)),
                None,
            ),
            measure("pairs", "asks/s", many).beside_ours("daedal: one pair", one, None),
        ]
    }

    /// One way by size of messages: a figure for each.
    fn sizes(&self) -> What {
        let of = |bytes| Two(self.work(Work { bytes: Some(bytes), ..TELL }));
        let tell = |bytes| tell(of(bytes)).beside(format!("{} {bytes}", self.tell), None);
        What::Measures(SIZES.map(tell).into())
    }

    /// One way by how many messages go together.
    fn batches(&self) -> What {
        let of = |batch| Two(self.work(Work { batch: Some(batch), ..TELL }));
        let tell = |batch| tell(of(batch)).beside(format!("{} 64 {batch}", self.tell), None);
        What::Measures(BATCHES.map(tell).into())
    }

    fn load(&self) -> What {
        What::Load { ours: self.work(Work::LOAD), baseline: self.load }
    }
}

/// Where round trips are over the Ethernet, and under load, theirs have as many bytes as a frame of ours: 22 of its
/// link and 64 of its message, and the body.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(in_one_process());
    for wire in WIRES {
        cases.extend(each(Remote, wire.driver, by(wire.driver)));
        cases.extend(each(Remote, wire.driver, wire.remote()));
    }
    cases.extend(phases());
    let large = Work { bytes: Some(65_536), ..TELL }.over_ethernet();
    let large = stream(Two(large)).beside("raw veth-tcp-tell 65536", AtLeast(1.0));
    cases.extend(each(Sizes, "kernel", vec![large]));
    let of_wires = |scenario, what: fn(&Wire) -> What| {
        WIRES.map(|wire| Case { scenario, driver: wire.driver, what: what(&wire) })
    };
    cases.extend(of_wires(Sizes, Wire::sizes));
    cases.extend(of_wires(Batches, Wire::batches));
    cases.extend(of_wires(Load, Wire::load));
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
            // The lines that a message takes by itself; behind another it takes fewer.
            .beside("raw ring-tell 128 64", AtLeast(0.5))
            .beside("aeron ipc-tell", AtLeast(1.2)),
        ask(Here(cross::ask)).beside("raw ring-ask 8", PlusNs(120.0)),
        measure("pairs", "asks/s", Here(cross::many_pairs)).beside_ours(
            "daedal: one pair",
            Here(cross::one_pair),
            None,
        ),
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
        measure("veth ask", "ns", Two(ASK.over_ethernet()))
            .beside("raw veth-udp-ask 150", AtMost(1.12)),
        measure("balanced", "ns", Two(PARKING)).beside("raw udp-blocking-ask 64", AtMost(1.1)),
        measure("parked", "ns", Two(Work { rest_us: 200, ..PARKING }))
            .beside("raw udp-blocking-ask 64 200", AtMost(1.1)),
        measure("sealed", "ns", Two(SEALED)).beside_ours("daedal: ask", Two(ASK), None),
        // No more than the unsealed ask, and 1.3 times what the library takes for the records of two frames.
        measure("sealing", "ns", Longer(SEALED, ASK)).beside("raw seal 128", AtMost(1.3)),
    ]
}

fn by_shm() -> Vec<Measure> {
    vec![
        ask(Two(ASK))
            .beside("raw shm-ask 64", None)
            .beside("raw shm-ask 160", PlusNs(300.0))
            .beside("peers iceoryx2-ask", AtMost(1.0))
            .beside("aeron ipc-ask", None),
        tell(Two(TELL)).beside("raw shm-tell 64", None),
    ]
}

fn by_xdp(raw_ask: &str, raw_tell: &str, beside_kernel: Option<Bar>) -> Vec<Measure> {
    let by_kernel = TwoBy("kernel", ASK.over_ethernet());
    vec![
        ask(Two(ASK.over_ethernet())).beside(raw_ask, AtMost(1.15)).beside_ours(
            "daedal: by the kernel",
            by_kernel,
            beside_kernel,
        ),
        tell(Two(TELL.over_ethernet())).beside(raw_tell, AtLeast(8.0)),
    ]
}

/// Its frames are sent back as they came, which nobody needs to read, or read and written anew at both ends.
fn by_dpdk(raw_ask: &str) -> Measure {
    let written = format!("{raw_ask} 150 written");
    ask(Two(ASK)).beside(format!("{raw_ask} 150"), PlusNs(350.0)).beside(written, None)
}

/// Round trips and messages one way.
fn by(driver: &str) -> Vec<Measure> {
    match driver {
        "kernel" => by_kernel(),
        "shm" => by_shm(),
        "xdp:generic" => {
            by_xdp("raw xdp-generic-ask 150", "raw xdp-generic-tell 64", Some(AtMost(0.6)))
        }
        "xdp:native" => by_xdp("raw xdp-native-ask 150", "raw xdp-native-tell 64", None),
        "dpdk:memif" => {
            vec![by_dpdk("raw-dpdk memif-ask"), tell(Two(TELL)).beside("raw-dpdk memif-tell", None)]
        }
        _ => vec![
            by_dpdk("raw-dpdk virtio-ask"),
            tell(Two(TELL)).beside("raw-dpdk virtio-tell", AtLeast(2.0)),
        ],
    }
}

/// What each phase of a message's turns takes, beside all of them.
fn phases() -> impl Iterator<Item = Case> {
    let of = |way, driver, names: &[(&'static str, Part)]| {
        let measures = names.iter().map(|&(name, part)| {
            measure(name, "ns", Ours::Phases(way, part)).beside_ours(
                "daedal: all phases",
                Ours::Phases(way, Part::Whole),
                None,
            )
        });
        Case { scenario: Phases, driver, what: What::Measures(measures.collect()) }
    };
    let local =
        of(Way::Local, "none", &[("local: write", Part::Write), ("local: receive", Part::Receive)]);
    let ring = of(
        Way::Ring,
        "none",
        &[
            ("ring: write", Part::Write),
            ("ring: send", Part::Send),
            ("ring: receive", Part::Receive),
            ("ring: acknowledge", Part::Acknowledge),
        ],
    );
    let by = move |driver| {
        let names = [
            ("phase: write", Part::Write),
            ("phase: send", Part::Send),
            ("phase: receive", Part::Receive),
            ("phase: acknowledge", Part::Acknowledge),
        ];
        of(Way::Driver, driver, &names)
    };
    // Both ends are of one process, in which memif's threads do not live with each other (DPDK 22.11).
    let drivers = WIRES.map(|wire| wire.driver).into_iter().filter(|it| *it != "dpdk:memif");
    [local, ring].into_iter().chain(drivers.map(by))
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
