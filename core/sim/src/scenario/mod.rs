//! One seed, one run: a system, its clients and its faults, all drawn from the seed, and the judgement.
//!
//! [`Case`] says what a seed draws and [`Cut`] what is taken away from it; [`Rule`] says what is demanded,
//! and `judge` asks for it. This file carries a run out.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use daedal_boxes::Placed;
use daedal_boxes::deliver::hosted;
use daedal_boxes::metrics::Counts;
use daedal_model::control::bootstrap_space;
use daedal_model::refine::Transformation;
use daedal_net::link::{LinkLimits, Secret};

use crate::clients::{Client, Job};
use crate::fault::{Fault, FaultPlan};
use crate::operator::Operator;
use crate::planted::Bug;
use crate::random::Random;
use crate::recorder::Recorder;
use crate::trace::Trace;
use crate::visitors::VisitorHost;
use crate::witness;
use crate::world::{Setup, Starter, Starting, World};

pub use case::{Case, Form, Part};
pub use cut::Cut;
pub use failure::{Failure, Rule};

use case::{path_of, templates};

mod case;
mod cut;
pub mod failure;
mod judge;

/// How long after the faults everybody must have finished. Time-outs grow to a second, and a restarted
/// box waits for the controller, which waits for the others.
const PATIENCE_NS: u64 = 60_000_000_000;
/// How long messages that nobody waits for may still be under way.
const SETTLE_NS: u64 = 5_000_000_000;
/// Turns of a run: far more than a heavy one takes. More, and it is going round in circles.
const TURNS_MAX: u64 = 3_000_000;
/// Turns of a run with a bug in it, some of which go round in circles in every run: those that are searched
/// for, and reduced, are not to take all day.
const TURNS_MAX_PLANTED: u64 = 100_000;

/// What agents may become.
#[derive(Clone, Copy, Debug)]
pub struct Transforms {
    /// Cuts an agent into this many shards.
    pub shard: fn(usize) -> Rc<dyn Transformation>,
    /// Spreads its messages over this many copies of it.
    pub balance: fn(usize) -> Rc<dyn Transformation>,
    /// Puts it behind the stage `ordered`.
    pub ordered: fn() -> Rc<dyn Transformation>,
}

/// What a run may be changed in, beside its seed.
#[derive(Clone, Debug)]
pub struct Options {
    /// What agents may become.
    pub transforms: Transforms,
    /// What is taken away from what the seed has.
    pub cut: Cut,
    /// Whether the load is heavy; `None`: as the seed has it.
    pub is_heavy: Option<bool>,
    /// A bug that is put in, to see whether it is found.
    pub planted: Option<Bug>,
    /// What is kept of the trace, in bytes.
    pub trace_bytes_max: usize,
}

impl Options {
    /// A seed's run as it is, of which only the digest is kept.
    pub fn new(transforms: Transforms) -> Options {
        let cut = Cut::default();
        Options { transforms, cut, is_heavy: None, planted: None, trace_bytes_max: 0 }
    }
}

/// What a run was.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// What was run.
    pub case: Case,
    /// Everything that happened.
    pub trace: Trace,
    /// Requests that wait for an answer.
    pub asked: usize,
    /// Those that were never answered.
    pub unknown: usize,
    /// Those that were sent and answered while the controller's box was down.
    pub without_controller: usize,
    /// Keys whose histories were too hard to decide.
    pub undecided: usize,
    /// Virtual nanoseconds.
    pub ended_at: u64,
    /// Turns of all reactors.
    pub turns: u64,
    /// What came twice, was parked, came back, or waited for its turn: each happened somewhere, or the run
    /// shows little.
    pub duplicates: u64,
    /// Messages that waited for a filter or for relief.
    pub parked: u64,
    /// Messages that came back, since their agent was not there.
    pub returned: u64,
    /// Messages that came before those that were sent before them, where that matters.
    pub held_back: u64,
    /// Changes of the system that were finished.
    pub changes: u64,
    /// Agents that came, sent something, and ended.
    pub visits: u64,
    /// Why it failed.
    pub failure: Option<Failure>,
}

/// Runs a seed.
pub fn run(seed: u64, options: &Options) -> Report {
    let _planted = options.planted.map(Bug::plant);
    let mut run = Run::new(seed, options);
    let outcome = catch_unwind(AssertUnwindSafe(|| run.carry_out()));
    let failure = match outcome {
        Ok(Ok(())) => None,
        Ok(Err(failure)) => Some(failure),
        Err(panic) => Some(Failure::new(Rule::NoPanic, text_of(panic.as_ref()))),
    };
    let recorder = run.recorder.borrow();
    let sum = |count: fn(&Counts) -> u64| run.world.counts().map(count).sum();
    Report {
        seed,
        trace: run.world.trace(),
        asked: recorder.asked.len(),
        unknown: recorder.asked.iter().filter(|it| it.ended.is_none()).count(),
        without_controller: without_controller(&run.case.plan, &recorder),
        undecided: run.undecided,
        ended_at: run.world.now(),
        turns: run.world.turns(),
        duplicates: sum(|counts| counts.duplicates),
        parked: sum(|counts| counts.copied_out),
        returned: sum(|counts| counts.returned),
        held_back: sum(|counts| counts.held_back),
        changes: recorder.changes,
        visits: recorder.visits,
        failure,
        case: run.case.clone(),
    }
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string())).unwrap_or_default()
}

fn without_controller(plan: &FaultPlan, recorder: &Recorder) -> usize {
    let when = |fault| {
        let events = plan.events().iter().filter(move |event| event.fault == fault);
        events.map(|event| event.at)
    };
    let outages = when(Fault::Crashed(0)).zip(when(Fault::Restarted(0)));
    let within = |(begins, ends): (u64, u64)| {
        let asked = recorder.asked.iter().filter(move |it| {
            it.at > begins && it.ended.as_ref().is_some_and(|ended| ended.at < ends)
        });
        asked.count()
    };
    outages.map(within).sum()
}

struct Run {
    case: Case,
    world: World,
    recorder: Rc<RefCell<Recorder>>,
    undecided: usize,
    turns_max: u64,
}

impl Run {
    fn new(seed: u64, options: &Options) -> Run {
        let case = Case::draw(seed, options);
        let random = Random::new(seed);
        witness::begin(case.ordered());
        // The recorder's clock is the world's, which is made after the recorder.
        let clock = Rc::default();
        let recorder = Recorder::new(Rc::clone(&clock), case.clients, case.requests);
        let recorder = Rc::new(RefCell::new(recorder));
        let world = World::new(Setup {
            clock,
            random: random.fork("world"),
            system: case.system(&options.transforms),
            boxes: case.boxes.clone(),
            templates: templates(),
            plan: case.plan.clone(),
            limits: LinkLimits { credit_frames: case.credit_frames, ..LinkLimits::default() },
            inbox_messages: case.inbox_messages,
            // Not drawn: nothing else of a case depends on it.
            secret: (seed % 4 == 3).then_some(Secret([7; 32])),
            trace_bytes_max: options.trace_bytes_max,
            planted: options.planted,
            starter: starter(&case, &recorder, random.fork("clients")),
        });
        let turns_max = options.planted.map_or(TURNS_MAX, |_| TURNS_MAX_PLANTED);
        Run { case, world, recorder, undecided: 0, turns_max }
    }

    fn carry_out(&mut self) -> Result<(), Failure> {
        self.until_finished(self.case.plan.shape().quiet_from)?;
        let settled = self.world.now() + SETTLE_NS;
        while self.world.now() < settled && self.step()? {}
        let (slot, recorder) = (self.audit_slot(), Rc::clone(&self.recorder));
        let space = bootstrap_space(slot.into());
        let client = Client::new(slot, space, Job::Audit, Random::new(0), recorder);
        let home = self.world.turn(0, 0).expect("all boxes are up when faults are over");
        home.host(Placed::alone(path_of("audit"), space), hosted(client));
        self.until_finished(settled)?;
        // Where a box's clock is behind that of the one which hung them, bells ring late.
        let last = self.world.now() + PATIENCE_NS;
        while witness::silent_bell().is_some() && self.world.now() < last && self.step()? {}
        let recorder = Rc::clone(&self.recorder);
        let recorder = recorder.borrow();
        self.undecided = judge::judge(&self.case, &recorder)?;
        Ok(())
    }

    fn audit_slot(&self) -> u32 {
        self.recorder.borrow().slots.len() as u32 - 1
    }

    fn step(&mut self) -> Result<bool, Failure> {
        if self.world.turns() > self.turns_max {
            let text = format!("{} turns by {} ns", self.turns_max, self.world.now());
            return Err(Failure::new(Rule::Progress, text));
        }
        Ok(self.world.step())
    }

    /// Runs until all clients have finished, and at least until `at_least`.
    fn until_finished(&mut self, at_least: u64) -> Result<(), Failure> {
        let last = at_least.max(self.world.now()) + PATIENCE_NS;
        loop {
            let is_over = self.world.now() >= at_least;
            if is_over && self.recorder.borrow().is_finished() {
                return Ok(());
            }
            if self.world.now() >= last || !self.step()? {
                let recorder = self.recorder.borrow();
                return if recorder.is_finished() { Ok(()) } else { Err(recorder.stuck()) };
            }
        }
    }
}

/// Gives each box that starts its clients.
fn starter(case: &Case, recorder: &Rc<RefCell<Recorder>>, streams: Random) -> Starter {
    let (case, recorder) = (case.clone(), Rc::clone(recorder));
    Box::new(move |starting: Starting<'_>| {
        if starting.agent_box == 1 && !case.changes.is_empty() {
            let operator = Operator::new(&case.changes, Rc::clone(&recorder));
            let (space, path) = (starting.space(999), format!("operator:{}", starting.life + 1));
            starting.turns[0].host(Placed::alone(path_of(&path), space), hosted(operator));
        }
        if starting.agent_box == 1 && case.visits > 0 && case.clients > 0 {
            let stream = streams.fork(&format!("visitors, life {}", starting.life));
            let (visits, in_order) = ((starting.life, case.visits), case.work.says_order);
            let host = VisitorHost::new(visits, in_order, stream, Rc::clone(&recorder));
            let (space, path) = (starting.space(998), format!("host:{}", starting.life + 1));
            starting.turns[0].host(Placed::alone(path_of(&path), space), hosted(host));
        }
        for slot in 0..case.clients {
            let (agent_box, reactor) = case.home_of(slot);
            if agent_box != starting.agent_box {
                continue;
            }
            let stream = streams.fork(&format!("slot {slot}, life {}", starting.life));
            let (space, job) = (starting.space(slot as u64), Job::Work(case.work));
            let client = Client::new(slot as u32, space, job, stream, Rc::clone(&recorder));
            let path = format!("client{slot}:{}", starting.life + 1);
            starting.turns[reactor].host(Placed::alone(path_of(&path), space), hosted(client));
        }
    })
}
