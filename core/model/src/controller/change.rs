//! Agents that are cut into another number of parts while they run (Ovid §5, §6.3).
//!
//! The old parts end, each when it can say what it was (it is *wedged*); when the last has, the tree is cut
//! anew, and the new parts start, which fetch their points from the reactors where the old ones ran. Clients
//! hold what they have for them meanwhile; they are told of a new part once it runs. When all do, what was
//! kept of the old ones is collected.
//!
//! A change goes on once the first part has ended, also by the next controller: boxes report what they keep. A part
//! whose box dies meanwhile is lost as by any crash. Before that it ends when some part says that it can never
//! end so, since what its state is does not split: all parts are of one kind, and go on.
//! Invariant: no new part starts before every old one has said that it ended, or its process has.

use std::collections::BTreeSet;

use super::life::Stage;
use super::{Asked, Controller};
use crate::agent::ReplyTo;
use crate::context::Context;
use crate::control::{
    Cut, Failure, FromController, Hosting, Legacy, PartEntry, Reason, ToController, ToManager,
    Wedged, manager_path, port_path,
};
use crate::id::{AgentId, Epoch, Stamp};
use crate::latt::{Kind, Latt, Node};
use crate::path::AgentPath;
use crate::point::PointRange;

/// How long a part that could not end is left in peace.
const AGAIN: std::time::Duration = std::time::Duration::from_millis(200);

/// A change under way.
#[derive(Clone, Debug)]
pub(super) struct Change {
    into: Cut,
    old: Vec<Old>,
    /// Whether the tree is cut anew: the old ones have ended.
    is_recut: bool,
    /// New parts that have run.
    begun: BTreeSet<AgentId>,
    /// Why some part will never end.
    refused: Option<String>,
    askers: Vec<ReplyTo>,
    began: Stamp,
    /// Since when some part does not run.
    paused: Option<Stamp>,
}

/// A part that ends.
#[derive(Clone, Debug)]
struct Old {
    hosting: Hosting,
    site: String,
    stage: OldStage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OldStage {
    Runs,
    /// It was asked to end.
    Asked,
    /// It could not, and is asked again then.
    Again(Stamp),
    /// Its reactor keeps what it was.
    Wedged,
    /// Its process has ended, and what it was is gone.
    Gone,
}

impl Controller {
    pub(super) fn reshard(
        &mut self,
        path: &str,
        shards: u32,
        context: &mut Context<'_, Controller>,
    ) {
        let asker = context.reply_address();
        match self.try_reshard(path, shards, context.now()) {
            Ok(Some(change)) => change.askers.push(asker),
            Ok(None) => context.reply(&FromController::Resharded { took_ns: 0, paused_ns: 0 }),
            Err(why) => context.reply(&FromController::Refused(Reason::Invalid, why)),
        }
    }

    /// The change, which may be under way; `None`: there is nothing to do.
    fn try_reshard(
        &mut self,
        path: &str,
        shards: u32,
        now: Stamp,
    ) -> Result<Option<&mut Change>, String> {
        let path = AgentPath::parse(path).map_err(|error| error.to_string())?;
        let node = self.latt.at(&path).ok_or_else(|| {
            format!("there is no agent {path}; `daedal tree` shows those that there are")
        })?;
        if !self.knows_all() {
            // The statement may not be how it is cut.
            return Err("the controller does not know yet what all boxes run: try again, and see `daedal boxes` \
                        for those that have not come".to_owned());
        }
        let (id, path) = (node.path.logical_id(), node.path.logical());
        let Kind::Virtual { transformation, children } = &node.kind else {
            return Err(format!("{path} is in one piece: only what is sharded can be resharded"));
        };
        let Some(other) = transformation.recut(shards as usize) else {
            let label = transformation.label();
            return Err(format!("{path} becomes others by `{label}`, which cannot be resharded"));
        };
        let count = children.len();
        other.expand(&node.path, node.range).map_err(|error| error.to_string())?;
        let is_same_top =
            |other: &AgentId| self.latt.get(*other).is_some_and(|it| it.path.top() == path.top());
        if let Some(other) = self.changes.keys().copied().find(is_same_top) {
            let change = self.changes.get_mut(&other).expect("it was found there");
            let (is_it, into) = (other == id, change.into.children);
            return match is_it && into == shards {
                true => Ok(Some(change)),
                false => Err(format!("{path} is being cut into {into}: wait until that is done")),
            };
        }
        if count == shards as usize {
            return Ok(None);
        }
        if self.stopping.contains_key(&path.top().logical_id()) {
            return Err(format!("{path} is being stopped"));
        }
        let old = self.parts_of(id, &path)?;
        let mut latt = self.latt.clone();
        latt.recut(&path, shards as usize).map_err(|error| error.to_string())?;
        self.placement(&latt).map_err(|error| error.to_string())?;
        let epoch = self.reserve.take_epoch();
        let Epoch(since) = epoch.ok_or("the controller waits for its journal: try again")?;
        let into = Cut { since, children: shards };
        Ok(Some(self.changes.entry(id).or_insert(Change::new(into, old, now))))
    }

    /// The parts that the agent with this id has, all of which run.
    fn parts_of(&self, id: AgentId, path: &AgentPath) -> Result<Vec<Old>, String> {
        let mut old: Vec<Old> = Vec::new();
        for (node, _) in self.latt.leaves_of(id) {
            if self.latt.cut_above(&node.path).map(|node| node.path.logical_id()) != Some(id) {
                return Err(format!("the shards of {path} are cut themselves: reshard those"));
            }
            if old.iter().any(|other| other.hosting.range().overlaps(&node.range)) {
                return Err(format!("the shards of {path} have copies, which cannot be resharded"));
            }
            let life = self.lives.get(&node.path.logical_id());
            let Some((hosting, site)) = life.and_then(|life| match &life.stage {
                Stage::Running(hosting) => Some((hosting.clone(), life.site.clone())),
                _ => None,
            }) else {
                return Err(format!("{} does not run: wait until it does", node.path.logical()));
            };
            old.push(Old { hosting, site, stage: OldStage::Runs });
        }
        Ok(old)
    }

    /// Does what can be done of all changes now.
    pub(super) fn go_on_with_changes(&mut self, context: &mut Context<'_, Controller>) {
        self.note_heirs();
        if self.reserve.term.is_none() || !self.knows_all() {
            return;
        }
        let ids: Vec<AgentId> = self.changes.keys().copied().collect();
        for id in ids {
            let Some(mut change) = self.changes.remove(&id) else { continue };
            match change.refused.take() {
                // Those that were asked too have not said what became of them.
                Some(why) if change.old.iter().any(Old::is_asked) => {
                    change.refused = Some(why);
                    self.changes.insert(id, change);
                    continue;
                }
                Some(why) if !change.old.iter().any(Old::is_wedged) => {
                    change.refuse(&why, context);
                    continue;
                }
                // Some part has ended for it: there is no way back.
                Some(_) => drop(context.after(AGAIN, &ToController::Retry)),
                None => {}
            }
            if !change.is_recut {
                self.wedge_parts(id, &mut change, context);
            }
            let may_cut = change.old.iter().all(Old::has_ended);
            if !change.is_recut && may_cut {
                self.cut_anew(id, change.into);
                change.is_recut = true;
            }
            match change.is_recut && self.all_run(id) {
                true => self.finish_change(change, context),
                false => drop(self.changes.insert(id, change)),
            }
        }
    }

    /// New parts that run have what was kept for them. One whose box dies then begins anew, as after any crash: what
    /// is kept is from before all that it has done.
    fn note_heirs(&mut self) {
        let (lives, latt) = (&self.lives, &self.latt);
        for (id, change) in self.changes.iter_mut().filter(|(_, change)| change.is_recut) {
            let leaves = latt.leaves_of(*id).map(|(node, _)| node.path.logical_id());
            let runs =
                |leaf: &AgentId| lives.get(leaf).is_some_and(|it| it.stage.running().is_some());
            change.begun.extend(leaves.filter(runs));
        }
    }

    fn all_run(&self, id: AgentId) -> bool {
        self.latt.leaves_of(id).all(|(node, _)| {
            let life = self.lives.get(&node.path.logical_id());
            life.is_some_and(|life| matches!(life.stage, Stage::Running(_)))
        })
    }

    /// Asks the old parts to end that have not been asked.
    fn wedge_parts(
        &mut self,
        id: AgentId,
        change: &mut Change,
        context: &mut Context<'_, Controller>,
    ) {
        self.find_parts(id, change);
        let (Some(term), Some(node)) = (self.reserve.term, self.latt.get(id)) else { return };
        let mut latt = self.latt.clone();
        if latt.recut(&node.path, change.into.children as usize).is_err() {
            return;
        }
        let ranges: Vec<PointRange> = latt.leaves_of(id).map(|(node, _)| node.range).collect();
        let now = context.now();
        for old in &mut change.old {
            let may_ask = match old.stage {
                OldStage::Runs => true,
                OldStage::Again(at) => at <= now,
                _ => false,
            };
            let member = self.members.get(&old.site);
            let process = member.and_then(|member| member.current.as_ref());
            let (true, Some(process), Ok(manager)) = (may_ask, process, manager_path(&old.site))
            else {
                continue;
            };
            let own = old.hosting.range();
            let parts = ranges.iter().filter_map(|range| range.common(&own));
            let wedge = ToManager::Wedge {
                path: old.hosting.path.clone(),
                parts: parts.map(PartEntry::from).collect(),
                into: change.into,
                term,
                incarnation: process.incarnation,
            };
            let number = context.ask(manager.logical_id(), &wedge);
            let asked = Asked::Wedge(id, old.hosting.path.clone());
            self.asked.insert((manager.logical_id(), number), asked);
            old.stage = OldStage::Asked;
            change.paused.get_or_insert(now);
            if let Some(life) = self.lives.get_mut(&logical(&old.hosting)) {
                life.stage = Stage::Ending;
            }
        }
    }

    /// Of a change that an earlier controller began, those are found that have not ended.
    fn find_parts(&mut self, id: AgentId, change: &mut Change) {
        for (node, _) in self.latt.leaves_of(id) {
            let Some(life) = self.lives.get(&node.path.logical_id()) else { continue };
            let Stage::Running(hosting) = &life.stage else { continue };
            let is_known = change.old.iter().any(|old| old.hosting.path == hosting.path);
            if !is_known {
                let (hosting, site) = (hosting.clone(), life.site.clone());
                change.old.push(Old { hosting, site, stage: OldStage::Runs });
            }
        }
    }

    /// The tree has other leaves from now on, none of which runs yet.
    fn cut_anew(&mut self, id: AgentId, into: Cut) {
        let Some(path) = self.latt.get(id).map(|node| node.path.clone()) else { return };
        let leaves = |latt: &Latt| -> Vec<AgentId> {
            latt.leaves_of(id).map(|(node, _)| node.path.logical_id()).collect()
        };
        let before = leaves(&self.latt);
        if self.latt.recut(&path, into.children as usize).is_err() {
            return;
        }
        let after = leaves(&self.latt);
        for leaf in before {
            match after.contains(&leaf) {
                true => self.set_stage(leaf, Stage::Ended),
                false => drop(self.lives.remove(&leaf)),
            }
        }
        self.cuts.insert(id, into);
        self.epochs.insert(id, Epoch(into.since));
        // It was seen before the change began that there is room; a box that has gone since is waited for.
        let _ = self.place_new(false);
    }

    fn finish_change(&mut self, change: Change, context: &mut Context<'_, Controller>) {
        let now = context.now().0;
        for old in change.old.iter().filter(|old| old.is_wedged()) {
            self.collect(&old.hosting.path, &old.site, context);
        }
        let took_ns = now.saturating_sub(change.began.0);
        let paused_ns = change.paused.map_or(0, |paused| now.saturating_sub(paused.0));
        let told = FromController::Resharded { took_ns, paused_ns };
        change.askers.into_iter().for_each(|asker| context.reply_to(asker, &told));
    }

    fn collect(&mut self, path: &str, site: &str, context: &mut Context<'_, Controller>) {
        let process = self.members.get(site).and_then(|member| member.current.as_ref());
        let (Some(term), Some(process)) = (self.reserve.term, process) else { return };
        let Ok(manager) = manager_path(site) else { return };
        let (path, incarnation) = (path.to_owned(), process.incarnation);
        context.send(manager.logical_id(), &ToManager::Collect { path, term, incarnation });
    }

    /// A part has ended.
    pub(super) fn part_wedged(&mut self, id: AgentId, path: &str) {
        if let Some(old) = self.old_part(id, path) {
            old.stage = OldStage::Wedged;
        }
    }

    /// A part could not end, and goes on for now.
    pub(super) fn part_not_wedged(
        &mut self,
        id: AgentId,
        path: &str,
        failure: Failure,
        context: &mut Context<'_, Controller>,
    ) {
        let again = Stamp(context.now().0.saturating_add(AGAIN.as_nanos() as u64));
        let Some(change) = self.changes.get_mut(&id) else { return };
        let old = change.old.iter_mut().find(|old| old.hosting.path == path);
        let Some(old) = old else { return };
        old.stage = OldStage::Again(again);
        let hosting = old.hosting.clone();
        match failure.may_pass {
            true => drop(context.after(AGAIN, &ToController::Retry)),
            false => {
                let agent = self.latt.get(id).map(|node| node.path.logical().to_string());
                let (agent, site) = (agent.unwrap_or_default(), &old.site);
                let why = format!("{agent} stays cut as it was; box {site}: {}", failure.why);
                change.refused = Some(why);
            }
        }
        self.set_stage(logical(&hosting), Stage::Running(hosting));
    }

    fn old_part(&mut self, id: AgentId, path: &str) -> Option<&mut Old> {
        self.changes.get_mut(&id)?.old.iter_mut().find(|old| old.hosting.path == path)
    }

    /// What a box kept is gone with its process.
    pub(super) fn lose_parts(&mut self, site: &str) {
        let changes = self.changes.values_mut();
        for old in changes.flat_map(|change| &mut change.old).filter(|old| old.site == site) {
            old.stage = OldStage::Gone;
        }
    }

    /// Whether an agent may start: not while others end whose points it has.
    pub(super) fn may_begin(&self, node: &Node) -> bool {
        let above = self.latt.cut_above(&node.path).map(|node| node.path.logical_id());
        above.and_then(|id| self.changes.get(&id)).is_none_or(|change| change.is_recut)
    }

    /// How the parent of an agent is cut.
    pub(super) fn cut_of(&self, node: &Node) -> Cut {
        let Some(above) = self.latt.cut_above(&node.path) else { return Cut::default() };
        let Kind::Virtual { children, .. } = &above.kind else { return Cut::default() };
        let stated = Cut { since: 0, children: children.len() as u32 };
        self.cuts.get(&above.path.logical_id()).copied().unwrap_or(stated)
    }

    /// What an agent goes on from when it starts.
    pub(super) fn legacies(&self, node: &Node) -> Vec<Legacy> {
        let above = self.latt.cut_above(&node.path).map(|node| node.path.logical_id());
        let change = above.and_then(|id| self.changes.get(&id));
        let change = change.filter(|change| !change.begun.contains(&node.path.logical_id()));
        let old = change.into_iter().flat_map(|change| &change.old);
        let old = old.filter(|old| old.is_wedged() && old.hosting.range().overlaps(&node.range));
        old.filter_map(|old| {
            let port = port_path(&old.site, old.hosting.reactor.unwrap_or(0)).ok()?;
            Some(Legacy { path: old.hosting.path.clone(), port: port.to_string() })
        })
        .collect()
    }

    /// A life that another controller started may be of another cut than the tree.
    pub(super) fn learn_cut(&mut self, hosting: &Hosting) {
        let Some((id, known)) = self.cut_known(hosting) else { return };
        if hosting.cut.since > known.since {
            self.cut_anew(id, hosting.cut);
            if let Some(change) = self.changes.get_mut(&id) {
                change.is_recut = change.into == hosting.cut;
            }
        }
    }

    /// Whether a life is one of those that the tree has.
    pub(super) fn is_of_the_cut(&self, hosting: &Hosting) -> bool {
        self.cut_known(hosting).is_none_or(|(_, known)| hosting.cut.since == known.since)
    }

    fn cut_known(&self, hosting: &Hosting) -> Option<(AgentId, Cut)> {
        let path = AgentPath::parse(&hosting.path).ok()?;
        let id = self.latt.cut_above(&path)?.path.logical_id();
        Some((id, self.cuts.get(&id).copied().unwrap_or_default()))
    }

    /// A box keeps what a life was: the change that it ended for goes on, unless it is over.
    pub(super) fn learn_wedged(
        &mut self,
        wedged: Wedged,
        site: &str,
        context: &mut Context<'_, Controller>,
    ) {
        let Some((id, known)) = self.cut_known(&wedged.hosting) else { return };
        if wedged.into.since < known.since {
            return self.collect(&wedged.hosting.path, site, context);
        }
        let now = context.now();
        let change = self.changes.entry(id).or_insert_with(|| Change {
            is_recut: wedged.into == known,
            begun: BTreeSet::new(),
            paused: Some(now),
            ..Change::new(wedged.into, Vec::new(), now)
        });
        if change.into != wedged.into {
            return;
        }
        change.old.retain(|old| old.hosting.path != wedged.hosting.path);
        let (hosting, site) = (wedged.hosting, site.to_owned());
        change.old.push(Old { hosting, site, stage: OldStage::Wedged });
    }
}

impl Change {
    fn new(into: Cut, old: Vec<Old>, began: Stamp) -> Change {
        let askers = Vec::new();
        let begun = BTreeSet::new();
        Change { into, old, is_recut: false, begun, refused: None, askers, began, paused: None }
    }

    fn refuse(self, why: &str, context: &mut Context<'_, Controller>) {
        let told = FromController::Refused(Reason::Invalid, why.to_owned());
        self.askers.into_iter().for_each(|asker| context.reply_to(asker, &told));
    }
}

impl Old {
    fn has_ended(&self) -> bool {
        matches!(self.stage, OldStage::Wedged | OldStage::Gone)
    }

    fn is_wedged(&self) -> bool {
        self.stage == OldStage::Wedged
    }

    fn is_asked(&self) -> bool {
        self.stage == OldStage::Asked
    }
}

/// The logical id of a life's agent.
fn logical(hosting: &Hosting) -> AgentId {
    AgentPath::parse(&hosting.path).map_or(AgentId(0), |path| path.logical_id())
}
