//! Who asked what: by the number of the request, in a ring, since numbers of one conversation follow
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
    /// Number of the first in the ring.
    first: u64,
    /// `None`: answered before an earlier one.
    ring: VecDeque<Option<Asker>>,
}

impl Asked {
    /// How many places are taken up.
    pub(super) fn len(&self) -> usize {
        self.ring.len()
    }

    /// Adds a request, whose number follows that of the one before.
    pub(super) fn push(&mut self, number: Number, asker: Asker) {
        if self.ring.is_empty() {
            self.first = number.0;
        }
        assert_eq!(number.0, self.first + self.ring.len() as u64, "numbers follow each other");
        self.ring.push_back(Some(asker));
    }

    /// Takes out whose request of this number was; nobody's if it was answered before.
    pub(super) fn take(&mut self, number: Number) -> Option<Asker> {
        let index = usize::try_from(number.0.checked_sub(self.first)?).ok()?;
        let asker = self.ring.get_mut(index)?.take();
        while let Some(None) = self.ring.front() {
            self.ring.pop_front();
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
        for (number, left) in [(6, 4), (8, 4), (5, 2), (7, 0)] {
            let client = asked.take(Number(number)).map(|asker| asker.client);
            assert_eq!(client, Some(number as usize));
            assert_eq!(asked.len(), left);
            assert!(asked.take(Number(number)).is_none());
        }
        assert!(asked.take(Number(4)).is_none() && asked.take(Number(99)).is_none());
        asked.push(Number(9), asker(9));
        assert_eq!(asked.take(Number(9)).map(|asker| asker.client), Some(9));
    }
}
