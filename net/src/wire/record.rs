//! Records of a frame: messages, and what the links themselves say. A record whose first 8 bytes
//! are zero is control. Zero bytes behind the last record are control records of kind 0: padding.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::message::{Message, MessageHeader};
use super::padded;
use crate::error::DropReason;
use crate::limits::RECORD_ALIGN;

on_the_wire! {
    /// Head of a control record; its body follows, padded.
    pub struct ControlHead[16] {
        /// Zero, where a message has its destination.
        pub zero: U64,
        /// One of [`super::control`].
        pub kind: u8,
        /// Zero.
        pub flags: u8,
        /// Bytes behind the head, before padding.
        pub length: U16,
        /// Depends on the kind.
        pub argument: U32,
    }
}

const _: () = assert!(ControlHead::BYTES == RECORD_ALIGN);

header! {
    /// [`DropReason::BadControl`] if it is a message.
    ControlHead: |head| match head.zero.get() {
        0 => Ok(()),
        _ => Err(DropReason::BadControl),
    }
}

impl ControlHead {
    /// The head and its body, in place.
    /// # Errors
    /// As [`ControlHead::new_checked`]; [`DropReason::TooShort`] if the body is cut off.
    pub fn parse(record: &[u8]) -> Result<(&ControlHead, &[u8]), DropReason> {
        let head = ControlHead::new_checked(record)?;
        let end = ControlHead::BYTES + usize::from(head.length.get());
        Ok((head, record.get(ControlHead::BYTES..end).ok_or(DropReason::TooShort)?))
    }
}

/// One record of a frame, in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// A message, and its bytes: header, extensions, steps and body, without padding.
    Message(Message<'a>, &'a [u8]),
    /// What a link says to the other.
    Control(&'a ControlHead, &'a [u8]),
}

/// Walks the records behind a link header. Ends at the first that is malformed.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Records<'a> {
    /// `area`: everything behind the link header. Up to 15 bytes at its end are padding.
    pub fn new(area: &'a [u8]) -> Records<'a> {
        Records { rest: &area[..area.len() - area.len() % RECORD_ALIGN] }
    }

    /// Bytes that were not walked yet, padding of the area not counted.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    #[inline]
    fn step(&mut self) -> Result<Record<'a>, DropReason> {
        let area = self.rest;
        let is_control = area.starts_with(&[0; 8]);
        let (record, bytes) = if is_control {
            let (head, body) = ControlHead::parse(area)?;
            (Record::Control(head, body), ControlHead::BYTES + body.len())
        } else {
            let message = MessageHeader::parse(area)?;
            let bytes = MessageHeader::BYTES + message.header.length.get() as usize;
            (Record::Message(message, &area[..bytes]), bytes)
        };
        // The area is a multiple of the alignment, so what fits fits with its padding.
        self.rest = &area[padded(bytes)..];
        Ok(record)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, DropReason>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let step = self.step();
        if step.is_err() {
            self.rest = &[];
        }
        Some(step)
    }
}
