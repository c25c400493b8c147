//! Agents that are cut into another number of parts while they run (Ovid §5, §6.3).
//!
//! The old parts end, each when it can say what it was (it is *wedged*); when the last has, the tree is cut
//! anew, and the new parts start, which fetch their points from the reactors where the old ones ran, and have
//! those give them up before they run (`port.rs`). Clients hold what they have for them meanwhile; they are told
//! of a new part once it runs. When all do, that there was a change is forgotten.
//!
//! A change that cannot go on is given up: some part does not split, or waits for an answer, or is not heard of,
//! or fields differ that must be the same where parts are joined. Those that have ended then go on as they were,
//! from their own parts, and nothing is lost. Once the tree is cut anew there is no such reason any more.
//! The next controller goes on with a change: boxes report what they keep, and for which cut. A part whose box dies
//! is lost as by any crash: so is a new one that has run, for nobody keeps what it began from.
//! Invariant: no new part starts before every old one has said that it ended, or its process has; and none of the
//! old ones goes on then.

use std::time::Duration;

use super::life::Stage;
use super::{Asked, Controller};
use crate::agent::ReplyTo;
use crate::context::Context;
use crate::control::{
    ConstantEntry, Cut, Failure, FromController, Hosting, Legacy, PartEntry, Reason, ToController,
    ToManager, Wedged, manager_path, port_path,
};
use crate::id::{AgentId, Epoch, Stamp};
use crate::latt::{Kind, Latt, Node};
use crate::path::AgentPath;
use crate::point::PointRange;

/// How long old parts may take to end before those that have go on as they were: a part waits for answers for a
/// second, and the rest is for the way.
const ENDED_WITHIN: Duration = Duration::from_secs(3);

/// A change under way.
#[derive(Clone, Debug)]
pub(super) struct Change {
    into: Cut,
    old: Vec<Old>,
    /// Whether the tree is cut anew: the old ones have ended.
    is_recut: bool,
    /// Why those that have ended go on as they were.
    given_up: Option<Failure>,
    askers: Vec<ReplyTo>,
    began: Stamp,
    /// Since when some part does not run.
    paused: Option<Stamp>,
    /// Until when old parts may take to end, once one was asked to.
    until: Option<Stamp>,
}

/// A part that ends.
#[derive(Clone, Debug)]
struct Old {
    hosting: Hosting,
    site: String,
    stage: OldStage,
    constants: Vec<ConstantEntry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OldStage {
    Runs,
    /// It was asked to end.
    Asked,
    /// It was, and nobody knows whether it has.
    Unheard,
    /// Its reactor keeps what it was, or whoever goes on from it has that.
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
            Err(why) => context.reply(&refused(why)),
        }
    }

    /// The change, which may be under way; `None`: there is nothing to do.
    fn try_reshard(
        &mut self,
        path: &str,
        shards: u32,
        now: Stamp,
    ) -> Result<Option<&mut Change>, Failure> {
        let path = AgentPath::parse(path).map_err(|error| error.to_string())?;
        let node = self.latt.at(&path).ok_or_else(|| {
            format!("there is no agent {path}; `daedal tree` shows those that there are")
        })?;
        if !self.knows_all() {
            // The statement may not be how it is cut.
            return Err(Failure::for_now(
                "the controller does not know yet what all boxes run: `daedal boxes` shows those that have not \
                 come",
            ));
        }
        let (id, path) = (node.path.logical_id(), node.path.logical());
        let Kind::Virtual { transformation, children } = &node.kind else {
            let why = format!("{path} is in one piece: only what is sharded can be resharded");
            return Err(why.into());
        };
        let Some(other) = transformation.recut(shards as usize) else {
            let label = transformation.label();
            let why = format!("{path} becomes others by `{label}`, which cannot be resharded");
            return Err(why.into());
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
                false => Err(Failure::for_now(format!("{path} is being cut into {into}"))),
            };
        }
        if count == shards as usize {
            return Ok(None);
        }
        if self.stopping.contains_key(&path.top().logical_id()) {
            return Err(format!("{path} is being stopped").into());
        }
        let old = self.parts_of(id, &path)?;
        let mut latt = self.latt.clone();
        latt.recut(&path, shards as usize).map_err(|error| error.to_string())?;
        self.placement(&latt).map_err(|error| error.to_string())?;
        let epoch = self.reserve.take_epoch();
        let waits = || Failure::for_now("the controller waits for its journal");
        let Epoch(since) = epoch.ok_or_else(waits)?;
        let into = Cut { since, children: shards };
        Ok(Some(self.changes.entry(id).or_insert(Change::new(into, old, now))))
    }

    /// The parts that the agent with this id has, all of which run.
    fn parts_of(&self, id: AgentId, path: &AgentPath) -> Result<Vec<Old>, Failure> {
        let mut old: Vec<Old> = Vec::new();
        for (node, _) in self.latt.leaves_of(id) {
            if self.latt.cut_above(&node.path).map(|node| node.path.logical_id()) != Some(id) {
                return Err(
                    format!("the shards of {path} are cut themselves: reshard those").into()
                );
            }
            if old.iter().any(|other| other.hosting.range().overlaps(&node.range)) {
                let why = format!("the shards of {path} have copies, which cannot be resharded");
                return Err(why.into());
            }
            let life = self.lives.get(&node.path.logical_id());
            let Some((hosting, site)) = life.and_then(|life| match &life.stage {
                Stage::Running(hosting) => Some((hosting.clone(), life.site.clone())),
                _ => None,
            }) else {
                let why = format!("{} does not run: `daedal tree` shows why", node.path.logical());
                return Err(Failure::for_now(why));
            };
            old.push(Old::new(hosting, site));
        }
        Ok(old)
    }

    /// Does what can be done of all changes now.
    pub(super) fn go_on_with_changes(&mut self, context: &mut Context<'_, Controller>) {
        if self.reserve.term.is_none() || !self.knows_all() {
            return;
        }
        let ids: Vec<AgentId> = self.changes.keys().copied().collect();
        for id in ids {
            let Some(mut change) = self.changes.remove(&id) else { continue };
            if !change.is_recut {
                self.wedge_parts(id, &mut change, context);
                if change.given_up.is_none() {
                    change.given_up = self.why_not(id, &change, context.now());
                }
            }
            let may_cut = change.given_up.is_none() && change.old.iter().all(Old::has_ended);
            if !change.is_recut && may_cut {
                self.cut_anew(id, change.into);
                change.is_recut = true;
            }
            let is_over = match change.given_up {
                Some(_) => self.go_back(&change),
                None => change.is_recut && self.all_run(id),
            };
            match is_over {
                true => self.end_change(change, context),
                false => drop(self.changes.insert(id, change)),
            }
        }
    }

    /// Why a change cannot go on, as far as the parts that have ended, or should have, show.
    fn why_not(&self, id: AgentId, change: &Change, now: Stamp) -> Option<Failure> {
        let stays = || {
            let agent = self.latt.get(id).map(|node| node.path.logical().to_string());
            format!("{} stays cut as it was", agent.unwrap_or_default())
        };
        match change.old.iter().find(|old| !old.has_ended()) {
            Some(late) if change.until.is_some_and(|until| until <= now) => {
                let (site, path, within) = (&late.site, &late.hosting.path, ENDED_WITHIN);
                let why =
                    format!("box {site} has not said within {within:?} that {path} has ended");
                Some(Failure::for_now(format!("{}: {why}", stays())))
            }
            Some(_) => None,
            None => {
                let (field, one, other) = self.difference(id, change)?;
                let why = format!(
                    "its field `{field}` is declared constant, and differs between {one} and {other}, which \
                     would be joined"
                );
                Some(format!("{}: {why}", stays()).into())
            }
        }
    }

    /// A constant field that is not the same in two lives that one would go on from.
    fn difference(&self, id: AgentId, change: &Change) -> Option<(String, String, String)> {
        self.ranges_when_cut(id, change.into)?.iter().find_map(|range| {
            let joins = |old: &&Old| old.is_wedged() && old.hosting.range().overlaps(range);
            let mut joined = change.old.iter().filter(joins);
            let first = joined.next()?;
            joined.find_map(|other| {
                let differs = |it: &&ConstantEntry| !other.constants.contains(it);
                let it = first.constants.iter().find(differs)?;
                let path = |old: &Old| old.hosting.path.clone();
                Some((it.field.clone(), path(first), path(other)))
            })
        })
    }

    /// The points of each part of an agent that is cut so.
    fn ranges_when_cut(&self, id: AgentId, into: Cut) -> Option<Vec<PointRange>> {
        let mut latt = self.latt.clone();
        latt.recut(&self.latt.get(id)?.path, into.children as usize).ok()?;
        Some(latt.leaves_of(id).map(|(node, _)| node.range).collect())
    }

    /// Has the parts that have ended go on as they were. Whether all do.
    fn go_back(&mut self, change: &Change) -> bool {
        let mut all_run = true;
        for old in &change.old {
            let Some(life) = self.lives.get_mut(&logical(&old.hosting)) else { continue };
            match old.stage {
                OldStage::Asked | OldStage::Unheard => all_run = false,
                OldStage::Wedged => {
                    if life.stage == Stage::Ending {
                        life.stage = Stage::Ended;
                    }
                    all_run &= life.stage.running().is_some();
                }
                // It goes on, or begins anew.
                OldStage::Runs | OldStage::Gone => {}
            }
        }
        all_run
    }

    fn all_run(&self, id: AgentId) -> bool {
        self.latt.leaves_of(id).all(|(node, _)| {
            let life = self.lives.get(&node.path.logical_id());
            life.is_some_and(|life| matches!(life.stage, Stage::Running(_)))
        })
    }

    /// Asks the old parts to end that have not been asked, or whose answer will not come.
    fn wedge_parts(
        &mut self,
        id: AgentId,
        change: &mut Change,
        context: &mut Context<'_, Controller>,
    ) {
        let is_given_up = change.given_up.is_some();
        if !is_given_up {
            self.find_parts(id, change);
        }
        let (Some(term), Some(ranges)) = (self.reserve.term, self.ranges_when_cut(id, change.into))
        else {
            return;
        };
        let now = context.now();
        for old in &mut change.old {
            let may_ask = match old.stage {
                OldStage::Runs => !is_given_up,
                OldStage::Unheard => true,
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
            change.until.get_or_insert_with(|| {
                context.after(ENDED_WITHIN, &ToController::Retry);
                Stamp(now.0.saturating_add(ENDED_WITHIN.as_nanos() as u64))
            });
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
                change.old.push(Old::new(hosting, site));
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
        // The route gets an epoch when it is told: it may have been told as it was since the change began, by who did not
        // know of that.
        self.epochs.remove(&id);
        // It was seen before the change began that there is room; a box that has gone since is waited for.
        let _ = self.place_new(false);
    }

    fn end_change(&mut self, change: Change, context: &mut Context<'_, Controller>) {
        let now = context.now().0;
        let told = match change.given_up {
            Some(why) => refused(why),
            None => {
                for old in change.old.iter().filter(|old| old.is_wedged()) {
                    self.collect(&old.hosting.path, &old.site, context);
                }
                let took_ns = now.saturating_sub(change.began.0);
                let paused_ns = change.paused.map_or(0, |paused| now.saturating_sub(paused.0));
                FromController::Resharded { took_ns, paused_ns }
            }
        };
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
    pub(super) fn part_wedged(&mut self, id: AgentId, path: &str, wedged: Wedged) {
        if let Some(old) = self.old_part(id, path) {
            (old.stage, old.constants) = (OldStage::Wedged, wedged.constants);
        }
    }

    /// A part could not end, and goes on: so do the others.
    pub(super) fn part_not_wedged(&mut self, id: AgentId, path: &str, failure: Failure) {
        let agent = self.latt.get(id).map(|node| node.path.logical().to_string());
        let Some(change) = self.changes.get_mut(&id) else { return };
        let Some(old) = change.old.iter_mut().find(|old| old.hosting.path == path) else { return };
        old.stage = OldStage::Runs;
        let (agent, site) = (agent.unwrap_or_default(), &old.site);
        let why = format!("{agent} stays cut as it was; box {site}: {}", failure.why);
        let hosting = old.hosting.clone();
        change.given_up.get_or_insert(Failure { why, ..failure });
        self.set_stage(logical(&hosting), Stage::Running(hosting));
    }

    /// The link to a part's box broke, and what it had answered is lost. If it still is there, it answers again.
    pub(super) fn part_unheard(&mut self, id: AgentId, path: &str) {
        if let Some(old) = self.old_part(id, path).filter(|old| old.stage == OldStage::Asked) {
            old.stage = OldStage::Unheard;
        }
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
        let change = above.and_then(|id| self.changes.get(&id));
        change.is_none_or(|change| change.is_recut || change.given_up.is_some())
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
        let old = change.into_iter().flat_map(|change| &change.old);
        let old = old.filter(|old| old.is_wedged() && old.hosting.range().overlaps(&node.range));
        old.filter_map(|old| {
            let port = port_path(&old.site, old.hosting.reactor.unwrap_or(0)).ok()?;
            let way = self.way_to_own(port.logical_id()).unwrap_or_default();
            Some(Legacy { path: old.hosting.path.clone(), port: port.to_string(), way })
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
        if wedged.into.since < known.since || self.has_gone_back(&wedged) {
            return self.collect(&wedged.hosting.path, site, context);
        }
        let now = context.now();
        let change = self.changes.entry(id).or_insert_with(|| Change {
            is_recut: wedged.into == known,
            paused: Some(now),
            ..Change::new(wedged.into, Vec::new(), now)
        });
        if change.into != wedged.into {
            return;
        }
        change.old.retain(|old| old.hosting.path != wedged.hosting.path);
        let Wedged { hosting, constants, .. } = wedged;
        let (site, stage) = (site.to_owned(), OldStage::Wedged);
        change.old.push(Old { hosting, site, stage, constants });
    }

    /// Whether a later life goes on, as it was, from one that had ended for another cut: the word of that is late.
    fn has_gone_back(&self, wedged: &Wedged) -> bool {
        let life = self.lives.get(&logical(&wedged.hosting));
        life.and_then(|life| life.stage.running()).is_some_and(|running| {
            running.epoch > wedged.hosting.epoch && running.cut.since < wedged.into.since
        })
    }
}

impl Change {
    fn new(into: Cut, old: Vec<Old>, began: Stamp) -> Change {
        Change {
            into,
            old,
            is_recut: false,
            given_up: None,
            askers: Vec::new(),
            began,
            paused: None,
            until: None,
        }
    }
}

impl Old {
    fn new(hosting: Hosting, site: String) -> Old {
        Old { hosting, site, stage: OldStage::Runs, constants: Vec::new() }
    }

    fn has_ended(&self) -> bool {
        matches!(self.stage, OldStage::Wedged | OldStage::Gone)
    }

    fn is_wedged(&self) -> bool {
        self.stage == OldStage::Wedged
    }
}

/// The logical id of a life's agent.
fn logical(hosting: &Hosting) -> AgentId {
    AgentPath::parse(&hosting.path).map_or(AgentId(0), |path| path.logical_id())
}

fn refused(why: Failure) -> FromController {
    let reason = if why.may_pass { Reason::NotNow } else { Reason::Invalid };
    FromController::Refused(reason, why.why)
}
