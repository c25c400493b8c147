//! What the kernel knows of interfaces, their rings, routes and neighbours, asked by netlink: one question, one answer.
//!
//! Answers are there when a question has been sent, so nothing here waits. What is no answer, or is cut short, is
//! skipped: an answer that lacks something is as good as none.
//!
//! Sources: `rtnetlink(7)`, `netlink(7)`, linux v6.6 include/uapi/linux/{rtnetlink,neighbour,if_link,if_addr}.h and
//! {genetlink,ethtool_netlink}.h.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::netlink::GENERIC;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};

use crate::driver::headers::Mac;

const HEADER_BYTES: usize = 16;
/// As much as the kernel puts into one answer.
const ANSWER_BYTES: usize = 32_768;

const DONE: u16 = 3;
const ERROR: u16 = 2;
const GET_LINK: u16 = 18;
const GET_ADDRESS: u16 = 22;
const GET_ROUTE: u16 = 26;
const NEW_NEIGHBOUR: u16 = 28;
const GET_NEIGHBOUR: u16 = 30;

const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;
const DUMP: u16 = 0x300;

/// Of an attribute that holds others.
const NESTED: u16 = 0x8000;

/// A neighbour whose address was confirmed or is being asked after, or never has to be.
const STATES_USABLE: u16 = 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | 0x80;
const STATE_STALE: u16 = 0x04;
/// Has the kernel ask whether the neighbour is still there, as if something had been sent to it.
const USE: u8 = 1;

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub name: String,
    /// `None`: it is no Ethernet.
    pub mac: Option<Mac>,
    pub mtu: usize,
    /// The program that is attached already.
    pub program: Option<u32>,
}

/// The way to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub interface: u32,
    /// Whom to hand it to: a router, or the address itself.
    pub next: IpAddr,
    /// The largest IP packet that goes this way, if the route says so.
    pub mtu: Option<usize>,
}

/// Who has an address on an interface's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Neighbour {
    pub mac: Mac,
    /// Nobody has confirmed it lately.
    pub is_stale: bool,
}

/// A socket for questions.
pub(super) struct Netlink {
    socket: OwnedFd,
    number: u32,
    question: Vec<u8>,
    answer: Box<[u8]>,
}

impl Netlink {
    /// # Errors
    /// The system's.
    pub(super) fn open() -> io::Result<Netlink> {
        // NETLINK_ROUTE is 0, the default.
        Netlink::open_of(None)
    }

    fn open_of(protocol: Option<Protocol>) -> io::Result<Netlink> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (family, kind) = (AddressFamily::NETLINK, SocketType::RAW);
        let socket = socket_with(family, kind, flags, protocol)?;
        let answer = vec![0; ANSWER_BYTES].into();
        Ok(Netlink { socket, number: 0, question: Vec::with_capacity(128), answer })
    }

    /// The interface that has an address.
    /// # Errors
    /// The system's.
    pub(super) fn interface_of(&mut self, ip: IpAddr) -> io::Result<Option<u32>> {
        self.begin(GET_ADDRESS, DUMP, &[family(ip), 0, 0, 0, 0, 0, 0, 0]);
        let mut found = None;
        self.ask(|body| {
            let index = body.get(4..8).and_then(number);
            // A pointed interface has its own address as the second, and its peer's as the first.
            let [address, own] = attributes(body, 8, [1, 2]);
            if own.or(address).and_then(address_of) == Some(ip) {
                found = found.or(index);
            }
        })?;
        Ok(found)
    }

    /// An interface, by its number.
    /// # Errors
    /// The system's.
    pub(super) fn link(&mut self, interface: u32) -> io::Result<Option<Link>> {
        const ETHERNET: u16 = 1;
        let mut message = [0; 16];
        message[4..8].copy_from_slice(&interface.to_ne_bytes());
        self.begin(GET_LINK, 0, &message);
        let mut found = None;
        self.ask(|body| {
            let [mac, name, mtu, xdp] = attributes(body, 16, [1, 3, 4, 43]);
            let kind = body.get(2..4).map(|it| u16::from_ne_bytes([it[0], it[1]]));
            let name = name.map(|it| it.split(|byte| *byte == 0).next().unwrap_or_default());
            let [program] = xdp.map_or([None], |it| attributes(it, 0, [4]));
            found = Some(Link {
                name: String::from_utf8_lossy(name.unwrap_or_default()).into_owned(),
                mac: mac.and_then(|it| it.try_into().ok()).filter(|_| kind == Some(ETHERNET)),
                mtu: mtu.and_then(number).unwrap_or(0) as usize,
                program: program.and_then(number).filter(|id| *id != 0),
            });
        })?;
        Ok(found)
    }

    /// The way from one of our addresses to another host. `None`: there is none, or it ends on this host, or it
    /// is not to one host.
    pub(super) fn route(&mut self, from: IpAddr, to: IpAddr, scope: u32) -> Option<Route> {
        const UNICAST: u8 = 1;
        let bits = if to.is_ipv4() { 32 } else { 128 };
        self.begin(GET_ROUTE, 0, &[family(to), bits, bits, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        self.attribute(1, to);
        self.attribute(2, from);
        if scope != 0 {
            self.attribute_bytes(4, &scope.to_ne_bytes());
        }
        let mut found = None;
        let asked = self.ask(|body| {
            // A gateway of the other family has an attribute of its own; such routes are the kernel's.
            let [interface, gateway, metrics, via] = attributes(body, 12, [4, 5, 8, 18]);
            let [mtu] = metrics.map_or([None], |it| attributes(it, 0, [2]));
            let next = gateway.map_or(Some(to), address_of).filter(|_| via.is_none());
            let is_unicast = body.get(7) == Some(&UNICAST);
            found = interface.and_then(number).zip(next).filter(|_| is_unicast).map(
                |(interface, next)| {
                    let mtu = mtu.and_then(number).filter(|it| *it != 0).map(|it| it as usize);
                    Route { interface, next, mtu }
                },
            );
        });
        asked.ok().and(found)
    }

    /// Who has an address on an interface's network. `None`: nobody, or the kernel does not know yet.
    pub(super) fn neighbour(&mut self, interface: u32, ip: IpAddr) -> Option<Neighbour> {
        self.begin(GET_NEIGHBOUR, 0, &neighbour_message(interface, ip, 0));
        self.attribute(1, ip);
        let mut found = None;
        let asked = self.ask(|body| {
            let state = body.get(8..10).map_or(0, |it| u16::from_ne_bytes([it[0], it[1]]));
            let [mac] = attributes(body, 12, [2]);
            let mac = mac.and_then(|it| it.try_into().ok()).filter(|_| state & STATES_USABLE != 0);
            found = mac.map(|mac| Neighbour { mac, is_stale: state & STATE_STALE != 0 });
        });
        asked.ok().and(found)
    }

    /// Has the kernel ask whether a neighbour is still there. Whether it did shows in the next answer.
    pub(super) fn confirm(&mut self, interface: u32, ip: IpAddr) {
        self.begin(NEW_NEIGHBOUR, ACKNOWLEDGE, &neighbour_message(interface, ip, USE));
        self.attribute(1, ip);
        // The frame at hand goes to where the neighbour was: the next one may know better.
        let _ = self.ask(|_| ());
    }

    /// Entries of an interface's own rings, to receive and to send, as `ethtool -g` shows them. `None`: it has none, or
    /// does not say.
    pub(super) fn rings(interface: u32) -> Option<[u32; 2]> {
        const CONTROL: u16 = 16;
        const GET_FAMILY: u8 = 3;
        const GET_RINGS: u8 = 15;
        let mut netlink = Netlink::open_of(Some(GENERIC)).ok()?;
        netlink.begin(CONTROL, 0, &[GET_FAMILY, 1, 0, 0]);
        netlink.attribute_bytes(2, b"ethtool\0");
        let mut family = None;
        let asked = netlink.ask(|body| {
            let [id] = attributes(body, 4, [1]);
            family = id.and_then(|it| it.try_into().ok()).map(u16::from_ne_bytes);
        });
        netlink.begin(asked.ok().and(family)?, 0, &[GET_RINGS, 1, 0, 0]);
        // Within it is the interface's number, an attribute of eight bytes.
        let [bytes, kind] = [8u16, 1].map(u16::to_ne_bytes);
        let header = [bytes, kind].concat();
        netlink.attribute_bytes(NESTED | 1, &[&header[..], &interface.to_ne_bytes()].concat());
        let mut found = None;
        let asked = netlink.ask(|body| {
            let [receive, send] = attributes(body, 4, [6, 9]).map(|it| it.and_then(number));
            found = receive.zip(send).map(|(receive, send)| [receive, send]);
        });
        asked.ok().and(found)
    }

    fn begin(&mut self, kind: u16, flags: u16, message: &[u8]) {
        self.number = self.number.wrapping_add(1);
        self.question.clear();
        self.question.extend([0; 4]);
        self.question.extend(kind.to_ne_bytes());
        self.question.extend((REQUEST | flags).to_ne_bytes());
        self.question.extend(self.number.to_ne_bytes());
        self.question.extend([0; 4]);
        self.question.extend(message);
    }

    fn attribute(&mut self, kind: u16, ip: IpAddr) {
        match ip {
            IpAddr::V4(ip) => self.attribute_bytes(kind, &ip.octets()),
            IpAddr::V6(ip) => self.attribute_bytes(kind, &ip.octets()),
        }
    }

    /// Ours are all of whole words.
    fn attribute_bytes(&mut self, kind: u16, value: &[u8]) {
        self.question.extend((4 + value.len() as u16).to_ne_bytes());
        self.question.extend(kind.to_ne_bytes());
        self.question.extend(value);
    }

    /// Sends the question, and hands over what each message of the answer holds.
    fn ask(&mut self, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let bytes = self.question.len() as u32;
        self.question[..4].copy_from_slice(&bytes.to_ne_bytes());
        send(&self.socket, &self.question, SendFlags::empty())?;
        loop {
            let (bytes, _) = match recv(&self.socket, &mut *self.answer, RecvFlags::DONTWAIT) {
                // The end of an answer to an earlier question, which was too long for its buffer.
                Err(Errno::NOBUFS) => continue,
                other => other?,
            };
            if read(self.answer.get(..bytes).unwrap_or_default(), self.number, &mut each)? {
                return Ok(());
            }
        }
    }
}

/// Reads a part of an answer: whether it was the last.
fn read(mut answer: &[u8], asked: u32, each: &mut impl FnMut(&[u8])) -> io::Result<bool> {
    const MULTI: u16 = 2;
    let mut is_last = false;
    while let Some(header) = answer.first_chunk::<HEADER_BYTES>() {
        let half = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
        let word = |at: usize| number(&header[at..at + 4]).unwrap_or(0);
        let bytes = word(0) as usize;
        let Some(body) = answer.get(HEADER_BYTES..bytes) else { break };
        if word(8) == asked {
            match half(4) {
                DONE => return Ok(true),
                ERROR => {
                    let code = body.get(..4).and_then(number).unwrap_or(0) as i32;
                    let refused = io::Error::from_raw_os_error(code.wrapping_neg());
                    return if code == 0 { Ok(true) } else { Err(refused) };
                }
                _ => each(body),
            }
            is_last = half(6) & MULTI == 0;
        }
        answer = answer.get(bytes.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(is_last)
}

/// The attributes of these kinds, behind so many bytes.
fn attributes<const COUNT: usize>(
    body: &[u8],
    from: usize,
    kinds: [u16; COUNT],
) -> [Option<&[u8]>; COUNT] {
    /// Kinds have flags in their two upper bits.
    const KIND: u16 = 0x3fff;
    let mut found = [None; COUNT];
    let mut rest = body.get(from..).unwrap_or_default();
    while let Some(head) = rest.first_chunk::<4>() {
        let bytes = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let kind = u16::from_ne_bytes([head[2], head[3]]) & KIND;
        let Some(value) = rest.get(4..bytes) else { break };
        if let Some(place) = kinds.iter().position(|it| *it == kind) {
            found[place] = Some(value);
        }
        rest = rest.get(bytes.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

fn neighbour_message(interface: u32, ip: IpAddr, flags: u8) -> [u8; 12] {
    let mut message = [0; 12];
    message[0] = family(ip);
    message[4..8].copy_from_slice(&interface.to_ne_bytes());
    message[10] = flags;
    message
}

fn family(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { libc::AF_INET as u8 } else { libc::AF_INET6 as u8 }
}

fn address_of(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_loopback_has_its_address_and_is_no_ethernet() {
        let mut netlink = Netlink::open().unwrap();
        let index = netlink.interface_of([127, 0, 0, 1].into()).unwrap().unwrap();
        let link = netlink.link(index).unwrap().unwrap();
        assert_eq!((link.name.as_str(), link.mac, link.program), ("lo", None, None));
        assert!(link.mtu >= 1500);
        // 240.0.0.0/4 is nobody's.
        assert_eq!(netlink.interface_of([240, 0, 0, 1].into()).unwrap(), None);
        // What ends here is no way to a neighbour.
        let here = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(netlink.route(here, here, 0), None);
        assert_eq!(netlink.neighbour(index, here), None);
        assert!(netlink.link(1 << 30).is_err());
        assert_eq!((Netlink::rings(index), Netlink::rings(1 << 30)), (None, None));
        // Nothing of those answers is left for the next question.
        assert_eq!(netlink.interface_of(here).unwrap(), Some(index));
    }

    proptest! {
        #[test]
        fn whatever_an_answer_is_it_is_read_to_its_end(answer in prop::collection::vec(any::<u8>(), 0..200)) {
            let asked = answer.get(8..12).and_then(number).unwrap_or(1);
            let _ = read(&answer, asked, &mut |body| {
                for bytes in attributes(body, 8, [1, 2]).into_iter().flatten() {
                    assert!(bytes.len() <= answer.len());
                }
            });
        }
    }
}
