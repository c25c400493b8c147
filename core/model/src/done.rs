//! Which numbers of one sender are done: everything below a floor, and a bounded set above it.
//!
//! Both ends keep one: the receiver's is a part of its done box (Escher §2.1, Ovid §3.1's PM), the
//! sender's tells it what it may forget. A destination that is sharded sees only some of the numbers; the
//! sender's floor, which comes with every message, closes the gaps.
//! Invariant: `above` holds only numbers at or over the floor, and is empty when none is.

use std::collections::VecDeque;

use crate::id::Number;

/// Most numbers above the floor that a set keeps: the largest number of messages that one sender may
/// have outstanding to one destination. 2 KiB a set at the most.
pub const WINDOW: u64 = 16_384;

const WORD: u64 = u64::BITS as u64;

/// A number lies further above the floor than [`WINDOW`]; nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("number {number} is {WINDOW} or more above the floor {floor}")]
pub struct OutOfWindow {
    /// The number that was given.
    pub number: Number,
    /// The lowest number that is not done.
    pub floor: Number,
}

/// A set of numbers: all below a floor, and some above it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NumberSet {
    floor: u64,
    /// Bit `i` of word `w` stands for `floor - floor % 64 + 64 w + i`; bits below the floor are unset.
    above: VecDeque<u64>,
}

impl NumberSet {
    /// The set of all numbers below `floor`.
    pub fn below(floor: Number) -> NumberSet {
        NumberSet { floor: floor.0, above: VecDeque::new() }
    }

    /// The lowest number that is not in the set.
    pub fn floor(&self) -> Number {
        Number(self.floor)
    }

    /// Whether `number` is in the set.
    pub fn contains(&self, number: Number) -> bool {
        number.0 < self.floor
            || self
                .place(number.0)
                .is_some_and(|(word, bit)| self.above.get(word).is_some_and(|bits| bits & bit != 0))
    }

    /// Whether `number` is near enough to the floor to be told apart from others.
    pub fn reaches(&self, number: Number) -> bool {
        number.0 < self.floor || self.place(number.0).is_some()
    }

    /// How many numbers above the floor are in the set.
    pub fn count_above(&self) -> u64 {
        self.above.iter().map(|bits| u64::from(bits.count_ones())).sum()
    }

    /// Adds a number, if it is the floor and there is none above it: whether it is. Cheaper than
    /// [`NumberSet::insert`], and does no more.
    #[inline]
    pub fn push(&mut self, number: Number) -> bool {
        let is_next = number.0 == self.floor && self.above.is_empty();
        self.floor += u64::from(is_next);
        is_next
    }

    /// Adds a number; says whether it was new. Cost: constant where numbers come in order.
    /// # Errors
    /// [`OutOfWindow`] when it is too far above the floor.
    pub fn insert(&mut self, number: Number) -> Result<bool, OutOfWindow> {
        if self.push(number) {
            return Ok(true);
        }
        if number.0 < self.floor {
            return Ok(false);
        }
        let Some((word, bit)) = self.place(number.0) else {
            return Err(OutOfWindow { number, floor: self.floor() });
        };
        if self.above.len() <= word {
            self.above.resize(word + 1, 0);
        }
        let new = self.above[word] & bit == 0;
        self.above[word] |= bit;
        self.settle();
        Ok(new)
    }

    /// Adds `count` numbers from `first` on.
    /// # Errors
    /// [`OutOfWindow`] when one of them is too far above the floor.
    #[inline]
    pub fn insert_run(&mut self, first: Number, count: u64) -> Result<(), OutOfWindow> {
        if first.0 == self.floor && self.above.is_empty() {
            self.floor += count;
            return Ok(());
        }
        (first.0..first.0 + count).try_for_each(|number| self.insert(Number(number)).map(|_| ()))
    }

    /// Takes a number out again, if it is in the set: what was here, and went back. Cost: how far below the
    /// floor it is. One more than [`WINDOW`] below it stays: no honest sender still keeps that.
    pub fn remove(&mut self, number: Number) {
        let (number, floor) = (number.0, self.floor);
        if number >= floor {
            let found = self.place(number);
            if let Some((word, bit)) = found.filter(|(word, _)| *word < self.above.len()) {
                self.above[word] &= !bit;
            }
        } else if floor - number <= WINDOW {
            (number / WORD..floor / WORD).for_each(|_| self.above.push_front(0));
            self.floor = number;
            let last = (floor / WORD - number / WORD) as usize;
            self.above.resize(self.above.len().max(last + 1), 0);
            for done in number + 1..floor {
                let (word, bit) = self.place(done).expect("it is within the window");
                self.above[word] |= bit;
            }
        }
        self.settle();
    }

    /// Adds all numbers below `floor`.
    pub fn raise(&mut self, floor: Number) {
        if floor.0 <= self.floor {
            return;
        }
        let words = (floor.0 / WORD - self.floor / WORD) as usize;
        self.above.drain(..words.min(self.above.len()));
        self.floor = floor.0;
        if let Some(first) = self.above.front_mut() {
            *first &= u64::MAX << (floor.0 % WORD);
        }
        self.settle();
    }

    /// The numbers above the floor that are in the set, as bits: the first word's lowest bit stands for the
    /// multiple of 64 at or below the floor.
    pub fn words(&self) -> Vec<u64> {
        self.above.iter().copied().collect()
    }

    /// The set of this floor and these words, as [`NumberSet::words`] gives them; what no set holds is left out.
    pub fn from_words(floor: Number, words: &[u64]) -> NumberSet {
        let mut set = NumberSet::below(floor);
        let base = floor.0 - floor.0 % WORD;
        for (index, bits) in words.iter().enumerate() {
            let numbers = (0..WORD).filter(|bit| bits & (1 << bit) != 0);
            numbers.for_each(|bit| {
                let _ = set.insert(Number(base.saturating_add(index as u64 * WORD + bit)));
            });
        }
        set
    }

    /// Adds everything that is in `other`: a new owner inherits the done boxes of the old ones.
    pub fn union(&mut self, other: &NumberSet) {
        self.raise(other.floor());
        let base = other.floor - other.floor % WORD;
        for (word, bits) in other.above.iter().enumerate() {
            for bit in (0..WORD).filter(|bit| bits & (1 << bit) != 0) {
                self.insert(Number(base + word as u64 * WORD + bit))
                    .expect("it was within the window of a floor that is no higher than ours");
            }
        }
    }

    /// Whether nothing above the floor is in the set.
    pub fn is_dense(&self) -> bool {
        self.above.is_empty()
    }

    /// Moves the floor over the numbers that are in the set, and drops what is below it.
    fn settle(&mut self) {
        while let Some(first) = self.above.front().copied() {
            let run = u64::from((first >> (self.floor % WORD)).trailing_ones());
            self.floor += run;
            let left_word = run > 0 && self.floor.is_multiple_of(WORD);
            match self.above.front_mut() {
                Some(_) if left_word => drop(self.above.pop_front()),
                Some(bits) => {
                    *bits &= u64::MAX << (self.floor % WORD);
                    break;
                }
                None => break,
            }
        }
        while self.above.back() == Some(&0) {
            self.above.pop_back();
        }
    }

    fn place(&self, number: u64) -> Option<(usize, u64)> {
        let distance = number.checked_sub(self.floor - self.floor % WORD)?;
        (number - self.floor.min(number) < WINDOW)
            .then_some(((distance / WORD) as usize, 1 << (distance % WORD)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Push(u64),
        Insert(u64),
        Run(u64, u64),
        Raise(u64),
        Remove(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..300u64).prop_map(Step::Push),
            8 => (0..300u64).prop_map(Step::Insert),
            2 => (0..300u64, 0..9u64).prop_map(|(first, count)| Step::Run(first, count)),
            1 => (0..300u64).prop_map(Step::Raise),
            2 => (0..300u64).prop_map(Step::Remove),
        ]
    }

    proptest! {
        #[test]
        fn a_set_of_numbers_is_a_set_of_numbers(steps in prop::collection::vec(step(), 0..400)) {
            let (mut set, mut oracle) = (NumberSet::default(), BTreeSet::new());
            for step in steps {
                match step {
                    Step::Push(n) => {
                        let is_next = oracle.len() as u64 == n && set.is_dense();
                        prop_assert_eq!(set.push(Number(n)), is_next);
                        oracle.extend(is_next.then_some(n));
                    }
                    Step::Insert(n) => {
                        prop_assert_eq!(set.insert(Number(n)), Ok(oracle.insert(n)));
                    }
                    Step::Run(first, count) => {
                        prop_assert_eq!(set.insert_run(Number(first), count), Ok(()));
                        oracle.extend(first..first + count);
                    }
                    Step::Remove(n) => {
                        set.remove(Number(n));
                        oracle.remove(&n);
                    }
                    Step::Raise(n) => {
                        set.raise(Number(n));
                        oracle.extend(0..n);
                    }
                }
                let floor = (0..).find(|n| !oracle.contains(n)).expect("a finite set has a gap");
                prop_assert_eq!(set.floor(), Number(floor));
                prop_assert_eq!(set.is_dense(), oracle.len() as u64 == floor);
                prop_assert_eq!(set.count_above(), oracle.len() as u64 - floor);
                prop_assert_eq!(&NumberSet::from_words(set.floor(), &set.words()), &set);
                for n in 0..320 {
                    prop_assert_eq!(set.contains(Number(n)), oracle.contains(&n));
                }
            }
        }

        #[test]
        fn a_union_holds_both(
            left in prop::collection::btree_set(0..500u64, 0..200),
            right in prop::collection::btree_set(0..500u64, 0..200),
        ) {
            let set = |numbers: &BTreeSet<u64>| {
                let mut set = NumberSet::default();
                numbers.iter().for_each(|n| assert!(set.insert(Number(*n)).is_ok()));
                set
            };
            let mut both = set(&left);
            both.union(&set(&right));
            for n in 0..600 {
                prop_assert_eq!(both.contains(Number(n)), left.contains(&n) || right.contains(&n));
            }
        }
    }

    #[test]
    fn a_number_outside_the_window_is_refused_and_changes_nothing() {
        let mut set = NumberSet::below(Number(10));
        let before = set.clone();
        let refused = set.insert(Number(10 + WINDOW));
        assert_eq!(refused, Err(OutOfWindow { number: Number(10 + WINDOW), floor: Number(10) }));
        assert_eq!(set, before);
        assert_eq!(set.insert(Number(9 + WINDOW)), Ok(true));
    }
}
