//! Bytes that come in at the end and leave at the start.

use crate::limits::BUFFER_BYTES_KEPT;

/// A queue of bytes that is one slice. Cost of a byte: one copy in, and less than one more.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl Buffer {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.end().extend_from_slice(bytes);
    }

    /// Where bytes are to be appended. Before that, the room in front is won back once it is the
    /// larger part.
    pub(super) fn end(&mut self) -> &mut Vec<u8> {
        if self.start > self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        &mut self.bytes
    }

    pub(super) fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        assert!(self.start <= self.bytes.len(), "no more leaves than came in");
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(BUFFER_BYTES_KEPT);
            self.start = 0;
        }
    }
}
