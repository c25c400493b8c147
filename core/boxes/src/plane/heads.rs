//! The head of what an agent sends another, or answers one: made once. The next message to the same one
//! differs in number, floor, point, trace and flags alone, so its way is found again only after some way has
//! changed. Behind the one before it in a frame or a ring it needs no more than a short header, if point and trace are
//! none.

use daedal_model::context::{Addressee, Letter};
use daedal_model::id::{AgentId, Name, Number};
use daedal_model::message::Schema;
use daedal_net::driver::Driver;
use daedal_net::link::Stream;
use daedal_net::wire::control;
use daedal_net::wire::message::{MessageHeader, ShortHeader};
use zerocopy::FromBytes;

use super::writing::{Begun, FRAME_ROOM_BYTES, Goes};
use super::{Hand, Plane, Via};
use crate::conversation::ConversationIndex;
use crate::links::Links;
use crate::mesh::RingSender;
use crate::record::{ASKS, Draft, HAS_POINT, SAVED_BYTES, write_answers, write_child};
use crate::routes::{Leaf, Way};
use crate::slot::SlotIndex;

/// A head, and what it holds for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ready {
    /// Whom it is for, as the sender knows it.
    to: AgentId,
    schema: Schema,
    /// How that is reached.
    via: Via,
    /// How often the ways had been settled; 0: there is no head.
    settled: u64,
    head: MessageHeader,
    /// What all messages with this head are when they begin, copied whole: a load of part of what was just stored waits
    /// until all earlier stores are there, and those to a ring wait for another core.
    begun: Begun,
    /// The child that sends for its parent, if the head says that there is a step.
    child: AgentId,
}

/// The last of either kind.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Heads {
    to: Ready,
    back: Ready,
}

/// Which of the heads.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which {
    To,
    /// Of a reply to the message of this name.
    Back(Name),
}

impl<D: Driver> Plane<D> {
    /// Which head a message may have: one that holds still, if nothing is in the message's way.
    #[inline(always)]
    pub(super) fn is_ready(
        &mut self,
        slot: SlotIndex,
        hand: &Hand,
        letter: &Letter,
    ) -> Option<Which> {
        let heads = self.senders[slot.0 as usize].heads.as_deref()?;
        let (ready, which) = match letter.to {
            Addressee::Agent(to) if to == heads.to.to => (&heads.to, Which::To),
            Addressee::Asker(name)
                if name.source == heads.back.to
                    && name.space == hand.space
                    && hand.via == heads.back.via =>
            {
                (&heads.back, Which::Back(name))
            }
            _ => return None,
        };
        let holds = ready.settled == self.settled && ready.schema == letter.schema;
        let is_plain = !letter.broadcast && !letter.in_order;
        let is_free = holds && is_plain && self.conversations[ready.begun.conversation].is_free();
        let has_room = match ready.via {
            Via::Link(link) => is_free && self.links.make_room(link, FRAME_ROOM_BYTES),
            Via::Ring(to) => is_free && self.ring(to).has_room(),
            _ => is_free,
        };
        has_room.then_some(which)
    }

    /// Begins a message with a head that is ready, and gives the room behind.
    #[inline(always)]
    pub(super) fn begin_again(
        &mut self,
        slot: SlotIndex,
        hand: &Hand,
        letter: &Letter,
        which: Which,
    ) -> &mut [u8] {
        let heads = self.senders[slot.0 as usize].heads.as_deref();
        let heads = heads.expect("one of them is ready");
        let ready = match which {
            Which::To => &heads.to,
            Which::Back(_) => &heads.back,
        };
        let (at, child) = (ready.begun.conversation, ready.child);
        let conversation = &mut self.conversations[at];
        let number = conversation.number();
        let mut flags = ready.head.flags;
        if letter.asks {
            flags |= ASKS;
            conversation.asks.open(number);
            if let Some(member) = hand.member {
                self.askers.insert((at, number), member);
            }
        }
        let begun = self.begun.insert(Begun { number, asks: letter.asks, ..ready.begun });
        let (room, floor) = match ready.via {
            Via::Local(_) => (self.filling.room(), ready.head.floor),
            via => {
                begun.stream = begun.stream.filter(|_| is_streamed(hand, letter));
                let room = room_afar(&mut self.links, &mut self.rings, via, begun);
                (room, conversation.floor_below(number).into())
            }
        };
        let rest = if begun.is_short {
            begun.body_at -= SAVED_BYTES;
            let (head, rest) = ShortHeader::mut_from_prefix(room).expect("there is room for it");
            let (zero, kind, length) = (0.into(), control::MESSAGE, 0.into());
            *head = ShortHeader { zero, kind, flags, length, floor };
            rest
        } else {
            let (head, rest) = MessageHeader::mut_from_prefix(room).expect("there is room for it");
            *head = ready.head;
            head.floor = floor;
            head.number = number.0.into();
            head.trace = hand.trace.0.into();
            if let Some(point) = letter.point {
                head.point = point.0.into();
                flags |= HAS_POINT;
            }
            head.flags = flags;
            rest
        };
        let is_child = ready.head.steps > 0;
        let rest = match which {
            Which::To => rest,
            Which::Back(name) => write_answers(rest, (name.number, name.space)),
        };
        if is_child { write_child(rest, child) } else { rest }
    }

    /// Copies the head of the message that is being written afar to scratch, with a whole header: a short one says too
    /// little behind another message, or by itself. How many bytes that is.
    pub(super) fn take_head(&mut self, slot: SlotIndex) -> usize {
        let begun = self.begun.as_mut().expect("a message was begun");
        let at = begun.body_at;
        let room = match begun.goes {
            Goes::To(Leaf { via: Via::Link(link), .. }) => self.links.room(link, at),
            Goes::To(Leaf { via: Via::Ring(to), .. }) => {
                self.rings[usize::from(to)].as_mut().expect("it was begun there").room()
            }
            _ => unreachable!("what goes neither by link nor by ring has no head afar"),
        };
        if !begun.is_short {
            self.scratch[..at].copy_from_slice(&room[..at]);
            return at;
        }
        let heads = self.senders[slot.0 as usize].heads.as_deref().expect("it has one of them");
        let ready = [&heads.to, &heads.back].into_iter().find(|it| it.begun.stream == begun.stream);
        let (short, rest) = ShortHeader::ref_from_prefix(room).expect("it was begun there");
        let head = MessageHeader {
            number: begun.number.0.into(),
            flags: short.flags,
            floor: short.floor,
            ..ready.expect("it was begun with one of them").head
        };
        let behind = at - ShortHeader::BYTES;
        head.emit(&mut self.scratch);
        self.scratch[MessageHeader::BYTES..][..behind].copy_from_slice(&rest[..behind]);
        begun.body_at += SAVED_BYTES;
        begun.is_short = false;
        begun.body_at
    }

    fn heads_of(&mut self, slot: SlotIndex) -> &mut Heads {
        self.senders[slot.0 as usize].heads.get_or_insert_default()
    }

    /// Keeps the head of a message for the next one: what both belong to then, if this may be the first of them.
    pub(super) fn keep_head(
        &mut self,
        slot: SlotIndex,
        (hand, letter): (&Hand, &Letter),
        conversation: ConversationIndex,
        draft: &Draft,
        goes: Goes,
    ) -> Option<Stream> {
        let Goes::To(leaf) = goes else { return None };
        if letter.broadcast || draft.place.is_some() || draft.part.is_some() {
            return None;
        }
        let mut head = draft.head();
        head.flags &= !(HAS_POINT | ASKS);
        head.number = Number::default().0.into();
        head.point = 0.into();
        head.trace = 0.into();
        let stream = Stream::MIN.saturating_add(self.heads_kept);
        let begun = Begun {
            conversation,
            goes,
            body_at: draft.bytes(),
            stream: Some(stream),
            is_in_ring: matches!(leaf.via, Via::Ring(_)),
            ..Begun::default()
        };
        let (schema, settled, via) = (letter.schema, self.settled, leaf.via);
        let child = draft.child.unwrap_or_default();
        let ready = |to| Ready { to, schema, via, settled, head, begun, child };
        match letter.to {
            Addressee::Agent(to) => {
                let destination = &self.routes[self.conversations[conversation].route];
                if !matches!(destination.way, Way::One(_)) {
                    return None;
                }
                self.heads_of(slot).to = ready(to);
            }
            Addressee::Asker(name) => self.heads_of(slot).back = ready(name.source),
            Addressee::Myself(_) => return None,
        }
        self.heads_kept = stream.get();
        is_streamed(hand, letter).then_some(stream)
    }
}

/// Whether a message differs from others with its head in nothing that a short header does not say.
#[inline]
fn is_streamed(hand: &Hand, letter: &Letter) -> bool {
    letter.point.is_none() && hand.trace.0 == 0
}

/// The room of a message that leaves the reactor: in the frame of its link or the next lines of its ring, which have it.
/// It may have a short header there.
#[inline(never)]
fn room_afar<'a, D: Driver>(
    links: &'a mut Links<D>,
    rings: &'a mut [Option<RingSender>],
    via: Via,
    begun: &mut Begun,
) -> &'a mut [u8] {
    match via {
        Via::Link(link) => {
            begun.is_short = begun.stream.is_some_and(|it| links.follows(link, it, begun.number));
            links.room(link, FRAME_ROOM_BYTES)
        }
        Via::Ring(to) => {
            let ring = rings[usize::from(to)].as_mut().expect("it has room");
            begun.is_short = begun.stream.is_some_and(|it| ring.follows(it, begun.number));
            ring.room()
        }
        Via::Local(_) | Via::Nowhere => unreachable!("there is no head for that"),
    }
}
