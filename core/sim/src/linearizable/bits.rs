//! A set of small numbers, known in advance to be below a bound.

const WORD: usize = u64::BITS as usize;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BitSet(Box<[u64]>);

impl BitSet {
    /// The empty set of numbers below `bound`.
    pub(super) fn new(bound: usize) -> BitSet {
        BitSet(vec![0; bound.div_ceil(WORD)].into())
    }

    pub(super) fn contains(&self, number: usize) -> bool {
        self.0[number / WORD] & (1 << (number % WORD)) != 0
    }

    pub(super) fn set(&mut self, number: usize, is_in: bool) {
        let bit = 1 << (number % WORD);
        match is_in {
            true => self.0[number / WORD] |= bit,
            false => self.0[number / WORD] &= !bit,
        }
    }

    pub(super) fn is_subset(&self, of: &BitSet) -> bool {
        self.0.iter().zip(&of.0).all(|(left, right)| left & !right == 0)
    }

    /// The set without the full words that it begins with and the empty ones that it ends with, and how
    /// many it begins with: as good as the set, and short where numbers come nearly in order.
    pub(super) fn window(&self) -> (usize, Box<[u64]>) {
        let start = self.0.iter().take_while(|word| **word == u64::MAX).count();
        let rest = &self.0[start..];
        let used = rest.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
        (start, rest[..used].into())
    }

    /// The lowest number that is not in the set; no lower than the bound if all are.
    pub(super) fn first_unset(&self) -> usize {
        let full = self.0.iter().take_while(|word| **word == u64::MAX).count();
        full * WORD + self.0.get(full).map_or(0, |word| word.trailing_ones() as usize)
    }
}
