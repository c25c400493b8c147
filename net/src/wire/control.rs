//! Bodies of the control records that links exchange. Their kinds are numbers of the wire: never
//! reused. An unknown kind is malformed, because both sides agreed on the wire's version.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::record::ControlHead;
use crate::error::DropReason;

/// Nothing: zero bytes behind the last record.
pub const PAD: u8 = 0;
/// Opens a session: [`Hello`]. Argument: [`ARCHIVE_FORMAT`].
pub const HELLO: u8 = 1;
/// A part of the sender's schema table: [`SchemaEntry`]s. Argument: index of the first.
pub const SCHEMAS: u8 = 2;
/// What was received and done, and how much may be sent: [`Status`], then its bitmaps.
pub const STATUS: u8 = 3;
/// A part of a large message: [`Segment`], then bytes. Argument: which large message.
pub const SEGMENT: u8 = 4;
/// Messages of one packet that their receiver copied out: packet 8 bytes, then 2-byte positions.
pub const PARKED: u8 = 5;
/// Names of parked messages, and what became of them: [`NamedRun`]s.
pub const DONE_NAMED: u8 = 6;

/// A message: a [`ShortHeader`](super::message::ShortHeader), not a control record's head.
pub const MESSAGE: u8 = 7;

/// Archives are rkyv's, unaligned, little-endian, with 32-bit pointers.
pub const ARCHIVE_FORMAT: u32 = 1;

on_the_wire! {
    /// Who opens a session, and with what.
    pub struct Hello[40] {
        /// Fresh number of the sender. Never 0.
        pub nonce: U64,
        /// The nonce that this answers; 0: an opening question.
        pub echo: U64,
        /// Packets that the receiver may send before it hears more.
        pub credit: U32,
        /// Entries of the sender's schema table.
        pub schemas: U32,
        /// Largest datagram payload that the sender takes.
        pub payload_bytes_max: U32,
        /// Not 0: the sender is in the session already, and asks for nothing.
        pub established: U32,
        /// Of the sender's process: no later one has it.
        pub life: U64,
    }
}

on_the_wire! {
    /// One entry of a schema table.
    pub struct SchemaEntry[16] {
        /// Hash of the schema.
        pub hash: U64,
        /// Its version.
        pub version: U16,
        /// Zero.
        pub zero: [u8; 6],
    }
}

on_the_wire! {
    /// What the sender of this has received, has finished, and takes. Only ever grows.
    pub struct Status[32] {
        /// Packets up to this one may be sent.
        pub credit: U64,
        /// Packets up to this one were received.
        pub received: U64,
        /// Packets up to this one are done.
        pub done: U64,
        /// Words of 64 bits that follow, for packets from `received + 1`.
        pub received_words: U16,
        /// Words of 64 bits that follow those, for packets from `done + 1`.
        pub done_words: U16,
        /// Zero.
        pub zero: U32,
    }
}

on_the_wire! {
    /// Place of a part in its large message.
    pub struct Segment[16] {
        /// Bytes of the whole record: message header and what is behind it.
        pub total: U32,
        /// Where in it the bytes that follow belong.
        pub offset: U32,
        /// Zero.
        pub zero: U64,
    }
}

on_the_wire! {
    /// `count` messages with consecutive numbers.
    pub struct NamedRun[40] {
        /// Logical id of their sender.
        pub source: U64,
        /// Logical id of their destination.
        pub destination: U64,
        /// The lowest number.
        pub first: U64,
        /// Their sender's space.
        pub space: U32,
        /// How many.
        pub count: U32,
        /// 0: they are done. Otherwise why they never will be, as the callers know it.
        pub outcome: U32,
        /// Zero.
        pub zero: U32,
    }
}

/// A control record's body, in place, of the shape that its kind demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control<'a> {
    /// [`PAD`].
    Pad,
    /// [`HELLO`].
    Hello(&'a Hello),
    /// [`SCHEMAS`]: index of the first, entries.
    Schemas(u32, &'a [SchemaEntry]),
    /// [`STATUS`]: received and done bitmaps.
    Status(&'a Status, &'a [U64], &'a [U64]),
    /// [`SEGMENT`]: which large message, where, bytes.
    Segment(u32, &'a Segment, &'a [u8]),
    /// [`PARKED`]: packet, positions of the parked messages among its messages.
    Parked(u64, &'a [U16]),
    /// [`DONE_NAMED`].
    DoneNamed(&'a [NamedRun]),
}

impl<'a> Control<'a> {
    /// Reads one control record.
    /// # Errors
    /// [`DropReason::BadControl`]; [`DropReason::BadFormat`] in a hello.
    pub fn parse(head: &ControlHead, body: &'a [u8]) -> Result<Control<'a>, DropReason> {
        let argument = head.argument.get();
        match head.kind {
            PAD => Ok(Control::Pad),
            HELLO if argument != ARCHIVE_FORMAT => Err(DropReason::BadFormat),
            HELLO => match Hello::ref_from_bytes(body) {
                Ok(hello) if hello.nonce.get() != 0 => Ok(Control::Hello(hello)),
                _ => Err(DropReason::BadControl),
            },
            SCHEMAS => Ok(Control::Schemas(argument, list(body)?)),
            STATUS => {
                let (status, bits) = prefix::<Status>(body)?;
                let bits: &[U64] = list(bits)?;
                let received_words = usize::from(status.received_words.get());
                if bits.len() != received_words + usize::from(status.done_words.get()) {
                    return Err(DropReason::BadControl);
                }
                let (received, done) = bits.split_at(received_words);
                Ok(Control::Status(status, received, done))
            }
            SEGMENT => {
                let (segment, bytes) = prefix(body)?;
                Ok(Control::Segment(argument, segment, bytes))
            }
            PARKED => {
                let (packet, positions) = prefix::<U64>(body)?;
                Ok(Control::Parked(packet.get(), list(positions)?))
            }
            DONE_NAMED => Ok(Control::DoneNamed(list(body)?)),
            _ => Err(DropReason::BadControl),
        }
    }
}

fn prefix<T>(body: &[u8]) -> Result<(&T, &[u8]), DropReason>
where
    T: FromBytes + KnownLayout + Immutable + Unaligned,
{
    T::ref_from_prefix(body).map_err(|_| DropReason::BadControl)
}

fn list<T>(body: &[u8]) -> Result<&[T], DropReason>
where
    T: FromBytes + Immutable + Unaligned,
{
    <[T]>::ref_from_bytes(body).map_err(|_| DropReason::BadControl)
}
