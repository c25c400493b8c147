//! A fixed set of equal buffers, and who owns each: what is free, and a reference count a buffer.
//!
//! Invariants: a buffer is free exactly when its count is zero; payload bytes are written only
//! through the sole handle of a buffer, and no handle reaches the headroom before them; a pool never grows.
//! One pool belongs to one thread. Pools of one memory have no buffer in common.

#![expect(unsafe_code, reason = "buffers are lent out by index and outlive any one borrow")]

use std::cell::{Cell, RefCell, UnsafeCell};
use std::fmt;
use std::ops::Range;
use std::ptr::NonNull;
use std::rc::Rc;

use crate::cache::fetch_to_write;
use crate::frame::Frame;
use crate::mapping::Mapping;

#[cfg(feature = "dpdk")]
pub(crate) mod foreign;

/// Buffers start at multiples of this, in bytes.
pub const BUFFER_ALIGN: usize = 64;
/// What is fetched of a buffer that comes back: a frame with one short message, and what stands before it.
const FETCHED_BYTES: usize = 256;

/// Ethernet 14 + IPv4 20 + UDP 8: room that is kept before a datagram's payload, so that the payload
/// stands at 42 and the first message behind the 22 bytes of the link header at 64.
pub const HEADROOM_BYTES: usize = 42;

#[repr(align(64))]
#[expect(dead_code, reason = "reached by pointer, in `Buffers::start`")]
struct Line(UnsafeCell<[u8; BUFFER_ALIGN]>);

const _: () = assert!(size_of::<Line>() == BUFFER_ALIGN);

/// Bytes that pools have their buffers in: our own, zeroed, or a file that another process maps too.
pub(crate) struct Memory {
    kept: Kept,
    /// How far from their start the first aligned byte is.
    first: usize,
}

enum Kept {
    Lines(Box<[Line]>),
    Shared(Rc<Mapping>),
}

impl Memory {
    /// So many bytes, from a multiple of `align` on, which is itself one of [`BUFFER_ALIGN`].
    pub(crate) fn new(bytes: usize, align: usize) -> Rc<Memory> {
        let count = (bytes + align - BUFFER_ALIGN).div_ceil(BUFFER_ALIGN);
        let lines: Box<[Line]> =
            (0..count).map(|_| Line(UnsafeCell::new([0; BUFFER_ALIGN]))).collect();
        let first = lines.as_ptr().cast::<u8>().align_offset(align);
        Rc::new(Memory { kept: Kept::Lines(lines), first })
    }

    /// All of a mapping. Whoever else has the file writes a buffer only while nobody has it on loan.
    pub(crate) fn shared(mapping: Rc<Mapping>) -> Rc<Memory> {
        Rc::new(Memory { kept: Kept::Shared(mapping), first: 0 })
    }

    /// Where it is, for the kernel to be told, which may write it.
    pub(crate) fn address(&self) -> usize {
        self.start().expose_provenance() + self.first
    }

    fn start(&self) -> *mut u8 {
        match &self.kept {
            Kept::Lines(lines) => lines.as_ptr().cast::<u8>().cast_mut(),
            Kept::Shared(mapping) => mapping.start(),
        }
    }

    fn bytes(&self) -> usize {
        match &self.kept {
            Kept::Lines(lines) => lines.len() * BUFFER_ALIGN,
            Kept::Shared(mapping) => mapping.bytes(),
        }
    }
}

/// How a pool's buffers lie in memory: one each `stride` bytes, its payload behind `headroom` bytes.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    pub stride: usize,
    pub headroom: usize,
}

/// Where buffers are.
enum Place {
    /// One behind the other in some memory, the first at this byte.
    Within(Rc<Memory>, usize),
    /// Where a driver's library has them.
    #[cfg(feature = "dpdk")]
    Foreign(foreign::Places),
}

pub(crate) struct Buffers {
    place: Place,
    layout: Layout,
    counts: Box<[Cell<u32>]>,
    free: Free,
    /// Whether the core fetches what comes back.
    is_fetched: Cell<bool>,
}

/// The buffers that nobody holds.
enum Free {
    /// Any of them will do for who takes one: a list.
    Any(RefCell<Vec<u32>>),
    /// They are taken by index: how many.
    ByIndex(Cell<usize>),
    /// They are lent with what a driver has received in them: a list.
    #[cfg(feature = "dpdk")]
    Bound(RefCell<Vec<u32>>),
}

impl Free {
    fn any(frames: usize) -> Free {
        Free::Any(Free::all(frames))
    }

    fn all(frames: usize) -> RefCell<Vec<u32>> {
        RefCell::new((0..frames as u32).rev().collect())
    }
}

/// A fixed set of buffers. Cloning makes another handle on the same set. Cost: taking and returning a
/// buffer are a push and a pop.
#[derive(Clone)]
pub struct Pool(Rc<Buffers>);

impl Pool {
    /// `frames` buffers of `bytes` payload bytes each, behind [`HEADROOM_BYTES`] of headroom.
    /// # Panics
    /// When `frames` or `bytes` is zero or does not fit 32 bits.
    pub fn new(frames: usize, bytes: usize) -> Pool {
        assert!(bytes > 0);
        let stride = (HEADROOM_BYTES + bytes).next_multiple_of(BUFFER_ALIGN);
        let layout = Layout { stride, headroom: HEADROOM_BYTES };
        Pool::over(&Memory::new(frames * stride, BUFFER_ALIGN), 0, frames, layout)
    }

    /// `frames` buffers in a part of some memory, from byte `at` on.
    /// # Panics
    /// When they do not fit, or their number or size does not fit 32 bits.
    pub(crate) fn over(memory: &Rc<Memory>, at: usize, frames: usize, layout: Layout) -> Pool {
        Pool::within(memory, at, layout, (frames, Free::any(frames)))
    }

    /// As [`Pool::over`]; whoever takes a buffer says which ([`Pool::take_at`]).
    /// # Panics
    /// As [`Pool::over`].
    pub(crate) fn by_index(memory: &Rc<Memory>, at: usize, frames: usize, layout: Layout) -> Pool {
        Pool::within(memory, at, layout, (frames, Free::ByIndex(Cell::new(frames))))
    }

    fn within(
        memory: &Rc<Memory>,
        at: usize,
        layout: Layout,
        (frames, free): (usize, Free),
    ) -> Pool {
        let Layout { stride, headroom } = layout;
        assert!(frames > 0 && frames <= u32::MAX as usize);
        assert!(headroom < stride && stride <= u32::MAX as usize);
        assert!(memory.first + at + frames * stride <= memory.bytes());
        Pool::with(Place::Within(memory.clone(), memory.first + at), layout, (frames, free))
    }

    fn with(place: Place, layout: Layout, (frames, free): (usize, Free)) -> Pool {
        Pool(Rc::new(Buffers {
            place,
            layout,
            counts: (0..frames).map(|_| Cell::new(0)).collect(),
            free,
            is_fetched: Cell::new(false),
        }))
    }

    /// Has the core fetch the first lines of each buffer that comes back: for frames that another core reads while they are
    /// sent, and has the lines of. What comes back last is taken first.
    #[cfg(feature = "dpdk")]
    pub(crate) fn fetch_returned(&self) {
        self.0.is_fetched.set(true);
    }

    /// Which of this pool's buffers a frame lies in, if it does, and begins where payloads do.
    pub(crate) fn index_of(&self, frame: &Frame) -> Option<u32> {
        frame.whole_index(&self.0)
    }

    /// Takes a free buffer as a frame over its whole payload; its bytes are what the last user left.
    /// `None` when all are on loan, or are not lent to anybody who asks.
    pub fn take(&self) -> Option<Frame> {
        let Free::Any(free) = &self.0.free else { return None };
        let index = free.borrow_mut().pop()?;
        self.0.counts[index as usize].set(1);
        Some(Frame::whole(self.0.clone(), index))
    }

    /// Takes the buffer with that index as a frame, if nobody holds it.
    /// # Panics
    /// When there is no such buffer, or any may be taken.
    pub(crate) fn take_at(&self, index: u32) -> Option<Frame> {
        let Free::ByIndex(free) = &self.0.free else { panic!("buffers are taken by index") };
        if !self.is_free(index) {
            return None;
        }
        free.set(free.get() - 1);
        self.0.counts[index as usize].set(1);
        Some(Frame::whole(self.0.clone(), index))
    }

    /// Whether nobody holds the buffer with that index.
    /// # Panics
    /// When there is no such buffer.
    pub(crate) fn is_free(&self, index: u32) -> bool {
        self.0.counts[index as usize].get() == 0
    }

    /// How many buffers nobody holds.
    pub fn frames_free(&self) -> usize {
        match &self.0.free {
            Free::Any(free) => free.borrow().len(),
            Free::ByIndex(free) => free.get(),
            #[cfg(feature = "dpdk")]
            Free::Bound(free) => free.borrow().len(),
        }
    }

    /// How many buffers there are.
    pub fn frames_count(&self) -> usize {
        self.0.counts.len()
    }

    /// Payload bytes of one buffer.
    pub fn payload_bytes(&self) -> usize {
        self.0.payload_bytes()
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Pool({} of {} free)", self.frames_free(), self.frames_count())
    }
}

impl Buffers {
    pub(crate) fn payload_bytes(&self) -> usize {
        self.layout.stride - self.layout.headroom
    }

    pub(crate) fn retain(&self, index: u32) {
        let count = &self.counts[index as usize];
        count.set(count.get().checked_add(1).expect("fewer than 2^32 handles"));
    }

    pub(crate) fn release(&self, index: u32) {
        let count = &self.counts[index as usize];
        count.set(count.get() - 1);
        if count.get() == 0 {
            match &self.free {
                Free::Any(free) => {
                    free.borrow_mut().push(index);
                    if self.is_fetched.get() {
                        self.fetch(index);
                    }
                }
                Free::ByIndex(free) => free.set(free.get() + 1),
                #[cfg(feature = "dpdk")]
                Free::Bound(free) => free.borrow_mut().push(index),
            }
        }
    }

    /// Has the core fetch where a short frame's bytes are written.
    fn fetch(&self, index: u32) {
        let bytes = FETCHED_BYTES.min(self.layout.stride);
        let start = self.start(index, &(0..bytes));
        (0..bytes).step_by(BUFFER_ALIGN).for_each(|at| fetch_to_write(start.wrapping_add(at)));
    }

    pub(crate) fn is_sole(&self, index: u32) -> bool {
        self.counts[index as usize].get() == 1
    }

    /// Start of a part of the buffer.
    /// # Panics
    /// When it is not within the buffer.
    fn start(&self, index: u32, range: &Range<usize>) -> *mut u8 {
        assert!(range.start <= range.end && range.end <= self.layout.stride);
        let (memory, first) = match &self.place {
            Place::Within(memory, first) => (memory, first),
            #[cfg(feature = "dpdk")]
            Place::Foreign(places) => return places.start(index, range),
        };
        let at = first + index as usize * self.layout.stride + range.start;
        assert!(at + range.len() <= memory.bytes());
        // SAFETY: `at` lies within the one allocation or mapping, by the assertion above.
        unsafe { memory.start().add(at) }
    }

    /// Where the buffer's payload begins, with at least `bytes` bytes behind.
    /// # Panics
    /// When there are fewer.
    pub(crate) fn payload(&self, index: u32, bytes: usize) -> NonNull<u8> {
        let from = self.layout.headroom;
        NonNull::new(self.start(index, &(from..from + bytes))).expect("memory is somewhere")
    }

    /// A copy of the last bytes of the headroom.
    pub(crate) fn headroom<const BYTES: usize>(&self, index: u32) -> [u8; BYTES] {
        let end = self.layout.headroom;
        let start = self.start(index, &(end - BYTES..end));
        // SAFETY: in bounds by `start`, and any bytes are an array of bytes; nobody has a reference into a
        // headroom, and whoever else writes it (the kernel, while the buffer is posted) has let go of it.
        unsafe { start.cast::<[u8; BYTES]>().read() }
    }

    /// Writes the last bytes of the headroom.
    pub(crate) fn put_headroom(&self, index: u32, bytes: &[u8]) {
        let end = self.layout.headroom;
        let start = self.start(index, &(end - bytes.len()..end));
        // SAFETY: in bounds by `start`; lines are cells, and nobody has a reference into a headroom, so that
        // `bytes` are elsewhere.
        unsafe { start.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_returns_once_when_its_last_handle_goes() {
        let pool = Pool::new(2, 100);
        let first = pool.take().unwrap();
        let second = first.share();
        assert_eq!(pool.frames_free(), 1);
        drop(first);
        assert_eq!(pool.frames_free(), 1);
        drop(second);
        assert_eq!(pool.frames_free(), 2);
    }

    #[test]
    fn an_empty_pool_gives_nothing() {
        let pool = Pool::new(1, 100);
        let held = pool.take().unwrap();
        assert!(pool.take().is_none());
        drop(held);
        assert!(pool.take().is_some());
    }

    #[test]
    fn buffers_that_are_taken_by_index_are_given_to_one_at_a_time() {
        let layout = Layout { stride: 128, headroom: HEADROOM_BYTES };
        let pool = Pool::by_index(&Memory::new(512, BUFFER_ALIGN), 0, 4, layout);
        assert!(pool.take().is_none());
        let third = pool.take_at(2).unwrap();
        assert_eq!(pool.index_of(&third), Some(2));
        assert!(pool.take_at(2).is_none() && !pool.is_free(2) && pool.is_free(1));
        let part = third.slice(0..16);
        drop(third);
        assert_eq!((pool.is_free(2), pool.frames_free()), (false, 3));
        drop(part);
        assert_eq!((pool.is_free(2), pool.frames_free()), (true, 4));
        assert!(pool.take_at(2).is_some());
    }

    #[test]
    fn a_payload_stands_at_42_mod_64() {
        let pool = Pool::new(3, 1472);
        let frame = pool.take().unwrap();
        assert_eq!(frame.as_ptr() as usize % BUFFER_ALIGN, HEADROOM_BYTES);
        assert!(frame.len() >= 1472);
    }

    #[test]
    fn pools_of_one_memory_have_no_byte_in_common_and_keep_their_headrooms() {
        let layout = Layout { stride: 256, headroom: 106 };
        let memory = Memory::new(4 * 256, 4096);
        let pools = [0, 2].map(|first| Pool::over(&memory, first * 256, 2, layout));
        let mut frames: Vec<_> = pools.iter().flat_map(|it| [it.take(), it.take()]).collect();
        for (seed, frame) in (1..).zip(&mut frames) {
            let frame = frame.as_mut().unwrap();
            frame.bytes_mut().unwrap().fill(seed);
            frame.share().put_before(&[seed + 100; 106]);
        }
        for (seed, frame) in (1..).zip(&frames) {
            let frame = frame.as_ref().unwrap();
            assert!(frame.iter().all(|byte| *byte == seed) && frame.len() == 150);
            assert_eq!(frame.before::<106>(), [seed + 100; 106]);
            assert_eq!(pools.iter().filter(|pool| pool.index_of(frame).is_some()).count(), 1);
            // A part that does not begin where payloads do has somebody else's bytes before it.
            assert!(pools.iter().all(|pool| pool.index_of(&frame.slice(1..9)).is_none()));
        }
    }

    #[test]
    fn a_shared_frame_is_not_written() {
        let pool = Pool::new(1, 100);
        let mut frame = pool.take().unwrap();
        frame.bytes_mut().unwrap()[0] = 7;
        let other = frame.slice(0..10);
        assert!(frame.bytes_mut().is_none());
        assert_eq!(other[0], 7);
        drop(other);
        assert!(frame.bytes_mut().is_some());
    }
}
