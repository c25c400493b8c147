//! What a thread pays by itself, without another: to know what time it is, and to fetch what was not used for long.

use std::hint::black_box;
use std::time::Instant;

use crate::{Figure, pin, rate};

/// How many things there are, if it is not said.
pub const MANY: usize = 10_000;

const LINE_BYTES: usize = 64;

/// Reading the clock.
pub fn clock() -> Figure {
    pin(0);
    each(|| {
        black_box(Instant::now());
    })
}

/// One of `count` things of `bytes`, which says which comes next, by chance: it is counted on its first line.
pub fn line(bytes: usize, count: usize) -> Figure {
    pin(0);
    let mut things = vec![Thing::default(); count * bytes.div_ceil(LINE_BYTES)];
    let step = things.len() / count;
    for (from, to) in cycle(count) {
        things[from * step].next = to * step;
    }
    let mut at = 0;
    each(|| {
        let thing = &mut things[at];
        thing.count += 1;
        at = thing.next;
    })
}

/// A line of a thing.
#[derive(Clone, Default)]
#[repr(align(64))]
struct Thing {
    next: usize,
    count: u64,
}

/// A way that goes by all, each once (Sattolo), the same each time.
fn cycle(count: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut all: Vec<usize> = (0..count).collect();
    let mut random = 7u64;
    for index in (1..count).rev() {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        all.swap(index, (random >> 33) as usize % index);
    }
    all.into_iter().enumerate()
}

fn each(mut one: impl FnMut()) -> Figure {
    let rate = rate(|| {
        one();
        1
    });
    Figure::Each("ns", 1e9 / rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_goes_by_all() {
        let next: Vec<usize> = cycle(1000).map(|(_, to)| to).collect();
        let way = std::iter::successors(Some(next[0]), |at| Some(next[*at]).filter(|_| *at != 0));
        assert_eq!(way.count(), 1000);
    }
}
