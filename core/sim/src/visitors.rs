//! Agents that do not live long: one has others made, each of which sends some notes when it begins, and ends
//! them as soon as they run. What they sent is to be done all the same, once, in order, by whoever it was for.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use daedal_boxes::template::Parameters;
use daedal_model::agent::{Agent, Answer, Archived};
use daedal_model::context::Context;
use daedal_model::control::FromController;
use daedal_model::id::AgentId;
use daedal_model::message::Wire;
use daedal_model::state::{Captured, State, StateError};

use crate::clients::{ECHO, LEDGER, Wake};
use crate::random::Random;
use crate::recorder::{Noted, Recorder};
use crate::scribe::Note;
use crate::witness::{self, Deed};

/// How long the host waits between two of them, in nanoseconds, on average.
const PAUSE_NS: u64 = 20_000_000;
/// Notes of each to the ledger, and as many to the echo.
const NOTES: u64 = 6;
/// Writers that are visitors: no client's number is as high.
const VISITORS: u64 = 1 << 63;

/// Sends its notes when it begins.
#[derive(Debug)]
pub struct Visitor {
    by: u64,
    in_order: bool,
}

impl Visitor {
    /// One whose notes bear the number that the parameter `by` says.
    /// # Errors
    /// There is no such number.
    pub fn made(parameters: &Parameters) -> Result<Visitor, &'static str> {
        let by = parameters.get("by").and_then(|by| by.parse().ok()).ok_or("say `by`")?;
        Ok(Visitor { by, in_order: parameters.contains_key("in_order") })
    }
}

impl Agent for Visitor {
    type Message = Wake;
    type Reply = Wake;

    fn start(&mut self, context: &mut Context<'_, Visitor>) {
        // The controller starts it again when its box does, if it had not been ended.
        if !witness::begins(self.by) {
            return;
        }
        for number in 1..=NOTES {
            let (key, by, asks) = (format!("k{}", number % 3), self.by, number % 3 == 0);
            let note = Note::Line { key, by, number, asks, bell_ns: 0 };
            match (self.in_order, asks) {
                (true, true) => drop(context.ask_in_order(LEDGER, &note)),
                (true, false) => context.send_in_order(LEDGER, &note),
                (false, true) => drop(context.ask(LEDGER, &note)),
                (false, false) => context.send(LEDGER, &note),
            }
            context.send(ECHO, &note);
        }
    }

    fn transition(&mut self, _: &Archived<Wake>, _: &mut Context<'_, Visitor>) {}
}

/// Has visitors come, and ends them. It lives in the box of the first slot's client, as they do: what they sent
/// dies with that box alone.
#[derive(Debug)]
pub struct VisitorHost {
    life: u32,
    came: u32,
    visits: u32,
    in_order: bool,
    random: Random,
    recorder: Rc<RefCell<Recorder>>,
}

impl VisitorHost {
    /// Who has so many come. `life`: of its box's process.
    pub fn new(
        (life, visits): (u32, u32),
        in_order: bool,
        random: Random,
        recorder: Rc<RefCell<Recorder>>,
    ) -> VisitorHost {
        VisitorHost { life, came: 0, visits, in_order, random, recorder }
    }

    fn path(&self) -> String {
        format!("visitor{}x{}", self.life, self.came)
    }

    fn by(&self) -> u64 {
        VISITORS | u64::from(self.life) << 32 | u64::from(self.came)
    }

    fn wait(&mut self, context: &mut Context<'_, VisitorHost>) {
        if self.came < self.visits {
            context.after(Duration::from_nanos(self.random.delay(PAUSE_NS)), &Wake::Now);
        }
    }

    /// What the visitor that runs has sent is to be done.
    fn note(&self) {
        let mut recorder = self.recorder.borrow_mut();
        let life = recorder.slots[0].lives;
        for agent in [LEDGER, ECHO].map(AgentId::of) {
            for number in 1..=NOTES {
                let deed = Deed { agent, by: self.by(), number };
                recorder.note(Noted { deed, is_seal: false, slot: 0, life });
            }
        }
    }
}

impl Agent for VisitorHost {
    type Message = Wake;
    type Reply = Wake;

    fn start(&mut self, context: &mut Context<'_, VisitorHost>) {
        self.wait(context);
    }

    fn transition(&mut self, _: &Archived<Wake>, context: &mut Context<'_, VisitorHost>) {
        self.came += 1;
        let in_order = if self.in_order { "in_order=\n" } else { "" };
        let parameters = format!("by={}\n{in_order}", self.by());
        context.create(&self.path(), "visitor", &parameters);
    }

    fn answered(&mut self, answer: &Answer<'_>, context: &mut Context<'_, VisitorHost>) {
        match answer.open::<FromController>().map(FromController::owned) {
            Ok(FromController::Created) => {
                self.note();
                self.recorder.borrow_mut().visits += 1;
                context.stop(&self.path());
            }
            // Whether it ran, or still does, nobody knows.
            _ => self.wait(context),
        }
    }
}

/// Agents of one run alone.
macro_rules! stay {
    ($($agent:ident)+) => { $(
        impl State for $agent {
            const NAME: &'static str = stringify!($agent);
            const VERSION: u16 = 1;

            fn capture(&self) -> Captured {
                Captured::new::<$agent>()
            }

            fn restore(_: Captured) -> Result<$agent, StateError> {
                Err(StateError::Forbidden("it ends where it began".to_owned()))
            }
        }
    )+ };
}

stay!(Visitor VisitorHost);
