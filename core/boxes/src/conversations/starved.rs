//! Conversations that want room for what they have to send. Those that want it in the same way stand in one queue, in
//! which they came to want it: as long as there is none for the first, the others need not be looked at, however many
//! they are. Who finds some, and too little, goes behind the others.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};

use super::Conversations;
use crate::conversation::ConversationIndex;
use crate::plane::Via;

/// Bytes of a record, above which it waits behind others of its kind alone: small ones may find room where it does not.
const SMALL_BYTES_MAX: usize = 1024;

/// Where room is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Want {
    /// Not in one way alone: by some of several, or in the window of the conversation's own numbers.
    Any,
    /// By a ring or link, for small records or larger ones.
    Way {
        /// Which.
        via: Via,
        /// Whether the record is a larger one.
        is_large: bool,
    },
}

impl Want {
    /// Of a record of so many bytes that is to go by `via`.
    pub fn way(via: Via, bytes: usize) -> Want {
        Want::Way { via, is_large: bytes > SMALL_BYTES_MAX }
    }
}

/// Who wants room, by where. Who came to want it elsewhere meanwhile is still in a queue, and passed over there.
#[derive(Debug, Default)]
pub(super) struct Starved {
    queues: BTreeMap<Want, VecDeque<ConversationIndex>>,
    count: usize,
}

impl Conversations {
    /// A conversation wants room.
    pub fn starve(&mut self, at: ConversationIndex, want: Want) {
        let wanted = self[at].wants.replace(want);
        if wanted != Some(want) {
            self.starved.count += usize::from(wanted.is_none());
            self.starved.queues.entry(want).or_default().push_back(at);
        }
    }

    /// How many want room.
    pub fn starved_count(&self) -> usize {
        self.starved.count
    }

    /// Where else somebody wants room, behind `last`, and how many at most.
    pub fn next_want(&self, last: Option<Want>) -> Option<(Want, usize)> {
        let from = last.map_or(Unbounded, Excluded);
        let mut all = self.starved.queues.range((from, Unbounded));
        all.find(|(_, queue)| !queue.is_empty()).map(|(want, queue)| (*want, queue.len()))
    }

    /// Takes out the one that has wanted room there the longest.
    pub fn next_starved(&mut self, want: Want) -> Option<ConversationIndex> {
        loop {
            let at = self.starved.queues.get_mut(&want)?.pop_front()?;
            if self[at].wants == Some(want) {
                self[at].wants = None;
                self.starved.count -= 1;
                return Some(at);
            }
        }
    }

    /// Who came to want room there last goes before all others.
    pub fn put_first(&mut self, want: Want) {
        if let Some(queue) = self.starved.queues.get_mut(&want).filter(|it| !it.is_empty()) {
            queue.rotate_right(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use daedal_model::id::AgentId;

    use super::*;
    use crate::conversation::RouteIndex;
    use crate::slot::SlotIndex;

    fn conversations(count: u32) -> (Conversations, Vec<ConversationIndex>) {
        let mut all = Conversations::default();
        let add = |it| all.add(SlotIndex(it), AgentId(7), RouteIndex::REPLIES, 0);
        let indices = (0..count).map(add).collect();
        (all, indices)
    }

    #[test]
    fn who_wants_room_stands_in_the_queue_of_the_way_that_it_wants_it_in_now() {
        let (mut all, of) = conversations(3);
        let [one, other] = [1, 2].map(|link| Want::way(Via::Link(link), 100));
        for at in &of {
            all.starve(*at, one);
            all.starve(*at, one);
        }
        all.starve(of[0], other);
        assert_eq!((all.starved_count(), all.next_want(None)), (3, Some((one, 3))));
        assert_eq!(all.next_want(Some(one)), Some((other, 1)));
        assert_eq!(all.next_starved(one), Some(of[1]));
        all.starve(of[1], one);
        all.put_first(one);
        assert_eq!(all.next_starved(one), Some(of[1]));
        assert_eq!((all.next_starved(one), all.next_starved(one)), (Some(of[2]), None));
        assert_eq!((all.next_want(None), all.starved_count()), (Some((other, 1)), 1));
        assert_eq!(all.next_starved(other), Some(of[0]));
        assert_eq!((all.next_want(None), all.starved_count()), (None, 0));
    }

    #[test]
    fn small_records_do_not_wait_behind_large_ones() {
        let via = Via::Ring(0);
        assert_eq!(Want::way(via, 64), Want::way(via, SMALL_BYTES_MAX));
        assert_ne!(Want::way(via, 64), Want::way(via, SMALL_BYTES_MAX + 1));
    }
}
