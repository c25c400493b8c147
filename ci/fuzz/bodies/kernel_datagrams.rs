//! Datagrams and trains of any size, from several sources, to the driver kernel, which meanwhile receives, sends, and
//! has its frames held: each frame that it hands up is a whole datagram, lies where frames do, and keeps its bytes; all
//! others are counted; at the end it has its buffers back. What no buffer holds cannot be sent: one takes whatever a
//! datagram can be.
//!
//! An input is a row of steps: a byte that says what, and what it needs.

use std::array::from_fn;
use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};

use daedal_net::driver::kernel::{Config, Kernel, PAYLOAD_BYTES_MAX_V4};
use daedal_net::driver::{DATAGRAM_ALIGN, Driver, Outgoing, Received};
use daedal_net::pool::HEADROOM_BYTES;

/// Of one input.
const STEPS_MAX: usize = 256;
/// What IPv4 has room for.
const DATAGRAM_BYTES_MAX: usize = 65_507;
/// Frames that a source of trains has, and the driver.
const FRAMES: usize = 64;
/// So few that frames which are held leave none.
const RECEIVE_BUFFERS: usize = 10;
/// Bytes that wait in the driver's sockets, so that the kernel drops none, whatever buffer it grants.
const WAITING_BYTES_MAX: usize = 300_000;
/// Looks for what the kernel hands over late.
const TRIES: usize = 1_000_000;

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A datagram that was sent.
struct Sent {
    from: SocketAddr,
    bytes: usize,
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Due,
    /// It has a size that links send, behind others of its train that have none: it may lie anywhere.
    Either,
    Counted,
    Came,
}

fn is_whole(bytes: usize) -> bool {
    bytes > 0 && bytes.is_multiple_of(DATAGRAM_ALIGN)
}

/// Bytes of a datagram by its number, which fits where it is whole.
fn fill(number: usize, bytes: &mut [u8]) {
    bytes.fill(number as u8);
    let name = (number as u64).to_le_bytes();
    let count = bytes.len().min(name.len());
    bytes[..count].copy_from_slice(&name[..count]);
}

struct World {
    driver: Kernel,
    now: u64,
    singles: [UdpSocket; 2],
    trains: [Kernel; 2],
    /// Where somebody was.
    gone: SocketAddr,
    sent: Vec<Sent>,
    waiting_bytes: usize,
    came_count: u64,
    held: Vec<Received>,
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind(ANY).expect("a port");
    socket.set_nonblocking(true).expect("a socket that may be told so");
    socket
}

fn kernel(receive_buffers: usize) -> Kernel {
    let config = Config { frames: FRAMES, receive_buffers, ..Config::new(ANY) };
    Kernel::start(&config).expect("loopback is there")
}

/// Sends all, whatever becomes of it.
fn transmit(driver: &mut Kernel, now: u64, mut frames: VecDeque<Outgoing>) {
    for _ in 0..TRIES {
        driver.transmit(now, &mut frames);
        if frames.is_empty() {
            return;
        }
    }
    panic!("{} frames stay", frames.len());
}

impl World {
    fn new() -> World {
        let (singles, trains) = (from_fn(|_| socket()), from_fn(|_| kernel(1)));
        let mut world = World {
            driver: kernel(RECEIVE_BUFFERS),
            now: 0,
            singles,
            trains,
            gone: ANY,
            sent: Vec::new(),
            waiting_bytes: 0,
            came_count: 0,
            held: Vec::new(),
        };
        world.leave(0);
        world
    }

    /// A source goes, and there is another.
    fn leave(&mut self, which: usize) {
        let gone = std::mem::replace(&mut self.singles[which % 2], socket());
        self.gone = gone.local_addr().expect("it is bound");
    }

    /// Notes datagrams that are to be sent, the last of which has another size: the number of the first.
    fn expect(&mut self, from: SocketAddr, sizes: impl Iterator<Item = usize> + Clone) -> usize {
        let bytes = sizes.clone().map(|bytes| 2 * bytes + 1024).sum::<usize>();
        if self.waiting_bytes + bytes > WAITING_BYTES_MAX {
            self.settle();
        }
        self.waiting_bytes += bytes;
        let first = self.sent.len();
        let mut is_behind_odd = false;
        for bytes in sizes {
            let fate = match is_whole(bytes) {
                true if is_behind_odd => Fate::Either,
                true => Fate::Due,
                false => Fate::Counted,
            };
            is_behind_odd |= fate == Fate::Counted;
            self.sent.push(Sent { from, bytes, fate });
        }
        first
    }

    fn send_single(&mut self, which: usize, bytes: usize) {
        let from = self.singles[which % 2].local_addr().expect("it is bound");
        let number = self.expect(from, std::iter::once(bytes));
        let mut datagram = vec![0; bytes];
        fill(number, &mut datagram);
        let taken = self.singles[which % 2].send_to(&datagram, self.driver.address());
        assert_eq!(taken.ok(), Some(bytes));
    }

    /// So many datagrams of one size, and one more, that is shorter or as long.
    fn send_train(&mut self, which: usize, count: usize, [bytes, last]: [usize; 2]) {
        let sizes = std::iter::repeat_n(bytes, count).chain(std::iter::once(last));
        let first = self.expect(self.trains[which % 2].address(), sizes.clone());
        let (to, source) = (self.driver.address(), &mut self.trains[which % 2]);
        let frames = (first..).zip(sizes).map(|(number, bytes)| {
            let mut frame = source.pool().take().expect("all were sent");
            frame.truncate(bytes);
            fill(number, frame.bytes_mut().expect("nobody else has it"));
            Outgoing { frame, to }
        });
        let frames = frames.collect();
        transmit(source, self.now, frames);
        assert_eq!(source.counters().refused, 0);
    }

    fn receive(&mut self, limit: usize) -> usize {
        let before = self.held.len();
        let count = self.driver.receive(self.now, limit, &mut self.held);
        assert!(count <= limit && self.held.len() - before == count);
        self.came_count += count as u64;
        for received in &self.held[before..] {
            let frame = &received.frame;
            assert!(is_whole(frame.len()));
            assert_eq!(frame.as_ptr() as usize % DATAGRAM_ALIGN, HEADROOM_BYTES % DATAGRAM_ALIGN);
            let sent = &mut self.sent[number_of(frame)];
            assert!((sent.from, sent.bytes) == (received.from, frame.len()));
            assert!(matches!(sent.fate, Fate::Due | Fate::Either));
            sent.fate = Fate::Came;
        }
        count
    }

    /// Gives back frames, which are as they came.
    fn give_back(&mut self, count: usize, at: usize) {
        for _ in 0..count.min(self.held.len()) {
            let Received { frame, .. } = self.held.swap_remove(at % self.held.len());
            let mut expect = vec![0; frame.len()];
            fill(number_of(&frame), &mut expect);
            assert!(frame[..] == expect);
        }
    }

    /// The driver sends to a source, or where one was.
    fn answer(&mut self, to: usize, count: usize, together: bool) {
        let to = match to % 5 {
            which @ (0 | 1) => self.singles[which].local_addr().expect("it is bound"),
            which @ (2 | 3) => self.trains[which - 2].address(),
            _ => self.gone,
        };
        let mut frames: VecDeque<_> = Default::default();
        for _ in 0..count {
            let mut frame = self.driver.pool().take().expect("all were sent");
            frame.truncate(DATAGRAM_ALIGN);
            frames.push_back(Outgoing { frame, to });
            if !together || frames.len() == FRAMES {
                transmit(&mut self.driver, self.now, std::mem::take(&mut frames));
            }
        }
        transmit(&mut self.driver, self.now, frames);
        for source in &self.singles {
            while source.recv(&mut [0; DATAGRAM_ALIGN]).is_ok() {}
        }
        for source in &mut self.trains {
            while source.receive(self.now, FRAMES, &mut Vec::new()) > 0 {}
        }
    }

    /// What was sent and not handed up is counted, and nobody waits for anything.
    fn settle(&mut self) {
        let sent = self.sent.len() as u64;
        for _ in 0..TRIES {
            self.give_back(usize::MAX, 0);
            self.driver.descriptors(&mut Vec::new());
            let count = self.receive(FRAMES);
            let counters = self.driver.counters();
            assert_eq!(counters.received, self.came_count);
            assert!(counters.received + counters.malformed <= sent);
            if counters.received + counters.malformed == sent {
                break;
            }
            if count == 0 {
                std::thread::yield_now();
            }
        }
        let counters = self.driver.counters();
        assert_eq!(counters.received + counters.malformed, sent, "{:?}", self.driver);
        assert!(self.sent.iter().all(|it| it.fate != Fate::Due));
        self.give_back(usize::MAX, 0);
        self.waiting_bytes = 0;
    }
}

fn number_of(frame: &[u8]) -> usize {
    u64::from_le_bytes(*frame.first_chunk().expect("it is whole")) as usize
}

/// One input.
pub fn run(data: &[u8]) {
    let mut world = World::new();
    let mut bytes = data.iter().copied();
    for _ in 0..STEPS_MAX {
        let Some(step) = bytes.next() else { break };
        let mut number = |count: usize| {
            (0..count).fold(0, |sum, _| sum << 8 | usize::from(bytes.next().unwrap_or(0)))
        };
        match step % 8 {
            0 => world.send_single(number(1), number(2) % (DATAGRAM_BYTES_MAX + 1)),
            1 => world.send_single(number(1), number(1) * DATAGRAM_ALIGN),
            2 => {
                let (which, count) = (number(1), number(1) % FRAMES);
                let bytes = number(2) % (PAYLOAD_BYTES_MAX_V4 + 1);
                world.send_train(which, count, [bytes, number(2) % (bytes + 1)]);
            }
            3 => drop(world.receive(number(1))),
            4 => world.give_back(number(1), number(1)),
            5 => {
                world.now += number(1) as u64 * 10_000_000;
                world.driver.descriptors(&mut Vec::new());
            }
            6 => world.answer(number(1), number(1), step & 8 == 0),
            _ => world.leave(number(1)),
        }
    }
    world.settle();
    let pools = [world.driver.pool().clone(), world.driver.receive_pool().clone()];
    drop(world);
    for pool in pools {
        assert_eq!(pool.frames_free(), pool.frames_count());
    }
}
