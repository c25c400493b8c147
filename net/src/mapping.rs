//! A file in memory that two processes map: made by one, checked by the other.
//!
//! Does not know what lies there. Whoever else has the file may write any byte at any time: what is read is checked
//! where it is read, and words that both sides use are atomic.
//!
//! Invariant: no file is mapped that could be made shorter, or that memory is not there for: to touch the mapping of
//! such a file ends the process (`SIGBUS`). So whoever is handed one looks at its seals and at where it lies.
//!
//! Sources: `memfd_create(2)`, `fcntl(2)` ("File sealing"); linux v6.6 mm/memfd.c, mm/shmem.c.

#![expect(unsafe_code, reason = "memory that is shared with another process is reached by pointer")]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};

use rustix::fs::{
    MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, fstatfs, ftruncate,
    memfd_create,
};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// What a file must not become: shorter, longer, or unsealed.
const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// Where memory files of ordinary pages lie. Those of huge pages lie elsewhere, and may have none left.
const TMPFS: u64 = 0x0102_1994;

/// Why a file is not one to be mapped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unmapped {
    /// It could be made shorter.
    #[error("it could be made shorter")]
    Unsealed,
    /// It is no file in ordinary memory.
    #[error("it is no file in memory")]
    NotInMemory,
    /// It has another size.
    #[error("it has another size")]
    WrongSize,
    /// The system refused it.
    #[error("{0}")]
    System(#[from] io::Error),
}

impl From<rustix::io::Errno> for Unmapped {
    fn from(error: rustix::io::Errno) -> Unmapped {
        Unmapped::System(error.into())
    }
}

/// A file in memory, mapped for as long as this lives. Its start is that of a page.
#[derive(Debug)]
pub(crate) struct Mapping {
    at: NonNull<u8>,
    bytes: usize,
}

/// An atomic number, of which any bytes are one.
pub(crate) trait Word {}
impl Word for AtomicU32 {}
impl Word for AtomicU64 {}

impl Mapping {
    /// Makes a file of so many zeroes, all of them in memory, and seals it.
    /// # Errors
    /// The system has no memory, or no descriptors.
    pub(crate) fn create(name: &str, bytes: usize) -> Result<(Mapping, OwnedFd), Unmapped> {
        let file = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, bytes as u64)?;
        fcntl_add_seals(&file, SEALS)?;
        let mapping = Mapping::map(file.as_fd(), bytes, MapFlags::POPULATE)?;
        Ok((mapping, file))
    }

    /// Maps a file of so many bytes that another process has made.
    /// # Errors
    /// It is not as [`Mapping::create`] makes them.
    pub(crate) fn of(file: BorrowedFd<'_>, bytes: usize) -> Result<Mapping, Unmapped> {
        // Only files in memory know seals.
        let seals = fcntl_get_seals(file).map_err(|_| Unmapped::NotInMemory)?;
        if !seals.contains(SEALS) {
            return Err(Unmapped::Unsealed);
        }
        if fstatfs(file)?.f_type as u64 != TMPFS {
            return Err(Unmapped::NotInMemory);
        }
        if u64::try_from(fstat(file)?.st_size) != Ok(bytes as u64) {
            return Err(Unmapped::WrongSize);
        }
        // Pages that the other side has not touched are not made here before they are needed.
        Mapping::map(file, bytes, MapFlags::empty())
    }

    fn map(file: BorrowedFd<'_>, bytes: usize, how: MapFlags) -> Result<Mapping, Unmapped> {
        let rights = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping, wherever there is room for it.
        let at =
            unsafe { mmap(std::ptr::null_mut(), bytes, rights, MapFlags::SHARED | how, file, 0) }?;
        let at = NonNull::new(at.cast()).ok_or(io::Error::from(io::ErrorKind::OutOfMemory))?;
        Ok(Mapping { at, bytes })
    }

    pub(crate) fn start(&self) -> *mut u8 {
        self.at.as_ptr()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The number that stands there.
    /// # Panics
    /// When it does not lie within the file, or not at a multiple of its size.
    pub(crate) fn word<T: Word>(&self, at: usize) -> &T {
        // Alignment of an atomic is its size.
        assert!(at.is_multiple_of(size_of::<T>()));
        assert!(at.checked_add(size_of::<T>()).is_some_and(|end| end <= self.bytes));
        // SAFETY: `at` lies within the mapping, by the assertions above.
        let word = unsafe { self.at.add(at) };
        // SAFETY: aligned, as a page is; any bytes are such a number, and both sides reach it as an atomic alone. The
        // mapping lives as long as `self`.
        unsafe { word.cast::<T>().as_ref() }
    }

    /// Writes bytes.
    /// # Panics
    /// When they do not fit there.
    /// # Safety
    /// Nothing in this process refers to that part of this mapping.
    pub(crate) unsafe fn write(&self, at: usize, bytes: &[u8]) {
        assert!(at.checked_add(bytes.len()).is_some_and(|end| end <= self.bytes));
        // SAFETY: `at` lies within the mapping, by the assertion above.
        let to = unsafe { self.at.add(at) };
        // SAFETY: so does the end; `bytes` are not among what is written, by the caller's promise.
        unsafe { to.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping that `map` made, which nothing refers to any more. It fails for no other one.
        let _ = unsafe { munmap(self.at.as_ptr().cast(), self.bytes) };
    }
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    const BYTES: usize = 8192;

    /// Why a file with these seals, of that size, is not mapped.
    fn refused(flags: MemfdFlags, seals: SealFlags, bytes: usize) -> Option<Unmapped> {
        let file = memfd_create("test", MemfdFlags::CLOEXEC | flags).unwrap();
        ftruncate(&file, bytes as u64).unwrap();
        let _ = fcntl_add_seals(&file, seals);
        Mapping::of(file.as_fd(), BYTES).err()
    }

    #[test]
    fn both_sides_see_what_either_writes() {
        let (ours, file) = Mapping::create("test", BYTES).unwrap();
        let theirs = Mapping::of(file.as_fd(), BYTES).unwrap();
        // SAFETY: nothing refers to it.
        unsafe { ours.write(4096 + 1, &[1, 2, 3]) };
        assert_eq!(theirs.word::<AtomicU32>(4096).load(Ordering::Relaxed), 0x0302_0100);
        theirs.word::<AtomicU64>(BYTES - 8).store(7, Ordering::Relaxed);
        assert_eq!(ours.word::<AtomicU64>(BYTES - 8).load(Ordering::Relaxed), 7);
        assert_eq!(ftruncate(&file, 1), Err(rustix::io::Errno::PERM));
    }

    #[test]
    fn a_file_that_could_be_made_shorter_is_not_mapped() {
        let sealing = MemfdFlags::ALLOW_SEALING;
        assert!(refused(sealing, SEALS, BYTES).is_none());
        for seals in [SealFlags::empty(), SealFlags::GROW, SEALS.difference(SealFlags::SEAL)] {
            assert!(matches!(refused(sealing, seals, BYTES), Some(Unmapped::Unsealed)));
        }
        assert!(matches!(refused(MemfdFlags::empty(), SEALS, BYTES), Some(Unmapped::Unsealed)));
        assert!(matches!(refused(sealing, SEALS, BYTES - 1), Some(Unmapped::WrongSize)));
        assert!(matches!(refused(sealing, SEALS, 0), Some(Unmapped::WrongSize)));
    }

    #[test]
    fn what_is_no_file_in_memory_is_not_mapped() {
        let program = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
        let (end, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        for file in [program.as_fd(), end.as_fd()] {
            assert!(matches!(Mapping::of(file, BYTES), Err(Unmapped::NotInMemory)));
        }
    }

    #[test]
    #[should_panic(expected = "end <= self.bytes")]
    fn a_word_beyond_the_end_is_not_reached() {
        let (mapping, _file) = Mapping::create("test", BYTES).unwrap();
        mapping.word::<AtomicU64>(BYTES);
    }
}
