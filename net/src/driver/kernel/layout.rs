//! Addresses and control messages as the kernel lays them out. Pure: bytes only.
//!
//! Sources: linux v6.6 include/uapi/linux/{in,in6}.h, include/linux/socket.h.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// A socket address: `sockaddr_in` or `sockaddr_in6`.
#[derive(Clone, Copy)]
#[repr(C, align(4))]
pub(super) struct Name([u8; Name::BYTES]);

const _: () = assert!(Name::BYTES == size_of::<libc::sockaddr_in6>());
const _: () = assert!(Name::BYTES_V4 == size_of::<libc::sockaddr_in>());

impl Name {
    const BYTES: usize = 28;
    const BYTES_V4: usize = 16;
    pub(super) const EMPTY: Name = Name([0; Name::BYTES]);

    /// The name, and how many of its bytes count.
    pub(super) fn emit(address: SocketAddr) -> (Name, usize) {
        let mut name = Name::EMPTY;
        name.0[2..4].copy_from_slice(&address.port().to_be_bytes());
        match address {
            SocketAddr::V4(v4) => {
                name.0[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
                name.0[4..8].copy_from_slice(&v4.ip().octets());
                (name, Name::BYTES_V4)
            }
            SocketAddr::V6(v6) => {
                name.0[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
                name.0[4..8].copy_from_slice(&v6.flowinfo().to_ne_bytes());
                name.0[8..24].copy_from_slice(&v6.ip().octets());
                name.0[24..].copy_from_slice(&v6.scope_id().to_ne_bytes());
                (name, Name::BYTES)
            }
        }
    }

    pub(super) fn parse(&self, bytes: usize) -> Option<SocketAddr> {
        let part = |at: usize| self.0[at..].first_chunk::<4>().copied();
        let family = i32::from(u16::from_ne_bytes([self.0[0], self.0[1]]));
        let port = u16::from_be_bytes([self.0[2], self.0[3]]);
        match (family, bytes) {
            (libc::AF_INET, Name::BYTES_V4..) => {
                let ip = Ipv4Addr::from(part(4)?);
                Some(SocketAddrV4::new(ip, port).into())
            }
            (libc::AF_INET6, Name::BYTES..) => {
                let ip = Ipv6Addr::from(*self.0[8..].first_chunk::<16>()?);
                let [flow, scope] = [u32::from_ne_bytes(part(4)?), u32::from_ne_bytes(part(24)?)];
                Some(SocketAddrV6::new(ip, port, flow, scope).into())
            }
            _ => None,
        }
    }
}

/// One control message (`cmsghdr`) with a segment size.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Control {
    bytes: usize,
    level: libc::c_int,
    kind: libc::c_int,
    value: [u8; 8],
}

const _: () = assert!(size_of::<Control>() == size_of::<libc::cmsghdr>() + 8);

impl Control {
    const HEADER_BYTES: usize = size_of::<libc::cmsghdr>();
    pub(super) const EMPTY: Control = Control { bytes: 0, level: 0, kind: 0, value: [0; 8] };

    /// What asks for a train: the size is 16 bits wide.
    pub(super) fn segment(bytes: u16) -> Control {
        let mut value = [0; 8];
        value[..2].copy_from_slice(&bytes.to_ne_bytes());
        let bytes = Control::HEADER_BYTES + 2;
        Control { bytes, level: libc::SOL_UDP, kind: libc::UDP_SEGMENT, value }
    }

    /// The segment size that came with a coalesced datagram: it is 32 bits wide.
    pub(super) fn coalesced(&self, given: usize) -> Option<usize> {
        let of_gro = self.level == libc::SOL_UDP && self.kind == libc::UDP_GRO;
        if given < Control::HEADER_BYTES + 4 || self.bytes < Control::HEADER_BYTES + 4 || !of_gro {
            return None;
        }
        let value = i32::from_ne_bytes(*self.value.first_chunk::<4>()?);
        usize::try_from(value).ok().filter(|bytes| *bytes > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_the_way_through_the_kernels_layout() {
        for address in ["192.0.2.7:4789", "[2001:db8::7]:1", "[fe80::1%3]:65535", "0.0.0.0:0"] {
            let address: SocketAddr = address.parse().unwrap();
            let (name, bytes) = Name::emit(address);
            assert_eq!(name.parse(bytes), Some(address));
            assert_eq!(name.parse(bytes - 1), None);
        }
        assert_eq!(Name::EMPTY.parse(Name::BYTES), None);
    }

    #[test]
    fn only_a_gro_message_of_full_size_names_a_segment_size() {
        let bytes = size_of::<Control>();
        let mut control = Control::segment(1472);
        assert_eq!(control.bytes, Control::HEADER_BYTES + 2);
        assert_eq!(control.coalesced(bytes), None);
        control.kind = libc::UDP_GRO;
        control.bytes = Control::HEADER_BYTES + 4;
        assert_eq!(control.coalesced(bytes), Some(1472));
        assert_eq!(control.coalesced(0), None);
        control.value = [0xff; 8];
        assert_eq!(control.coalesced(bytes), None);
    }
}
