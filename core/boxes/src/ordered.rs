//! The stage `ordered`: one sender's messages to one leaf are processed in the order in which they were
//! sent, whatever overtakes whatever on the way (Ovid §3.4 leaves order to those who need it).
//!
//! The ingress, at the sender (`plane`, `conversation`), gives a message its *place* in the line to its leaf
//! when it leaves, and the same place again if it goes there again. It changes to new ways only while
//! nothing is under way.
//! The egress, at the leaf, holds back what comes before its turn; a message whose turn has come and that
//! the agent's filter does not want keeps its place, and those behind it wait.
//!
//! What comes in its turn costs a look-up and nothing else. What is held back is bounded by the window of
//! its sender: places beyond are dropped as invalid.

use std::collections::{BTreeMap, BTreeSet};

use daedal_model::done::NumberSet;
use daedal_model::id::{AgentId, Number, Space};
use daedal_net::driver::Driver;

use crate::deliver::Trust;
use crate::plane::Via;
use crate::planted::{self, Bug};
use crate::record::Record;
use crate::slot::{Parked, SlotIndex, Spaces};
use crate::turn::{Fate, Turn};

/// A place in a line, counted from 1. 0: none yet.
pub(crate) type Place = u64;
/// The place of a message that has not left yet.
pub(crate) const NO_PLACE: Place = 0;

/// Whose line: the sender's source and space.
pub(crate) type Whose = (AgentId, Space);

fn whose(record: &Record<'_>) -> Whose {
    let name = record.name();
    (name.source, name.space)
}

/// The receiver's half, for one agent. Of one that is sent nothing in order it is a pointer to nothing.
#[derive(Debug, Default)]
pub(crate) struct Egress(Option<Box<Held>>);

#[derive(Debug, Default)]
struct Held {
    lines: BTreeMap<Whose, Line>,
    /// Lines whose next message is here, and was not wanted when it was offered.
    stalled: BTreeSet<Whose>,
}

#[derive(Debug)]
struct Line {
    /// Places whose messages need not be waited for.
    passed: NumberSet,
    held: BTreeMap<Place, Parked>,
}

impl Default for Line {
    fn default() -> Line {
        Line { passed: NumberSet::below(Number(NO_PLACE + 1)), held: BTreeMap::new() }
    }
}

impl Line {
    fn next(&self) -> Place {
        self.passed.floor().0
    }
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its turn has come, or was before.
    Now,
    /// Others come first.
    Early,
    /// Further ahead than any honest sender is.
    Beyond,
}

impl Egress {
    #[inline]
    fn line(&mut self, whose: Whose) -> &mut Line {
        self.0.get_or_insert_default().lines.entry(whose).or_default()
    }

    /// Where a message with this place stands.
    #[inline]
    pub fn standing(&mut self, whose: Whose, place: Place) -> Standing {
        let line = self.line(whose);
        if place <= line.next() {
            Standing::Now
        } else if line.passed.reaches(Number(place)) {
            Standing::Early
        } else {
            Standing::Beyond
        }
    }

    /// Keeps a message at its place.
    pub fn hold(&mut self, whose: Whose, place: Place, parked: Parked) {
        let line = self.line(whose);
        let is_stalled = place <= line.next();
        line.held.insert(place, parked);
        if is_stalled {
            self.0.get_or_insert_default().stalled.insert(whose);
        }
    }

    /// Whether a message of this place is held.
    pub fn holds(&self, record: &Record<'_>) -> bool {
        let line = self.0.as_ref().and_then(|held| held.lines.get(&whose(record)));
        line.zip(record.place()).is_some_and(|(line, place)| line.held.contains_key(&place))
    }

    /// A place need not be waited for any longer.
    #[inline]
    pub fn pass(&mut self, whose: Whose, place: Place) {
        // Beyond the window it was no honest sender's.
        let _ = self.line(whose).passed.insert(Number(place));
    }

    /// Takes out the message whose turn it is, if it is here.
    #[inline]
    pub fn call(&mut self, whose: Whose) -> Option<(Place, Parked)> {
        let held = self.0.as_mut()?;
        let line = held.lines.get_mut(&whose)?;
        let entry = line.held.first_entry()?;
        if *entry.key() > line.passed.floor().0 {
            return None;
        }
        held.stalled.remove(&whose);
        Some(entry.remove_entry())
    }

    /// Whether a line stands still until the agent wants something else.
    #[inline]
    pub fn is_stalled(&self) -> bool {
        self.0.as_ref().is_some_and(|held| !held.stalled.is_empty())
    }

    /// The lines that stand still.
    pub fn stalled(&self) -> Vec<Whose> {
        self.0.iter().flat_map(|held| held.stalled.iter().copied()).collect()
    }

    /// How many lines there are.
    pub fn count(&self) -> usize {
        self.0.as_ref().map_or(0, |held| held.lines.len())
    }

    /// Nothing of these spaces comes any more. What is here, and whose turn has not come, it never will: that is
    /// given out.
    pub fn forget(&mut self, retired: &Spaces) -> Vec<Parked> {
        let Some(held) = &mut self.0 else { return Vec::new() };
        let Held { lines, stalled } = &mut **held;
        let is_over =
            |whose: &Whose, _: &mut Line| retired.contains(&whose.1) && !stalled.contains(whose);
        lines.extract_if(.., is_over).flat_map(|(_, line)| line.held.into_values()).collect()
    }

    /// Everything that is held.
    pub fn held_mut(&mut self) -> impl Iterator<Item = &mut Parked> {
        let lines = self.0.iter_mut().flat_map(|held| held.lines.values_mut());
        lines.flat_map(|line| line.held.values_mut())
    }

    /// Takes out everything that is held, in the order of the lines, which stay where they are.
    pub fn take_held(&mut self) -> Vec<Parked> {
        let Some(held) = &mut self.0 else { return Vec::new() };
        held.stalled.clear();
        let held = held.lines.values_mut().map(|line| std::mem::take(&mut line.held));
        held.flat_map(BTreeMap::into_values).collect()
    }
}

impl<D: Driver> Turn<D> {
    /// Hands a message to its agent if it is its turn, and then those that waited for it.
    pub(crate) fn deliver_in_line(
        &mut self,
        to: SlotIndex,
        place: Place,
        record: &Record<'_>,
        trust: Trust,
        via: Via,
    ) -> Fate {
        let Some(slot) = &mut self.slots[to.0 as usize] else { return Fate::Returned };
        let fate = match slot.egress.standing(whose(record), place) {
            Standing::Now => self.offer(to, record, trust, via),
            Standing::Early if planted::is(Bug::EarlyTaken) => self.offer(to, record, trust, via),
            Standing::Early => {
                self.plane.counts.held_back += 1;
                Fate::Parked
            }
            Standing::Beyond => {
                self.plane.counts.invalid += 1;
                return Fate::Done;
            }
        };
        if fate == Fate::Parked {
            let Some(parked) = self.copy_out(to, record, trust, via) else {
                if planted::is(Bug::FullPasses) {
                    self.pass(to, record);
                }
                return Fate::Full;
            };
            if let Some(slot) = &mut self.slots[to.0 as usize] {
                slot.egress.hold(whose(record), place, parked);
            }
        } else {
            self.pass(to, record);
        }
        fate
    }

    /// A message need not be waited for any longer: those behind it have their turn.
    pub(crate) fn pass(&mut self, to: SlotIndex, record: &Record<'_>) {
        let Some(place @ 1..) = record.place() else { return };
        if let Some(slot) = &mut self.slots[to.0 as usize] {
            slot.egress.pass(whose(record), place);
        }
        self.call(to, whose(record));
    }

    /// Offers what a line's turn has come to, as far as it is here and wanted. Whether anything was.
    fn call(&mut self, to: SlotIndex, whose: Whose) -> bool {
        let mut any = false;
        while let Some(slot) = &mut self.slots[to.0 as usize]
            && let Some((place, parked)) = slot.egress.call(whose)
        {
            let record = Record::of(&parked.record);
            let fate = self.offer(to, &record, parked.trust, parked.via);
            let Some(slot) = &mut self.slots[to.0 as usize] else { break };
            if fate == Fate::Parked {
                slot.egress.hold(whose, place, parked);
                break;
            }
            slot.egress.pass(whose, place);
            self.settle_parked(to, &parked, fate);
            any = true;
        }
        any
    }

    /// Offers again what stood at the head of a line and was not wanted.
    pub(crate) fn call_stalled(&mut self, index: SlotIndex) -> bool {
        let Some(slot) = &self.slots[index.0 as usize] else { return false };
        let mut any = false;
        for whose in slot.egress.stalled() {
            any |= self.call(index, whose);
        }
        any
    }
}
