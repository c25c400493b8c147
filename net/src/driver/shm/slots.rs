//! Where everything lies in the file of a ring: a page of words, then slots of equal size.
//!
//! | bytes | what |
//! |---|---|
//! | 0 | the reader's `state` |
//! | 128 | the reader's `consumed`, on lines that the state is not on: it changes with each burst |
//! | 4,096 + stride × slot + 32 | the slot's `published` |
//! | 4,096 + stride × slot + 42 | the slot's payload, so that the first message stands at 64 |
//!
//! Sizes are the writer's, and checked by the reader before it maps anything.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use super::ring::Cells;
use crate::mapping::{Mapping, Unmapped};
use crate::pool::{BUFFER_ALIGN, HEADROOM_BYTES, Layout, Memory, Pool};

const STATE_AT: usize = 0;
const CONSUMED_AT: usize = 128;
/// Where slots begin: no payload shares a page with a word that its reader writes.
const SLOTS_AT: usize = 4096;
/// From a slot's start.
const PUBLISHED_AT: usize = 32;

const _: () = assert!(PUBLISHED_AT + size_of::<AtomicU64>() <= HEADROOM_BYTES);
const _: () = assert!(SLOTS_AT.is_multiple_of(BUFFER_ALIGN));

/// The fewest slots of a ring.
pub const SLOTS_MIN: usize = 16;
/// The most slots of a ring.
pub const SLOTS_MAX: usize = 4096;
/// The most that a ring takes: what a peer can make a reactor map.
pub const RING_BYTES_MAX: usize = 16 << 20;

/// How many slots a ring has, and how large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    slots: u32,
    stride: u32,
}

impl Sizes {
    /// For so many slots of so many payload bytes each, if there can be such a ring.
    pub fn of(slots: usize, payload_bytes: usize) -> Option<Sizes> {
        let stride =
            HEADROOM_BYTES.checked_add(payload_bytes)?.checked_next_multiple_of(BUFFER_ALIGN)?;
        Sizes::new(u32::try_from(slots).ok()?, u32::try_from(stride).ok()?)
    }

    /// From what a peer says, if there can be such a ring: a power of two of slots, each of whole lines.
    pub fn new(slots: u32, stride: u32) -> Option<Sizes> {
        let sizes = Sizes { slots, stride };
        let is_well = slots.is_power_of_two()
            && (SLOTS_MIN..=SLOTS_MAX).contains(&(slots as usize))
            && (stride as usize).is_multiple_of(BUFFER_ALIGN)
            && stride as usize > BUFFER_ALIGN
            && stride as usize <= RING_BYTES_MAX
            && sizes.bytes() <= RING_BYTES_MAX;
        is_well.then_some(sizes)
    }

    /// How many slots there are.
    pub fn slots(self) -> u32 {
        self.slots
    }

    /// From the start of a slot to that of the next, in bytes.
    pub fn stride(self) -> u32 {
        self.stride
    }

    /// Payload bytes of a slot.
    pub fn payload_bytes(self) -> usize {
        self.stride as usize - HEADROOM_BYTES
    }

    /// Bytes of the whole file.
    pub fn bytes(self) -> usize {
        SLOTS_AT + self.slots as usize * self.stride as usize
    }
}

/// A ring's file, mapped to read it.
pub(super) struct Slots {
    mapping: Rc<Mapping>,
    sizes: Sizes,
}

impl Slots {
    /// # Panics
    /// When the mapping has another size.
    pub(super) fn new(mapping: Mapping, sizes: Sizes) -> Slots {
        assert_eq!(mapping.bytes(), sizes.bytes());
        Slots { mapping: Rc::new(mapping), sizes }
    }

    pub(super) fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// The buffers that payloads are read in.
    pub(super) fn pool(&self) -> Pool {
        let layout = Layout { stride: self.sizes.stride as usize, headroom: HEADROOM_BYTES };
        let memory = Memory::shared(self.mapping.clone());
        Pool::by_index(&memory, SLOTS_AT, self.sizes.slots as usize, layout)
    }

    /// From the file's start.
    fn slot_at(&self, slot: u32) -> usize {
        SLOTS_AT + slot as usize * self.sizes.stride as usize
    }
}

/// A ring's file that this process made, to write it: no pool is made over it, so nothing here refers to payloads.
pub(super) struct Written(Slots);

impl Written {
    /// Makes the file, and says which it is.
    /// # Errors
    /// The system has no memory, or no descriptors.
    pub(super) fn create(sizes: Sizes) -> Result<(Written, OwnedFd), Unmapped> {
        let (mapping, file) = Mapping::create("daedal-shm", sizes.bytes())?;
        Ok((Written(Slots::new(mapping, sizes)), file))
    }

    pub(super) fn slots(&self) -> &Slots {
        &self.0
    }

    /// Writes a slot's payload.
    /// # Panics
    /// When it does not fit.
    #[inline]
    pub(super) fn write(&mut self, slot: u32, payload: &[u8]) {
        let Slots { mapping, sizes } = &self.0;
        assert!(slot < sizes.slots && payload.len() <= sizes.payload_bytes());
        let at = self.0.slot_at(slot) + HEADROOM_BYTES;
        #[expect(unsafe_code, reason = "a payload is written where another process reads it")]
        // SAFETY: only frames of a pool refer to payloads, and there is none over a mapping of this type's.
        unsafe {
            mapping.write(at, payload);
        }
    }
}

impl Cells for Slots {
    type U32 = AtomicU32;
    type U64 = AtomicU64;

    fn count(&self) -> u32 {
        self.sizes.slots
    }

    #[inline]
    fn state(&self) -> &AtomicU32 {
        self.mapping.word(STATE_AT)
    }

    #[inline]
    fn consumed(&self) -> &AtomicU32 {
        self.mapping.word(CONSUMED_AT)
    }

    #[inline]
    fn published(&self, slot: u32) -> &AtomicU64 {
        self.mapping.word(self.slot_at(slot) + PUBLISHED_AT)
    }

    #[inline]
    fn fence(&self) {
        fence(Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        let largest = Sizes::of(4096, 1472).unwrap();
        assert_eq!((largest.payload_bytes(), largest.bytes()), (1494, 4096 + 4096 * 1536));
        for (slots, stride) in [
            (0, 128),
            (8, 128),
            (24, 128),
            (8192, 128),
            (16, 64),
            (16, 100),
            (16, 0),
            (1 << 31, 128),
        ] {
            assert_eq!(Sizes::new(slots, stride), None, "{slots} of {stride}");
        }
        assert_eq!(Sizes::new(16, 1 << 20), None);
        assert_eq!(Sizes::new(16, u32::MAX - 63), None);
        assert_eq!(Sizes::of(16, usize::MAX), None);
    }
}
