//! Replies of all children to one request, until there are enough to make their parent's of them
//! (Escher §3.1: merging is the receiver's business).

use std::collections::BTreeMap;

use daedal_model::id::AgentId;
use daedal_model::message::Schema;

use crate::deliver::Trust;
use crate::kinds::Kind;
use crate::record::Record;
use crate::template::Templates;

/// One request that went to all children, and what they have answered so far.
#[derive(Debug)]
pub(crate) struct Gather {
    kind: Kind,
    request: Vec<u8>,
    expected: usize,
    schema: Option<Schema>,
    /// By child: a child that answers twice counts once.
    replies: BTreeMap<AgentId, Vec<u8>>,
}

impl Gather {
    pub fn new(request: &Record<'_>, expected: usize) -> Gather {
        Gather {
            kind: request.kind,
            request: request.body().to_vec(),
            expected,
            schema: None,
            replies: BTreeMap::new(),
        }
    }

    /// Takes a child's reply; says whether it was the last one.
    pub fn add(&mut self, child: AgentId, schema: Schema, reply: &[u8]) -> bool {
        self.schema = Some(schema);
        self.replies.entry(child).or_insert_with(|| reply.to_vec());
        self.replies.len() == self.expected
    }

    /// The parent's reply; `None` when nobody knows how to merge these, or one of them is malformed.
    pub fn merge(&self, templates: &Templates) -> Option<(Schema, Vec<u8>)> {
        let merge = templates.merge(templates.kinds().schema(self.kind)?)?;
        let replies: Vec<&[u8]> = self.replies.values().map(Vec::as_slice).collect();
        Some((self.schema?, merge(&self.request, &replies, Trust::Nobody)?))
    }
}
