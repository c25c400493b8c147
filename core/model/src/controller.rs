//! The controller: the agent that knows what there is, decides where it runs, and tells who asks.
//!
//! Data does not pass it, and flows while it is away. What it must not forget (the highest space and
//! epoch) its journal keeps for it; the rest it learns again: boxes report what they run, and it adopts
//! that. Of an agent that some box may still run, it starts no other life.
//! Deliberately absent: moving agents between boxes as they are, giving up boxes that are away (it needs a fence).
//! Invariants: no space and no epoch is given twice, also by controllers one after the other; nothing
//! about an agent is told before it runs; each life of an agent has a physical id of its own.
//! Sources: Ovid §6.2, §6.3; Escher §2.2.

mod change;
mod describe;
mod life;
mod lookup;
mod member;
mod reserve;
mod retry;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::agent::{Agent, Answer, Archived, ReplyTo};
use crate::context::Context;
use crate::control::{Cut, FromController, FromManager, Hosting, Raised, Reason, ToController};
use crate::id::{AgentId, BoxId, Epoch, Number};
use crate::latt::{Latt, LattError, Specification};
use crate::message::Wire;
use crate::path::AgentPath;
use crate::place::{PlaceError, Site};
use crate::state::{Captured, State, StateError};

use change::Change;
use life::{Life, Stage};
use lookup::Waiting;
use member::{Member, Process};
use reserve::Reserve;

/// A system, as it is stated.
#[derive(Clone, Debug, Default)]
pub struct System {
    /// Its agents, by path of the top level.
    pub agents: Vec<(AgentPath, Specification)>,
    /// What can be created while it runs, by name.
    pub templates: BTreeMap<String, Specification>,
    /// The boxes that agents are placed on. A box that is not among them is a guest: it runs what is
    /// created in it by name, and that ends with it.
    pub boxes: Vec<Site>,
    /// Name of the box that the controller itself runs in: it has box id 0.
    pub home: String,
}

/// A system that cannot be as it is stated.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SystemError {
    /// An agent that does not fit into the tree.
    #[error(transparent)]
    Latt(#[from] LattError),
    /// Agents that do not fit into the boxes.
    #[error(transparent)]
    Place(#[from] PlaceError),
}

/// The agent.
#[derive(Clone, Debug)]
pub struct Controller {
    latt: Latt,
    templates: BTreeMap<String, Specification>,
    sites: Vec<Site>,
    home: String,
    reserve: Reserve,
    /// One for each physical agent, by logical id.
    lives: BTreeMap<AgentId, Life>,
    /// Epochs of virtual agents' routes.
    epochs: BTreeMap<AgentId, Epoch>,
    /// How virtual agents are cut that are not as they were stated.
    cuts: BTreeMap<AgentId, Cut>,
    /// By the agent that is being cut anew.
    changes: BTreeMap<AgentId, Change>,
    /// By name.
    members: BTreeMap<String, Member>,
    /// Who waits for this controller's term, and the id of their box.
    registering: Vec<(ReplyTo, BoxId)>,
    /// What is asked of managers and of the journal, and not answered.
    asked: BTreeMap<(AgentId, Number), Asked>,
    /// Look-ups that are not answered, or not in full.
    waiting: Vec<Waiting>,
    /// Who waits for an agent to run, by its logical id.
    creating: BTreeMap<AgentId, Vec<ReplyTo>>,
    /// Who waits for an agent to end, by its logical id.
    stopping: BTreeMap<AgentId, Vec<ReplyTo>>,
}

/// What an answer will be about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Raise,
    /// A physical agent, by logical id.
    Start(AgentId),
    Stop(AgentId),
    /// The agent that is cut anew, and the life that is to end for that.
    Wedge(AgentId, String),
}

impl Controller {
    /// The controller of a system, in which nothing runs as far as it knows.
    /// # Errors
    /// [`SystemError`] when the system cannot be as it is stated.
    pub fn new(system: &System) -> Result<Controller, SystemError> {
        let mut controller = Controller {
            latt: Latt::default(),
            templates: system.templates.clone(),
            sites: system.boxes.clone(),
            home: system.home.clone(),
            reserve: Reserve::default(),
            lives: BTreeMap::new(),
            epochs: BTreeMap::new(),
            cuts: BTreeMap::new(),
            changes: BTreeMap::new(),
            members: BTreeMap::new(),
            registering: Vec::new(),
            asked: BTreeMap::new(),
            waiting: Vec::new(),
            creating: BTreeMap::new(),
            stopping: BTreeMap::new(),
        };
        for (path, spec) in &system.agents {
            controller.latt.add(path, spec)?;
        }
        controller.place_new(true)?;
        Ok(controller)
    }

    /// The tree.
    pub fn latt(&self) -> &Latt {
        &self.latt
    }

    /// The lives that run, as far as the controller knows.
    pub fn running(&self) -> impl Iterator<Item = &Hosting> {
        self.lives.values().filter_map(|life| life.stage.running())
    }

    /// Does what can be done now. Called after everything that happens.
    fn advance(&mut self, context: &mut Context<'_, Controller>) {
        if self.reserve.wants_more() {
            self.raise(context);
        }
        self.go_on_with_changes(context);
        self.start_what_may_start(context);
        self.stop_what_runs(context);
        self.tell_creators(context);
        self.tell_clients(context);
    }

    fn create(
        &mut self,
        path: &str,
        spec: Result<Specification, String>,
        context: &mut Context<'_, Controller>,
    ) {
        let asker = context.reply_address();
        match self.try_create(path, spec) {
            Ok(id) => self.creating.entry(id).or_default().push(asker),
            Err(why) => context.reply(&FromController::Refused(Reason::Invalid, why)),
        }
    }

    /// The template, changed as a creator wishes.
    fn specify(
        &self,
        template: &str,
        parameters: String,
        agent_box: Option<String>,
        reactor: Option<u8>,
    ) -> Result<Specification, String> {
        let Some(found) = self.templates.get(template) else {
            let names: Vec<&str> = self.templates.keys().map(String::as_str).collect();
            return Err(format!("no template {template:?}; there are: {}", names.join(", ")));
        };
        let mut spec = found.clone();
        if !parameters.is_empty() {
            spec.parameters = parameters;
        }
        if let Some(name) = agent_box {
            spec.wish.boxes = vec![name];
        }
        spec.wish.reactor = reactor.or(spec.wish.reactor);
        Ok(spec)
    }

    fn try_create(
        &mut self,
        path: &str,
        spec: Result<Specification, String>,
    ) -> Result<AgentId, String> {
        let path = AgentPath::parse(path).map_err(|error| error.to_string())?;
        let (spec, id) = (spec?, path.logical_id());
        if self.stopping.contains_key(&id) {
            return Err(format!("{path} is being stopped; try again"));
        }
        // Said again, by a creator whose answer was lost with an earlier controller: not a second one.
        if self.latt.leaves_of(id).any(|(node, leaf)| {
            let site = self.lives.get(&node.path.logical_id()).map(|life| &life.site);
            let placed = |name| spec.wish.boxes.is_empty() || spec.wish.boxes.contains(name);
            (&leaf.template, &leaf.parameters) == (&spec.template, &spec.parameters)
                && node.path.top().logical_id() == id
                && site.is_some_and(placed)
        }) {
            return Ok(id);
        }
        self.latt.add(&path, &spec).map_err(|error| error.to_string())?;
        self.place_new(false).map_err(|error| {
            self.latt.remove(&path);
            error.to_string()
        })?;
        Ok(id)
    }

    fn stop(&mut self, path: &str, context: &mut Context<'_, Controller>) {
        let known = AgentPath::parse(path).map_err(|error| error.to_string()).and_then(|path| {
            let is_top = path.depth() == 1 && self.latt.at(&path).is_some();
            is_top.then(|| path.logical_id()).ok_or_else(|| {
                format!("{path} is no agent of the top level; `daedal tree` shows those")
            })
        });
        match known {
            Ok(id) => self.stopping.entry(id).or_default().push(context.reply_address()),
            Err(why) => context.reply(&FromController::Refused(Reason::UnknownAgent, why)),
        }
    }

    fn manager_answered(
        &mut self,
        asked: &Asked,
        answer: &Answer<'_>,
        context: &mut Context<'_, Controller>,
    ) {
        let told = answer.open::<FromManager>().map(FromManager::owned);
        match (asked, told) {
            (Asked::Start(_), Ok(FromManager::Started(hosting))) => {
                self.adopt(&hosting, answer.from)
            }
            (Asked::Stop(id), Ok(FromManager::Stopped)) => self.set_stage(*id, Stage::Ended),
            (Asked::Start(id), Ok(FromManager::Refused(failure))) => {
                self.not_started(*id, failure, context);
            }
            (Asked::Stop(id), Ok(FromManager::Refused(_))) => self.not_stopped(*id),
            (Asked::Wedge(id, path), Ok(FromManager::Wedged(wedged))) => {
                self.part_wedged(*id, path, wedged);
            }
            (Asked::Wedge(id, path), Ok(FromManager::Refused(failure))) => {
                self.part_not_wedged(*id, path, failure);
            }
            (Asked::Wedge(id, path), Err(None)) => self.part_unheard(*id, path),
            // Another process of the box was meant, or the box listens to another controller; or the
            // link broke. Whoever is there registers, and reports.
            _ => {}
        }
    }
}

impl Agent for Controller {
    type Message = ToController;
    type Reply = FromController;

    fn start(&mut self, context: &mut Context<'_, Controller>) {
        self.advance(context);
    }

    fn transition(
        &mut self,
        message: &Archived<ToController>,
        context: &mut Context<'_, Controller>,
    ) {
        match ToController::owned(message) {
            ToController::Register { name, address, reactors, incarnation, agent_box } => {
                let applicant = Process { address, reactors, incarnation };
                self.register(name, applicant, agent_box, context);
            }
            ToController::Report { name, incarnation, term, running, wedged } => {
                let told = self.report(&name, (incarnation, term), &running, wedged, context);
                context.reply(&told);
            }
            ToController::Gone { name, incarnation } => {
                self.gone(&name, incarnation);
                context.reply(&FromController::Reported);
            }
            ToController::Here => context.reply(&FromController::Reported),
            ToController::Lookup { destination, source } => {
                self.look_up(AgentId(destination), source, context);
            }
            ToController::Create { path, template, parameters, agent_box, reactor } => {
                let spec = self.specify(&template, parameters, agent_box, reactor);
                self.create(&path, spec, context);
            }
            ToController::Stop { path } => self.stop(&path, context),
            ToController::Reshard { path, shards } => self.reshard(&path, shards, context),
            ToController::Describe(view) => {
                context.reply(&FromController::Text(self.describe(view, context.now())));
            }
            ToController::Boxes => context.reply(&FromController::Boxes(self.box_states())),
            ToController::Retry => self.retry(context.now()),
        }
        self.advance(context);
    }

    fn answered(&mut self, answer: &Answer<'_>, context: &mut Context<'_, Controller>) {
        let Some(asked) = self.asked.remove(&(answer.from, answer.to)) else { return };
        match asked {
            Asked::Raise => {
                let raised = answer.open::<Raised>().map(Raised::owned).ok();
                self.raised(raised, context);
            }
            asked => self.manager_answered(&asked, answer, context),
        }
        self.advance(context);
    }
}

impl State for Controller {
    const NAME: &'static str = "Controller";
    const VERSION: u16 = 1;

    fn capture(&self) -> Captured {
        Captured::new::<Controller>()
    }

    fn restore(_: Captured) -> Result<Controller, StateError> {
        crate::control::not_restored()
    }
}
