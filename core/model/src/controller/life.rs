//! The lives of physical agents: placed, started, adopted, lost, ended.

use std::collections::BTreeMap;

use super::retry::Failed;
use super::{Asked, Controller, Specification};
use crate::context::Context;
use crate::control::{FromController, Hosting, Reason, ToManager, manager_path};
use crate::id::{AgentId, Epoch};
use crate::latt::{Latt, Leaf};
use crate::path::AgentPath;
use crate::place::{self, Candidate, PlaceError, Site};

/// A physical agent, through all its lives.
#[derive(Clone, Debug)]
pub(super) struct Life {
    /// The box that it runs in, in all its lives.
    pub(super) site: String,
    /// How many lives it has had; not known of one that an earlier controller may have started.
    lives: Option<u32>,
    /// Epoch of its last life.
    pub(super) epoch: Epoch,
    /// How often in a row it was tried in vain to begin one.
    pub(super) tries: u32,
    pub(super) stage: Stage,
}

/// Where a life stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has not begun, or the one before has ended.
    Ended,
    /// Its box was asked to run it.
    Starting,
    /// It runs.
    Running(Hosting),
    /// Its box was asked to end it.
    Stopping(Hosting),
    /// Its box was asked to end it so that others go on from it.
    Ending,
    /// It could not begin.
    Failed(Failed),
}

impl Stage {
    /// The life, if it runs.
    pub(super) fn running(&self) -> Option<&Hosting> {
        match self {
            Stage::Running(hosting) | Stage::Stopping(hosting) => Some(hosting),
            _ => None,
        }
    }
}

impl Controller {
    /// Finds a box for every agent that has none. `from_start`: no life of them has been.
    /// # Errors
    /// When there is no placement; nothing was changed then.
    pub(super) fn place_new(&mut self, from_start: bool) -> Result<(), PlaceError> {
        for (path, site) in self.placement(&self.latt)? {
            let lives = from_start.then_some(0);
            let new = Life { site, lives, epoch: Epoch(0), tries: 0, stage: Stage::Ended };
            self.lives.entry(path.logical_id()).or_insert(new);
        }
        Ok(())
    }

    /// A box for every agent of a tree; those that have one keep it.
    pub(super) fn placement(&self, latt: &Latt) -> Result<Vec<(AgentPath, String)>, PlaceError> {
        let mut sites = self.sites.clone();
        sites.extend(self.members.iter().filter_map(|(name, guest)| {
            let process = guest.current.as_ref().filter(|_| !self.is_stated(name))?;
            Some(Site { name: name.clone(), reactors: process.reactors })
        }));
        let candidate = |(path, leaf): (&AgentPath, &Leaf)| {
            let mut wish = leaf.wish.clone();
            if wish.boxes.is_empty() {
                // A guest runs only what names it.
                wish.boxes = self.sites.iter().map(|site| site.name.clone()).collect();
            }
            Candidate { path: path.logical(), wish }
        };
        let leaves = latt.leaves().map(|(node, leaf)| (&node.path, leaf));
        let agents: Vec<Candidate> = leaves.map(candidate).collect();
        let site = |agent: &Candidate| {
            let life = self.lives.get(&agent.path.logical_id())?;
            Some((agent.path.clone(), life.site.clone()))
        };
        let placed: BTreeMap<_, _> = agents.iter().filter_map(site).collect();
        Ok(place::place(&sites, &agents, &placed)?.into_iter().collect())
    }

    pub(super) fn set_stage(&mut self, id: AgentId, stage: Stage) {
        if let Some(life) = self.lives.get_mut(&id) {
            life.tries = 0;
            life.stage = stage;
        }
    }

    /// Agents that live in a box, or are being started there.
    pub(super) fn living_in(&self, name: &str) -> impl Iterator<Item = AgentId> {
        let here = self.lives.iter().filter(move |(_, life)| life.site == name);
        here.map(|(id, _)| *id)
    }

    /// A life runs in the box of this manager: it is taken for what it is, whoever started it.
    pub(super) fn adopt(&mut self, hosting: &Hosting, manager: AgentId) {
        let Ok(path) = AgentPath::parse(&hosting.path) else { return };
        let is_manager =
            |name: &&String| manager_path(name).is_ok_and(|path| path.logical_id() == manager);
        let Some(site) = self.members.keys().find(is_manager).cloned() else { return };
        if !self.is_of_the_cut(hosting) {
            return;
        }
        let Some(life) = self.lives.get_mut(&path.logical_id()) else { return };
        if matches!(life.stage, Stage::Running(_) | Stage::Stopping(_) | Stage::Ending) {
            return;
        }
        let lives = path.last().map_or(1, |segment| segment.incarnation);
        life.lives = Some(life.lives.unwrap_or(0).max(lives));
        life.site = site;
        life.epoch = hosting.epoch();
        life.tries = 0;
        life.stage = Stage::Running(hosting.clone());
    }

    /// An agent that an earlier controller created becomes part of the tree again.
    pub(super) fn adopt_unknown(&mut self, hosting: &Hosting, name: &str, term: u32) {
        let Ok(path) = AgentPath::parse(&hosting.path) else { return };
        // This controller knows what it created itself, and what of that has ended.
        if self.latt.at(&path).is_some() || hosting.epoch >= term {
            return;
        }
        let plain =
            Specification { template: hosting.template.clone(), ..Specification::default() };
        let found = self.templates.values().find(|spec| spec.template == hosting.template);
        let mut spec = found.unwrap_or(&plain).clone();
        spec.parameters = hosting.parameters.clone();
        if spec.transforms.is_empty() {
            spec.wish.boxes = vec![name.to_owned()];
        }
        let top = path.top();
        if self.latt.add(&top, &spec).is_ok() && self.place_new(false).is_err() {
            self.remove(&top);
        }
    }

    /// Takes an agent out of the tree, with everything that is known of its lives.
    pub(super) fn remove(&mut self, top: &AgentPath) {
        let ids: Vec<AgentId> =
            self.latt.below(top.logical_id()).iter().map(|node| node.path.logical_id()).collect();
        for id in ids {
            self.lives.remove(&id);
            self.epochs.remove(&id);
            self.cuts.remove(&id);
        }
        self.latt.remove(top);
    }

    pub(super) fn not_stopped(&mut self, id: AgentId) {
        let Some(life) = self.lives.get_mut(&id) else { return };
        if let Stage::Stopping(hosting) = &life.stage {
            life.stage = Stage::Running(hosting.clone());
        }
    }

    /// Whether a life could be running somewhere that has not said so.
    fn may_run_unknown(&self, leaf: &Leaf) -> bool {
        let known = |name: &String| self.members.get(name).is_some_and(|member| member.is_known);
        let named = &leaf.wish.boxes;
        match named.is_empty() {
            true => !self.knows_all(),
            false => !self.reserve.is_first && !named.iter().all(known),
        }
    }

    pub(super) fn start_what_may_start(&mut self, context: &mut Context<'_, Controller>) {
        let Some(term) = self.reserve.term else { return };
        let is_first = self.reserve.is_first;
        for (node, leaf) in self.latt.leaves() {
            let id = node.path.logical_id();
            let Some(life) = self.lives.get(&id) else { continue };
            let process = self.members.get(&life.site).and_then(|member| member.current.as_ref());
            let (Stage::Ended, Some(process)) = (&life.stage, process) else { continue };
            let legacies = self.legacies(node);
            let is_stopping = self.stopping.contains_key(&node.path.top().logical_id());
            let is_to_stop = is_stopping && legacies.is_empty();
            if is_to_stop || self.may_run_unknown(leaf) || !self.may_begin(node) {
                continue;
            }
            let cut = self.cut_of(node);
            let Some((space, epoch)) = self.reserve.take_both() else { return };
            let Some(life) = self.lives.get_mut(&id) else { continue };
            // Epochs outnumber lives; so where the lives were not counted, the epoch is a new number.
            let incarnation = match life.lives.filter(|lives| is_first || *lives > 0) {
                Some(lives) => lives + 1,
                None => epoch.0,
            };
            life.lives = Some(incarnation);
            life.stage = Stage::Starting;
            let hosting = Hosting {
                path: node.path.with_incarnation(incarnation).to_string(),
                template: leaf.template.clone(),
                parameters: leaf.parameters.clone(),
                source: leaf.source.to_string(),
                space: space.0,
                epoch: epoch.0,
                reactor: leaf.wish.reactor,
                first: node.range.first.0,
                last: node.range.last.0,
                cut,
            };
            let Ok(manager) = manager_path(&life.site) else { continue };
            let incarnation = process.incarnation;
            let start = ToManager::Start { hosting, legacies, term, incarnation };
            let number = context.ask(manager.logical_id(), &start);
            let asked = Asked::Start(id);
            self.asked.insert((manager.logical_id(), number), asked);
        }
    }

    pub(super) fn stop_what_runs(&mut self, context: &mut Context<'_, Controller>) {
        let Some(term) = self.reserve.term else { return };
        let tops: Vec<AgentId> = self.stopping.keys().copied().collect();
        for top in tops {
            let mut is_over = true;
            for (node, leaf) in self.latt.leaves_of(top) {
                let id = node.path.logical_id();
                let is_unknown = self.may_run_unknown(leaf);
                let Some(life) = self.lives.get_mut(&id) else { continue };
                is_over &= match life.stage {
                    Stage::Ended => !is_unknown,
                    Stage::Failed(_) => true,
                    _ => false,
                };
                let Stage::Running(hosting) = &life.stage else { continue };
                let member = self.members.get(&life.site);
                let process = member.and_then(|member| member.current.as_ref());
                let (Some(process), Ok(manager)) = (process, manager_path(&life.site)) else {
                    continue;
                };
                let (path, incarnation) = (hosting.path.clone(), process.incarnation);
                life.stage = Stage::Stopping(hosting.clone());
                let stop = ToManager::Stop { path, term, incarnation };
                let number = context.ask(manager.logical_id(), &stop);
                self.asked.insert((manager.logical_id(), number), Asked::Stop(id));
            }
            if is_over {
                let path = self.latt.get(top).map(|node| node.path.clone());
                path.into_iter().for_each(|path| self.remove(&path));
                for asker in self.stopping.remove(&top).unwrap_or_default() {
                    context.reply_to(asker, &FromController::Stopped);
                }
            }
        }
    }

    pub(super) fn tell_creators(&mut self, context: &mut Context<'_, Controller>) {
        let creating = std::mem::take(&mut self.creating);
        for (id, askers) in creating {
            let stages: Vec<&Stage> = self
                .latt
                .leaves_of(id)
                .filter_map(|(node, _)| self.lives.get(&node.path.logical_id()))
                .map(|life| &life.stage)
                .collect();
            let failed = stages.iter().find_map(|stage| match stage {
                Stage::Failed(failed) => Some(failed.why.clone()),
                _ => None,
            });
            let told = match failed {
                Some(why) => FromController::Refused(Reason::Invalid, why),
                None if stages.is_empty() => {
                    let why = "it was stopped, or its box has ended".to_owned();
                    FromController::Refused(Reason::UnknownAgent, why)
                }
                None if stages.iter().all(|stage| stage.running().is_some()) => {
                    FromController::Created
                }
                None => {
                    self.creating.insert(id, askers);
                    continue;
                }
            };
            askers.into_iter().for_each(|asker| context.reply_to(asker, &told));
        }
    }
}
