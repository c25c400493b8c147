//! Message records: header, extensions, wrap steps and body, in one form wherever a message is: in the
//! local queue, in a ring, in a frame, in an outbox. So a message that is parked, moved or sent again is
//! a copy of its bytes.
//!
//! A record that has not left its reactor has another use for three fields that nobody needs there:
//! `floor` holds the slot that it is for, `route_epoch` the slot that it is from, `checkpoint` the
//! conversation that it belongs to.

use daedal_model::agent::Refusal;
use daedal_model::id::{AgentId, Epoch, Number, Point, Space, Trace};
use daedal_model::stage::Stage;
use daedal_net::wire::message::{
    EXTENSION_BYTES, HAS_LOGICAL, HAS_REPLY_TO, InReplyTo, LogicalDestination, Message,
    MessageHeader, WrapStep,
};
use zerocopy::IntoBytes;

use crate::kinds::Kind;
use crate::ordered::{NO_PLACE, Place};
use crate::plane::parse;

/// Header flag: the point is one; without it the message has none.
pub(crate) const HAS_POINT: u8 = 1 << 2;
/// Header flag: the sender waits for an answer.
pub(crate) const ASKS: u8 = 1 << 3;
/// Header flag, in rings only: the message comes back, since its receiver did not take it; `floor` is
/// the reason, as a [`refusal_code`], or 0 when its agent is not there.
pub(crate) const RETURNED: u8 = 1 << 5;
/// Header flag: for all children of the destination.
pub(crate) const BROADCAST: u8 = 1 << 6;

/// Wrap step: the message is one child's part of its parent's; merge (Escher §3.1).
const STEP_MERGE: u16 = 1;
/// Wrap step: the message has passed a stage; the receiver undoes it (Ovid §3.2).
const STEP_OPEN: u16 = 2;

/// What of a record is known before its body is written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Head {
    pub destination: AgentId,
    /// Whom it is named for, where that is not `destination`.
    pub logical: Option<AgentId>,
    pub source: AgentId,
    pub space: Space,
    pub number: Number,
    /// Distance from the number to the sender's floor; in the local queue, the slot.
    pub floor: u32,
    pub point: Point,
    pub trace: Trace,
    pub kind: Kind,
    /// Those of this file; the extensions' flags follow from the fields.
    pub flags: u8,
    pub epoch: Epoch,
    /// In the local queue, the conversation.
    pub checkpoint: u32,
    /// Number and space of the message that it answers.
    pub answers: Option<(Number, Space)>,
    /// The child that sends it for its parent.
    pub child: Option<AgentId>,
    /// Its place in the line to its leaf, if it is to stay in order.
    pub place: Option<Place>,
}

impl Head {
    /// Bytes before the body.
    #[inline]
    pub fn bytes(&self) -> usize {
        let extensions = usize::from(self.answers.is_some()) + usize::from(self.logical.is_some());
        MessageHeader::BYTES + extensions * EXTENSION_BYTES + self.steps() * WrapStep::BYTES
    }

    fn steps(&self) -> usize {
        usize::from(self.place.is_some()) + usize::from(self.child.is_some())
    }

    /// Writes the head before a body of `body_bytes`, which stands at [`Head::bytes`]. Returns the
    /// length of the record, without padding.
    #[inline]
    pub fn write(&self, body_bytes: usize, record: &mut [u8]) -> usize {
        let before_body = self.bytes();
        let end = before_body + body_bytes;
        let mut flags = self.flags;
        let mut at = MessageHeader::BYTES;
        if let Some((number, space)) = self.answers {
            flags |= HAS_REPLY_TO;
            let it = InReplyTo { number: number.0.into(), space: space.0.into(), zero: 0.into() };
            record[at..at + EXTENSION_BYTES].copy_from_slice(it.as_bytes());
            at += EXTENSION_BYTES;
        }
        if let Some(logical) = self.logical {
            flags |= HAS_LOGICAL;
            let it = LogicalDestination { id: logical.0.into(), zero: 0.into() };
            record[at..at + EXTENSION_BYTES].copy_from_slice(it.as_bytes());
            at += EXTENSION_BYTES;
        }
        if let Some(place) = self.place {
            record[at..at + WrapStep::BYTES].copy_from_slice(open_ordered(place).as_bytes());
            at += WrapStep::BYTES;
        }
        if let Some(child) = self.child {
            let kind = STEP_MERGE.into();
            let it = WrapStep { kind, parameter: [0; 6], id: child.0.into() };
            record[at..at + WrapStep::BYTES].copy_from_slice(it.as_bytes());
        }
        let header = MessageHeader {
            destination: self.destination.0.into(),
            source: self.source.0.into(),
            number: self.number.0.into(),
            space: self.space.0.into(),
            floor: self.floor.into(),
            point: self.point.0.into(),
            trace: self.trace.0.into(),
            length: ((end - MessageHeader::BYTES) as u32).into(),
            kind: self.kind.0.into(),
            flags,
            steps: self.steps() as u8,
            route_epoch: self.epoch.0.into(),
            checkpoint: self.checkpoint.into(),
        };
        header.emit(record);
        end
    }

    /// Reads a record back.
    #[inline]
    pub fn read(message: &Message<'_>) -> Head {
        let header = message.header;
        Head {
            destination: AgentId(header.destination.get()),
            logical: message.logical.map(|it| AgentId(it.id.get())),
            source: AgentId(header.source.get()),
            space: Space(header.space.get()),
            number: Number(header.number.get()),
            floor: header.floor.get(),
            point: Point(header.point.get()),
            trace: Trace(header.trace.get()),
            kind: Kind(header.kind.get()),
            flags: header.flags & !(HAS_REPLY_TO | HAS_LOGICAL),
            epoch: Epoch(header.route_epoch.get()),
            checkpoint: header.checkpoint.get(),
            answers: message.reply_to.map(|it| (Number(it.number.get()), Space(it.space.get()))),
            child: message.steps.iter().find(|it| is_merge(it)).map(|it| AgentId(it.id.get())),
            place: message.steps.iter().find(|it| is_ordered(it)).map(place_of),
        }
    }

    /// Whether `flag` is set.
    #[inline]
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The routing key, if the message has one.
    #[inline]
    pub fn routing_point(&self) -> Option<Point> {
        self.has(HAS_POINT).then_some(self.point)
    }
}

fn open_ordered(place: Place) -> WrapStep {
    let mut parameter = [0; 6];
    parameter.copy_from_slice(&place.to_le_bytes()[..6]);
    WrapStep { kind: STEP_OPEN.into(), parameter, id: Stage::Ordered.id().0.into() }
}

fn place_of(step: &WrapStep) -> Place {
    let mut bytes = [0; 8];
    bytes[..6].copy_from_slice(&step.parameter);
    Place::from_le_bytes(bytes)
}

fn is_merge(step: &WrapStep) -> bool {
    step.kind.get() == STEP_MERGE
}

fn is_ordered(step: &WrapStep) -> bool {
    step.kind.get() == STEP_OPEN && step.id.get() == Stage::Ordered.id().0
}

/// Whether this process can undo everything that a message is wrapped in.
pub(crate) fn is_understood(steps: &[WrapStep]) -> bool {
    steps.iter().all(|step| is_merge(step) || is_ordered(step))
}

/// Changes the place of a record that has one, though perhaps not yet.
pub(crate) fn put_place(record: &mut [u8], place: Place) {
    let message = parse(record);
    let index = message.steps.iter().position(is_ordered).expect("it has a place");
    let at = record.len() - message.body.len() - (message.steps.len() - index) * WrapStep::BYTES;
    record[at..at + WrapStep::BYTES].copy_from_slice(open_ordered(place).as_bytes());
}

/// The record of a message with room for a place, which it had not so far.
pub(crate) fn with_place(record: &[u8]) -> Vec<u8> {
    let message = parse(record);
    let head = Head { place: Some(NO_PLACE), ..Head::read(&message) };
    let mut wider = vec![0; head.bytes() + message.body.len()];
    head.write(message.body.len(), &mut wider);
    wider[head.bytes()..].copy_from_slice(message.body);
    wider
}

/// A refusal as a number: what a link or a ring says of a message that it brings back. Never 0.
pub(crate) fn refusal_code(refusal: Refusal) -> u8 {
    match refusal {
        Refusal::UnknownAgent => 1,
        Refusal::WrongSchema => 2,
        Refusal::NotASibling => 3,
        Refusal::Overloaded => 4,
        Refusal::NoPoint => 5,
        Refusal::UnknownStage => 6,
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
    ]
    .into_iter()
    .find(|refusal| refusal_code(*refusal) == code)
}
