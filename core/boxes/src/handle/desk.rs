//! What a handle and its shim share: the queue of calls, who waits for room in it, and where each reply
//! is put.
//!
//! | field | written by | when |
//! |---|---|---|
//! | `calls` | callers; the shim | they push, then ring; it pops, then wakes who waits for room |
//! | `waiting`, then `is_waited_for` | a caller | before it tries a full queue once more; it leaves when it is in, or given up |
//! | `is_held` | the shim | when it leaves calls where they are |
//! | `dropped`, then `is_given_up` | callers | one of them no longer waits for its reply |
//! | `is_closed` | the shim | once, before it empties the queue for the last time |

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Poll, Waker};

use crossbeam_queue::ArrayQueue;
use daedal_model::address::Address;
use daedal_model::encode::{Body, Encoded};
use daedal_model::id::AgentId;
use daedal_model::message::Schema;
use daedal_net::limits::LARGE_BYTES_MAX;

use super::AskError;
use crate::doze::Doorbell;
use crate::sync::{AtomicBool, AtomicU32, Mutex, Ordering, fence};

/// Asks of one handle that wait for their replies: beyond that, calls stay in the queue. Some megabytes.
pub(super) const PENDING_MAX: usize = 1 << 16;
/// Asks that nobody waits for any longer are forgotten when there are so many: some kilobytes, and looking
/// through all that are pending costs each of them 64 entries at most.
pub(super) const DROPPED_MARK: u32 = PENDING_MAX as u32 / 64;

/// What came of an ask: the reply's type and bytes.
pub(super) type Outcomes = Result<(Schema, Vec<u8>), AskError>;

/// Where one ask's reply is put. The lock is held for a few moves, never while anything waits.
#[derive(Debug, Default)]
pub(super) struct Slip(Mutex<State>);

#[derive(Debug)]
enum State {
    Open(Option<Waker>),
    Ended(Outcomes),
    Taken,
}

impl Default for State {
    fn default() -> Self {
        State::Open(None)
    }
}

impl Slip {
    /// The first outcome is the one that holds.
    pub fn end(&self, outcome: Outcomes) {
        let mut state = self.0.lock().expect(NO_PANIC);
        let State::Open(waker) = &mut *state else { return };
        let waker = waker.take();
        *state = State::Ended(outcome);
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub fn poll(&self, waker: &Waker) -> Poll<Outcomes> {
        let mut state = self.0.lock().expect(NO_PANIC);
        match std::mem::replace(&mut *state, State::Taken) {
            State::Ended(outcome) => Poll::Ready(outcome),
            State::Open(_) => {
                *state = State::Open(Some(waker.clone()));
                Poll::Pending
            }
            State::Taken => {
                drop(state);
                panic!("an ask that has ended was polled again")
            }
        }
    }

    pub fn is_open(&self) -> bool {
        matches!(*self.0.lock().expect(NO_PANIC), State::Open(_))
    }
}

const NO_PANIC: &str = "nothing that is done under the lock panics";

/// The reactor's half of a slip: whoever drops it without an answer leaves it unknown.
#[derive(Debug)]
pub(super) struct Ticket(pub Arc<Slip>);

impl Ticket {
    pub fn is_abandoned(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.end(Err(AskError::Unknown));
    }
}

/// A message for an agent, and where the answer goes if one is wanted.
#[derive(Debug)]
pub(super) struct Call {
    pub to: AgentId,
    pub message: Encoded,
    pub ticket: Option<Ticket>,
}

impl Call {
    pub fn new(to: Address, message: &impl Body, ticket: Option<Ticket>) -> Call {
        Call { to: to.agent, message: Encoded::to(to, message), ticket }
    }

    /// It was not sent, and will not be.
    pub fn turn_away(self) {
        if let Some(ticket) = &self.ticket {
            ticket.0.end(Err(AskError::Stopped));
        }
    }
}

pub(super) enum NotPut {
    Full(Call),
    Never(AskError),
}

/// A place in the line of those who wait for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(u64);

/// Those who wait for room, in the order in which they came.
#[derive(Debug, Default)]
struct Line {
    next: u64,
    wakers: BTreeMap<Place, Waker>,
}

/// What a handle and its shim share.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(super) bell: Arc<Doorbell>,
    pub(super) calls: ArrayQueue<Call>,
    waiting: Mutex<Line>,
    is_waited_for: AtomicBool,
    pub(super) is_held: AtomicBool,
    pub(super) dropped: AtomicU32,
    /// An ask was given up since the shim last looked: it may be in the queue, and hold room there.
    pub(super) is_given_up: AtomicBool,
    is_closed: AtomicBool,
}

impl Desk {
    /// Calls that wait to be taken in, and how many may.
    pub fn fill(&self) -> (usize, usize) {
        (self.calls.len(), self.calls.capacity())
    }

    /// `calls_max`: at least 1.
    pub fn new(bell: Arc<Doorbell>, calls_max: usize) -> Desk {
        Desk {
            bell,
            calls: ArrayQueue::new(calls_max.max(1)),
            waiting: Mutex::new(Line::default()),
            is_waited_for: AtomicBool::new(false),
            is_held: AtomicBool::new(false),
            dropped: AtomicU32::new(0),
            is_given_up: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
        }
    }

    /// Whether there is something for the shim to do: what its reactor looks at before it sleeps.
    pub fn is_called(&self) -> bool {
        let is_called = match self.is_held.load(Ordering::Relaxed) {
            true => self.is_given_up.load(Ordering::Relaxed),
            false => !self.calls.is_empty(),
        };
        is_called || self.is_crowded_by_the_dropped()
    }

    pub(super) fn put(&self, call: Call) -> Result<(), NotPut> {
        let bytes = call.message.bytes().len();
        if bytes > LARGE_BYTES_MAX {
            return Err(NotPut::Never(AskError::TooLarge(bytes)));
        }
        if self.is_closed.load(Ordering::Acquire) {
            return Err(NotPut::Never(AskError::Stopped));
        }
        self.calls.push(call).map_err(NotPut::Full)?;
        self.bell.ring();
        // The bell's fence stands between the push and this look, as one stands between the closing
        // and the shim's last look at the queue.
        if self.is_closed.load(Ordering::Relaxed) {
            self.turn_away();
        }
        Ok(())
    }

    /// Has `waker` woken when there is room, at the place that was given before, if any. The caller must try
    /// once more before it waits.
    pub(super) fn wait_for_room(&self, place: Option<Place>, waker: &Waker) -> Place {
        let mut line = self.waiting.lock().expect(NO_PANIC);
        let place = place.unwrap_or(Place(line.next));
        line.next = line.next.max(place.0 + 1);
        line.wakers.insert(place, waker.clone());
        drop(line);
        self.is_waited_for.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        place
    }

    /// Whoever had this place waits no longer.
    pub(super) fn leave(&self, place: Place) {
        self.waiting.lock().expect(NO_PANIC).wakers.remove(&place);
    }

    /// Wakes all who wait for room: one alone might be of a task that is not run just now, and leave the
    /// room unused that the next one waits for.
    pub(super) fn tell_of_room(&self) {
        fence(Ordering::SeqCst);
        if self.is_waited_for.load(Ordering::Relaxed) {
            self.is_waited_for.store(false, Ordering::Relaxed);
            let waiting = std::mem::take(&mut self.waiting.lock().expect(NO_PANIC).wakers);
            waiting.into_values().for_each(Waker::wake);
        }
    }

    /// How many wait for room.
    #[cfg(test)]
    #[cfg(not(loom))]
    pub(super) fn line_length(&self) -> usize {
        self.waiting.lock().expect(NO_PANIC).wakers.len()
    }

    pub(super) fn drop_one(&self) {
        let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
        self.is_given_up.store(true, Ordering::Relaxed);
        // Against the fence of a reactor that goes to sleep: it sees the one, or we the other.
        fence(Ordering::SeqCst);
        if dropped == DROPPED_MARK || self.is_held.load(Ordering::Relaxed) {
            self.bell.ring();
        }
    }

    pub(super) fn is_crowded_by_the_dropped(&self) -> bool {
        self.dropped.load(Ordering::Relaxed) >= DROPPED_MARK
    }

    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        self.turn_away();
        self.tell_of_room();
    }

    fn turn_away(&self) {
        while let Some(call) = self.calls.pop() {
            call.turn_away();
        }
    }
}
