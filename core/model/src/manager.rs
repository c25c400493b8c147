//! The box manager: the agent through which a box takes part in the system.
//!
//! It registers at the controller, reports what runs, and starts and stops agents in its box's reactors
//! when the controller says so. It starts nothing from memory, and nothing that an earlier controller or
//! one that spoke to an earlier process of this box asked for.
//! Invariant: of each agent, the box runs one life at most.
//! Sources: Ovid §6.1, §6.3.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::agent::{Agent, Answer, Archived, Outcome, ReplyTo};
use crate::context::Context;
use crate::control::{
    ArchivedToManager, BoxNameError, Cut, Failure, FromController, FromManager, FromPort, Hosting,
    Legacy, PartEntry, ToController, ToManager, ToPort, Wedged, manager_path, not_restored,
    port_path,
};
use crate::id::{AgentId, BoxId, Number};
use crate::latt::CONTROLLER;
use crate::message::Wire;
use crate::path::AgentPath;
use crate::state::{Captured, State, StateError};

/// How often the controller hears of a box. A controller that restarts knows no addresses, so boxes must
/// notice it, and a link says nothing, and hears nothing, while nothing is to be said.
const BEAT: Duration = Duration::from_secs(1);

/// What a box is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoxDescription {
    /// Its name.
    pub name: String,
    /// How it is reached.
    pub address: String,
    /// How many reactors it has; at least one.
    pub reactors: u8,
    /// Of this process; no other has the same.
    pub incarnation: u64,
}

/// How a box stands with the controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registration {
    /// The answer is outstanding.
    Asking,
    /// It is part of the system.
    Member(BoxId),
    /// The controller does not want it: the box must end and say why.
    Refused(String),
}

/// The agent.
#[derive(Clone, Debug)]
pub struct BoxManager {
    own: BoxDescription,
    ports: Vec<AgentId>,
    registration: Registration,
    registering: Option<Number>,
    /// The last beat, while it is not answered.
    beat: Option<Number>,
    reporting: Option<Number>,
    /// The controller that the box listens to; none while it registers.
    term: Option<u32>,
    /// To be registered as soon as nothing is being started or stopped.
    register_later: bool,
    /// By logical path.
    running: BTreeMap<AgentPath, Hosting>,
    /// Lives that others go on from, by path.
    wedged: BTreeMap<String, Wedged>,
    /// By port and number of the ask.
    busy: BTreeMap<(AgentId, Number), Busy>,
}

/// An agent that is being started, stopped or wedged.
#[derive(Clone, Debug)]
struct Busy {
    path: AgentPath,
    hosting: Hosting,
    is_to: Step,
    askers: Vec<ReplyTo>,
}

/// What is being done to an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Start,
    Stop,
    /// It ends for others, who are cut so.
    Wedge(Cut),
}

impl BoxManager {
    /// The manager of a box.
    /// # Errors
    /// [`BoxNameError`] when the name is none for a box.
    /// # Panics
    /// When the box has no reactor.
    pub fn new(own: BoxDescription) -> Result<BoxManager, BoxNameError> {
        assert!(own.reactors > 0, "a box has at least one reactor");
        manager_path(&own.name)?;
        let port = |reactor| Ok(port_path(&own.name, reactor)?.logical_id());
        let ports = (0..own.reactors).map(port).collect::<Result<_, _>>()?;
        Ok(BoxManager {
            own,
            ports,
            registration: Registration::Asking,
            registering: None,
            beat: None,
            reporting: None,
            term: None,
            register_later: false,
            running: BTreeMap::new(),
            wedged: BTreeMap::new(),
            busy: BTreeMap::new(),
        })
    }

    /// How the box stands with the controller. A member keeps its id while it registers again.
    pub fn registration(&self) -> &Registration {
        &self.registration
    }

    /// What runs, by logical path.
    pub fn running(&self) -> impl Iterator<Item = &Hosting> {
        self.running.values()
    }

    /// Registers, as soon as what runs stands still: what is reported must be the whole of it.
    fn register(&mut self, context: &mut Context<'_, BoxManager>) {
        self.term = None;
        self.register_later = !self.busy.is_empty();
        if self.register_later || matches!(self.registration, Registration::Refused(_)) {
            return;
        }
        let agent_box = match self.registration {
            Registration::Member(id) => id.0,
            _ => 0,
        };
        let BoxDescription { name, address, reactors, incarnation } = self.own.clone();
        let register = ToController::Register { name, address, reactors, incarnation, agent_box };
        self.registering = Some(context.ask(CONTROLLER, &register));
    }

    fn registered(&mut self, agent_box: u16, term: u32, context: &mut Context<'_, BoxManager>) {
        self.registration = Registration::Member(BoxId(agent_box));
        self.registering = None;
        self.term = Some(term);
        let (name, incarnation) = (self.own.name.clone(), self.own.incarnation);
        let running = self.running.values().cloned().collect();
        let wedged = self.wedged.values().cloned().collect();
        let report = ToController::Report { name, incarnation, term, running, wedged };
        self.reporting = Some(context.ask(CONTROLLER, &report));
    }

    fn listens_to(&self, term: u32, incarnation: u64) -> bool {
        self.term == Some(term) && self.own.incarnation == incarnation
    }

    fn start_agent(
        &mut self,
        mut hosting: Hosting,
        legacies: Vec<Legacy>,
        context: &mut Context<'_, BoxManager>,
    ) {
        let path = match AgentPath::parse(&hosting.path) {
            Ok(path) => path.logical(),
            Err(error) => return context.reply(&FromManager::Refused(error.to_string().into())),
        };
        if let Some(running) = self.running.get(&path) {
            return context.reply(&FromManager::Started(running.clone()));
        }
        if let Some(busy) = self.busy.values_mut().find(|busy| busy.path == path) {
            if busy.is_to == Step::Start {
                busy.askers.push(context.reply_address());
                return;
            }
            let why = Failure::for_now(format!("{path} is being stopped; try again"));
            return context.reply(&FromManager::Refused(why));
        }
        let reactor = hosting.reactor.unwrap_or_else(|| self.least_loaded());
        let Some(port) = self.ports.get(usize::from(reactor)).copied() else {
            let (name, reactors) = (&self.own.name, self.own.reactors);
            let why = format!("{path} is pinned to reactor {reactor}; box {name} has {reactors}");
            return context.reply(&FromManager::Refused(why.into()));
        };
        hosting.reactor = Some(reactor);
        let number = context.ask(port, &ToPort::Host(hosting.clone(), legacies));
        let askers = vec![context.reply_address()];
        self.busy.insert((port, number), Busy { path, hosting, is_to: Step::Start, askers });
    }

    fn stop_agent(&mut self, path: &str, context: &mut Context<'_, BoxManager>) {
        let path = match AgentPath::parse(path) {
            Ok(path) => path.logical(),
            Err(error) => return context.reply(&FromManager::Refused(error.to_string().into())),
        };
        if let Some(busy) = self.busy.values_mut().find(|busy| busy.path == path) {
            if busy.is_to == Step::Stop {
                busy.askers.push(context.reply_address());
                return;
            }
            let why = format!("{path} is being started; try again");
            return context.reply(&FromManager::Refused(why.into()));
        }
        let Some(hosting) = self.running.remove(&path) else {
            return context.reply(&FromManager::Stopped);
        };
        let port = self.port_of(&hosting);
        let number = context.ask(port, &ToPort::Unhost { path: hosting.path.clone() });
        let askers = vec![context.reply_address()];
        self.busy.insert((port, number), Busy { path, hosting, is_to: Step::Stop, askers });
    }

    fn port_of(&self, hosting: &Hosting) -> AgentId {
        self.ports[usize::from(hosting.reactor.unwrap_or(0))]
    }

    fn wedge_agent(
        &mut self,
        path: &str,
        parts: Vec<PartEntry>,
        into: Cut,
        context: &mut Context<'_, BoxManager>,
    ) {
        if let Some(wedged) = self.wedged.get(path) {
            return context.reply(&FromManager::Wedged(wedged.clone()));
        }
        let is_it = |hosting: &Hosting| hosting.path == path;
        if let Some(busy) = self.busy.values_mut().find(|busy| is_it(&busy.hosting)) {
            if let Step::Wedge(_) = busy.is_to {
                busy.askers.push(context.reply_address());
                return;
            }
            let why = Failure::for_now(format!("{path} is being started or stopped; try again"));
            return context.reply(&FromManager::Refused(why));
        }
        let found = self.running.iter().find(|(_, hosting)| is_it(hosting));
        let Some(logical) = found.map(|(logical, _)| logical.clone()) else {
            let why = Failure::for_now(format!("{path} does not run here"));
            return context.reply(&FromManager::Refused(why));
        };
        let hosting = self.running.remove(&logical).expect("it was found there");
        let port = self.port_of(&hosting);
        let number = context.ask(port, &ToPort::Wedge { path: path.to_owned(), parts });
        let (is_to, askers) = (Step::Wedge(into), vec![context.reply_address()]);
        self.busy.insert((port, number), Busy { path: logical, hosting, is_to, askers });
    }

    fn collect(&mut self, path: &str, context: &mut Context<'_, BoxManager>) {
        if let Some(wedged) = self.wedged.remove(path) {
            let port = self.port_of(&wedged.hosting);
            context.send(port, &ToPort::Collect { path: path.to_owned() });
        }
        context.reply(&FromManager::Stopped);
    }

    /// The reactor with the fewest agents; of several, the first.
    fn least_loaded(&self) -> u8 {
        let busy = self.busy.values().map(|busy| &busy.hosting);
        let mut load = vec![0usize; self.ports.len()];
        for hosting in self.running.values().chain(busy) {
            load[usize::from(hosting.reactor.unwrap_or(0))] += 1;
        }
        let least = (0..self.own.reactors).min_by_key(|reactor| load[usize::from(*reactor)]);
        least.expect("a box has at least one reactor")
    }

    fn port_answered(&mut self, busy: Busy, answer: &Answer<'_>) -> FromManager {
        let told = match answer.open::<FromPort>().map(FromPort::owned) {
            Ok(FromPort::Refused(why)) => Err(why),
            Ok(told) => Ok(told),
            Err(refusal) => {
                let why = refusal.map_or("the port is gone".to_owned(), |why| why.to_string());
                Err(why.into())
            }
        };
        match (told, busy.is_to) {
            (Ok(_), Step::Start) => {
                self.forget_what_it_goes_back_to(&busy.path, &busy.hosting);
                self.running.insert(busy.path, busy.hosting.clone());
                FromManager::Started(busy.hosting)
            }
            (Ok(_), Step::Stop) => FromManager::Stopped,
            (Ok(told), Step::Wedge(into)) => {
                let constants = match told {
                    FromPort::Ended(constants) => constants,
                    _ => Vec::new(),
                };
                let wedged = Wedged { hosting: busy.hosting, into, constants };
                self.wedged.insert(wedged.hosting.path.clone(), wedged.clone());
                FromManager::Wedged(wedged)
            }
            (Err(why), Step::Start) => FromManager::Refused(why),
            (Err(why), Step::Stop | Step::Wedge(_)) => {
                self.running.insert(busy.path, busy.hosting);
                FromManager::Refused(why)
            }
        }
    }

    /// An agent runs that is cut as before a change which its last life ended for: it has taken what that was, and
    /// nobody is to be told any more that there was such a change.
    fn forget_what_it_goes_back_to(&mut self, path: &AgentPath, hosting: &Hosting) {
        self.wedged.retain(|before, wedged| {
            let is_its = AgentPath::parse(before).is_ok_and(|before| before.logical() == *path);
            !is_its || hosting.cut.since >= wedged.into.since
        });
    }

    fn controller_answered(&mut self, answer: &Answer<'_>, context: &mut Context<'_, BoxManager>) {
        let is_ours = [self.registering, self.reporting].contains(&Some(answer.to));
        if !is_ours || matches!(answer.outcome, Outcome::Unknown) {
            return;
        }
        match answer.open::<FromController>().map(FromController::owned) {
            Ok(FromController::Registered { agent_box, term }) => {
                self.registered(agent_box, term, context);
            }
            Ok(FromController::Reported) => self.reporting = None,
            Ok(FromController::Refused(_, why)) => self.registration = Registration::Refused(why),
            Ok(_) => {
                let why = "the controller did not answer the registration".to_owned();
                self.registration = Registration::Refused(why);
            }
            Err(refusal) => {
                let why = refusal.map_or_else(String::new, |refusal| refusal.to_string());
                self.registration = Registration::Refused(why);
            }
        }
    }
}

impl Agent for BoxManager {
    type Message = ToManager;
    type Reply = FromManager;

    fn start(&mut self, context: &mut Context<'_, BoxManager>) {
        self.register(context);
        context.after(BEAT, &ToManager::Beat);
    }

    fn transition(&mut self, message: &Archived<ToManager>, context: &mut Context<'_, BoxManager>) {
        match ToManager::owned(message) {
            ToManager::ControllerIsNew => {
                for port in &self.ports {
                    context.send(*port, &ToPort::ControllerIsNew);
                }
                self.register(context);
            }
            ToManager::Beat => {
                if self.beat.is_none() {
                    self.beat = Some(context.ask(CONTROLLER, &ToController::Here));
                }
                context.after(BEAT, &ToManager::Beat);
            }
            ToManager::Start { term, incarnation, .. }
            | ToManager::Stop { term, incarnation, .. }
            | ToManager::Wedge { term, incarnation, .. }
            | ToManager::Collect { term, incarnation, .. }
                if !self.listens_to(term, incarnation) =>
            {
                context.reply(&FromManager::Stale);
            }
            ToManager::Start { hosting, legacies, .. } => {
                self.start_agent(hosting, legacies, context);
            }
            ToManager::Wedge { path, parts, into, .. } => {
                self.wedge_agent(&path, parts, into, context);
            }
            ToManager::Collect { path, .. } => self.collect(&path, context),
            ToManager::Stop { path, .. } => self.stop_agent(&path, context),
        }
    }

    /// While it registers it listens to nobody: what it is told to start or stop waits.
    fn wants(&self, message: &Archived<ToManager>) -> bool {
        let is_own =
            matches!(message, ArchivedToManager::ControllerIsNew | ArchivedToManager::Beat);
        is_own || self.term.is_some()
    }

    fn answered(&mut self, answer: &Answer<'_>, context: &mut Context<'_, BoxManager>) {
        if answer.from == AgentId::of(CONTROLLER) && self.beat == Some(answer.to) {
            self.beat = None;
            return;
        }
        if answer.from == AgentId::of(CONTROLLER) {
            return self.controller_answered(answer, context);
        }
        let Some(mut busy) = self.busy.remove(&(answer.from, answer.to)) else { return };
        let askers = std::mem::take(&mut busy.askers);
        let told = self.port_answered(busy, answer);
        for asker in askers {
            context.reply_to(asker, &told);
        }
        if self.register_later {
            self.register(context);
        }
    }
}

impl State for BoxManager {
    const NAME: &'static str = "BoxManager";
    const VERSION: u16 = 1;

    fn capture(&self) -> Captured {
        Captured::new::<BoxManager>()
    }

    fn restore(_: Captured) -> Result<BoxManager, StateError> {
        not_restored()
    }
}
