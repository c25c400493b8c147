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
/// Those count that are due from here, and before there.
const FROM_NS: u64 = nanoseconds(WARM_UP);
const TO_NS: u64 = FROM_NS + nanoseconds(MEASURED);

/// Name of the template, and path of its agent.
pub const CALLER: &str = "caller";

/// Adds it to `templates`: it asks `per_second` times a second; without a number, as often as there are answers.
pub fn add_caller(templates: &mut Templates, per_second: Option<u64>, says: Sender<Found>) {
    templates.shim(CALLER, move |_| Ok(Caller::new(per_second, says.clone())));
}

struct Caller {
    schedule: Schedule,
    /// Whether it has asked whether there is somebody.
    has_called: bool,
    /// When there was, since which all times are counted.
    start: Option<Instant>,
    is_over: bool,
    says: Sender<Found>,
}

/// When asks are due, and how long those took that were answered. Reads no clock.
struct Schedule {
    per_second: Option<u64>,
    asked: u64,
    answered: u64,
    heard_ns: u64,
    times: Histogram<u64>,
}

impl Schedule {
    /// When one that is asked now was due, if one may be.
    fn ask(&mut self, now_ns: u64) -> Option<u64> {
        let due_ns = self.due_ns(now_ns);
        let may = self.asked - self.answered < OUTSTANDING && due_ns <= now_ns && due_ns < TO_NS;
        self.asked += u64::from(may);
        may.then_some(due_ns)
    }

    /// One that was due at `due_ns` is answered.
    fn answered(&mut self, due_ns: u64, now_ns: u64) {
        (self.answered, self.heard_ns) = (self.answered + 1, now_ns);
        if due_ns >= FROM_NS {
            self.times.saturating_record(now_ns.saturating_sub(due_ns));
        }
    }

    /// What was found, once all that were due are answered.
    fn found(&self, now_ns: u64) -> Option<Figure> {
        let is_all = self.due_ns(now_ns) >= TO_NS && self.answered == self.asked;
        let lasted = Duration::from_nanos(self.heard_ns.saturating_sub(FROM_NS));
        let rate = self.times.len() as f64 / lasted.as_secs_f64();
        is_all.then(|| Figure::load(rate, self.times.clone()))
    }

    /// When the next ask is due.
    fn due_ns(&self, now_ns: u64) -> u64 {
        self.per_second.map_or(now_ns, |rate| due_ns(self.asked, rate))
    }
}

impl Caller {
    fn new(per_second: Option<u64>, says: Sender<Found>) -> Self {
        let (asked, answered, heard_ns, times) = (0, 0, 0, times());
        let schedule = Schedule { per_second, asked, answered, heard_ns, times };
        Caller { schedule, has_called: false, start: None, is_over: false, says }
    }

    fn now_ns(&self) -> u64 {
        self.start.map_or(0, |start| nanoseconds(start.elapsed()))
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
        self.schedule.answered(due_ns, self.now_ns());
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
        let now_ns = self.now_ns();
        let asked = self.schedule.asked;
        while let Some(due_ns) = self.schedule.ask(now_ns) {
            context.ask(TO_ECHO, &message(due_ns));
        }
        let found = self.schedule.found(now_ns);
        if let Some(figure) = found.filter(|_| !self.is_over) {
            self.end(Ok(figure));
        }
        self.schedule.asked > asked
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

const fn nanoseconds(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// A thousand asks a second of a server that answers each after 100 µs, but stands still from 500 to 600 ms.
    fn stalled() -> Figure {
        let mut caller = Caller::new(Some(1000), std::sync::mpsc::channel().0).schedule;
        let mut under_way = std::collections::VecDeque::new();
        for now_ns in (0..2000 * MS).step_by(MS as usize / 10) {
            let stands_still = (500 * MS..600 * MS).contains(&now_ns);
            while let Some((due_ns, _)) =
                under_way.pop_front_if(|(_, at_ns)| *at_ns < now_ns && !stands_still)
            {
                caller.answered(due_ns, now_ns);
            }
            while let Some(due_ns) = caller.ask(now_ns) {
                under_way.push_back((due_ns, now_ns));
            }
            if let Some(figure) = caller.found(now_ns) {
                return figure;
            }
        }
        panic!("{} of {} were answered", caller.answered, caller.asked)
    }

    #[test]
    fn a_stall_shows_in_the_times_of_all_that_were_due_meanwhile() {
        let figure = stalled();
        let times = figure.times.expect("a load has times");
        // Those that were due at 500, 501, … 599 ms, of which only 32 could be sent meanwhile.
        let longer = |ms: u64| times.count_between(ms * MS, u64::MAX);
        assert_eq!((times.len(), longer(1), longer(50), longer(90)), (1000, 100, 51, 11));
        assert_eq!(times.value_at_quantile(0.5) / 10_000, 10);
    }

    #[test]
    fn without_a_stall_nobody_waits_and_what_warms_up_does_not_count() {
        let mut caller = Caller::new(Some(1000), std::sync::mpsc::channel().0).schedule;
        for now_ns in (0..1200 * MS).step_by(MS as usize) {
            assert_eq!(caller.ask(now_ns), Some(now_ns));
            assert_eq!(caller.ask(now_ns), None);
            assert!(caller.found(now_ns).is_none());
            caller.answered(now_ns, now_ns + 7000);
        }
        assert_eq!(caller.ask(1200 * MS), None);
        let figure = caller.found(1200 * MS).expect("all that were due are answered");
        let times = figure.times.expect("a load has times");
        assert_eq!((times.len(), times.max() / 100, figure.value.round()), (1000, 70, 1001.0));
    }
}
