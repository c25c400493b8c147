//! What a seed draws: boxes, what their agents become, clients and how they work, faults.
//!
//! Each part comes from a stream of its own, so that what is cut away leaves the rest as it was.

use std::fmt;
use std::rc::Rc;

use daedal_boxes::template::Templates;
use daedal_model::controller::System;
use daedal_model::id::AgentId;
use daedal_model::latt::Specification;
use daedal_model::path::AgentPath;
use daedal_model::place::{Site, Wish};
use daedal_model::refine::{Qualities, Transformation};

use super::{Options, Transforms};
use crate::agents::{Counter, Door, Map};
use crate::clients::{COUNTER, Client, DOOR, ECHO, LEDGER, Pace, SHARDED, WHOLE, Work};
use crate::fault::{Fault, FaultEvent, FaultPlan, Kind, Shape};
use crate::operator::{Change, Operator};
use crate::random::Random;
use crate::scribe::Scribe;
use crate::visitors::{Visitor, VisitorHost};
use crate::world::{BoxSetup, REACTORS_MAX};

/// How long a frame travels, in virtual nanoseconds.
const TRAVEL_NS: u64 = 50_000;
/// When faults are over.
const QUIET_NS: u64 = 3_000_000_000;
/// How many seeds have a heavy load, per million.
const HEAVY_PER_MILLION: u32 = 125_000;
/// How often clients under heavy load fill their windows: some 25 times while there are faults.
const BURST_NS: u64 = 120_000_000;
/// How many seeds change the number of shards of each agent that has some, per million.
const CHANGES_PER_MILLION: u32 = 500_000;
/// How many seeds have visitors, per million, and how many of them at most.
const VISITED_PER_MILLION: u32 = 400_000;
const VISITS_MAX: u64 = 100;
/// Fewest boxes: the controller's, and the two that agents are pinned to.
const BOXES_MIN: usize = 3;

/// One step of what an agent becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Shards, so many.
    Shard(usize),
    /// Copies, so many.
    Balance(usize),
    /// The stage.
    Ordered,
}

/// What an agent becomes, outermost first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form(pub Vec<Part>);

impl Form {
    /// How many physical agents there are.
    pub fn leaves(&self) -> usize {
        let children = |part: &Part| match part {
            Part::Shard(count) | Part::Balance(count) => *count,
            Part::Ordered => 1,
        };
        self.0.iter().map(children).product()
    }

    fn is_ordered(&self) -> bool {
        self.0.contains(&Part::Ordered)
    }

    /// Of the agent of this name: path of the one whose parts are the shards, if there is one such.
    fn path_of_shards(&self, name: &str) -> Option<String> {
        match self.0[..] {
            [Part::Shard(_)] | [Part::Shard(_), Part::Ordered] => Some(name.to_owned()),
            [Part::Ordered, Part::Shard(_)] => Some(format!("{name}/line1")),
            _ => None,
        }
    }

    fn has_copies(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Balance(_)))
    }

    fn transforms(&self, by: &Transforms) -> Vec<Rc<dyn Transformation>> {
        let one = |part: &Part| match *part {
            Part::Shard(count) => (by.shard)(count),
            Part::Balance(count) => (by.balance)(count),
            Part::Ordered => (by.ordered)(),
        };
        self.0.iter().map(one).collect()
    }
}

/// What one seed is a run of.
#[derive(Clone, Debug)]
pub struct Case {
    /// All boxes; the first is the controller's.
    pub boxes: Vec<BoxSetup>,
    /// What the sharded map becomes.
    pub sharded: Form,
    /// What the ledger becomes.
    pub ledger: Form,
    /// What the echo becomes.
    pub echo: Form,
    /// Clients at a time.
    pub clients: usize,
    /// What each slot of a client issues.
    pub requests: u32,
    /// How clients work.
    pub work: Work,
    /// Frames that a link may have under way.
    pub credit_frames: u32,
    /// Messages that an agent keeps which it cannot handle yet.
    pub inbox_messages: usize,
    /// What goes wrong.
    pub plan: FaultPlan,
    /// When the sharded map or the ledger is cut into another number of shards.
    pub changes: Vec<Change>,
    /// Agents that come, send some notes, and end.
    pub visits: u32,
}

impl Case {
    /// What this seed draws, and what `options` leave of it.
    pub fn draw(seed: u64, options: &Options) -> Case {
        let (random, cut) = (Random::new(seed), &options.cut);
        let mut shape = random.fork("shape");
        let boxes_drawn = BOXES_MIN + shape.below(4) as usize;
        let per_box = 1 + shape.below(2) as usize;
        let credit_frames = *shape.choose(&[2, 4, 16, 256]).unwrap_or(&256);
        let boxes = boxes_drawn.min(cut.boxes.unwrap_or(boxes_drawn)).max(BOXES_MIN);
        let mut reactors = random.fork("reactors");
        let boxes: Vec<BoxSetup> = (0..boxes)
            .map(|index| BoxSetup {
                name: name_of(index),
                reactors: match index {
                    0 => 1,
                    _ => 1 + reactors.below(REACTORS_MAX) as u8,
                },
            })
            .collect();
        let mut forms = random.fork("forms");
        let (sharded, ledger, echo) = (sharded(&mut forms), ledger(&mut forms), echo(&mut forms));
        let says_order = forms.chance(500_000) || !ledger.is_ordered();
        let changes = changes(&sharded, &ledger, &random);
        let mut load = random.fork("load");
        let is_heavy = load.chance(HEAVY_PER_MILLION);
        let (mut work, requests) = match options.is_heavy.unwrap_or(is_heavy) {
            false if changes.is_empty() => light(&mut load),
            false => lasting(&mut load),
            true => heavy(&mut load),
        };
        work.says_order = says_order;
        // What is for every part and meets copies goes to one here and to all there; nobody says which.
        work.in_copies = ledger.has_copies();
        work.window = work.window.min(cut.window.unwrap_or(u32::MAX)).max(1);
        let clients = (boxes_drawn - 1) * per_box;
        Case {
            plan: plan(boxes.len(), &changes, options, &random),
            boxes,
            sharded,
            ledger,
            echo,
            clients: clients.min(cut.clients.unwrap_or(clients)),
            requests: requests.min(cut.requests.unwrap_or(requests)),
            work,
            credit_frames,
            inbox_messages: *random.fork("inboxes").choose(&[1, 3, 16, 1024]).unwrap_or(&1024),
            changes,
            visits: visits(&mut random.fork("visits")),
        }
    }

    /// How many parts of the sharded map do what is for all, at the least and at the most: as many as it is
    /// cut for, and that may be for the shards of before and of after a change.
    pub fn parts_of_sharded(&self) -> (u64, u64) {
        self.parts(SHARDED, &self.sharded)
    }

    /// The same of the ledger.
    pub fn parts_of_ledger(&self) -> (u64, u64) {
        self.parts(LEDGER, &self.ledger)
    }

    fn parts(&self, name: &str, form: &Form) -> (u64, u64) {
        let (leaves, path) = (form.leaves() as u64, form.path_of_shards(name));
        let changes = self.changes.iter().filter(|change| Some(&change.path) == path.as_ref());
        let counts = changes.map(|change| u64::from(change.shards));
        let fewest = counts.clone().chain([leaves]).min().unwrap_or(leaves);
        (fewest, counts.sum::<u64>() + leaves)
    }

    /// The agents that promise order. Lines are per leaf: what comes back from a copy that died goes to
    /// another, behind what was sent there before.
    pub fn ordered(&self) -> Vec<AgentId> {
        let dies = |it: &FaultEvent| matches!(it.fault, Fault::Crashed(1..));
        let any_dies = self.plan.events().iter().any(dies);
        let mut agents = vec![(LEDGER, &self.ledger)];
        agents.extend(self.echo.is_ordered().then_some((ECHO, &self.echo)));
        agents.retain(|(_, form)| !(any_dies && form.has_copies()));
        agents.into_iter().map(|(agent, _)| AgentId::of(agent)).collect()
    }

    /// Where the client of a slot lives: its box, and which of the box's reactors.
    pub fn home_of(&self, slot: usize) -> (u16, usize) {
        let others = self.boxes.len() - 1;
        let (agent_box, index) = (1 + slot % others, slot / others);
        (agent_box as u16, index % usize::from(self.boxes[agent_box].reactors))
    }

    /// What the controller runs.
    pub fn system(&self, by: &Transforms) -> System {
        let plain = |template: &str, at: &[&str]| Specification {
            template: template.to_owned(),
            wish: Wish {
                boxes: at.iter().map(|name| name.to_string()).collect(),
                ..Wish::default()
            },
            ..Specification::default()
        };
        let transformed = |template: &str, form: &Form, stateless: bool| Specification {
            qualities: Qualities { keyed: true, deterministic: true, stateless },
            transforms: form.transforms(by),
            ..plain(template, &[])
        };
        let site = |setup: &BoxSetup| Site { name: setup.name.clone(), reactors: setup.reactors };
        System {
            agents: vec![
                (path_of(SHARDED), transformed("map", &self.sharded, false)),
                (path_of(WHOLE), plain("map", &["b"])),
                (path_of(COUNTER), plain("counter", &["a"])),
                (path_of(DOOR), plain("door", &[])),
                (path_of(LEDGER), transformed("scribe", &self.ledger, true)),
                (path_of(ECHO), transformed("scribe", &self.echo, true)),
            ],
            templates: [("visitor".to_owned(), plain("visitor", &["a"]))].into(),
            boxes: self.boxes.iter().skip(1).map(site).collect(),
            home: self.boxes[0].name.clone(),
        }
    }
}

/// Boxes with their reactors, forms, changes, visitors, clients and load: a line for each.
impl fmt::Display for Case {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let boxes: Vec<String> = (self.boxes.iter())
            .map(|it| format!("{} ({} reactors)", it.name, it.reactors))
            .collect();
        writeln!(out, "boxes: {}; links have {} frames", boxes.join(", "), self.credit_frames)?;
        let Case { sharded, ledger, echo, clients, requests, work, .. } = self;
        let Form(sharded) = sharded;
        writeln!(out, "{SHARDED}: {sharded:?}; {LEDGER}: {:?}; {ECHO}: {:?}", ledger.0, echo.0)?;
        for Change { at, path, shards } in &self.changes {
            writeln!(out, "at {at}: {path} in {shards} shards")?;
        }
        writeln!(out, "{} visitors", self.visits)?;
        writeln!(out, "{clients} clients with {requests} requests each: {work:?}")
    }
}

/// To some seeds visitors come.
fn visits(random: &mut Random) -> u32 {
    if random.chance(VISITED_PER_MILLION) { 1 + random.below(VISITS_MAX) as u32 } else { 0 }
}

/// Some seeds change what stands while there are faults.
fn changes(sharded: &Form, ledger: &Form, random: &Random) -> Vec<Change> {
    let mut changes = Vec::new();
    for (name, form) in [(SHARDED, sharded), (LEDGER, ledger)] {
        let mut random = random.fork(&format!("changes of {name}"));
        let path = form.path_of_shards(name);
        let Some(path) = path.filter(|_| random.chance(CHANGES_PER_MILLION)) else { continue };
        let count = 1 + random.below(5);
        changes.extend((0..count).map(|_| {
            let (at, shards) = (random.below(QUIET_NS), 1 + random.below(5) as u32);
            Change { at, path: path.clone(), shards }
        }));
    }
    changes.sort_unstable_by_key(|change| change.at);
    changes
}

fn plan(boxes: usize, changes: &[Change], options: &Options, random: &Random) -> FaultPlan {
    let shape = Shape { boxes: boxes as u16, travel_ns: TRAVEL_NS, quiet_from: QUIET_NS };
    let random = random.fork("faults");
    let mut plan = FaultPlan::swarm(shape, &random);
    if let Some(kinds) = &options.cut.kinds {
        let kept: Vec<Kind> = plan.kinds().intersection(kinds).copied().collect();
        plan = FaultPlan::of(shape, kept, &random);
    }
    let moments: Vec<u64> = changes.iter().map(|change| change.at).collect();
    plan.aim(&moments, &random.fork("aimed"));
    if let Some(outages) = &options.cut.outages {
        plan.keep_outages(outages);
    }
    if let Some(until) = options.cut.until_ns {
        plan.end_at(until);
    }
    plan
}

fn light(random: &mut Random) -> (Work, u32) {
    let mean_ns = *random.choose(&[1_000_000, 10_000_000, 30_000_000, 100_000_000]).unwrap_or(&1);
    let window = 1 + random.below(6) as u32;
    let requests = 20 + random.below(30) as u32;
    (Work { window, keys: 5, ..work(Pace::Thinks { mean_ns }) }, requests)
}

/// Clients that are at work as long as there are faults, so that changes meet them.
fn lasting(random: &mut Random) -> (Work, u32) {
    let window = 1 + random.below(6) as u32;
    let requests = 100 + random.below(100) as u32;
    // Every second answer is thought about.
    let mean_ns = QUIET_NS * 2 * u64::from(window) / u64::from(requests);
    (Work { window, keys: 5, ..work(Pace::Thinks { mean_ns }) }, requests)
}

/// Deep pipelines, over all the time in which there are faults. Many keys, since what overlaps on one key
/// is hard to judge.
fn heavy(random: &mut Random) -> (Work, u32) {
    let window = 16 + random.below(33) as u32;
    let requests = window * (5 + random.below(16) as u32);
    (Work { window, keys: 400, ..work(Pace::Bursts { every_ns: BURST_NS }) }, requests)
}

fn work(pace: Pace) -> Work {
    Work { window: 1, pace, keys: 1, says_order: false, in_copies: false }
}

fn sharded(random: &mut Random) -> Form {
    let shards = Part::Shard(1 + random.below(4) as usize);
    let forms = [
        vec![shards],
        vec![shards],
        vec![Part::Shard(2), shards],
        vec![shards, Part::Ordered],
        vec![Part::Ordered, shards],
    ];
    chosen(&forms, random)
}

/// Whatever it becomes, it is in order: where no stage says so, its clients do.
fn ledger(random: &mut Random) -> Form {
    let (shards, copies) = (Part::Shard(1 + random.below(4) as usize), Part::Balance(2));
    let forms = [
        vec![],
        vec![shards],
        vec![copies],
        vec![Part::Ordered],
        vec![shards, Part::Ordered],
        vec![Part::Ordered, shards],
        vec![copies, Part::Ordered],
        vec![Part::Ordered, copies],
        vec![Part::Shard(2), Part::Shard(2)],
        vec![Part::Shard(2), Part::Ordered, Part::Shard(2)],
    ];
    chosen(&forms, random)
}

fn echo(random: &mut Random) -> Form {
    let copies = Part::Balance(1 + random.below(4) as usize);
    let forms = [
        vec![copies],
        vec![copies],
        vec![copies, Part::Balance(2)],
        vec![copies, Part::Shard(2)],
        vec![Part::Shard(2), copies],
        vec![copies, Part::Ordered],
    ];
    chosen(&forms, random)
}

fn chosen(forms: &[Vec<Part>], random: &mut Random) -> Form {
    Form(random.choose(forms).cloned().unwrap_or_default())
}

fn name_of(index: usize) -> String {
    match index {
        0 => "home".to_owned(),
        index => char::from(b'a' + index as u8 - 1).to_string(),
    }
}

/// A path of a scenario.
pub fn path_of(text: &str) -> AgentPath {
    AgentPath::parse(text).expect("a scenario's paths are good ones")
}

/// What boxes of a scenario can make.
pub fn templates() -> Templates {
    let mut templates = Templates::new();
    templates.agent("map", |_| Ok(Map::default()));
    templates.agent("counter", |_| Ok(Counter::default()));
    templates.agent("door", |_| Ok(Door::default()));
    templates.agent("scribe", |_| Ok(Scribe::begin()));
    templates.agent("visitor", |parameters| Ok(Visitor::made(parameters)?));
    templates.talks_to::<Client>().talks_to::<Operator>().talks_to::<VisitorHost>();
    templates
}
