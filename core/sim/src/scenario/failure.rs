//! Why a run failed: which rule was broken, how, and by which messages.

use std::fmt;

use crate::witness::Offence;

/// What is demanded of a run. A failure is reduced to one of the same rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Nothing of ours is broken, and says so.
    NoPanic,
    /// Once faults are off, everybody finishes.
    Progress,
    /// Nobody is answered twice, or unasked.
    AnsweredOnce,
    /// Nobody is refused.
    NotRefused,
    /// Who answers has done it.
    AnsweredByDoer,
    /// By key and life of the key's owner, histories are linearizable.
    Linearizable,
    /// Of two lives the earlier never answers what was asked after the later one answered.
    OneOwner,
    /// What was told or marked was counted exactly once.
    CountedOnce,
    /// What was noted was done, by all that were to.
    Done,
    /// A life or a line does nothing twice, and one of several parts does what is for one.
    DoneOnce,
    /// What one writer sent to one leaf is done in order.
    Order,
    /// An agent's time does not go back, whoever goes on from it.
    Time,
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The rule that was broken.
    pub rule: Rule,
    /// How.
    pub text: String,
    /// Traces of the requests concerned, as far as they are known; few.
    pub traces: Vec<u64>,
}

/// Most requests that a failure names.
const TRACES_MAX: usize = 3;

impl Failure {
    /// One that concerns no request in particular.
    pub fn new(rule: Rule, text: impl Into<String>) -> Failure {
        Failure { rule, text: text.into(), traces: Vec::new() }
    }

    /// The same, and the requests that it concerns; the first few of them.
    pub fn about(mut self, traces: impl IntoIterator<Item = u64>) -> Failure {
        self.traces.extend(traces.into_iter().take(TRACES_MAX));
        self
    }
}

impl From<Offence> for Rule {
    fn from(offence: Offence) -> Rule {
        match offence {
            Offence::Again { .. }
            | Offence::Both { .. }
            | Offence::AgainInLine { .. }
            | Offence::RangUnhung { .. } => Rule::DoneOnce,
            Offence::Late { .. } | Offence::LateInLine { .. } => Rule::Order,
            Offence::TimeWentBack { .. } => Rule::Time,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rule {
            Rule::NoPanic => write!(out, "panicked: {}", self.text),
            Rule::Progress => write!(out, "no progress: {}", self.text),
            _ => out.write_str(&self.text),
        }
    }
}
