//! A message that goes to several is written for each of them where it leaves from. From the first of them on that
//! has no room for it, or takes none now, it is written once more, to scratch, and copied for those who are left.

use daedal_model::id::Number;
use daedal_net::driver::Driver;

use super::writing::{Begun, FRAME_ROOM_BYTES, Goes};
use super::{Plane, Via};
use crate::conversation::ConversationIndex;
use crate::ordered::NO_PLACE;
use crate::record::{ASKS, Draft};
use crate::routes::Leaf;

/// How far it is.
#[derive(Debug, Default)]
pub(super) struct Each {
    /// What stands before it, but for whom it goes to.
    draft: Draft,
    /// Whom it is written for, of those of its route.
    index: usize,
    /// How many these are, if each is there: 0 else, and it waits.
    count: usize,
}

impl<D: Driver> Plane<D> {
    /// Begins a message that goes to several: gives room for its body.
    pub(super) fn begin_each(&mut self, begun: Begun, draft: Draft) -> &mut [u8] {
        let (at, number, point) = (begun.conversation, begun.number, draft.point());
        let way = &self.routes[self.conversations[at].route].way;
        let count = way.each_count(point, number.0);
        if let Some(count) = count {
            self.fan_out(at, number, draft.header.has(ASKS), count);
        }
        self.each = Each { draft, index: 0, count: count.unwrap_or(0) };
        self.begun = Some(begun);
        self.begin_next();
        self.room_again()
    }

    /// It was written for one of them: whether it is to be written again.
    pub(super) fn is_written_again(
        &mut self,
        at: ConversationIndex,
        number: Number,
        to: Leaf,
    ) -> bool {
        self.conversations[at].sent_to(number, self.each.index, to.physical, NO_PLACE);
        self.each.index += 1;
        let is_again = self.each.index < self.each.count;
        if is_again {
            self.begin_next();
        }
        is_again
    }

    /// Has it written to scratch, for all who are left.
    pub(super) fn begin_in_scratch(&mut self) {
        let begun = self.begun.as_mut().expect("a message was begun");
        (begun.goes, begun.is_one_of_each) = (Goes::Each, false);
        self.each.draft.write(&mut self.scratch);
    }

    /// Begins it for the next, or for all who are left.
    fn begin_next(&mut self) {
        let begun = self.begun.as_ref().expect("a message was begun");
        let (at, number) = (begun.conversation, begun.number);
        let way = &self.routes[self.conversations[at].route].way;
        let is_one = self.each.index < self.each.count;
        let leaf = way.each(self.each.draft.point(), number.0, self.each.index).filter(|_| is_one);
        let Some(leaf) = leaf.filter(|leaf| self.takes(at, *leaf)) else {
            return self.begin_in_scratch();
        };
        let draft =
            Draft { header: self.headed(self.each.draft.header, at, leaf), ..self.each.draft };
        let begun = self.begun.as_mut().expect("a message was begun");
        begun.goes = Goes::To(leaf);
        (begun.is_in_ring, begun.is_one_of_each) = (matches!(leaf.via, Via::Ring(_)), true);
        draft.write(self.room_of(leaf.via));
    }

    /// Whether there is room for one more on its way, and its leaf takes all that comes.
    fn takes(&mut self, at: ConversationIndex, leaf: Leaf) -> bool {
        let has_room = match leaf.via {
            Via::Local(_) => true,
            Via::Ring(to) => self.ring(to).has_room(),
            Via::Link(link) => {
                self.note_link(at, link);
                self.links.make_room(link, FRAME_ROOM_BYTES)
            }
            Via::Nowhere => false,
        };
        has_room && !self.full.has(leaf.physical)
    }

    /// Room for the body of the message that was begun.
    pub(super) fn room_again(&mut self) -> &mut [u8] {
        let begun = self.begun.as_ref().expect("a message was begun");
        let body_at = begun.body_at;
        match begun.goes {
            Goes::To(leaf) => &mut self.room_of(leaf.via)[body_at..],
            _ => &mut self.scratch[body_at..],
        }
    }

    fn room_of(&mut self, via: Via) -> &mut [u8] {
        match via {
            Via::Local(_) => self.filling.room(),
            Via::Ring(to) => self.ring(to).room(),
            Via::Link(link) => self.links.room(link, FRAME_ROOM_BYTES),
            Via::Nowhere => unreachable!("it has room"),
        }
    }
}
