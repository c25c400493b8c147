//! Message records: header, extensions, wrap steps and body, in one form wherever a message is: in the
//! local queue, in a ring, in a frame, in an inbox, in an outbox. So a message is read where it lies, and
//! to park, move or send one again is to copy its bytes, or to give them on. Where its header is short, in a ring or a
//! frame, whoever reads it makes it whole.
//!
//! A record that has not left its reactor has another use for three fields that nobody needs there:
//! `floor` holds the slot that it is for, `route_epoch` the slot that it is from, `checkpoint` the
//! conversation that it belongs to.

use daedal_model::agent::Refusal;
use daedal_model::id::{AgentId, Name, Number, Point, Space, Trace};
use daedal_model::point::PointRange;
use daedal_model::stage::Stage;
use daedal_net::wire::message::{
    EXTENSION_BYTES, HAS_LOGICAL, HAS_REPLY_TO, InReplyTo, Message, MessageHeader, ShortHeader,
    WrapStep,
};
use zerocopy::IntoBytes;

use crate::conversation::ConversationIndex;
use crate::kinds::Kind;
use crate::ordered::{NO_PLACE, Place};
use crate::slot::SlotIndex;
use crate::turn::Fate;

/// Header flag: the point is one; without it the message has none.
pub(crate) const HAS_POINT: u8 = 1 << 2;
/// Header flag: the sender waits for an answer.
pub(crate) const ASKS: u8 = 1 << 3;
/// Header flag: its sender is a shim, so that it is load from outside.
pub(crate) const FROM_OUTSIDE: u8 = 1 << 4;
/// Header flag, in rings only: what became of the message, for its sender. `floor` says what, as a
/// [`fate_code`]; the body is left out where the sender needs the message no more, or not yet.
pub(crate) const RETURNED: u8 = 1 << 5;
/// Header flag: for all points of the destination, or of a part of it, which a step says.
pub(crate) const BROADCAST: u8 = 1 << 6;
/// Header flag, in rings only: nothing stands behind the message in its last line, which need not be looked at for it.
pub(crate) const ALONE: u8 = 1 << 7;

/// Header flags of a message where it lies, not of its copies.
const HERE: u8 = HAS_REPLY_TO | HAS_LOGICAL | ALONE;

/// Wrap step: the message is one child's part of its parent's; merge (Escher §3.1).
const STEP_MERGE: u16 = 1;
/// Wrap step: the message has passed a stage; the receiver undoes it (Ovid §3.2).
const STEP_OPEN: u16 = 2;
/// Wrap step: the message is for a range of points, from the step's id to the header's point.
const STEP_PART: u16 = 3;

/// A message where it lies, and its type as this process knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    message: Message<'a>,
    pub kind: Kind,
}

impl<'a> Record<'a> {
    /// A record of this process's making.
    #[inline]
    pub fn of(bytes: &'a [u8]) -> Record<'a> {
        let message = MessageHeader::lay_out(bytes).expect("records of this process are whole");
        Record::of_ours(message)
    }

    /// A message of this process, where it lies.
    #[inline]
    pub fn of_ours(message: Message<'a>) -> Record<'a> {
        Record { message, kind: Kind(message.header.kind.get()) }
    }

    /// A message of a stranger, whose type this process calls `kind`; of no known type, if it is wrapped
    /// in something that this process cannot undo.
    pub fn from_peer(message: Message<'a>, kind: Option<Kind>) -> Record<'a> {
        let is_understood =
            message.steps.iter().all(|it| is_merge(it) || is_ordered(it) || is_part(it));
        Record { message, kind: kind.filter(|_| is_understood).unwrap_or(Kind::NONE) }
    }

    /// The archived message.
    #[inline]
    pub fn body(&self) -> &'a [u8] {
        self.message.body
    }

    /// The header.
    #[inline]
    pub fn header(&self) -> &'a MessageHeader {
        self.message.header
    }

    /// The physical id of whom it is for.
    #[inline]
    pub fn destination(&self) -> AgentId {
        AgentId(self.message.header.destination.get())
    }

    /// How it is known.
    #[inline]
    pub fn name(&self) -> Name {
        let header = self.message.header;
        Name {
            source: AgentId(header.source.get()),
            space: Space(header.space.get()),
            number: Number(header.number.get()),
        }
    }

    #[inline]
    pub fn space(&self) -> Space {
        Space(self.message.header.space.get())
    }

    #[inline]
    pub fn number(&self) -> Number {
        Number(self.message.header.number.get())
    }

    /// The lowest number that its sender still keeps.
    #[inline]
    pub fn floor(&self) -> Number {
        let header = self.message.header;
        Number(header.number.get().saturating_sub(u64::from(header.floor.get())))
    }

    #[inline]
    pub fn trace(&self) -> Trace {
        Trace(self.message.header.trace.get())
    }

    /// Whether `flag` is set.
    #[inline]
    pub fn has(&self, flag: u8) -> bool {
        self.message.header.has(flag)
    }

    /// The routing key, if the message has one.
    #[inline]
    pub fn point(&self) -> Option<Point> {
        self.has(HAS_POINT).then(|| Point(self.message.header.point.get()))
    }

    /// The points that it is for, if it is for all of a range.
    #[inline]
    pub fn range(&self) -> Option<PointRange> {
        self.has(BROADCAST).then(|| self.part().unwrap_or(PointRange::ALL))
    }

    fn part(&self) -> Option<PointRange> {
        let step = self.message.steps.iter().find(|it| is_part(it))?;
        let last = Point(self.message.header.point.get());
        Some(PointRange { first: Point(step.id.get()), last })
    }

    /// Number and space of the message that it answers.
    #[inline]
    pub fn answers(&self) -> Option<(Number, Space)> {
        self.message.reply_to.map(|it| (Number(it.number.get()), Space(it.space.get())))
    }

    /// The child that sends it for its parent.
    #[inline]
    pub fn child(&self) -> Option<AgentId> {
        self.message.steps.iter().find(|it| is_merge(it)).map(|it| AgentId(it.id.get()))
    }

    /// Its place in the line to its leaf, if it is to stay in order.
    #[inline]
    pub fn place(&self) -> Option<Place> {
        self.message.steps.iter().find(|it| is_ordered(it)).map(place_of)
    }

    /// Bytes of the record, without padding.
    #[inline]
    pub fn bytes(&self) -> usize {
        MessageHeader::BYTES + self.message.header.length.get() as usize
    }

    /// A copy, as if this process had made it.
    pub fn to_vec(self) -> Vec<u8> {
        self.placed(self.place())
    }

    /// A copy with another place, or none.
    pub fn placed(self, place: Option<Place>) -> Vec<u8> {
        self.drafted(Draft { place, ..self.draft() })
    }

    /// A copy of another number, for all points of `range` alone.
    pub fn cut(self, range: PointRange, number: Number) -> Vec<u8> {
        let mut draft = Draft { part: Some(range), ..self.draft() };
        draft.place = draft.place.map(|_| NO_PLACE);
        draft.header.number = number.0.into();
        draft.header.point = range.last.0.into();
        self.drafted(draft)
    }

    fn draft(&self) -> Draft {
        let mut header = *self.header();
        header.kind = self.kind.0.into();
        header.flags &= !HERE;
        let (answers, child, place) = (self.answers(), self.child(), self.place());
        Draft { header, answers, child, place, part: self.part() }
    }

    /// A copy of its body behind another head.
    fn drafted(self, draft: Draft) -> Vec<u8> {
        draft.with(self.body())
    }

    /// What became of it, for the reactor that it came from by ring; and itself, if it is to go elsewhere.
    pub fn with_fate(self, fate: Fate) -> Vec<u8> {
        let mut bytes = match fate {
            Fate::Returned | Fate::Refused(_) | Fate::Full => self.to_vec(),
            Fate::Done | Fate::Unanswered | Fate::Parked => self.bare(),
        };
        let header = *Record::of(&bytes).header();
        let (flags, floor) = (header.flags | RETURNED, u32::from(fate_code(fate)).into());
        MessageHeader { flags, floor, ..header }.emit(&mut bytes);
        bytes
    }

    /// What became of it, and itself as it was sent.
    pub fn told_fate(self) -> (Fate, Vec<u8>) {
        let mut bytes = self.to_vec();
        let header = *Record::of(&bytes).header();
        MessageHeader { flags: header.flags & !RETURNED, ..header }.emit(&mut bytes);
        (fate(self.header().floor.get() as u8), bytes)
    }

    /// Its header alone, as of a message with nothing behind it.
    fn bare(self) -> Vec<u8> {
        let mut header = *self.header();
        header.flags &= !HERE;
        Draft { header, ..Draft::default() }.with(&[])
    }

    /// In the local queue: the slot that it is for.
    #[inline]
    pub fn slot(&self) -> SlotIndex {
        SlotIndex(self.message.header.floor.get())
    }

    /// In the local queue: the slot that it is from.
    #[inline]
    pub fn sender_slot(&self) -> SlotIndex {
        SlotIndex(self.message.header.route_epoch.get())
    }

    /// In the local queue: the conversation that it belongs to.
    #[inline]
    pub fn conversation(&self) -> ConversationIndex {
        ConversationIndex(self.message.header.checkpoint.get())
    }
}

/// What stands before a body: written before the body is, so that both stand where they leave from.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Draft {
    /// Without flags of extensions, length and steps, which follow from the rest.
    pub header: MessageHeader,
    /// Number and space of the message that it answers.
    pub answers: Option<(Number, Space)>,
    /// The child that sends it for its parent.
    pub child: Option<AgentId>,
    /// Its place in the line to its leaf, if it is to stay in order.
    pub place: Option<Place>,
    /// The points that it is for, if it is for a part of its destination.
    pub part: Option<PointRange>,
}

impl Draft {
    /// Bytes before the body.
    #[inline]
    pub fn bytes(&self) -> usize {
        MessageHeader::BYTES
            + usize::from(self.answers.is_some()) * EXTENSION_BYTES
            + self.steps() * WrapStep::BYTES
    }

    #[inline]
    fn steps(&self) -> usize {
        usize::from(self.place.is_some())
            + usize::from(self.part.is_some())
            + usize::from(self.child.is_some())
    }

    /// The point that it is for, if it is for one.
    pub fn point(&self) -> Option<Point> {
        self.header.has(HAS_POINT).then(|| Point(self.header.point.get()))
    }

    /// The header, as of a message with an empty body.
    #[inline]
    pub fn head(&self) -> MessageHeader {
        MessageHeader {
            flags: self.header.flags | if self.answers.is_some() { HAS_REPLY_TO } else { 0 },
            length: ((self.bytes() - MessageHeader::BYTES) as u32).into(),
            steps: self.steps() as u8,
            ..self.header
        }
    }

    /// A record of it and a body.
    pub fn with(&self, body: &[u8]) -> Vec<u8> {
        let body_at = self.bytes();
        let mut bytes = vec![0; body_at + body.len()];
        self.write(&mut bytes);
        bytes[body_at..].copy_from_slice(body);
        finish(&mut bytes, body_at, body.len());
        bytes
    }

    /// Writes it to the start of `room`, as of a message with an empty body.
    #[inline]
    pub fn write(&self, room: &mut [u8]) {
        self.head().emit(room);
        let mut rest = &mut room[MessageHeader::BYTES..];
        if let Some(answers) = self.answers {
            rest = write_answers(rest, answers);
        }
        // Most messages have none, and are to pay for none.
        if self.steps() > 0 {
            self.write_steps(rest);
        }
    }

    #[inline(never)]
    fn write_steps(&self, room: &mut [u8]) {
        let place = self.place.map(open_ordered);
        let part = self.part.map(|range| step(STEP_PART, range.first.0));
        let child = self.child.map(|child| step(STEP_MERGE, child.0));
        let steps = [place, part, child].into_iter().flatten();
        for (step, room) in steps.zip(room.chunks_exact_mut(WrapStep::BYTES)) {
            room.copy_from_slice(step.as_bytes());
        }
    }
}

/// Writes to the start of `room`, behind a header, which message is answered; returns the rest.
#[inline]
pub(crate) fn write_answers(room: &mut [u8], (number, space): (Number, Space)) -> &mut [u8] {
    let it = InReplyTo { number: number.0.into(), space: space.0.into(), zero: 0.into() };
    let (extension, rest) = room.split_at_mut(EXTENSION_BYTES);
    extension.copy_from_slice(it.as_bytes());
    rest
}

/// Writes to the start of `room`, behind all else that stands before a body, which child sends for its parent;
/// returns the rest.
#[inline]
pub(crate) fn write_child(room: &mut [u8], child: AgentId) -> &mut [u8] {
    let (at, rest) = room.split_at_mut(WrapStep::BYTES);
    at.copy_from_slice(step(STEP_MERGE, child.0).as_bytes());
    rest
}

/// Ends a record whose draft and body stand in `room`; returns its bytes, without padding.
#[inline]
pub(crate) fn finish(room: &mut [u8], body_at: usize, body_bytes: usize) -> usize {
    let end = body_at + body_bytes;
    let length = ((end - MessageHeader::BYTES) as u32).to_le_bytes();
    room[LENGTH_AT..LENGTH_AT + length.len()].copy_from_slice(&length);
    end
}

/// As [`finish`], of a record with a short header.
#[inline]
pub(crate) fn finish_short(room: &mut [u8], body_at: usize, body_bytes: usize) -> usize {
    let end = body_at + body_bytes;
    let length =
        u16::try_from(end - ShortHeader::BYTES).expect("frames and rooms are shorter than 64 KiB");
    room[SHORT_LENGTH_AT..][..2].copy_from_slice(&length.to_le_bytes());
    end
}

const LENGTH_AT: usize = std::mem::offset_of!(MessageHeader, length);
const SHORT_LENGTH_AT: usize = std::mem::offset_of!(ShortHeader, length);

/// What a short header saves, in bytes.
pub(crate) const SAVED_BYTES: usize = MessageHeader::BYTES - ShortHeader::BYTES;

fn step(kind: u16, id: u64) -> WrapStep {
    WrapStep { kind: kind.into(), parameter: [0; 6], id: id.into() }
}

fn open_ordered(place: Place) -> WrapStep {
    let mut step = step(STEP_OPEN, Stage::Ordered.id().0);
    step.parameter.copy_from_slice(&place.to_le_bytes()[..6]);
    step
}

fn place_of(step: &WrapStep) -> Place {
    let mut bytes = [0; 8];
    bytes[..6].copy_from_slice(&step.parameter);
    Place::from_le_bytes(bytes)
}

fn is_merge(step: &WrapStep) -> bool {
    step.kind.get() == STEP_MERGE
}

fn is_part(step: &WrapStep) -> bool {
    step.kind.get() == STEP_PART
}

fn is_ordered(step: &WrapStep) -> bool {
    step.kind.get() == STEP_OPEN && step.id.get() == Stage::Ordered.id().0
}

/// Changes the place of a record that has one, though perhaps not yet.
pub(crate) fn put_place(bytes: &mut [u8], place: Place) {
    let message = Record::of(bytes).message;
    let index = message.steps.iter().position(is_ordered).expect("it has a place");
    let at = bytes.len() - message.body.len() - (message.steps.len() - index) * WrapStep::BYTES;
    bytes[at..at + WrapStep::BYTES].copy_from_slice(open_ordered(place).as_bytes());
}

/// What a ring says of a message: 0 when its agent is not there, else how it was refused, or this.
const PARKED: u8 = 255;
const DONE: u8 = 254;
/// What a ring says of a space: it is retired, or asked after.
pub(crate) const RETIRED_BY_RING: u32 = 253;
pub(crate) const ASKED_AFTER_BY_RING: u32 = 252;
/// What a ring says of a message, too.
const UNANSWERED: u8 = 251;
const FULL: u8 = 250;
/// What a ring says of an agent: it has room again, or waits for others.
pub(crate) const ROOM_BY_RING: u32 = 249;
pub(crate) const LABEL_BY_RING: u32 = 248;

/// What tells another reactor of the box something that is no message, and of no message.
pub(crate) fn notice((about, space, number): (AgentId, Space, Number), code: u32) -> Vec<u8> {
    let header = MessageHeader {
        destination: about.0.into(),
        source: about.0.into(),
        number: number.0.into(),
        space: space.0.into(),
        floor: code.into(),
        flags: RETURNED,
        ..MessageHeader::default()
    };
    let mut bytes = vec![0; MessageHeader::BYTES];
    header.emit(&mut bytes);
    bytes
}

/// A fate as a number, for a ring.
pub(crate) fn fate_code(fate: Fate) -> u8 {
    match fate {
        Fate::Returned => 0,
        Fate::Refused(refusal) => refusal_code(refusal),
        Fate::Done => DONE,
        Fate::Unanswered => UNANSWERED,
        Fate::Full => FULL,
        Fate::Parked => PARKED,
    }
}

/// The fate of a number.
pub(crate) fn fate(code: u8) -> Fate {
    match code {
        DONE => Fate::Done,
        UNANSWERED => Fate::Unanswered,
        FULL => Fate::Full,
        PARKED => Fate::Parked,
        code => refusal(code).map_or(Fate::Returned, Fate::Refused),
    }
}

/// A refusal as a number. Never 0.
pub(crate) fn refusal_code(refusal: Refusal) -> u8 {
    match refusal {
        Refusal::UnknownAgent => 1,
        Refusal::WrongSchema => 2,
        Refusal::NotASibling => 3,
        Refusal::Overloaded => 4,
        Refusal::NoPoint => 5,
        Refusal::UnknownStage => 6,
        Refusal::Indivisible => 7,
        Refusal::StandsStill => 8,
    }
}

/// The refusal of a number; `None` for 0, and for what a newer version may say.
pub(crate) fn refusal(code: u8) -> Option<Refusal> {
    [
        Refusal::UnknownAgent,
        Refusal::WrongSchema,
        Refusal::NotASibling,
        Refusal::Overloaded,
        Refusal::NoPoint,
        Refusal::UnknownStage,
        Refusal::Indivisible,
        Refusal::StandsStill,
    ]
    .into_iter()
    .find(|refusal| refusal_code(*refusal) == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrapped_in_a_step_that_is_not_known_here_is_of_no_known_type() {
        let kind_of = |step: WrapStep| {
            let mut header = MessageHeader { steps: 1, ..MessageHeader::default() };
            header.destination.set(1);
            header.length.set(WrapStep::BYTES as u32);
            let bytes = [header.as_bytes(), step.as_bytes()].concat();
            let message = MessageHeader::parse(&bytes).expect("a whole message");
            Record::from_peer(message, Some(Kind(7))).kind
        };
        let step = |kind: u16, id: u64| {
            let mut step = WrapStep::default();
            step.kind.set(kind);
            step.id.set(id);
            step
        };
        assert_eq!(kind_of(step(STEP_MERGE, 3)), Kind(7));
        assert_eq!(kind_of(step(STEP_OPEN, Stage::Ordered.id().0)), Kind(7));
        assert_eq!(kind_of(step(STEP_OPEN, 3)), Kind::NONE);
        assert_eq!(kind_of(step(999, 3)), Kind::NONE);
    }
}
