//! The asks of one conversation that are not answered: an ask has one answer, whichever ways it went by.
//!
//! An ask is open from the moment that it has its number. Whatever ends it (a reply, a refusal, the word
//! that nothing is known) closes it; what comes after that is nobody's. The links that it went over are
//! watched meanwhile: a peer that starts again will not answer.

use std::collections::VecDeque;

use daedal_model::id::Number;

/// Stands for no link: the ask waits here, or went to an agent of this box.
const NO_LINK: u32 = u32::MAX;

/// In the order of their numbers; one that went over several links has an entry for each.
#[derive(Debug, Default)]
pub(crate) struct OpenAsks {
    entries: VecDeque<(Number, u32)>,
}

impl OpenAsks {
    /// An ask has got its number, which is higher than those before.
    #[inline]
    pub fn open(&mut self, number: Number) {
        debug_assert!(self.entries.back().is_none_or(|(last, _)| *last < number));
        self.entries.push_back((number, NO_LINK));
    }

    /// How many are open; one that went over several links counts as often.
    #[inline]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether an ask is open.
    #[cfg(test)]
    pub fn is_open(&self, number: Number) -> bool {
        let at = self.first_of(number);
        self.entries.get(at).is_some_and(|(open, _)| *open == number)
    }

    /// An ask went over a link. `false`: it is not open, or that was known.
    #[inline]
    pub fn went(&mut self, number: Number, link: u32) -> bool {
        // Mostly it has just been opened, so that this is its only entry.
        let last = self.entries.len().wrapping_sub(1);
        let is_only = |before: &(Number, u32)| before.0 != number;
        if self.entries.back() == Some(&(number, NO_LINK))
            && self.entries.get(last.wrapping_sub(1)).is_none_or(is_only)
        {
            self.entries[last].1 = link;
            return true;
        }
        let first = self.first_of(number);
        let entries = || self.entries.iter().skip(first).take_while(|(open, _)| *open == number);
        let count = entries().count();
        if count == 0 || entries().any(|(_, over)| *over == link) {
            return false;
        }
        match entries().position(|(_, over)| *over == NO_LINK) {
            Some(at) => self.entries[first + at].1 = link,
            None => self.entries.insert(first + count, (number, link)),
        }
        true
    }

    /// An ask is not with the peer of this link any more. `false`: it was not.
    pub fn came_back(&mut self, number: Number, link: u32) -> bool {
        let first = self.first_of(number);
        let mut entries = self.entries.iter_mut().skip(first);
        let found = entries.find(|it| **it == (number, link));
        found.map(|it| it.1 = NO_LINK).is_some()
    }

    /// A link is no more.
    pub fn forget_link(&mut self, link: u32) {
        let over = self.entries.iter_mut().filter(|(_, over)| *over == link);
        over.for_each(|(_, over)| *over = NO_LINK);
    }

    /// An ask is over: calls `went_over` with each link that it went over. `false`: it was not open.
    #[inline]
    pub fn close(&mut self, number: Number, mut went_over: impl FnMut(u32)) -> bool {
        // Who asks one thing at a time pays for one.
        if let (1, Some(&(open, link))) = (self.entries.len(), self.entries.front()) {
            if open == number {
                self.entries.clear();
            }
            if open == number && link != NO_LINK {
                went_over(link);
            }
            return open == number;
        }
        let at = self.first_of(number);
        let mut was_open = false;
        while let Some(&(open, link)) = self.entries.get(at)
            && open == number
        {
            was_open = true;
            if link != NO_LINK {
                went_over(link);
            }
            match at {
                0 => drop(self.entries.pop_front()),
                at => drop(self.entries.remove(at)),
            }
        }
        was_open
    }

    /// The asks that went over a link.
    pub fn over(&self, link: u32) -> impl Iterator<Item = Number> {
        self.entries.iter().filter(move |(_, over)| *over == link).map(|(number, _)| *number)
    }

    /// The asks that went over none.
    pub fn over_no_link(&self) -> impl Iterator<Item = Number> {
        self.over(NO_LINK)
    }

    /// All that are open.
    pub fn numbers(&self) -> Vec<Number> {
        let mut all: Vec<Number> = self.entries.iter().map(|(number, _)| *number).collect();
        all.dedup();
        all
    }

    /// Where the entries of `number` are, or would be. Answers come mostly in the order of the asks.
    #[inline]
    fn first_of(&self, number: Number) -> usize {
        match (self.entries.front(), self.entries.back()) {
            (Some((first, _)), _) if *first >= number => 0,
            (_, Some((last, _))) if *last < number => self.entries.len(),
            _ => self.entries.partition_point(|(open, _)| *open < number),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Open,
        Went(u64, u32),
        CameBack(u64, u32),
        Close(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Open),
            3 => (0..20u64, 0..3u32).prop_map(|(number, link)| Step::Went(number, link)),
            1 => (0..20u64, 0..3u32).prop_map(|(number, link)| Step::CameBack(number, link)),
            2 => (0..20u64).prop_map(Step::Close),
        ]
    }

    fn close_all(asks: &mut OpenAsks, number: Number) -> Option<BTreeSet<u32>> {
        let mut links = BTreeSet::new();
        asks.close(number, |link| assert!(links.insert(link))).then_some(links)
    }

    proptest! {
        #[test]
        fn an_ask_is_open_until_it_is_closed_and_known_by_its_links(
            steps in prop::collection::vec(step(), 0..120),
        ) {
            let (mut asks, mut oracle) = (OpenAsks::default(), BTreeMap::<u64, BTreeSet<u32>>::new());
            let mut next = 0;
            for step in steps {
                match step {
                    Step::Open => {
                        asks.open(Number(next));
                        oracle.insert(next, BTreeSet::new());
                        next += 1;
                    }
                    Step::Went(number, link) => {
                        let is_news = oracle.get_mut(&number).is_some_and(|it| it.insert(link));
                        prop_assert_eq!(asks.went(Number(number), link), is_news);
                    }
                    Step::CameBack(number, link) => {
                        let was = oracle.get_mut(&number).is_some_and(|it| it.remove(&link));
                        prop_assert_eq!(asks.came_back(Number(number), link), was);
                    }
                    Step::Close(number) => {
                        prop_assert_eq!(close_all(&mut asks, Number(number)), oracle.remove(&number));
                    }
                }
                for number in 0..next {
                    prop_assert_eq!(asks.is_open(Number(number)), oracle.contains_key(&number));
                }
                for link in 0..3 {
                    let over: Vec<u64> = asks.over(link).map(|number| number.0).collect();
                    let expect = oracle.iter().filter(|(_, it)| it.contains(&link));
                    prop_assert_eq!(over, expect.map(|(number, _)| *number).collect::<Vec<_>>());
                }
            }
        }
    }
}
