//! Message header, 64 bytes: one cache line. Behind it: announced extensions, wrap steps, body. A message whose header
//! says little that the one before it does not has a short one, 16 bytes, as RFC 1144 has it for TCP.
//!
//! Ids, names, points and epochs are opaque numbers here.

use std::mem::offset_of;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::control;
use crate::error::DropReason;
use crate::limits::LARGE_BYTES_MAX;

/// Flag: an [`InReplyTo`] follows the header.
pub const HAS_REPLY_TO: u8 = 1;
/// Flag: a [`LogicalDestination`] follows the header, behind an [`InReplyTo`] if there is one.
pub const HAS_LOGICAL: u8 = 2;

on_the_wire! {
    /// From whom, to whom, under which name, and what follows.
    pub struct MessageHeader[64] {
        /// Physical id of the receiver. Never 0, which marks a control record.
        pub destination: U64,
        /// Logical id of the sender, as the receiver sees it.
        pub source: U64,
        /// Place among the messages of (source, space) for one logical destination.
        pub number: U64,
        /// Which of the sender's children, copies or incarnations.
        pub space: U32,
        /// `number` less the lowest number that the sender still keeps.
        pub floor: U32,
        /// Routing key.
        pub point: U64,
        /// Follows a message and what it causes. 0: not followed.
        pub trace: U64,
        /// Bytes behind the header: extensions, wrap steps, body.
        pub length: U32,
        /// Index into the sender's schema table.
        pub kind: U16,
        /// [`HAS_REPLY_TO`], [`HAS_LOGICAL`]; the others belong to the layers above.
        pub flags: u8,
        /// Wrap steps behind the extensions, 16 bytes each.
        pub steps: u8,
        /// Epoch of the route that the sender took.
        pub route_epoch: U32,
        /// Checkpoint number of the sender.
        pub checkpoint: U32,
    }
}

const _: () = assert!(offset_of!(MessageHeader, space) == 24);
const _: () = assert!(offset_of!(MessageHeader, point) == 32);
const _: () = assert!(offset_of!(MessageHeader, trace) == 40);
const _: () = assert!(offset_of!(MessageHeader, length) == 48);
const _: () = assert!(offset_of!(MessageHeader, kind) == 52);
const _: () = assert!(offset_of!(MessageHeader, flags) == 54);
const _: () = assert!(offset_of!(MessageHeader, steps) == 55);
const _: () = assert!(offset_of!(MessageHeader, route_epoch) == 56);
const _: () = assert!(offset_of!(MessageHeader, checkpoint) == 60);

on_the_wire! {
    /// The header of a message where it differs from that of the message before it in nothing but flags,
    /// length, floor and number, which is the next one.
    pub struct ShortHeader[16] {
        /// Zero, as in a [`ControlHead`](super::record::ControlHead).
        pub zero: U64,
        /// [`control::MESSAGE`].
        pub kind: u8,
        /// As [`MessageHeader::flags`].
        pub flags: u8,
        /// As [`MessageHeader::length`].
        pub length: U16,
        /// As [`MessageHeader::floor`].
        pub floor: U32,
    }
}

const _: () = assert!(offset_of!(ShortHeader, length) == 10);

on_the_wire! {
    /// Extension: name of the message that this one answers.
    pub struct InReplyTo[EXTENSION_BYTES] {
        /// Its number.
        pub number: U64,
        /// Its space.
        pub space: U32,
        /// Zero.
        pub zero: U32,
    }
}

on_the_wire! {
    /// Extension: whom the message is named for, where that is not whom it is sent to.
    pub struct LogicalDestination[EXTENSION_BYTES] {
        /// Logical id.
        pub id: U64,
        /// Zero.
        pub zero: U64,
    }
}

on_the_wire! {
    /// One *open stage* or *merge* step; innermost last, undone in order.
    pub struct WrapStep[16] {
        /// What to undo.
        pub kind: U16,
        /// With which parameter.
        pub parameter: [u8; 6],
        /// The child that sends at this level, or the stage.
        pub id: U64,
    }
}

/// Bytes of either extension.
pub const EXTENSION_BYTES: usize = 16;

header! {
    /// [`DropReason::BadMessage`] if destination or length cannot be. The length was compared with the
    /// extensions and steps that the header announces, not with `bytes`.
    MessageHeader: |header| match header.destination.get() != 0 && header.is_whole() {
        true => Ok(()),
        false => Err(DropReason::BadMessage),
    }
}

header! {
    /// [`DropReason::BadMessage`] if it is no such header.
    ShortHeader: |header| match header.zero.get() == 0 && header.kind == control::MESSAGE {
        true => Ok(()),
        false => Err(DropReason::BadMessage),
    }
}

impl ShortHeader {
    /// Makes the header of the message before the one of this message.
    /// # Errors
    /// [`DropReason::BadMessage`] if the length is less than the extensions and steps take.
    #[inline]
    pub(super) fn follow(&self, header: &mut MessageHeader) -> Result<(), DropReason> {
        header.number = header.number.get().wrapping_add(1).into();
        header.length = u32::from(self.length.get()).into();
        (header.flags, header.floor) = (self.flags, self.floor);
        if header.is_whole() { Ok(()) } else { Err(DropReason::BadMessage) }
    }
}

impl MessageHeader {
    /// A whole message from the start of `record`, in place.
    /// # Errors
    /// As [`MessageHeader::new_checked`]; [`DropReason::TooShort`] if `record` ends before the
    /// message.
    #[inline]
    pub fn parse(record: &[u8]) -> Result<Message<'_>, DropReason> {
        MessageHeader::new_checked(record)?;
        MessageHeader::lay_out(record)
    }

    /// As [`MessageHeader::parse`], of a record whose header is known to be one that can be.
    /// # Errors
    /// As [`MessageHeader::parse`]: the record is not whole.
    #[inline]
    pub fn lay_out(record: &[u8]) -> Result<Message<'_>, DropReason> {
        let (header, behind) =
            MessageHeader::ref_from_prefix(record).map_err(|_| DropReason::TooShort)?;
        header.with(behind)
    }

    /// The message of this header, with what stands behind it.
    /// # Errors
    /// As [`MessageHeader::lay_out`].
    #[inline]
    pub(super) fn with<'a>(&'a self, behind: &'a [u8]) -> Result<Message<'a>, DropReason> {
        let length = self.length.get() as usize;
        let mut rest = behind.get(..length).ok_or(DropReason::TooShort)?;
        if self.flags & (HAS_REPLY_TO | HAS_LOGICAL) == 0 && self.steps == 0 {
            let body = rest;
            return Ok(Message { header: self, reply_to: None, logical: None, steps: &[], body });
        }
        let reply_to = extension(&mut rest, self.has(HAS_REPLY_TO))?;
        let logical = extension(&mut rest, self.has(HAS_LOGICAL))?;
        let (steps, body) = <[WrapStep]>::ref_from_prefix_with_elems(rest, usize::from(self.steps))
            .map_err(|_| DropReason::BadMessage)?;
        Ok(Message { header: self, reply_to, logical, steps, body })
    }

    /// Whether the length is one that can be.
    #[inline]
    fn is_whole(&self) -> bool {
        (self.before_body()..=LARGE_BYTES_MAX).contains(&(self.length.get() as usize))
    }

    /// Whether `flag` is set.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Bytes of extensions and steps that the header announces.
    pub fn before_body(&self) -> usize {
        let extensions = usize::from(self.has(HAS_REPLY_TO)) + usize::from(self.has(HAS_LOGICAL));
        extensions * EXTENSION_BYTES + usize::from(self.steps) * WrapStep::BYTES
    }
}

fn extension<'a, E>(rest: &mut &'a [u8], present: bool) -> Result<Option<&'a E>, DropReason>
where
    E: FromBytes + KnownLayout + Immutable + Unaligned,
{
    if !present {
        return Ok(None);
    }
    let (value, behind) = E::ref_from_prefix(rest).map_err(|_| DropReason::BadMessage)?;
    *rest = behind;
    Ok(Some(value))
}

/// A message where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The header.
    pub header: &'a MessageHeader,
    /// What it answers.
    pub reply_to: Option<&'a InReplyTo>,
    /// Whom it is named for, if not its destination.
    pub logical: Option<&'a LogicalDestination>,
    /// How it is wrapped, innermost last.
    pub steps: &'a [WrapStep],
    /// The archived message.
    pub body: &'a [u8],
}

impl Message<'_> {
    /// A copy of its record, with a whole header, and without padding.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut record =
            Vec::with_capacity(MessageHeader::BYTES + self.header.length.get() as usize);
        record.extend_from_slice(self.header.as_bytes());
        record.extend_from_slice(self.reply_to.map_or(&[], IntoBytes::as_bytes));
        record.extend_from_slice(self.logical.map_or(&[], IntoBytes::as_bytes));
        record.extend_from_slice(self.steps.as_bytes());
        record.extend_from_slice(self.body);
        record
    }
}
