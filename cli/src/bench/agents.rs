//! The agents that are measured, and what they found.
//!
//! They read the clock, so they are shims, as a load generator is one. A round trip is timed where it was
//! begun, a rate is counted where messages are handled, as in `benches/`: a warm-up, then a second.

#![expect(clippy::disallowed_methods, reason = "measures: reads the clock")]

use std::hint::black_box;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use daedal::model::encode::{Body, Encode};
use daedal::model::message::Message;
use daedal::{Agent, AgentId, Answer, Archived, Context, Shim, Templates};
use hdrhistogram::Histogram;

use super::figure::{Figure, Found, times};

/// What is run before anything counts.
pub const WARM_UP: Duration = Duration::from_millis(200);
/// What counts.
pub const MEASURED: Duration = Duration::from_secs(1);
/// Messages between two looks at the clock, where a look would show in the figure.
const STRIDE: u64 = 1024;
/// Messages that are sent in one visit, as many as a `Handle` takes in.
const BURST: u16 = 256;

/// Names of the templates, and paths of their agents.
pub const ASKER: &str = "asker";
pub const ECHO: &str = "echo";
pub const TO_ECHO: AgentId = AgentId::of(ECHO);
pub const TELLER: &str = "teller";
pub const SINK: &str = "sink";
const TO_SINK: AgentId = AgentId::of(SINK);

/// A message that is its own reply.
pub trait Load: Message + Body<Message = Self> + Encode<Self> + Clone + Send + Sync {}
impl<M: Message + Body<Message = M> + Encode<M> + Clone + Send + Sync> Load for M {}

/// All of them, for messages like `message`; what was found goes to `says`.
pub fn templates<M: Load>(message: M, says: Sender<Found>) -> Templates {
    let mut templates = Templates::new();
    add_asker(&mut templates, message.clone(), [TO_ECHO], Duration::ZERO, says.clone());
    add_teller(&mut templates, message, BURST);
    templates
        .shim(ECHO, |_| Ok(Echo::<M>(std::marker::PhantomData)))
        .shim(SINK, move |_| Ok(Sink::<M>::new(says.clone())));
    templates
}

/// Adds [`TELLER`], in place of one that is there: it sends `batch` messages a visit.
pub fn add_teller<M: Load>(templates: &mut Templates, message: M, batch: u16) {
    templates.shim(TELLER, move |_| Ok(Teller { message: message.clone(), batch }));
}

/// Adds [`ASKER`], in place of one that is there: it asks `to`, all at once, and has a `rest` between an answer and
/// what it asks next.
pub fn add_asker<M: Load, const COUNT: usize>(
    templates: &mut Templates,
    message: M,
    to: [AgentId; COUNT],
    rest: Duration,
    says: Sender<Found>,
) {
    templates.shim(ASKER, move |_| {
        let (message, last, says) = (message.clone(), Instant::now(), says.clone());
        let (has_begun, unanswered, begun, times) = (false, 0, None, times());
        Ok(Asker { message, to, rest, has_begun, unanswered, begun, last, times, says })
    });
}

/// Asks, and asks again when it has all answers. What it is told is that it has rested.
struct Asker<M, const COUNT: usize> {
    message: M,
    to: [AgentId; COUNT],
    rest: Duration,
    has_begun: bool,
    unanswered: usize,
    begun: Option<Instant>,
    last: Instant,
    times: Histogram<u64>,
    says: Sender<Found>,
}

impl<M: Load, const COUNT: usize> Asker<M, COUNT> {
    fn ask(&mut self, context: &mut Context<'_, Self>) {
        self.unanswered = COUNT;
        for to in self.to {
            context.ask(to, &self.message);
        }
    }
}

impl<M: Load, const COUNT: usize> Agent for Asker<M, COUNT> {
    type Message = M;
    type Reply = ();

    fn transition(&mut self, _: &Archived<M>, context: &mut Context<'_, Self>) {
        self.last = Instant::now();
        self.ask(context);
    }

    fn answered(&mut self, answer: &Answer<'_>, context: &mut Context<'_, Self>) {
        // Whoever measures may have given up.
        match answer.open::<M>() {
            Ok(reply) => drop(black_box(reply)),
            Err(refusal) => {
                return drop(self.says.send(Err(format!("no answer: {refusal:?}"))));
            }
        }
        self.unanswered -= 1;
        if self.unanswered > 0 {
            return;
        }
        let now = Instant::now();
        let lasted = now - *self.begun.get_or_insert(now);
        if lasted >= WARM_UP {
            self.times.saturating_record((now - self.last).as_nanos() as u64);
        }
        self.last = now;
        if lasted >= WARM_UP + MEASURED {
            return drop(self.says.send(Ok(Figure::ask(self.times.clone()))));
        }
        if self.rest.is_zero() {
            self.ask(context);
        } else {
            context.after(self.rest, &self.message);
        }
    }
}

impl<M: Load, const COUNT: usize> Shim for Asker<M, COUNT> {
    /// Begins: an agent is started before its reactor is joined to others.
    fn poll(&mut self, context: &mut Context<'_, Self>) -> bool {
        let begins = !std::mem::replace(&mut self.has_begun, true);
        if begins {
            self.ask(context);
        }
        begins
    }
}

/// Answers with what it was asked.
struct Echo<M>(std::marker::PhantomData<fn(M)>);

impl<M: Load> Agent for Echo<M> {
    type Message = M;
    type Reply = M;

    fn transition(&mut self, message: &Archived<M>, context: &mut Context<'_, Self>) {
        context.reply(&M::owned(message));
    }
}

impl<M: Load> Shim for Echo<M> {
    fn poll(&mut self, _: &mut Context<'_, Self>) -> bool {
        false
    }
}

/// Sends to [`SINK`] whenever it may.
struct Teller<M> {
    message: M,
    batch: u16,
}

impl<M: Load> Agent for Teller<M> {
    type Message = M;
    type Reply = ();

    fn transition(&mut self, _: &Archived<M>, _: &mut Context<'_, Self>) {}
}

impl<M: Load> Shim for Teller<M> {
    fn poll(&mut self, context: &mut Context<'_, Self>) -> bool {
        for sent in 0..self.batch {
            if context.is_pressed() {
                return sent > 0;
            }
            context.send(TO_SINK, &self.message);
        }
        true
    }
}

/// How fast a count grows.
pub struct Rate {
    begun: Option<Instant>,
    /// Count and time of the first look that counted.
    counted: Option<(u64, Instant)>,
    says: Sender<Found>,
}

impl Rate {
    /// What is found goes to `says`.
    pub fn new(says: Sender<Found>) -> Rate {
        Rate { begun: None, counted: None, says }
    }

    /// Looks at the clock, when the count is `count`.
    pub fn look(&mut self, count: u64) {
        let now = Instant::now();
        let begun = *self.begun.get_or_insert(now);
        match self.counted {
            None if now - begun >= WARM_UP => self.counted = Some((count, now)),
            Some((before, from)) if now - from >= MEASURED => {
                let rate = (count - before) as f64 / (now - from).as_secs_f64();
                // Whoever measures has heard it once.
                let _ = self.says.send(Ok(Figure::tell(rate)));
            }
            _ => {}
        }
    }
}

/// Counts what it handles.
struct Sink<M> {
    count: u64,
    rate: Rate,
    message: std::marker::PhantomData<fn(M)>,
}

impl<M> Sink<M> {
    fn new(says: Sender<Found>) -> Self {
        Sink { count: 0, rate: Rate::new(says), message: std::marker::PhantomData }
    }
}

impl<M: Load> Agent for Sink<M> {
    type Message = M;
    type Reply = ();

    fn transition(&mut self, message: &Archived<M>, _: &mut Context<'_, Self>) {
        black_box(message);
        self.count += 1;
        if self.count.is_multiple_of(STRIDE) {
            self.rate.look(self.count);
        }
    }
}

impl<M: Load> Shim for Sink<M> {
    fn poll(&mut self, _: &mut Context<'_, Self>) -> bool {
        false
    }
}
