//! Ethernet, IP and UDP headers of datagrams that go past the kernel: written in front of what it sends, and checked on
//! what it has received. Pure: bytes in, bytes out.
//!
//! Only the plain form is known: no VLAN tag, no IP option, no extension header, no fragment. The driver xdp's program
//! lets the kernel have all others; who gets past it all the same is a [`Wrong`], counted and dropped. Every length is
//! checked against what arrived before it is used. The Ethernet destination is the card's business, or the driver's.
//! So are checksums, where the driver says that the card makes them, or has looked at them.
//!
//! Sources: RFC 791, RFC 768, RFC 8200, RFC 1071 (the checksum and how to split it up).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::driver::is_whole;

/// An Ethernet address.
pub type Mac = [u8; 6];

/// Ethernet 14, IPv4 20, UDP 8.
pub const BYTES_V4: usize = 42;
/// Ethernet 14, IPv6 40, UDP 8.
pub const BYTES_V6: usize = 62;

pub(super) const ETHERNET_BYTES: usize = 14;
const UDP_BYTES: usize = 8;
const UDP: u8 = 17;
const HOPS: u8 = 64;

/// Bytes of the headers before a datagram's payload.
pub const fn bytes(is_v4: bool) -> usize {
    if is_v4 { BYTES_V4 } else { BYTES_V6 }
}

/// Why a frame is no datagram for a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Shorter than its headers, or than they say.
    Short,
    /// Not plain UDP over IP of this family: tagged, in fragments, with options.
    Form,
    /// To another address or port.
    Elsewhere,
    /// A checksum does not fit.
    Checksum,
    /// From no address or port that could be answered, or of a size that links do not send.
    Odd,
}

/// Which of a datagram's checksums a card sees to. Over IPv6 there is none of IP's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksums {
    /// The IPv4 header's.
    pub ip: bool,
    /// UDP's, over the payload.
    pub udp: bool,
}

impl Checksums {
    /// It sees to none.
    pub const NONE: Checksums = Checksums { ip: false, udp: false };
}

/// What a card says of a checksum that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: it is looked at here.
    None,
    /// It fits, and is believed to.
    Good,
    /// It does not fit.
    Bad,
}

impl Verdict {
    fn or(self, is_summed: impl FnOnce() -> bool) -> bool {
        match self {
            Verdict::None => is_summed(),
            Verdict::Good => true,
            Verdict::Bad => false,
        }
    }
}

/// What a card says of a datagram's checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdicts {
    /// Of the IPv4 header's. Over IPv6 there is none, whatever it says.
    pub ip: Verdict,
    /// Of UDP's.
    pub udp: Verdict,
}

impl Verdicts {
    /// It says nothing.
    pub const NONE: Verdicts = Verdicts { ip: Verdict::None, udp: Verdict::None };
}

/// A datagram: from whom, and how many bytes behind the headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Whom it claims to come from. Of an IPv6 address of one link only the scope is not told here.
    pub from: SocketAddr,
    /// Bytes of its payload; a multiple of [`DATAGRAM_ALIGN`](crate::driver::DATAGRAM_ALIGN), and not 0.
    pub payload_bytes: usize,
}

/// Reads a frame as a datagram to `to`. `rest` is what has arrived behind as many bytes as [`bytes`] says:
/// padding may follow the datagram. What the card says of its checksums, `said`, is believed; the payload is not read
/// then.
///
/// What a kernel hands to a neighbour on the same machine (veth) has only the first part of its checksum, which a
/// card was to finish: it passes, as do IPv4 datagrams without a checksum.
/// # Errors
/// Every [`Wrong`].
pub fn parse(
    to: SocketAddr,
    headers: &[u8],
    rest: &[u8],
    said: Verdicts,
) -> Result<Datagram, Wrong> {
    let (ip, from_ip, udp_bytes) = match to.ip() {
        IpAddr::V4(to) => parse_v4(to, headers, rest, said.ip)?,
        IpAddr::V6(to) => parse_v6(to, headers, rest)?,
    };
    let udp = &headers[headers.len() - UDP_BYTES..];
    let field = |at: usize| u16::from_be_bytes([udp[at], udp[at + 1]]);
    let (from_port, to_port, length, checksum) = (field(0), field(2), field(4), field(6));
    if to_port != to.port() {
        return Err(Wrong::Elsewhere);
    }
    if usize::from(length) != udp_bytes || udp_bytes < UDP_BYTES {
        return Err(Wrong::Short);
    }
    let payload_bytes = udp_bytes - UDP_BYTES;
    let payload = rest.get(..payload_bytes).ok_or(Wrong::Short)?;
    let is_summed = || is_summed(checksum, to.is_ipv4(), ip + pseudo(length), udp, payload);
    if !said.udp.or(is_summed) {
        return Err(Wrong::Checksum);
    }
    let is_answered = !from_ip.is_unspecified() && !from_ip.is_multicast() && from_port != 0;
    if !is_answered || !is_whole(payload_bytes) {
        return Err(Wrong::Odd);
    }
    Ok(Datagram { from: SocketAddr::new(from_ip, from_port), payload_bytes })
}

/// The port of what looks like a plain datagram to that address, whosever it is.
pub fn port_to(to: IpAddr, frame: &[u8]) -> Option<u16> {
    let udp = bytes(to.is_ipv4()) - UDP_BYTES;
    let port = frame.get(udp + 2..udp + 4)?;
    let (kind, protocol, version, address) = match to {
        IpAddr::V4(to) => ([8, 0], frame[23], 0x45, frame[30..34] == to.octets()),
        IpAddr::V6(to) => ([0x86, 0xdd], frame[20], 0x60, frame[38..54] == to.octets()),
    };
    let mask = if to.is_ipv4() { 0xff } else { 0xf0 };
    let is_datagram =
        frame[12..14] == kind && frame[14] & mask == version && protocol == UDP && address;
    is_datagram.then(|| u16::from_be_bytes([port[0], port[1]]))
}

/// Whether a frame that came to our card, and is no plain datagram, is nothing that belongs there: cut, tagged, in
/// fragments, of another kind. What is plainly for another address does, as do the words of neighbours and of ICMP.
pub fn is_stray(to: IpAddr, frame: &[u8]) -> bool {
    const ICMP: u8 = 1;
    const ICMP_V6: u8 = 58;
    let (protocol, address) = match frame.get(12..14) {
        Some([8, 0]) => (frame.get(23), frame.get(30..34)),
        Some([0x86, 0xdd]) => (frame.get(20), frame.get(38..54)),
        Some([8, 6]) => return false,
        _ => return true,
    };
    let is_icmp = protocol.is_some_and(|it| [ICMP, ICMP_V6].contains(it));
    let is_ours = address.is_none_or(|address| match to {
        IpAddr::V4(to) => address == to.octets(),
        IpAddr::V6(to) => address == to.octets(),
    });
    is_ours && !is_icmp
}

/// The sum of both addresses, the source, and bytes of header and payload of UDP.
type Parsed = (u64, IpAddr, usize);

fn parse_v4(to: Ipv4Addr, headers: &[u8], rest: &[u8], said: Verdict) -> Result<Parsed, Wrong> {
    let headers: &[u8; BYTES_V4] = headers.try_into().map_err(|_| Wrong::Short)?;
    let ip = &headers[ETHERNET_BYTES..BYTES_V4 - UDP_BYTES];
    // May not be in fragments, may be told not to be.
    let in_fragments = ip[6] & 0b0011_1111 != 0 || ip[7] != 0;
    if headers[12..14] != [8, 0] || ip[0] != 0x45 || in_fragments || ip[9] != UDP {
        return Err(Wrong::Form);
    }
    if ip[16..20] != to.octets() {
        return Err(Wrong::Elsewhere);
    }
    let total = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
    let udp_bytes = total.checked_sub(ip.len()).ok_or(Wrong::Short)?;
    if udp_bytes > UDP_BYTES + rest.len() {
        return Err(Wrong::Short);
    }
    if !said.or(|| fold(sum(ip)) == u16::MAX) {
        return Err(Wrong::Checksum);
    }
    let from = Ipv4Addr::new(ip[12], ip[13], ip[14], ip[15]);
    if from.is_broadcast() {
        return Err(Wrong::Odd);
    }
    Ok((sum(&ip[12..20]), from.into(), udp_bytes))
}

fn parse_v6(to: Ipv6Addr, headers: &[u8], rest: &[u8]) -> Result<Parsed, Wrong> {
    let headers: &[u8; BYTES_V6] = headers.try_into().map_err(|_| Wrong::Short)?;
    let ip = &headers[ETHERNET_BYTES..BYTES_V6 - UDP_BYTES];
    if headers[12..14] != [0x86, 0xdd] || ip[0] >> 4 != 6 || ip[6] != UDP {
        return Err(Wrong::Form);
    }
    if ip[24..40] != to.octets() {
        return Err(Wrong::Elsewhere);
    }
    let udp_bytes = usize::from(u16::from_be_bytes([ip[4], ip[5]]));
    if udp_bytes > UDP_BYTES + rest.len() {
        return Err(Wrong::Short);
    }
    let from: [u8; 16] = *ip[8..].first_chunk().ok_or(Wrong::Short)?;
    Ok((sum(&ip[8..40]), Ipv6Addr::from(from).into(), udp_bytes))
}

fn is_summed(checksum: u16, is_v4: bool, pseudo: u64, udp: &[u8], payload: &[u8]) -> bool {
    if checksum == 0 {
        return is_v4;
    }
    let unfinished = u16::from_be(fold(pseudo));
    checksum == unfinished || fold(pseudo + sum(udp) + sum(payload)) == u16::MAX
}

/// What goes to one peer: its headers, but for what depends on the payload.
#[derive(Clone, Copy, Debug)]
pub struct Template {
    headers: [u8; BYTES_V6],
    bytes: usize,
    /// Sum of the addresses.
    addresses: u64,
    /// Of the IPv4 header without its length and checksum.
    ip: u64,
}

impl Template {
    /// From `from` to `to`, by way of the neighbour with that Ethernet address. `None`: they are not of one
    /// family.
    pub fn new([here, there]: [Mac; 2], from: SocketAddr, to: SocketAddr) -> Option<Template> {
        let mut headers = [0; BYTES_V6];
        headers[..6].copy_from_slice(&there);
        headers[6..12].copy_from_slice(&here);
        let bytes = bytes(from.is_ipv4());
        let (ip, udp) =
            headers[ETHERNET_BYTES..bytes].split_at_mut(bytes - UDP_BYTES - ETHERNET_BYTES);
        let addresses = match (from.ip(), to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                // Not to be cut into fragments: so needs no number to be put together by (RFC 6864).
                ip[..10].copy_from_slice(&[0x45, 0, 0, 0, 0, 0, 0x40, 0, HOPS, UDP]);
                ip[12..16].copy_from_slice(&from.octets());
                ip[16..20].copy_from_slice(&to.octets());
                12..20
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                ip[..8].copy_from_slice(&[0x60, 0, 0, 0, 0, 0, UDP, HOPS]);
                ip[8..24].copy_from_slice(&from.octets());
                ip[24..40].copy_from_slice(&to.octets());
                8..40
            }
            _ => return None,
        };
        udp[..2].copy_from_slice(&from.port().to_be_bytes());
        udp[2..4].copy_from_slice(&to.port().to_be_bytes());
        let (addresses, ip) = (sum(&ip[addresses]), sum(ip));
        headers[12..14].copy_from_slice(if from.is_ipv4() { &[8, 0] } else { &[0x86, 0xdd] });
        Some(Template { headers, bytes, addresses, ip })
    }

    /// The headers of a datagram with this payload, without the checksums that the card makes: IP's is zero then, and
    /// UDP's that of the pseudo-header alone, as cards expect it; the payload is not read then.
    /// # Panics
    /// When the payload is more than a datagram holds.
    pub fn emit(&self, payload: &[u8], by_card: Checksums) -> Headers {
        let udp_bytes = u16::try_from(UDP_BYTES + payload.len()).expect("a frame is under 64 KiB");
        let mut headers = Headers { bytes: self.headers, count: self.bytes };
        let at = self.bytes - UDP_BYTES;
        let mut put = |at: usize, value: [u8; 2]| headers.bytes[at..at + 2].copy_from_slice(&value);
        if self.bytes == BYTES_V4 {
            let total = (udp_bytes + 20).to_be_bytes();
            put(ETHERNET_BYTES + 2, total);
            if !by_card.ip {
                put(ETHERNET_BYTES + 10, (!fold(self.ip + sum(&total))).to_ne_bytes());
            }
        } else {
            put(ETHERNET_BYTES + 4, udp_bytes.to_be_bytes());
        }
        put(at + 4, udp_bytes.to_be_bytes());
        let pseudo = self.addresses + pseudo(udp_bytes);
        let checksum = if by_card.udp {
            fold(pseudo)
        } else {
            // Ports and length are in it, the checksum is still zero. One that comes out as zero is sent as its
            // other form: zero says that there is none.
            let udp = sum(&headers.bytes[at..self.bytes]);
            let whole = !fold(pseudo + udp + sum(payload));
            if whole == 0 { u16::MAX } else { whole }
        };
        headers.bytes[at + 6..at + 8].copy_from_slice(&checksum.to_ne_bytes());
        headers
    }
}

/// The headers of one datagram.
#[derive(Clone, Copy, Debug)]
pub struct Headers {
    bytes: [u8; BYTES_V6],
    count: usize,
}

impl std::ops::Deref for Headers {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.count]
    }
}

/// Of the pseudo-header, what is not an address.
fn pseudo(udp_bytes: u16) -> u64 {
    u64::from(u16::from(UDP).to_be()) + u64::from(udp_bytes.to_be())
}

/// The sum of the 16-bit words, as they lie in memory: the order of their bytes does not matter to it (RFC 1071,
/// 2 B). Wide enough for what a frame holds.
pub(super) fn sum(bytes: &[u8]) -> u64 {
    let chunks = bytes.chunks_exact(8);
    let rest = chunks.remainder();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let halves = |word: u64| (word & 0xffff_ffff) + (word >> 32);
    let words = chunks
        .map(|it| u64::from_ne_bytes([it[0], it[1], it[2], it[3], it[4], it[5], it[6], it[7]]));
    words.map(halves).sum::<u64>() + halves(u64::from_ne_bytes(last))
}

pub(super) fn fold(sum: u64) -> u16 {
    let once = (sum & 0xffff_ffff) + (sum >> 32);
    let twice = (once & 0xffff) + (once >> 16);
    let thrice = (twice & 0xffff) + (twice >> 16);
    ((thrice & 0xffff) + (thrice >> 16)) as u16
}

/// With the scope of the interface that it came by, where an address is only of one link.
pub(super) fn scoped(from: SocketAddr, interface: u32) -> SocketAddr {
    match from {
        SocketAddr::V6(it) if it.ip().is_unicast_link_local() => {
            SocketAddrV6::new(*it.ip(), it.port(), 0, interface).into()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests;
