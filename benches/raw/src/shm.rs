//! Messages through two single-producer, single-consumer rings in a file that two pinned, spinning processes map.
//!
//! Lamport's ring as rtrb has it: a counter a side, each on lines of its own, and a copy of the other's that is looked
//! at only when it seems to be full or empty. The program starts itself a second time, and hands it the file.

#![expect(unsafe_code, reason = "memory that two processes share is reached by pointer")]

use std::cell::UnsafeCell;
use std::hint::{black_box, spin_loop};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap};

use crate::open_loop::{self, Carrier, DUE_BYTES};
use crate::second::{Second, be_second};
use crate::{Figure, PATIENCE, STRIDE, ask, pin, tell};

/// Subcommand of the second process.
pub const ECHO: &str = "shm-echo-process";
/// See [`ECHO`].
pub const FLOOD: &str = "shm-flood-process";

/// Messages that are counted together, if it is not said how many.
pub const BATCH: usize = 64;

const SLOTS: usize = 1024;

/// A counter, on lines of its own: processors fetch them in pairs.
#[repr(C, align(128))]
struct Counter(AtomicUsize);

#[repr(C)]
struct Ring<const BYTES: usize> {
    written: Counter,
    read: Counter,
    slots: UnsafeCell<[[u8; BYTES]; SLOTS]>,
}

/// There and back.
#[repr(C)]
struct Rings<const BYTES: usize>([Ring<BYTES>; 2]);

/// One end of a ring.
struct End<const BYTES: usize> {
    ring: *const Ring<BYTES>,
    /// How many this side has written, or read.
    count: usize,
    /// How many the other side had, when it was last looked.
    others: usize,
}

impl<const BYTES: usize> End<BYTES> {
    fn ring(&self) -> &Ring<BYTES> {
        // SAFETY: it points into a mapping that is never taken back; all of it may be any bytes, and what is not atomic
        // is behind a cell.
        unsafe { &*self.ring }
    }

    fn slot(&self) -> *mut [u8; BYTES] {
        let slots = self.ring().slots.get().cast::<[u8; BYTES]>();
        slots.wrapping_add(self.count % SLOTS)
    }

    /// So many of them, counted together: whether there was room.
    fn push(&mut self, message: [u8; BYTES], batch: usize) -> bool {
        if SLOTS - (self.count - self.others) < batch {
            self.others = self.ring().read.0.load(Ordering::Acquire);
            if SLOTS - (self.count - self.others) < batch {
                return false;
            }
        }
        for _ in 0..batch {
            // SAFETY: the slot is within the ring, and the other side does not read it before it is counted.
            unsafe { self.slot().write(message) };
            self.count += 1;
        }
        self.ring().written.0.store(self.count, Ordering::Release);
        true
    }

    /// Reads all that there are: how many.
    fn pop_all(&mut self) -> u64 {
        self.others = self.ring().written.0.load(Ordering::Acquire);
        let count = self.others - self.count;
        for _ in 0..count {
            // SAFETY: as in `pop`. The whole message is read, not only the line that the compiler would need.
            black_box(unsafe { self.slot().read() });
            self.count += 1;
        }
        if count == 0 {
            spin_loop();
        } else {
            self.ring().read.0.store(self.count, Ordering::Release);
        }
        count as u64
    }

    fn pop(&mut self) -> Option<[u8; BYTES]> {
        if self.count == self.others {
            self.others = self.ring().written.0.load(Ordering::Acquire);
            if self.count == self.others {
                return None;
            }
        }
        // SAFETY: the slot is within the ring, was counted as written, and is not counted as read.
        let message = unsafe { self.slot().read() };
        self.count += 1;
        self.ring().read.0.store(self.count, Ordering::Release);
        Some(message)
    }
}

/// The ends of both rings: that which is written by process `me`, and the other.
fn ends<const BYTES: usize>(file: BorrowedFd<'_>, me: usize) -> io::Result<[End<BYTES>; 2]> {
    let rights = ProtFlags::READ | ProtFlags::WRITE;
    let how = MapFlags::SHARED | MapFlags::POPULATE;
    // SAFETY: a new mapping, wherever there is room for it.
    let at = unsafe { mmap(null_mut(), size_of::<Rings<BYTES>>(), rights, how, file, 0) }?;
    let rings = at.cast::<Ring<BYTES>>();
    Ok([me, 1 - me].map(|which| End { ring: rings.wrapping_add(which), count: 0, others: 0 }))
}

/// Runs `$run` of the size that `$bytes` is, or is `None` if that is no size that there is.
macro_rules! of_size {
    ($bytes:expr, $run:ident($($argument:expr),*)) => {
        match $bytes {
            16 => Some($run::<16>($($argument),*)),
            64 => Some($run::<64>($($argument),*)),
            160 => Some($run::<160>($($argument),*)),
            256 => Some($run::<256>($($argument),*)),
            1024 => Some($run::<1024>($($argument),*)),
            4096 => Some($run::<4096>($($argument),*)),
            16384 => Some($run::<16384>($($argument),*)),
            65536 => Some($run::<65536>($($argument),*)),
            _ => None,
        }
    };
}

/// A round trip of `bytes`, from process to process. `None` when `bytes` is no size that there is.
/// # Errors
/// Those of memory and of starting the second process; a peer that does not answer.
pub fn shm_ask(bytes: usize) -> Option<io::Result<Figure>> {
    of_size!(bytes, ask_of())
}

/// [`open_loop::load`] of messages of `bytes`. `None` when `bytes` is no size that there is.
/// # Errors
/// As [`shm_ask`].
pub fn shm_load(bytes: usize, per_second: Option<u64>) -> Option<io::Result<Figure>> {
    of_size!(bytes, load_of(per_second))
}

/// Messages of `bytes` one way, `batch` of them counted together. `None` when `bytes` is no size that there is, or
/// `batch` does not fit the ring.
/// # Errors
/// As [`shm_ask`].
pub fn shm_tell(bytes: usize, batch: usize) -> Option<io::Result<Figure>> {
    if !(1..=SLOTS).contains(&batch) {
        return None;
    }
    of_size!(bytes, tell_of(batch))
}

fn ask_of<const BYTES: usize>() -> io::Result<Figure> {
    let (mut ends, _second) = start::<BYTES>()?;
    let mut failed = ends.round().err();
    let figure = ask(|| {
        if failed.is_none() {
            failed = ends.round().err();
        }
    });
    failed.map_or(Ok(figure), Err)
}

fn load_of<const BYTES: usize>(per_second: Option<u64>) -> io::Result<Figure> {
    let (mut ends, _second) = start::<BYTES>()?;
    ends.round()?;
    open_loop::load(per_second, &mut ends)
}

fn tell_of<const BYTES: usize>(batch: usize) -> io::Result<Figure> {
    let (mut ends, _second) = start_as::<BYTES>(&[FLOOD, &batch.to_string()])?;
    Ok(tell(|| ends.from.pop_all()))
}

fn start<const BYTES: usize>() -> io::Result<(Ends<BYTES>, Second)> {
    start_as(&[ECHO])
}

/// Starts the second process, which does that with what more it is told, and hands it the file.
fn start_as<const BYTES: usize>(what: &[&str]) -> io::Result<(Ends<BYTES>, Second)> {
    pin(0);
    // Handed on to the second process.
    let file = memfd_create("raw", MemfdFlags::empty())?;
    ftruncate(&file, size_of::<Rings<BYTES>>() as u64)?;
    let [to, from] = ends::<BYTES>(file.as_fd(), 0)?;
    let number = file.as_raw_fd().to_string();
    let bytes = BYTES.to_string();
    let second = Second::start(&[&what[..1], &[&number, &bytes], &what[1..]].concat())?;
    Ok((Ends { to, from }, second))
}

/// What the first process writes, and what it reads.
struct Ends<const BYTES: usize> {
    to: End<BYTES>,
    from: End<BYTES>,
}

impl<const BYTES: usize> Ends<BYTES> {
    fn round(&mut self) -> io::Result<()> {
        self.to.push(black_box([7; BYTES]), 1);
        let mut start = None;
        for tries in 1u64.. {
            if self.from.pop().map(black_box).is_some() {
                break;
            }
            if tries % STRIDE == 0 && start.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the other process is silent"));
            }
            spin_loop();
        }
        Ok(())
    }
}

/// The first bytes of each message say when its ask was due.
impl<const BYTES: usize> Carrier for Ends<BYTES> {
    fn send(&mut self, due_ns: u64) -> io::Result<bool> {
        let mut message = [7; BYTES];
        message[..DUE_BYTES].copy_from_slice(&due_ns.to_ne_bytes());
        Ok(self.to.push(message, 1))
    }

    fn receive(&mut self) -> io::Result<Option<u64>> {
        let message = self.from.pop();
        Ok(message.and_then(|it| it.first_chunk().copied()).map(u64::from_ne_bytes))
    }
}

/// The second process: sends back whatever comes in the rings of that file; or, told a batch, floods.
/// # Errors
/// Those of memory; returns in no other way.
pub fn second_process(file: i32, bytes: usize, batch: Option<usize>) -> io::Result<()> {
    be_second()?;
    // SAFETY: the first process left it open for this one, which has it from nobody else.
    let file = unsafe { OwnedFd::from_raw_fd(file) };
    let ended = match batch {
        None => of_size!(bytes, echo(&file)),
        Some(batch) => of_size!(bytes, flood(&file, batch)),
    };
    ended.unwrap_or(Err(io::ErrorKind::InvalidInput.into()))
}

fn flood<const BYTES: usize>(file: &OwnedFd, batch: usize) -> io::Result<()> {
    let [mut to, _] = ends::<BYTES>(file.as_fd(), 1)?;
    loop {
        if !to.push(black_box([7; BYTES]), batch) {
            spin_loop();
        }
    }
}

fn echo<const BYTES: usize>(file: &OwnedFd) -> io::Result<()> {
    let [mut to, mut from] = ends::<BYTES>(file.as_fd(), 1)?;
    loop {
        match from.pop() {
            Some(message) => drop(to.push(black_box(message), 1)),
            None => spin_loop(),
        }
    }
}
