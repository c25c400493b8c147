//! Replies of children that all do the same: so many that say the same are their parent's reply, by its merge
//! function (Escher §3.1).

use daedal_model::id::{AgentId, Name};
use daedal_model::merge::{Fragment, MergeFunction};
use daedal_model::message::Schema;

/// One request that went to each of several, and what they have answered so far.
#[derive(Debug)]
pub(crate) struct Matching {
    merge: MergeFunction,
    replies: Vec<Fragment<(Schema, Vec<u8>)>>,
}

impl Matching {
    pub fn new(merge: MergeFunction) -> Matching {
        Matching { merge, replies: Vec::new() }
    }

    /// Takes a child's reply, and what it comes to, once enough have said the same. A child has one word,
    /// and who is none has none: so there are as many replies as children at most.
    pub fn add(
        &mut self,
        child: AgentId,
        schema: Schema,
        reply: &[u8],
    ) -> Option<(Schema, Vec<u8>)> {
        let is_child = self.merge.from().binary_search(&child).is_ok();
        if is_child && self.replies.iter().all(|it| it.child != child) {
            let body = (schema, reply.to_vec());
            self.replies.push(Fragment { child, name: Name::default(), body });
        }
        self.merge.merge(&self.replies).into_values().next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_children_say_the_same_and_others_say_nothing() {
        let merge = MergeFunction::new(2, (1..=3).map(AgentId).collect()).unwrap();
        let mut matching = Matching::new(merge);
        let mut add = |child, reply: &[u8]| matching.add(AgentId(child), Schema(7), reply);
        assert_eq!(add(1, b"yes"), None);
        assert_eq!(add(1, b"no"), None);
        assert_eq!(add(9, b"yes"), None);
        assert_eq!(add(2, b"no"), None);
        assert_eq!(add(3, b"yes"), Some((Schema(7), b"yes".to_vec())));
    }
}
