//! What agents did, written down by the agents themselves, beside the system: no message carries it, so
//! nothing that goes wrong with messages can hide it.
//!
//! Each life of an agent has a number here, which ends when the agent is dropped, as all are whose box
//! dies. What must never be is judged at once, when it happens: a life that does a thing twice; two lives
//! that do it, both alive (Escher §2.1); one writer's things out of their order, where order was promised
//! (Ovid §3.4). What must have happened at the end, the scenario asks for.
//! One run at a time in each thread.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use daedal_model::id::AgentId;

/// Something that a writer asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deed {
    /// The agent that is to do it, by logical id.
    pub agent: AgentId,
    /// The writer: no two lives of a client share one.
    pub by: u64,
    /// Counts what this writer asked this agent for, in order.
    pub number: u64,
}

/// What must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offence {
    /// One life did it twice.
    Again {
        /// Which life.
        life: u64,
    },
    /// It was for one of several, and another had done it, and lives.
    Both {
        /// Who did it first.
        first: u64,
        /// Who did it too.
        second: u64,
    },
    /// This life had done something later of the same writer.
    Late {
        /// Which life.
        life: u64,
        /// The number that it had done.
        after: u64,
    },
}

impl fmt::Display for Offence {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Offence::Again { life } => write!(out, "life {life} did it twice"),
            Offence::Both { first, second } => {
                write!(out, "life {second} did it too, after life {first}, which still runs")
            }
            Offence::Late { life, after } => write!(out, "life {life} had done {after} before it"),
        }
    }
}

/// All that was done in a run.
#[derive(Debug, Default)]
struct Witness {
    ordered: BTreeSet<AgentId>,
    lives: u64,
    ended: BTreeSet<u64>,
    /// Which lives did it, in the order in which they did.
    done: BTreeMap<Deed, Vec<u64>>,
    /// By life and writer: the highest number.
    last: BTreeMap<(u64, u64), u64>,
    offences: Vec<(Deed, Offence)>,
    writers: BTreeSet<u64>,
}

impl Witness {
    fn note(&mut self, life: u64, deed: Deed, is_for_one: bool) {
        let lives = self.done.entry(deed).or_default();
        if lives.contains(&life) {
            self.offences.push((deed, Offence::Again { life }));
        }
        let other = lives.iter().find(|it| **it != life && !self.ended.contains(it));
        if let Some(first) = other.filter(|_| is_for_one) {
            self.offences.push((deed, Offence::Both { first: *first, second: life }));
        }
        lives.push(life);
        let last = self.last.entry((life, deed.by)).or_default();
        if *last > deed.number && self.ordered.contains(&deed.agent) {
            self.offences.push((deed, Offence::Late { life, after: *last }));
        }
        *last = deed.number.max(*last);
    }
}

thread_local! {
    static WITNESS: RefCell<Witness> = RefCell::default();
}

/// Begins a run, in which these agents promise order.
pub fn begin(ordered: impl IntoIterator<Item = AgentId>) {
    let ordered = ordered.into_iter().collect();
    WITNESS.set(Witness { ordered, ..Witness::default() });
}

/// Whether no life of this writer has begun before: a later one must not ask for the same deeds.
pub fn begins(by: u64) -> bool {
    WITNESS.with_borrow_mut(|witness| witness.writers.insert(by))
}

/// What was done that must not be, in the order in which it was.
pub fn offences() -> Vec<(Deed, Offence)> {
    WITNESS.with_borrow(|witness| witness.offences.clone())
}

/// How many lives did it.
pub fn lives_that_did(deed: &Deed) -> usize {
    WITNESS.with_borrow(|witness| witness.done.get(deed).map_or(0, Vec::len))
}

/// Whether this life did it.
pub fn did(life: u64, deed: &Deed) -> bool {
    WITNESS.with_borrow(|witness| witness.done.get(deed).is_some_and(|it| it.contains(&life)))
}

/// One life of one agent. It ends with the value.
#[derive(Debug)]
pub struct Life(u64);

impl Life {
    /// A new one.
    pub fn begin() -> Life {
        WITNESS.with_borrow_mut(|witness| {
            witness.lives += 1;
            Life(witness.lives)
        })
    }

    /// Its number in the run, from 1.
    pub fn number(&self) -> u64 {
        self.0
    }

    /// It does something. `is_for_one`: one of the agent's parts is to, and no other.
    pub fn does(&self, deed: Deed, is_for_one: bool) {
        WITNESS.with_borrow_mut(|witness| witness.note(self.0, deed, is_for_one));
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        // At the end of a thread the witness may be gone before what it watched.
        let _ = WITNESS.try_with(|witness| witness.borrow_mut().ended.insert(self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGENT: AgentId = AgentId(7);

    fn deed(number: u64) -> Deed {
        Deed { agent: AGENT, by: 1, number }
    }

    fn offences_of(act: impl FnOnce()) -> Vec<Offence> {
        begin([AGENT]);
        act();
        offences().into_iter().map(|(_, offence)| offence).collect()
    }

    #[test]
    fn a_life_does_a_thing_once() {
        let offences = offences_of(|| {
            let life = Life::begin();
            life.does(deed(1), true);
            life.does(deed(1), true);
        });
        assert_eq!(offences, [Offence::Again { life: 1 }]);
        assert!(did(1, &deed(1)) && !did(1, &deed(2)) && lives_that_did(&deed(1)) == 2);
    }

    #[test]
    fn what_is_for_one_another_does_only_when_the_first_has_ended() {
        let both = |is_for_one: bool, ends: bool| {
            offences_of(|| {
                let (first, second) = (Life::begin(), Life::begin());
                first.does(deed(1), is_for_one);
                if ends {
                    drop(first);
                }
                second.does(deed(1), is_for_one);
            })
        };
        assert_eq!(both(true, false), [Offence::Both { first: 1, second: 2 }]);
        assert_eq!(both(true, true), []);
        assert_eq!(both(false, false), []);
    }

    #[test]
    fn order_is_that_of_one_writer_in_one_life() {
        let offences = offences_of(|| {
            let (first, second) = (Life::begin(), Life::begin());
            first.does(deed(2), true);
            second.does(deed(1), false);
            first.does(Deed { by: 2, ..deed(1) }, false);
            first.does(deed(1), false);
        });
        assert_eq!(offences, [Offence::Late { life: 1, after: 2 }]);
    }
}
