//! What the records of a ring are that its receiver has not settled: messages, as runs of numbers that follow each other.

use std::collections::VecDeque;

use daedal_model::id::Number;

use crate::conversation::ConversationIndex;
use crate::gather::Which;

/// Messages of one conversation, from the first on; or records that are none, or were told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    first: Option<Which>,
    count: u64,
}

impl Run {
    /// The name at this place, of records from `first` on.
    fn name(self, place: u64) -> Option<Which> {
        self.first.map(|(at, Number(first))| (at, Number(first + place)))
    }
}

/// All of one ring, in the order of its records.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    runs: VecDeque<Run>,
    /// Records that were pushed, and those of them that are settled.
    pushed: u64,
    settled: u64,
}

impl UnderWay {
    /// How many records.
    #[inline]
    pub fn count(&self) -> u64 {
        self.pushed - self.settled
    }

    /// One more. `name`: which message it is, if it is one.
    #[inline]
    pub fn push(&mut self, name: Option<Which>) {
        self.pushed += 1;
        match self.runs.back_mut() {
            Some(last) if last.name(last.count) == name => last.count += 1,
            _ => self.runs.push_back(Run { first: name, count: 1 }),
        }
    }

    /// The next messages that are done, of the first `taken` records: the first of them, and how many.
    pub fn next_done(&mut self, taken: u64) -> Option<(Which, u64)> {
        while self.settled < taken {
            let run = self.runs.front_mut()?;
            let count = run.count.min(taken - self.settled);
            let first = run.first;
            self.settled += count;
            (run.first, run.count) = (run.name(count), run.count - count);
            if run.count == 0 {
                self.runs.pop_front();
            }
            if let Some(first) = first {
                return Some((first, count));
            }
        }
        None
    }

    /// A message was told of: it is not done once its record is settled.
    pub fn told_of(&mut self, at: ConversationIndex, number: Number) {
        let place = |run: &Run| {
            let (_, first) = run.first.filter(|(its, _)| *its == at)?;
            number.0.checked_sub(first.0).filter(|place| *place < run.count)
        };
        let found =
            self.runs.iter().enumerate().find_map(|(index, run)| Some((index, place(run)?)));
        let Some((index, place)) = found else { return };
        let run = self.runs[index];
        let behind = Run { first: run.name(place + 1), count: run.count - place - 1 };
        self.runs[index] = Run { first: None, count: 1 };
        if behind.count > 0 {
            self.runs.insert(index + 1, behind);
        }
        if place > 0 {
            self.runs.insert(index, Run { count: place, ..run });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// As if each record were kept by itself.
        #[test]
        fn messages_are_done_in_the_order_of_their_records_but_for_those_that_were_told_of(
            steps in prop::collection::vec((0..8u8, 0..3u32, 0..30u64), 0..200),
        ) {
            let (mut under_way, mut model) = (UnderWay::default(), VecDeque::new());
            let (mut next, mut taken) = ([0; 3], 0);
            for (step, at, some) in steps {
                let index = ConversationIndex(at);
                match step {
                    0 => model.push_back(None),
                    1..5 => {
                        // Some numbers go elsewhere.
                        next[at as usize] += 1 + u64::from(some == 0);
                        model.push_back(Some((index, Number(next[at as usize]))));
                    }
                    5 => {
                        under_way.told_of(index, Number(some));
                        let of = model.iter_mut().find(|it| **it == Some((index, Number(some))));
                        of.into_iter().for_each(|it| *it = None);
                        continue;
                    }
                    _ => {
                        let settled = some.min(model.len() as u64);
                        taken += settled;
                        let done = std::iter::from_fn(|| under_way.next_done(taken));
                        let done: Vec<_> = done
                            .flat_map(|((at, first), count)| {
                                (0..count).map(move |place| (at, Number(first.0 + place)))
                            })
                            .collect();
                        let expect: Vec<_> = model.drain(..settled as usize).flatten().collect();
                        prop_assert_eq!(done, expect);
                        prop_assert_eq!(under_way.count(), model.len() as u64);
                        continue;
                    }
                }
                under_way.push(*model.back().expect("it was just pushed"));
            }
        }
    }
}
