//! A file of 64-bit words that one process writes and others read, both where it lies in memory; or one that has
//! no name, for the process itself.
//!
//! Knows nothing of what the words mean. A word is stored and loaded whole, in no order with others but what
//! [`Words::publish`] says; who reads costs the writer nothing.
//!
//! | word | writer | when |
//! |---|---|---|
//! | each | whoever made the file, by one [`Words`]; one thread a word | any time |
//!
//! Invariants: a file has its length before it has its name, and no one of ours ever cuts it; a mapping lives
//! as long as what reads or writes it.

#![expect(unsafe_code, reason = "memory that is mapped is read and written by pointers")]

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Bytes of a word.
const WORD_BYTES: usize = 8;
/// Largest file that is read: a box has at most 255 reactors, of some ten KiB each.
const BYTES_MAX: u64 = 64 << 20;

/// A mapping, whoever made it.
#[derive(Debug)]
struct Mapping {
    base: NonNull<AtomicU64>,
    words: usize,
}

// SAFETY: what it points to are atomics, in memory that no thread owns and that stays until it is dropped.
unsafe impl Send for Mapping {}
// SAFETY: as above; all access is by atomic operations.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(file: &File, words: usize, access: ProtFlags) -> io::Result<Mapping> {
        let (bytes, at) = (words * WORD_BYTES, std::ptr::null_mut());
        if bytes == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        // SAFETY: a new mapping, where the kernel likes: it takes no memory that is in use.
        let base = unsafe { mmap(at, bytes, access, MapFlags::SHARED, file.as_fd(), 0) }?;
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Mapping { base, words })
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < self.words, "word {index} of {}", self.words);
        // SAFETY: within the one mapping that `self` owns, as was just checked.
        let word = unsafe { self.base.add(index) };
        // SAFETY: a mapping starts at a page, so the word is aligned; any bits are an `AtomicU64`; it lives
        // as long as `self`.
        unsafe { word.as_ref() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `base` and the length are those of the mapping, which is nobody else's.
        let unmapped = unsafe { munmap(self.base.as_ptr().cast(), self.words * WORD_BYTES) };
        unmapped.expect("it is mapped until now");
    }
}

/// Words that this process writes.
#[derive(Debug)]
pub(crate) struct Words(Mapping);

impl Words {
    /// Makes a file of so many words, all 0, that only this user may read, in the place of `path`. `fill` writes to
    /// it before it has that name.
    /// # Errors
    /// What the file system says.
    pub fn create(path: &Path, words: usize, fill: impl FnOnce(&Words)) -> io::Result<Words> {
        let beside = path.with_extension("new");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        // What another life of the box left half made is nobody's.
        let _ = fs::remove_file(&beside);
        let file = options.open(&beside)?;
        let made = Words::filled(&file, words, fill)?;
        fs::rename(&beside, path)?;
        Ok(made)
    }

    /// The same in a file that has no name, and goes with the last who has it open or mapped.
    /// # Errors
    /// What the system says.
    pub fn unnamed(words: usize, fill: impl FnOnce(&Words)) -> io::Result<(Words, File)> {
        let file = File::from(memfd_create("daedal", MemfdFlags::CLOEXEC)?);
        let made = Words::filled(&file, words, fill)?;
        Ok((made, file))
    }

    fn filled(file: &File, words: usize, fill: impl FnOnce(&Words)) -> io::Result<Words> {
        file.set_len((words * WORD_BYTES) as u64)?;
        let made = Words(Mapping::new(file, words, ProtFlags::READ | ProtFlags::WRITE)?);
        fill(&made);
        Ok(made)
    }

    /// Reads a word.
    /// # Panics
    /// Beyond the last one, as everything here.
    pub fn load(&self, index: usize) -> u64 {
        self.0.word(index).load(Ordering::Relaxed)
    }

    /// Writes a word.
    pub fn store(&self, index: usize, value: u64) {
        self.0.word(index).store(value, Ordering::Relaxed);
    }

    /// Writes a word behind all that was stored before: who sees it by [`View::acquire`] sees them.
    pub fn publish(&self, index: usize, value: u64) {
        self.0.word(index).store(value, Ordering::Release);
    }
}

/// Words that another process writes. Cannot write: the pages are mapped for reading.
#[derive(Debug)]
pub(crate) struct View(Mapping);

impl View {
    /// Maps a file.
    /// # Errors
    /// What the file system says; a file that is empty or too large is of the wrong kind.
    pub fn open(path: &Path) -> io::Result<View> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        if bytes > BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(View(Mapping::new(&file, bytes as usize / WORD_BYTES, ProtFlags::READ)?))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.words
    }

    /// Reads a word; 0 beyond the last one, as what the file says of itself need not be true.
    pub fn load(&self, index: usize) -> u64 {
        if index < self.0.words { self.0.word(index).load(Ordering::Relaxed) } else { 0 }
    }

    /// Reads a word, and then what was stored before it was published.
    pub fn acquire(&self, index: usize) -> u64 {
        if index < self.0.words { self.0.word(index).load(Ordering::Acquire) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_seen_through_a_view_that_was_there_before() {
        let path = std::env::temp_dir().join(format!("daedal-mapped-{}", std::process::id()));
        let words = Words::create(&path, 1000, |words| words.store(999, 7)).unwrap();
        let view = View::open(&path).unwrap();
        assert_eq!((view.count(), view.load(999), view.load(0), view.load(1000)), (1000, 7, 0, 0));
        words.store(0, u64::MAX);
        words.publish(1, 1);
        assert_eq!((view.acquire(1), view.load(0)), (1, u64::MAX));
        // A new file in its place leaves who reads the old one alone.
        drop(Words::create(&path, 10, |_| ()).unwrap());
        assert_eq!(view.load(0), u64::MAX);
        fs::write(&path, "").unwrap();
        assert!(View::open(&path).is_err());
        fs::remove_file(&path).unwrap();
    }
}
