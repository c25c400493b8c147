//! Any bytes as an Ethernet frame between neighbours: nothing, or a word that reads the same when it is said again, by
//! somebody who can be reached.

use std::net::IpAddr;

use daedal_net::driver::neighbour::{Word, announcement, answer, parse, question};

/// One input.
pub fn run(data: &[u8]) {
    match parse(data) {
        None => {}
        Some(Word::Asks { from, mac, about }) => {
            assert_eq!(mac[0] & 1, 0);
            let again = question((from, mac), about).expect("of one family");
            if !(from.is_ipv6() && from.is_unspecified()) {
                assert_eq!(parse(&again), Some(Word::Asks { from, mac, about }));
            }
            let here = [2, 0, 0, 0, 0, 9];
            let told = answer((about, here), (from, mac)).expect("of one family");
            let is_somebody = !about.is_unspecified() && !about.is_multicast();
            let is_broadcast = matches!(about, IpAddr::V4(about) if about.is_broadcast());
            if is_somebody && !is_broadcast {
                assert_eq!(parse(&told), Some(Word::Tells { who: about, mac: here }));
            }
        }
        Some(Word::Tells { who, mac }) => {
            assert_eq!(mac[0] & 1, 0);
            let again = announcement((who, mac)).expect("of either family");
            assert_eq!(parse(&again), Some(Word::Tells { who, mac }));
        }
    }
}
