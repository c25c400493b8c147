//! Why an interface does not serve: what, and what to do.

use std::io;

use crate::driver::OR_BY_THE_KERNEL;

/// The command that grants all that the driver needs, in backticks.
pub const GRANTS: &str = "`setcap cap_net_admin,cap_net_raw,cap_bpf,cap_ipc_lock+ep $(readlink -f $(command -v daedal))`";

/// How so many bytes may be locked in memory, commands in backticks.
pub fn to_lock(bytes: u64) -> String {
    let kib = bytes.div_ceil(1024);
    format!(
        "`ulimit -l {kib}` before it is started, `docker run --ulimit memlock={bytes}`, or LimitMEMLOCK={kib}K in its \
         systemd unit, and more by what others of its user lock; or {GRANTS}, which needs none of these"
    )
}

/// Why an interface, or a queue of it, does not serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The interface is not one that XDP frames go through.
    #[error(
        "it is no Ethernet; give the box an address of an interface that is{}",
        OR_BY_THE_KERNEL
    )]
    NoEthernet,
    /// Somebody's program is there.
    #[error(
        "a program is attached already, {}: `ip link show dev {interface}` and `bpftool net` show it; end who attached \
         it (a box of this driver has its interface alone) or take it off by `ip link set dev {interface} xdp off`{}",
        shown(*program),
        OR_BY_THE_KERNEL
    )]
    ProgramThere {
        /// The interface's name.
        interface: String,
        /// The program's number, if it is told.
        program: Option<u32>,
    },
    /// The process may not.
    #[error("{what}: this process may not; start it as root or grant {GRANTS}{}", OR_BY_THE_KERNEL)]
    NotAllowed {
        /// The call.
        what: &'static str,
    },
    /// The interface's driver has no XDP of its own.
    #[error(
        "its driver has no native XDP ({source}); write `driver = \"xdp:generic\"`, or a smaller MTU if that is why"
    )]
    NoNative {
        /// What the system said.
        source: io::Error,
    },
    /// Zero-copy was asked for, and cannot be had.
    #[error("its driver has no zero-copy for queue {queue}; leave `zero-copy` out of `driver`")]
    NoZeroCopy {
        /// The queue.
        queue: u32,
    },
    /// There are fewer queues.
    #[error(
        "it has no queue {queue}: each reactor needs one; `ethtool -l` shows how many it has, `ethtool -L … combined` \
         sets it; or give the box fewer reactors"
    )]
    NoQueue {
        /// The queue.
        queue: u32,
    },
    /// Another socket has the queue.
    #[error(
        "queue {queue} is taken by another AF_XDP socket; end the process that has it, or name others by `queue=`"
    )]
    QueueTaken {
        /// The queue.
        queue: u32,
    },
    /// Memory may not be locked, or there is none.
    #[error(
        "its buffers, {bytes} bytes, cannot be locked in memory; {}{}",
        to_lock(*bytes),
        OR_BY_THE_KERNEL
    )]
    NoMemory {
        /// The buffers' size.
        bytes: u64,
    },
    /// A number is no power of two.
    #[error("{setting} is {value}; choose a power of two, such as {}", value.next_power_of_two().min(1 << 15))]
    NoPowerOfTwo {
        /// Which setting.
        setting: &'static str,
        /// What it was.
        value: usize,
    },
    /// The system refused something else.
    #[error(
        "{what} failed: {source}; AF_XDP wants Linux 5.10 or later with CONFIG_XDP_SOCKETS: `uname -r`"
    )]
    System {
        /// The call.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

fn shown(program: Option<u32>) -> String {
    program.map_or("of a number that is not told".to_owned(), |id| format!("number {id}"))
}

impl Problem {
    /// What a call that failed says of all that may be wrong with it.
    pub(super) fn of(what: &'static str, source: io::Error) -> Problem {
        match source.raw_os_error().unwrap_or(0) {
            libc::EPERM | libc::EACCES => Problem::NotAllowed { what },
            _ => Problem::System { what, source },
        }
    }
}
