//! The four rings that an AF_XDP socket shares with the kernel: descriptors in, descriptors out.
//!
//! | ring | filled by | emptied by | entries |
//! |---|---|---|---|
//! | fill | us | kernel | buffers to receive into |
//! | receive | kernel | us | frames that came |
//! | send | us | kernel | frames to go |
//! | completion | kernel | us | buffers that it has let go of |
//!
//! Moves numbers only, and believes none: whether an address is that of a buffer, and whose, its caller sees to.
//! Invariants: each counter is written by one side, an entry before the counter that announces it, and read after
//! it; both count all entries ever, modulo 2^32. A counter of the kernel's that runs away shows no more entries
//! than there are.
//!
//! Source: linux v6.6 net/xdp/xsk_queue.h.

#![expect(unsafe_code, reason = "memory that is shared with the kernel is reached by pointer")]

use std::cell::UnsafeCell;
use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::net::xdp::{XdpDesc, XdpRingFlags, XdpRingOffset};

/// A ring's memory. Entries are plain numbers: any bytes are one.
struct Ring<T> {
    map: NonNull<u8>,
    bytes: usize,
    produced: NonNull<AtomicU32>,
    consumed: NonNull<AtomicU32>,
    flags: NonNull<AtomicU32>,
    entries: NonNull<UnsafeCell<T>>,
    count: u32,
}

/// What may be an entry: numbers alone.
pub(super) trait Entry: Copy {}
impl Entry for u64 {}
impl Entry for XdpDesc {}

impl<T: Entry> Ring<T> {
    /// Maps the ring of `count` entries, a power of two, that the socket has at `page`.
    fn map(socket: BorrowedFd<'_>, page: u64, at: &XdpRingOffset, count: u32) -> io::Result<Self> {
        assert!(count.is_power_of_two());
        let place = |offset: u64, align: usize, bytes: usize| {
            let offset = usize::try_from(offset).expect("a ring is smaller than memory");
            assert!(offset.is_multiple_of(align));
            (offset, offset + bytes)
        };
        let word = |offset| place(offset, align_of::<AtomicU32>(), size_of::<AtomicU32>());
        let (produced, consumed) = (word(at.producer), word(at.consumer));
        let flags = word(at.flags.ok_or(io::ErrorKind::Unsupported)?);
        let entries = place(at.desc, align_of::<T>(), count as usize * size_of::<T>());
        let bytes = produced.1.max(consumed.1).max(flags.1).max(entries.1);
        let (rights, how) =
            (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED | MapFlags::POPULATE);
        // SAFETY: a new mapping, wherever there is room for it.
        let map = unsafe { mmap(std::ptr::null_mut(), bytes, rights, how, socket, page) }?;
        let map = NonNull::new(map.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        let at = |(start, _): (usize, usize)| {
            // SAFETY: `bytes` reaches as far as the ends of all of them.
            unsafe { map.add(start) }
        };
        Ok(Ring {
            map,
            bytes,
            produced: at(produced).cast(),
            consumed: at(consumed).cast(),
            flags: at(flags).cast(),
            entries: at(entries).cast(),
            count,
        })
    }

    fn word(&self, at: NonNull<AtomicU32>) -> &AtomicU32 {
        // SAFETY: `map` saw that it lies within the mapping, aligned; the mapping lives as long as `self`.
        unsafe { at.as_ref() }
    }

    /// The place of the entry with that number.
    fn entry(&self, number: u32) -> *mut T {
        let index = (number & (self.count - 1)) as usize;
        // SAFETY: `index` is less than `count`, and `map` saw that as many entries lie within the mapping.
        UnsafeCell::raw_get(unsafe { self.entries.add(index) }.as_ptr())
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping that `map` made, which nothing refers to any more. It fails for no other one.
        let _ = unsafe { munmap(self.map.as_ptr().cast(), self.bytes) };
    }
}

/// A ring that we fill.
pub(super) struct Producer<T> {
    ring: Ring<T>,
    /// How many entries we have written; what the kernel knows of is `announced`.
    written: u32,
    announced: u32,
    /// What the kernel has consumed, when we last looked.
    consumed: u32,
}

impl<T: Entry> Producer<T> {
    pub(super) fn map(
        socket: BorrowedFd<'_>,
        page: u64,
        at: &XdpRingOffset,
        count: u32,
    ) -> io::Result<Producer<T>> {
        let ring = Ring::map(socket, page, at, count)?;
        Ok(Producer { ring, written: 0, announced: 0, consumed: 0 })
    }

    /// Writes an entry, unless the ring is full.
    pub(super) fn put(&mut self, entry: T) -> bool {
        if self.written.wrapping_sub(self.consumed) >= self.ring.count {
            self.look();
            if self.written.wrapping_sub(self.consumed) >= self.ring.count {
                return false;
            }
        }
        // SAFETY: the kernel reads no entry that is not announced, and has consumed what was there before.
        unsafe { self.ring.entry(self.written).write(entry) };
        self.written = self.written.wrapping_add(1);
        true
    }

    /// Has the kernel see what was written.
    pub(super) fn announce(&mut self) {
        if self.announced != self.written {
            self.announced = self.written;
            self.ring.word(self.ring.produced).store(self.written, Ordering::Release);
        }
    }

    /// How many entries the kernel has not consumed.
    pub(super) fn waiting(&mut self) -> u32 {
        self.look();
        self.announced.wrapping_sub(self.consumed)
    }

    fn look(&mut self) {
        let consumed = self.ring.word(self.ring.consumed).load(Ordering::Acquire);
        // It consumes what is there, and nothing else.
        if self.written.wrapping_sub(consumed) <= self.ring.count {
            self.consumed = consumed;
        }
    }

    /// Whether the kernel goes on only when it is called.
    pub(super) fn needs_call(&self) -> bool {
        let flags = self.ring.word(self.ring.flags).load(Ordering::Relaxed);
        flags & XdpRingFlags::XDP_RING_NEED_WAKEUP.bits() != 0
    }

    /// Says so in the kernel's place.
    #[cfg(test)]
    pub(super) fn say_needs_call(&self, needs_call: bool) {
        let flags = if needs_call { XdpRingFlags::XDP_RING_NEED_WAKEUP.bits() } else { 0 };
        self.ring.word(self.ring.flags).store(flags, Ordering::Relaxed);
    }
}

/// A ring that we empty.
pub(super) struct Consumer<T> {
    ring: Ring<T>,
    read: u32,
    returned: u32,
    /// What the kernel has produced, when we last looked.
    produced: u32,
}

impl<T: Entry> Consumer<T> {
    pub(super) fn map(
        socket: BorrowedFd<'_>,
        page: u64,
        at: &XdpRingOffset,
        count: u32,
    ) -> io::Result<Consumer<T>> {
        let ring = Ring::map(socket, page, at, count)?;
        Ok(Consumer { ring, read: 0, returned: 0, produced: 0 })
    }

    /// The next entry.
    pub(super) fn next(&mut self) -> Option<T> {
        if self.read == self.produced {
            self.give_back();
            let produced = self.ring.word(self.ring.produced).load(Ordering::Acquire);
            if produced.wrapping_sub(self.read) <= self.ring.count {
                self.produced = produced;
            }
            if self.read == self.produced {
                return None;
            }
        }
        // SAFETY: the kernel has announced it, and writes there again only when it was given back.
        let entry = unsafe { self.ring.entry(self.read).read() };
        self.read = self.read.wrapping_add(1);
        Some(entry)
    }

    /// Gives the places of what was read back to the kernel.
    pub(super) fn give_back(&mut self) {
        if self.returned != self.read {
            self.returned = self.read;
            self.ring.word(self.ring.consumed).store(self.read, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::os::fd::AsFd;

    use proptest::prelude::*;
    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

    use super::*;

    const COUNT: u32 = 8;

    /// Both sides of one ring, in a file of ours.
    fn both_sides() -> (Producer<u64>, Consumer<u64>) {
        let file = memfd_create("ring", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&file, 4096).unwrap();
        let at = XdpRingOffset { producer: 0, consumer: 64, desc: 192, flags: Some(128) };
        let producer = Producer::map(file.as_fd(), 0, &at, COUNT).unwrap();
        (producer, Consumer::map(file.as_fd(), 0, &at, COUNT).unwrap())
    }

    proptest! {
        #[test]
        fn a_ring_is_a_queue_of_which_the_other_side_sees_what_was_announced(
            steps in prop::collection::vec(0u8..4, 0..400),
        ) {
            let (mut producer, mut consumer) = both_sides();
            // Counters have run over once by the end of the test.
            for counter in [&mut producer.written, &mut producer.announced, &mut producer.consumed] {
                *counter = u32::MAX - 20;
            }
            for counter in [&mut consumer.read, &mut consumer.returned, &mut consumer.produced] {
                *counter = u32::MAX - 20;
            }
            producer.ring.word(producer.ring.produced).store(u32::MAX - 20, Ordering::Relaxed);
            producer.ring.word(producer.ring.consumed).store(u32::MAX - 20, Ordering::Relaxed);
            let (mut written, mut seen) = (VecDeque::new(), VecDeque::new());
            for (number, step) in (0u64..).zip(steps) {
                match step {
                    0 => {
                        let unreturned = consumer.read.wrapping_sub(consumer.returned) as usize;
                        let has_room = written.len() + seen.len() + unreturned < COUNT as usize;
                        prop_assert_eq!(producer.put(number), has_room);
                        written.extend(has_room.then_some(number));
                    }
                    1 => {
                        producer.announce();
                        seen.append(&mut written);
                    }
                    2 => prop_assert_eq!(consumer.next(), seen.pop_front()),
                    _ => consumer.give_back(),
                }
            }
        }
    }

    #[test]
    fn counters_that_run_away_show_no_more_than_there_is() {
        let (mut producer, mut consumer) = both_sides();
        consumer.ring.word(consumer.ring.produced).store(COUNT + 1, Ordering::Relaxed);
        assert_eq!(consumer.next(), None);
        producer.ring.word(producer.ring.consumed).store(100, Ordering::Relaxed);
        assert_eq!((0..20).filter(|number| producer.put(*number)).count(), COUNT as usize);
    }
}
