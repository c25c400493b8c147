//! Anything that a process writes into a ring which it has handed to the driver shm: frames that are received are of
//! sizes that links send, as many at most as there are slots, and the next ring is read as if nothing had been.
//!
//! An input is a row of steps: a byte that says what, and what it needs.

use std::cell::RefCell;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};

use daedal_net::driver::shm::hello::Hello;
use daedal_net::driver::shm::{Config, Options, Shm, Sizes};
use daedal_net::driver::{DATAGRAM_ALIGN, Driver, Received};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::io::pwrite;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, accept, bind, connect, listen, send, sendmsg, socket_with,
};

const SLOTS: u32 = 16;
/// Where the words of a ring lie: the reader's, and of each slot.
const SLOTS_AT: u64 = 4096;
const PUBLISHED_AT: u64 = 32;
/// Steps of one input.
const STEPS_MAX: usize = 4096;

/// A driver, and a process that has an address.
struct World {
    driver: Shm,
    hello: Hello,
    listener: OwnedFd,
    _port: UdpSocket,
}

fn name(address: SocketAddr) -> SocketAddrUnix {
    SocketAddrUnix::new_abstract_name(format!("daedal-shm/{address}").as_bytes())
        .expect("an address is short")
}

fn socket() -> OwnedFd {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).expect("a descriptor")
}

impl World {
    fn new() -> World {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = Config { frames: 1, ..Config::new(any, Options::default()) };
        let port = UdpSocket::bind(any).expect("a port");
        let from = port.local_addr().expect("it is bound");
        let listener = socket();
        bind(&listener, &name(from)).expect("nobody else has its port");
        listen(&listener, 8).expect("it is bound");
        World {
            driver: Shm::start(&config).expect("loopback is there"),
            hello: Hello {
                from,
                sizes: Sizes::of(SLOTS as usize, 512).expect("there is such a ring"),
            },
            listener,
            _port: port,
        }
    }

    /// Hands over a ring: its connection, and its file.
    fn ring(&mut self) -> (OwnedFd, OwnedFd) {
        let file = memfd_create("fuzz", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
            .expect("a descriptor");
        ftruncate(&file, self.hello.sizes.bytes() as u64).expect("memory");
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        fcntl_add_seals(&file, seals).expect("it may be sealed");
        let connection = socket();
        connect(&connection, &name(self.driver.address())).expect("it listens");
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let (mut control, files) = (SendAncillaryBuffer::new(&mut space), [file.as_fd()]);
        assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
        let bytes = self.hello.emit();
        sendmsg(&connection, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)
            .expect("it is connected");
        self.look();
        // Whether it is us who listen there, the driver asked.
        while accept(&self.listener).is_ok() {}
        (connection, file)
    }

    /// Has the driver hear who has come and gone.
    fn look(&mut self) -> Vec<Received> {
        self.driver.descriptors(&mut Vec::new());
        self.receive()
    }

    fn receive(&mut self) -> Vec<Received> {
        let mut into = Vec::new();
        let _ = self.driver.receive(0, 64, &mut into);
        into
    }
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World::new());
}

/// One input.
pub fn run(data: &[u8]) {
    WORLD.with_borrow_mut(|world| run_in(world, data));
}

fn run_in(world: &mut World, data: &[u8]) {
    let (connection, file) = world.ring();
    let stride = u64::from(world.hello.sizes.stride());
    let mut kept: Vec<Received> = Vec::new();
    let mut bytes = data.iter().copied();
    for _ in 0..STEPS_MAX {
        let Some(step) = bytes.next() else { break };
        let mut number = |count: usize| {
            (0..count).fold(0u64, |sum, _| sum << 8 | u64::from(bytes.next().unwrap_or(0)))
        };
        match step % 8 {
            // The next slot of a round, with a size.
            0 | 1 => {
                let (slot, round) = (number(1) % u64::from(SLOTS), number(1));
                let published = slot + round * u64::from(SLOTS) + 1;
                let word = published << 32 | number(2);
                let at = SLOTS_AT + stride * slot + PUBLISHED_AT;
                pwrite(&file, &word.to_le_bytes(), at).expect("it is within the file");
            }
            2 => {
                let (slot, word) = (number(1) % u64::from(SLOTS), number(8));
                let at = SLOTS_AT + stride * slot + PUBLISHED_AT;
                pwrite(&file, &word.to_le_bytes(), at).expect("it is within the file");
            }
            3 => {
                let at = number(2) % (world.hello.sizes.bytes() as u64 - 8);
                pwrite(&file, &number(8).to_be_bytes(), at).expect("it is within the file");
            }
            4 => drop(send(&connection, &[step], SendFlags::NOSIGNAL)),
            5 => kept.extend(world.look()),
            6 => kept.truncate(number(1) as usize),
            _ => kept.extend(world.receive()),
        }
        assert!(kept.len() <= SLOTS as usize);
        for received in &kept {
            let bytes = received.frame.len();
            assert!(bytes > 0 && bytes.is_multiple_of(DATAGRAM_ALIGN));
            assert!(bytes <= world.hello.sizes.payload_bytes());
            assert_eq!(received.from, world.hello.from);
        }
    }
    drop((connection, file, kept));
    // What is left is read, then the ring goes.
    for _ in 0..2 * SLOTS {
        world.look();
    }
    assert!(world.driver.mode().starts_with("shm (rings from 0 peers"), "{}", world.driver.mode());
}
