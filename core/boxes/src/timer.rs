//! Pending timers of a reactor's agents, in the order in which they are due.
//!
//! Nothing is allocated once as many were pending at once: records leave their room to others. What is cancelled stays
//! in the queue until it would be due, or half of the queue is of that kind.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use daedal_model::context::Timer;
use daedal_model::id::Stamp;
use hashbrown::HashMap;
use slab::Slab;

use crate::planted::{self, Bug};
use crate::slot::SlotIndex;

/// Bytes of a message for which one that has gone off keeps room.
const SPARE_BYTES_MAX: usize = 4096;

/// A message that an agent sends itself later.
#[derive(Debug)]
pub(crate) struct Alarm {
    pub slot: SlotIndex,
    pub timer: Timer,
    pub record: Vec<u8>,
}

/// When a timer is due, and how many were set before it: timers that are due at the same time go off in the order in
/// which they were set.
type Turn = (Stamp, u64);

/// Timers by time, and by agent, so that one can be cancelled.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    /// With the place of each in `pending`, where others may be by now.
    queue: BinaryHeap<Reverse<(Turn, usize)>>,
    pending: Slab<Pending>,
    by_number: HashMap<(SlotIndex, Timer), usize, foldhash::fast::FixedState>,
    /// Of each agent's, the one that was set last.
    last: HashMap<SlotIndex, usize, foldhash::fast::FixedState>,
    next: u64,
    spare: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct Pending {
    turn: Turn,
    alarm: Alarm,
    /// The agent's others that were set before and after it.
    before: Option<usize>,
    after: Option<usize>,
}

impl Timers {
    /// A copy of a message, for an alarm.
    pub fn copied(&mut self, record: &[u8]) -> Vec<u8> {
        let mut copy = self.spare.pop().unwrap_or_default();
        copy.extend_from_slice(record);
        copy
    }

    /// Keeps the room of an alarm's record for others.
    pub fn reuse(&mut self, mut record: Vec<u8>) {
        if record.capacity() <= SPARE_BYTES_MAX {
            record.clear();
            self.spare.push(record);
        }
    }

    pub fn set(&mut self, due: Stamp, alarm: Alarm) {
        let turn = (due, self.next);
        self.next += 1;
        if self.next.is_multiple_of(4) && planted::is(Bug::TimersLost) {
            return;
        }
        let Alarm { slot, timer, .. } = alarm;
        let before = self.last.get(&slot).copied();
        let at = self.pending.insert(Pending { turn, alarm, before, after: None });
        if let Some(before) = before {
            self.pending[before].after = Some(at);
        }
        self.last.insert(slot, at);
        self.by_number.insert((slot, timer), at);
        self.queue.push(Reverse((turn, at)));
    }

    /// Whether it was pending.
    pub fn cancel(&mut self, slot: SlotIndex, timer: Timer) -> bool {
        let Some(at) = self.by_number.get(&(slot, timer)).copied() else { return false };
        let Pending { alarm, .. } = self.remove(at);
        self.reuse(alarm.record);
        self.drop_cancelled();
        true
    }

    /// Takes out all timers of an agent that is gone, each with when it is due, as they were set.
    pub fn take_all(&mut self, slot: SlotIndex) -> Vec<(Stamp, Alarm)> {
        let mut taken = Vec::new();
        while let Some(last) = self.last.get(&slot).copied() {
            let Pending { turn: (due, _), alarm, .. } = self.remove(last);
            taken.push((due, alarm));
        }
        self.drop_cancelled();
        taken.reverse();
        taken
    }

    /// How many were set so far.
    pub fn count(&self) -> u64 {
        self.next
    }

    /// The next one that is due by `now`, of the first `until` that were set.
    pub fn pop(&mut self, now: Stamp, until: u64) -> Option<Alarm> {
        // Time does not go back: what was set later and is due stands behind all that was set before.
        let Reverse(((due, count), at)) = *self.queue.peek()?;
        if due > now || count >= until {
            return None;
        }
        let Pending { alarm, .. } = self.remove(at);
        self.drop_cancelled();
        Some(alarm)
    }

    /// When the next one is due.
    pub fn next_due(&self) -> Option<Stamp> {
        self.queue.peek().map(|Reverse(((due, _), _))| *due)
    }

    /// Takes a timer out, but for its place in the queue.
    fn remove(&mut self, at: usize) -> Pending {
        let it = self.pending.remove(at);
        let Alarm { slot, timer, .. } = it.alarm;
        match (it.after, it.before) {
            (Some(after), before) => self.pending[after].before = before,
            (None, Some(before)) => _ = self.last.insert(slot, before),
            (None, None) => _ = self.last.remove(&slot),
        }
        if let Some(before) = it.before {
            self.pending[before].after = it.after;
        }
        // A later one of this number may have come with the state of another life.
        if self.by_number.get(&(slot, timer)) == Some(&at) {
            self.by_number.remove(&(slot, timer));
        }
        it
    }

    /// Leaves the first of the queue pending, and no more than half of it cancelled.
    fn drop_cancelled(&mut self) {
        let pending = &self.pending;
        let is_pending = |Reverse((turn, at)): &Reverse<(Turn, usize)>| {
            pending.get(*at).is_some_and(|it| it.turn == *turn)
        };
        if self.queue.len() > 2 * pending.len() {
            self.queue.retain(is_pending);
        }
        while self.queue.peek().is_some_and(|first| !is_pending(first)) {
            self.queue.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use daedal_allocations::allocations;
    use proptest::prelude::*;

    use super::*;

    fn alarm(timers: &mut Timers, slot: u32, timer: u64) -> Alarm {
        let record = timers.copied(&timer.to_le_bytes());
        Alarm { slot: SlotIndex(slot), timer: Timer(timer), record }
    }

    /// What an agent may do with its timers, and time.
    #[derive(Clone, Debug)]
    enum Step {
        Set { slot: u32, after: u64 },
        Cancel { slot: u32, timer: u64 },
        End { slot: u32 },
        Pass { ns: u64 },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..3u32, 0..20u64).prop_map(|(slot, after)| Step::Set { slot, after }),
            3 => (0..3u32, 0..60u64).prop_map(|(slot, timer)| Step::Cancel { slot, timer }),
            1 => (0..3u32).prop_map(|slot| Step::End { slot }),
            2 => (0..8u64).prop_map(|ns| Step::Pass { ns }),
        ]
    }

    proptest! {
        #[test]
        fn timers_go_off_in_their_order_unless_they_are_cancelled(
            steps in prop::collection::vec(step(), 0..120),
        ) {
            let (mut timers, mut model, mut now) = (Timers::default(), BTreeMap::new(), 0);
            for (count, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Set { slot, after } => {
                        let alarm = alarm(&mut timers, slot, count as u64);
                        timers.set(Stamp(now + after), alarm);
                        model.insert((now + after, count as u64), slot);
                    }
                    Step::Cancel { slot, timer } => {
                        let is_it = |key: &(u64, u64), of: &mut u32| key.1 == timer && *of == slot;
                        let was = model.extract_if(.., is_it).count() > 0;
                        prop_assert_eq!(timers.cancel(SlotIndex(slot), Timer(timer)), was);
                    }
                    Step::End { slot } => {
                        let mut all: Vec<_> = model.extract_if(.., |_, of| *of == slot).collect();
                        all.sort_unstable_by_key(|((_, count), _)| *count);
                        let taken = timers.take_all(SlotIndex(slot));
                        let taken: Vec<_> = taken.into_iter().map(|(due, it)| (due.0, it.timer.0)).collect();
                        prop_assert_eq!(taken, all.into_iter().map(|(key, _)| key).collect::<Vec<_>>());
                    }
                    Step::Pass { ns } => {
                        now += ns;
                        while let Some(alarm) = timers.pop(Stamp(now), u64::MAX) {
                            let first = model.pop_first();
                            let told = (alarm.timer.0, alarm.slot.0, alarm.record);
                            let expect = first.map(|((_, count), of)| (count, of, count.to_le_bytes().to_vec()));
                            prop_assert_eq!(Some(told), expect);
                        }
                    }
                }
                prop_assert_eq!(timers.next_due().map(|it| it.0), model.keys().next().map(|key| key.0));
                prop_assert!(timers.queue.len() <= 2 * model.len());
            }
        }
    }

    #[test]
    fn timers_that_go_off_and_are_set_again_allocate_nothing() {
        let mut timers = Timers::default();
        let rounds = |timers: &mut Timers, from: u64| {
            for round in from..from + 100 {
                for number in 0..50 {
                    let alarm = alarm(timers, number % 7, round * 50 + u64::from(number));
                    timers.set(Stamp(round + u64::from(number)), alarm);
                }
                for number in 0..25 {
                    assert!(
                        timers.cancel(SlotIndex(number % 7), Timer(round * 50 + u64::from(number)))
                    );
                }
                while let Some(alarm) = timers.pop(Stamp(round), u64::MAX) {
                    timers.reuse(alarm.record);
                }
            }
        };
        rounds(&mut timers, 0);
        let (count, ()) = allocations(|| rounds(&mut timers, 100));
        assert_eq!(count, 0);
    }
}
