//! A million agents of one name in one reactor: what one takes that was made and has handled one message.

#![expect(
    clippy::disallowed_methods,
    reason = "measures: reads the clock, and the process's memory"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use daedal::boxes::reactor::Clock;
use daedal::boxes::turn::Turn;
use daedal::{
    Address, Agent, AgentId, Archived, Context, Parameters, Shim, Templates, message, state,
};

use super::figure::{Figure, Found};

/// How many.
const MANY: u32 = 1_000_000;
/// Messages that are sent in one visit.
const BURST: u32 = 1000;
/// Their path, and the name of their template.
const COUNTERS: &str = "counters";

/// Add so much.
#[message(crate = daedal)]
#[derive(Debug)]
pub struct Add(u64);

/// The smallest agent that counts.
#[state(crate = daedal)]
#[derive(Default)]
struct Counter {
    #[combine(sum)]
    count: u64,
}

impl Agent for Counter {
    type Message = Add;
    type Reply = ();

    fn transition(&mut self, add: &Archived<Add>, _: &mut Context<'_, Self>) {
        self.count = self.count.wrapping_add(black_box(add.0.to_native()));
    }
}

/// Writes to each of them once.
#[derive(Default)]
struct Teller {
    next: u32,
}

impl Agent for Teller {
    type Message = ();
    type Reply = ();

    fn transition(&mut self, (): &Archived<()>, _: &mut Context<'_, Self>) {}
}

impl Shim for Teller {
    fn poll(&mut self, context: &mut Context<'_, Self>) -> bool {
        let agent = AgentId::of(COUNTERS);
        let until = MANY.min(self.next + BURST);
        while self.next < until && !context.is_pressed() {
            context.send(Address { agent, number: Some(self.next) }, &Add(1));
            self.next += 1;
        }
        self.next < MANY
    }
}

/// How long, in nanoseconds.
pub fn ns() -> Found {
    measure(|| {
        let start = Instant::now();
        let turn = make_and_tell()?;
        let lasted = start.elapsed();
        black_box(&turn);
        Ok(lasted.as_nanos() as f64)
    })
}

/// How much memory of the process, in bytes.
pub fn bytes() -> Found {
    measure(|| {
        let before = resident_bytes()?;
        let turn = make_and_tell()?;
        let after = resident_bytes()?;
        black_box(&turn);
        Ok(after.saturating_sub(before) as f64)
    })
}

fn measure(of_all: impl FnOnce() -> Result<f64, String> + Send) -> Found {
    super::cpu::on(0, || Ok(Figure::each(of_all()? / f64::from(MANY))))
}

/// A reactor with all of them, each of which has handled one message.
fn make_and_tell() -> Result<Turn<daedal::boxes::alone::NoNetwork>, String> {
    let mut templates = Templates::new();
    templates
        .many("Counter", |_, _| Ok(Counter::default()))
        .shim("Teller", |_| Ok(Teller::default()));
    let mut turn = Turn::alone(Arc::new(templates));
    let count = Parameters::from([("count".to_owned(), MANY.to_string())]);
    turn.run(COUNTERS, "Counter", &count)?;
    turn.run("teller", "Teller", &Parameters::new())?;
    let clock = Clock::start();
    while turn.counts().delivered < MANY.into() {
        turn.take(clock.now(), true);
    }
    Ok(turn)
}

fn resident_bytes() -> Result<usize, String> {
    let text = std::fs::read_to_string("/proc/self/status").map_err(|error| error.to_string())?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<usize>().ok());
    let bytes = kilobytes.map(|kilobytes| kilobytes * 1024);
    bytes.ok_or_else(|| "/proc/self/status does not say how much memory is resident".to_owned())
}
