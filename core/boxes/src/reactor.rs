//! A thread that takes turns: pinned, sharing nothing but rings and a bell with its neighbours.
//!
//! Reads the clock, once a turn; everything below is told what time it is. Does not know what its turn
//! does, what its thread is (`executor`), how long to spin (`idle`), nor how to park (`doze`).
//! Invariant: a reactor sleeps only when its rings, queues, descriptors and timers have nothing for it.

use std::fmt;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use daedal_model::id::Stamp;
use daedal_net::driver::Driver;
use rustix::time::ClockId;

use crate::counters::{Beside, LAG_NS, Page};
use crate::doze::{Doorbell, Event};
use crate::executor::{self, Executor, Files, NoSeat, Seat};
use crate::handle::{Desk, Handle, HandleShim};
use crate::idle::{Found, Idle, Next, Pace};
use crate::mesh::{RingReceiver, RingSender, ring};
use crate::sync::{AtomicBool, Ordering, fence};
use crate::turn::Turn;

/// A shim that has no descriptor is polled at least this often: a thousand turns a second cost nothing
/// that shows, and nothing outside that cannot say when it is ready is in more of a hurry.
const PARK_BESIDE_SHIM: Duration = Duration::from_millis(1);

/// Nanoseconds since 1970, by the monotonic clock: the wall clock is read once, at the box's start, so
/// that time never jumps. One for all reactors of a box.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// What the wall clock said when the monotonic one stood at 0.
    offset_ns: u64,
}

impl Clock {
    /// Reads the wall clock.
    pub fn start() -> Clock {
        let (wall, monotonic) = (read(ClockId::Realtime), read(ClockId::Monotonic));
        Clock { offset_ns: wall.saturating_sub(monotonic) }
    }

    /// When it is.
    #[inline]
    pub fn now(&self) -> Stamp {
        Stamp(self.offset_ns + read(ClockId::Monotonic))
    }
}

fn read(clock: ClockId) -> u64 {
    let time = rustix::time::clock_gettime(clock);
    time.tv_sec.max(0).unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// What joins a reactor to the other reactors of its box: a ring to and from each, and their bells.
pub struct Neighbours {
    me: u8,
    rings: Vec<(u8, RingReceiver, RingSender)>,
    /// Of all reactors, this one's own among them.
    bells: Arc<[Arc<Doorbell>]>,
    /// What handles ask of this reactor.
    desks: Vec<Arc<Desk>>,
}

impl fmt::Debug for Neighbours {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Neighbours({} of {})", self.me, self.bells.len())
    }
}

impl Neighbours {
    /// Joins `count` reactors, each with each. The first is reactor 0.
    /// # Errors
    /// When the process is out of descriptors: raise its limit (`ulimit -n`).
    pub fn join(count: u8) -> io::Result<Vec<Neighbours>> {
        let bell = |_| Ok(Arc::new(Doorbell::new(Event::new()?)));
        let bells: Arc<[_]> = (0..count).map(bell).collect::<io::Result<_>>()?;
        let alone =
            |me| Neighbours { me, rings: Vec::new(), bells: bells.clone(), desks: Vec::new() };
        let mut all: Vec<_> = (0..count).map(alone).collect();
        for one in 0..count {
            for other in 0..one {
                let (to_other, from_one) = ring();
                let (to_one, from_other) = ring();
                all[usize::from(one)].rings.push((other, from_other, to_other));
                all[usize::from(other)].rings.push((one, from_one, to_one));
            }
        }
        Ok(all)
    }

    /// A handle for outside threads to this reactor, and the shim that serves it there. At most
    /// `calls_max` calls wait to be taken in.
    pub fn handle(&mut self, calls_max: usize) -> (Handle, HandleShim) {
        let bell = self.bells[usize::from(self.me)].clone();
        let desk = Arc::new(Desk::new(bell, calls_max));
        self.desks.push(desk.clone());
        (Handle::new(desk.clone()), HandleShim::new(desk))
    }
}

/// Joins the reactors of a box, each with each, where one thread takes all their turns: a simulator's.
/// That thread asks [`Turn::is_rung`] and [`Turn::is_held_up`] who has something to do. `turns`: by reactor.
pub fn join<D: Driver>(turns: &mut [Turn<D>]) {
    for one in 1..turns.len() {
        let (others, rest) = turns.split_at_mut(one);
        for (index, other) in others.iter_mut().enumerate() {
            let (to_other, from_one) = ring();
            let (to_one, from_other) = ring();
            rest[0].connect(index as u8, from_other, to_other);
            other.connect(one as u8, from_one, to_one);
        }
    }
}

impl<D: Driver> Turn<D> {
    /// Joins this reactor to a neighbour in its box.
    pub(crate) fn connect(&mut self, neighbour: u8, receiver: RingReceiver, sender: RingSender) {
        let at = usize::from(neighbour);
        if self.plane.rings.len() <= at {
            self.plane.rings.resize_with(at + 1, || None);
        }
        self.plane.rings[at] = Some(sender);
        self.rings.push((neighbour, receiver));
    }

    /// Neighbours that were sent something since this was last asked: bit n stands for reactor n, and
    /// those above it by multiples of 64.
    fn take_rung(&mut self) -> u64 {
        std::mem::take(&mut self.plane.counts.rung)
    }

    /// Whether something has come by a ring.
    pub fn is_rung(&self) -> bool {
        self.rings.iter().any(|(_, ring)| !ring.is_empty())
    }

    /// Whether something waits for room in a ring, or for what is under way in one: nobody wakes us when
    /// there is, or when that is settled.
    pub fn is_held_up(&mut self) -> bool {
        let is_starved = self.plane.conversations.starved_count() > 0;
        // All of them are looked at: each forgets by being asked.
        let senders = self.plane.rings.iter_mut().flatten();
        senders.fold(false, |held_up, sender| {
            held_up | sender.is_waited_for() | (is_starved && !sender.is_settled())
        })
    }

    /// What the reactor may park on besides its bell, and whether a shim has to be polled all the same.
    fn descriptors(&mut self, into: &mut Vec<RawFd>) -> bool {
        into.clear();
        self.plane.links.driver_mut().descriptors(into);
        let mut is_blind = false;
        for shim in &self.shims {
            let Some(slot) = &self.slots[shim.0 as usize] else { continue };
            match slot.host.descriptor() {
                Some(descriptor) => into.push(descriptor),
                None => is_blind = true,
            }
        }
        is_blind
    }
}

/// What a reactor is.
#[derive(Debug)]
pub struct ReactorSpec {
    /// For people, and for its thread: the first 15 bytes show in `top`.
    pub name: String,
    /// The core that it is pinned to. `None`: wherever the kernel puts it.
    pub cpu: Option<usize>,
    /// What its rounds run on: one that can be had here, as [`Executor::choose`] says.
    pub executor: Executor,
    /// What it does when there is nothing to do.
    pub idle: Idle,
    /// The box's.
    pub clock: Clock,
    /// The box's other reactors.
    pub neighbours: Neighbours,
    /// Where it copies its counters to, if anybody may look.
    pub page: Option<Page>,
}

/// Why a reactor did not start, or did not stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReactorError {
    /// The kernel gives no thread.
    #[error("reactor \"{name}\": no thread for it: {error}; raise the limit of tasks (ulimit -u)")]
    NoThread {
        /// The reactor's.
        name: String,
        /// The kernel's.
        error: io::Error,
    },
    /// The core is not there, or not for this process.
    #[error(
        "reactor \"{name}\": cannot be pinned to core {cpu}: {error}; `taskset -p $$` shows which \
         cores there are for this process"
    )]
    NotPinned {
        /// The reactor's.
        name: String,
        /// The core.
        cpu: usize,
        /// The kernel's.
        error: io::Error,
    },
    /// Its executor cannot be made.
    #[error(
        "reactor \"{name}\": {why}; `daedal preflight` says what it needs, and --executor thread needs \
         nothing"
    )]
    NoExecutor {
        /// The reactor's.
        name: String,
        /// As the executor put it.
        why: String,
    },
    /// What it was to run could not be made: a port is taken, say.
    #[error("reactor \"{name}\": {why}")]
    NoTurn {
        /// The reactor's.
        name: String,
        /// As its maker put it.
        why: String,
    },
    /// It was told to stop, but is still in its turn.
    #[error(
        "reactor \"{name}\": still in one turn after {waited:?}: an agent of it does not return"
    )]
    Stuck {
        /// The reactor's.
        name: String,
        /// How long was waited.
        waited: Duration,
    },
}

/// A running reactor. Dropped, it is told to stop, but not waited for.
#[derive(Debug)]
pub struct Reactor {
    name: String,
    stop: Arc<AtomicBool>,
    bell: Arc<Doorbell>,
    /// Hangs up when the thread is done with everything.
    ended: Receiver<Started>,
    thread: Option<JoinHandle<()>>,
}

/// A thread's first word.
type Started = Result<(), NotStarted>;

/// Why a thread ended before its first turn.
enum NotStarted {
    NoSeat(NoSeat),
    NoTurn(String),
}

impl Reactor {
    /// Starts a thread, pins it, and takes turns there until it is told to stop. `make_turn` runs on it,
    /// so that what it allocates is the core's own; it is given what writes files there. A panic there ends the process, having named the
    /// reactor: the box without its agents would be worse than none.
    /// # Errors
    /// No thread, no such core, or what `make_turn` says.
    pub fn start<D: Driver>(
        spec: ReactorSpec,
        make_turn: impl FnOnce(&Files) -> Result<Turn<D>, String> + Send + 'static,
    ) -> Result<Reactor, ReactorError> {
        let (name, cpu, executor) = (spec.name.clone(), spec.cpu, spec.executor);
        let stop = Arc::new(AtomicBool::new(false));
        let bell = spec.neighbours.bells[usize::from(spec.neighbours.me)].clone();
        let (says, ended) = channel();
        let rounds = {
            let stop = stop.clone();
            move |seat| run(spec, seat, stop, says, make_turn)
        };
        let thread = match executor::start(executor, (&name, cpu), bell.clone(), rounds) {
            Ok(thread) => Some(thread),
            Err(error) => return Err(ReactorError::NoThread { name, error }),
        };
        match ended.recv().expect("a thread says that it started, or aborts") {
            Ok(()) => Ok(Reactor { name, stop, bell, ended, thread }),
            Err(NotStarted::NoTurn(why)) => Err(ReactorError::NoTurn { name, why }),
            Err(NotStarted::NoSeat(NoSeat::NoExecutor(why))) => {
                Err(ReactorError::NoExecutor { name, why })
            }
            Err(NotStarted::NoSeat(NoSeat::Unpinned(error))) => {
                let cpu = cpu.expect("who is not to be pinned cannot fail to be");
                Err(ReactorError::NotPinned { name, cpu, error })
            }
        }
    }

    /// Tells it to stop; waits for it, but no longer than `at_most`.
    /// # Errors
    /// [`ReactorError::Stuck`]: it goes on until its turn ends.
    pub fn stop(mut self, at_most: Duration) -> Result<(), ReactorError> {
        self.tell_to_stop();
        // It says nothing more: what comes is that it hangs up.
        if let Err(RecvTimeoutError::Timeout) = self.ended.recv_timeout(at_most) {
            return Err(ReactorError::Stuck { name: self.name.clone(), waited: at_most });
        }
        if let Some(thread) = self.thread.take() {
            thread.join().expect("a reactor that panics ends the process");
        }
        Ok(())
    }

    fn tell_to_stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.bell.ring();
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        self.tell_to_stop();
    }
}

/// Ends the process when it is dropped by a panic, and says whose.
struct EndsWithMe<'a>(&'a str);

impl Drop for EndsWithMe<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(reactor = self.0, "panicked: the box ends");
            eprintln!("reactor \"{}\" panicked: the box ends", self.0);
            std::process::abort();
        }
    }
}

async fn run<D: Driver>(
    spec: ReactorSpec,
    seat: Result<Seat, NoSeat>,
    stop: Arc<AtomicBool>,
    says: Sender<Started>,
    make_turn: impl FnOnce(&Files) -> Result<Turn<D>, String>,
) {
    let _ends_with_me = EndsWithMe(&spec.name);
    let made = seat.map_err(NotStarted::NoSeat).and_then(|seat| {
        let turn = make_turn(seat.files()).map_err(NotStarted::NoTurn)?;
        Ok((seat, turn))
    });
    let (first_word, made) = match made {
        Ok(made) => (Ok(()), Some(made)),
        Err(why) => (Err(why), None),
    };
    // Whoever started us may be gone by now.
    let _ = says.send(first_word);
    let Some((seat, mut turn)) = made else { return };
    for (neighbour, receiver, sender) in spec.neighbours.rings {
        turn.connect(neighbour, receiver, sender);
    }
    let bells = spec.neighbours.bells;
    let mut rounds = Rounds {
        turn,
        seat,
        clock: spec.clock,
        pace: Pace::new(spec.idle, spec.clock.now()),
        bell: bells[usize::from(spec.neighbours.me)].clone(),
        bells,
        desks: spec.neighbours.desks,
        descriptors: Vec::new(),
        parks: 0,
        publish_at: if spec.page.is_some() { Stamp(0) } else { Stamp(u64::MAX) },
        page: spec.page,
    };
    tracing::info!(reactor = spec.name, cpu = spec.cpu, executor = %spec.executor, "started");
    // Goes before the turn does: nobody is to hear of lost asks instead.
    let _ends_with_me = EndsWithMe(&spec.name);
    rounds.go(&stop).await;
    tracing::info!(reactor = spec.name, "stopped");
}

/// Turn after turn.
struct Rounds<D> {
    turn: Turn<D>,
    seat: Seat,
    clock: Clock,
    pace: Pace,
    bell: Arc<Doorbell>,
    bells: Arc<[Arc<Doorbell>]>,
    desks: Vec<Arc<Desk>>,
    descriptors: Vec<RawFd>,
    parks: u64,
    /// When the counters are to be copied out.
    publish_at: Stamp,
    page: Option<Page>,
}

impl<D: Driver> Rounds<D> {
    async fn go(&mut self, stop: &AtomicBool) {
        let mut sockets = true;
        while !stop.load(Ordering::Relaxed) {
            let now = self.clock.now();
            let found = self.take_turn(now, sockets);
            if now >= self.publish_at {
                self.publish(now);
            }
            sockets = match self.pace.next(found, now) {
                Next::Turn { sockets } => sockets,
                Next::Park => {
                    self.park(stop).await;
                    true
                }
            };
            // The executor costs as little as a look at a socket, and is looked at as often.
            if sockets {
                self.seat.breathe().await;
            }
        }
    }

    #[cold]
    fn publish(&mut self, now: Stamp) {
        let Some(page) = &mut self.page else { return };
        self.publish_at = Stamp(now.0 + LAG_NS);
        let fullest = self.desks.iter().map(|desk| desk.fill()).max().unwrap_or_default();
        let beside = Beside { parks: self.parks, handle_calls: fullest };
        page.publish(&mut self.turn, beside, now);
    }

    fn take_turn(&mut self, now: Stamp, sockets: bool) -> Found {
        let found_before = self.turn.counts().visits_found;
        let busy = self.turn.take(now, sockets);
        let outside = self.turn.counts().visits_found > found_before;
        let rung = self.turn.take_rung();
        if rung != 0 {
            self.ring(rung);
        }
        Found { inside: (busy && !outside) || rung != 0, outside: sockets.then_some(outside) }
    }

    /// Wakes those of our neighbours that were sent something.
    fn ring(&self, rung: u64) {
        fence(Ordering::SeqCst);
        for (index, bell) in self.bells.iter().enumerate() {
            if rung >> (index % 64) & 1 == 1 {
                bell.ring_behind_fence();
            }
        }
    }

    async fn park(&mut self, stop: &AtomicBool) {
        if self.turn.is_held_up() {
            // The neighbour that has to make room may be waiting for this very core.
            return rustix::thread::sched_yield();
        }
        self.parks += 1;
        self.publish(self.clock.now());
        let is_blind = self.turn.descriptors(&mut self.descriptors);
        let until_due = self
            .turn
            .next_due()
            .map(|due| Duration::from_nanos(due.0.saturating_sub(self.clock.now().0)));
        let blind = is_blind.then_some(PARK_BESIDE_SHIM);
        let at_most = until_due.into_iter().chain(blind).min();
        let (turn, desks, descriptors) = (&self.turn, &self.desks, &self.descriptors);
        let is_called = || desks.iter().any(|desk| desk.is_called());
        let is_stopped = || stop.load(Ordering::Acquire);
        let doze = || {
            self.bell.doze(
                || turn.is_rung() || turn.is_runnable() || is_called() || is_stopped(),
                |event| event.sleep(descriptors, at_most),
            );
        };
        self.seat.park(doze).await;
    }
}

#[cfg(test)]
#[cfg(not(loom))]
pub(crate) mod tests;
