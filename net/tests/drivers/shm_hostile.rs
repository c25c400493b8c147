//! What a process of this host may write to a driver of shared memory, as one that hands over rings and as one that
//! takes them: it loses frames of its own, and nobody else notices.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use daedal_net::driver::Driver;
use daedal_net::driver::shm::Sizes;
use daedal_net::driver::shm::hello::Hello;
use proptest::prelude::*;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept, bind,
    connect, listen, recvmsg, send, sendmsg, socket_with,
};

use crate::peer::{Peer, pair, pass, tick};
use crate::promises::converse;
use crate::shm::{SLOTS, v4};

const STRIDE: u64 = 1536;
const STATE_AT: u64 = 0;
const CONSUMED_AT: u64 = 128;
const SLOTS_AT: u64 = 4096;
const PUBLISHED_AT: u64 = 32;

pub fn name(address: SocketAddr) -> SocketAddrUnix {
    SocketAddrUnix::new_abstract_name(format!("daedal-shm/{address}").as_bytes()).unwrap()
}

pub fn socket() -> OwnedFd {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap()
}

/// A process that has an address, and speaks as a driver does.
struct Hostile {
    address: SocketAddr,
    listener: OwnedFd,
    /// So that the port is nobody else's.
    _port: UdpSocket,
}

/// A ring that was handed over: its connection, and its file.
struct Ring {
    connection: OwnedFd,
    file: File,
}

impl Hostile {
    fn new() -> Hostile {
        let port = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (address, listener) = (port.local_addr().unwrap(), socket());
        // A program that another test is just starting has the sockets of whoever was there, until it runs.
        while bind(&listener, &name(address)).is_err() {
            std::thread::yield_now();
        }
        listen(&listener, 8).unwrap();
        Hostile { address, listener, _port: port }
    }

    fn hello(&self) -> Hello {
        Hello { from: self.address, sizes: Sizes::of(SLOTS, 1472).unwrap() }
    }

    /// A ring to `to`, as it should be.
    fn ring_to(&self, to: SocketAddr) -> Ring {
        let file = file(self.hello().sizes.bytes(), true);
        let connection = said(to, &self.hello().emit(), &[file.as_fd()]);
        Ring { connection, file: file.into() }
    }

    /// The ring that a driver has handed to it.
    fn ring_from(&self) -> Ring {
        let connection = accept(&self.listener).unwrap();
        let mut bytes = [0; 64];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let count = recvmsg(&connection, &mut parts, &mut control, flags).unwrap().bytes;
        let mut files = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => Some(files),
            _ => None,
        });
        let file = files.by_ref().flatten().next().unwrap();
        drop(files);
        assert_eq!(Hello::parse(&bytes[..count]).unwrap().sizes, self.hello().sizes);
        Ring { connection, file: file.into() }
    }
}

impl Ring {
    fn write(&self, at: u64, bytes: &[u8]) {
        self.file.write_all_at(bytes, at).unwrap();
    }

    fn publish(&self, slot: u64, number: u32, bytes: u32) {
        let word = u64::from(number) << 32 | u64::from(bytes);
        self.write(SLOTS_AT + STRIDE * slot + PUBLISHED_AT, &word.to_le_bytes());
    }
}

fn file(bytes: usize, is_sealed: bool) -> OwnedFd {
    let file = memfd_create("hostile", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    ftruncate(&file, bytes as u64).unwrap();
    if is_sealed {
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL).unwrap();
    }
    file
}

/// A connection to `to` on which that was said.
fn said(to: SocketAddr, bytes: &[u8], files: &[BorrowedFd<'_>]) -> OwnedFd {
    let connection = socket();
    connect(&connection, &name(to)).unwrap();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(files.is_empty() || control.push(SendAncillaryMessage::ScmRights(files)));
    sendmsg(&connection, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL).unwrap();
    connection
}

#[test]
fn what_is_no_ring_is_refused_and_counted_and_what_is_good_goes_on() {
    let (mut a, mut b) = pair(&mut v4());
    let (hostile, to) = (Hostile::new(), a.address());
    let (hello, bytes) = (hostile.hello(), hostile.hello().sizes.bytes());
    let (whole, shorter) = (file(bytes, true), file(bytes - 4096, true));
    let unsealed = file(bytes, false);
    let on_disk = File::open(std::env::current_exe().unwrap()).unwrap();
    let elsewhere = Hello { from: ([127, 0, 0, 1], 1).into(), ..hello };
    let other_family = Hello { from: "[::1]:9".parse().unwrap(), ..hello };
    let mut wrong_size = hello.emit();
    wrong_size[12] = 3;
    let cases: [(&[u8], &[BorrowedFd<'_>]); 10] = [
        (&[7; 44], &[whole.as_fd()]),
        (&[7], &[]),
        (&hello.emit()[1..], &[whole.as_fd()]),
        (&hello.emit(), &[]),
        (&hello.emit(), &[shorter.as_fd()]),
        (&hello.emit(), &[unsealed.as_fd()]),
        (&hello.emit(), &[on_disk.as_fd()]),
        (&wrong_size, &[whole.as_fd()]),
        // Nobody listens there; nobody can.
        (&elsewhere.emit(), &[whole.as_fd()]),
        (&other_family.emit(), &[whole.as_fd()]),
    ];
    for (count, (bytes, files)) in (1..).zip(cases) {
        let _kept = said(to, bytes, files);
        // Looked at after each sleep.
        a.descriptors();
        assert!(a.receive_now().is_empty());
        assert_eq!(a.driver.counters().malformed, count, "{bytes:?}");
        converse(&mut a, &mut b, 3);
    }
    // What says nothing is closed when there are too many of its kind.
    let silent: Vec<_> = (0..100)
        .map(|_| {
            let connection = socket();
            while connect(&connection, &name(to)).is_err() {
                a.descriptors();
                a.receive_now();
            }
            connection
        })
        .collect();
    for _ in 0..20 {
        a.descriptors();
        a.receive_now();
    }
    converse(&mut a, &mut b, 3);
    assert!(send(&silent[0], &[0], SendFlags::NOSIGNAL).is_err());
    assert!(a.driver.mode().starts_with("shm (rings from 1 peer, to 1;"), "{}", a.driver.mode());
}

#[test]
fn a_peer_has_few_rings_however_many_it_hands_over() {
    let (mut a, mut b) = pair(&mut v4());
    let hostile = Hostile::new();
    let _rings: Vec<_> = (0..6)
        .map(|_| {
            let ring = hostile.ring_to(a.address());
            a.descriptors();
            a.receive_now();
            ring
        })
        .collect();
    assert!(a.driver.mode().starts_with("shm (rings from 4 peers"), "{}", a.driver.mode());
    assert_eq!(a.driver.counters().malformed, 2);
    converse(&mut a, &mut b, 3);
}

#[test]
fn slots_that_cannot_be_are_dropped_and_counted() {
    let (mut a, mut b) = pair(&mut v4());
    let hostile = Hostile::new();
    let ring = hostile.ring_to(a.address());
    // No size that links send, and more than there is.
    let wrong = [0, 1, 15, 17, 1472 + 32, u32::MAX, u32::MAX - 15];
    for (slot, bytes) in (0..).zip(wrong) {
        ring.publish(slot, slot as u32 + 1, bytes);
    }
    let next = wrong.len() as u64;
    ring.publish(next, next as u32 + 1, 1488);
    a.descriptors();
    let received = a.receive(1);
    assert_eq!((received[0].from, received[0].frame.len()), (hostile.address, 1488));
    assert_eq!(a.driver.counters().malformed, wrong.len() as u64);
    // One that is not the next, and one that was already.
    ring.publish(next + 2, next as u32 + 3, 64);
    ring.publish(next, next as u32 + 1, 64);
    assert!(a.receive_now().is_empty());
    // One round further: but the first slot is on loan.
    let mut kept = received;
    for slot in next + 1..SLOTS as u64 + next {
        ring.publish(slot % SLOTS as u64, slot as u32 + 1, 64);
    }
    kept.extend(a.receive_now());
    assert_eq!(kept.len(), SLOTS);
    ring.publish(next, next as u32 + 1 + SLOTS as u32, 64);
    assert!(a.receive_now().is_empty());
    assert_eq!(kept[0].frame.len(), 1488);
    kept.clear();
    assert_eq!(a.receive_now().len(), 1);
    converse(&mut a, &mut b, 3);
    a.assert_nothing_on_loan();
}

#[test]
fn who_takes_a_ring_and_writes_nonsense_there_loses_frames_and_stops_nobody() {
    let (mut a, mut b) = pair(&mut v4());
    converse(&mut a, &mut b, 3);
    let hostile = Hostile::new();
    let flood = |a: &mut Peer<_>, count: u64| {
        for seed in 0..count {
            assert!(a.queue(hostile.address, seed, 64));
        }
        a.flush();
    };
    flood(&mut a, 100);
    let ring = hostile.ring_from();
    // It reads nothing, says that it has read what was not written, that it sleeps, and what means nothing.
    for consumed in [0, u32::MAX, 1 << 31, 1_000] {
        ring.write(CONSUMED_AT, &consumed.to_le_bytes());
        for state in [0u32, 1, 3, u32::MAX] {
            ring.write(STATE_AT, &state.to_le_bytes());
            flood(&mut a, 100);
            converse(&mut a, &mut b, 3);
        }
    }
    assert_eq!(a.driver.counters().refused, 100 + 16 * 100 - SLOTS as u64);
    // What wakes it fills its socket.
    for _ in 0..2_000 {
        ring.write(STATE_AT, &1u32.to_le_bytes());
        flood(&mut a, 1);
    }
    converse(&mut a, &mut b, 3);
    // It says that it has ended, and is looked for anew.
    ring.write(STATE_AT, &2u32.to_le_bytes());
    flood(&mut a, 1);
    let again = hostile.ring_from();
    drop(again.connection);
    drop(ring.connection);
    a.descriptors();
    a.receive_now();
    assert!(a.driver.mode().contains(", to 1;"), "{}", a.driver.mode());
    a.assert_nothing_on_loan();
}

#[test]
fn bytes_that_wake_nobody_keep_nobody_awake_for_long() {
    let (mut a, mut b) = pair(&mut v4());
    let hostile = Hostile::new();
    let ring = hostile.ring_to(a.address());
    a.descriptors();
    a.receive_now();
    while send(&ring.connection, &[1], SendFlags::NOSIGNAL).is_ok() {}
    converse(&mut a, &mut b, 100);
    drop(ring.connection);
    for _ in 0..1_000 {
        a.descriptors();
        a.receive_now();
    }
    assert!(a.driver.mode().starts_with("shm (rings from 1 peer"), "{}", a.driver.mode());
}

/// Something that a peer writes into its ring, or what the driver does meanwhile.
#[derive(Clone, Debug)]
enum Step {
    Publish { slot: u64, number: u32, bytes: u32 },
    Scribble { at: u64, bytes: Vec<u8> },
    Wake,
    Receive,
    GiveBack(usize),
    Park,
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = prop_oneof![0u32..2_000, (0u32..100).prop_map(|it| it * 16), any::<u32>()];
    let number = prop_oneof![0u32..200, any::<u32>()];
    let end = SLOTS_AT + STRIDE * SLOTS as u64 - 64;
    let place = prop_oneof![0u64..256, 0..end];
    prop_oneof![
        4 => (0..SLOTS as u64, bytes.clone()).prop_map(|(slot, bytes)| {
            Step::Publish { slot, number: slot as u32 + 1, bytes }
        }),
        2 => (0..SLOTS as u64, number, bytes)
            .prop_map(|(slot, number, bytes)| Step::Publish { slot, number, bytes }),
        2 => (place, prop::collection::vec(any::<u8>(), 1..64))
            .prop_map(|(at, bytes)| Step::Scribble { at, bytes }),
        1 => Just(Step::Wake),
        4 => Just(Step::Receive),
        2 => any::<usize>().prop_map(Step::GiveBack),
        1 => Just(Step::Park),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_written_into_a_ring_frames_are_of_sizes_that_links_send_and_others_are_heard(
        steps in prop::collection::vec(step(), 1..300),
    ) {
        let (mut a, mut b) = pair(&mut v4());
        let hostile = Hostile::new();
        let ring = hostile.ring_to(a.address());
        let mut kept = VecDeque::new();
        for step in steps {
            match step {
                Step::Publish { slot, number, bytes } => ring.publish(slot, number, bytes),
                Step::Scribble { at, bytes } => ring.write(at, &bytes),
                Step::Wake => drop(send(&ring.connection, &[0], SendFlags::NOSIGNAL)),
                Step::Receive => kept.extend(a.receive_now()),
                Step::GiveBack(which) => drop(kept.swap_remove_back(which % kept.len().max(1))),
                Step::Park => drop(a.descriptors()),
            }
            for received in &kept {
                let bytes = received.frame.len();
                prop_assert!(bytes > 0 && bytes % 16 == 0 && bytes <= STRIDE as usize - 42);
            }
        }
        kept.clear();
        drop(ring);
        a.descriptors();
        a.drain();
        pass(1);
        tick();
        converse(&mut a, &mut b, 3);
        a.assert_nothing_on_loan();
    }
}
