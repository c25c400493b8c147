//! Faults that are aimed at a moment: when the system changes, say, which takes a few round trips, so that
//! faults that strike anywhere seldom meet it.
//!
//! What fails there fails by and by, as machines do: the network is slow, a box is not heard by another, and
//! then it stops. Each of these is of its own kind, and left out where that kind is off.

use std::collections::BTreeSet;

use super::{Fault, FaultPlan, Kind, Partition, Slowness};
use crate::random::Random;

/// How many frames one after the other what is aimed at may take, at the least.
const FRAMES_MIN: u64 = 2;
/// And at the most.
const FRAMES_MAX: u64 = 40;
/// How long before the moment a box that is going to stop may fail to be heard.
const BEFORE_NS: u64 = 200_000_000;

impl FaultPlan {
    /// Adds faults about three in four of these moments, as `random` has it.
    pub fn aim(&mut self, moments: &[u64], random: &Random) {
        for moment in moments {
            // Each from a stream of its own, so that moments leave each other as they are.
            let mut stream = random.fork(&format!("aimed at {moment}"));
            if stream.chance(750_000) && self.shape.boxes > 2 {
                self.aim_at(*moment, &mut stream);
            }
        }
        self.events.sort_unstable();
    }

    fn aim_at(&mut self, moment: u64, random: &mut Random) {
        let Some(last) = self.shape.quiet_from.checked_sub(1).filter(|last| moment < *last) else {
            return;
        };
        let longer_ns = self.longer_ns(random);
        let frame_ns = match self.kinds.contains(&Kind::Slowness) {
            true => self.shape.travel_ns.saturating_add(longer_ns),
            false => self.shape.travel_ns,
        };
        let frames = random.range(FRAMES_MIN..FRAMES_MAX);
        let span = random.below(frame_ns.max(1)).saturating_add(frame_ns.saturating_mul(frames));
        let stops = moment.saturating_add(span).min(last);
        let goes_on = stops.saturating_add(1 + random.delay(self.shape.quiet_from / 8)).min(last);
        let fails = moment.saturating_sub(random.below(BEFORE_NS));
        // The controller's box is the first.
        let mut others: Vec<u16> = (1..self.shape.boxes).collect();
        random.shuffle(&mut others);
        let victim = others[0];
        // Mostly one alone: then the others go on with what the victim had.
        let unreached = match random.chance(750_000) {
            true => 1,
            false => random.range(1..others.len() as u64) as usize,
        };
        let unreached: BTreeSet<u16> = others[1..=unreached].iter().copied().collect();
        let (is_two_way, crashes) = (random.chance(250_000), random.chance(750_000));
        if self.kinds.contains(&Kind::Slowness) {
            let (ends, boxes) = (goes_on, (0..self.shape.boxes).collect());
            self.set_slowness(Slowness { begins: fails, ends, boxes, longer_ns });
        }
        if self.kinds.contains(&Kind::PartialPartition) {
            let (side, other) = (BTreeSet::from([victim]), unreached);
            let ends = goes_on;
            self.set_partition(Partition { begins: fails, ends, side, other, is_two_way });
        }
        let kind = if crashes { Kind::Crash } else { Kind::Pause };
        if stops < goes_on && self.kinds.contains(&kind) && self.is_up(victim, stops, goes_on) {
            let (begin, end) = match kind {
                Kind::Pause => (Fault::Paused(victim), Fault::Resumed(victim)),
                _ => (Fault::Crashed(victim), Fault::Restarted(victim)),
            };
            self.at(stops, begin);
            self.at(goes_on, end);
        }
    }

    /// Whether no outage of a box meets this time.
    fn is_up(&self, agent_box: u16, from: u64, until: u64) -> bool {
        let when = |begin: Fault, end: Fault| {
            let at = move |fault: Fault| {
                let events = self.events.iter().filter(move |event| event.fault == fault);
                let mut at: Vec<u64> = events.map(|event| event.at).collect();
                at.sort_unstable();
                at
            };
            at(begin).into_iter().zip(at(end))
        };
        let pauses = when(Fault::Paused(agent_box), Fault::Resumed(agent_box));
        let crashes = when(Fault::Crashed(agent_box), Fault::Restarted(agent_box));
        pauses.chain(crashes).all(|(begins, ends)| ends < from || until < begins)
    }
}
