//! The reactor's side of a handle: sends calls on, and brings replies back.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use daedal_model::agent::{Agent, Answer, Outcome};
use daedal_model::context::Context;
use daedal_model::id::{AgentId, Number};
use daedal_model::message::Archived;

use super::AskError;
use super::desk::{Call, Desk, PENDING_MAX, Ticket};
use crate::deliver::{Host, Hosted};
use crate::shim::Shim;
use crate::sync::Ordering;

/// Calls that are taken in at one visit: about what an agent's neighbours handle meanwhile.
pub(super) const CALLS_PER_VISIT: usize = 256;

/// What serves a handle in its reactor: an agent whose state machine is outside (Escher §2.5).
#[derive(Debug)]
pub struct HandleShim {
    desk: Arc<Desk>,
    pending: BTreeMap<(AgentId, Number), Ticket>,
    /// The call that is next, while no further one may be sent on: those before it were given up.
    next: Option<Call>,
}

impl HandleShim {
    pub(crate) fn new(desk: Arc<Desk>) -> HandleShim {
        HandleShim { desk, pending: BTreeMap::new(), next: None }
    }

    /// How many asks were sent on and are not answered.
    #[cfg(test)]
    #[cfg(not(loom))]
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// For [`Turn::host`](crate::turn::Turn::host), on the reactor's thread. Dropped, calls in its
    /// queue are turned away, and asks that were sent end as *unknown*.
    pub fn into_host(self) -> Box<dyn Host> {
        Box::new(Hosted::shim(self))
    }

    /// Forgets asks that nobody waits for any longer, when there are many of them.
    fn forget_dropped(&mut self) {
        if self.desk.is_crowded_by_the_dropped() {
            self.desk.dropped.store(0, Ordering::Relaxed);
            self.pending.retain(|_, ticket| !ticket.is_abandoned());
        }
    }

    fn take_in(&mut self, call: Call, context: &mut Context<'_, Self>) {
        match call.ticket {
            None => context.send_encoded(call.to, &call.message),
            Some(ticket) if ticket.is_abandoned() => {}
            Some(ticket) => {
                let number = context.ask_encoded(call.to, &call.message);
                self.pending.insert((call.to, number), ticket);
            }
        }
    }
}

impl Agent for HandleShim {
    type Message = ();
    type Reply = ();

    fn transition(&mut self, _: &Archived<()>, _: &mut Context<'_, Self>) {}

    fn answered(&mut self, answer: &Answer<'_>, _: &mut Context<'_, Self>) {
        let Some(ticket) = self.pending.remove(&(answer.from, answer.to)) else { return };
        ticket.0.end(match &answer.outcome {
            Outcome::Reply { schema, body } => Ok((*schema, body.to_vec())),
            Outcome::Refused(refusal) => Err((*refusal).into()),
            Outcome::Unknown => Err(AskError::Unknown),
        });
    }
}

impl Shim for HandleShim {
    fn poll(&mut self, context: &mut Context<'_, Self>) -> bool {
        self.desk.is_given_up.store(false, Ordering::Relaxed);
        self.forget_dropped();
        let (mut taken, mut popped, mut is_held) = (0, 0, false);
        while taken < CALLS_PER_VISIT && !is_held {
            let kept = self.next.take();
            popped += usize::from(kept.is_none());
            let Some(call) = kept.or_else(|| self.desk.calls.pop()) else { break };
            let is_given_up = call.ticket.as_ref().is_some_and(Ticket::is_abandoned);
            is_held = !is_given_up
                && (self.pending.len() >= PENDING_MAX
                    || context.is_pressed_towards_encoded(call.to, &call.message));
            if is_held {
                self.next = Some(call);
            } else {
                taken += 1;
                self.take_in(call, context);
            }
        }
        self.desk.is_held.store(is_held, Ordering::Relaxed);
        if popped > 0 {
            self.desk.tell_of_room();
        }
        taken > 0
    }

    /// Callers ring the reactor's own bell.
    fn descriptor(&self) -> Option<RawFd> {
        Some(self.desk.bell.wake().as_raw_fd())
    }
}

impl Drop for HandleShim {
    fn drop(&mut self) {
        self.next.take().into_iter().for_each(Call::turn_away);
        self.desk.close();
    }
}
