//! A set of packet numbers that grows from below: everything up to `through`, and a bitmap of
//! [`SPAN_PACKETS`] above it.

use crate::limits::SPAN_PACKETS;

const WORDS: usize = (SPAN_PACKETS / 64) as usize;
const _: () = assert!(SPAN_PACKETS.is_multiple_of(64));

/// Invariant: the bit of a number stands at `number % SPAN_PACKETS`, and only numbers in
/// `through + 1 ..= through + SPAN_PACKETS` have one.
#[derive(Clone, Debug)]
pub(super) struct Window {
    through: u64,
    highest: u64,
    bits: [u64; WORDS],
}

impl Window {
    pub(super) fn new() -> Window {
        Window { through: 0, highest: 0, bits: [0; WORDS] }
    }

    /// Every number up to this one is in the set.
    pub(super) fn through(&self) -> u64 {
        self.through
    }

    /// As if so many more numbers had come.
    #[cfg(test)]
    pub(super) fn skip(&mut self, numbers: u64) {
        assert!(!self.has_gap());
        self.through += numbers;
        self.highest += numbers;
    }

    #[inline]
    pub(super) fn has_gap(&self) -> bool {
        self.highest > self.through
    }

    /// Whether `number` is too far ahead to be remembered.
    pub(super) fn is_beyond(&self, number: u64) -> bool {
        number > self.through.saturating_add(SPAN_PACKETS)
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        number <= self.through || (!self.is_beyond(number) && self.bit(number))
    }

    /// Adds `number`, which is not beyond the window.
    #[inline]
    pub(super) fn insert(&mut self, number: u64) {
        assert!(!self.is_beyond(number), "callers drop packets beyond the window");
        if number <= self.through {
            return;
        }
        if number == self.through + 1 && !self.has_gap() {
            (self.through, self.highest) = (number, number);
            return;
        }
        self.highest = self.highest.max(number);
        self.bits[word(number)] |= mask(number);
        while self.bit(self.through + 1) {
            self.through += 1;
            self.bits[word(self.through)] &= !mask(self.through);
        }
    }

    /// How many words hold everything above `through`.
    pub(super) fn words(&self) -> usize {
        (self.highest - self.through).div_ceil(64) as usize
    }

    /// Bits of the 64 numbers from `through + 1 + 64 * index`; `index` below [`Window::words`].
    pub(super) fn word(&self, index: usize) -> u64 {
        let first = self.through + 1 + 64 * index as u64;
        let shift = first % 64;
        let low = self.bits[word(first)] >> shift;
        let high = self.bits[word(first + 63)].checked_shl(64 - shift as u32).unwrap_or(0);
        low | high
    }

    fn bit(&self, number: u64) -> bool {
        self.bits[word(number)] & mask(number) != 0
    }
}

fn word(number: u64) -> usize {
    (number % SPAN_PACKETS / 64) as usize
}

fn mask(number: u64) -> u64 {
    1 << (number % 64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_window_is_a_set(steps in prop::collection::vec(1..150u64, 0..600)) {
            let mut window = Window::new();
            let mut set = BTreeSet::new();
            for step in steps {
                let number = window.through() + step;
                prop_assert_eq!(window.contains(number), set.contains(&number));
                window.insert(number);
                set.insert(number);
                prop_assert_eq!(window.has_gap(), window.through() != *set.last().unwrap());
                let mut seen = BTreeSet::from_iter(1..=window.through());
                for index in 0..window.words() {
                    for bit in (0..64).filter(|bit| window.word(index) >> bit & 1 == 1) {
                        seen.insert(window.through() + 1 + 64 * index as u64 + bit);
                    }
                }
                prop_assert_eq!(&seen, &set);
            }
        }
    }

    #[test]
    fn the_last_of_the_span_fits_and_the_next_is_beyond() {
        let mut window = Window::new();
        assert!(window.is_beyond(SPAN_PACKETS + 1));
        window.insert(SPAN_PACKETS);
        assert!(window.contains(SPAN_PACKETS) && !window.contains(1));
        assert_eq!(window.word(WORDS - 1), 1 << 63);
        (1..SPAN_PACKETS).for_each(|number| window.insert(number));
        assert_eq!(window.through(), SPAN_PACKETS);
        assert!(!window.has_gap() && window.words() == 0);
    }
}
