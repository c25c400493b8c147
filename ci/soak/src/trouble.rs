//! What goes wrong next, drawn from a seed: a pure list, which the soak carries out one by one.
//!
//! Box `a` is killed in the first fifth of a run alone, so that one process that carries load grows old, and its
//! memory can be judged. Not both the controller and a box are killed during one change of the shards.

use std::fmt;
use std::time::Duration;

use daedal::sim::random::Random;

use crate::system::{BOXES, CONTROLLER, NAMES};

/// Something that goes wrong, or is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// kill -9, and a start so much later.
    Kill(usize, Duration),
    /// SIGSTOP, and SIGCONT so much later.
    Pause(usize, Duration),
    /// Two do not hear each other: the first has no route, the other sends into nothing.
    Cut(usize, usize, Duration),
    /// The store is cut into so many shards.
    Reshard(u32),
}

/// A trouble, and what goes on beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// How long all is well before.
    pub calm: Duration,
    /// What happens.
    pub trouble: Trouble,
    /// The store is being cut into so many shards for so long when it does.
    pub beside: Option<(u32, Duration)>,
}

/// Draws.
#[derive(Debug)]
pub struct Plan {
    steps: Random,
    faults: Random,
}

impl Plan {
    /// All that a seed holds.
    pub fn new(seed: u64) -> Plan {
        let random = Random::new(seed);
        Plan { steps: random.fork("troubles"), faults: random.fork("frames") }
    }

    /// What befalls the frames of the next life that is started, in percent, each way: of one life in four
    /// nothing.
    pub fn next_faults(&mut self) -> String {
        let most = if self.faults.below(4) == 0 { 1 } else { 4 };
        let mut draw = |what| format!("{what}={}", self.faults.below(most));
        let rates = ["drop", "duplicate", "reorder", "delay"].map(&mut draw).join(",");
        format!("{rates},seed={}", self.faults.below(1 << 31))
    }

    /// `share`: how much of the run is over, in thousandths.
    pub fn next_step(&mut self, share: u64) -> Step {
        let calm = Duration::from_millis(self.steps.range(500..4_000));
        let killed = if share < 200 { BOXES[self.draw(2)] } else { BOXES[1] };
        let down = self.between(50, 3_000);
        let trouble = match self.steps.below(10) {
            0 | 1 => Trouble::Kill(killed, down),
            2 => Trouble::Kill(CONTROLLER, down),
            3 | 4 => Trouble::Pause(self.draw(NAMES.len()), self.between(50, 5_000)),
            5 | 6 => {
                let at = self.draw(NAMES.len());
                let other = (at + 1 + self.draw(NAMES.len() - 1)) % NAMES.len();
                Trouble::Cut(at, other, self.between(50, 8_000))
            }
            _ => Trouble::Reshard(self.shards()),
        };
        let is_beside = trouble_takes_beside(trouble) && self.steps.below(3) == 0;
        let beside = is_beside.then(|| (self.shards(), self.between(1, 300)));
        Step { calm, trouble, beside }
    }

    fn shards(&mut self) -> u32 {
        self.steps.range(2..5) as u32
    }

    fn draw(&mut self, below: usize) -> usize {
        self.steps.below(below as u64) as usize
    }

    /// Of each doubling as many.
    fn between(&mut self, least_ms: u64, most_ms: u64) -> Duration {
        let doublings = (most_ms / least_ms).ilog2();
        let least = least_ms << self.steps.below(u64::from(doublings) + 1);
        Duration::from_millis(self.steps.range(least..(2 * least).min(most_ms) + 1))
    }
}

fn trouble_takes_beside(trouble: Trouble) -> bool {
    !matches!(trouble, Trouble::Reshard(_))
}

impl fmt::Display for Trouble {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Kill(end, down) => write!(out, "kill -9 {}, down {down:?}", NAMES[*end]),
            Trouble::Pause(end, time) => write!(out, "stop {} for {time:?}", NAMES[*end]),
            Trouble::Cut(at, other, time) => {
                write!(out, "cut {} from {} for {time:?}", NAMES[*at], NAMES[*other])
            }
            Trouble::Reshard(shards) => write!(out, "reshard kvs {shards}"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.trouble)?;
        match self.beside {
            Some((shards, after)) => write!(out, ", {after:?} after `reshard kvs {shards}`"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_has_one_list_and_holds_every_kind() {
        let list = |seed| {
            let mut plan = Plan::new(seed);
            (0..200).map(|at| plan.next_step(at * 5)).collect::<Vec<_>>()
        };
        assert_eq!(list(1), list(1));
        assert_ne!(list(1), list(2));
        let list = list(1);
        let has = |is: fn(&Trouble) -> bool| list.iter().any(|step| is(&step.trouble));
        assert!(has(|it| matches!(it, Trouble::Kill(0, _))));
        assert!(has(|it| matches!(it, Trouble::Kill(1, _))));
        assert!(has(|it| matches!(it, Trouble::Cut(..))));
        assert!(has(|it| matches!(it, Trouble::Reshard(4))));
        assert!(list[40..].iter().all(|step| !matches!(step.trouble, Trouble::Kill(1, _))));
        assert!(list.iter().any(|step| step.beside.is_some()));
    }
}
