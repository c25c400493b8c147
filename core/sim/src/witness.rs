//! What agents did, written down by the agents themselves, beside the system: no message carries it, so
//! nothing that goes wrong with messages can hide it.
//!
//! Each life of an agent has a number here, which ends when the agent is dropped, as all are whose box
//! dies. What is done for one key is a *line*, which goes from life to life with the key, and ends with a life
//! from which none takes it over. What must never be is judged at once, when it happens: a life or a line that
//! does a thing twice; two lives that do it, both alive (Escher §2.1); one writer's things out of their order,
//! where order was promised (Ovid §3.4); a line's time that goes back; a bell that rings twice. What must have
//! happened at the end, the scenario asks for.
//! One run at a time in each thread.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use daedal_model::id::{AgentId, Stamp};

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
    /// It was done before in this line of one key, by this life or an earlier one.
    AgainInLine {
        /// Which line.
        line: u64,
    },
    /// Something later of the same writer was done in this line, by this life or an earlier one.
    LateInLine {
        /// Which line.
        line: u64,
        /// The number that was done.
        after: u64,
    },
    /// The line's last deed was done later than this one.
    TimeWentBack {
        /// Which line.
        line: u64,
        /// By how many nanoseconds.
        by_ns: u64,
    },
    /// A bell rang that was not hung in this line, or had rung.
    RangUnhung {
        /// Which line.
        line: u64,
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
            Offence::AgainInLine { line } => write!(out, "line {line} has it twice"),
            Offence::LateInLine { line, after } => write!(out, "line {line} had {after} before it"),
            Offence::TimeWentBack { line, by_ns } => {
                write!(out, "time went back by {by_ns} ns in line {line}")
            }
            Offence::RangUnhung { line } => {
                write!(out, "line {line} had no such bell, or it had rung")
            }
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
    lines: Vec<Line>,
    offences: Vec<(Deed, Offence)>,
    writers: BTreeSet<u64>,
}

/// What is done for one key, as far as its owners know of each other.
#[derive(Debug)]
struct Line {
    /// The life that has it, or had it last.
    holder: u64,
    last_stamp: Stamp,
    done: BTreeSet<Deed>,
    /// By writer: the highest number.
    last: BTreeMap<u64, u64>,
    /// Those that have not rung.
    bells: BTreeSet<Deed>,
}

impl Line {
    /// Notes a deed, and what must not be of it.
    fn note(&mut self, line: u64, deed: Deed, now: Stamp, is_ordered: bool) -> Vec<Offence> {
        let mut offences = Vec::new();
        if !self.done.insert(deed) {
            offences.push(Offence::AgainInLine { line });
        }
        let last = self.last.entry(deed.by).or_default();
        if *last > deed.number && is_ordered {
            offences.push(Offence::LateInLine { line, after: *last });
        }
        *last = deed.number.max(*last);
        if let Some(by_ns @ 1..) = self.last_stamp.0.checked_sub(now.0) {
            offences.push(Offence::TimeWentBack { line, by_ns });
        }
        self.last_stamp = now.max(self.last_stamp);
        offences
    }
}

impl Witness {
    fn note(&mut self, life: u64, deed: Deed, now: Stamp, only: Option<u64>) {
        self.note_in_life(life, deed, only.is_some());
        let is_ordered = self.ordered.contains(&deed.agent);
        for (line, it) in (0..).zip(&mut self.lines) {
            if only.map_or(it.holder == life, |only| only == line) {
                let offences = it.note(line, deed, now, is_ordered);
                self.offences.extend(offences.into_iter().map(|offence| (deed, offence)));
            }
        }
    }

    fn note_in_life(&mut self, life: u64, deed: Deed, is_for_one: bool) {
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

/// A bell that has not rung, though who is to ring it lives.
pub fn silent_bell() -> Option<Deed> {
    WITNESS.with_borrow(|witness| {
        let mut lines = witness.lines.iter().filter(|line| !witness.ended.contains(&line.holder));
        lines.find_map(|line| line.bells.first().copied())
    })
}

/// A number that no other life has in this run, from 1: also for one whose deeds are not witnessed. Of a clock two lives may
/// read the same, where the later one inherited the stamp of one whose clock was ahead.
pub fn number_of_a_life() -> u64 {
    WITNESS.with_borrow_mut(|witness| {
        witness.lives += 1;
        witness.lives
    })
}

/// One life of one agent. It ends with the value.
#[derive(Debug)]
pub struct Life(u64);

impl Life {
    /// A new one.
    pub fn begin() -> Life {
        Life(number_of_a_life())
    }

    /// Its number in the run, from 1.
    pub fn number(&self) -> u64 {
        self.0
    }

    /// Begins a line, which it holds.
    pub fn begin_line(&self) -> u64 {
        WITNESS.with_borrow_mut(|witness| {
            witness.lines.push(Line {
                holder: self.0,
                last_stamp: Stamp(0),
                done: BTreeSet::new(),
                last: BTreeMap::new(),
                bells: BTreeSet::new(),
            });
            witness.lines.len() as u64 - 1
        })
    }

    /// Holds a line from now on, which another life held.
    pub fn takes_over(&self, line: u64) {
        WITNESS.with_borrow_mut(|witness| witness.lines[line as usize].holder = self.0);
    }

    /// It does something at `now`, in this line, as one of the agent's parts is to, and no other; `None`: as all
    /// are, in all lines that they hold.
    pub fn does(&self, deed: Deed, now: Stamp, line: Option<u64>) {
        WITNESS.with_borrow_mut(|witness| witness.note(self.0, deed, now, line));
    }

    /// A bell is to ring for this deed.
    pub fn hangs_bell(&self, line: u64, deed: Deed) {
        WITNESS.with_borrow_mut(|witness| witness.lines[line as usize].bells.insert(deed));
    }

    /// The bell rings.
    pub fn rings_bell(&self, line: u64, deed: Deed) {
        WITNESS.with_borrow_mut(|witness| {
            if !witness.lines[line as usize].bells.remove(&deed) {
                witness.offences.push((deed, Offence::RangUnhung { line }));
            }
        });
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

    const NOW: Stamp = Stamp(5);

    #[test]
    fn a_life_does_a_thing_once() {
        let offences = offences_of(|| {
            let life = Life::begin();
            life.does(deed(1), NOW, None);
            life.does(deed(1), NOW, None);
        });
        assert_eq!(offences, [Offence::Again { life: 1 }]);
        assert!(did(1, &deed(1)) && !did(1, &deed(2)) && lives_that_did(&deed(1)) == 2);
    }

    #[test]
    fn what_is_for_one_another_does_only_when_the_first_has_ended() {
        let both = |is_for_one: bool, ends: bool| {
            offences_of(|| {
                let (first, second) = (Life::begin(), Life::begin());
                let line = |life: &Life| is_for_one.then(|| life.begin_line());
                first.does(deed(1), NOW, line(&first));
                if ends {
                    drop(first);
                }
                second.does(deed(1), NOW, line(&second));
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
            first.does(deed(2), NOW, None);
            second.does(deed(1), NOW, None);
            first.does(Deed { by: 2, ..deed(1) }, NOW, None);
            first.does(deed(1), NOW, None);
        });
        assert_eq!(offences, [Offence::Late { life: 1, after: 2 }]);
    }

    /// A line that goes to another life is as one that stays.
    #[test]
    fn what_holds_in_a_line_holds_across_lives() {
        fn check(act: impl Fn(&Life, u64), expect: &[Offence]) {
            let offences = offences_of(|| {
                let first = Life::begin();
                let (line, other) = (first.begin_line(), first.begin_line());
                first.does(deed(2), NOW, Some(line));
                first.hangs_bell(line, deed(2));
                drop(first);
                assert_eq!(silent_bell(), None, "nobody is to ring it");
                let second = Life::begin();
                second.takes_over(line);
                assert_eq!(silent_bell(), Some(deed(2)));
                second.does(deed(3), NOW, Some(other));
                act(&second, line);
            });
            assert_eq!(offences, expect);
        }
        check(|life, line| life.does(deed(3), NOW, Some(line)), &[Offence::Again { life: 2 }]);
        check(|life, line| life.does(deed(4), NOW, Some(line)), &[]);
        check(|life, _| life.does(deed(4), NOW, None), &[]);
        let again = [Offence::Late { life: 2, after: 3 }, Offence::AgainInLine { line: 0 }];
        check(|life, _| life.does(deed(2), NOW, None), &again);
        check(|life, line| life.does(deed(2), NOW, Some(line)), &again);
        let late = Offence::LateInLine { line: 0, after: 2 };
        let late = [Offence::Late { life: 2, after: 3 }, late];
        check(|life, line| life.does(deed(1), NOW, Some(line)), &late);
        let back = [Offence::TimeWentBack { line: 0, by_ns: 1 }];
        check(|life, line| life.does(deed(4), Stamp(4), Some(line)), &back);
        check(|life, line| life.rings_bell(line, deed(2)), &[]);
        let rang = [Offence::RangUnhung { line: 0 }];
        check(|life, line| life.rings_bell(line, deed(1)), &rang);
        check(|life, line| (0..2).for_each(|_| life.rings_bell(line, deed(2))), &rang);
    }
}
