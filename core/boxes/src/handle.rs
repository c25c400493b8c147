//! Handles: how outside threads and tasks of any executor talk to agents.
//!
//! A handle's calls enter a reactor by one bounded queue; a shim there sends them on and brings the
//! replies back. Messages are encoded, and replies decoded, in the caller's thread. A full queue makes
//! callers wait: load is refused where it enters. Futures are woken by wakers, so that any executor may run
//! them, and no thread waits for a call.
//!
//! Invariants: each ask ends once, with a reply, a refusal, or *unknown*; who drops a future leaves nothing
//! behind, but for the asks that are forgotten together later, at most `DROPPED_MARK` of them.

mod desk;
#[cfg(test)]
#[cfg(loom)]
mod loom_tests;
mod shim;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;

use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as Task, Poll, Wake, Waker, ready};
use std::thread::Thread;
use std::time::{Duration, Instant};

use daedal_model::address::Address;
use daedal_model::agent::{Agent, Refusal};
use daedal_model::encode::Body;
use daedal_model::message::Wire;
use daedal_net::limits::LARGE_BYTES_MAX;

pub(crate) use desk::Desk;
use desk::{Call, NotPut, Place, Slip, Ticket};
pub use shim::HandleShim;

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

/// Talks to agents from outside, through one reactor. Clones share its queue, which has a bound: `try_…`
/// says that it is full, `…_blocking` and futures wait.
///
/// Any executor may run the futures, and any thread may call. To cancel is to drop the future: what was
/// not sent then never is, and of what was sent it is *unknown* whether it happens.
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
        to: impl Into<Address>,
        message: &impl Body<Message = A::Message>,
    ) -> Ask<A::Reply> {
        let slip = Arc::new(Slip::default());
        let call = Call::new(to.into(), message, Some(Ticket(slip.clone())));
        Ask { sent: Sent::new(self.0.clone(), call), slip, reply: PhantomData }
    }

    /// [`Handle::ask`], but it is sent at once or not at all.
    /// # Errors
    /// [`Refusal::Overloaded`] when the queue is full; what else a send may fail with.
    pub fn try_ask<A: Agent>(
        &self,
        to: impl Into<Address>,
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
        to: impl Into<Address>,
        message: &impl Body<Message = A::Message>,
    ) -> Result<A::Reply, AskError> {
        block_on(self.ask::<A>(to, message))
    }

    /// Sends a message. The future ends when the reactor has it, or will have it.
    pub fn send(&self, to: impl Into<Address>, message: &impl Body) -> Sent {
        Sent::new(self.0.clone(), Call::new(to.into(), message, None))
    }

    /// [`Handle::send`] at once or not at all.
    /// # Errors
    /// As [`Handle::try_ask`].
    pub fn try_send(&self, to: impl Into<Address>, message: &impl Body) -> Result<(), AskError> {
        self.send(to, message).now()
    }

    /// [`Handle::send`] for plain threads: waits for room.
    /// # Errors
    /// As the future of [`Handle::send`].
    pub fn send_blocking(
        &self,
        to: impl Into<Address>,
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
    /// In the line of those who wait for room.
    place: Option<Place>,
}

impl Sent {
    fn new(desk: Arc<Desk>, call: Call) -> Sent {
        Sent { desk, call: Some(call), place: None }
    }

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
        self.place = Some(self.desk.wait_for_room(self.place, task.waker()));
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

impl Drop for Sent {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.desk.leave(place);
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

impl<R: Wire> Ask<R> {
    /// Waits for the reply on a plain thread, but no longer than `at_most`. `None`: it did not come, and it
    /// is *unknown* whether it was done, or will be.
    pub fn wait_within(self, at_most: Duration) -> Option<Result<R, AskError>> {
        block_on_within(self, Some(at_most))
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
    block_on_within(future, None).expect("only who waits for a while waits in vain")
}

/// The same for a while, or for ever.
#[expect(clippy::disallowed_methods, reason = "a plain thread's patience, not an agent's time")]
fn block_on_within<T>(future: impl Future<Output = T>, at_most: Option<Duration>) -> Option<T> {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    // A time that no clock reaches is no bound.
    let until = at_most.and_then(|at_most| Instant::now().checked_add(at_most));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Task::from_waker(&waker)) {
            return Some(output);
        }
        match until.map(|until| until.saturating_duration_since(Instant::now())) {
            None => std::thread::park(),
            Some(Duration::ZERO) => return None,
            Some(left) => std::thread::park_timeout(left),
        }
    }
}
