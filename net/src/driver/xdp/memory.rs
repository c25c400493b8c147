//! The driver's receiving half without an interface: rings and buffers are files in memory, and whoever has those plays
//! the kernel, one that need not be honest. For fuzzing: goes where [`Xdp`](super::Xdp) goes, and has nobody aside.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::net::xdp::{
    XDP_PGOFF_RX_RING, XDP_UMEM_PGOFF_COMPLETION_RING, XDP_UMEM_PGOFF_FILL_RING, XdpMmapOffsets,
    XdpRingOffset,
};

use super::inbound::Here;
use super::socket::{self, Sizes, XdpSocket};
use crate::driver::{Counters, Received};
use crate::mapping::Mapping;
use crate::pool::{Memory, Pool};

/// Where the ring of buffers to receive into begins in its file.
pub const FILL_AT: u64 = XDP_UMEM_PGOFF_FILL_RING;
/// Likewise, of frames that came.
pub const RECEIVE_AT: u64 = XDP_PGOFF_RX_RING;
/// From where a ring begins: how many entries were ever put, taken, whether to call, and the entries.
pub const PRODUCED_AT: u64 = 0;
/// See [`PRODUCED_AT`].
pub const CONSUMED_AT: u64 = 64;
/// See [`PRODUCED_AT`].
pub const FLAGS_AT: u64 = 128;
/// See [`PRODUCED_AT`].
pub const ENTRIES_AT: u64 = 192;
/// Bytes of a buffer.
pub const BUFFER_BYTES: usize = socket::CHUNK_BYTES;
/// Buffers in front that are not received into.
pub const FRAMES: usize = 1;

/// What the kernel has.
#[derive(Debug)]
pub struct Files {
    /// The rings.
    pub rings: OwnedFd,
    /// The buffers, one behind the other.
    pub buffers: OwnedFd,
}

/// Receives.
pub struct Receiver {
    socket: XdpSocket,
    here: Here,
    counters: Counters,
}

impl Receiver {
    /// With rings of so many entries, a power of two up to 64, and so many buffers to receive into.
    /// # Errors
    /// The system has no memory, or no descriptors.
    pub fn new(
        address: SocketAddr,
        entries: usize,
        receive_buffers: usize,
    ) -> io::Result<(Receiver, Files)> {
        /// Holds the largest ring.
        const RING_BYTES: u64 = 4096;
        let rings = memfd_create("rings", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        // Only what is mapped takes memory.
        ftruncate(&rings, XDP_UMEM_PGOFF_COMPLETION_RING + RING_BYTES)?;
        fcntl_add_seals(&rings, SealFlags::SHRINK)?;
        let (mapping, buffers) =
            Mapping::create("buffers", (FRAMES + receive_buffers) * BUFFER_BYTES)
                .map_err(io::Error::other)?;
        let ring = XdpRingOffset {
            producer: PRODUCED_AT,
            consumer: CONSUMED_AT,
            desc: ENTRIES_AT,
            flags: Some(FLAGS_AT),
        };
        let at = XdpMmapOffsets { rx: ring, tx: ring, fr: ring, cr: ring };
        let (receive_ring, send_ring) = (entries, entries);
        let sizes = Sizes { frames: FRAMES, receive_buffers, receive_ring, send_ring };
        let memory = Memory::shared(Rc::new(mapping));
        let mut socket = XdpSocket::over(rings.try_clone()?, &at, memory, sizes, address.is_ipv4())
            .map_err(|(_, error)| error)?;
        socket.post();
        let here = Here { address, interface: 0 };
        Ok((Receiver { socket, here, counters: Counters::default() }, Files { rings, buffers }))
    }

    /// Where a frame begins in its buffer.
    pub fn frame_at(&self) -> usize {
        self.socket.frame_at()
    }

    /// The buffers to receive into.
    pub fn receive_pool(&self) -> &Pool {
        &self.socket.receive_pool
    }

    /// As [`Driver::receive`](crate::driver::Driver::receive), but for what it returns: how many entries were looked at.
    pub fn receive(&mut self, limit: usize, into: &mut Vec<Received>) -> usize {
        self.here.receive(&mut self.socket, limit, into, &mut self.counters)
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        self.counters
    }
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Receiver({:?})", self.here)
    }
}
