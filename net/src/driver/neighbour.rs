//! Who has which address on an Ethernet, asked and answered: ARP for IPv4, neighbour discovery for IPv6. For drivers
//! whose port the kernel does not see. Pure: bytes in, bytes out.
//!
//! Only what two hosts of one network say to each other is known: no router's advertisement, no redirect, no proxy.
//! Every length is checked before it is used; what is not plain, or does not add up, is nothing.
//!
//! Sources: RFC 826, RFC 5227 (announcements), RFC 4861 §4.3, §4.4, §7.1, RFC 2464 §7, RFC 4291 §2.7.1.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::headers::{ETHERNET_BYTES, Mac, fold, sum};

/// The shortest frame of an Ethernet, without what its card adds.
const FRAME_BYTES_MIN: usize = 60;
const ARP_BYTES: usize = 28;
const IP_BYTES_V6: usize = 40;
/// Kind, code, checksum, flags, and the address that it is about.
const ICMP_BYTES: usize = 24;
const OPTION_BYTES: usize = 8;
const FRAME_BYTES_MAX: usize = ETHERNET_BYTES + IP_BYTES_V6 + ICMP_BYTES + OPTION_BYTES;

const ICMP: u8 = 58;
/// What was forwarded has less.
const HOPS: u8 = 255;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const SOURCE_ADDRESS: u8 = 1;
const TARGET_ADDRESS: u8 = 2;
const EVERYBODY: Mac = [0xff; 6];

/// What a host says to its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Who has an address.
    Asks {
        /// Who asks. Unspecified: one who wants to know whether anybody has it.
        from: IpAddr,
        /// Where he is.
        mac: Mac,
        /// The address.
        about: IpAddr,
    },
    /// That he has an address.
    Tells {
        /// The address.
        who: IpAddr,
        /// Where he is.
        mac: Mac,
    },
}

/// A frame to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Letter {
    bytes: [u8; FRAME_BYTES_MAX],
    count: usize,
}

impl std::ops::Deref for Letter {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.count]
    }
}

/// Reads a frame, Ethernet header and all. `None`: it is none of these.
pub fn parse(frame: &[u8]) -> Option<Word> {
    let (ethernet, rest) = frame.split_at_checked(ETHERNET_BYTES)?;
    let word = match ethernet[12..] {
        [8, 6] => parse_arp(rest)?,
        [0x86, 0xdd] => parse_icmp(rest, *ethernet[6..].first_chunk()?)?,
        _ => return None,
    };
    let (Word::Asks { mac, .. } | Word::Tells { mac, .. }) = word;
    // Nobody can be reached at an address of a group, or at none.
    (mac[0] & 1 == 0 && mac != [0; 6]).then_some(word)
}

fn parse_arp(rest: &[u8]) -> Option<Word> {
    let arp: &[u8; ARP_BYTES] = rest.first_chunk()?;
    // Ethernet, IPv4, and their addresses' lengths.
    if arp[..6] != [0, 1, 8, 0, 6, 4] {
        return None;
    }
    let ip = |at: usize| Ipv4Addr::new(arp[at], arp[at + 1], arp[at + 2], arp[at + 3]);
    let (mac, from, about) = (*arp[8..].first_chunk()?, ip(14), ip(24));
    if from.is_multicast() || from.is_broadcast() {
        return None;
    }
    match arp[6..8] {
        // A question about oneself is an announcement.
        [0, 1] if from == about => {
            (!from.is_unspecified()).then_some(Word::Tells { who: from.into(), mac })
        }
        [0, 1] => Some(Word::Asks { from: from.into(), mac, about: about.into() }),
        [0, 2] if !from.is_unspecified() => Some(Word::Tells { who: from.into(), mac }),
        _ => None,
    }
}

fn parse_icmp(rest: &[u8], sender: Mac) -> Option<Word> {
    let (ip, rest) = rest.split_at_checked(IP_BYTES_V6)?;
    let said = u16::from_be_bytes([ip[4], ip[5]]);
    let icmp = rest.get(..usize::from(said))?;
    let head: &[u8; ICMP_BYTES] = icmp.first_chunk()?;
    let total = sum(&ip[8..]) + pseudo(said) + sum(icmp);
    if ip[0] >> 4 != 6 || ip[6] != ICMP || ip[7] != HOPS || fold(total) != u16::MAX || head[1] != 0
    {
        return None;
    }
    let address = |bytes: &[u8]| bytes.first_chunk::<16>().map(|it| Ipv6Addr::from(*it));
    let (from, target) = (address(&ip[8..])?, address(&head[8..])?);
    if from.is_multicast() || target.is_multicast() || target.is_unspecified() {
        return None;
    }
    match head[0] {
        SOLICITATION => {
            let mac = option(&icmp[ICMP_BYTES..], SOURCE_ADDRESS)?;
            // Who has no address yet may not say where he is.
            let mac = if from.is_unspecified() { Some(sender) } else { mac };
            Some(Word::Asks { from: from.into(), mac: mac?, about: target.into() })
        }
        ADVERTISEMENT => {
            let mac = option(&icmp[ICMP_BYTES..], TARGET_ADDRESS)??;
            Some(Word::Tells { who: target.into(), mac })
        }
        _ => None,
    }
}

/// The Ethernet address of that kind among options, if there is one. `None`: they are no options.
fn option(mut options: &[u8], kind: u8) -> Option<Option<Mac>> {
    let mut found = None;
    while let [this, units, ..] = *options {
        let bytes = usize::from(units) * OPTION_BYTES;
        if bytes == 0 {
            return None;
        }
        let option = options.get(..bytes)?;
        if this == kind && bytes == OPTION_BYTES {
            found = option[2..].first_chunk().copied();
        }
        options = &options[bytes..];
    }
    options.is_empty().then_some(found)
}

/// Asks everybody who has `about`: from `mac`, which has `from`. `None`: they are not of one family.
pub fn question((from, mac): (IpAddr, Mac), about: IpAddr) -> Option<Letter> {
    match (from, about) {
        (IpAddr::V4(from), IpAddr::V4(about)) => {
            Some(arp(1, (from, mac), (about, [0; 6]), EVERYBODY))
        }
        (IpAddr::V6(from), IpAddr::V6(about)) => {
            // Who has it hears its group.
            let octets = about.octets();
            let [.., a, b, c] = octets;
            let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), {
                u16::from_be_bytes([b, c])
            });
            let to = (group, [0x33, 0x33, 0xff, a, b, c]);
            Some(icmp(SOLICITATION, 0, (from, mac), to, (about, SOURCE_ADDRESS)))
        }
        _ => None,
    }
}

/// Tells `to`, who asked, that `mac` has `who`. `None`: they are not of one family.
pub fn answer((who, mac): (IpAddr, Mac), (to, there): (IpAddr, Mac)) -> Option<Letter> {
    /// An answer to a question, which overrides what was known.
    const ANSWER: u8 = 0x60;
    match (who, to) {
        (IpAddr::V4(who), IpAddr::V4(to)) => Some(arp(2, (who, mac), (to, there), there)),
        (IpAddr::V6(who), IpAddr::V6(to)) if to.is_unspecified() => announce_v6((who, mac)),
        (IpAddr::V6(who), IpAddr::V6(to)) => {
            Some(icmp(ADVERTISEMENT, ANSWER, (who, mac), (to, there), (who, TARGET_ADDRESS)))
        }
        _ => None,
    }
}

/// Tells everybody that `mac` has `who`.
pub fn announcement((who, mac): (IpAddr, Mac)) -> Option<Letter> {
    match who {
        IpAddr::V4(who) => Some(arp(1, (who, mac), (who, [0; 6]), EVERYBODY)),
        IpAddr::V6(who) => announce_v6((who, mac)),
    }
}

fn announce_v6((who, mac): (Ipv6Addr, Mac)) -> Option<Letter> {
    /// Overrides what was known.
    const OVERRIDE: u8 = 0x20;
    let nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let to = (nodes, [0x33, 0x33, 0, 0, 0, 1]);
    Some(icmp(ADVERTISEMENT, OVERRIDE, (who, mac), to, (who, TARGET_ADDRESS)))
}

fn arp(kind: u8, (from, mac): (Ipv4Addr, Mac), to: (Ipv4Addr, Mac), there: Mac) -> Letter {
    let mut letter = Letter { bytes: [0; FRAME_BYTES_MAX], count: FRAME_BYTES_MIN };
    ethernet(&mut letter, there, mac, [8, 6]);
    let arp = &mut letter.bytes[ETHERNET_BYTES..];
    arp[..8].copy_from_slice(&[0, 1, 8, 0, 6, 4, 0, kind]);
    arp[8..14].copy_from_slice(&mac);
    arp[14..18].copy_from_slice(&from.octets());
    arp[18..24].copy_from_slice(&to.1);
    arp[24..28].copy_from_slice(&to.0.octets());
    letter
}

fn icmp(
    kind: u8,
    flags: u8,
    (from, mac): (Ipv6Addr, Mac),
    (to, there): (Ipv6Addr, Mac),
    (about, option): (Ipv6Addr, u8),
) -> Letter {
    const BYTES: u16 = (ICMP_BYTES + OPTION_BYTES) as u16;
    let mut letter = Letter { bytes: [0; FRAME_BYTES_MAX], count: FRAME_BYTES_MAX };
    ethernet(&mut letter, there, mac, [0x86, 0xdd]);
    let (ip, icmp) = letter.bytes[ETHERNET_BYTES..].split_at_mut(IP_BYTES_V6);
    ip[..8].copy_from_slice(&[0x60, 0, 0, 0, 0, BYTES as u8, ICMP, HOPS]);
    ip[8..24].copy_from_slice(&from.octets());
    ip[24..].copy_from_slice(&to.octets());
    icmp[0] = kind;
    icmp[4] = flags;
    icmp[8..24].copy_from_slice(&about.octets());
    icmp[24..26].copy_from_slice(&[option, 1]);
    icmp[26..].copy_from_slice(&mac);
    let checksum = !fold(sum(&ip[8..]) + pseudo(BYTES) + sum(icmp));
    icmp[2..4].copy_from_slice(&checksum.to_ne_bytes());
    letter
}

fn ethernet(letter: &mut Letter, there: Mac, here: Mac, kind: [u8; 2]) {
    letter.bytes[..6].copy_from_slice(&there);
    letter.bytes[6..12].copy_from_slice(&here);
    letter.bytes[12..14].copy_from_slice(&kind);
}

/// Of the pseudo-header, what is not an address.
fn pseudo(icmp_bytes: u16) -> u64 {
    u64::from(u16::from(ICMP).to_be()) + u64::from(icmp_bytes.to_be())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MACS: [Mac; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];

    fn ends(is_v4: bool) -> [(IpAddr, Mac); 2] {
        let ips = if is_v4 { ["10.0.0.1", "10.0.0.2"] } else { ["fd00::1", "fd00::12:3456"] };
        [0, 1].map(|end| (ips[end].parse().unwrap(), MACS[end]))
    }

    #[test]
    fn what_is_asked_and_told_is_heard() {
        for is_v4 in [true, false] {
            let [one, other] = ends(is_v4);
            let asked = parse(&question(one, other.0).unwrap());
            assert_eq!(asked, Some(Word::Asks { from: one.0, mac: one.1, about: other.0 }));
            let told = parse(&answer(other, one).unwrap());
            assert_eq!(told, Some(Word::Tells { who: other.0, mac: other.1 }));
            let told = parse(&announcement(one).unwrap());
            assert_eq!(told, Some(Word::Tells { who: one.0, mac: one.1 }));
            let nobody = ends(!is_v4)[0];
            assert!(question(one, nobody.0).is_none() && answer(one, nobody).is_none());
        }
    }

    #[test]
    fn frames_are_those_of_the_rfcs() {
        let [one, other] = ends(true);
        let asked = question(one, other.0).unwrap();
        assert_eq!(asked[..14], [255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 8, 6]);
        assert_eq!(asked[14..24], [0, 1, 8, 0, 6, 4, 0, 1, 2, 0]);
        assert_eq!((asked.len(), &asked[38..42]), (60, &[10, 0, 0, 2][..]));
        let told = answer(other, one).unwrap();
        assert_eq!((&told[..6], told[21]), (&MACS[0][..], 2));

        let [one, other] = ends(false);
        let asked = question(one, other.0).unwrap();
        assert_eq!(asked[..6], [0x33, 0x33, 0xff, 0x12, 0x34, 0x56]);
        let group: IpAddr = "ff02::1:ff12:3456".parse().unwrap();
        assert_eq!(IpAddr::from(*asked[38..54].first_chunk::<16>().unwrap()), group);
        let told = announcement(one).unwrap();
        assert_eq!((&told[..6], told[58]), (&[0x33, 0x33, 0, 0, 0, 1][..], 0x20));
    }

    #[test]
    fn who_has_no_address_yet_is_answered_too() {
        let [one, other] = ends(true);
        let probe = question((Ipv4Addr::UNSPECIFIED.into(), one.1), other.0).unwrap();
        let Some(Word::Asks { from, mac, .. }) = parse(&probe) else { panic!("a probe asks") };
        assert_eq!(answer(other, (from, mac)).unwrap()[..6], one.1);

        let [one, other] = ends(false);
        // Without saying where it is (RFC 4862 §5.4.2).
        let mut probe = question((Ipv6Addr::UNSPECIFIED.into(), one.1), other.0).unwrap();
        probe.count -= OPTION_BYTES;
        probe.bytes[19] = ICMP_BYTES as u8;
        probe.bytes[56..58].fill(0);
        let icmp = &probe.bytes[54..78];
        let checksum = !fold(sum(&probe.bytes[22..54]) + pseudo(24) + sum(icmp));
        probe.bytes[56..58].copy_from_slice(&checksum.to_ne_bytes());
        let asked = parse(&probe);
        let from = IpAddr::from(Ipv6Addr::UNSPECIFIED);
        assert_eq!(asked, Some(Word::Asks { from, mac: one.1, about: other.0 }));
        assert_eq!(answer(other, (from, one.1)).unwrap()[..2], [0x33, 0x33]);
    }

    fn check(is_v4: bool, at: usize, byte: u8) {
        let [one, other] = ends(is_v4);
        let mut frame = question(one, other.0).unwrap().to_vec();
        assert_ne!(std::mem::replace(&mut frame[at], byte), byte);
        assert_eq!(parse(&frame), None, "byte {at}");
    }

    #[test]
    fn what_is_not_plain_is_nothing() {
        // Another kind of frame, network, protocol, length, question; a group's address; from a group, and everybody.
        [(12, 9), (15, 6), (16, 9), (18, 8), (21, 3), (22, 3), (28, 224)]
            .into_iter()
            .for_each(|(at, byte)| check(true, at, byte));
        // Version, protocol, hops, kind, code, checksum; a length past its end, and none.
        [(14, 0x40), (20, 17), (21, 254), (54, 1), (55, 1), (56, 0), (19, 40), (79, 0)]
            .into_iter()
            .for_each(|(at, byte)| check(false, at, byte));
        let [one, other] = ends(false);
        let frame = answer(other, one).unwrap();
        (0..frame.len()).for_each(|bytes| assert_eq!(parse(&frame[..bytes]), None));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read(frame in prop::collection::vec(any::<u8>(), 0..120), kind in 0..3) {
            let mut frame = frame;
            if let (Some(at), 0 | 1) = (frame.get_mut(12..14), kind) {
                at.copy_from_slice(if kind == 0 { &[8, 6] } else { &[0x86, 0xdd] });
            }
            if let Some(Word::Asks { mac, .. } | Word::Tells { mac, .. }) = parse(&frame) {
                prop_assert!(mac[0] & 1 == 0);
            }
        }
    }
}
