//! The atomics of what is shared between threads: std's, and loom's where loom looks for the order in
//! which it fails.

#[cfg(all(loom, test))]
pub(crate) use loom::sync::Mutex;
#[cfg(all(loom, test))]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};

#[cfg(not(all(loom, test)))]
pub(crate) use std::sync::Mutex;
#[cfg(not(all(loom, test)))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
