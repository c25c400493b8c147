//! What the clients are told while they run, and what they tell: the load, the window, the order of events, and
//! how long they have waited.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Commands a second about shared keys, of all clients.
const SHARED_A_SECOND: u64 = 1_500;
/// Before the first rate is known, so many of a million.
const SHARED_PPM: u32 = 5_000;
/// Shared by all of them.
#[derive(Debug)]
pub struct Floor {
    /// Zero of all times.
    pub begun: Instant,
    /// Commands a second of each client; 0: as many as are answered.
    pub(crate) rate: AtomicU32,
    /// How many of a million commands are about shared keys.
    pub(crate) shared_ppm: AtomicU32,
    /// Which window's keys are used from now on.
    pub window: AtomicU32,
    /// Say no more, hear the rest, and end.
    pub stops: AtomicBool,
    /// Do not wait for the rest.
    pub gives_up: AtomicBool,
    /// Orders all invocations, ends and losses.
    events: AtomicU64,
    /// Answers so far.
    pub answered: AtomicU64,
    /// Of each client, when its oldest command that is not answered was said; 0: it has none.
    pub(crate) oldest_ns: Vec<AtomicU64>,
    /// Of each client, commands that are due and not said.
    pub(crate) late: Vec<AtomicU64>,
}

impl Floor {
    /// Of so many clients, which begin as fast as they are answered.
    pub fn new(clients: usize) -> Floor {
        let zeros = || (0..clients).map(|_| AtomicU64::new(0)).collect();
        Floor {
            begun: Instant::now(),
            rate: AtomicU32::new(0),
            shared_ppm: AtomicU32::new(SHARED_PPM),
            window: AtomicU32::new(0),
            stops: AtomicBool::new(false),
            gives_up: AtomicBool::new(false),
            events: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            oldest_ns: zeros(),
            late: zeros(),
        }
    }

    /// How many clients there are.
    pub fn clients(&self) -> usize {
        self.late.len()
    }

    /// Sets the load: commands a second of all together; `None`: as many as are answered.
    pub fn set_rate(&self, all: Option<f64>) {
        let each = all.map_or(0.0, |all| (all / self.clients() as f64).max(1.0));
        self.rate.store(each as u32, Ordering::Relaxed);
        if let Some(all) = all {
            let ppm = 1_000_000 * SHARED_A_SECOND / (all as u64).max(1);
            self.shared_ppm.store(ppm.min(1_000_000) as u32, Ordering::Relaxed);
        }
    }

    /// The next place in the order of events.
    pub fn event(&self) -> u64 {
        self.events.fetch_add(1, Ordering::SeqCst)
    }

    /// Nanoseconds since the begin.
    pub fn now_ns(&self) -> u64 {
        self.begun.elapsed().as_nanos() as u64
    }

    /// How long the oldest command waits for its answer.
    pub fn longest_wait(&self) -> Duration {
        let now = self.now_ns();
        let said = self.oldest_ns.iter().map(|it| it.load(Ordering::Relaxed));
        let waits = said.filter(|said| *said > 0).map(|said| now.saturating_sub(said));
        Duration::from_nanos(waits.max().unwrap_or(0))
    }

    /// Commands that are due and not said yet.
    pub fn late(&self) -> u64 {
        self.late.iter().map(|it| it.load(Ordering::Relaxed)).sum()
    }
}
