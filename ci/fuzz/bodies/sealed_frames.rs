//! What strangers say to a link whose frames are sealed: whatever it is, nothing of it is heard.
//! Input: a whole frame; or, where the first byte is odd, what a true frame is changed by.

use daedal_net::link::Secret;

use crate::ends::opened;

/// What stands behind the seal fills up the datagram, and nobody reads it.
const TAIL_BYTES: usize = 10;

/// One input.
pub fn run(data: &[u8]) {
    let [kind, rest @ ..] = data else { return };
    let (mut ends, _) = opened(Some(Secret([7; 32])));
    let [from, to] = &mut ends;
    if kind % 2 == 0 {
        let bytes = &rest[..rest.len().min(crate::ends::PAYLOAD)];
        assert!(to.hear(9, bytes).expect("most buffers are free").is_err());
        return;
    }
    from.link.watch(true);
    // It asks what became of the other end, when it has waited for long.
    let asks = [9, 3_000_000_000, 6_000_000_000].map(|now| from.flush(now)).concat();
    for mut frame in asks {
        let end = frame.len() - TAIL_BYTES;
        frame[..end].iter_mut().zip(rest).for_each(|(byte, change)| *byte ^= change);
        let is_true = rest.iter().take(end).all(|change| *change == 0);
        let heard = to.hear(6_000_000_000, &frame).expect("most buffers are free");
        assert_eq!(heard.is_ok(), is_true);
    }
}
