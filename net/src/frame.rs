//! A frame: a part of one pooled buffer, on loan. It returns to its pool when the last handle goes.

#![expect(unsafe_code, reason = "the sole handle of a buffer may write it")]

use std::fmt;
use std::ops::{Deref, Range};
use std::rc::Rc;

use crate::pool::Buffers;

/// A part of one pooled buffer. Reading is free; writing needs the buffer's only handle. `!Send`.
pub struct Frame {
    buffers: Rc<Buffers>,
    index: u32,
    start: u32,
    end: u32,
}

impl Frame {
    pub(crate) fn whole(buffers: Rc<Buffers>, index: u32) -> Frame {
        let layout = buffers.layout();
        Frame { buffers, index, start: layout.headroom as u32, end: layout.stride as u32 }
    }

    /// The first bytes of a buffer's payload.
    #[cfg(feature = "dpdk")]
    pub(crate) fn first(buffers: Rc<Buffers>, index: u32, bytes: usize) -> Frame {
        let mut frame = Frame::whole(buffers, index);
        frame.truncate(bytes);
        frame
    }

    /// The index of the buffer, if it is one of `buffers`, and this begins where its payload does.
    pub(crate) fn whole_index(&self, buffers: &Rc<Buffers>) -> Option<u32> {
        let begins = self.start as usize == self.buffers.layout().headroom;
        (begins && Rc::ptr_eq(&self.buffers, buffers)).then_some(self.index)
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
        Frame {
            buffers: self.buffers.clone(),
            index: self.index,
            start: self.start + range.start as u32,
            end: self.start + range.end as u32,
        }
    }

    /// Shortens the frame to its first `bytes` bytes; longer than it is: no change.
    pub fn truncate(&mut self, bytes: usize) {
        self.end = self.end.min(self.start.saturating_add(bytes as u32));
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
        // SAFETY: the only handle of this buffer is `self`, which is borrowed exclusively.
        Some(unsafe { self.buffers.bytes_mut(self.index, self.start as usize..self.end as usize) })
    }
}

impl Deref for Frame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.buffers.bytes(self.index, self.start as usize..self.end as usize)
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
