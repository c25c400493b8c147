//! Why a port does not serve: what, and what to do.

use std::ffi::{CStr, c_int};
use std::io;

/// Why DPDK, a port, or a queue of it, does not serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// DPDK itself.
    #[error(
        "DPDK did not start with `{options}`: {said}, and why stands above, on standard error; mend those options that \
         stand behind the device; where no huge pages are set aside (`sysctl -w vm.nr_hugepages=512` sets some) write \
         ` --no-huge -m 256` there; a process that could not start it has to be started again"
    )]
    NotStarted {
        /// What it was started with.
        options: String,
        /// What it said.
        said: String,
    },
    /// There is one DPDK a process.
    #[error(
        "DPDK runs in this process with `{running}`, and was asked for with `{asked}`; write the same options behind \
         each device"
    )]
    OtherOptions {
        /// What it was started with.
        running: String,
        /// What it was to be started with.
        asked: String,
    },
    /// No port of that name.
    #[error(
        "there is no such device ({source}); a card is named by its PCI address, as `dpdk-devbind.py --status` shows it, \
         and bound to vfio-pci; a virtual one as DPDK does, as in \"dpdk:net_af_packet0,iface=eth1\""
    )]
    NoDevice {
        /// What the system said.
        source: io::Error,
    },
    /// Somebody listens where it would.
    #[error(
        "somebody has its socket {path} already; end that process, or give the device, and its peer's, another path"
    )]
    SocketTaken {
        /// Where.
        path: String,
    },
    /// It has fewer queues.
    #[error(
        "it has {has} queues, and each reactor needs one; give the box {has} reactors, or the device more queues, if \
         it takes such an argument"
    )]
    TooFewQueues {
        /// How many it has each way.
        has: u16,
    },
    /// Another driver has the queue, or the port behind the address.
    #[error("{what} is taken by another reactor of this process; each has its own")]
    Taken {
        /// Which.
        what: String,
    },
    /// A port has one address.
    #[error("its address is {has}; a box has one address a port")]
    OtherAddress {
        /// The address.
        has: std::net::IpAddr,
    },
    /// DPDK has too little memory.
    #[error(
        "DPDK has no memory for {bytes} bytes of {what} ({source}); give it more by `-m`, in MiB, behind the device, \
         or set more huge pages aside"
    )]
    NoMemory {
        /// For what.
        what: &'static str,
        /// How much.
        bytes: usize,
        /// What it said.
        source: io::Error,
    },
    /// DPDK refused something else.
    #[error("{what} failed: {source}; `--log-level=debug` behind the device has DPDK say more")]
    Call {
        /// The call.
        what: &'static str,
        /// What it said.
        source: io::Error,
    },
}

/// What a call of DPDK's that returns a negative error number says.
pub(super) fn called(what: &'static str, result: c_int) -> Result<(), Problem> {
    if result >= 0 { Ok(()) } else { Err(Problem::Call { what, source: error(result) }) }
}

pub(super) fn error(result: c_int) -> io::Error {
    io::Error::from_raw_os_error(result.saturating_neg())
}

/// What DPDK says of its last error.
#[expect(unsafe_code, reason = "foreign functions")]
pub(super) fn last() -> (io::Error, String) {
    // SAFETY: reads a number of this thread's.
    let number = unsafe { dpdk_sys::daedal_errno() };
    // SAFETY: any number has a text, which stays until this thread asks again.
    let text = unsafe { dpdk_sys::rte_strerror(number) };
    // SAFETY: it is zero-terminated, and there until the next call.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
    (io::Error::from_raw_os_error(number), text)
}
