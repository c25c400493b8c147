//! Link header: the first 22 bytes of a datagram's payload, so that behind Ethernet, IPv4 and UDP
//! the first record stands at byte 64 of the frame.

use std::mem::offset_of;

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::U48;
use crate::error::DropReason;
use crate::limits::RECORD_ALIGN;
use crate::pool::HEADROOM_BYTES;

/// Version of everything behind this header.
pub const VERSION: u8 = 1;

/// Flag: what follows is sealed, and so is this header. Which key it is sealed with follows from the packet's number.
pub const SEALED: u8 = 1;
/// Flag: the packet number counts the control lane. Such a frame is not acknowledged.
pub const CONTROL: u8 = 2;
/// Flag: the sender asks for a status.
pub const ASK: u8 = 4;
/// Flag: what `ack` says was received is done as well, its credit has come back, and nothing beyond it was
/// received. So a status record is sent only where packets were lost or messages parked.
pub const DONE: u8 = 8;
/// Flags, three bits: how long what `ack` says may have waited for the sender's next turn: 0 for less than
/// 2^14 ns (16 µs), n for less than 4^n times as much, 7 for anything longer.
pub const AWAY: u8 = 0x70;

const AWAY_SHIFT: u32 = AWAY.trailing_zeros();
const AWAY_BITS: u32 = 14;

on_the_wire! {
    /// Which frame of which session this is, from whom to whom, and what was received.
    pub struct LinkHeader[22] {
        /// [`VERSION`].
        pub version: u8,
        /// [`SEALED`], [`CONTROL`], [`ASK`], [`DONE`], [`AWAY`].
        pub flags: u8,
        /// Box that sent it.
        pub source_box: U16,
        /// Reactor of that box.
        pub source_reactor: u8,
        /// Reactor that it is for.
        pub destination_reactor: u8,
        /// Session; 0 while there is none.
        pub session: U32,
        /// Number of this packet in its lane. The first is 1.
        pub packet: U48,
        /// Every packet up to this one was received.
        pub ack: U48,
    }
}

const _: () = assert!(offset_of!(LinkHeader, source_box) == 2);
const _: () = assert!(offset_of!(LinkHeader, destination_reactor) == 5);
const _: () = assert!(offset_of!(LinkHeader, session) == 6);
const _: () = assert!(offset_of!(LinkHeader, packet) == 10);
const _: () = assert!(offset_of!(LinkHeader, ack) == 16);
const _: () = assert!((HEADROOM_BYTES + LinkHeader::BYTES).is_multiple_of(RECORD_ALIGN));

header! {
    /// [`DropReason::BadVersion`].
    LinkHeader: |header| match header.version {
        VERSION => Ok(()),
        _ => Err(DropReason::BadVersion),
    }
}

impl LinkHeader {
    /// The header, and what follows it.
    /// # Errors
    /// As [`LinkHeader::new_checked`].
    pub fn parse(payload: &[u8]) -> Result<(&LinkHeader, &[u8]), DropReason> {
        let header = LinkHeader::new_checked(payload)?;
        Ok((header, &payload[LinkHeader::BYTES..]))
    }

    /// The flags that say that much of [`AWAY`].
    #[inline]
    pub fn away_flags(ns: u64) -> u8 {
        if ns < 1 << AWAY_BITS {
            return 0;
        }
        let bits = u64::BITS - (ns >> AWAY_BITS).leading_zeros();
        (bits.div_ceil(2).min(7) as u8) << AWAY_SHIFT
    }

    /// What [`AWAY`] says, at most, in nanoseconds; 0 for the least.
    #[inline]
    pub fn away_ns(&self) -> u64 {
        match u32::from((self.flags & AWAY) >> AWAY_SHIFT) {
            0 => 0,
            7 => u64::MAX,
            steps => 1 << (AWAY_BITS + 2 * steps),
        }
    }

    /// Whether `flag` is set.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}
