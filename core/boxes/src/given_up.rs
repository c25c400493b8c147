//! Links are given up when a guest is at one of their ends, so that commands that come and go, or are killed, leave
//! room and memory as they were. The boxes of a system's file are not given up: however long one is away, what it
//! has sent is known when it comes back.
//!
//! To forget a peer is to forget its names, so it must never send under an old one again. One that is gone cannot
//! promise that; so both ends keep a time. A guest asks every second whether it is heard. One that for 20 s gets no
//! sign of that *gives up what it has sent there*: asks end as unknown, nothing of it goes out again, its floors
//! rise above all of it, its lines begin anew, and it goes on as another process would. Who hears nothing of a guest
//! for 60 s *gives the guest up*, as if another process had come in its place. Assumed: no datagram takes longer than
//! the 40 s between, on clocks that run alike.
//!
//! Of a guest that has said goodbye nothing is known: its link makes room as soon as room is needed.

use daedal_model::id::Number;
use daedal_net::driver::Driver;
use hashbrown::HashSet;

use crate::conversation::ConversationIndex;
use crate::links::Because;
use crate::plane::{Plane, Via};
use crate::turn::Turn;

impl<D: Driver> Turn<D> {
    /// Looks at links with guests, if it is time, and gives up those that are over.
    #[inline]
    pub(crate) fn give_up_links(&mut self) {
        if self.plane.links.is_to_look(self.plane.now) {
            self.look_at_guests();
        }
    }

    #[cold]
    fn look_at_guests(&mut self) {
        let vias = self.plane.origins.values().filter_map(|via| match via {
            Via::Link(link) => Some(*link),
            _ => None,
        });
        let known: HashSet<u32, foldhash::fast::FixedState> = vias.collect();
        let over = self.plane.links.look(self.plane.now, |link| known.contains(&link));
        for (link, because) in over {
            self.give_up_link(link, because);
        }
    }

    fn give_up_link(&mut self, link: u32, because: Because) {
        self.hear(link);
        let is_ours = because == Because::Unanswered;
        if is_ours {
            self.give_up_what_went_over(link);
        }
        let mut undone = self.plane.links.give_up(link, because);
        if is_ours {
            for it in undone.drain(..) {
                self.plane.give_up_for_good(ConversationIndex(it.conversation), Number(it.number));
            }
        }
        self.mend(link, undone, !is_ours);
        self.forget_link(link);
    }

    /// Nothing that went over a link goes out again, nor what waits behind it.
    fn give_up_what_went_over(&mut self, link: u32) {
        for (at, number) in self.plane.conversations.went_over(link) {
            self.plane.give_up_for_good(at, number);
        }
        let leaves = self.plane.routes.leaves_over(link);
        self.plane.conversations.begin_lines_anew(&leaves);
    }

    /// The place of a link may be another's from now on.
    fn forget_link(&mut self, link: u32) {
        self.plane.conversations.forget_link(link);
        for sender in &mut self.plane.senders {
            sender.links.retain(|known| *known != link);
        }
        for slot in self.slots.iter_mut().flatten() {
            let parked = slot.waiting_mut().filter(|parked| parked.via == Via::Link(link));
            parked.for_each(|parked| parked.via = Via::Nowhere);
        }
        self.plane.links.vacate(link);
    }
}

impl<D: Driver> Plane<D> {
    fn give_up_for_good(&mut self, at: ConversationIndex, number: Number) {
        self.no_answer(at, number, None);
        self.conversations.give_up_for_good(at, number);
        self.relieve(at);
    }
}
