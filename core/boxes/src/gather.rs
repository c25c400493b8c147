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
    /// Whose replies are waited for, in the order of their points.
    children: Vec<AgentId>,
    schema: Option<Schema>,
    /// By the child's place, then by child, since one may answer for the first time from a place that the
    /// route had not when the request went out: a child that answers twice counts once.
    replies: BTreeMap<(usize, AgentId), Vec<u8>>,
}

impl Gather {
    /// `children`: by logical id, in the order of their points.
    pub fn new(request: &Record<'_>, children: Vec<AgentId>) -> Gather {
        Gather {
            kind: request.kind,
            request: request.body().to_vec(),
            children,
            schema: None,
            replies: BTreeMap::new(),
        }
    }

    /// Takes a child's reply; says whether it was the last one.
    pub fn add(&mut self, child: AgentId, schema: Schema, reply: &[u8]) -> bool {
        self.schema = Some(schema);
        let place = self.children.iter().position(|it| *it == child);
        let place = place.unwrap_or(self.children.len());
        self.replies.entry((place, child)).or_insert_with(|| reply.to_vec());
        self.replies.len() == self.children.len()
    }

    /// The parent's reply; `None` when nobody knows how to merge these, or one of them is malformed.
    pub fn merge(&self, templates: &Templates) -> Option<(Schema, Vec<u8>)> {
        let merge = templates.merge(templates.kinds().schema(self.kind)?)?;
        let replies: Vec<&[u8]> = self.replies.values().map(Vec::as_slice).collect();
        Some((self.schema?, merge(&self.request, &replies, Trust::Nobody)?))
    }
}
