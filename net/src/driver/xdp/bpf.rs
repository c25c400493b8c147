//! Programs and tables in the kernel, by `bpf(2)`, which has no wrapper.
//!
//! Whatever is made is a descriptor, and goes with it: a process that is killed leaves no program on any interface.
//! Invariant: each call's attributes are written in the function that makes it, from references which it holds.
//!
//! Source: linux v6.6 include/uapi/linux/bpf.h, `union bpf_attr`.

#![expect(unsafe_code, reason = "bpf(2) has no safe wrapper, and neither has what it returns")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::options::Attach;
use super::program::Instruction;

const MAP_CREATE: libc::c_int = 0;
const MAP_UPDATE_ELEM: libc::c_int = 2;
const PROG_LOAD: libc::c_int = 5;
const LINK_CREATE: libc::c_int = 28;

const PROG_TYPE_XDP: u32 = 6;
const ATTACH_TYPE_XDP: u32 = 37;
const FLAG_GENERIC: u32 = 1 << 1;
const FLAG_NATIVE: u32 = 1 << 2;
/// Needed by none of the helpers that are called, but expected of all that redirect.
const LICENCE: &[u8] = b"Dual MIT/GPL\0";

/// What a table holds, by a number of 32 bits.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(super) enum Kind {
    /// Numbers of 32 bits.
    Numbers = 2,
    /// AF_XDP sockets.
    Sockets = 17,
}

/// A call of `bpf(2)` whose attributes hold no pointer but to what the caller borrows.
/// # Safety
/// Every pointer in `attributes` is good for what the command does with it, for the call's time.
unsafe fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<libc::c_int> {
    let (at, bytes) = (std::ptr::from_ref(attributes), size_of::<T>());
    // SAFETY: `at` points to as many bytes, which outlive the call; what they point to, the caller vouches for.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, at, bytes) };
    // Descriptors and zero fit.
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as libc::c_int) }
}

/// As [`bpf`], of a command that makes something.
/// # Safety
/// As there.
unsafe fn make<T>(command: libc::c_int, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: the caller's.
    let descriptor = unsafe { bpf(command, attributes) }?;
    // SAFETY: the kernel has just made it, for nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Makes a table of so many entries, all zero.
/// # Errors
/// The system's: most often that this process may not.
pub(super) fn make_table(kind: Kind, entries: u32) -> io::Result<OwnedFd> {
    const NUMBER_BYTES: u32 = 4;
    let attributes = [kind as u32, NUMBER_BYTES, NUMBER_BYTES, entries];
    // SAFETY: it holds no pointer.
    unsafe { make(MAP_CREATE, &attributes) }
}

/// Writes an entry of a table.
/// # Errors
/// The system's.
pub(super) fn put(table: BorrowedFd<'_>, key: u32, value: u32) -> io::Result<()> {
    let (key, value) = (&raw const key, &raw const value);
    let attributes = [
        table.as_raw_fd() as u64,
        key.expose_provenance() as u64,
        value.expose_provenance() as u64,
        0,
    ];
    // SAFETY: keys and values of tables made here are of 32 bits, and these outlive the call, which reads them.
    unsafe { bpf(MAP_UPDATE_ELEM, &attributes) }.map(drop)
}

/// Loads a program.
/// # Errors
/// The system's; a program that the verifier refuses is one that this crate assembled wrongly.
pub(super) fn load(program: &[Instruction]) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attributes {
        kind: u32,
        instructions_count: u32,
        instructions: u64,
        licence: u64,
        log_level: u32,
        log_bytes: u32,
        log: u64,
        kernel_version: u32,
        flags: u32,
        name: [u8; 16],
        interface: u32,
        attach_type: u32,
    }
    let attributes = Attributes {
        kind: PROG_TYPE_XDP,
        instructions_count: program.len() as u32,
        instructions: program.as_ptr().expose_provenance() as u64,
        licence: LICENCE.as_ptr().expose_provenance() as u64,
        log_level: 0,
        log_bytes: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
        name: *b"daedal_redirect\0",
        interface: 0,
        attach_type: ATTACH_TYPE_XDP,
    };
    // SAFETY: it reads so many instructions and a text that ends with zero, which outlive the call.
    unsafe { make(PROG_LOAD, &attributes) }
}

/// Attaches a program to an interface, until the descriptor goes.
/// # Errors
/// The system's: another program is there already, or the driver has no native XDP.
pub(super) fn attach(program: BorrowedFd<'_>, interface: u32, how: Attach) -> io::Result<OwnedFd> {
    let mode = match how {
        Attach::Generic => FLAG_GENERIC,
        Attach::Native => FLAG_NATIVE,
    };
    let attributes = [program.as_raw_fd() as u32, interface, ATTACH_TYPE_XDP, mode];
    // SAFETY: it holds no pointer.
    unsafe { make(LINK_CREATE, &attributes) }
}
