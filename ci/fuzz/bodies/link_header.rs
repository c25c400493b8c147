//! Any bytes as a link header: refused, or written again byte for byte.

use daedal_net::wire::link::LinkHeader;

/// One input.
pub fn run(data: &[u8]) {
    let _ = daedal_net::link::addressed(data);
    if let Ok((header, records)) = LinkHeader::parse(data) {
        let mut out = [0; LinkHeader::BYTES];
        header.emit(&mut out);
        assert_eq!(out, data[..LinkHeader::BYTES]);
        assert_eq!(records.len(), data.len() - LinkHeader::BYTES);
    }
}
