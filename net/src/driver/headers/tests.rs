use proptest::prelude::*;

use super::*;

const MACS: [Mac; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];

fn ends(is_v4: bool) -> [SocketAddr; 2] {
    let text = if is_v4 {
        ["10.0.0.1:7100", "10.0.0.2:7200"]
    } else {
        ["[fd00::1]:7100", "[fd00::2]:7200"]
    };
    text.map(|it| it.parse().unwrap())
}

fn emitted(is_v4: bool, payload: &[u8]) -> Vec<u8> {
    emitted_with(is_v4, payload, Checksums::NONE)
}

fn emitted_with(is_v4: bool, payload: &[u8], by_card: Checksums) -> Vec<u8> {
    let [from, to] = ends(is_v4);
    Template::new(MACS, from, to).unwrap().emit(payload, by_card).to_vec()
}

/// What a frame to the second end is read as.
fn read(is_v4: bool, headers: &[u8], rest: &[u8]) -> Result<Datagram, Wrong> {
    parse(ends(is_v4)[1], headers, rest, Verdicts::NONE)
}

/// The headers with this byte changed.
fn check(is_v4: bool, at: usize, byte: u8, expect: Wrong) {
    let payload = [7; 64];
    let mut headers = emitted(is_v4, &payload);
    assert_ne!(std::mem::replace(&mut headers[at], byte), byte);
    assert_eq!(read(is_v4, &headers, &payload), Err(expect), "byte {at}");
}

#[test]
fn the_headers_of_a_datagram_are_those_of_the_rfcs() {
    // As the kernel of linux 6.1 sends it, but for its number, with tx-checksumming off.
    let headers = emitted(true, &[0xab; 16]);
    assert_eq!(headers[..14], [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
    assert_eq!(headers[14..24], [0x45, 0, 0, 44, 0, 0, 0x40, 0, 64, 17]);
    let ip: u32 =
        headers[14..34].chunks(2).map(|it| u32::from(it[0]) << 8 | u32::from(it[1])).sum();
    assert_eq!((ip & 0xffff) + (ip >> 16), 0xffff);
    assert_eq!(headers[34..40], [0x1b, 0xbc, 0x1c, 0x20, 0, 24]);
    let headers = emitted(false, &[0xab; 16]);
    assert_eq!(headers[12..22], [0x86, 0xdd, 0x60, 0, 0, 0, 0, 24, 17, 64]);
}

#[test]
fn a_checksum_that_would_be_zero_is_sent_as_its_other_form() {
    let zeros = (0..=u16::MAX).map(|word| {
        let mut payload = [0; 16];
        payload[..2].copy_from_slice(&word.to_be_bytes());
        (emitted(true, &payload), payload)
    });
    let found: Vec<_> = zeros.filter(|(headers, _)| headers[40..42] == [255, 255]).collect();
    assert!(!found.is_empty());
    assert!(found.iter().all(|(headers, payload)| read(true, headers, payload).is_ok()));
}

/// What a card does that makes these checksums: sums up what is there, each with what its field holds.
fn made_by_card(headers: &mut [u8], payload: &[u8], by_card: Checksums) {
    let udp = headers.len() - UDP_BYTES;
    let whole = (!fold(sum(&headers[udp..]) + sum(payload))).to_ne_bytes();
    let ip = (!fold(sum(&headers[ETHERNET_BYTES..udp]))).to_ne_bytes();
    if by_card.udp {
        headers[udp + 6..udp + 8].copy_from_slice(&whole);
    }
    if by_card.ip && headers.len() == BYTES_V4 {
        headers[24..26].copy_from_slice(&ip);
    }
}

#[test]
fn what_a_card_makes_is_left_to_it_and_the_rest_is_made_here() {
    for (is_v4, ip, udp) in (0..8).map(|bits: u8| (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0)) {
        let (by_card, payload) = (Checksums { ip, udp }, [0xab; 48]);
        let whole = emitted(is_v4, &payload);
        let mut headers = emitted_with(is_v4, &payload, by_card);
        let at = headers.len() - 2;
        let addresses = if is_v4 { 26..34 } else { 22..54 };
        let pseudo = fold(sum(&headers[addresses]) + pseudo(56)).to_ne_bytes();
        assert_eq!(headers[at..], if udp { pseudo } else { [whole[at], whole[at + 1]] });
        if is_v4 {
            assert_eq!(headers[24..26], if ip { [0, 0] } else { [whole[24], whole[25]] });
        }
        made_by_card(&mut headers, &payload, by_card);
        assert_eq!(headers, whole, "{is_v4} {by_card:?}");
    }
}

#[test]
fn what_a_card_says_of_a_checksum_is_believed_and_where_it_says_nothing_it_is_looked_at() {
    use Verdict::{Bad, Good, None};
    let payload = [7; 64];
    for is_v4 in [true, false] {
        let right = emitted(is_v4, &payload);
        let (mut wrong_ip, mut wrong_udp) = (right.clone(), right.clone());
        wrong_ip[24] ^= 1;
        *wrong_udp.last_mut().unwrap() ^= 1;
        let check = |headers: &[u8], ip, udp, expect: bool| {
            let read = parse(ends(is_v4)[1], headers, &payload, Verdicts { ip, udp });
            assert_eq!(read.is_ok(), expect, "{is_v4} {ip:?} {udp:?}");
            assert!(expect || read == Err(Wrong::Checksum));
        };
        for ip in [None, Good, Bad] {
            for udp in [None, Good, Bad] {
                // Over IPv6 there is no other, whatever is said of it.
                let is_ip_good = ip != Bad || !is_v4;
                check(&right, ip, udp, is_ip_good && udp != Bad);
                check(&wrong_udp, ip, udp, is_ip_good && udp == Good);
                if is_v4 {
                    check(&wrong_ip, ip, udp, ip == Good && udp != Bad);
                }
            }
        }
        // Nothing else is.
        let good = Verdicts { ip: Good, udp: Good };
        let to = |port| SocketAddr::new(ends(is_v4)[1].ip(), port);
        assert_eq!(parse(to(7), &right, &payload, good), Err(Wrong::Elsewhere));
        assert_eq!(parse(to(7200), &right, &payload[..48], good), Err(Wrong::Short));
    }
}

#[test]
fn what_is_not_plain_udp_to_us_is_refused_for_its_reason() {
    // Tagged; another version; options; a fragment; TCP; another address; too short; too long; its checksum.
    check(true, 12, 0x81, Wrong::Form);
    check(true, 14, 0x65, Wrong::Form);
    check(true, 14, 0x46, Wrong::Form);
    check(true, 20, 0x20, Wrong::Form);
    check(true, 21, 1, Wrong::Form);
    check(true, 23, 6, Wrong::Form);
    check(true, 33, 3, Wrong::Elsewhere);
    check(true, 17, 19, Wrong::Short);
    check(true, 17, 93, Wrong::Short);
    check(true, 24, 0x99, Wrong::Checksum);
    check(false, 13, 0, Wrong::Form);
    check(false, 14, 0x45, Wrong::Form);
    check(false, 20, 44, Wrong::Form);
    check(false, 53, 3, Wrong::Elsewhere);
    check(false, 19, 7, Wrong::Short);
    check(false, 19, 73, Wrong::Short);
    for (is_v4, udp) in [(true, 34), (false, 54)] {
        check(is_v4, udp + 3, 0, Wrong::Elsewhere);
        check(is_v4, udp + 5, 71, Wrong::Short);
        check(is_v4, udp + 5, 0, Wrong::Short);
        check(is_v4, udp, 0x1c, Wrong::Checksum);
        check(is_v4, udp + 6, 0x1c, Wrong::Checksum);
    }
}

#[test]
fn only_over_ipv4_a_checksum_may_be_missing_and_on_either_it_may_be_unfinished() {
    for is_v4 in [true, false] {
        let payload = [7; 64];
        let mut headers = emitted(is_v4, &payload);
        let at = headers.len() - 2;
        headers[at..].fill(0);
        assert_eq!(read(is_v4, &headers, &payload).is_ok(), is_v4);
        // As veth hands it over: addresses, protocol and length.
        let addresses = if is_v4 { 26..34 } else { 22..54 };
        let pseudo = sum(&headers[addresses]) + pseudo(72);
        headers[at..].copy_from_slice(&fold(pseudo).to_ne_bytes());
        assert!(read(is_v4, &headers, &payload).is_ok());
    }
}

#[test]
fn a_datagram_that_could_not_be_answered_or_is_of_no_size_of_a_link_is_odd() {
    for bytes in [0, 1, 15, 17, 1471] {
        let payload = vec![7; bytes];
        assert_eq!(read(true, &emitted(true, &payload), &payload), Err(Wrong::Odd));
    }
    for from in ["0.0.0.0:1", "224.0.0.1:1", "255.255.255.255:1", "10.0.0.1:0"] {
        let to = ends(true)[1];
        let template = Template::new(MACS, from.parse().unwrap(), to).unwrap();
        let headers = template.emit(&[0; 16], Checksums::NONE);
        assert_eq!(read(true, &headers, &[0; 16]), Err(Wrong::Odd));
    }
}

#[test]
fn the_port_of_a_datagram_is_read_whosever_it_is() {
    for is_v4 in [true, false] {
        let mut frame = emitted(is_v4, &[7; 16]);
        let there = ends(is_v4)[1].ip();
        assert_eq!(port_to(there, &frame), Some(7200));
        assert_eq!(port_to(ends(is_v4)[0].ip(), &frame), None);
        assert_eq!(port_to(ends(!is_v4)[1].ip(), &frame), None);
        assert_eq!(port_to(there, &frame[..30]), None);
        frame[if is_v4 { 23 } else { 20 }] = 6;
        assert_eq!(port_to(there, &frame), None);
    }
}

#[test]
fn padding_behind_a_datagram_is_not_part_of_it() {
    let headers = emitted(true, &[7; 16]);
    let mut rest = vec![7; 16];
    rest.resize(18, 0);
    assert_eq!(read(true, &headers, &rest).unwrap().payload_bytes, 16);
    assert_eq!(read(true, &headers, &rest[..15]), Err(Wrong::Short));
}

proptest! {
    #[test]
    fn what_is_emitted_is_read_and_no_flipped_bit_passes(
        is_v4: bool, payload in prop::collection::vec(any::<u8>(), 1..93),
        bit in 0usize..8 * 1500,
    ) {
        let payload: Vec<u8> = payload.iter().flat_map(|byte| [*byte; 16]).collect();
        let headers = emitted(is_v4, &payload);
        let expect = Datagram { from: ends(is_v4)[0], payload_bytes: payload.len() };
        prop_assert_eq!(read(is_v4, &headers, &payload), Ok(expect));

        // Of the Ethernet addresses nobody is told; nor does IPv6 sum up class, label and hops.
        let mut frame = [headers.clone(), payload].concat();
        let bit = bit % (8 * frame.len());
        let (at, end) = (bit / 8, headers.len());
        frame[at] ^= 1 << (bit % 8);
        let unsummed = at < 12 || !is_v4 && (matches!(at, 14..18 | 21) && (at > 14 || bit % 8 < 4));
        prop_assert_eq!(read(is_v4, &frame[..end], &frame[end..]).is_ok(), unsummed);
    }

    #[test]
    fn a_sum_is_the_sum_of_its_words(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let words = bytes.chunks(2).map(|it| u64::from(it[0]) << 8 | it.get(1).map_or(0, |it| u64::from(*it)));
        let mut slowly = words.sum::<u64>();
        while slowly > 0xffff {
            slowly = (slowly & 0xffff) + (slowly >> 16);
        }
        prop_assert_eq!(u64::from(u16::from_be(fold(sum(&bytes)))), slowly);
    }
}
