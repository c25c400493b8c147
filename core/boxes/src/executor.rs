//! What a reactor's rounds run on: a bare thread, or a glommio executor on one (`executor/direct.rs`, the
//! only file that names it). The seam is three functions: `start`, `Seat::park` and `Seat::files`.
//!
//! Knows neither turns nor agents. Both are the same pinned thread, and rounds are one future on either: on
//! the bare thread it never waits, on glommio it lets the executor work whenever it visits its sockets.
//! Invariant: nobody parks while a file of the reactor is under way.

use std::fmt;
use std::io;
use std::os::fd::RawFd;
use std::str::FromStr;
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::thread::CpuSet;

use crate::doze::Doorbell;

#[cfg(feature = "glommio")]
mod direct;
mod files;

pub use files::{Files, Written};
pub(crate) use files::{folder, replace};

/// What a reactor's rounds run on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Executor {
    /// A bare thread, with plain files.
    #[default]
    Thread,
    /// A glommio executor, with direct files over io_uring.
    Glommio,
}

impl Executor {
    /// All that there are, with the names by which files and commands call them.
    pub const ALL: [(Executor, &str); 2] =
        [(Executor::Thread, "thread"), (Executor::Glommio, "glommio")];

    /// What a box that was asked for `self` runs on, and why not on that, if it does not. A glommio executor
    /// is made to see whether it can be.
    pub fn choose(self) -> (Executor, Option<String>) {
        match self {
            Executor::Thread => (Executor::Thread, None),
            Executor::Glommio => match try_glommio() {
                Ok(()) => (Executor::Glommio, None),
                Err(why) => (Executor::Thread, Some(why)),
            },
        }
    }
}

impl fmt::Display for Executor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Self::ALL.iter().find(|(executor, _)| executor == self);
        out.write_str(named.expect("all have a name").1)
    }
}

/// No executor has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("executor = \"{0}\": there is no such executor; write \"thread\" or \"glommio\"")]
pub struct UnknownExecutor(String);

impl FromStr for Executor {
    type Err = UnknownExecutor;

    fn from_str(text: &str) -> Result<Executor, UnknownExecutor> {
        let named = Self::ALL.iter().find(|(_, name)| *name == text);
        named.map(|(executor, _)| *executor).ok_or_else(|| UnknownExecutor(text.to_string()))
    }
}

/// Why a thread has no rounds to take.
#[derive(Debug)]
pub(crate) enum NoSeat {
    Unpinned(io::Error),
    NoExecutor(String),
}

/// A reactor's place on its executor.
pub(crate) struct Seat {
    executor: Executor,
    files: Files,
}

/// Starts a thread of this name, pinned to `cpu`, and takes `rounds` there. A thread that cannot be as it is
/// asked for takes none: `rounds` learns why, and is to return at once.
/// # Errors
/// The kernel gives no thread.
pub(crate) fn start<R: Future<Output = ()>>(
    executor: Executor,
    (name, cpu): (&str, Option<usize>),
    bell: Arc<Doorbell>,
    rounds: impl FnOnce(Result<Seat, NoSeat>) -> R + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_string()).spawn(move || match executor {
        Executor::Thread => run_plainly(rounds(seat(executor, cpu, bell))),
        Executor::Glommio => run_on_glommio(|unmade: Option<String>| match unmade {
            None => rounds(seat(executor, cpu, bell)),
            Some(why) => rounds(Err(NoSeat::NoExecutor(why))),
        }),
    })
}

/// Pins the thread last, so that helpers of the executor are not pinned with it.
fn seat(executor: Executor, cpu: Option<usize>, bell: Arc<Doorbell>) -> Result<Seat, NoSeat> {
    cpu.map_or(Ok(()), pin).map_err(NoSeat::Unpinned)?;
    Ok(Seat { executor, files: Files::new(executor, bell) })
}

fn pin(cpu: usize) -> io::Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    Ok(rustix::thread::sched_setaffinity(None, &cpus)?)
}

/// The rounds of a bare thread wait for nothing but in [`Seat::park`], which sleeps.
fn run_plainly(rounds: impl Future<Output = ()>) {
    let mut task = std::task::Context::from_waker(std::task::Waker::noop());
    let polled = std::pin::pin!(rounds).poll(&mut task);
    assert!(polled.is_ready(), "on a bare thread nothing is waited for");
}

impl Seat {
    /// The reactor's files.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Lets the executor see what has become of files, and others of its tasks run: about 100 ns.
    #[inline]
    pub async fn breathe(&self) {
        if self.executor == Executor::Glommio {
            breathe_on_glommio().await;
        }
    }

    /// Sleeps as `doze` does; not while a file is under way, whose end wakes nobody.
    pub async fn park(&self, doze: impl FnOnce()) {
        if self.files.are_under_way() {
            self.breathe().await;
        } else {
            doze();
        }
    }
}

#[cfg(feature = "glommio")]
use direct::{breathe as breathe_on_glommio, run as run_on_glommio, try_it as try_glommio};

#[cfg(not(feature = "glommio"))]
mod absent {
    //! A build without glommio.

    const WHY: &str =
        "this build has no glommio; build it with `cargo build --release --features glommio`";

    pub(super) fn try_it() -> Result<(), String> {
        Err(WHY.into())
    }

    pub(super) fn run<R: Future<Output = ()>>(rounds: impl FnOnce(Option<String>) -> R) {
        super::run_plainly(rounds(Some(WHY.into())));
    }

    pub(super) async fn breathe() {}
}

#[cfg(not(feature = "glommio"))]
use absent::{breathe as breathe_on_glommio, run as run_on_glommio, try_it as try_glommio};

/// The descriptor of a bell, for those who park on it anyway.
fn descriptor(bell: &Doorbell) -> RawFd {
    use std::os::fd::AsRawFd;
    bell.wake().as_raw_fd()
}
