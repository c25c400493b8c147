//! What daedal calls of DPDK: functions of its libraries, and of a shim (`shim.c`) for those that it has only as inline
//! functions or behind structures that the C compiler alone knows.
//!
//! Declarations, no logic; nothing here is checked, whoever calls it is. Linked only with the feature `linked`.
//! Structures of DPDK are opaque: their layout is the C compiler's business.
//!
//! Source: DPDK 22.11 `rte_{eal,ethdev,mbuf,mempool,ring,lcore,dev,interrupts}.h`.

#![expect(unsafe_code, reason = "foreign functions")]

use std::ffi::{c_char, c_int, c_uint, c_void};

/// `struct rte_mbuf`: a packet buffer.
#[derive(Debug)]
#[repr(C)]
pub struct Mbuf {
    opaque: [u8; 0],
}

/// `struct rte_mempool`: equal buffers.
#[derive(Debug)]
#[repr(C)]
pub struct Mempool {
    opaque: [u8; 0],
}

/// `struct rte_ring`: pointers, of which the shim's are mbufs.
#[derive(Debug)]
#[repr(C)]
pub struct Ring {
    opaque: [u8; 0],
}

/// A frame that came.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Seen {
    /// Its buffer, which is the caller's.
    pub mbuf: *mut Mbuf,
    /// Where it begins.
    pub data: *mut u8,
    /// How long it is.
    pub bytes: u32,
    /// Not 0, if it lies in one buffer.
    pub is_whole: u16,
    /// What the port says of the IPv4 header's checksum: [`SAYS_GOOD`] or [`SAYS_BAD`]; neither or both: nothing.
    pub ip: u8,
    /// Likewise of UDP's.
    pub udp: u8,
}

/// The port found a checksum to fit.
pub const SAYS_GOOD: u8 = 1;
/// The port found it not to fit.
pub const SAYS_BAD: u8 = 2;

impl Seen {
    /// None.
    pub const NONE: Seen = Seen {
        mbuf: std::ptr::null_mut(),
        data: std::ptr::null_mut(),
        bytes: 0,
        is_whole: 0,
        ip: 0,
        udp: 0,
    };
}

/// The port makes the checksum of the IPv4 header of what is sent.
pub const MAKES_IP: u32 = 1;
/// The port makes UDP's, from the pseudo-header's.
pub const MAKES_UDP: u32 = 2;
/// The port looks at the checksum of the IPv4 header of what came.
pub const CHECKS_IP: u32 = 4;
/// The port looks at UDP's.
pub const CHECKS_UDP: u32 = 8;

/// A port, as it says of itself; asked for, how long its rings are to be, and which checksums it sees to.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Port {
    /// Its driver's name, zero-terminated.
    pub driver: [c_char; 64],
    /// Its Ethernet address.
    pub mac: [u8; 6],
    /// Its MTU, in bytes.
    pub mtu: u16,
    /// Entries of its rings for receiving.
    pub receive_entries: u16,
    /// Entries of its rings for sending.
    pub send_entries: u16,
    /// How many queues it can receive by.
    pub receive_queues_max: u16,
    /// How many queues it can send by.
    pub send_queues_max: u16,
    /// The NUMA node that it is at; -1: any.
    pub socket: c_int,
    /// The checksums that it can see to, or is asked to.
    pub checksums: u32,
}

unsafe extern "C" {
    /// Starts DPDK, once a process. `argv`: zero-terminated texts, a null behind; they stay.
    pub fn rte_eal_init(argc: c_int, argv: *mut *mut c_char) -> c_int;
    /// Lets go of what DPDK has.
    pub fn rte_eal_cleanup() -> c_int;
    /// The folder that DPDK keeps files of this process in, if any; zero-terminated.
    pub fn rte_eal_get_runtime_dir() -> *const c_char;
    /// What an error's number means.
    pub fn rte_strerror(errno: c_int) -> *const c_char;
    /// DPDK's name and version.
    pub fn rte_version() -> *const c_char;
    /// Has DPDK know this thread, so that its pools keep some buffers for it.
    pub fn rte_thread_register() -> c_int;
    /// The reverse.
    pub fn rte_thread_unregister();
    /// Looks for a device, and has its driver take it.
    pub fn rte_dev_probe(device: *const c_char) -> c_int;
    /// A port by its name.
    pub fn rte_eth_dev_get_port_by_name(name: *const c_char, port: *mut u16) -> c_int;
    /// Starts a port.
    pub fn rte_eth_dev_start(port: u16) -> c_int;
    /// Stops a port.
    pub fn rte_eth_dev_stop(port: u16) -> c_int;
    /// Has a port take all frames.
    pub fn rte_eth_promiscuous_enable(port: u16) -> c_int;
    /// Has a port take frames to all groups.
    pub fn rte_eth_allmulticast_enable(port: u16) -> c_int;
    /// Has a queue let go of what it has sent; `count`: of how many, 0: all.
    pub fn rte_eth_tx_done_cleanup(port: u16, queue: u16, count: u32) -> c_int;
    /// Frees a pool, whose buffers nobody has.
    pub fn rte_mempool_free(pool: *mut Mempool);
    /// Frees a ring.
    pub fn rte_ring_free(ring: *mut Ring);
    /// Makes a port of rings, called `net_ring_` and that name, and says its number.
    pub fn rte_eth_from_rings(
        name: *const c_char,
        receive: *const *mut Ring,
        receive_count: c_uint,
        send: *const *mut Ring,
        send_count: c_uint,
        socket: c_uint,
    ) -> c_int;

    /// `rte_errno`.
    pub fn daedal_errno() -> c_int;
    /// Whether DPDK knows this thread.
    pub fn daedal_thread_is_known() -> c_int;
    /// Has the thread in which DPDK hears of its devices call that with `with`, over and over while the descriptor is
    /// readable. For good.
    pub fn daedal_on_readable(
        descriptor: c_int,
        call: extern "C" fn(*mut c_void),
        with: *mut c_void,
    ) -> c_int;
    /// The first port of a device.
    pub fn daedal_port_of(device: *const c_char, port: *mut u16) -> c_int;
    /// Closes a stopped port, and takes its device away.
    pub fn daedal_port_remove(port: u16) -> c_int;
    /// A pool of so many mbufs, of which each has `bytes` behind its headroom, and begins `shift` bytes later than
    /// others do. Null: `rte_errno` says why.
    pub fn daedal_mempool(
        name: *const c_char,
        count: c_uint,
        cache: c_uint,
        bytes: u16,
        shift: u16,
        socket: c_int,
    ) -> *mut Mempool;
    /// Whether all of a pool's buffers are in it.
    pub fn daedal_mempool_is_whole(pool: *mut Mempool) -> c_int;
    /// What a port says of itself.
    pub fn daedal_port_describe(port: u16, out: *mut Port) -> c_int;
    /// Prepares a stopped port for so many queues, and says how long its rings will be.
    pub fn daedal_port_configure(port: u16, queues: u16, out: *mut Port) -> c_int;
    /// Makes a queue each way; what comes lies in buffers of `pool`.
    pub fn daedal_port_queue(port: u16, queue: u16, it: *const Port, pool: *mut Mempool) -> c_int;
    /// Whether a port has somebody at its other end.
    pub fn daedal_port_is_up(port: u16) -> c_int;
    /// Takes what came, at most `count` and 64 frames; one thread a queue.
    pub fn daedal_receive(port: u16, queue: u16, into: *mut Seen, count: u16) -> u16;
    /// Sends the first of these, and says how many; those are no longer the caller's. One thread a queue.
    pub fn daedal_transmit(port: u16, queue: u16, mbufs: *mut *mut Mbuf, count: u16) -> u16;
    /// Takes buffers from a pool: all, or none.
    pub fn daedal_take(pool: *mut Mempool, mbufs: *mut *mut Mbuf, count: c_uint) -> c_int;
    /// Gives buffers back to their pools.
    pub fn daedal_free(mbufs: *mut *mut Mbuf, count: c_uint);
    /// Where a buffer's data begin.
    pub fn daedal_data(mbuf: *mut Mbuf) -> *mut u8;
    /// How many bytes it has behind its headroom.
    pub fn daedal_room(mbuf: *mut Mbuf) -> u16;
    /// Adds a reference for who sends it; data from `skip` bytes behind its headroom on.
    pub fn daedal_lend(mbuf: *mut Mbuf, skip: u16, bytes: u16);
    /// Asks the port for those checksums ([`MAKES_IP`], [`MAKES_UDP`]) of a datagram that is to be sent.
    /// [`daedal_lend`] forgets what was asked for.
    pub fn daedal_ask(mbuf: *mut Mbuf, is_v4: c_int, checksums: u32);
    /// Takes that reference back.
    pub fn daedal_unlend(mbuf: *mut Mbuf);
    /// Whether the caller has the only reference.
    pub fn daedal_is_back(mbuf: *const Mbuf) -> c_int;
    /// How many data a buffer has.
    pub fn daedal_put_bytes(mbuf: *mut Mbuf, bytes: u16);
    /// A ring that many put into and one takes from; `entries`: a power of two, of which one stays free.
    pub fn daedal_ring(name: *const c_char, entries: c_uint, socket: c_int) -> *mut Ring;
    /// Puts a buffer into a ring: 0, unless it is full.
    pub fn daedal_ring_put(ring: *mut Ring, mbuf: *mut Mbuf) -> c_int;
    /// Takes buffers from a ring, as [`daedal_receive`] does from a queue.
    pub fn daedal_ring_take(ring: *mut Ring, into: *mut Seen, count: u16) -> u16;
    /// A copy of a frame, from another pool. Null: there is no buffer.
    pub fn daedal_copy(mbuf: *const Mbuf, pool: *mut Mempool) -> *mut Mbuf;
    /// Has a frame say of its checksums what a port would, as in [`Seen`].
    pub fn daedal_say(mbuf: *mut Mbuf, ip: u8, udp: u8);
}
