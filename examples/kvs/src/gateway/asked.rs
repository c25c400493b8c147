//! Who asked what: by the number of the request, in a ring, since numbers of one lane nearly follow
//! each other and answers come back in nearly that order.

use std::collections::VecDeque;

use daedal::Number;

use crate::connection::Ticket;

/// Whose request it was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker {
    /// Where the client stood; that it is still the same one, the ticket tells.
    pub(super) client: usize,
    pub(super) ticket: Ticket,
    /// The answer says how many keys there are.
    pub(super) counts_keys: bool,
}

/// Requests that are not answered.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// By lane.
    rings: Vec<Ring>,
    count: usize,
}

#[derive(Debug, Default)]
struct Ring {
    /// Number of the first in the ring.
    first: u64,
    /// `None`: answered before an earlier one, or nobody's.
    askers: VecDeque<Option<Asker>>,
}

impl Asked {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Adds a request, whose number is higher than that of the one before in its lane.
    pub(super) fn push(&mut self, number: Number, asker: Asker) {
        let lane = usize::from(number.lane());
        if self.rings.len() <= lane {
            self.rings.resize_with(lane + 1, Ring::default);
        }
        self.rings[lane].push(number.0, asker);
        self.count += 1;
    }

    /// Takes out whose request of this number was; nobody's if it was answered before.
    pub(super) fn take(&mut self, number: Number) -> Option<Asker> {
        let asker = self.rings.get_mut(usize::from(number.lane()))?.take(number.0)?;
        self.count -= 1;
        Some(asker)
    }
}

impl Ring {
    fn push(&mut self, number: u64, asker: Asker) {
        if self.askers.is_empty() {
            self.first = number;
        }
        let index = number.checked_sub(self.first).expect("numbers of a lane rise");
        // Numbers between are parts of requests to all shards.
        self.askers.resize(self.askers.len().max(index as usize), None);
        self.askers.push_back(Some(asker));
    }

    fn take(&mut self, number: u64) -> Option<Asker> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let asker = self.askers.get_mut(index)?.take();
        while let Some(None) = self.askers.front() {
            self.askers.pop_front();
            self.first += 1;
        }
        asker
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_finds_its_asker_once_and_in_any_order() {
        let mut asked = Asked::default();
        let asker = |client| Asker { client, ticket: Ticket::from(7), counts_keys: false };
        for number in 5..9 {
            asked.push(Number(number), asker(number as usize));
        }
        for (number, left) in [(6, 3), (8, 2), (5, 1), (7, 0)] {
            let client = asked.take(Number(number)).map(|asker| asker.client);
            assert_eq!(client, Some(number as usize));
            assert_eq!(asked.len(), left);
            assert!(asked.take(Number(number)).is_none());
        }
        assert!(asked.take(Number(4)).is_none() && asked.take(Number(99)).is_none());
        asked.push(Number(9), asker(9));
        asked.push(Number(12), asker(12));
        for number in [9, 12] {
            assert!(asked.take(Number(11)).is_none());
            assert_eq!(asked.take(Number(number)).map(|it| it.client), Some(number as usize));
        }
    }
}
