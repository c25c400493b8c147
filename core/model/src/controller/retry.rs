//! Agents that did not start, and are tried again when the reason may have passed.
//!
//! A port that is taken may be given up; a parameter that is wrong stays wrong until somebody changes it,
//! which takes a new process of the box or of the controller: both start everything anew.
//! Invariant: between two tries of one agent is [`APART_FIRST`] at least and [`APART_MAX`] at most.

use std::time::Duration;

use super::Controller;
use super::life::Stage;
use crate::context::Context;
use crate::control::{Failure, ToController};
use crate::id::{AgentId, Stamp};

/// How long after the first try is the second. Each time after is twice as long.
pub const APART_FIRST: Duration = Duration::from_secs(1);

/// Longest time between two tries: each takes a space and an epoch for good, and a service whose port is
/// free again is not to wait much longer than whoever freed it.
pub const APART_MAX: Duration = Duration::from_secs(32);

/// A life that could not begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failed {
    pub(super) why: String,
    /// When the next one is tried; none: not before something is changed.
    pub(super) again: Option<Stamp>,
}

impl Controller {
    /// A box could not run an agent.
    pub(super) fn not_started(
        &mut self,
        id: AgentId,
        failure: Failure,
        context: &mut Context<'_, Controller>,
    ) {
        let Some(life) = self.lives.get_mut(&id) else { return };
        life.tries = life.tries.saturating_add(1);
        let again = failure.may_pass.then(|| {
            let apart = APART_FIRST * 2u32.saturating_pow(life.tries - 1).min(1 << 16);
            let apart = apart.min(APART_MAX);
            context.after(apart, &ToController::Retry);
            Stamp(context.now().0.saturating_add(apart.as_nanos() as u64))
        });
        life.stage = Stage::Failed(Failed { why: failure.why, again });
    }

    /// Has those started again whose time has come, and the journal asked again.
    pub(super) fn retry(&mut self, now: Stamp) {
        self.reserve.again.take_if(|again| *again <= now);
        for life in self.lives.values_mut() {
            let Stage::Failed(failed) = &life.stage else { continue };
            if failed.again.is_some_and(|again| again <= now) {
                life.stage = Stage::Ended;
            }
        }
    }
}

impl Failed {
    /// What is wrong, and what becomes of it.
    pub(super) fn text(&self, now: Stamp) -> String {
        let Some(again) = self.again else {
            return format!("{}; not tried again until its box starts anew", self.why);
        };
        let seconds = again.0.saturating_sub(now.0).div_ceil(1_000_000_000);
        format!("{}; tried again in {seconds} s", self.why)
    }
}
