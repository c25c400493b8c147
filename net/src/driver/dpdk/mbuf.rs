//! mbufs as frames, both ways.
//!
//! Sent from: every mbuf of a pool of the driver's own is taken from it at the start, and is a buffer of the [`Pool`]
//! that frames come from. The driver has one reference to it for good. Sending adds one, which the PMD takes away when
//! it is done (rte_mbuf's reference count; no PMD is told that it may free faster): then there is one reference, the
//! frame was completed, and its bytes may be written, or sent again from where they are.
//!
//! Received: an mbuf that came is lent out as it is, and goes back to the pool that it is from, whosever that is, at
//! the driver's next turn after the last handle on it is gone.
//!
//! Invariants: an mbuf is freed once; one that the PMD has is held here by a handle on its frame; a pool of DPDK's is
//! freed only when all its mbufs are back.

#![expect(unsafe_code, reason = "buffers of a foreign library")]

use std::cell::Cell;
use std::collections::VecDeque;
use std::ffi::CString;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use dpdk_sys::{Mbuf, Seen};

use super::error::{Problem, last};
use crate::driver::Outgoing;
use crate::driver::headers::{self, Checksums, Template, Verdict, Verdicts};
use crate::frame::Frame;
use crate::pool::{Layout, Pool};

/// Frames of one call.
pub(super) const BURST: usize = 64;
/// Bytes of an mbuf before its data (RTE_PKTMBUF_HEADROOM of every build).
const HEADROOM_BYTES: usize = 128;
/// Data begin so many bytes later over IPv6, so that payloads stand at 42 mod 64 there too.
const SHIFT_BYTES_V6: u16 = 44;
/// Data that an mbuf has room for, headers included.
pub(super) const ROOM_BYTES: u16 = 2048;

const _: () = assert!((HEADROOM_BYTES + headers::BYTES_V4) % 64 == 42);
const _: () = assert!((HEADROOM_BYTES + SHIFT_BYTES_V6 as usize + headers::BYTES_V6) % 64 == 42);

/// How buffers lie: from their headers on.
pub(super) fn layout(is_v4: bool) -> Layout {
    Layout { stride: ROOM_BYTES.into(), headroom: headers::bytes(is_v4) }
}

/// A pool of DPDK's.
pub(super) struct Mempool(NonNull<dpdk_sys::Mempool>);

// SAFETY: DPDK's pools may be used by any thread: they are made without the flags that say otherwise.
unsafe impl Send for Mempool {}
// SAFETY: as above.
unsafe impl Sync for Mempool {}

/// Pools of which somebody else has an mbuf still, such as the PMD of a port.
static REMAINS: Mutex<Vec<Mempool>> = Mutex::new(Vec::new());

/// Frees pools whose last user is gone.
pub(super) fn sweep() {
    let mut remains = REMAINS.lock().unwrap_or_else(|it| it.into_inner());
    let whole = remains.extract_if(.., |it| it.is_whole());
    whole.for_each(|it| it.free());
}

impl Mempool {
    /// # Errors
    /// [`Problem::NoMemory`].
    pub(super) fn new(
        what: &'static str,
        count: usize,
        is_v4: bool,
        socket: i32,
    ) -> Result<Arc<Mempool>, Problem> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        /// Buffers that a thread keeps for itself, the most; DPDK wants a pool to be half as large again.
        const CACHE: usize = 128;
        sweep();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = CString::new(format!("daedal{number}")).expect("it has no zero byte");
        let cache = CACHE.min(count / 4) as u32;
        let shift = if is_v4 { 0 } else { SHIFT_BYTES_V6 };
        // SAFETY: DPDK runs, and copies the name.
        let pool = unsafe {
            dpdk_sys::daedal_mempool(name.as_ptr(), count as u32, cache, ROOM_BYTES, shift, socket)
        };
        let bytes = count * (HEADROOM_BYTES + usize::from(ROOM_BYTES));
        let none = || Problem::NoMemory { what, bytes, source: last().0 };
        NonNull::new(pool).map(|it| Arc::new(Mempool(it))).ok_or_else(none)
    }

    pub(super) fn pointer(&self) -> *mut dpdk_sys::Mempool {
        self.0.as_ptr()
    }

    fn is_whole(&self) -> bool {
        // SAFETY: the pool is there.
        unsafe { dpdk_sys::daedal_mempool_is_whole(self.pointer()) != 0 }
    }

    fn free(self) {
        // SAFETY: nobody has an mbuf of it, nor, as it goes here, the pool.
        unsafe { dpdk_sys::rte_mempool_free(self.pointer()) };
        std::mem::forget(self);
    }

    /// So many mbufs, or none.
    fn take(&self, count: usize) -> Option<Vec<*mut Mbuf>> {
        let mut mbufs = vec![std::ptr::null_mut(); count];
        // SAFETY: there is room for as many.
        let result =
            unsafe { dpdk_sys::daedal_take(self.pointer(), mbufs.as_mut_ptr(), count as u32) };
        (result == 0).then_some(mbufs)
    }

    /// An mbuf with these bytes.
    pub(super) fn letter(&self, parts: [&[u8]; 2]) -> Option<*mut Mbuf> {
        let bytes = parts[0].len() + parts[1].len();
        let mut mbuf = std::ptr::null_mut();
        // SAFETY: there is room for one.
        if unsafe { dpdk_sys::daedal_take(self.pointer(), &raw mut mbuf, 1) } != 0 {
            return None;
        }
        // SAFETY: it is ours.
        let data = unsafe { dpdk_sys::daedal_data(mbuf) };
        assert!(bytes <= ROOM_BYTES.into());
        // SAFETY: it has room for `ROOM_BYTES`, and nobody else has it.
        unsafe { data.copy_from_nonoverlapping(parts[0].as_ptr(), parts[0].len()) };
        // SAFETY: as above: there is room for both parts.
        let rest = unsafe { data.add(parts[0].len()) };
        // SAFETY: as above.
        unsafe { rest.copy_from_nonoverlapping(parts[1].as_ptr(), parts[1].len()) };
        // SAFETY: it is ours, and has so many.
        unsafe { dpdk_sys::daedal_put_bytes(mbuf, bytes as u16) };
        Some(mbuf)
    }
}

impl Drop for Mempool {
    fn drop(&mut self) {
        let it = Mempool(self.0);
        if it.is_whole() {
            return it.free();
        }
        // A PMD may have mbufs of it until its port is closed, a neighbour of this process until it is done with them.
        REMAINS.lock().unwrap_or_else(|it| it.into_inner()).push(it);
    }
}

/// Gives mbufs back to where they are from.
pub(super) fn free(mbufs: &mut Vec<*mut Mbuf>) {
    if !mbufs.is_empty() {
        // SAFETY: whoever put them here had them, and has them no more.
        unsafe { dpdk_sys::daedal_free(mbufs.as_mut_ptr(), mbufs.len() as u32) };
        mbufs.clear();
    }
}

/// The driver's references to what it sends from.
struct Sources {
    mbufs: Box<[*mut Mbuf]>,
    _mempool: Arc<Mempool>,
}

impl Drop for Sources {
    fn drop(&mut self) {
        // Those that a PMD has go back when it is done with them.
        free(&mut self.mbufs.to_vec());
    }
}

/// What is sent from, and what is on its way.
pub(super) struct Sender {
    pub pool: Pool,
    sources: Rc<Sources>,
    /// By index of buffer.
    in_flight: Box<[Option<Frame>]>,
    /// Those that are in flight or in the burst.
    is_away: Box<[bool]>,
    order: VecDeque<u32>,
    /// The burst: its mbufs, and what each was made of.
    mbufs: Vec<*mut Mbuf>,
    staged: Vec<(Outgoing, Option<u32>)>,
    copies: Arc<Mempool>,
    /// Those that the port makes.
    checksums: Checksums,
    is_v4: bool,
}

impl Sender {
    /// # Errors
    /// [`Problem::NoMemory`].
    pub(super) fn new(
        frames: usize,
        is_v4: bool,
        checksums: Checksums,
        socket: i32,
    ) -> Result<Sender, Problem> {
        /// For what is not sent from where it is.
        const COPIES: usize = 512;
        let none = |what| Problem::NoMemory { what, bytes: 0, source: last().0 };
        let mempool = Mempool::new("frames to be sent", frames, is_v4, socket)?;
        let mbufs = mempool.take(frames).ok_or_else(|| none("frames to be sent"))?;
        let start = |mbuf: &*mut Mbuf| {
            // SAFETY: it is ours. As many bytes as the layout says are there, zeroed or what was sent before.
            let data = unsafe { dpdk_sys::daedal_data(*mbuf) };
            NonNull::new(data).expect("an mbuf has data")
        };
        let starts: Vec<_> = mbufs.iter().map(start).collect();
        let sources = Rc::new(Sources { mbufs: mbufs.into(), _mempool: mempool });
        // SAFETY: `Sources` has a reference to each of them; DPDK zeroes its memory; a PMD that was given one more
        // reads it, while the frame is held in `in_flight`.
        let pool = unsafe { Pool::of_foreign(&starts, layout(is_v4), sources.clone()) };
        Ok(Sender {
            pool,
            sources,
            in_flight: (0..frames).map(|_| None).collect(),
            is_away: vec![false; frames].into(),
            order: VecDeque::with_capacity(frames),
            mbufs: Vec::with_capacity(BURST),
            staged: Vec::with_capacity(BURST),
            copies: Mempool::new("copies to be sent", COPIES, is_v4, socket)?,
            checksums,
            is_v4,
        })
    }

    pub(super) fn in_flight_count(&self) -> usize {
        self.order.len()
    }

    /// Lets go of frames that the PMD is done with, up to the first that it is not: a PMD is done with them in their
    /// order, or nearly so.
    pub(super) fn complete(&mut self) {
        while let Some(index) = self.order.front().copied()
            && self.is_back(index)
        {
            self.order.pop_front();
            self.let_go(index);
        }
    }

    /// Likewise, and looks at all of them.
    pub(super) fn complete_all(&mut self) {
        for _ in 0..self.order.len() {
            let Some(index) = self.order.pop_front() else { return };
            match self.is_back(index) {
                true => self.let_go(index),
                false => self.order.push_back(index),
            }
        }
    }

    fn is_back(&self, index: u32) -> bool {
        // SAFETY: it is ours.
        unsafe { dpdk_sys::daedal_is_back(self.sources.mbufs[index as usize]) != 0 }
    }

    fn let_go(&mut self, index: u32) {
        self.in_flight[index as usize] = None;
        self.is_away[index as usize] = false;
    }

    /// Adds a frame to the burst, with headers before it, in place if that may be: not while it is on its way already,
    /// nor a part, nor from another pool. Gives it back if there is no buffer for a copy.
    pub(super) fn stage(&mut self, out: Outgoing, template: &Template) -> Result<(), Outgoing> {
        let headers = &template.emit(&out.frame, self.checksums);
        let index = self.pool.index_of(&out.frame).filter(|it| !self.is_away[*it as usize]);
        let mbuf = match index {
            Some(index) => {
                out.frame.put_before(headers);
                let mbuf = self.sources.mbufs[index as usize];
                let bytes = headers.len() + out.frame.len();
                // SAFETY: it is ours alone, as it is not in flight, and has so many bytes.
                unsafe { dpdk_sys::daedal_lend(mbuf, 0, bytes as u16) };
                self.is_away[index as usize] = true;
                mbuf
            }
            None => match self.copies.letter([headers, &out.frame]) {
                Some(mbuf) => mbuf,
                None => return Err(out),
            },
        };
        self.ask(mbuf);
        self.mbufs.push(mbuf);
        self.staged.push((out, index));
        Ok(())
    }

    /// Has the port make the checksums that are not in a datagram.
    fn ask(&self, mbuf: *mut Mbuf) {
        if self.checksums == Checksums::NONE {
            return;
        }
        let bit = |makes, bit| if makes { bit } else { 0 };
        let checksums = bit(self.checksums.ip, dpdk_sys::MAKES_IP)
            | bit(self.checksums.udp, dpdk_sys::MAKES_UDP);
        // SAFETY: it is ours alone, as it has not been given to the port yet.
        unsafe { dpdk_sys::daedal_ask(mbuf, self.is_v4.into(), checksums) };
    }

    pub(super) fn is_full(&self) -> bool {
        self.mbufs.len() == BURST
    }

    /// Sends the burst. Hands back those that were not taken, last first: how many were.
    pub(super) fn send(&mut self, port: u16, queue: u16, mut back: impl FnMut(Outgoing)) -> usize {
        if self.mbufs.is_empty() {
            return 0;
        }
        let count = self.mbufs.len() as u16;
        // SAFETY: the queue is this thread's, and the mbufs ours to give.
        let sent =
            unsafe { dpdk_sys::daedal_transmit(port, queue, self.mbufs.as_mut_ptr(), count) };
        let sent = usize::from(sent);
        while self.staged.len() > sent {
            let (out, index) = self.staged.pop().expect("it has more than were sent");
            let mbuf = self.mbufs[self.staged.len()];
            match index {
                Some(index) => {
                    // SAFETY: it did not leave, so that the reference for the PMD is still ours.
                    unsafe { dpdk_sys::daedal_unlend(mbuf) };
                    self.is_away[index as usize] = false;
                }
                None => free(&mut vec![mbuf]),
            }
            back(out);
        }
        self.mbufs.clear();
        for (out, index) in self.staged.drain(..) {
            if let Some(index) = index {
                self.in_flight[index as usize] = Some(out.frame);
                self.order.push_back(index);
            }
        }
        sent
    }

    /// Sends a letter, if that can be now: who waits for it asks again.
    pub(super) fn post(&self, port: u16, queue: u16, letter: &[u8]) {
        let Some(mut mbuf) = self.copies.letter([letter, &[]]) else { return };
        // SAFETY: the queue is this thread's, and the mbuf ours to give.
        if unsafe { dpdk_sys::daedal_transmit(port, queue, &raw mut mbuf, 1) } == 0 {
            // SAFETY: it was not taken.
            unsafe { dpdk_sys::daedal_free(&raw mut mbuf, 1) };
        }
    }
}

/// mbufs that are lent out, by place.
struct Lent(Box<[Cell<*mut Mbuf>]>);

impl Drop for Lent {
    fn drop(&mut self) {
        let lent = self.0.iter().map(|it| it.replace(std::ptr::null_mut()));
        free(&mut lent.filter(|it| !it.is_null()).collect());
    }
}

/// What came, and is lent out.
pub(super) struct Receiver {
    pub pool: Pool,
    lent: Rc<Lent>,
    gone: Vec<*mut Mbuf>,
    headroom_bytes: usize,
}

impl Receiver {
    /// With so many places. What comes is from `mempool`, or from whoever it came from.
    pub(super) fn new(places: usize, is_v4: bool, mempool: Arc<Mempool>) -> Receiver {
        let lent = Rc::new(Lent((0..places).map(|_| Cell::new(std::ptr::null_mut())).collect()));
        let owner: Rc<(Rc<Lent>, Arc<Mempool>)> = Rc::new((lent.clone(), mempool));
        let pool = Pool::for_receiving(places, layout(is_v4), owner);
        let gone = Vec::with_capacity(places);
        Receiver { pool, lent, gone, headroom_bytes: layout(is_v4).headroom }
    }

    pub(super) fn payload_bytes_max(&self) -> usize {
        self.pool.payload_bytes()
    }

    /// Gives back what nobody has any more.
    pub(super) fn give_back(&mut self) {
        let (lent, gone) = (&self.lent.0, &mut self.gone);
        self.pool.unbind(|index| gone.push(lent[index as usize].replace(std::ptr::null_mut())));
        free(gone);
    }

    /// Lends out what came, `payload_bytes` of it behind its headers. `None`: no place is free.
    pub(super) fn lend(&mut self, seen: &Came, payload_bytes: usize) -> Option<Frame> {
        let start = NonNull::new(seen.0.data)?;
        assert!(self.headroom_bytes + payload_bytes <= seen.0.bytes as usize);
        // SAFETY: so many bytes came, from there on; the mbuf is ours until `give_back` is told its place, or `Lent`
        // goes, which the pool keeps.
        let (index, frame) = unsafe { self.pool.bind(start, payload_bytes) }?;
        self.lent.0[index as usize].set(seen.0.mbuf);
        Some(frame)
    }
}

/// A frame that came, whose mbuf is ours.
#[derive(Clone, Copy)]
pub(super) struct Came(Seen);

impl Came {
    /// Of what a queue or ring gave.
    /// # Safety
    /// The mbuf is the caller's, and stays while this is used; the bytes are there.
    pub(super) unsafe fn new(seen: Seen) -> Came {
        Came(seen)
    }

    /// What came, or as much of it as lies in the first buffer.
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: so many are there, initialised by whoever wrote them, and nobody writes an mbuf that is ours.
        unsafe { std::slice::from_raw_parts(self.0.data, self.0.bytes as usize) }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.0.is_whole != 0
    }

    /// What the port says of its checksums. What crosses to another reactor says it again.
    pub(super) fn verdicts(&self) -> Verdicts {
        let verdict = |said| match said {
            dpdk_sys::SAYS_GOOD => Verdict::Good,
            dpdk_sys::SAYS_BAD => Verdict::Bad,
            _ => Verdict::None,
        };
        Verdicts { ip: verdict(self.0.ip), udp: verdict(self.0.udp) }
    }

    pub(super) fn mbuf(&self) -> *mut Mbuf {
        self.0.mbuf
    }
}
