//! A case: figures of ours beside their baselines, found round by round, and what that needs of the machine.

#![expect(clippy::disallowed_methods, reason = "says when a round was measured")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime};

use anyhow::{Result, anyhow};
use daedal_lab::Lab;

use super::bar::Bar;
use super::baseline::{Baselines, Name};
use super::figure::{Figure, Found};
use super::phases::{Part, Way};
use super::remote::Work;
use super::report::{Beside, Head, Measured, Round, Rounds};
use super::{Scenario, cpu, curve, dpdk, kvs};
use crate::say::note;

/// How many rounds are taken at most, for each that is to count: the placement that mixes them changes
/// every few minutes.
const TRIES_PER_ROUND: usize = 4;

/// Something that is measured beside its baselines.
pub struct Case {
    /// What it is part of.
    pub scenario: Scenario,
    /// What carries the messages; `none` where nothing has to.
    pub driver: &'static str,
    /// What is measured.
    pub what: What,
}

/// What is measured.
pub enum What {
    /// Figures of ours, each beside others.
    Measures(Vec<Measure>),
    /// The most that is answered, and times at parts of it, beside those of a program that is told the rate behind.
    Load { ours: Work, baseline: Name },
    /// A store, whose clients have so many requests outstanding.
    Store { pipeline: u16 },
}

/// A figure of ours, and what it stands beside.
pub struct Measure {
    metric: &'static str,
    unit: &'static str,
    ours: Ours,
    beside: Vec<(Theirs, Option<Bar>)>,
}

/// What a figure of ours stands beside.
enum Theirs {
    /// That of a program of `benches/`, with its arguments.
    Program(String),
    /// Another of ours, of the same round; what it is called.
    Ours(&'static str, Ours),
}

/// How a figure of ours is found.
#[derive(Clone, Copy)]
pub enum Ours {
    /// By this process.
    Here(fn() -> Found),
    /// By this process, of the phases of turns.
    Phases(Way, Part),
    /// By two, which the case's driver joins.
    Two(Work),
    /// By two, which this driver joins.
    TwoBy(&'static str, Work),
    /// What the first of two takes longer than the second.
    Longer(Work, Work),
}

/// The unit of a rate of large messages.
const BYTES_A_SECOND: &str = "bytes/s";

/// Messages handled a second.
pub fn tell(ours: Ours) -> Measure {
    measure("tell", "messages/s", ours)
}

/// Bytes of large messages handled a second.
pub fn stream(ours: Ours) -> Measure {
    measure("tell", BYTES_A_SECOND, ours)
}

/// Round trips.
pub fn ask(ours: Ours) -> Measure {
    measure("ask", "ns", ours)
}

/// A figure, beside nothing yet.
pub fn measure(metric: &'static str, unit: &'static str, ours: Ours) -> Measure {
    Measure { metric, unit, ours, beside: Vec::new() }
}

impl Measure {
    /// And beside this program, with its arguments. `bar`: where ours is to be, if that is said.
    pub fn beside(mut self, name: impl Into<String>, bar: impl Into<Option<Bar>>) -> Measure {
        self.beside.push((Theirs::Program(name.into()), bar.into()));
        self
    }

    /// And beside another figure of ours, which is called `name`. `bar`: as there.
    pub fn beside_ours(
        mut self,
        name: &'static str,
        other: Ours,
        bar: impl Into<Option<Bar>>,
    ) -> Measure {
        self.beside.push((Theirs::Ours(name, other), bar.into()));
        self
    }

    fn heads(&self) -> impl Iterator<Item = Head> {
        self.beside.iter().map(|(theirs, bar)| Head {
            metric: self.metric,
            unit: self.unit,
            load_percent: None,
            message_bytes: self.ours.message_bytes(),
            batch: self.ours.work().and_then(|work| work.batch),
            baseline_name: theirs.name().to_owned(),
            bar: *bar,
        })
    }

    /// Ours, then theirs in turn.
    fn pairs(&self, driver: &str, baselines: Option<&Baselines>) -> Result<Vec<Beside>> {
        let find = |ours: Ours| -> Result<Figure> {
            let figure = ours.find(driver).map_err(|why| anyhow!(why))?;
            match ours.message_bytes() {
                Some(bytes) if self.unit == BYTES_A_SECOND => Ok(figure.in_bytes(bytes)),
                _ => Ok(figure),
            }
        };
        let ours = find(self.ours)?;
        let beside = |theirs: &Theirs| {
            let theirs = match theirs {
                Theirs::Program(name) => baselines.map(|all| all.run(name)).transpose()?.flatten(),
                Theirs::Ours(_, other) => Some(find(*other)?),
            };
            Ok(Beside { ours: ours.clone(), theirs })
        };
        self.beside.iter().map(|(theirs, _)| beside(theirs)).collect()
    }
}

impl Theirs {
    fn name(&self) -> &str {
        match self {
            Theirs::Program(name) => name,
            Theirs::Ours(name, _) => name,
        }
    }
}

impl Ours {
    fn find(self, driver: &str) -> Found {
        match self {
            Ours::Here(find) => find(),
            Ours::Phases(way, part) => part.find(way, driver),
            Ours::Two(work) => work.find(driver),
            Ours::TwoBy(driver, work) => work.find(driver),
            Ours::Longer(work, than) => {
                let [it, other] = [work.find(driver)?, than.find(driver)?];
                Ok(Figure::each(it.value - other.value))
            }
        }
    }

    fn work(self) -> Option<Work> {
        match self {
            Ours::Here(_) | Ours::Phases(..) => None,
            Ours::Two(work) | Ours::TwoBy(_, work) | Ours::Longer(work, _) => Some(work),
        }
    }

    fn message_bytes(self) -> Option<usize> {
        self.work()?.bytes
    }

    fn is_over_ethernet(self) -> bool {
        self.work().is_some_and(|work| work.is_over_ethernet)
    }
}

impl Case {
    /// What this machine lacks for it, if it does: for people.
    pub fn lacks(&self) -> Option<String> {
        let has_processors = || cpu::on(1, || Ok(()));
        let has = match self.scenario {
            Scenario::Local => cpu::on(0, || Ok(())),
            Scenario::Kvs => has_processors().and_then(|()| kvs::find_load().map(drop)),
            _ if self.driver.starts_with("dpdk:") => {
                has_processors().and_then(|()| dpdk::is_in_this_build())
            }
            _ if self.is_over_ethernet() => has_processors().and_then(|()| Lab::pair().map(drop)),
            _ => has_processors(),
        };
        has.err()
    }

    fn is_over_ethernet(&self) -> bool {
        if self.driver.starts_with("xdp:") {
            return true;
        }
        match &self.what {
            What::Measures(measures) => measures.iter().any(|it| it.ours.is_over_ethernet()),
            What::Load { ours, .. } => ours.is_over_ethernet,
            What::Store { .. } => false,
        }
    }

    /// So many rounds that count, if there are.
    /// # Errors
    /// What ours or a baseline says that fails.
    pub fn measure(
        &self,
        baselines: Option<&Baselines>,
        count: usize,
        stop: &AtomicBool,
    ) -> Result<Measured> {
        let name = self.name();
        let mut rounds = Rounds::default();
        let is_stopped = || stop.load(Ordering::Relaxed);
        while rounds.counted.len() < count
            && rounds.mixed.len() < count * (TRIES_PER_ROUND - 1)
            && !is_stopped()
        {
            note!("{name}: round {} of {count}", rounds.counted.len() + 1);
            let round = match self.round(baselines) {
                // Ctrl-C has ended what it had started, too.
                Err(_) if is_stopped() => break,
                round => round?,
            };
            let kind = if round.is_mixed() { &mut rounds.mixed } else { &mut rounds.counted };
            kind.push(round);
        }
        let (scenario, driver) = (self.scenario.name(), self.driver);
        Ok(Measured { scenario, driver, heads: self.heads(), rounds })
    }

    /// What it is called, for people.
    pub fn name(&self) -> String {
        let what = match &self.what {
            What::Measures(measures) => {
                let name = |it: &Measure| format!("{}, {}", it.metric, it.unit);
                measures.first().map_or(String::new(), name)
            }
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
        match &self.what {
            What::Measures(measures) => measures.iter().flat_map(Measure::heads).collect(),
            What::Load { baseline, .. } => curve::heads(baseline),
            What::Store { pipeline } => kvs::heads(*pipeline, self.driver),
        }
    }

    fn round(&self, baselines: Option<&Baselines>) -> Result<Round> {
        let (start, clock) = (SystemTime::now(), Instant::now());
        let before = baselines.map(Baselines::bounce_ns).transpose()?;
        let pairs = self.pairs(baselines)?;
        let after = baselines.map(Baselines::bounce_ns).transpose()?;
        let bounces_ns = before.zip(after).map(|(before, after)| [before, after]);
        Ok(Round { start, lasted: clock.elapsed(), pairs, bounces_ns })
    }

    fn pairs(&self, baselines: Option<&Baselines>) -> Result<Vec<Beside>> {
        match &self.what {
            What::Measures(measures) => {
                let pairs = measures.iter().map(|it| it.pairs(self.driver, baselines));
                Ok(pairs.collect::<Result<Vec<_>>>()?.concat())
            }
            What::Load { ours, baseline } => {
                let ours = |rate| ours.at_rate(rate).find(self.driver);
                curve::pairs(ours, baselines, baseline)
            }
            What::Store { pipeline } => {
                kvs::pairs(*pipeline, self.driver).map_err(|why| anyhow!(why))
            }
        }
    }
}
