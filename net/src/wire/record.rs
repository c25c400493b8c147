//! Records of a frame, or of a ring of lines: messages, and what the links themselves say. A record whose first 8 bytes
//! are zero is control, or, of one kind, a message with a short header. Zero bytes behind the last record are control
//! records of kind 0: padding.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::message::{Message, MessageHeader, ShortHeader};
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

/// One record of a frame, in place but for a header that was short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// A message.
    Message(Message<'a>),
    /// What a link says to the other.
    Control(&'a ControlHead, &'a [u8]),
}

/// Walks the records behind a link header. Ends at the first that is malformed.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    before: Before<'a>,
}

/// The header of the message before.
#[derive(Clone, Debug)]
enum Before<'a> {
    None,
    InPlace(&'a MessageHeader),
    /// It was short: what it stands for.
    Made(MessageHeader),
}

/// A record, and what stands behind a message's header: that is in [`Before`].
enum Step<'a> {
    Message(&'a [u8]),
    Control(&'a ControlHead, &'a [u8]),
}

impl<'a> Records<'a> {
    /// `area`: everything behind the link header. Up to 15 bytes at its end are padding.
    #[inline]
    pub fn new(area: &'a [u8]) -> Records<'a> {
        let rest = &area[..area.len() - area.len() % RECORD_ALIGN];
        Records { rest, before: Before::None }
    }

    /// The next record; `None`: that was all.
    /// # Errors
    /// Why it is malformed; there is nothing behind it.
    #[inline]
    pub fn step(&mut self) -> Result<Option<Record<'_>>, DropReason> {
        match self.walk()? {
            None => Ok(None),
            Some(Step::Control(head, body)) => Ok(Some(Record::Control(head, body))),
            Some(Step::Message(behind)) => self.message(behind).map(|it| Some(Record::Message(it))),
        }
    }

    /// The next message; `None`: none is left in front of what is malformed.
    #[inline]
    pub fn next_message(&mut self) -> Option<Message<'_>> {
        loop {
            match self.walk().ok()?? {
                Step::Message(behind) => return self.message(behind).ok(),
                Step::Control(..) => {}
            }
        }
    }

    /// The next control record; `None`: none is left in front of what is malformed.
    pub fn next_control(&mut self) -> Option<(&'a ControlHead, &'a [u8])> {
        loop {
            match self.walk().ok()?? {
                Step::Message(_) => {}
                Step::Control(head, body) => return Some((head, body)),
            }
        }
    }

    /// Bytes that are left of the area.
    #[inline]
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// Passes over so many bytes: a multiple of what records are aligned to, and no more than are left.
    #[inline]
    pub fn skip(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    /// Whether the next record is a message with a short header, which says nothing without the one before it.
    #[inline]
    pub fn is_next_short(&self) -> bool {
        ShortHeader::new_checked(self.rest).is_ok()
    }

    #[inline]
    fn message<'b>(&'b self, behind: &'b [u8]) -> Result<Message<'b>, DropReason> {
        match &self.before {
            Before::InPlace(header) => header.with(behind),
            Before::Made(header) => header.with(behind),
            Before::None => Err(DropReason::BadMessage),
        }
    }

    #[inline]
    fn walk(&mut self) -> Result<Option<Step<'a>>, DropReason> {
        let area = std::mem::take(&mut self.rest);
        if area.is_empty() {
            return Ok(None);
        }
        let (head, length, step) = if !area.starts_with(&[0; 8]) {
            let header = MessageHeader::new_checked(area)?;
            self.before = Before::InPlace(header);
            (MessageHeader::BYTES, header.length.get() as usize, None)
        } else if let Ok(short) = ShortHeader::new_checked(area) {
            short.follow(self.before.make()?)?;
            (ShortHeader::BYTES, usize::from(short.length.get()), None)
        } else {
            let (head, body) = ControlHead::parse(area)?;
            (ControlHead::BYTES, body.len(), Some(Step::Control(head, body)))
        };
        let behind = area.get(head..head + length).ok_or(DropReason::TooShort)?;
        // The area is a multiple of the alignment, so what fits fits with its padding.
        self.rest = &area[padded(head + length)..];
        Ok(Some(step.unwrap_or(Step::Message(behind))))
    }
}

impl Before<'_> {
    /// The header, to be made the next one.
    #[inline]
    fn make(&mut self) -> Result<&mut MessageHeader, DropReason> {
        if let Before::InPlace(header) = self {
            *self = Before::Made(**header);
        }
        match self {
            Before::Made(header) => Ok(header),
            _ => Err(DropReason::BadMessage),
        }
    }
}
