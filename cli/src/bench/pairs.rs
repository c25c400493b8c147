//! Many pairs of agents in one reactor: one of each asks the other over and over, and all do so at once. So there is
//! much memory to go through between two turns of an agent, and who asks does not lie beside whom it asks.

#![expect(clippy::disallowed_methods, reason = "measures: reads the clock")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use daedal::boxes::reactor::Clock;
use daedal::boxes::turn::Turn;
use daedal::{Agent, AgentId, Answer, Archived, Context, Parameters, Templates, state};

use super::agents::{MEASURED, WARM_UP};
use super::figure::{Figure, Found};

/// How many.
const MANY: u64 = 10_000;
/// Has no divisor with [`MANY`] in common: steps of so many come by all of them, and by none twice.
const STEP: u64 = 7_919;
/// Turns between two looks at the clock.
const STRIDE: usize = 16;

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

/// Answers a second, of all together.
pub fn many() -> Found {
    measure(MANY)
}

/// As [`many`], of one pair.
pub fn one() -> Found {
    measure(1)
}

fn measure(count: u64) -> Found {
    super::cpu::on(0, || {
        let (mut turn, clock) = (pairs(count)?, Clock::start());
        let mut take_for = |duration: Duration| {
            let (start, before) = (Instant::now(), turn.counts().delivered);
            while start.elapsed() < duration {
                (0..STRIDE).for_each(|_| _ = turn.take(clock.now(), true));
            }
            // Each answer had its ask delivered, too.
            let answers = (turn.counts().delivered - before) / 2;
            answers as f64 / start.elapsed().as_secs_f64()
        };
        take_for(WARM_UP);
        Ok(Figure::tell(take_for(MEASURED)))
    })
}

fn pairs(count: u64) -> Result<Turn<daedal::boxes::alone::NoNetwork>, String> {
    let path = |number: u64| format!("counter{number}");
    let mut templates = Templates::new();
    templates
        .agent("Counter", |_| Ok(Counter::default()))
        .agent("Asker", |of| Ok(Asker { to: AgentId::of(&of["to"]).0 }));
    let mut turn = Turn::alone(Arc::new(templates));
    for number in 0..count {
        turn.run(&path(number), "Counter", &Parameters::new())?;
    }
    for number in 0..count {
        let to = path(number * STEP % count);
        let parameters = Parameters::from([("to".to_owned(), to)]);
        turn.run(&format!("asker{number}"), "Asker", &parameters)?;
    }
    Ok(turn)
}
