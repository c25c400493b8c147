//! What a core is told of lines that it will need.

/// Has the core fetch the line that `at` lies in, which it will read. A hint: processors other than x86's are not given it.
#[inline]
#[expect(unsafe_code, reason = "stable Rust has no other way to say so")]
pub fn fetch_to_read<T>(at: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: nothing is read or written, whatever lies there.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = at;
}

/// Has the core fetch the line that `at` lies in, to itself alone, because it will write there: it does not wait then
/// until another core gives it up. A hint: processors other than x86's are not given it.
#[inline]
#[expect(unsafe_code, reason = "stable Rust has no other way to say so")]
pub(crate) fn fetch_to_write<T>(at: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: nothing is read or written, whatever lies there; a processor that does not know it does nothing.
    unsafe {
        std::arch::asm!("prefetchw [{0}]", in(reg) at, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = at;
}
