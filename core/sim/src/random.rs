//! The simulator's only source of randomness: a seeded generator, and streams forked from it by name.
//!
//! Not for secrets. Integer arithmetic alone, so that debug and release builds, and different
//! machines, decide alike.
//! Invariant: a stream depends on its seed and labels, never on what was drawn elsewhere, so that one
//! more draw in one place changes nothing in another.
//! Sources: Blackman and Vigna, xoshiro256** and splitmix64; Lemire, "Fast random integer generation
//! in an interval".

use std::ops::Range;

/// What [`Random::chance`] counts in.
pub const MILLION: u32 = 1_000_000;

/// A stream of random numbers, the same for the same seed and labels.
#[derive(Clone, Debug)]
pub struct Random {
    seed: u64,
    state: [u64; 4],
}

impl Random {
    /// The stream of a seed. Every seed is as good as any other.
    pub fn new(seed: u64) -> Random {
        let mut mixer = seed;
        Random { seed, state: std::array::from_fn(|_| split_mix(&mut mixer)) }
    }

    /// A stream of its own for `label`: the same however much was drawn from `self`.
    pub fn fork(&self, label: &str) -> Random {
        let mut mixer = self.seed;
        let mut seed = split_mix(&mut mixer);
        for byte in label.bytes() {
            mixer ^= u64::from(byte);
            seed ^= split_mix(&mut mixer);
        }
        Random::new(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        let [s0, s1, s2, s3] = &mut self.state;
        let result = s1.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = *s1 << 17;
        *s2 ^= *s0;
        *s3 ^= *s1;
        *s1 ^= *s2;
        *s0 ^= *s3;
        *s2 ^= shifted;
        *s3 = s3.rotate_left(45);
        result
    }

    /// A number below `bound`, each equally likely.
    /// # Panics
    /// When `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "no number is below 0");
        // Low halves under this belong to results that would come once too often. One round in
        // 2^64 / bound repeats.
        let unfair = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.bits()) * u128::from(bound);
            if product as u64 >= unfair {
                return (product >> 64) as u64;
            }
        }
    }

    /// A number of `range`, each equally likely.
    /// # Panics
    /// When `range` is empty.
    pub fn range(&mut self, range: Range<u64>) -> u64 {
        assert!(range.start < range.end, "{range:?} is empty");
        range.start + self.below(range.end - range.start)
    }

    /// True `per_million` times in a million; always from [`MILLION`] on.
    pub fn chance(&mut self, per_million: u32) -> bool {
        self.below(u64::from(MILLION)) < u64::from(per_million)
    }

    /// A delay with the given mean, about exponentially distributed, below 44 means.
    ///
    /// The logarithm is taken between powers of two by a straight line; its mean is then 3/2 exactly,
    /// which the factor 2/3 takes back.
    pub fn delay(&mut self, mean: u64) -> u64 {
        let bits = self.bits() | 1;
        let zeros = bits.leading_zeros();
        // The 32 bits after the leading one; where fewer are left, zeros follow.
        let fraction = ((bits << zeros) << 1) >> 32;
        let scaled = (u64::from(zeros) << 32) + ((1 << 32) - fraction);
        let product = u128::from(mean) * u128::from(scaled) * 2 / 3;
        u64::try_from(product >> 32).unwrap_or(u64::MAX)
    }

    /// One of `items`, each equally likely. `None` when there is none.
    pub fn choose<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        if items.is_empty() {
            return None;
        }
        items.get(self.below(items.len() as u64) as usize)
    }

    /// Brings `items` into an order that is as likely as any other.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end as u64 + 1) as usize);
        }
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(mut random: Random) -> [u64; 8] {
        std::array::from_fn(|_| random.bits())
    }

    #[test]
    fn the_generators_are_the_published_ones() {
        let mut state = 1_234_567;
        let mixed: [u64; 3] = std::array::from_fn(|_| split_mix(&mut state));
        let expect =
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(mixed, expect);
        let mut random = Random { seed: 0, state: [1, 2, 3, 4] };
        let first: [u64; 4] = std::array::from_fn(|_| random.bits());
        assert_eq!(first, [11_520, 0, 1_509_978_240, 1_215_971_899_390_074_240]);
    }

    #[test]
    fn a_fork_does_not_depend_on_what_was_drawn_before_it() {
        let mut random = Random::new(7);
        let early = draw(random.fork("network"));
        for _ in 0..100 {
            random.bits();
        }
        assert_eq!(draw(random.fork("network")), early);
    }

    #[test]
    fn streams_of_different_labels_and_seeds_differ() {
        let random = Random::new(7);
        let mut streams = vec![draw(random.clone()), draw(Random::new(8))];
        for label in ["", "a", "b", "ab", "ba", "a\0"] {
            streams.push(draw(random.fork(label)));
        }
        streams.push(draw(random.fork("a").fork("b")));
        let distinct: std::collections::BTreeSet<_> = streams.iter().collect();
        assert_eq!(distinct.len(), streams.len());
    }

    #[test]
    fn below_reaches_every_number_about_equally_often() {
        let mut random = Random::new(1);
        let mut counts = [0_u32; 7];
        for _ in 0..70_000 {
            counts[random.below(7) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
        assert!((0..100).all(|_| random.below(1) == 0));
        assert!((0..100).all(|_| (5..9).contains(&random.range(5..9))));
    }

    #[test]
    fn a_chance_comes_as_often_as_it_says() {
        let mut random = Random::new(2);
        let mut happened =
            |per_million| (0..100_000).filter(|_| random.chance(per_million)).count();
        assert_eq!(happened(0), 0);
        assert_eq!(happened(MILLION), 100_000);
        assert!((29_000..31_000).contains(&happened(300_000)));
    }

    #[test]
    fn delays_have_their_mean_and_the_tail_of_an_exponential() {
        let mut random = Random::new(3);
        let delays: Vec<u64> = (0..200_000).map(|_| random.delay(1_000_000)).collect();
        let mean = delays.iter().sum::<u64>() / delays.len() as u64;
        assert!((990_000..1_010_000).contains(&mean), "{mean}");
        let over =
            |bound| delays.iter().filter(|delay| **delay > bound).count() * 1_000 / delays.len();
        // e^-1 = 0.368, e^-3 = 0.050
        assert!((340..395).contains(&over(1_000_000)), "{}", over(1_000_000));
        assert!((40..60).contains(&over(3_000_000)), "{}", over(3_000_000));
        assert_eq!(random.delay(0), 0);
        assert!((0..1_000).all(|_| random.delay(u64::MAX) > 0));
    }

    #[test]
    fn shuffling_keeps_the_items_and_reaches_every_order() {
        let mut random = Random::new(4);
        let mut orders = std::collections::BTreeSet::new();
        for _ in 0..500 {
            let mut items = [1, 2, 3, 4];
            random.shuffle(&mut items);
            orders.insert(items);
        }
        assert_eq!(orders.len(), 24);
        assert_eq!(random.choose::<u8>(&[]), None);
        assert!((0..50).all(|_| [1, 2, 3].contains(random.choose(&[1, 2, 3]).unwrap())));
    }
}
