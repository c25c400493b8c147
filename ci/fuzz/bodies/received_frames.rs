//! Any bytes as an Ethernet frame that the driver xdp has received, or dpdk by a card that says that its checksums fit:
//! refused, or a datagram that lies within it, is of a size that links send, and reads the same when it is written
//! again.

use std::net::SocketAddr;

use daedal_net::driver::DATAGRAM_ALIGN;
use daedal_net::driver::headers::{Checksums, Template, Verdict, Verdicts, bytes, parse};

const GOOD: Verdicts = Verdicts { ip: Verdict::Good, udp: Verdict::Good };

/// One input.
pub fn run(data: &[u8]) {
    for here in ["10.0.0.2:7200", "[fd00::2]:7200"] {
        let here: SocketAddr = here.parse().expect("an address");
        let Some((headers, rest)) = data.split_at_checked(bytes(here.is_ipv4())) else {
            assert!(parse(here, data, &[], GOOD).is_err());
            continue;
        };
        let believed = parse(here, headers, rest, GOOD);
        let looked_at = parse(here, headers, rest, Verdicts::NONE);
        assert!(looked_at.is_err() || looked_at == believed);
        let Ok(datagram) = believed else { continue };
        let payload = &rest[..datagram.payload_bytes];
        assert!(!payload.is_empty() && payload.len().is_multiple_of(DATAGRAM_ALIGN));
        let template = Template::new([[1; 6], [2; 6]], datagram.from, here).expect("of one family");
        let again = template.emit(payload, Checksums::NONE);
        assert_eq!(parse(here, &again, payload, Verdicts::NONE), Ok(datagram));
    }
}
