//! Pending timers of a reactor's agents, in the order in which they are due.

use std::collections::BTreeMap;

use daedal_model::context::Timer;
use daedal_model::id::Stamp;

use crate::planted::{self, Bug};
use crate::slot::SlotIndex;

/// A message that an agent sends itself later.
#[derive(Debug)]
pub(crate) struct Alarm {
    pub slot: SlotIndex,
    pub timer: Timer,
    pub record: Vec<u8>,
}

/// Timers by time, and their times by agent, so that one can be cancelled.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    by_time: BTreeMap<(Stamp, u64), Alarm>,
    by_agent: BTreeMap<(SlotIndex, Timer), (Stamp, u64)>,
    next: u64,
}

impl Timers {
    pub fn set(&mut self, due: Stamp, alarm: Alarm) {
        // Timers due at the same time go off in the order in which they were set.
        let key = (due, self.next);
        self.next += 1;
        if self.next.is_multiple_of(4) && planted::is(Bug::TimersLost) {
            return;
        }
        self.by_agent.insert((alarm.slot, alarm.timer), key);
        self.by_time.insert(key, alarm);
    }

    /// Whether it was pending.
    pub fn cancel(&mut self, slot: SlotIndex, timer: Timer) -> bool {
        let key = self.by_agent.remove(&(slot, timer));
        key.is_some_and(|key| self.by_time.remove(&key).is_some())
    }

    /// Takes out all timers of an agent that is gone, each with when it is due, as they were set.
    pub fn take_all(&mut self, slot: SlotIndex) -> Vec<(Stamp, Alarm)> {
        let of_slot = (slot, Timer(0))..=(slot, Timer(u64::MAX));
        let keys: Vec<_> = self.by_agent.range(of_slot).map(|(k, v)| (*k, *v)).collect();
        let mut taken = Vec::new();
        for (agent, key) in keys {
            self.by_agent.remove(&agent);
            taken.extend(self.by_time.remove(&key).map(|alarm| (key.0, alarm)));
        }
        taken
    }

    /// How many were set so far.
    pub fn count(&self) -> u64 {
        self.next
    }

    /// The next one that is due by `now`, of the first `until` that were set.
    pub fn pop(&mut self, now: Stamp, until: u64) -> Option<Alarm> {
        let entry = self.by_time.first_entry()?;
        // Time does not go back: what was set later and is due stands behind all that was set before.
        let (due, count) = *entry.key();
        if due > now || count >= until {
            return None;
        }
        let alarm = entry.remove();
        self.by_agent.remove(&(alarm.slot, alarm.timer));
        Some(alarm)
    }

    /// When the next one is due.
    pub fn next_due(&self) -> Option<Stamp> {
        self.by_time.first_key_value().map(|(key, _)| key.0)
    }
}
