//! Which outgoing frames the kernel may take as one GSO train. Pure: no socket, no bytes.
//!
//! Source: linux v6.6 net/ipv4/udp.c (`udp_send_skb`), `UDP_MAX_SEGMENTS`.

use std::net::SocketAddr;

/// Segments of one train: what every kernel since 4.18 takes (newer ones take 128).
pub(crate) const SEGMENTS_MAX: usize = 64;

/// Bytes of one train: 65,535 less the IPv4 and UDP headers (IPv6 has 20 more to give).
pub(crate) const BYTES_MAX: usize = 65_507;

/// Frames that leave together: to one address, of one size, the last perhaps shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Train {
    pub to: SocketAddr,
    pub frames: usize,
    pub segment_bytes: usize,
}

/// The train at the front of `frames` (address and size of each), of at most `frames_max`. `None`
/// when there are no frames. A frame that fits no train travels alone.
pub(crate) fn first(
    mut frames: impl Iterator<Item = (SocketAddr, usize)>,
    frames_max: usize,
) -> Option<Train> {
    let (to, segment_bytes) = frames.next()?;
    let mut train = Train { to, frames: 1, segment_bytes };
    let mut bytes = segment_bytes;
    for (next_to, next_bytes) in frames.take(frames_max.min(SEGMENTS_MAX) - 1) {
        let fits = next_bytes > 0 && next_bytes <= segment_bytes && bytes + next_bytes <= BYTES_MAX;
        if next_to != to || !fits {
            break;
        }
        train.frames += 1;
        bytes += next_bytes;
        if next_bytes < segment_bytes {
            break;
        }
    }
    Some(train)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn to(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn check(sizes: &[(u16, usize)], frames_max: usize, expect: usize) {
        let frames = sizes.iter().map(|&(port, bytes)| (to(port), bytes));
        assert_eq!(first(frames, frames_max).map_or(0, |train| train.frames), expect, "{sizes:?}");
    }

    #[test]
    fn a_train_has_one_address_and_one_size_but_for_a_shorter_last() {
        check(&[], 64, 0);
        check(&[(1, 64)], 64, 1);
        check(&[(1, 64), (1, 64), (1, 32), (1, 32)], 64, 3);
        check(&[(1, 64), (1, 80)], 64, 1);
        check(&[(1, 64), (2, 64)], 64, 1);
        check(&[(1, 64), (1, 0), (1, 64)], 64, 1);
        check(&[(1, 0), (1, 0)], 64, 1);
    }

    #[test]
    fn a_train_keeps_to_64_frames_and_to_what_was_asked_and_to_one_datagram() {
        check(&[(1, 64); 100], 100, 64);
        check(&[(1, 64); 100], 1, 1);
        check(&[(1, 1472); 100], 100, 44);
        check(&[(1, 70_000); 2], 100, 1);
    }

    proptest! {
        #[test]
        fn trains_are_legal_and_as_long_as_they_may_be(
            frames in prop::collection::vec((0u16..2, 0usize..4), 1..200), frames_max in 1usize..100,
        ) {
            let frames: Vec<_> =
                frames.iter().map(|&(port, size)| (to(port), size * 16)).collect();
            let legal = |count: usize| {
                let (head, last) = frames[..count].split_at(count - 1);
                count == 1 || (count <= SEGMENTS_MAX.min(frames_max)
                    && frames[..count].iter().all(|frame| frame.0 == frames[0].0)
                    && head.iter().all(|frame| frame.1 == frames[0].1)
                    && last[0].1 <= frames[0].1 && last[0].1 > 0
                    && frames[..count].iter().map(|frame| frame.1).sum::<usize>() <= BYTES_MAX)
            };
            let expect = (1..=frames.len()).take_while(|&count| legal(count)).last();
            let train = first(frames.iter().copied(), frames_max).unwrap();
            prop_assert_eq!(Some(train.frames), expect);
            prop_assert_eq!(train.segment_bytes, frames[0].1);
        }
    }
}
