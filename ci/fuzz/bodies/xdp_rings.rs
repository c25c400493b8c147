//! Anything that a kernel writes into the rings of the driver xdp, and any frames in its buffers: each descriptor gives
//! the datagram that lies there, or is counted; no buffer is with two at once, or lost; and after all that a frame that
//! is whole is received.
//!
//! An input is a byte that says over which family, and a row of steps: a byte that says what, and what it needs.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use daedal_net::driver::headers::{Checksums, Template, Verdicts, bytes, parse};
use daedal_net::driver::xdp::memory::{
    BUFFER_BYTES, CONSUMED_AT, ENTRIES_AT, FILL_AT, FLAGS_AT, FRAMES, Files, PRODUCED_AT,
    RECEIVE_AT, Receiver,
};
use daedal_net::driver::{DATAGRAM_ALIGN, Received};
use daedal_net::pool::HEADROOM_BYTES;
use rustix::io::{pread, pwrite};

/// Entries of a ring.
const ENTRIES: u32 = 16;
/// More than the kernel has, so that some can be held, but not all.
const RECEIVE_BUFFERS: usize = 24;
const FILL_ENTRY_BYTES: u64 = 8;
const RECEIVE_ENTRY_BYTES: u64 = 16;
/// Of one input.
const STEPS_MAX: usize = 1024;
/// Words that a kernel may write at any time.
const WORDS: [u64; 4] =
    [RECEIVE_AT + PRODUCED_AT, FILL_AT + CONSUMED_AT, FILL_AT + FLAGS_AT, RECEIVE_AT + FLAGS_AT];

/// As the kernel lays it out.
#[derive(Clone, Copy)]
struct Descriptor {
    addr: u64,
    len: u32,
    options: u32,
}

/// A datagram that was handed up, and what is to be there as long as it is held.
struct Held {
    received: Received,
    buffer: usize,
    payload: Vec<u8>,
}

struct World {
    receiver: Receiver,
    files: Files,
    here: SocketAddr,
    frame_at: usize,
    /// Buffers that the kernel has.
    posted: BTreeSet<usize>,
    posted_count: u32,
    held: Vec<Held>,
    malformed: u64,
    received: u64,
}

fn word(file: &OwnedFd, at: u64) -> u32 {
    let mut bytes = [0; 4];
    assert_eq!(pread(file, &mut bytes, at).ok(), Some(bytes.len()));
    u32::from_ne_bytes(bytes)
}

fn put(file: &OwnedFd, at: u64, bytes: &[u8]) {
    assert_eq!(pwrite(file, bytes, at).ok(), Some(bytes.len()));
}

impl World {
    fn new(is_v4: bool) -> World {
        let here = if is_v4 { "10.0.0.2:7200" } else { "[fd00::2]:7200" };
        let here = here.parse().expect("an address");
        let made = Receiver::new(here, ENTRIES as usize, RECEIVE_BUFFERS);
        let (receiver, files) = made.expect("memory");
        let frame_at = receiver.frame_at();
        let mut world = World {
            receiver,
            files,
            here,
            frame_at,
            posted: BTreeSet::new(),
            posted_count: 0,
            held: Vec::new(),
            malformed: 0,
            received: 0,
        };
        world.look();
        world
    }

    /// Notes buffers that were posted.
    fn look(&mut self) {
        while self.posted_count != word(&self.files.rings, FILL_AT + PRODUCED_AT) {
            let at = ENTRIES_AT + FILL_ENTRY_BYTES * u64::from(self.posted_count % ENTRIES);
            let mut addr = [0; 8];
            assert_eq!(pread(&self.files.rings, &mut addr, FILL_AT + at).ok(), Some(addr.len()));
            let addr = u64::from_ne_bytes(addr) as usize;
            let buffer = addr / BUFFER_BYTES;
            assert!(addr.is_multiple_of(BUFFER_BYTES));
            assert!((FRAMES..FRAMES + RECEIVE_BUFFERS).contains(&buffer));
            assert!(self.held.iter().all(|held| held.buffer != buffer));
            assert!(self.posted.insert(buffer), "posted twice");
            self.posted_count = self.posted_count.wrapping_add(1);
        }
    }

    /// A buffer that the kernel has, by a number.
    fn buffer(&self, number: usize) -> usize {
        let mut posted = self.posted.iter();
        *posted.nth(number % self.posted.len()).expect("it is less than there are")
    }

    /// Puts a frame into a buffer: what describes it.
    fn frame(&mut self, number: usize, frame: &[u8]) -> Descriptor {
        let at = self.buffer(number) * BUFFER_BYTES + self.frame_at;
        put(&self.files.buffers, at as u64, frame);
        Descriptor { addr: at as u64, len: frame.len() as u32, options: 0 }
    }

    /// A frame that is to be received, of so many bytes of payload.
    fn whole(&self, payload_bytes: usize) -> Vec<u8> {
        let from = SocketAddr::new(self.here.ip(), 9);
        let template = Template::new([[1; 6], [2; 6]], from, self.here).expect("of one family");
        let payload = vec![payload_bytes as u8; payload_bytes];
        let headers = template.emit(&payload, Checksums::NONE);
        [&headers[..], &payload].concat()
    }

    fn bytes_max(&self) -> usize {
        BUFFER_BYTES - self.frame_at
    }

    fn announce(&mut self, it: Descriptor) {
        let produced = word(&self.files.rings, RECEIVE_AT + PRODUCED_AT);
        let at = RECEIVE_AT + ENTRIES_AT + RECEIVE_ENTRY_BYTES * u64::from(produced % ENTRIES);
        let [addr, rest] = [at, at + 8];
        put(&self.files.rings, addr, &it.addr.to_ne_bytes());
        put(&self.files.rings, rest, &[it.len.to_ne_bytes(), it.options.to_ne_bytes()].concat());
        let produced = produced.wrapping_add(1);
        put(&self.files.rings, RECEIVE_AT + PRODUCED_AT, &produced.to_ne_bytes());
    }

    fn announced(&self, number: u32) -> Descriptor {
        let at = RECEIVE_AT + ENTRIES_AT + RECEIVE_ENTRY_BYTES * u64::from(number % ENTRIES);
        let mut addr = [0; 8];
        assert_eq!(pread(&self.files.rings, &mut addr, at).ok(), Some(addr.len()));
        let [len, options] = [8, 12].map(|behind| word(&self.files.rings, at + behind));
        Descriptor { addr: u64::from_ne_bytes(addr), len, options }
    }

    /// What a descriptor should give: of whom, in which buffer, and what.
    fn expected(&mut self, it: Descriptor) -> Option<(SocketAddr, usize, Vec<u8>)> {
        let buffer = usize::try_from(it.addr).expect("64 bits") / BUFFER_BYTES;
        if !self.posted.remove(&buffer) {
            return None;
        }
        let (at, len) = (it.addr as usize % BUFFER_BYTES, it.len as usize);
        let header_bytes = bytes(self.here.is_ipv4());
        let fits = (header_bytes..=self.bytes_max()).contains(&len);
        if at != self.frame_at || !fits || it.options != 0 {
            return None;
        }
        let mut frame = vec![0; len];
        assert_eq!(pread(&self.files.buffers, &mut frame, it.addr).ok(), Some(len));
        let (headers, rest) = frame.split_at(header_bytes);
        let datagram = parse(self.here, headers, rest, Verdicts::NONE).ok()?;
        Some((datagram.from, buffer, rest[..datagram.payload_bytes].to_vec()))
    }

    /// Receives: how many entries were looked at.
    fn receive(&mut self, limit: usize) -> usize {
        let consumed = |world: &World| word(&world.files.rings, RECEIVE_AT + CONSUMED_AT);
        let (before, mut into) = (consumed(self), Vec::new());
        let looked = self.receiver.receive(limit, &mut into);
        let after = consumed(self);
        assert!(looked <= limit && after == before.wrapping_add(looked as u32));
        let mut into = into.into_iter();
        for place in 0..looked as u32 {
            let entry = self.announced(before.wrapping_add(place));
            let Some((from, buffer, payload)) = self.expected(entry) else {
                self.malformed += 1;
                continue;
            };
            let received = into.next().expect("a datagram lies there");
            let frame = &received.frame;
            assert!(!payload.is_empty() && payload.len().is_multiple_of(DATAGRAM_ALIGN));
            assert_eq!(frame.as_ptr() as usize % DATAGRAM_ALIGN, HEADROOM_BYTES % DATAGRAM_ALIGN);
            assert!(received.from == from && frame[..] == payload);
            self.received += 1;
            self.held.push(Held { received, buffer, payload });
        }
        assert!(into.next().is_none());
        let counters = self.receiver.counters();
        assert_eq!((counters.malformed, counters.received), (self.malformed, self.received));
        self.look();
        looked
    }

    fn give_back(&mut self, count: usize) {
        for held in self.held.drain(..count.min(self.held.len())) {
            assert!(held.received.frame[..] == held.payload);
        }
    }

    /// Whatever came before: what is whole is received, and every buffer comes back.
    fn ends_well(mut self) {
        self.give_back(usize::MAX);
        while self.receive(ENTRIES as usize) > 0 {
            self.give_back(usize::MAX);
        }
        let consumed = word(&self.files.rings, RECEIVE_AT + CONSUMED_AT);
        put(&self.files.rings, RECEIVE_AT + PRODUCED_AT, &consumed.to_ne_bytes());
        put(&self.files.rings, FILL_AT + CONSUMED_AT, &self.posted_count.to_ne_bytes());
        assert_eq!(self.receive(1), 0);
        assert_eq!(self.posted.len(), ENTRIES as usize);
        let frame = self.whole(DATAGRAM_ALIGN);
        let good = self.frame(0, &frame);
        self.announce(good);
        assert_eq!((self.receive(9), self.held.len()), (1, 1));
        self.give_back(1);
        let pool = self.receiver.receive_pool().clone();
        drop(self);
        assert_eq!(pool.frames_free(), pool.frames_count());
    }
}

/// One input.
pub fn run(data: &[u8]) {
    let mut data = data.iter().copied();
    let mut world = World::new(data.next().is_none_or(|first| first & 1 == 0));
    let mut last = Descriptor { addr: 0, len: 0, options: 0 };
    for _ in 0..STEPS_MAX {
        let Some(step) = data.next() else { break };
        let mut number = |count: usize| {
            (0..count).fold(0u64, |sum, _| sum << 8 | u64::from(data.next().unwrap_or(0)))
        };
        match step % 8 {
            // A frame that is whole, and what became of it; of some nothing is said yet.
            0 | 1 if !world.posted.is_empty() => {
                let which = number(1) as usize;
                let room = world.bytes_max() - bytes(world.here.is_ipv4());
                let mut frame =
                    world.whole(number(1) as usize * DATAGRAM_ALIGN % (room + DATAGRAM_ALIGN));
                for _ in 0..step / 8 % 4 {
                    let at = number(2) as usize % frame.len();
                    frame[at] ^= number(1) as u8;
                }
                last = world.frame(which, &frame);
                if step & 64 == 0 {
                    world.announce(last);
                }
            }
            // Any bytes.
            2 if !world.posted.is_empty() => {
                let (which, count) = (number(1) as usize, number(1) as usize);
                let frame: Vec<u8> = (0..count).map(|_| number(1) as u8).collect();
                last = world.frame(which, &frame);
                world.announce(last);
            }
            // A buffer or none, and any part of it.
            3 => {
                let buffer = number(1) as usize % (FRAMES + RECEIVE_BUFFERS + 2);
                let addr = buffer * BUFFER_BYTES + number(2) as usize % BUFFER_BYTES;
                let (len, options) = (number(2) as u32, number(1) as u32);
                world.announce(Descriptor { addr: addr as u64, len, options });
            }
            // The last one, or nearly.
            4 => {
                let len = last.len ^ number(2) as u32;
                let (at, options) = if step & 8 == 0 { (0, 0) } else { (number(2), number(4)) };
                world.announce(Descriptor { addr: last.addr ^ at, len, options: options as u32 });
            }
            5 => {
                let (addr, len) = (number(8), number(4) as u32);
                world.announce(Descriptor { addr, len, options: number(4) as u32 });
            }
            6 => {
                let at = WORDS[number(1) as usize % WORDS.len()];
                let value = match step & 8 {
                    0 => word(&world.files.rings, at).wrapping_add(number(1) as u32 & 31),
                    _ => number(4) as u32,
                };
                put(&world.files.rings, at, &value.to_ne_bytes());
            }
            _ => {
                world.give_back(number(1) as usize);
                world.receive(number(1) as usize);
            }
        }
    }
    world.ends_well();
}
