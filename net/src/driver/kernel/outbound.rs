//! Sending: the front of the queue formed into trains, and what to do when one is refused.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use rustix::net::{SendFlags, send, sendto};
use socket2::Socket;

use super::Offload;
use super::calls::{BURST, SEND_FRAMES, SendBurst};
use crate::driver::Outgoing;
use crate::driver::train::{self, Train};

pub(super) struct Outbound {
    burst: SendBurst,
    trains: Vec<Train>,
    pub gso: Offload,
    /// Frames at the front of the queue that travel alone, because as a train they were refused.
    alone: usize,
}

impl Outbound {
    pub(super) fn new(gso: Offload) -> Outbound {
        Outbound { burst: SendBurst::new(), trains: Vec::with_capacity(BURST), gso, alone: 0 }
    }

    /// One call that sends trains from the front of `frames`, up to the first one that does not go by
    /// this socket: how many the kernel took, or why it refused the first. `is_connected`: the socket
    /// knows where to.
    pub(super) fn send(
        &mut self,
        socket: (&Socket, bool),
        frames: &VecDeque<Outgoing>,
        goes_here: impl Fn(SocketAddr) -> bool,
    ) -> io::Result<usize> {
        self.trains.clear();
        // A frame alone, as in a conversation, goes by the cheapest way.
        if frames.len() == 1 {
            let Outgoing { to, frame } = &frames[0];
            self.trains.push(Train { to: *to, frames: 1, segment_bytes: frame.len() });
            return send_one(socket, &frames[0]);
        }
        let mut taken = 0;
        while self.trains.len() < BURST && taken < SEND_FRAMES {
            let together = self.gso.is_ok() && taken >= self.alone;
            let frames_max = if together { SEND_FRAMES - taken } else { 1 };
            let sizes = frames.range(taken..).map(|out| (out.to, out.frame.len()));
            let train = train::first(sizes, frames_max).filter(|train| goes_here(train.to));
            let Some(train) = train else { break };
            taken += train.frames;
            self.trains.push(train);
        }
        match self.trains[..] {
            [Train { frames: 1, .. }] => send_one(socket, &frames[0]),
            _ => self.burst.send(socket, &self.trains, frames),
        }
    }

    /// Whom those of the first `count` trains went to that were single frames.
    pub(super) fn singles(&self, count: usize) -> impl Iterator<Item = SocketAddr> {
        self.trains.iter().take(count).filter(|train| train.frames == 1).map(|train| train.to)
    }

    /// Drops the frames of the first `count` trains, which the kernel has copied or refused.
    pub(super) fn complete(&mut self, count: usize, frames: &mut VecDeque<Outgoing>) -> usize {
        let gone = self.trains.iter().take(count).map(|train| train.frames).sum();
        // Mostly there is one, for which a drain is dear.
        (0..gone).for_each(|_| drop(frames.pop_front()));
        self.alone = self.alone.saturating_sub(gone);
        gone
    }

    /// Whether the first train may pass if its frames travel alone: its segments are larger than the
    /// way's MTU (then IP fragments them), or the device cannot finish checksums (then none will).
    pub(super) fn split(&mut self, code: i32) -> bool {
        let frames = self.trains.first().map_or(0, |train| train.frames);
        if frames < 2 || !matches!(code, libc::EIO | libc::EINVAL | libc::EMSGSIZE) {
            return false;
        }
        if code == libc::EIO {
            self.gso = Err("refused by the device");
        }
        self.alone = frames;
        true
    }
}

/// A frame alone.
fn send_one((socket, is_connected): (&Socket, bool), out: &Outgoing) -> io::Result<usize> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    match is_connected {
        true => send(socket, &out.frame, flags)?,
        false => sendto(socket, &out.frame, flags, &out.to)?,
    };
    Ok(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Pool;

    /// The trains that `outbound` sends of `frames`, whatever comes of it.
    fn trains(outbound: &mut Outbound, frames: &VecDeque<Outgoing>) -> Vec<usize> {
        let socket = Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
        outbound.send((&socket, false), frames, |_| true).ok();
        outbound.trains.iter().map(|train| train.frames).collect()
    }

    #[test]
    fn a_refused_train_travels_as_single_frames_and_the_next_as_a_train_again() {
        let pool = Pool::new(8, 64);
        let to = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
        let out = |_| Outgoing { frame: pool.take().expect("eight are there"), to };
        let mut frames: VecDeque<_> = (0..8).map(out).collect();
        let mut outbound = Outbound::new(Ok(()));
        assert_eq!(trains(&mut outbound, &frames), [8]);
        assert!(!outbound.split(libc::EPERM));
        assert!(outbound.split(libc::EMSGSIZE));
        assert!(outbound.gso.is_ok());
        assert_eq!(trains(&mut outbound, &frames), [1; 8]);
        // A single frame that is refused is not split again: it is dropped.
        assert!(!outbound.split(libc::EMSGSIZE));
        assert_eq!(outbound.complete(6, &mut frames), 6);
        assert_eq!(trains(&mut outbound, &frames), [1, 1]);
        assert_eq!(outbound.complete(2, &mut frames), 2);
        frames.extend((0..8).map(out));
        assert_eq!(trains(&mut outbound, &frames), [8]);
    }

    #[test]
    fn a_device_that_cannot_finish_checksums_ends_trains_for_good() {
        let pool = Pool::new(4, 64);
        let to = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
        let frames: VecDeque<_> =
            (0..4).map(|_| Outgoing { frame: pool.take().unwrap(), to }).collect();
        let mut outbound = Outbound::new(Ok(()));
        assert_eq!(trains(&mut outbound, &frames), [4]);
        assert!(outbound.split(libc::EIO));
        assert_eq!(outbound.gso, Err("refused by the device"));
        outbound.alone = 0;
        assert_eq!(trains(&mut outbound, &frames), [1; 4]);
    }
}
