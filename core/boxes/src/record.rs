//! Message records: header, extensions, wrap steps and body, in one form wherever a message is: in the
//! local queue, in a ring, in a frame, in an outbox. So a message that is parked, moved or sent again is
//! a copy of its bytes.
//!
//! A record that has not left its reactor has another use for three fields that nobody needs there:
//! `floor` holds the slot that it is for, `route_epoch` the slot that it is from, `checkpoint` the
//! conversation that it belongs to.

use daedal_model::agent::Refusal;
use daedal_model::id::{AgentId, Epoch, Number, Point, Space, Trace};
use daedal_net::wire::message::{
    EXTENSION_BYTES, HAS_LOGICAL, HAS_REPLY_TO, InReplyTo, LogicalDestination, Message,
    MessageHeader, WrapStep,
};
use zerocopy::IntoBytes;

use crate::kinds::Kind;

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
}

impl Head {
    /// Bytes before the body.
    #[inline]
    pub fn bytes(&self) -> usize {
        let extensions = usize::from(self.answers.is_some()) + usize::from(self.logical.is_some());
        MessageHeader::BYTES
            + extensions * EXTENSION_BYTES
            + usize::from(self.child.is_some()) * WrapStep::BYTES
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
            steps: u8::from(self.child.is_some()),
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
            child: message.steps.last().map(|it| AgentId(it.id.get())),
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

/// A refusal as a number: what a link or a ring says of a message that it brings back. Never 0.
pub(crate) fn refusal_code(refusal: Refusal) -> u8 {
    match refusal {
        Refusal::UnknownAgent => 1,
        Refusal::WrongSchema => 2,
        Refusal::NotASibling => 3,
        Refusal::Overloaded => 4,
        Refusal::NoPoint => 5,
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
    ]
    .into_iter()
    .find(|refusal| refusal_code(*refusal) == code)
}
