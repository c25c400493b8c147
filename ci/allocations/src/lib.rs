//! For tests: counts what a thread allocates. A test that uses this runs with an allocator that counts
//! and hands everything to the system's; other threads, such as other tests, are not counted.

#![expect(unsafe_code, reason = "an allocator is unsafe by its trait; this one only counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static HELD_BYTES: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator as it came. Counting allocates nothing, since the
// counter is a constant-initialised `Cell` without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        HELD_BYTES.set(HELD_BYTES.get() + layout.size() as isize);
        // SAFETY: the caller keeps `alloc`'s contract, which is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        HELD_BYTES.set(HELD_BYTES.get() - layout.size() as isize);
        // SAFETY: as above; what is freed here was allocated by the system's allocator.
        unsafe { System.dealloc(start, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Does `work` in this thread, and says how often it allocated. A growing `Vec` allocates anew.
pub fn allocations<R>(work: impl FnOnce() -> R) -> (usize, R) {
    let before = ALLOCATIONS.get();
    let result = work();
    (ALLOCATIONS.get() - before, result)
}

/// Bytes that this thread has allocated, less those that it has freed, whoever allocated them.
pub fn held_bytes() -> isize {
    HELD_BYTES.get()
}

#[test]
fn the_counter_counts() {
    let (none, mut numbers) = allocations(Vec::<u64>::new);
    assert_eq!(none, 0);
    assert_eq!(allocations(|| numbers.push(1)).0, 1);
    assert_eq!(allocations(|| numbers.reserve(1000)).0, 1);
    let before = held_bytes();
    let bytes = vec![0u8; 1000];
    assert_eq!(held_bytes() - before, 1000);
    drop(bytes);
    assert_eq!(held_bytes(), before);
}
