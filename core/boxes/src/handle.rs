//! Handles: how outside threads and tasks of any executor talk to agents.
//!
//! A handle's calls enter a reactor by one bounded queue; a shim there sends them on and brings the
//! replies back. Messages are encoded, and replies decoded, in the caller's thread. A full queue makes
//! callers wait: load is refused where it enters.
//!
//! | field | written by | when |
//! |---|---|---|
//! | `calls` | callers; the shim | they push, then ring; it pops, then wakes who waits for room |
//! | `waiting`, then `is_waited_for` | a caller | before it tries a full queue once more |
//! | `is_held` | the shim | when it leaves calls where they are |
//! | `dropped` | callers | one of them no longer waits for its reply |
//! | `is_closed` | the shim | once, before it empties the queue for the last time |
//!
//! Invariant: each ask ends once, with a reply, a refusal, or *unknown*.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as Task, Poll, Wake, Waker, ready};
use std::thread::Thread;

use crossbeam_queue::ArrayQueue;
use daedal_model::agent::{Agent, Answer, Outcome, Refusal};
use daedal_model::context::Context;
use daedal_model::encode::{Body, Encoded};
use daedal_model::id::{AgentId, Number};
use daedal_model::message::{Archived, Schema, Wire};
use daedal_net::limits::LARGE_BYTES_MAX;

use crate::deliver::{Host, Hosted};
use crate::doze::Doorbell;
use crate::shim::Shim;
use crate::sync::{AtomicBool, AtomicU32, Mutex, Ordering, fence};

/// Calls that are taken in at one visit: about what an agent's neighbours handle meanwhile.
const CALLS_PER_VISIT: usize = 256;
/// Asks of one handle that wait for their replies: beyond that, calls stay in the queue. Some megabytes.
const PENDING_MAX: usize = 1 << 16;
/// Asks that nobody waits for any longer are forgotten when there are so many, so that looking through
/// all of them costs each a constant.
const DROPPED_MARK: u32 = PENDING_MAX as u32 / 8;

/// Why there is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// It was not done, and will not be.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The reactor ended, or the agent's, before there was an answer.
    #[error(
        "there is no answer: it may have been done, or may yet be; ask again only if that is harmless"
    )]
    Unknown,
    /// It was not sent, and will not be.
    #[error("the reactor of this handle has stopped; the message was not sent")]
    Stopped,
    /// It was not sent, and will not be.
    #[error("the message has {0} bytes; {LARGE_BYTES_MAX} are the most that one may have")]
    TooLarge(usize),
    /// It was done.
    #[error(
        "it was done, but the reply is none of this agent type: is the path that of another kind?"
    )]
    WrongReply,
}

/// Talks to agents from outside, through one reactor. Clones share its queue.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Desk>);

impl Handle {
    pub(crate) fn new(desk: Arc<Desk>) -> Handle {
        Handle(desk)
    }

    /// Asks an agent. The message is encoded here and now; it is sent when the future is first awaited,
    /// as soon as there is room for it. Dropped earlier than that it is not sent, later its reply is.
    pub fn ask<A: Agent>(
        &self,
        to: impl Into<AgentId>,
        message: &impl Body<Message = A::Message>,
    ) -> Ask<A::Reply> {
        let slip = Arc::new(Slip::default());
        let call = Call {
            to: to.into(),
            message: Encoded::new(message),
            ticket: Some(Ticket(slip.clone())),
        };
        Ask { sent: Sent { desk: self.0.clone(), call: Some(call) }, slip, reply: PhantomData }
    }

    /// [`Handle::ask`], but it is sent at once or not at all.
    /// # Errors
    /// [`Refusal::Overloaded`] when the queue is full; what else a send may fail with.
    pub fn try_ask<A: Agent>(
        &self,
        to: impl Into<AgentId>,
        message: &impl Body<Message = A::Message>,
    ) -> Result<Ask<A::Reply>, AskError> {
        let mut ask = self.ask::<A>(to, message);
        ask.sent.now()?;
        Ok(ask)
    }

    /// [`Handle::ask`] for plain threads: waits for room and for the reply. Not for a reactor's thread,
    /// which would wait for itself.
    /// # Errors
    /// As the future of [`Handle::ask`].
    pub fn ask_blocking<A: Agent>(
        &self,
        to: impl Into<AgentId>,
        message: &impl Body<Message = A::Message>,
    ) -> Result<A::Reply, AskError> {
        block_on(self.ask::<A>(to, message))
    }

    /// Sends a message. The future ends when the reactor has it, or will have it.
    pub fn send(&self, to: impl Into<AgentId>, message: &impl Body) -> Sent {
        let call = Call { to: to.into(), message: Encoded::new(message), ticket: None };
        Sent { desk: self.0.clone(), call: Some(call) }
    }

    /// [`Handle::send`] at once or not at all.
    /// # Errors
    /// As [`Handle::try_ask`].
    pub fn try_send(&self, to: impl Into<AgentId>, message: &impl Body) -> Result<(), AskError> {
        self.send(to, message).now()
    }

    /// [`Handle::send`] for plain threads: waits for room.
    /// # Errors
    /// As the future of [`Handle::send`].
    pub fn send_blocking(
        &self,
        to: impl Into<AgentId>,
        message: &impl Body,
    ) -> Result<(), AskError> {
        block_on(self.send(to, message))
    }
}

/// A message on its way into a reactor.
#[derive(Debug)]
#[must_use = "nothing is sent before it is awaited"]
pub struct Sent {
    desk: Arc<Desk>,
    /// Until it is in the queue.
    call: Option<Call>,
}

impl Sent {
    fn now(&mut self) -> Result<(), AskError> {
        let Some(call) = self.call.take() else { return Ok(()) };
        match self.desk.put(call) {
            Ok(()) => Ok(()),
            Err(NotPut::Full(_)) => Err(Refusal::Overloaded.into()),
            Err(NotPut::Never(error)) => Err(error),
        }
    }
}

impl Future for Sent {
    type Output = Result<(), AskError>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Self::Output> {
        let Some(call) = self.call.take() else { return Poll::Ready(Ok(())) };
        let call = match self.desk.put(call) {
            Err(NotPut::Full(call)) => call,
            Err(NotPut::Never(error)) => return Poll::Ready(Err(error)),
            Ok(()) => return Poll::Ready(Ok(())),
        };
        self.desk.wait_for_room(task.waker());
        match self.desk.put(call) {
            Err(NotPut::Full(call)) => {
                self.call = Some(call);
                Poll::Pending
            }
            Err(NotPut::Never(error)) => Poll::Ready(Err(error)),
            Ok(()) => Poll::Ready(Ok(())),
        }
    }
}

/// A reply that is still to come. Dropped, nobody waits for it any longer.
#[must_use = "nothing is sent before it is awaited"]
pub struct Ask<R> {
    sent: Sent,
    slip: Arc<Slip>,
    reply: PhantomData<fn() -> R>,
}

impl<R> std::fmt::Debug for Ask<R> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Ask").field("sent", &self.sent).finish_non_exhaustive()
    }
}

impl<R: Wire> Future for Ask<R> {
    type Output = Result<R, AskError>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Self::Output> {
        ready!(Pin::new(&mut self.sent).poll(task))?;
        let (schema, body) = ready!(self.slip.poll(task.waker()))?;
        let reply = (schema == R::SCHEMA).then(|| R::access(&body).map(R::owned));
        Poll::Ready(reply.and_then(Result::ok).ok_or(AskError::WrongReply))
    }
}

impl<R> Drop for Ask<R> {
    fn drop(&mut self) {
        if self.sent.call.is_none() && self.slip.is_open() {
            self.sent.desk.drop_one();
        }
    }
}

/// Waits for a future on a plain thread.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Task::from_waker(&waker)) {
            return output;
        }
        std::thread::park();
    }
}

/// What came of an ask: the reply's type and bytes.
type Outcomes = Result<(Schema, Vec<u8>), AskError>;

/// Where one ask's reply is put. The lock is held for a few moves, never while anything waits.
#[derive(Debug, Default)]
struct Slip(Mutex<State>);

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
    fn end(&self, outcome: Outcomes) {
        let mut state = self.0.lock().expect(NO_PANIC);
        let State::Open(waker) = &mut *state else { return };
        let waker = waker.take();
        *state = State::Ended(outcome);
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll(&self, waker: &Waker) -> Poll<Outcomes> {
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

    fn is_open(&self) -> bool {
        matches!(*self.0.lock().expect(NO_PANIC), State::Open(_))
    }
}

const NO_PANIC: &str = "nothing that is done under the lock panics";

/// The reactor's half of a slip: whoever drops it without an answer leaves it unknown.
#[derive(Debug)]
struct Ticket(Arc<Slip>);

impl Ticket {
    fn is_abandoned(&self) -> bool {
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
struct Call {
    to: AgentId,
    message: Encoded,
    ticket: Option<Ticket>,
}

enum NotPut {
    Full(Call),
    Never(AskError),
}

/// What a handle and its shim share.
#[derive(Debug)]
pub(crate) struct Desk {
    bell: Arc<Doorbell>,
    calls: ArrayQueue<Call>,
    waiting: Mutex<Vec<Waker>>,
    is_waited_for: AtomicBool,
    is_held: AtomicBool,
    dropped: AtomicU32,
    is_closed: AtomicBool,
}

impl Desk {
    /// `calls_max`: at least 1.
    pub fn new(bell: Arc<Doorbell>, calls_max: usize) -> Desk {
        Desk {
            bell,
            calls: ArrayQueue::new(calls_max.max(1)),
            waiting: Mutex::new(Vec::new()),
            is_waited_for: AtomicBool::new(false),
            is_held: AtomicBool::new(false),
            dropped: AtomicU32::new(0),
            is_closed: AtomicBool::new(false),
        }
    }

    /// Whether there is something for the shim to do: what its reactor looks at before it sleeps.
    pub fn is_called(&self) -> bool {
        let is_held = self.is_held.load(Ordering::Relaxed) && !self.is_crowded_by_the_dropped();
        !is_held && !self.calls.is_empty()
    }

    fn put(&self, call: Call) -> Result<(), NotPut> {
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

    /// Has `waker` woken when there is room. The caller must try once more before it waits.
    fn wait_for_room(&self, waker: &Waker) {
        let mut waiting = self.waiting.lock().expect(NO_PANIC);
        if !waiting.iter().any(|other| other.will_wake(waker)) {
            waiting.push(waker.clone());
        }
        drop(waiting);
        self.is_waited_for.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Wakes all who wait for room: some of them may wait no longer, so that fewer might be none.
    fn tell_of_room(&self) {
        fence(Ordering::SeqCst);
        if self.is_waited_for.load(Ordering::Relaxed) {
            self.is_waited_for.store(false, Ordering::Relaxed);
            let waiting = std::mem::take(&mut *self.waiting.lock().expect(NO_PANIC));
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    fn drop_one(&self) {
        if self.dropped.fetch_add(1, Ordering::Relaxed) + 1 == DROPPED_MARK {
            self.bell.ring();
        }
    }

    fn is_crowded_by_the_dropped(&self) -> bool {
        self.dropped.load(Ordering::Relaxed) >= DROPPED_MARK
    }

    fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        self.turn_away();
        self.tell_of_room();
    }

    fn turn_away(&self) {
        while let Some(call) = self.calls.pop() {
            if let Some(ticket) = &call.ticket {
                ticket.0.end(Err(AskError::Stopped));
            }
        }
    }
}

/// What serves a handle in its reactor: an agent whose state machine is outside (Escher §2.5).
#[derive(Debug)]
pub struct HandleShim {
    desk: Arc<Desk>,
    pending: BTreeMap<(AgentId, Number), Ticket>,
}

impl HandleShim {
    pub(crate) fn new(desk: Arc<Desk>) -> HandleShim {
        HandleShim { desk, pending: BTreeMap::new() }
    }

    /// For [`Turn::host`](crate::turn::Turn::host), on the reactor's thread. Dropped, calls in its
    /// queue are turned away, and asks that were sent end as *unknown*.
    pub fn into_host(self) -> Box<dyn Host> {
        Box::new(Hosted::shim(self))
    }

    /// Whether no further ask may be sent on.
    fn is_full(&mut self) -> bool {
        if self.pending.len() >= PENDING_MAX && self.desk.is_crowded_by_the_dropped() {
            self.desk.dropped.store(0, Ordering::Relaxed);
            self.pending.retain(|_, ticket| !ticket.is_abandoned());
        }
        self.pending.len() >= PENDING_MAX
    }

    fn take_in(&mut self, call: Call, context: &mut Context<'_, Self>) {
        match call.ticket {
            None => context.send_encoded(call.to, &call.message),
            Some(ticket) if ticket.is_abandoned() => {}
            Some(ticket) => {
                let number = context.ask_encoded(call.to, &call.message);
                self.pending.insert((call.to, number), ticket);
            }
        }
    }
}

impl Agent for HandleShim {
    type Message = ();
    type Reply = ();

    fn transition(&mut self, _: &Archived<()>, _: &mut Context<'_, Self>) {}

    fn answered(&mut self, answer: &Answer<'_>, _: &mut Context<'_, Self>) {
        let Some(ticket) = self.pending.remove(&(answer.from, answer.to)) else { return };
        ticket.0.end(match &answer.outcome {
            Outcome::Reply { schema, body } => Ok((*schema, body.to_vec())),
            Outcome::Refused(refusal) => Err((*refusal).into()),
            Outcome::Unknown => Err(AskError::Unknown),
        });
    }
}

impl Shim for HandleShim {
    fn poll(&mut self, context: &mut Context<'_, Self>) -> bool {
        let mut taken = 0;
        let mut is_held = false;
        while taken < CALLS_PER_VISIT {
            is_held = context.is_pressed() || self.is_full();
            if is_held {
                break;
            }
            let Some(call) = self.desk.calls.pop() else { break };
            taken += 1;
            self.take_in(call, context);
        }
        self.desk.is_held.store(is_held, Ordering::Relaxed);
        if taken > 0 {
            self.desk.tell_of_room();
        }
        taken > 0
    }

    /// Callers ring the reactor's own bell.
    fn descriptor(&self) -> Option<RawFd> {
        Some(self.desk.bell.wake().as_raw_fd())
    }
}

impl Drop for HandleShim {
    fn drop(&mut self) {
        self.desk.close();
    }
}

#[cfg(test)]
#[cfg(loom)]
mod loom_tests {
    use loom::sync::{Condvar, Mutex};

    use super::*;
    use crate::doze::Event;

    /// Wakes a loom thread that waits for it.
    #[derive(Default)]
    struct Model {
        woken: Mutex<bool>,
        changed: Condvar,
    }

    impl Wake for Model {
        fn wake(self: Arc<Self>) {
            *self.woken.lock().unwrap() = true;
            self.changed.notify_one();
        }
    }

    fn wait_for<T>(mut poll: impl FnMut(&mut Task<'_>) -> Poll<T>) -> T {
        let model = Arc::new(Model::default());
        let waker = Waker::from(model.clone());
        loop {
            if let Poll::Ready(output) = poll(&mut Task::from_waker(&waker)) {
                return output;
            }
            let mut woken = model.woken.lock().unwrap();
            while !*woken {
                woken = model.changed.wait(woken).unwrap();
            }
            *woken = false;
        }
    }

    fn desk() -> Arc<Desk> {
        Arc::new(Desk::new(Arc::new(Doorbell::new(Event::new().unwrap())), 1))
    }

    fn take(desk: &Desk) -> usize {
        let taken = std::iter::from_fn(|| desk.calls.pop()).count();
        if taken > 0 {
            desk.tell_of_room();
        }
        taken
    }

    #[test]
    fn loom_finds_no_caller_that_waits_for_room_in_vain() {
        loom::model(|| {
            let desk = desk();
            let handle = Handle::new(desk.clone());
            handle.try_send(AgentId(1), &1u64).unwrap();
            let reactor = loom::thread::spawn(move || {
                let mut taken = 0;
                while taken < 2 {
                    taken += take(&desk);
                    loom::thread::yield_now();
                }
            });
            let mut sent = handle.send(AgentId(1), &2u64);
            assert_eq!(wait_for(|task| Pin::new(&mut sent).poll(task)), Ok(()));
            reactor.join().unwrap();
        });
    }

    #[test]
    fn loom_finds_no_ask_that_a_stopping_reactor_leaves_open() {
        loom::model(|| {
            let desk = desk();
            let handle = Handle::new(desk.clone());
            let reactor = loom::thread::spawn(move || drop(HandleShim::new(desk)));
            let mut ask = handle.ask::<HandleShim>(AgentId(1), &());
            let outcome = wait_for(|task| Pin::new(&mut ask).poll(task));
            assert_eq!(outcome, Err(AskError::Stopped));
            reactor.join().unwrap();
        });
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests;
