//! An agent that is held for a moment, so that its state is captured at one with that of others.
//!
//! Whoever wants one cut across several agents has all of them held, and captures them once all are: from the last
//! that was held to the first that goes on, none makes a transition, and so no effect is in the cut without its
//! cause, however that went from one to the other. What comes meanwhile waits in their inboxes, as it does for an
//! agent whose output waits. An agent is held once what it asked is answered, since an answer would change it.
//! Nobody holds one for long: it goes on by itself, and is captured no more by who held it.
//! Source: Ovid §5 (states are taken between transitions).

use daedal_model::control::{Failure, ToPort};
use daedal_model::id::{AgentId, Stamp};
use daedal_model::path::AgentPath;
use daedal_net::driver::Driver;

use crate::slot::SlotIndex;
use crate::turn::Turn;

/// How long an agent is held at most, and what it asked is waited for: as long as a life that is to end waits.
const HELD_NS_MAX: u64 = 1_000_000_000;

/// An agent that is held, or will be.
#[derive(Debug)]
pub(crate) struct Hold {
    slot: SlotIndex,
    physical: AgentId,
    path: String,
    /// Who holds it: a number of theirs.
    by: u64,
    until: Stamp,
    /// Whether all that it asked is answered.
    is_still: bool,
}

impl Hold {
    /// Until when.
    pub fn until(&self) -> Stamp {
        self.until
    }
}

impl<D: Driver> Turn<D> {
    /// Holds an agent, and tells the port when nothing changes it any more.
    pub(crate) fn obey_hold(&mut self, path: String, by: u64) {
        if let Err(why) = self.begin_to_hold(&path, by) {
            self.tell_port(&ToPort::Held { path, by, refused: Some(why) });
        }
    }

    fn begin_to_hold(&mut self, text: &str, by: u64) -> Result<(), Failure> {
        let path = AgentPath::parse(text).map_err(|error| error.to_string())?;
        let away = || Failure::for_now(format!("{path} does not run here"));
        let (slot, it) = self.slot_at(&path).ok_or_else(away)?;
        if it.host.is_shim() {
            return Err(format!("{path} is a shim: it has no state to capture").into());
        }
        let physical = it.physical;
        if self.holds.iter().any(|hold| hold.physical == physical) {
            return Err(Failure::for_now(format!("{path} is being held for somebody else")));
        }
        let until = Stamp(self.plane.now.0.saturating_add(HELD_NS_MAX));
        let sender = &mut self.plane.senders[slot.0 as usize];
        (sender.pressed, sender.is_held) = (sender.pressed + 1, true);
        self.holds.push(Hold { slot, physical, path: text.to_owned(), by, until, is_still: false });
        Ok(())
    }

    /// Whether the agent of this path is held by `by`, and nothing changes it.
    pub(crate) fn holds(&self, path: &AgentPath, by: u64) -> bool {
        let physical = self.slot_at(path).map(|(_, slot)| slot.physical);
        self.holds.iter().any(|it| Some(it.physical) == physical && it.by == by && it.is_still)
    }

    /// Lets an agent go on, if it is `by` who holds it.
    pub(crate) fn obey_release(&mut self, path: &str, by: u64) {
        let found = self.holds.iter().find(|it| it.path == path && it.by == by);
        if let Some(physical) = found.map(|it| it.physical) {
            self.release(physical);
        }
    }

    /// Lets an agent go on, whoever holds it.
    pub(crate) fn release(&mut self, physical: AgentId) {
        let Some(at) = self.holds.iter().position(|it| it.physical == physical) else { return };
        let Hold { slot, path, by, is_still, .. } = self.holds.swap_remove(at);
        self.plane.senders[slot.0 as usize].is_held = false;
        self.plane.unpress(slot);
        if !is_still {
            let why = Failure::for_now(format!("{path} waits for answers, or ends"));
            self.tell_port(&ToPort::Held { path, by, refused: Some(why) });
        }
    }

    /// Says which agents are still, and lets those go on that were held for too long. Whether any did.
    pub(crate) fn tend_holds(&mut self) -> bool {
        let now = self.plane.now;
        let late: Vec<AgentId> =
            self.holds.iter().filter(|it| it.until <= now).map(|it| it.physical).collect();
        let any_late = !late.is_empty();
        late.into_iter().for_each(|physical| self.release(physical));
        let is_new = |it: &Hold| !it.is_still && !self.is_asking(it.slot);
        let still: Vec<usize> =
            (0..self.holds.len()).filter(|at| is_new(&self.holds[*at])).collect();
        for at in &still {
            self.holds[*at].is_still = true;
            let Hold { path, by, .. } = &self.holds[*at];
            let held = ToPort::Held { path: path.clone(), by: *by, refused: None };
            self.tell_port(&held);
        }
        any_late || !still.is_empty()
    }
}

#[cfg(test)]
mod tests;
