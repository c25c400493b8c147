//! Many pairs of agents: one of each asks the other over and over, and all do so at once, in one reactor or in two. So
//! there is much memory to go through between two turns of an agent, and who asks does not lie beside whom it asks.

#![expect(clippy::disallowed_methods, reason = "measures: reads the clock")]

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use daedal::boxes::alone::NoNetwork;
use daedal::boxes::reactor::Clock;
use daedal::boxes::turn::Turn;
use daedal::{Agent, AgentId, Answer, Archived, Context, Failure, Shim, Templates, state};

use super::agents::Rate;
use super::figure::Found;
use super::reactors::{Kin, NUMBER, PATIENCE};

/// How many.
pub const MANY: u16 = 10_000;
/// Has no divisor with [`MANY`] in common: steps of so many come by all of them, and by none twice.
const STEP: u64 = 7_919;
/// Turns between two looks at the clock.
const STRIDE: usize = 16;

/// Names of the templates.
const ASKER: &str = "pair-asker";
const COUNTER: &str = "pair-counter";
const WATCH: &str = "pair-watch";

/// Answers that came to askers of this process: an agent has its state alone to count in, which nobody sees while it
/// runs.
static ANSWERS: AtomicU64 = AtomicU64::new(0);

/// Those of two reactors: who asks, and who answers.
pub fn seats(count: u16) -> [Vec<Kin>; 2] {
    let pairs = [ASKER, COUNTER].map(|template| Kin { template, count });
    [vec![Kin::one(WATCH), pairs[0]], vec![pairs[1]]]
}

/// Adds the templates of `count` pairs; how many answers come a second goes to `says`.
pub fn add(templates: &mut Templates, count: u16, says: Sender<Found>) {
    templates
        .agent(COUNTER, |_| Ok(Counter::default()))
        .agent(ASKER, move |of| {
            let number: u64 = of[NUMBER].parse().map_err(|_| Failure::from("it has no number"))?;
            let to = (number * STEP % u64::from(count)) as u16;
            let whom = Kin { template: COUNTER, count };
            Ok(Asker { to: AgentId::of(&whom.path(to)).0 })
        })
        .shim(WATCH, move |_| {
            let rate = Rate::new(says.clone());
            Ok(Watch { rate, looks: 0, before: ANSWERS.load(Relaxed) })
        });
}

/// Asks one agent, over and over.
#[state(crate = daedal)]
struct Asker {
    #[combine(sum)]
    to: u64,
}

impl Agent for Asker {
    type Message = u64;
    type Reply = ();

    fn start(&mut self, context: &mut Context<'_, Self>) {
        context.after(Duration::ZERO, &0u64);
    }

    fn transition(&mut self, _: &Archived<u64>, context: &mut Context<'_, Self>) {
        context.ask(AgentId(self.to), &0u64);
    }

    fn answered(&mut self, answer: &Answer<'_>, context: &mut Context<'_, Self>) {
        ANSWERS.store(ANSWERS.load(Relaxed) + 1, Relaxed);
        if let Ok(count) = answer.open::<u64>() {
            context.ask(AgentId(self.to), &count.to_native());
        }
    }
}

/// Answers with how much it was asked.
#[state(crate = daedal)]
#[derive(Default)]
struct Counter {
    #[combine(sum)]
    count: u64,
}

impl Agent for Counter {
    type Message = u64;
    type Reply = u64;

    fn transition(&mut self, _: &Archived<u64>, context: &mut Context<'_, Self>) {
        self.count += 1;
        context.reply(&self.count);
    }
}

/// Looks how many answers there are.
struct Watch {
    rate: Rate,
    looks: usize,
    /// Answers that others had.
    before: u64,
}

impl Agent for Watch {
    type Message = u64;
    type Reply = ();

    fn transition(&mut self, _: &Archived<u64>, _: &mut Context<'_, Self>) {}
}

impl Shim for Watch {
    fn poll(&mut self, _: &mut Context<'_, Self>) -> bool {
        self.looks += 1;
        let answers = ANSWERS.load(Relaxed);
        if self.looks.is_multiple_of(STRIDE) && answers > self.before {
            self.rate.look(answers);
        }
        false
    }
}

/// Answers a second, of all together, in one reactor.
pub fn many() -> Found {
    measure(MANY)
}

/// As [`many`], of one pair.
pub fn one() -> Found {
    measure(1)
}

fn measure(count: u16) -> Found {
    super::cpu::on(0, || {
        let (says, found) = channel();
        let (mut turn, clock) = (pairs(count, says)?, Clock::start());
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            turn.take(clock.now(), true);
            if let Ok(found) = found.try_recv() {
                return found;
            }
        }
        Err(format!("nothing was measured within {PATIENCE:?}"))
    })
}

fn pairs(count: u16, says: Sender<Found>) -> Result<Turn<NoNetwork>, String> {
    let mut templates = Templates::new();
    add(&mut templates, count, says);
    let mut turn = Turn::alone(Arc::new(templates));
    let [askers, counters] = seats(count);
    for kin in [counters, askers].concat() {
        for number in 0..kin.count {
            turn.run(&kin.path(number), kin.template, &Kin::parameters(number))?;
        }
    }
    Ok(turn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_asks_another_and_all_are_answered() {
        let (says, _found) = channel();
        let (mut turn, clock) = (pairs(7, says).expect("they are made"), Clock::start());
        let before = ANSWERS.load(Relaxed);
        while turn.counts().delivered < 10_000 {
            turn.take(clock.now(), true);
        }
        // Each had its ask delivered, too, and seven a timer.
        let answers = (turn.counts().delivered - 7) / 2;
        assert!(ANSWERS.load(Relaxed) - before >= answers - 7);
    }
}
