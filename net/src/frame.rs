//! A frame: a part of one pooled buffer, on loan. It returns to its pool when the last handle goes.

#![expect(
    unsafe_code,
    reason = "a frame reads, and the sole handle of a buffer writes, where its bytes are"
)]

use std::fmt;
use std::ops::{Deref, Range};
use std::ptr::NonNull;
use std::rc::Rc;

use crate::pool::Buffers;

/// A part of one pooled buffer. Reading is free; writing needs the buffer's only handle. `!Send`.
///
/// Invariant: `bytes` bytes from `start` on lie within the buffer, behind its headroom.
pub struct Frame {
    buffers: Rc<Buffers>,
    index: u32,
    bytes: u32,
    start: NonNull<u8>,
}

impl Frame {
    pub(crate) fn whole(buffers: Rc<Buffers>, index: u32) -> Frame {
        let bytes = buffers.payload_bytes();
        Frame::first(buffers, index, bytes)
    }

    /// The first bytes of a buffer's payload.
    /// # Panics
    /// When there are fewer.
    pub(crate) fn first(buffers: Rc<Buffers>, index: u32, bytes: usize) -> Frame {
        let start = buffers.payload(index, bytes);
        Frame { buffers, index, bytes: bytes as u32, start }
    }

    /// The index of the buffer, if it is one of `buffers`, and this begins where its payload does.
    pub(crate) fn whole_index(&self, buffers: &Rc<Buffers>) -> Option<u32> {
        let is_theirs = Rc::ptr_eq(&self.buffers, buffers);
        (is_theirs && self.start == buffers.payload(self.index, self.len())).then_some(self.index)
    }

    /// A copy of the last bytes before the buffer's payload: headers.
    /// # Panics
    /// When the headroom is less.
    pub(crate) fn before<const BYTES: usize>(&self) -> [u8; BYTES] {
        self.buffers.headroom(self.index)
    }

    /// Writes the last bytes before the buffer's payload.
    /// # Panics
    /// When the headroom is less.
    pub(crate) fn put_before(&self, bytes: &[u8]) {
        self.buffers.put_headroom(self.index, bytes);
    }

    /// Another handle on the same bytes.
    pub fn share(&self) -> Frame {
        self.slice(0..self.len())
    }

    /// Another handle, on a part of the bytes.
    /// # Panics
    /// When `range` does not lie within the frame.
    pub fn slice(&self, range: Range<usize>) -> Frame {
        assert!(range.start <= range.end && range.end <= self.len());
        self.buffers.retain(self.index);
        // SAFETY: it lies within the frame, by the assertion above.
        let start = unsafe { self.start.add(range.start) };
        let bytes = range.len() as u32;
        Frame { buffers: self.buffers.clone(), index: self.index, bytes, start }
    }

    /// Shortens the frame to its first `bytes` bytes; longer than it is: no change.
    pub fn truncate(&mut self, bytes: usize) {
        self.bytes = self.bytes.min(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    /// Whether this is the buffer's only handle: what was lent to a driver has been completed.
    pub fn is_exclusive(&self) -> bool {
        self.buffers.is_sole(self.index)
    }

    /// The bytes, to be written. `None` while anyone else holds the buffer.
    pub fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        if !self.is_exclusive() {
            return None;
        }
        // SAFETY: they lie within the buffer, whose only handle is `self`, borrowed exclusively; lines are cells.
        Some(unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes as usize) })
    }
}

impl Deref for Frame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: they lie within the buffer, and every byte was initialised; nobody writes while a handle is
        // borrowed, since `bytes_mut` needs the sole one, exclusively, and who shares the memory writes no buffer
        // that is on loan (`Memory::shared`).
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.bytes as usize) }
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.buffers.release(self.index);
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Frame({} bytes)", self.len())
    }
}
