//! How to each peer: by which neighbour, and with which headers. A host of our own network is its own neighbour, all
//! others are the gateway's. Answers hold for a second, so that who moves is followed.

use std::net::{IpAddr, SocketAddr};

use hashbrown::HashMap;

use super::port::Port;
use crate::driver::headers::{Template, bytes};
use crate::driver::neighbour::Letter;

/// How long an answer holds, in nanoseconds.
const REFRESH_NS: u64 = 1_000_000_000;
/// Peers that are remembered: some more than a reactor has links.
const WAYS_MAX: usize = 2048;
const ETHERNET_BYTES: usize = 14;

/// How somebody is reached.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    /// With these headers.
    By(Template),
    /// His neighbour was asked after.
    Asked,
    /// Not at all.
    None,
}

/// The ways of one driver.
pub(super) struct Ways {
    address: SocketAddr,
    payload_bytes_max: usize,
    ways: HashMap<SocketAddr, (Way, u64), foldhash::fast::FixedState>,
}

impl Ways {
    pub(super) fn new(address: SocketAddr, mtu: usize) -> Ways {
        let headers = bytes(address.is_ipv4()) - ETHERNET_BYTES;
        let ways = HashMap::with_capacity_and_hasher(WAYS_MAX, Default::default());
        Ways { address, payload_bytes_max: mtu.saturating_sub(headers), ways }
    }

    /// The way to `to`, and a question to be sent, if it is not known well.
    pub(super) fn to(
        &mut self,
        port: &Port,
        to: SocketAddr,
        now: u64,
        payload_bytes: usize,
    ) -> (Way, Option<Letter>) {
        if payload_bytes > self.payload_bytes_max {
            return (Way::None, None);
        }
        if let Some((way, until)) = self.ways.get(&to)
            && now < *until
        {
            return (*way, None);
        }
        let (way, question) = self.find(port, to, now);
        if !matches!(way, Way::Asked) {
            if self.ways.len() >= WAYS_MAX {
                self.ways.clear();
            }
            self.ways.insert(to, (way, now + REFRESH_NS));
        }
        (way, question)
    }

    fn find(&self, port: &Port, to: SocketAddr, now: u64) -> (Way, Option<Letter>) {
        let ip = to.ip();
        let is_answered = !ip.is_unspecified() && !ip.is_multicast() && ip != port.ip;
        let near = is_answered && is_near(port.ip, ip, port.prefix);
        let next = if near { Some(ip) } else { port.gateway.filter(|_| is_answered) };
        let Some(next) = next.filter(|_| ip.is_ipv4() == port.ip.is_ipv4()) else {
            return (Way::None, None);
        };
        let known = port.neighbours().find(next, now);
        let template = known.mac.map(|there| Template::new([port.mac, there], self.address, to));
        let way = match template {
            Some(Some(template)) => Way::By(template),
            Some(None) => Way::None,
            None => Way::Asked,
        };
        (way, known.question)
    }
}

/// Whether both are of one network.
fn is_near(here: IpAddr, there: IpAddr, prefix: u8) -> bool {
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => (u128::from(u32::from(ip)) << 96, 32),
        IpAddr::V6(ip) => (u128::from(ip), 128),
    };
    let ((here, all), (there, others)) = (bits(here), bits(there));
    let differs = (here ^ there).leading_zeros();
    all == others && differs >= u32::from(prefix.min(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_one_network_are_near_whatever_its_size() {
        for (here, there, prefix, expect) in [
            ("10.0.0.1", "10.0.0.254", 24, true),
            ("10.0.0.1", "10.0.1.1", 24, false),
            ("10.0.0.1", "10.0.1.1", 16, true),
            ("10.0.0.1", "200.0.1.1", 0, true),
            ("10.0.0.1", "10.0.0.1", 128, true),
            ("10.0.0.1", "10.0.0.2", 128, false),
            ("fd00::1", "fd00::2:1", 64, true),
            ("fd00::1", "fd01::1", 64, false),
            ("fd00::1", "10.0.0.1", 0, false),
        ] {
            let near = is_near(here.parse().unwrap(), there.parse().unwrap(), prefix);
            assert_eq!(near, expect, "{here} {there}");
        }
    }
}
