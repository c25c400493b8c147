//! Replies of children that all do the same: so many that say the same are their parent's reply, by its merge
//! function (Escher §3.1).
//!
//! It is applied to one reply after another: the one that makes enough is what they come to. Nothing is allocated
//! once as many requests were open at once, with replies as long: those that are over leave their room to others.

use std::ops::Range;

use daedal_model::id::AgentId;
use daedal_model::merge::MergeFunction;
use daedal_model::message::Schema;
use hashbrown::HashMap;

use crate::gather::Which;

/// Bytes of replies for which one that is over keeps room.
const SPARE_BYTES_MAX: usize = 4096;

/// Requests that went to each of several, and what they were answered so far.
#[derive(Debug, Default)]
pub(crate) struct Matchings {
    /// The one that was begun last, whose replies mostly come next: it is found without a look-up.
    last: Option<(Which, Matching)>,
    open: HashMap<Which, Matching, foldhash::fast::FixedState>,
    spare: Vec<Matching>,
}

/// One of them.
#[derive(Debug, Default)]
struct Matching {
    /// How many of whom must say the same; in rising order.
    wait_for: u32,
    from: Vec<AgentId>,
    replies: Vec<(AgentId, Schema, Range<usize>)>,
    /// What those say.
    bytes: Vec<u8>,
}

impl Matchings {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.last.is_none() && self.open.is_empty()
    }

    /// The replies to this request are merged.
    pub fn begin(&mut self, request: Which, merge: &MergeFunction) {
        let mut matching = self.spare.pop().unwrap_or_default();
        matching.wait_for = merge.wait_for_matching();
        matching.from.extend_from_slice(merge.from());
        if let Some((before, matching)) = self.last.replace((request, matching)) {
            self.open.insert(before, matching);
        }
    }

    /// A child replies to a request: whether enough have said the same now, and so it is over. `None`: its replies
    /// are not merged.
    pub fn hear(
        &mut self,
        request: Which,
        child: AgentId,
        schema: Schema,
        reply: &[u8],
    ) -> Option<bool> {
        let matching = match &mut self.last {
            Some((last, matching)) if *last == request => matching,
            _ => self.open.get_mut(&request)?,
        };
        let is_over = matching.hear(child, schema, reply);
        if is_over {
            self.forget(request);
        }
        Some(is_over)
    }

    /// Nobody waits for the replies to this request any longer.
    pub fn forget(&mut self, request: Which) {
        let last = self.last.take_if(|(last, _)| *last == request).map(|(_, matching)| matching);
        if let Some(mut matching) = last.or_else(|| self.open.remove(&request)) {
            matching.from.clear();
            matching.replies.clear();
            matching.bytes.clear();
            matching.bytes.shrink_to(SPARE_BYTES_MAX);
            self.spare.push(matching);
        }
    }
}

impl Matching {
    /// Takes a child's reply. A child has one word, and who is none has none: so there are as many replies as
    /// children at most.
    fn hear(&mut self, child: AgentId, schema: Schema, reply: &[u8]) -> bool {
        let has_spoken = self.replies.iter().any(|(before, ..)| *before == child);
        if has_spoken || self.from.binary_search(&child).is_err() {
            return false;
        }
        let says_so = |(_, its, at): &&(AgentId, Schema, Range<usize>)| {
            *its == schema && self.bytes[at.clone()] == *reply
        };
        let others = self.replies.iter().filter(says_so).count();
        if others + 1 >= self.wait_for as usize {
            return true;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(reply);
        self.replies.push((child, schema, start..self.bytes.len()));
        false
    }
}

#[cfg(test)]
mod tests {
    use daedal_model::id::{Name, Number};
    use daedal_model::merge::Fragment;
    use proptest::prelude::*;

    use super::*;
    use crate::conversation::ConversationIndex;

    const REQUEST: Which = (ConversationIndex(3), Number(4));

    fn merge(wait_for: u32) -> MergeFunction {
        MergeFunction::new(wait_for, (1..=3).map(AgentId).collect()).expect("there are as many")
    }

    #[test]
    fn so_many_children_say_the_same_and_others_say_nothing() {
        let mut matchings = Matchings::default();
        matchings.begin(REQUEST, &merge(2));
        let mut hear =
            |child, reply: &[u8]| matchings.hear(REQUEST, AgentId(child), Schema(7), reply);
        assert_eq!(hear(1, b"yes"), Some(false));
        assert_eq!(hear(1, b"no"), Some(false));
        assert_eq!(hear(9, b"yes"), Some(false));
        assert_eq!(hear(2, b"no"), Some(false));
        assert_eq!(hear(3, b"yes"), Some(true));
        assert_eq!(hear(3, b"yes"), None, "it is over");
        // What one was told is nothing to the next, nor to those between.
        matchings.begin(REQUEST, &merge(2));
        assert_eq!(matchings.hear(REQUEST, AgentId(2), Schema(7), b"yes"), Some(false));
        let other = (ConversationIndex(3), Number(5));
        matchings.begin(other, &merge(2));
        assert_eq!(matchings.hear(other, AgentId(1), Schema(7), b"yes"), Some(false));
        assert_eq!(matchings.hear(REQUEST, AgentId(1), Schema(7), b"yes"), Some(true));
        assert!(!matchings.is_empty());
        assert_eq!(matchings.hear(other, AgentId(2), Schema(7), b"yes"), Some(true));
        assert!(matchings.is_empty());
    }

    proptest! {
        /// One reply after another, or all at once.
        #[test]
        fn they_come_to_what_the_merge_function_says(
            replies in prop::collection::vec((0..5u64, 0..2u8), 0..8),
            wait_for in 1..=3u32,
        ) {
            let mut matchings = Matchings::default();
            matchings.begin(REQUEST, &merge(wait_for));
            let mut fragments: Vec<Fragment<u8>> = Vec::new();
            for (child, body) in replies {
                let child = AgentId(child);
                if fragments.iter().all(|it| it.child != child) {
                    fragments.push(Fragment { child, name: Name::default(), body });
                }
                let merged = merge(wait_for).merge(&fragments).into_values().next();
                let is_over = matchings.hear(REQUEST, child, Schema(7), &[body]);
                prop_assert_eq!(is_over, Some(merged.is_some()));
                if let Some(merged) = merged {
                    prop_assert_eq!(merged, body);
                    return Ok(());
                }
            }
        }
    }
}
