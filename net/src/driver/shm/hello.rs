//! What a peer says when it hands over a ring: who it is, and how large the ring. Sent once, with the file.
//!
//! Invariant: what is read says the same when it is written again; anything else is refused.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::slots::Sizes;

const MAGIC: [u8; 8] = *b"daedalSM";
const VERSION: u32 = 1;
const FAMILY_V4: u8 = 4;
const FAMILY_V6: u8 = 6;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Wire {
    magic: [u8; 8],
    version: U32,
    slots: U32,
    stride: U32,
    scope: U32,
    /// Of IPv4 the first four bytes.
    ip: [u8; 16],
    port: U16,
    family: u8,
    zero: u8,
}

/// How long a greeting is.
pub const BYTES: usize = size_of::<Wire>();

/// Why a greeting is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is longer or shorter, or not of ours.
    #[error("it is no greeting")]
    NoGreeting,
    /// Another version of this.
    #[error("it is of another version, {0}")]
    Version(u32),
    /// Nobody can be there.
    #[error("nobody can be at its address")]
    Address,
    /// There can be no such ring.
    #[error("there can be no ring of {slots} slots of {stride} bytes")]
    Sizes {
        /// How many slots.
        slots: u32,
        /// How large each.
        stride: u32,
    },
}

/// Who hands over a ring, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Where the writer is reached.
    pub from: SocketAddr,
    /// Of its ring.
    pub sizes: Sizes,
}

impl Hello {
    /// As it is sent.
    pub fn emit(&self) -> [u8; BYTES] {
        let mut ip = [0; 16];
        let (family, scope) = match self.from {
            SocketAddr::V4(it) => {
                ip[..4].copy_from_slice(&it.ip().octets());
                (FAMILY_V4, 0)
            }
            SocketAddr::V6(it) => {
                ip = it.ip().octets();
                (FAMILY_V6, it.scope_id())
            }
        };
        let wire = Wire {
            magic: MAGIC,
            version: VERSION.into(),
            slots: self.sizes.slots().into(),
            stride: self.sizes.stride().into(),
            scope: scope.into(),
            ip,
            port: self.from.port().into(),
            family,
            zero: 0,
        };
        zerocopy::transmute!(wire)
    }

    /// Reads what was sent.
    /// # Errors
    /// It is not what [`Hello::emit`] writes.
    pub fn parse(bytes: &[u8]) -> Result<Hello, Refused> {
        let wire = Wire::ref_from_bytes(bytes).map_err(|_| Refused::NoGreeting)?;
        if wire.magic != MAGIC || wire.zero != 0 {
            return Err(Refused::NoGreeting);
        }
        if wire.version.get() != VERSION {
            return Err(Refused::Version(wire.version.get()));
        }
        let (slots, stride) = (wire.slots.get(), wire.stride.get());
        let sizes = Sizes::new(slots, stride).ok_or(Refused::Sizes { slots, stride })?;
        let from = wire.address().filter(|it| it.port() != 0 && !it.ip().is_unspecified());
        Ok(Hello { from: from.ok_or(Refused::Address)?, sizes })
    }
}

impl Wire {
    fn address(&self) -> Option<SocketAddr> {
        let (port, scope) = (self.port.get(), self.scope.get());
        let (first, rest) = self.ip.split_first_chunk::<4>()?;
        match self.family {
            FAMILY_V4 => {
                let is_rest_zero = scope == 0 && rest.iter().all(|byte| *byte == 0);
                is_rest_zero.then(|| SocketAddr::new(IpAddr::from(*first), port))
            }
            FAMILY_V6 => Some(SocketAddrV6::new(Ipv6Addr::from(self.ip), port, 0, scope).into()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(from: &str) -> Hello {
        Hello { from: from.parse().unwrap(), sizes: Sizes::of(512, 1472).unwrap() }
    }

    fn check(change: impl FnOnce(&mut [u8; BYTES]), expect: Refused) {
        let mut bytes = hello("10.0.0.1:7000").emit();
        change(&mut bytes);
        assert_eq!(Hello::parse(&bytes), Err(expect));
    }

    #[test]
    fn what_is_written_is_read_again() {
        for from in ["127.0.0.1:1", "[::1]:65535", "[fe80::1%7]:7000"] {
            assert_eq!(Hello::parse(&hello(from).emit()), Ok(hello(from)));
        }
    }

    #[test]
    fn what_is_no_greeting_is_refused_with_what_is_wrong() {
        check(|it| it[0] = b'D', Refused::NoGreeting);
        check(|it| it[43] = 1, Refused::NoGreeting);
        check(|it| it[8] = 2, Refused::Version(2));
        check(|it| it[12] = 1, Refused::Sizes { slots: 513, stride: 1536 });
        check(|it| it[16] = 1, Refused::Sizes { slots: 512, stride: 1537 });
        check(|it| it[20] = 1, Refused::Address);
        check(|it| it[39] = 1, Refused::Address);
        check(|it| it[24..28].fill(0), Refused::Address);
        check(|it| it[40..42].fill(0), Refused::Address);
        check(|it| it[42] = 5, Refused::Address);
        let bytes = hello("10.0.0.1:7000").emit();
        assert_eq!(Hello::parse(&bytes[1..]), Err(Refused::NoGreeting));
        assert_eq!(Hello::parse(&[]), Err(Refused::NoGreeting));
    }
}
