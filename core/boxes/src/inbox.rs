//! An agent's inbox: what came and could not run (Ovid §3.1, IM).
//!
//! Messages that a filter may want at any time are offered one after another whenever it may have changed
//! its mind. Those that bring a number stand by it, so that the one whose turn it is is found, however many
//! wait (Ovid figure 6: decisions of a numberer are learned in the order of their slots).

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};

use crate::plane::Via;
use crate::slot::Parked;

/// What waits for one agent. Nothing mostly, and then it is a pointer to nothing.
#[derive(Debug, Default)]
pub(crate) struct Inbox(Option<Box<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    unnumbered: VecDeque<Parked>,
    /// By number, then in the order of arrival.
    numbered: BTreeMap<(u64, u64), Parked>,
    /// Numbered messages that came, counted.
    came: u64,
    load: Load,
    /// Whom messages were handed back to since there was room.
    refused: Vec<Via>,
}

/// How much waits: for an agent, here, in lines, or for one of many; or of what it has sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub messages: usize,
    pub bytes: usize,
}

impl Load {
    /// So many times as much, divided.
    pub const fn scaled(self, by: usize, of: usize) -> Load {
        Load { messages: self.messages * by / of, bytes: self.bytes * by / of }
    }

    /// Whether it has as many messages as a mark, or as many bytes.
    pub fn reaches(self, mark: Load) -> bool {
        self.messages >= mark.messages || self.bytes >= mark.bytes
    }
}

impl Inbox {
    /// Keeps a message, behind those that wait. `number`: the one that it brings.
    pub fn push(&mut self, number: Option<u64>, parked: Parked) {
        let waiting = self.0.get_or_insert_default();
        match number {
            None => waiting.unnumbered.push_back(parked),
            Some(number) => {
                waiting.came += 1;
                waiting.numbered.insert((number, waiting.came), parked);
            }
        }
    }

    /// How much waits, wherever.
    #[inline]
    pub fn load(&self) -> Load {
        self.0.as_ref().map_or(Load::default(), |waiting| waiting.load)
    }

    /// A message has begun to wait.
    pub fn add_load(&mut self, parked: &Parked) {
        let load = &mut self.0.get_or_insert_default().load;
        load.messages += 1;
        load.bytes += parked.record.len();
    }

    /// A message waits no longer.
    pub fn take_load(&mut self, parked: &Parked) {
        if let Some(Load { messages, bytes }) = self.0.as_mut().map(|waiting| &mut waiting.load) {
            *messages = messages.saturating_sub(1);
            *bytes = bytes.saturating_sub(parked.record.len());
        }
    }

    /// Takes note of whom a message is handed back to; whether nobody was before.
    pub fn refuse(&mut self, via: Via) -> bool {
        let refused = &mut self.0.get_or_insert_default().refused;
        let is_first = refused.is_empty();
        if !refused.contains(&via) {
            refused.push(via);
        }
        is_first
    }

    /// Whom messages were handed back to: there is room again.
    pub fn take_refused(&mut self) -> Vec<Via> {
        self.0.as_mut().map(|waiting| std::mem::take(&mut waiting.refused)).unwrap_or_default()
    }

    /// How many wait that bring no number.
    #[inline]
    pub fn unnumbered_count(&self) -> usize {
        self.0.as_ref().map_or(0, |waiting| waiting.unnumbered.len())
    }

    /// Takes out the first that brings no number.
    pub fn pop_unnumbered(&mut self) -> Option<Parked> {
        self.0.as_mut()?.unnumbered.pop_front()
    }

    /// Takes out the message with the lowest number, if that is `want` or has been.
    pub fn pop_wanted(&mut self, want: u64) -> Option<Parked> {
        let first = self.0.as_mut()?.numbered.first_entry()?;
        (first.key().0 <= want).then(|| first.remove())
    }

    /// Takes out the message with the highest number, if that is above `number`, of those that have a sender.
    pub fn pop_above(&mut self, number: u64) -> Option<Parked> {
        let numbered = &mut self.0.as_mut()?.numbered;
        let mut above = numbered.range((Excluded((number, u64::MAX)), Unbounded)).rev();
        let (key, _) = above.find(|(_, parked)| parked.via != Via::Nowhere)?;
        let key = *key;
        numbered.remove(&key)
    }

    /// The lowest number that waits.
    #[inline]
    pub fn lowest(&self) -> Option<u64> {
        self.0.as_ref()?.numbered.first_key_value().map(|((number, _), _)| *number)
    }

    /// Takes out the first `most` that bring no number, or one that is `want` or has been.
    pub fn take_some(&mut self, want: u64, most: usize) -> Vec<Parked> {
        let mut taken = Vec::new();
        for _ in 0..most.min(self.unnumbered_count()) {
            taken.extend(self.pop_unnumbered());
        }
        while taken.len() < most
            && let Some(parked) = self.pop_wanted(want)
        {
            taken.push(parked);
        }
        taken
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.unnumbered_count() == 0 && self.lowest().is_none()
    }

    /// Everything that waits.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Parked> {
        self.0.iter_mut().flat_map(|waiting| {
            let Waiting { unnumbered, numbered, .. } = &mut **waiting;
            unnumbered.iter_mut().chain(numbered.values_mut())
        })
    }

    /// Everything that waits.
    pub fn into_all(self) -> impl Iterator<Item = Parked> {
        self.0.into_iter().flat_map(|waiting| {
            let Waiting { unnumbered, numbered, .. } = *waiting;
            unnumbered.into_iter().chain(numbered.into_values())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::Trust;
    use crate::slot::SlotIndex;

    #[test]
    fn what_has_the_highest_number_goes_back_if_it_has_a_sender() {
        let mut inbox = Inbox::default();
        let neighbour = Via::Local(SlotIndex(1));
        for (number, via) in [(3, neighbour), (5, neighbour), (u64::MAX, Via::Nowhere)] {
            let record = vec![0; number.min(9) as usize];
            inbox.push(Some(number), Parked { record, trust: Trust::Ours, via });
        }
        let above = |inbox: &mut Inbox, number| inbox.pop_above(number).map(|it| it.record.len());
        assert_eq!(above(&mut inbox, u64::MAX), None);
        assert_eq!(above(&mut inbox, 5), None);
        assert_eq!(above(&mut inbox, 4), Some(5));
        assert_eq!(above(&mut inbox, 0), Some(3));
        assert_eq!(above(&mut inbox, 0), None);
        assert_eq!(inbox.lowest(), Some(u64::MAX));
    }
}
