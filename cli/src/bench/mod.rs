//! `daedal bench`: what messages cost, beside what the machine and other frameworks take for the same.
//!
//! Ours and theirs alternate within a round, and the cache-line bounce is taken around each: on virtual
//! machines it changes by a factor of three from minute to minute, and every figure between two
//! processors with it. Nothing here is set otherwise than a user would set it.

mod agents;
mod baseline;
mod cpu;
mod cross;
mod kvs;
mod local;
mod many;
mod reactors;
mod remote;
mod report;

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use clap::{Args, ValueEnum};

use self::agents::Found;
use self::baseline::{Baselines, Name};
use self::remote::Pair;
use self::report::{Beside, Head, Round, Rounds, Row, render, row};
use crate::say::{self, note};

/// What `daedal bench` takes.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What to measure
    #[arg(required_unless_present = "second", value_name = "SCENARIO")]
    scenarios: Vec<Scenario>,
    /// Rounds that count, ours and the baselines in turn; up to three times as many more are taken in
    /// place of those during which the machine changed
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// File for the result, as a JSON array
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// What the second process of `remote` is told
    #[arg(long, hide = true)]
    second: Option<Pair>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Two agents of one reactor; and what one of a million takes there that has handled one message
    Local,
    /// Two reactors of one box, spinning
    Cross,
    /// Two processes over kernel sockets, spinning
    Remote,
    /// Two processes over memory that they share, spinning
    Shm,
    /// Two processes in two network namespaces over a virtual Ethernet, spinning: past the kernel, and by it; as root
    Xdp,
    /// A store in one box with one reactor, under redis-benchmark (50 clients, 64 bytes) beside
    /// redis-server, both sleeping when idle (the box is `balanced`): `tell` is its rate, `cpu` the
    /// server's processor time a request. Which row is which stands in the baseline's name, as in
    /// `redis-server SET -P 16`
    Kvs,
}

/// How many rounds are taken at most, for each that is to count: the placement that mixes them changes
/// every few minutes.
const TRIES_PER_ROUND: usize = 4;

/// Something that is measured beside its baselines.
struct Case {
    scenario: Scenario,
    driver: &'static str,
    what: What,
}

enum What {
    /// One figure of ours, beside those of some programs.
    Messages {
        metric: &'static str,
        unit: &'static str,
        baselines: &'static [Name],
        ours: fn() -> Found,
    },
    /// A store, whose clients have so many requests outstanding.
    Store { pipeline: u16 },
}

fn cases() -> Vec<Case> {
    let case = |scenario, driver, metric, baselines, ours| {
        let unit = if metric == "tell" { "messages/s" } else { "ns" };
        Case { scenario, driver, what: What::Messages { metric, unit, baselines, ours } }
    };
    let each = |unit, baselines, ours| {
        let what = What::Messages { metric: "each", unit, baselines, ours };
        Case { scenario: Scenario::Local, driver: "none", what }
    };
    // Over the Ethernet theirs have as many bytes as a frame of ours: 22 of its link and 64 of its message, and the body.
    let mut cases = vec![
        case(
            Scenario::Local,
            "none",
            "tell",
            &["peers tokio-tell", "peers actix-tell"],
            local::tell,
        ),
        case(Scenario::Local, "none", "ask", &["peers tokio-ask", "peers actix-ask"], local::ask),
        each("ns", &["peers actix-each-ns"], many::ns),
        each("bytes", &["peers actix-each-bytes"], many::bytes),
        case(Scenario::Cross, "none", "ask", &["raw ring-ask 64"], cross::ask),
        case(Scenario::Remote, "kernel", "tell", &["raw udp-tell"], remote::tell),
        case(Scenario::Remote, "kernel", "ask", &["raw udp-ask 64"], remote::ask),
        case(
            Scenario::Shm,
            "shm",
            "ask",
            &["raw shm-ask 64", "raw shm-ask 160", "peers iceoryx2-ask"],
            remote::ask_by_shm,
        ),
        case(Scenario::Shm, "shm", "tell", &["raw ring-tell 64"], remote::tell_by_shm),
        case(
            Scenario::Xdp,
            "xdp:generic",
            "ask",
            &["raw xdp-generic-ask 150"],
            remote::ask_by_xdp_generic,
        ),
        case(
            Scenario::Xdp,
            "xdp:native",
            "ask",
            &["raw xdp-native-ask 150"],
            remote::ask_by_xdp_native,
        ),
        case(Scenario::Xdp, "kernel", "ask", &["raw veth-udp-ask 150"], remote::ask_by_kernel),
    ];
    let store =
        |pipeline| Case { scenario: Scenario::Kvs, driver: "none", what: What::Store { pipeline } };
    cases.extend(kvs::PIPELINES.map(store));
    cases
}

impl Scenario {
    fn name(self) -> &'static str {
        match self {
            Scenario::Local => "local",
            Scenario::Cross => "cross",
            Scenario::Remote => "remote",
            Scenario::Shm => "shm",
            Scenario::Xdp => "xdp",
            Scenario::Kvs => "kvs",
        }
    }
}

/// Measures, and prints what was found.
pub fn run(arguments: &Arguments) -> Result<()> {
    if let Some(pair) = &arguments.second {
        return remote::second(pair).map_err(|why| anyhow!(why));
    }
    let baselines = Baselines::build()?;
    if baselines.is_none() {
        note!(
            "no baselines: they are built from benches/, which is in no directory above this one; \
             run this in a checkout of daedal"
        );
    }
    if let Some(why) =
        kvs::lacks_baseline().filter(|_| arguments.scenarios.contains(&Scenario::Kvs))
    {
        note!("{why}");
    }
    let mut rows = Vec::new();
    for case in cases().iter().filter(|case| arguments.scenarios.contains(&case.scenario)) {
        rows.extend(case.measure(baselines.as_ref(), arguments.rounds.into())?);
    }
    if let Some(file) = &arguments.json {
        let text = serde_json::to_string_pretty(&rows)?;
        std::fs::write(file, text + "\n")
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    say::print(format_args!("{}", render(&rows)))
}

impl Case {
    fn measure(&self, baselines: Option<&Baselines>, count: usize) -> Result<Vec<Row>> {
        let (name, heads) = (self.name(), self.heads());
        let mut rounds = Rounds::default();
        while rounds.counted.len() < count && rounds.mixed < count * (TRIES_PER_ROUND - 1) {
            note!("{name}: round {} of {count}", rounds.counted.len() + 1);
            let round = self.round(baselines).with_context(|| name.clone())?;
            if round.is_mixed() {
                rounds.mixed += 1;
            } else {
                rounds.counted.push(round);
            }
        }
        let of = (self.scenario.name(), self.driver);
        Ok(heads.iter().enumerate().map(|head| row(of, head, &rounds)).collect())
    }

    fn name(&self) -> String {
        match self.what {
            What::Messages { metric, unit, .. } => {
                format!("{} {metric}, {unit}", self.scenario.name())
            }
            What::Store { pipeline } => format!("{} -P {pipeline}", self.scenario.name()),
        }
    }

    fn heads(&self) -> Vec<Head> {
        match self.what {
            What::Messages { metric, unit, baselines, .. } => {
                let head = |name: &Name| Head { metric, unit, baseline_name: name.to_string() };
                baselines.iter().map(head).collect()
            }
            What::Store { pipeline } => kvs::heads(pipeline),
        }
    }

    fn round(&self, baselines: Option<&Baselines>) -> Result<Round> {
        let before = baselines.map(Baselines::bounce_ns).transpose()?;
        let pairs = match self.what {
            What::Messages { baselines: names, ours, .. } => beside(baselines, names, ours)?,
            What::Store { pipeline } => kvs::pairs(pipeline).map_err(|why| anyhow!(why))?,
        };
        let after = baselines.map(Baselines::bounce_ns).transpose()?;
        Ok(Round { pairs, bounces_ns: before.zip(after).map(|(before, after)| [before, after]) })
    }
}

fn beside(
    baselines: Option<&Baselines>,
    names: &[Name],
    ours: fn() -> Found,
) -> Result<Vec<Beside>> {
    let ours = ours().map_err(|why| anyhow!(why))?;
    let theirs = |name: &Name| baselines.map(|baselines| baselines.run(name)).transpose();
    names.iter().map(|name| Ok(Beside { ours: ours.clone(), theirs: theirs(name)? })).collect()
}

#[cfg(test)]
mod tests;
