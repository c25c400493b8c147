//! Holds up the thread in which DPDK hears of memifs' peers, but where nobody sends or receives by one.
//!
//! When a peer goes DPDK takes back the memory that both shared, in a thread of its own, and waits for nobody who uses it
//! just then: who is held up in the middle of a burst goes on in memory that is gone. That thread calls handlers, one
//! after the other; one of ours waits, always ready to be called, until it is let go round once. Whoever lets it has all
//! bursts stay out first: each thread says that it is inside before it looks whether it may be, and the other way round
//! here, with a barrier for all of the process's threads between, so that a burst pays two plain stores for this.
//!
//! While a port is up the thread goes round every [`UP_NS`], so that a peer that has gone is heard of so much later;
//! else every [`DOWN_NS`], as a handshake takes several rounds.

#![expect(unsafe_code, reason = "foreign functions")]

use std::ffi::c_void;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering, compiler_fence};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::thread::{MembarrierCommand, membarrier};

use super::error::{Problem, called};

/// Between two rounds while there is a peer, in nanoseconds.
pub(super) const UP_NS: u64 = 50_000_000;
/// And while there is none.
pub(super) const DOWN_NS: u64 = 1_000_000;
/// A round takes microseconds; a thread that does not come back in this time is waited for no longer.
const ROUND_AT_MOST: Duration = Duration::from_millis(200);

/// Whether a thread is in a burst, on lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Flag(AtomicBool);

/// Whether who has a queue of a memif's is in a burst.
#[derive(Debug)]
pub(super) struct Inside(Arc<Flag>);

/// Bursts stay out.
static IS_OPEN: AtomicBool = AtomicBool::new(false);
static GATE: OnceLock<&Gate> = OnceLock::new();

/// What is known of DPDK's thread.
#[derive(Debug, Default)]
struct Held {
    /// How often it came here.
    rounds: u64,
    is_here: bool,
    may_go: bool,
    /// There is no memif: it is not held.
    is_off: bool,
}

struct Gate {
    /// Readable as long as the thread is to be held.
    bell: OwnedFd,
    held: Mutex<Held>,
    changed: Condvar,
    flags: Mutex<Vec<Arc<Flag>>>,
}

impl Inside {
    /// Of a queue of a port that is not opened yet.
    /// # Errors
    /// DPDK's and the system's.
    pub fn new() -> Result<Inside, Problem> {
        let gate = Gate::get()?;
        let flag = Arc::new(Flag::default());
        let mut flags = locked(&gate.flags);
        flags.push(flag.clone());
        if flags.len() == 1 {
            gate.hold();
        }
        Ok(Inside(flag))
    }

    /// Begins a burst: `false`, if bursts are to stay out.
    #[inline]
    pub fn enter(&self) -> bool {
        self.0.0.store(true, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        let may = !IS_OPEN.load(Ordering::Relaxed);
        if !may {
            self.leave();
        }
        may
    }

    /// Ends it.
    #[inline]
    pub fn leave(&self) {
        self.0.0.store(false, Ordering::Release);
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let Some(gate) = GATE.get() else { return };
        let mut flags = locked(&gate.flags);
        flags.retain(|it| !Arc::ptr_eq(it, &self.0));
        if flags.is_empty() {
            gate.let_go();
        }
    }
}

/// Has DPDK's thread go round once, while no burst goes on. Not to be called in one.
#[cold]
pub(super) fn open_once() {
    let Some(gate) = GATE.get() else { return };
    let flags = locked(&gate.flags);
    IS_OPEN.store(true, Ordering::SeqCst);
    // It was registered for when the gate was made.
    let _ = membarrier(MembarrierCommand::PrivateExpedited);
    while flags.iter().any(|it| it.0.load(Ordering::Acquire)) {
        std::thread::yield_now();
    }
    gate.round();
    IS_OPEN.store(false, Ordering::Release);
}

impl Gate {
    fn get() -> Result<&'static Gate, Problem> {
        if let Some(gate) = GATE.get() {
            return Ok(gate);
        }
        let failed = |what| move |error: Errno| Problem::Call { what, source: error.into() };
        membarrier(MembarrierCommand::RegisterPrivateExpedited).map_err(failed("membarrier"))?;
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let bell = eventfd(0, flags).map_err(failed("eventfd"))?;
        let held = Held { is_off: true, ..Held::default() };
        let new =
            Gate { bell, held: Mutex::new(held), changed: Condvar::new(), flags: Mutex::default() };
        // Ports are opened one at a time.
        let gate: &'static Gate = Box::leak(Box::new(new));
        // SAFETY: DPDK runs; the gate and its descriptor stay as long as the process does.
        let registered = unsafe {
            let at = std::ptr::from_ref(gate).cast_mut().cast();
            dpdk_sys::daedal_on_readable(gate.bell.as_raw_fd(), comes_by, at)
        };
        called("rte_intr_callback_register", registered)?;
        Ok(GATE.get_or_init(|| gate))
    }

    /// Holds the thread from now on: waits until it is here.
    fn hold(&self) {
        let mut held = locked(&self.held);
        held.is_off = false;
        // It has room for a count.
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
        self.await_thread(held, |held| held.is_here);
    }

    fn let_go(&self) {
        locked(&self.held).is_off = true;
        self.changed.notify_all();
    }

    fn round(&self) {
        let mut held = locked(&self.held);
        held.may_go = true;
        self.changed.notify_all();
        let before = held.rounds;
        self.await_thread(held, |held| held.rounds > before);
    }

    fn await_thread(&self, held: MutexGuard<'_, Held>, is_so: impl Fn(&Held) -> bool) {
        let _ = self.changed.wait_timeout_while(held, ROUND_AT_MOST, |held| !is_so(held));
    }

    /// DPDK's thread is here.
    fn wait(&self) {
        let mut held = locked(&self.held);
        // Also if it was let go meanwhile: who was not waited for any longer comes late.
        (held.rounds, held.is_here, held.may_go) = (held.rounds + 1, true, false);
        self.changed.notify_all();
        let waits = |held: &mut Held| !held.may_go && !held.is_off;
        let mut held =
            self.changed.wait_while(held, waits).unwrap_or_else(|poisoned| poisoned.into_inner());
        held.is_here = false;
        if held.is_off {
            // It is not to come again until it is held.
            let _ = rustix::io::read(&self.bell, &mut [0; 8]);
        }
    }
}

extern "C" fn comes_by(gate: *mut c_void) {
    // SAFETY: it was registered with a gate, which stays.
    let gate = unsafe { &*gate.cast::<Gate>() };
    gate.wait();
}

fn locked<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
