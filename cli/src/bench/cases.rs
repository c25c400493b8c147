//! All that is measured: each case beside its baselines, and what it needs of the machine.

#![expect(clippy::disallowed_methods, reason = "says when a round was measured")]

use std::time::{Instant, SystemTime};

use anyhow::{Result, anyhow};
use daedal_lab::Lab;

use super::bar::Bar::{self, AtLeast, AtMost, PlusNs};
use super::baseline::{Baselines, Name};
use super::figure::Found;
use super::report::{Beside, Head, Measured, Round, Rounds};
use super::{Scenario, cpu, cross, curve, dpdk, kvs, local, many, remote};
use crate::say::note;

/// How many rounds are taken at most, for each that is to count: the placement that mixes them changes
/// every few minutes.
const TRIES_PER_ROUND: usize = 4;

/// All that carry messages in some case.
pub const DRIVERS: [&str; 7] =
    ["none", "kernel", "shm", "xdp:generic", "xdp:native", "dpdk:memif", "dpdk:virtio_user"];

/// Something that is measured beside its baselines.
pub struct Case {
    /// What it is part of.
    pub scenario: Scenario,
    /// What carries the messages; `none` where nothing has to.
    pub driver: &'static str,
    what: What,
}

enum What {
    /// One figure of ours, beside those of some programs.
    Messages {
        metric: &'static str,
        unit: &'static str,
        baselines: &'static [(Name, Option<Bar>)],
        ours: fn() -> Found,
    },
    /// The most that is answered, and times at parts of it, beside those of a program that is told the rate behind.
    Load { baseline: Name, ours: fn(Option<u64>) -> Found },
    /// A store, whose clients have so many requests outstanding.
    Store { pipeline: u16 },
}

/// In the order in which they are measured.
pub fn cases() -> Vec<Case> {
    let case = |scenario, driver, metric, baselines, ours| {
        let unit = if metric == "tell" { "messages/s" } else { "ns" };
        Case { scenario, driver, what: What::Messages { metric, unit, baselines, ours } }
    };
    let each = |unit, baselines, ours| {
        let what = What::Messages { metric: "each", unit, baselines, ours };
        Case { scenario: Scenario::Local, driver: "none", what }
    };
    let load = |driver, baseline, ours| {
        let what = What::Load { baseline, ours };
        Case { scenario: Scenario::Load, driver, what }
    };
    // Over the Ethernet, and under load, theirs have as many bytes as a frame of ours: 22 of its link and 64 of its message, and the body.
    let mut cases = vec![
        case(
            Scenario::Local,
            "none",
            "tell",
            &[
                ("peers tokio-tell", Some(AtLeast(3.0))),
                ("peers actix-tell", Some(AtLeast(3.0))),
                ("peers glommio-tell", Some(AtLeast(3.0))),
                ("peers kameo-tell", None),
                ("peers ractor-tell", None),
            ],
            local::tell,
        ),
        case(
            Scenario::Local,
            "none",
            "ask",
            &[
                ("peers tokio-ask", Some(AtMost(0.4))),
                ("peers actix-ask", Some(AtMost(0.4))),
                ("peers glommio-ask", Some(AtMost(0.4))),
                ("peers kameo-ask", None),
                ("peers ractor-ask", None),
            ],
            local::ask,
        ),
        each("ns", &[("peers actix-each-ns", None)], many::ns),
        each("bytes", &[("peers actix-each-bytes", None)], many::bytes),
        case(
            Scenario::Cross,
            "none",
            "tell",
            &[("raw ring-tell 64 64", Some(AtLeast(0.5))), ("aeron ipc-tell", Some(AtLeast(1.2)))],
            cross::tell,
        ),
        case(
            Scenario::Cross,
            "none",
            "ask",
            &[("raw ring-ask 64", Some(PlusNs(120.0)))],
            cross::ask,
        ),
        case(
            Scenario::Remote,
            "kernel",
            "tell",
            &[("raw udp-tell", Some(AtLeast(20.0))), ("aeron udp-tell", Some(AtLeast(2.0)))],
            remote::tell,
        ),
        case(
            Scenario::Remote,
            "kernel",
            "ask",
            &[
                ("raw udp-ask 64", None),
                ("aeron udp-ask", Some(AtMost(1.0))),
                ("peers tonic-ask", None),
            ],
            remote::ask,
        ),
        case(
            Scenario::Shm,
            "shm",
            "ask",
            &[
                ("raw shm-ask 64", None),
                ("raw shm-ask 160", Some(PlusNs(300.0))),
                ("peers iceoryx2-ask", Some(AtMost(1.0))),
                ("aeron ipc-ask", None),
            ],
            remote::ask_by_shm,
        ),
        case(Scenario::Shm, "shm", "tell", &[("raw ring-tell 64", None)], remote::tell_by_shm),
        case(
            Scenario::Xdp,
            "xdp:generic",
            "ask",
            &[("raw xdp-generic-ask 150", Some(AtMost(1.15)))],
            remote::ask_by_xdp_generic,
        ),
        case(
            Scenario::Xdp,
            "xdp:native",
            "ask",
            &[("raw xdp-native-ask 150", Some(AtMost(1.15)))],
            remote::ask_by_xdp_native,
        ),
        case(
            Scenario::Xdp,
            "kernel",
            "ask",
            &[("raw veth-udp-ask 150", Some(AtMost(1.12)))],
            remote::ask_by_kernel,
        ),
        case(
            Scenario::Dpdk,
            "dpdk:memif",
            "ask",
            &[("raw-dpdk memif-ask 150", Some(PlusNs(350.0)))],
            dpdk::ask_by_memif,
        ),
        case(
            Scenario::Dpdk,
            "dpdk:virtio_user",
            "ask",
            &[("raw-dpdk virtio-ask 150", Some(PlusNs(350.0)))],
            dpdk::ask_by_virtio_user,
        ),
        case(
            Scenario::Dpdk,
            "dpdk:virtio_user",
            "tell",
            &[("raw-dpdk virtio-tell", Some(AtLeast(2.0)))],
            dpdk::tell_by_virtio_user,
        ),
        load("kernel", "raw udp-load 150", remote::load),
        load("shm", "raw shm-load 160", remote::load_by_shm),
        load("xdp:generic", "raw xdp-generic-load 150", remote::load_by_xdp_generic),
        load("xdp:native", "raw xdp-native-load 150", remote::load_by_xdp_native),
    ];
    let store = |pipeline, driver| {
        let what = What::Store { pipeline };
        Case { scenario: Scenario::Kvs, driver, what }
    };
    cases.extend(kvs::PIPELINES.map(|pipeline| store(pipeline, "none")));
    // In two boxes.
    cases.extend(["kernel", "shm"].map(|driver| store(16, driver)));
    cases
}

impl Scenario {
    fn name(self) -> &'static str {
        match self {
            Scenario::All => "all",
            Scenario::Local => "local",
            Scenario::Cross => "cross",
            Scenario::Remote => "remote",
            Scenario::Shm => "shm",
            Scenario::Xdp => "xdp",
            Scenario::Dpdk => "dpdk",
            Scenario::Load => "load",
            Scenario::Kvs => "kvs",
        }
    }
}

impl Case {
    /// What this machine lacks for it, if it does: for people.
    pub fn lacks(&self) -> Option<String> {
        let two_processors = || cpu::on(1, || Ok(()));
        let has = match (self.scenario, self.driver) {
            (Scenario::Local, _) => cpu::on(0, || Ok(())),
            (Scenario::Dpdk, _) => two_processors().and_then(|()| dpdk::is_in_this_build()),
            (Scenario::Kvs, _) => two_processors().and_then(|()| kvs::find_load().map(drop)),
            (Scenario::Xdp, _) | (_, "xdp:generic" | "xdp:native") => {
                two_processors().and_then(|()| Lab::pair().map(drop))
            }
            _ => two_processors(),
        };
        has.err()
    }

    /// So many rounds that count, if there are.
    /// # Errors
    /// What ours or a baseline says that fails.
    pub fn measure(&self, baselines: Option<&Baselines>, count: usize) -> Result<Measured> {
        let name = self.name();
        let mut rounds = Rounds::default();
        while rounds.counted.len() < count && rounds.mixed.len() < count * (TRIES_PER_ROUND - 1) {
            note!("{name}: round {} of {count}", rounds.counted.len() + 1);
            let round = self.round(baselines)?;
            let kind = if round.is_mixed() { &mut rounds.mixed } else { &mut rounds.counted };
            kind.push(round);
        }
        let (scenario, driver) = (self.scenario.name(), self.driver);
        Ok(Measured { scenario, driver, heads: self.heads(), rounds })
    }

    /// What it is called, for people.
    pub fn name(&self) -> String {
        let what = match self.what {
            What::Messages { metric, unit, .. } => format!("{metric}, {unit}"),
            What::Load { .. } => "curve".to_owned(),
            What::Store { pipeline } => format!("-P {pipeline}"),
        };
        match self.driver {
            "none" => format!("{} {what}", self.scenario.name()),
            driver => format!("{} by {driver} {what}", self.scenario.name()),
        }
    }

    /// What each of its rows is about.
    pub fn heads(&self) -> Vec<Head> {
        match self.what {
            What::Messages { metric, unit, baselines, .. } => {
                let head = |(name, bar): &(Name, Option<Bar>)| Head {
                    metric,
                    unit,
                    load_percent: None,
                    baseline_name: name.to_string(),
                    bar: *bar,
                };
                baselines.iter().map(head).collect()
            }
            What::Load { baseline, .. } => curve::heads(baseline),
            What::Store { pipeline } => kvs::heads(pipeline, self.driver),
        }
    }

    fn round(&self, baselines: Option<&Baselines>) -> Result<Round> {
        let (start, clock) = (SystemTime::now(), Instant::now());
        let before = baselines.map(Baselines::bounce_ns).transpose()?;
        let pairs = match self.what {
            What::Messages { baselines: names, ours, .. } => beside(baselines, names, ours)?,
            What::Load { baseline, ours } => curve::pairs(ours, baselines, baseline)?,
            What::Store { pipeline } => {
                kvs::pairs(pipeline, self.driver).map_err(|why| anyhow!(why))?
            }
        };
        let after = baselines.map(Baselines::bounce_ns).transpose()?;
        let bounces_ns = before.zip(after).map(|(before, after)| [before, after]);
        Ok(Round { start, lasted: clock.elapsed(), pairs, bounces_ns })
    }
}

fn beside(
    baselines: Option<&Baselines>,
    names: &[(Name, Option<Bar>)],
    ours: fn() -> Found,
) -> Result<Vec<Beside>> {
    let ours = ours().map_err(|why| anyhow!(why))?;
    let theirs = |name| baselines.map(|it| it.run(name)).transpose().map(Option::flatten);
    names.iter().map(|(name, _)| Ok(Beside { ours: ours.clone(), theirs: theirs(name)? })).collect()
}
