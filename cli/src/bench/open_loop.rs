//! An agent that asks by a schedule, at equal distances, whatever became of the asks before.
//!
//! A time counts from when an ask was due, not from when it was sent: one that had to wait for its sender has waited
//! (Tene, "coordinated omission"). All that were due while it counts are waited for. `raw *-load` does the same.

#![expect(clippy::disallowed_methods, reason = "measures: reads the clock")]

use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use daedal::{Agent, Answer, Archived, Context, Shim, Templates};
use hdrhistogram::Histogram;

use super::agents::{MEASURED, TO_ECHO, WARM_UP};
use super::figure::{Figure, Found, times};
use super::reactors::BYTES;

/// How many are under way at most, as in `raw`.
const OUTSTANDING: u64 = 32;

/// Name of the template, and path of its agent.
pub const CALLER: &str = "caller";

/// Adds it to `templates`: it asks `per_second` times a second; without a number, as often as there are answers.
pub fn add_caller(templates: &mut Templates, per_second: Option<u64>, says: Sender<Found>) {
    templates.shim(CALLER, move |_| Ok(Caller::new(per_second, says.clone())));
}

struct Caller {
    per_second: Option<u64>,
    /// Whether it has asked whether there is somebody.
    has_called: bool,
    /// When there was, since which all times are counted.
    start: Option<Instant>,
    asked: u64,
    answered: u64,
    heard_ns: u64,
    times: Histogram<u64>,
    is_over: bool,
    says: Sender<Found>,
}

impl Caller {
    fn new(per_second: Option<u64>, says: Sender<Found>) -> Self {
        let (start, times) = (None, times());
        Caller {
            per_second,
            has_called: false,
            start,
            asked: 0,
            answered: 0,
            heard_ns: 0,
            times,
            is_over: false,
            says,
        }
    }

    fn now_ns(&self) -> u64 {
        self.start.map_or(0, |start| nanoseconds(start.elapsed()))
    }

    /// When the next ask is due.
    fn due_ns(&self, now_ns: u64) -> u64 {
        self.per_second.map_or(now_ns, |rate| due_ns(self.asked, rate))
    }

    fn end(&mut self, found: Found) {
        self.is_over = true;
        // Whoever measures may have given up.
        let _ = self.says.send(found);
    }
}

impl Agent for Caller {
    type Message = [u8; BYTES];
    type Reply = ();

    fn transition(&mut self, _: &Archived<[u8; BYTES]>, _: &mut Context<'_, Self>) {}

    fn answered(&mut self, answer: &Answer<'_>, _: &mut Context<'_, Self>) {
        let reply = match answer.open::<[u8; BYTES]>() {
            Ok(reply) => reply,
            Err(refusal) => return self.end(Err(format!("no answer: {refusal:?}"))),
        };
        if self.start.is_none() {
            self.start = Some(Instant::now());
            return;
        }
        let due_ns = u64::from_ne_bytes(*reply.first_chunk().expect("it is longer"));
        self.answered += 1;
        self.heard_ns = self.now_ns();
        if due_ns >= nanoseconds(WARM_UP) {
            self.times.saturating_record(self.heard_ns.saturating_sub(due_ns));
        }
    }
}

impl Shim for Caller {
    fn poll(&mut self, context: &mut Context<'_, Self>) -> bool {
        if self.start.is_none() {
            let calls = !std::mem::replace(&mut self.has_called, true);
            if calls {
                context.ask(TO_ECHO, &message(0));
            }
            return calls;
        }
        let (now_ns, to_ns) = (self.now_ns(), nanoseconds(WARM_UP + MEASURED));
        let asked = self.asked;
        while self.asked - self.answered < OUTSTANDING {
            let due_ns = self.due_ns(now_ns);
            if due_ns > now_ns || due_ns >= to_ns {
                break;
            }
            context.ask(TO_ECHO, &message(due_ns));
            self.asked += 1;
        }
        let is_all = self.due_ns(now_ns) >= to_ns && self.answered == self.asked;
        if is_all && !self.is_over {
            let lasted = Duration::from_nanos(self.heard_ns) - WARM_UP;
            let rate = self.times.len() as f64 / lasted.as_secs_f64();
            let times = self.times.clone();
            self.end(Ok(Figure::load(rate, times)));
        }
        self.asked > asked
    }
}

/// One that says when it was due.
fn message(due_ns: u64) -> [u8; BYTES] {
    let mut message = [7; BYTES];
    message[..size_of::<u64>()].copy_from_slice(&due_ns.to_ne_bytes());
    message
}

/// When ask `index` is due, in nanoseconds after the first.
fn due_ns(index: u64, per_second: u64) -> u64 {
    (u128::from(index) * 1_000_000_000 / u128::from(per_second)) as u64
}

fn nanoseconds(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}
