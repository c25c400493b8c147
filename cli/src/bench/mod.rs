//! `daedal bench`: what messages cost, beside what the machine and other frameworks take for the same.
//!
//! Ours and theirs alternate within a round, and the cache-line bounce is taken around each: on virtual
//! machines it changes by a factor of three from minute to minute, and every figure between two
//! processors with it. Nothing here is set otherwise than a user would set it.

mod agents;
mod baseline;
mod cpu;
mod cross;
mod local;
mod reactors;
mod remote;
mod report;

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use clap::{Args, ValueEnum};

use self::agents::Found;
use self::baseline::{Baselines, Name};
use self::remote::Pair;
use self::report::{Round, Row, render, row};

/// What `daedal bench` takes.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What to measure
    #[arg(required_unless_present = "second", value_name = "SCENARIO")]
    scenarios: Vec<Scenario>,
    /// How often, ours and the baselines in turn
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
    /// Two agents of one reactor
    Local,
    /// Two reactors of one box, spinning
    Cross,
    /// Two processes over kernel sockets, spinning
    Remote,
}

/// Something that is measured beside its baselines.
struct Case {
    scenario: Scenario,
    driver: &'static str,
    metric: &'static str,
    baselines: &'static [Name],
    ours: fn() -> Found,
}

const CASES: &[Case] = &[
    Case {
        scenario: Scenario::Local,
        driver: "none",
        metric: "tell",
        baselines: &["peers tokio-tell", "peers actix-tell"],
        ours: local::tell,
    },
    Case {
        scenario: Scenario::Local,
        driver: "none",
        metric: "ask",
        baselines: &["peers tokio-ask", "peers actix-ask"],
        ours: local::ask,
    },
    Case {
        scenario: Scenario::Cross,
        driver: "none",
        metric: "ask",
        baselines: &["raw ring-ask 64"],
        ours: cross::ask,
    },
    Case {
        scenario: Scenario::Remote,
        driver: "kernel",
        metric: "tell",
        baselines: &["raw udp-tell"],
        ours: remote::tell,
    },
    Case {
        scenario: Scenario::Remote,
        driver: "kernel",
        metric: "ask",
        baselines: &["raw udp-ask 64"],
        ours: remote::ask,
    },
];

impl Scenario {
    fn name(self) -> &'static str {
        match self {
            Scenario::Local => "local",
            Scenario::Cross => "cross",
            Scenario::Remote => "remote",
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
        eprintln!(
            "no baselines: they are built from benches/, which is in no directory above this one; \
             run this in a checkout of daedal"
        );
    }
    let mut rows = Vec::new();
    for case in CASES.iter().filter(|case| arguments.scenarios.contains(&case.scenario)) {
        rows.extend(case.measure(baselines.as_ref(), arguments.rounds)?);
    }
    print!("{}", render(&rows));
    if let Some(file) = &arguments.json {
        let text = serde_json::to_string_pretty(&rows)?;
        std::fs::write(file, text + "\n")
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

impl Case {
    fn measure(&self, baselines: Option<&Baselines>, count: u16) -> Result<Vec<Row>> {
        let name = self.scenario.name();
        let mut rounds = Vec::new();
        for index in 1..=count {
            eprintln!("{name} {}: round {index} of {count}", self.metric);
            let round = self.round(baselines);
            rounds.push(round.with_context(|| format!("{name} {}", self.metric))?);
        }
        rounds.retain(|round| !round.is_mixed());
        let mixed = usize::from(count) - rounds.len();
        if mixed > 0 {
            println!(
                "{name} {}: {mixed} of {count} rounds do not count: the cache-line bounce differed \
                 by more than 1.5 times before and after",
                self.metric
            );
        }
        let of = (name, self.driver, self.metric);
        Ok(self.baselines.iter().enumerate().map(|at| row(of, (at.0, at.1), &rounds)).collect())
    }

    fn round(&self, baselines: Option<&Baselines>) -> Result<Round> {
        let ours = || (self.ours)().map_err(|why| anyhow!(why));
        let Some(baselines) = baselines else {
            return Ok(Round { ours: ours()?, theirs: Vec::new(), bounces_ns: None });
        };
        let before = baselines.bounce_ns()?;
        let ours = ours()?;
        let theirs =
            self.baselines.iter().map(|name| baselines.run(name)).collect::<Result<_>>()?;
        let bounces_ns = Some([before, baselines.bounce_ns()?]);
        Ok(Round { ours, theirs, bounces_ns })
    }
}

#[cfg(test)]
mod tests;
