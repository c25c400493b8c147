//! What a box needs of its machine, looked at before it starts: by `daedal preflight`, and by the box itself,
//! which starts with less or not at all, and says so in the same words.
//!
//! Looks and tries; changes nothing, and leaves nothing behind but what was taken, as long as its result is kept. Each [`Finding`] says what was found, what
//! follows, and the command that mends it. What is tried is tried as the box does it: by its driver, by its
//! executor. Invariant: a box that finds nothing [`Standing::Missing`] fails at start only by what another
//! process did meanwhile.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use daedal_net::driver::DriverKind;
#[cfg(feature = "dpdk")]
use daedal_net::driver::dpdk::Port;
use daedal_net::driver::xdp::Interface;

use crate::executor::Executor;
use crate::idle::Idle;

mod checks;
mod drivers;
mod past;

use drivers::Found;

/// What a box is to be.
#[derive(Clone, Debug)]
pub struct Needs {
    /// Where its first reactor listens; the others follow, a port each.
    pub address: SocketAddr,
    /// How many reactors.
    pub reactors: u8,
    /// What they are to run on.
    pub executor: Executor,
    /// What they do when there is nothing to do.
    pub idle: Idle,
    /// What moves its frames; `None`: the best that works.
    pub driver: Option<DriverKind>,
    /// Cores that they are pinned to, in turn; none: they are not pinned.
    pub cpus: Vec<usize>,
    /// Files that it replaces by whole ones: a journal, say.
    pub writes: Vec<PathBuf>,
    /// Files that it writes its frames to, from their beginning.
    pub pcaps: Vec<PathBuf>,
}

/// How it stands with something that a box needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// As it should be, or not needed.
    Ok,
    /// Not to be had, and not asked for.
    Without,
    /// The box starts, with less than was asked for.
    Less,
    /// The box does not start.
    Missing,
}

/// What was found of one thing that a box needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The thing, in a word or two.
    pub what: &'static str,
    /// How it stands.
    pub standing: Standing,
    /// What was found.
    pub found: String,
    /// What follows from it; empty, if all is well.
    pub follows: &'static str,
    /// How it is mended, commands in backticks; empty, if all is well.
    pub mend: String,
}

impl Finding {
    /// The thing that is a driver's choice.
    pub const CHOICE: &'static str = "driver";

    fn ok(what: &'static str, found: impl Into<String>) -> Finding {
        let (found, mend) = (found.into(), String::new());
        Finding { what, standing: Standing::Ok, found, follows: "", mend }
    }

    fn less(
        what: &'static str,
        found: impl Into<String>,
        follows: &'static str,
        mend: impl Into<String>,
    ) -> Finding {
        let (found, mend) = (found.into(), mend.into());
        Finding { what, standing: Standing::Less, found, follows, mend }
    }

    fn missing(what: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Finding {
        let (found, mend) = (found.into(), mend.into());
        Finding {
            what,
            standing: Standing::Missing,
            found,
            follows: "the box does not start",
            mend,
        }
    }
}

/// In one line, for a log.
impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.standing {
            Standing::Ok => write!(out, "{}: {}", self.what, self.found),
            _ => write!(out, "{}; {}; {}", self.found, self.follows, self.mend),
        }
    }
}

/// All that was found, and what the box can be.
#[derive(Clone, Debug)]
pub struct Preflight {
    /// One or more for each thing.
    pub findings: Vec<Finding>,
    /// What its reactors can run on.
    pub executor: Executor,
    /// What they can do when there is nothing to do.
    pub idle: Idle,
    /// What moves their frames.
    pub driver: DriverKind,
    /// For drivers that go past the kernel.
    pub taken: Taken,
}

/// What a driver was tried with and keeps: so it is there still when the box starts, and who is at a port's other end
/// sees one process come, not two.
#[derive(Clone, Debug, Default)]
pub enum Taken {
    /// The driver keeps nothing.
    #[default]
    Nothing,
    /// With the program on it.
    Interface(Arc<Interface>),
    /// With a queue for each reactor.
    #[cfg(feature = "dpdk")]
    Port(Arc<Port>),
}

impl Preflight {
    /// The worst of the findings.
    pub fn standing(&self) -> Standing {
        self.findings.iter().map(|it| it.standing).max().unwrap_or(Standing::Ok)
    }

    /// What a box says of itself when it starts: what it has less of, and which driver it has chosen and why no other.
    pub fn notes(&self) -> impl Iterator<Item = &Finding> {
        let is_note = |it: &&Finding| match it.standing {
            Standing::Ok => it.what == Finding::CHOICE,
            Standing::Without | Standing::Less => true,
            Standing::Missing => false,
        };
        self.findings.iter().filter(is_note)
    }

    /// Findings of this standing.
    pub fn with(&self, standing: Standing) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |it| it.standing == standing)
    }
}

/// Of the drivers that a box is told not to have, whether it could, and what mends it if not.
pub fn other_drivers(needs: &Needs) -> Vec<Finding> {
    drivers::others(needs)
}

/// Looks at everything.
pub fn check(needs: &Needs) -> Preflight {
    let cores = checks::cores();
    let idle = needs.idle.fitting(needs.reactors.into(), cores);
    let (executor, mut findings) = checks::executor(needs.executor);
    let Found { kind: driver, taken, findings: of_drivers } = drivers::found(needs);
    findings.extend(past::memlock(needs, driver));
    findings.extend(checks::capabilities(needs, driver));
    findings.push(past::bpffs(driver));
    findings.push(past::huge_pages(driver));
    findings.extend(past::rings(needs, driver, &taken));
    findings.push(checks::descriptors(needs, driver));
    findings.push(checks::memory(needs));
    findings.push(checks::busy(needs, idle, cores));
    findings.extend(checks::pinned(needs));
    findings.extend(of_drivers);
    findings.extend(checks::writable(needs));
    Preflight { findings, executor, idle, driver, taken }
}

#[cfg(test)]
mod tests;
