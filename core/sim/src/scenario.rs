//! One seed, one run: a system, its clients and its faults, all drawn from the seed, and the judgement.
//!
//! What is demanded: histories are linearizable, by key and life of the key's owner; of two lives the
//! earlier never answers what was asked after the later one answered; what was told or marked was done
//! exactly once; nobody is answered twice, or refused; and once faults are off, everybody finishes.
//!
//! A crash takes volatile state with it, so each life is judged as an object of its own, by
//! the life that its replies name. What was not answered by a life may have happened in it all the same:
//! it is allowed, and not demanded.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use daedal_boxes::Placed;
use daedal_boxes::deliver::hosted;
use daedal_boxes::template::Templates;
use daedal_model::controller::System;
use daedal_model::latt::Specification;
use daedal_model::path::AgentPath;
use daedal_model::place::{Site, Wish};
use daedal_model::refine::{Qualities, Transformation};
use daedal_net::link::LinkLimits;

use crate::agents::{Counter, Door, Map, Told};
use crate::clients::{About, COUNTER, Client, DOOR, Job, Moment, Recorder, SHARDED, WHOLE};
use crate::fault::{Fault, FaultPlan, Kind, Shape};
use crate::history::History;
use crate::linearizable::{self, Action, KeyValue, Output};
use crate::random::Random;
use crate::trace::Trace;
use crate::world::{BoxSetup, REACTORS_MAX, Setup, World};

/// How long a frame travels, in virtual nanoseconds.
const TRAVEL_NS: u64 = 50_000;
/// When faults are over.
const QUIET_NS: u64 = 3_000_000_000;
/// How long after that everybody must have finished. Time-outs grow to a second, and a restarted box
/// waits for the controller, which waits for the others.
const PATIENCE_NS: u64 = 60_000_000_000;
/// How long messages that nobody waits for may still be under way.
const SETTLE_NS: u64 = 5_000_000_000;
/// Turns of a run: more, and it is going round in circles.
const TURNS_MAX: u64 = 3_000_000;

/// What a run may be changed in, beside its seed.
#[derive(Clone, Debug)]
pub struct Options {
    /// Cuts an agent into this many shards.
    pub shard: fn(usize) -> Rc<dyn Transformation>,
    /// Only these kinds of faults, of those that the seed has; all without.
    pub kinds: Option<BTreeSet<Kind>>,
    /// A bug that is put in, to see whether it is found.
    pub planted: Option<crate::planted::Bug>,
    /// What is kept of the trace, in bytes.
    pub trace_bytes_max: usize,
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Something of ours was broken, and said so.
    Panicked(String),
    /// Not everybody finished.
    Stuck(String),
    /// What clients saw cannot be.
    Wrong(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Panicked(text) => write!(out, "panicked: {text}"),
            Failure::Stuck(text) => write!(out, "no progress: {text}"),
            Failure::Wrong(text) => out.write_str(text),
        }
    }
}

/// What a run was.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// Everything that happened.
    pub trace: Trace,
    /// What went wrong by plan.
    pub plan: FaultPlan,
    /// Boxes, the controller's included, and shards.
    pub boxes: usize,
    /// Shards.
    pub shards: usize,
    /// Requests, and how many of them have an unknown outcome.
    pub asked: usize,
    /// Those that were never answered.
    pub unknown: usize,
    /// Keys whose histories were too hard to decide.
    pub undecided: usize,
    /// Virtual nanoseconds.
    pub ended_at: u64,
    /// Turns of all reactors.
    pub turns: u64,
    /// What came twice, was parked, or came back: each happened somewhere, or the run shows little.
    pub duplicates: u64,
    /// Messages that waited for a filter or for relief.
    pub parked: u64,
    /// Messages that came back, since their agent was not there.
    pub returned: u64,
    /// Why it failed.
    pub failure: Option<Failure>,
}

/// Runs a seed.
pub fn run(seed: u64, options: &Options) -> Report {
    let _planted = options.planted.map(crate::planted::Bug::plant);
    let mut run = Run::new(seed, options);
    let outcome = catch_unwind(AssertUnwindSafe(|| run.carry_out()));
    let failure = match outcome {
        Ok(Ok(())) => None,
        Ok(Err(failure)) => Some(failure),
        Err(panic) => Some(Failure::Panicked(text_of(panic.as_ref()))),
    };
    let recorder = run.recorder.borrow();
    let sum =
        |count: fn(&daedal_boxes::metrics::Counts) -> u64| run.world.counts().map(count).sum();
    Report {
        seed,
        trace: run.world.trace(),
        plan: run.plan.clone(),
        boxes: run.boxes,
        shards: run.shards,
        asked: recorder.asked.len(),
        unknown: recorder.asked.iter().filter(|it| it.ended.is_none()).count(),
        undecided: run.undecided,
        ended_at: run.world.now(),
        turns: run.world.turns(),
        duplicates: sum(|counts| counts.duplicates),
        parked: sum(|counts| counts.copied_out),
        returned: sum(|counts| counts.returned),
        failure,
    }
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string())).unwrap_or_default()
}

struct Run {
    world: World,
    recorder: Rc<RefCell<Recorder>>,
    plan: FaultPlan,
    boxes: usize,
    shards: usize,
    undecided: usize,
}

impl Run {
    fn new(seed: u64, options: &Options) -> Run {
        let random = Random::new(seed);
        let mut shape = random.fork("shape");
        let boxes = 3 + shape.below(3) as usize;
        let shards = 1 + shape.below(4) as usize;
        let mut reactors = random.fork("reactors");
        let per_box = 1 + shape.below(2) as usize;
        let window = 1 + shape.below(6) as u32;
        let share = 20 + shape.below(30) as u32;
        let credit_frames = *shape.choose(&[2, 4, 16, 256]).unwrap_or(&256);
        let setups: Vec<BoxSetup> = (0..boxes)
            .map(|index| BoxSetup {
                name: name_of(index),
                reactors: match index {
                    0 => 1,
                    _ => 1 + reactors.below(REACTORS_MAX) as u8,
                },
            })
            .collect();
        let fault_shape = Shape { boxes: boxes as u16, travel_ns: TRAVEL_NS, quiet_from: QUIET_NS };
        let mut plan = FaultPlan::swarm(fault_shape, &random.fork("faults"));
        if let Some(kinds) = &options.kinds {
            let kept: Vec<Kind> = plan.kinds().intersection(kinds).copied().collect();
            plan = FaultPlan::of(fault_shape, kept, &random.fork("faults"));
        }
        let slots = (boxes - 1) * per_box;
        // The recorder's clock is the world's, which is made after the recorder.
        let clock = Rc::default();
        let recorder = Rc::new(RefCell::new(Recorder::new(Rc::clone(&clock), slots, share)));
        let told = Rc::clone(&recorder);
        let streams = random.fork("clients");
        let starter = move |starting: crate::world::Starting<'_>| {
            let first = usize::from(starting.agent_box).saturating_sub(1) * per_box;
            let count = if starting.agent_box == 0 { 0 } else { per_box };
            for index in 0..count {
                let slot = (first + index) as u32;
                let stream = streams.fork(&format!("slot {slot}, life {}", starting.life));
                let client = Client::new(slot, Job::Work { window }, stream, Rc::clone(&told));
                let path = format!("client{slot}:{}", starting.life + 1);
                let placed = Placed::alone(path_of(&path), starting.space(index as u64));
                let reactor = index % starting.turns.len();
                starting.turns[reactor].host(placed, hosted(client));
            }
        };
        let planted = options.planted;
        let world = World::new(Setup {
            clock,
            random: random.fork("world"),
            system: system(&setups, options, shards),
            boxes: setups,
            templates: templates(),
            plan: plan.clone(),
            limits: LinkLimits { credit_frames, ..LinkLimits::default() },
            trace_bytes_max: options.trace_bytes_max,
            sends_max: planted.and_then(crate::planted::Bug::sends_max),
            forgets: planted == Some(crate::planted::Bug::JournalForgets),
            starter: Box::new(starter),
        });
        Run { world, recorder, plan, boxes, shards, undecided: 0 }
    }

    fn carry_out(&mut self) -> Result<(), Failure> {
        self.until_finished(QUIET_NS)?;
        let settled = self.world.now() + SETTLE_NS;
        while self.world.now() < settled && self.step()? {}
        let (slot, recorder) = (self.audit_slot(), Rc::clone(&self.recorder));
        let client = Client::new(slot, Job::Audit, Random::new(0), recorder);
        let placed =
            Placed::alone(path_of("audit"), daedal_model::control::bootstrap_space(slot.into()));
        let home = self.world.turn(0, 0).expect("all boxes are up when faults are over");
        home.host(placed, hosted(client));
        self.until_finished(settled)?;
        self.judge()
    }

    fn audit_slot(&self) -> u32 {
        self.recorder.borrow().slots.len() as u32 - 1
    }

    fn step(&mut self) -> Result<bool, Failure> {
        if self.world.turns() > TURNS_MAX {
            let text = format!("{TURNS_MAX} turns by {} ns", self.world.now());
            return Err(Failure::Stuck(text));
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
                if self.recorder.borrow().is_finished() {
                    return Ok(());
                }
                let waiting = self.recorder.borrow().waiting();
                let text = format!("at {} ns these wait:\n{waiting}", self.world.now());
                return Err(Failure::Stuck(text));
            }
        }
    }

    fn judge(&mut self) -> Result<(), Failure> {
        let recorder = Rc::clone(&self.recorder);
        let recorder = recorder.borrow();
        if let Some(text) = recorder.violations.first() {
            return Err(Failure::Wrong(text.clone()));
        }
        self.undecided = judge_keys(&recorder)?;
        self.judge_told(&recorder)?;
        self.judge_marks(&recorder)
    }

    /// Whether a box's process is the one that it started with.
    fn crashed(&self, agent_box: u16) -> bool {
        let mut faults = self.plan.events().iter();
        faults.any(|event| event.fault == Fault::Crashed(agent_box))
    }

    fn judge_told(&self, recorder: &Recorder) -> Result<(), Failure> {
        let told: u64 = recorder.slots.iter().map(|slot| slot.told).sum();
        // What a dead client told may have died with it; the counter lives in box 1.
        let safe = recorder.slots.iter().filter(|slot| slot.lives == 1).map(|slot| slot.told).sum();
        let least = if self.crashed(1) { 0 } else { safe };
        let Some((_, counted)) = counted(recorder, |about| matches!(about, About::Count)) else {
            return Err(Failure::Wrong("the counter did not say what it counted".to_owned()));
        };
        between("messages to the counter", counted, least, told)
    }

    fn judge_marks(&self, recorder: &Recorder) -> Result<(), Failure> {
        let marks = recorder.asked.iter().filter(|it| matches!(it.about, About::Mark));
        let (mut most, mut least) = (0, 0);
        for mark in marks {
            most += self.shards as u64;
            least += if mark.ended.is_some() { self.shards as u64 } else { 0 };
        }
        if (1..self.boxes as u16).any(|agent_box| self.crashed(agent_box)) {
            least = 0;
        }
        let Some((_, counted)) = counted(recorder, |about| matches!(about, About::Marks)) else {
            return Err(Failure::Wrong("the shards did not say what they counted".to_owned()));
        };
        between("marks in all shards", counted, least, most)
    }
}

fn counted(recorder: &Recorder, is_it: impl Fn(&About) -> bool) -> Option<(u64, u64)> {
    let last = recorder.asked.iter().rfind(|it| is_it(&it.about))?;
    match &last.ended.as_ref()?.reply {
        Some((life, Told::Count(count))) => Some((*life, *count)),
        _ => None,
    }
}

fn between(what: &str, counted: u64, least: u64, most: u64) -> Result<(), Failure> {
    if (least..=most).contains(&counted) {
        return Ok(());
    }
    let text = format!("not exactly once: {what}: {counted} counted, {least} to {most} sent");
    Err(Failure::Wrong(text))
}

/// Checks the histories of all keys; says how many were too hard to decide.
fn judge_keys(recorder: &Recorder) -> Result<usize, Failure> {
    let mut keys: BTreeMap<(&str, &str), BTreeSet<u64>> = BTreeMap::new();
    for asked in &recorder.asked {
        if let About::Key(key, _) = &asked.about {
            let lives = keys.entry((asked.agent, key)).or_default();
            lives.extend(asked.ended.iter().filter_map(|end| Some(end.reply.as_ref()?.0)));
        }
    }
    let mut undecided = 0;
    for ((agent, key), lives) in keys {
        judge_lives(recorder, agent, key)?;
        for life in lives {
            let history = history(recorder, agent, key, life);
            match linearizable::check(&KeyValue, &history) {
                Ok(()) => {}
                Err(linearizable::Refusal::Undecided { .. }) => undecided += 1,
                Err(refusal) => return Err(Failure::Wrong(refusal.to_string())),
            }
        }
    }
    Ok(undecided)
}

/// What one life of a key's owner answered, and all else that was asked: also what another life answered
/// may have happened in this one before, unheard of, and was done again in the other.
fn history(
    recorder: &Recorder,
    agent: &str,
    key: &str,
    life: u64,
) -> History<String, Action, Output> {
    let mut history = History::new(recorder.asked.len() as u32 + 1);
    let mut ids = BTreeMap::new();
    for moment in &recorder.moments {
        match *moment {
            Moment::Began(id) => {
                let asked = &recorder.asked[id];
                let About::Key(own, action) = &asked.about else { continue };
                let is_refused = asked.ended.as_ref().is_some_and(|ended| ended.reply.is_none());
                if !is_refused && own == key && asked.agent == agent {
                    let name = format!("{agent} {key}, life {life}");
                    let began = history.invoke(asked.slot, asked.at, name, action.clone());
                    ids.insert(id, began.expect("it holds all"));
                }
            }
            Moment::Ended(id) => {
                let Some(began) = ids.get(&id) else { continue };
                let Some(ended) = &recorder.asked[id].ended else { continue };
                if let Some((own, output)) = ended.output()
                    && own == life
                {
                    history.complete(*began, ended.at, output);
                }
            }
        }
    }
    history
}

/// An earlier life never answers what was asked after a later one had answered.
fn judge_lives(recorder: &Recorder, agent: &str, key: &str) -> Result<(), Failure> {
    // By life: at which moment it first answered.
    let mut first: BTreeMap<u64, usize> = BTreeMap::new();
    let mut began: BTreeMap<usize, usize> = BTreeMap::new();
    for (at, moment) in recorder.moments.iter().enumerate() {
        let (Moment::Began(id) | Moment::Ended(id)) = *moment;
        let asked = &recorder.asked[id];
        let About::Key(own, _) = &asked.about else { continue };
        if own != key || asked.agent != agent {
            continue;
        }
        if *moment == Moment::Began(id) {
            began.insert(id, at);
            continue;
        }
        let Some((life, _)) = asked.ended.as_ref().and_then(|ended| ended.reply.as_ref()) else {
            continue;
        };
        let since = *first.entry(*life).or_insert(at);
        let later = first.iter().find(|(_, other)| **other > since && **other < began[&id]);
        if let Some((later, _)) = later {
            let text = format!(
                "{agent} {key}: life {life} answered request {id}, asked after life {later} had \
                 answered: two owners"
            );
            return Err(Failure::Wrong(text));
        }
    }
    Ok(())
}

fn name_of(index: usize) -> String {
    match index {
        0 => "home".to_owned(),
        index => char::from(b'a' + index as u8 - 1).to_string(),
    }
}

fn path_of(text: &str) -> AgentPath {
    AgentPath::parse(text).expect("a scenario's paths are good ones")
}

fn templates() -> Templates {
    let mut templates = Templates::new();
    templates.agent("map", |_| Ok(Map::default()));
    templates.agent("counter", |_| Ok(Counter::default()));
    templates.agent("door", |_| Ok(Door::default()));
    templates.talks_to::<Client>();
    templates
}

fn system(setups: &[BoxSetup], options: &Options, shards: usize) -> System {
    let plain = |template: &str, at: &[&str]| Specification {
        template: template.to_owned(),
        wish: Wish { boxes: at.iter().map(|name| name.to_string()).collect(), ..Wish::default() },
        ..Specification::default()
    };
    let qualities = Qualities { keyed: true, deterministic: true, stateless: false };
    let sharded =
        Specification { qualities, transforms: vec![(options.shard)(shards)], ..plain("map", &[]) };
    let site = |setup: &BoxSetup| Site { name: setup.name.clone(), reactors: setup.reactors };
    System {
        agents: vec![
            (path_of(SHARDED), sharded),
            (path_of(WHOLE), plain("map", &["b"])),
            (path_of(COUNTER), plain("counter", &["a"])),
            (path_of(DOOR), plain("door", &[])),
        ],
        templates: BTreeMap::new(),
        boxes: setups.iter().skip(1).map(site).collect(),
        home: setups[0].name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::{Asked, Ended};
    use crate::linearizable::Value;

    fn recorder(asked: &[(Action, u64, Told)]) -> Recorder {
        let mut recorder = Recorder::new(Rc::default(), 1, 0);
        for (at, (action, life, told)) in asked.iter().enumerate() {
            let about = About::Key("k".to_owned(), action.clone());
            let reply = Some((*life, told.clone()));
            let (at, ended) = (at as u64, Some(Ended { at: at as u64, reply }));
            recorder.asked.push(Asked { slot: 0, agent: WHOLE, about, at, ended });
        }
        recorder
    }

    /// It was done in the first life, whose word of it was lost, and again in the second.
    #[test]
    fn what_a_later_life_answered_an_earlier_one_may_have_done() {
        let set = |text: &str| Action::Set(Value(text.into()));
        let get = |text: &str| (Action::Get, 1, Told::Value(Some(text.into())));
        let mut recorder = recorder(&[(set("a"), 2, Told::Done), get("a"), get("b")]);
        recorder.moments = vec![Moment::Began(0), Moment::Began(1), Moment::Ended(1)];
        recorder.moments.push(Moment::Ended(0));
        assert_eq!(judge_keys(&recorder), Ok(0));
        recorder.moments.extend([Moment::Began(2), Moment::Ended(2)]);
        assert!(matches!(judge_keys(&recorder), Err(Failure::Wrong(_))), "nobody set it to b");
    }
}
