//! The parts of a request that went to all points of its destination, and what was answered to them: when
//! all are, the replies become one (Escher §3.1: merging is the receiver's business).
//!
//! A message for all shards is cut at its sender, into one for each. Each part is a message with a name of
//! its own, for a range of points, so it is done, parked, brought back and sent again like any other. One
//! that comes back when the shards are others than before is cut again, and goes to whoever owns its points
//! then; who owns more than these is asked for these alone. So all points are asked once, whatever happens
//! to the shards meanwhile.

use std::collections::BTreeMap;

use daedal_model::id::{Number, Point};
use daedal_model::message::Schema;

use crate::conversation::ConversationIndex;
use crate::deliver::Trust;
use crate::kinds::Kind;
use crate::planted::{self, Bug};
use crate::record::Record;
use crate::template::Templates;

/// A message of a conversation.
pub(crate) type Which = (ConversationIndex, Number);

/// One request to all points, and what was answered so far.
#[derive(Debug)]
pub(crate) struct Gather {
    kind: Kind,
    request: Vec<u8>,
    /// Parts that were not answered.
    left: usize,
    schema: Option<Schema>,
    /// By the first point of the part.
    replies: BTreeMap<Point, Vec<u8>>,
}

impl Gather {
    fn new(request: &Record<'_>) -> Gather {
        Gather {
            kind: request.kind,
            request: request.body().to_vec(),
            left: 0,
            schema: None,
            replies: BTreeMap::new(),
        }
    }

    /// The parent's reply; `None` when nobody knows how to merge these, or one of them is malformed.
    pub fn merge(&self, templates: &Templates) -> Option<(Schema, Vec<u8>)> {
        let merge = templates.merge(templates.kinds().schema(self.kind)?)?;
        let replies: Vec<&[u8]> = self.replies.values().map(Vec::as_slice).collect();
        Some((self.schema?, merge(&self.request, &replies, Trust::Nobody)?))
    }
}

/// All requests of a reactor that were cut, and are not answered.
#[derive(Debug, Default)]
pub(crate) struct Gathers {
    /// By the name that the asker knows the request by.
    all: BTreeMap<Which, Gather>,
    /// Of each part that is not answered: its first point, and the request that it is of.
    parts: BTreeMap<Which, (Point, Which)>,
}

impl Gathers {
    /// Whether a message is a part of a request, and whether somebody waits for what is answered to it: to the
    /// parts of a request that was given up nobody listens, however often they are cut.
    pub fn stands_for(&self, which: Which) -> (bool, bool) {
        match self.parts.get(&which) {
            Some((_, whole)) => (true, self.all.contains_key(whole)),
            None => (false, true),
        }
    }

    /// A request, or a part of one, was cut: these stand for it now, each with its first point.
    pub fn cut(&mut self, which: Which, request: &Record<'_>, parts: &[(Point, Which)]) {
        let whole = self.parts.remove(&which).map(|(_, whole)| whole);
        let gather = match whole {
            // The request was answered meanwhile: nobody waits for its parts.
            Some(whole) => match self.all.get_mut(&whole) {
                Some(gather) => gather,
                None => return,
            },
            None => self.all.entry(which).or_insert_with(|| Gather::new(request)),
        };
        gather.left = gather.left + parts.len() - usize::from(whole.is_some());
        let whole = whole.unwrap_or(which);
        self.parts.extend(parts.iter().map(|(first, part)| (*part, (*first, whole))));
    }

    /// Whether no part of anything is waited for.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// A message was answered: if it was the last part of a request, here is that, and what was answered.
    /// `None`: there is nothing to tell yet. `Err`: the message is no part of anything.
    pub fn answered(
        &mut self,
        which: Which,
        schema: Schema,
        reply: &[u8],
    ) -> Result<Option<(Which, Gather)>, ()> {
        let (first, whole) = self.parts.remove(&which).ok_or(())?;
        let Some(gather) = self.all.get_mut(&whole) else { return Ok(None) };
        gather.schema = Some(schema);
        gather.replies.insert(first, reply.to_vec());
        gather.left -= 1;
        if gather.left > 0 && !planted::is(Bug::PartForWhole) {
            return Ok(None);
        }
        Ok(self.all.remove(&whole).map(|gather| (whole, gather)))
    }

    /// Nobody waits for the answer to a message any more, be it a request or a part of one.
    pub fn forget(&mut self, which: Which) {
        self.parts.remove(&which);
        self.all.remove(&which);
    }

    /// A message will not be answered: which request has no answer then, if any was waited for.
    pub fn give_up(&mut self, which: Which) -> Option<Which> {
        match self.parts.remove(&which) {
            Some((_, whole)) => self.all.remove(&whole).map(|_| whole),
            None => {
                self.all.remove(&which);
                Some(which)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Draft;

    /// One of its parts went to who died unheard; another comes back, to be cut again.
    #[test]
    fn nobody_waits_for_the_parts_of_a_request_that_was_given_up() {
        let mut draft = Draft::default();
        draft.header.destination = 1.into();
        let bytes = draft.with(&[]);
        let which = |index, number| (ConversationIndex(index), Number(number));
        let (whole, one, other) = (which(0, 0), which(1, 1), which(2, 2));
        let mut gathers = Gathers::default();
        assert_eq!(gathers.stands_for(whole), (false, true));
        gathers.cut(whole, &Record::of(&bytes), &[(Point(0), one), (Point(9), other)]);
        assert_eq!(gathers.stands_for(other), (true, true));
        assert_eq!(gathers.give_up(one), Some(whole));
        assert_eq!(gathers.stands_for(other), (true, false));
    }
}
