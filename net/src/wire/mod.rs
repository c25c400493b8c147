//! What stands in a datagram: a link header of 22 bytes, then records, each at a multiple of 16
//! from the first. Little-endian, unaligned; every length is checked before it is used.
//!
//! Does not know sessions, order or loss: those are the link's.

/// Declares what stands on the wire: read in place at any address, as many bytes as it says, no padding.
macro_rules! on_the_wire {
    ($(#[$doc:meta])* pub struct $name:ident[$bytes:expr] { $($fields:tt)* }) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq,
            FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
        )]
        #[repr(C)]
        pub struct $name { $($fields)* }

        impl $name {
            /// Bytes on the wire.
            pub const BYTES: usize = $bytes;
        }

        const _: () = assert!(size_of::<$name>() == $name::BYTES);
    };
}

/// Gives a header its two ends: `new_checked`, which refuses what `check` refuses, and `emit`.
macro_rules! header {
    ($(#[$errors:meta])+ $name:ident: $check:expr) => {
        impl $name {
            /// The header at the start of `bytes`, in place.
            /// # Errors
            /// [`DropReason::TooShort`].
            $(#[$errors])+
            #[inline]
            pub fn new_checked(bytes: &[u8]) -> Result<&$name, DropReason> {
                let check: fn(&$name) -> Result<(), DropReason> = $check;
                let (header, _) =
                    $name::ref_from_prefix(bytes).map_err(|_| DropReason::TooShort)?;
                check(header).map(|()| header)
            }

            /// Writes the header to the start of `bytes`.
            /// # Panics
            #[doc = concat!("When `bytes` is shorter than [`", stringify!($name), "::BYTES`].")]
            #[inline]
            pub fn emit(&self, bytes: &mut [u8]) {
                bytes[..$name::BYTES].copy_from_slice(self.as_bytes());
            }
        }
    };
}

pub mod control;
pub mod link;
pub mod message;
pub mod record;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::limits::RECORD_ALIGN;

/// A 48-bit unsigned number, little-endian.
#[derive(
    Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(C)]
pub struct U48([u8; 6]);

impl U48 {
    /// The largest.
    pub const MAX: u64 = (1 << 48) - 1;

    /// The low 48 bits of `value`.
    pub const fn new(value: u64) -> U48 {
        let [a, b, c, d, e, f, _, _] = value.to_le_bytes();
        U48([a, b, c, d, e, f])
    }

    /// The number.
    pub const fn get(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
    }
}

impl std::fmt::Debug for U48 {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "U48({})", self.get())
    }
}

/// `bytes`, rounded up to where the next record may start.
/// # Panics
/// When that does not fit a `usize`.
pub const fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(RECORD_ALIGN)
}

#[cfg(test)]
mod tests;
