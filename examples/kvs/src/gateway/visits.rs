//! The clients that something is to be done for, each once, in the order in which they came.

use std::collections::VecDeque;

/// Places of clients.
#[derive(Debug, Default)]
pub(super) struct Visits {
    queue: VecDeque<usize>,
}

impl Visits {
    /// Puts a client in line, unless it stands there.
    pub(super) fn add(&mut self, index: usize, is_listed: &mut bool) {
        if !*is_listed {
            *is_listed = true;
            self.queue.push_back(index);
        }
    }

    /// Takes out the first. It may have gone since.
    pub(super) fn next(&mut self) -> Option<usize> {
        self.queue.pop_front()
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
