//! An agent's inbox: what came and could not run (Ovid §3.1, IM).
//!
//! Messages that a filter may want at any time are offered one after another whenever it may have changed
//! its mind. Those that bring a number stand by it, so that the one whose turn it is is found, however many
//! wait (Ovid figure 6: decisions of a numberer are learned in the order of their slots).

use std::collections::{BTreeMap, VecDeque};

use crate::slot::Parked;

/// What waits for one agent.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    unnumbered: VecDeque<Parked>,
    /// By number, then in the order of arrival.
    numbered: BTreeMap<(u64, u64), Parked>,
    /// Numbered messages that came, counted.
    came: u64,
}

impl Inbox {
    /// Keeps a message, behind those that wait. `number`: the one that it brings.
    pub fn push(&mut self, number: Option<u64>, parked: Parked) {
        match number {
            None => self.unnumbered.push_back(parked),
            Some(number) => {
                self.came += 1;
                self.numbered.insert((number, self.came), parked);
            }
        }
    }

    /// How many wait that bring no number.
    pub fn unnumbered_count(&self) -> usize {
        self.unnumbered.len()
    }

    /// Takes out the first that brings no number.
    pub fn pop_unnumbered(&mut self) -> Option<Parked> {
        self.unnumbered.pop_front()
    }

    /// Takes out the message with the lowest number, if that is `want` or has been.
    pub fn pop_wanted(&mut self, want: u64) -> Option<Parked> {
        let first = self.numbered.first_entry()?;
        (first.key().0 <= want).then(|| first.remove())
    }

    /// The lowest number that waits.
    #[inline]
    pub fn lowest(&self) -> Option<u64> {
        self.numbered.first_key_value().map(|((number, _), _)| *number)
    }

    /// Takes out the first `most` that bring no number, or one that is `want` or has been.
    pub fn take_some(&mut self, want: u64, most: usize) -> Vec<Parked> {
        let count = most.min(self.unnumbered.len());
        let mut taken: Vec<Parked> = self.unnumbered.drain(..count).collect();
        while taken.len() < most
            && let Some(parked) = self.pop_wanted(want)
        {
            taken.push(parked);
        }
        taken
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.unnumbered.is_empty() && self.numbered.is_empty()
    }

    /// Everything that waits.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Parked> {
        self.unnumbered.iter_mut().chain(self.numbered.values_mut())
    }

    /// Everything that waits.
    pub fn into_all(self) -> impl Iterator<Item = Parked> {
        self.unnumbered.into_iter().chain(self.numbered.into_values())
    }
}
