//! Any bytes as an Ethernet frame that the driver xdp has received: refused, or a datagram that lies within it, is of a
//! size that links send, and reads the same when it is written again.

use std::net::SocketAddr;

use daedal_net::driver::DATAGRAM_ALIGN;
use daedal_net::driver::headers::{Template, bytes, parse};

/// One input.
pub fn run(data: &[u8]) {
    for here in ["10.0.0.2:7200", "[fd00::2]:7200"] {
        let here: SocketAddr = here.parse().expect("an address");
        let Some((headers, rest)) = data.split_at_checked(bytes(here.is_ipv4())) else {
            assert!(parse(here, data, &[]).is_err());
            continue;
        };
        let Ok(datagram) = parse(here, headers, rest) else { continue };
        let payload = &rest[..datagram.payload_bytes];
        assert!(!payload.is_empty() && payload.len().is_multiple_of(DATAGRAM_ALIGN));
        let template = Template::new([[1; 6], [2; 6]], datagram.from, here).expect("of one family");
        assert_eq!(parse(here, &template.emit(payload), payload), Ok(datagram));
    }
}
