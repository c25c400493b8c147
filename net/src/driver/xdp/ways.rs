//! How to each peer: by the ring, with which headers, or by the kernel.
//!
//! By the ring goes what leaves by our interface to a neighbour whose Ethernet address is known. All else is the
//! kernel's: peers on this host, other interfaces, and a neighbour that is not known yet, whom the kernel asks after
//! when it gets something for him. So nothing is lost or waits here for want of an address.
//!
//! Answers are asked anew after [`REFRESH_NS`], so a neighbour that has another card, or a route that goes elsewhere,
//! is followed; what the kernel sees of a neighbour itself it has from others, as frames that go by the ring are
//! none of its business: who was not confirmed lately is asked after.

use std::net::SocketAddr;

use hashbrown::HashMap;

use super::netlink::{Netlink, Route};
use crate::driver::headers::{Mac, Template, bytes, scoped};

/// How long an answer holds, in nanoseconds.
pub(super) const REFRESH_NS: u64 = 1_000_000_000;
/// And that a neighbour is not known: as long as a few of his answers take.
const UNKNOWN_NS: u64 = 10_000_000;
/// Peers that are remembered: some more than a reactor has links.
const WAYS_MAX: usize = 2048;
/// Of an Ethernet header, which an MTU does not count.
const ETHERNET_BYTES: usize = 14;

#[derive(Clone, Copy, Debug)]
struct Way {
    template: Option<Template>,
    /// Largest payload that goes this way as one packet.
    payload_bytes_max: usize,
    until: u64,
}

pub(super) struct Ways {
    netlink: Netlink,
    address: SocketAddr,
    interface: u32,
    /// Ethernet address and MTU of the interface, as they were lately.
    card: Option<(Mac, usize)>,
    card_until: u64,
    ways: HashMap<SocketAddr, Way, foldhash::fast::FixedState>,
}

impl Ways {
    /// For a driver at that address, which the interface has.
    pub(super) fn new(netlink: Netlink, address: SocketAddr, interface: u32) -> Ways {
        let ways = HashMap::with_capacity_and_hasher(WAYS_MAX, Default::default());
        Ways { netlink, address, interface, card: None, card_until: 0, ways }
    }

    /// What goes before such a payload to `to`, if it goes by the ring.
    pub(super) fn to(
        &mut self,
        to: SocketAddr,
        now: u64,
        payload_bytes: usize,
    ) -> Option<&Template> {
        let is_fresh = self.ways.get(&to).is_some_and(|way| now < way.until);
        if !is_fresh {
            let way = self.find(to, now);
            if self.ways.len() >= WAYS_MAX {
                self.ways.clear();
            }
            self.ways.insert(to, way);
        }
        let way = self.ways.get(&to)?;
        way.template.as_ref().filter(|_| payload_bytes <= way.payload_bytes_max)
    }

    fn find(&mut self, to: SocketAddr, now: u64) -> Way {
        let no = |holds_ns| Way { template: None, payload_bytes_max: 0, until: now + holds_ns };
        let (address, interface) = (self.address, self.interface);
        let scope = if let SocketAddr::V6(to) = to { to.scope_id() } else { 0 };
        if to.is_ipv4() != address.is_ipv4() || scoped(to, scope) != to {
            return no(REFRESH_NS);
        }
        let route = self.netlink.route(address.ip(), to.ip(), scope);
        let Some(route) = route.filter(|route| route.interface == interface) else {
            return no(REFRESH_NS);
        };
        let Some(next) = self.neighbour(route) else { return no(UNKNOWN_NS) };
        let Some((mac, mtu)) = self.card(now) else { return no(REFRESH_NS) };
        let headers = bytes(to.is_ipv4()) - ETHERNET_BYTES;
        Way {
            template: Template::new([mac, next], address, to),
            payload_bytes_max: route.mtu.unwrap_or(mtu).min(mtu).saturating_sub(headers),
            until: now + REFRESH_NS,
        }
    }

    fn card(&mut self, now: u64) -> Option<(Mac, usize)> {
        if now >= self.card_until {
            self.card_until = now + REFRESH_NS;
            let link = self.netlink.link(self.interface).ok().flatten();
            self.card = link.and_then(|it| it.mac.map(|mac| (mac, it.mtu)));
        }
        self.card
    }

    fn neighbour(&mut self, Route { interface, next, .. }: Route) -> Option<Mac> {
        let found = self.netlink.neighbour(interface, next)?;
        if found.is_stale {
            self.netlink.confirm(interface, next);
        }
        Some(found.mac)
    }
}
