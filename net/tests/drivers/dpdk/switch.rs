//! A switch: what ports of rings send it copies to whom it is for, by Ethernet address, and lets go of what it copied.
//! Or a plain wire, by which frames go as they are.

#![expect(unsafe_code, reason = "rings of a foreign library")]

use std::ffi::CString;
use std::sync::atomic::{AtomicU32, Ordering};

use dpdk_sys::{Mbuf, Mempool, Ring, Seen};

const ENTRIES: u32 = 1024;
const BUFFERS: u32 = 4095;
/// Bytes of a part of a frame that comes in parts.
const PART_BYTES: u16 = 256;
const ANY_SOCKET: i32 = -1;

/// One end of it.
struct End {
    id: u16,
    mac: [u8; 6],
    /// What its port sends, by queue.
    sent: Vec<*mut Ring>,
    /// What its port receives, by queue.
    received: Vec<*mut Ring>,
}

#[derive(Debug)]
pub struct Switch {
    ends: Vec<End>,
    pool: *mut Mempool,
    parts: *mut Mempool,
    /// The queue by which ports of several receive what the switch gives them.
    pub queue: usize,
    /// Keeps everything to itself.
    pub is_dead: bool,
}

impl std::fmt::Debug for End {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "End({:x?})", self.mac)
    }
}

/// That no other object of DPDK's in this process has.
fn name(kind: &str) -> CString {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    CString::new(format!("{kind}{}", NUMBER.fetch_add(1, Ordering::Relaxed)))
        .expect("it has no zero byte")
}

fn ring() -> *mut Ring {
    // SAFETY: DPDK runs.
    let ring = unsafe { dpdk_sys::daedal_ring(name("switch").as_ptr(), ENTRIES, ANY_SOCKET) };
    assert!(!ring.is_null());
    ring
}

impl Switch {
    /// Whose copies lie as those of the drivers of that family.
    pub fn new(is_v4: bool) -> Switch {
        let shift = if is_v4 { 0 } else { 44 };
        let pools = [2048, PART_BYTES].map(|room| {
            // SAFETY: DPDK runs.
            let pool = unsafe {
                dpdk_sys::daedal_mempool(name("pool").as_ptr(), BUFFERS, 0, room, shift, ANY_SOCKET)
            };
            assert!(!pool.is_null());
            pool
        });
        let [pool, parts] = pools;
        Switch { ends: Vec::new(), pool, parts, queue: 0, is_dead: false }
    }

    /// Makes a port of so many queues: the name of its device.
    pub fn plug(&mut self, mac: [u8; 6], queues: usize) -> String {
        let rings = |_| ring();
        let (sent, received) = ((0..queues).map(rings).collect(), (0..queues).map(rings).collect());
        self.plug_rings(mac, sent, received)
    }

    /// Makes two ports of which each receives what the other sends: their devices' names.
    pub fn wire(&mut self) -> [String; 2] {
        let (there, back) = (ring(), ring());
        // The first has both rings, to be freed.
        let first = self.plug_rings([0; 6], vec![there], vec![back]);
        let second = self.plug_rings([0; 6], vec![back], vec![there]);
        self.is_dead = true;
        [first, second]
    }

    fn plug_rings(
        &mut self,
        mac: [u8; 6],
        sent: Vec<*mut Ring>,
        received: Vec<*mut Ring>,
    ) -> String {
        let name = name("lab");
        let count = sent.len() as u32;
        // SAFETY: DPDK runs, and copies name and lists.
        let id = unsafe {
            dpdk_sys::rte_eth_from_rings(
                name.as_ptr(),
                received.as_ptr(),
                count,
                sent.as_ptr(),
                count,
                0,
            )
        };
        let id = u16::try_from(id).expect("there are few ports");
        self.ends.push(End { id, mac, sent, received });
        format!("net_ring_{}", name.to_str().expect("it was text"))
    }

    /// Takes everything that was sent to where it should go.
    pub fn pump(&mut self) {
        if self.is_dead {
            return;
        }
        for from in 0..self.ends.len() {
            for ring in self.ends[from].sent.clone() {
                for frame in taken(ring) {
                    // SAFETY: it is ours, and has an Ethernet header.
                    let to = unsafe { frame.data.cast::<[u8; 6]>().read() };
                    let is_for = |end: &&End| to[0] & 1 == 1 || end.mac == to;
                    let others = self.ends.iter().enumerate().filter(|it| it.0 != from);
                    for end in others.map(|it| it.1).filter(is_for) {
                        // SAFETY: it is ours.
                        let copy = unsafe { dpdk_sys::daedal_copy(frame.mbuf, self.pool) };
                        put(end.received[self.queue.min(end.received.len() - 1)], copy);
                    }
                    free(frame.mbuf);
                }
            }
        }
    }

    /// Has the first port receive a frame of these bytes, of whose checksums it says nothing.
    pub fn inject(&mut self, bytes: &[u8]) {
        self.inject_said(bytes, [0, 0]);
    }

    /// Likewise, and say that of its checksums of IP and UDP: bits of `SAYS_GOOD` and `SAYS_BAD`.
    pub fn inject_said(&mut self, bytes: &[u8], [ip, udp]: [u8; 2]) {
        let mbuf = self.made(bytes);
        // SAFETY: it is ours.
        unsafe { dpdk_sys::daedal_say(mbuf, ip, udp) };
        put(self.ends[0].received[0], mbuf);
    }

    /// Has the first port receive a frame that lies in several buffers, if it does not fit into a small one: in how many.
    /// It is not empty.
    pub fn inject_in_parts(&mut self, bytes: &[u8]) -> usize {
        let mbuf = self.made(bytes);
        // SAFETY: it is ours.
        let parted = unsafe { dpdk_sys::daedal_copy(mbuf, self.parts) };
        assert!(!parted.is_null());
        free(mbuf);
        put(self.ends[0].received[0], parted);
        bytes.len().div_ceil(PART_BYTES.into())
    }

    /// A frame of these bytes.
    fn made(&self, bytes: &[u8]) -> *mut Mbuf {
        let mut mbuf = std::ptr::null_mut();
        // SAFETY: there is room for one.
        assert_eq!(unsafe { dpdk_sys::daedal_take(self.pool, &raw mut mbuf, 1) }, 0);
        // SAFETY: it is ours.
        let data = unsafe { dpdk_sys::daedal_data(mbuf) };
        assert!(bytes.len() <= 2048);
        // SAFETY: there is room, and nobody else has it.
        unsafe { data.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        // SAFETY: it is ours, and has so many.
        unsafe { dpdk_sys::daedal_put_bytes(mbuf, bytes.len() as u16) };
        mbuf
    }

    /// What the first port has sent, and nobody has taken.
    pub fn outgoing(&mut self) -> Vec<Vec<u8>> {
        let frames = self.ends[0].sent.clone().into_iter().flat_map(taken);
        frames
            .map(|frame| {
                // SAFETY: it is ours, and has so many bytes.
                let bytes = unsafe { std::slice::from_raw_parts(frame.data, frame.bytes as usize) };
                let bytes = bytes.to_vec();
                free(frame.mbuf);
                bytes
            })
            .collect()
    }

    /// Whether all buffers of the switch are with it: nobody has any.
    pub fn is_whole(&self) -> bool {
        [self.pool, self.parts].into_iter().all(is_whole)
    }
}

fn is_whole(pool: *mut Mempool) -> bool {
    // SAFETY: the pool is there.
    unsafe { dpdk_sys::daedal_mempool_is_whole(pool) != 0 }
}

/// Everything in a ring.
fn taken(ring: *mut Ring) -> impl Iterator<Item = Seen> {
    let mut seen = [Seen::NONE; 1];
    std::iter::from_fn(move || {
        // SAFETY: there is room for one, and only this thread takes.
        let count = unsafe { dpdk_sys::daedal_ring_take(ring, seen.as_mut_ptr(), 1) };
        (count > 0).then_some(seen[0])
    })
}

fn put(ring: *mut Ring, mbuf: *mut Mbuf) {
    // SAFETY: the mbuf is ours, if there is one, and the ring there.
    if !mbuf.is_null() && unsafe { dpdk_sys::daedal_ring_put(ring, mbuf) } != 0 {
        free(mbuf);
    }
}

fn free(mut mbuf: *mut Mbuf) {
    // SAFETY: it is ours.
    unsafe { dpdk_sys::daedal_free(&raw mut mbuf, 1) };
}

impl Drop for Switch {
    fn drop(&mut self) {
        for end in &self.ends {
            // SAFETY: it was stopped, and nobody uses it.
            assert_eq!(unsafe { dpdk_sys::daedal_port_remove(end.id) }, 0);
        }
        let mut rings: Vec<_> =
            self.ends.drain(..).flat_map(|it| it.sent.into_iter().chain(it.received)).collect();
        rings.sort_unstable();
        rings.dedup();
        for ring in rings {
            taken(ring).for_each(|it| free(it.mbuf));
            // SAFETY: its ports are gone.
            unsafe { dpdk_sys::rte_ring_free(ring) };
        }
        for pool in [self.pool, self.parts].into_iter().filter(|it| is_whole(*it)) {
            // SAFETY: nobody has a buffer of it.
            unsafe { dpdk_sys::rte_mempool_free(pool) };
        }
    }
}
