//! Look-ups: what a client must know to reach an agent, in one answer.
//!
//! Nothing is told before some of the agent runs; parts that do not are told as held, and told anew to
//! the same port when they run.

use std::collections::BTreeSet;

use super::Controller;
use super::life::Stage;
use crate::agent::ReplyTo;
use crate::context::Context;
use crate::control::{
    ActionEntry, BoxEntry, FromController, Knowledge, PlaceEntry, Reason, RouteEntry, ToPort,
};
use crate::id::{AgentId, BoxId, Epoch};
use crate::latt::Kind;
use crate::path::AgentPath;
use crate::route::Action;

/// Most look-ups that wait; more are refused as overload.
pub const WAITING_MAX: usize = 65_536;

/// A look-up that is not answered, or not in full.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    destination: AgentId,
    source: String,
    asker: ReplyTo,
    /// The answer that was given: path of the destination, and those of its parts that were held.
    told: Option<(String, Vec<String>)>,
}

impl Controller {
    pub(super) fn look_up(
        &mut self,
        destination: AgentId,
        source: String,
        context: &mut Context<'_, Controller>,
    ) {
        let asker = context.reply_address();
        // Whoever asks again has forgotten what it was told. What it was not told it is still owed: an
        // earlier question may come after a later one, whose answer is then the one waited for.
        self.waiting.retain(|other| {
            let is_same = (other.destination, &other.source, other.asker.source)
                == (destination, &source, asker.source);
            let is_later = other.asker.space == asker.space && other.asker.number > asker.number;
            !is_same || other.told.is_none() || is_later
        });
        if self.waiting.len() >= WAITING_MAX {
            let why = format!("{WAITING_MAX} look-ups wait already");
            return context.reply(&FromController::Refused(Reason::Overloaded, why));
        }
        self.waiting.push(Waiting { destination, source, asker, told: None });
    }

    /// Answers what can be answered.
    pub(super) fn tell_clients(&mut self, context: &mut Context<'_, Controller>) {
        if self.reserve.term.is_none() {
            return;
        }
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain_mut(|client| !self.tell(client, context));
        self.waiting = waiting;
    }

    /// Whether nothing is left to tell.
    fn tell(&mut self, client: &mut Waiting, context: &mut Context<'_, Controller>) -> bool {
        match (self.resolve(client), client.told.take()) {
            (None, told) => client.told = told,
            (Some(Ok(knowledge)), told) => {
                let is_held = |entry: &&RouteEntry| entry.action == ActionEntry::Hold;
                let path = |entry: &RouteEntry| entry.path.clone();
                let held: Vec<String> = knowledge.routes.iter().filter(is_held).map(path).collect();
                let is_over = held.is_empty();
                let news = knowledge.routes.first().map(path).map(|path| (path, held));
                match told {
                    None => context.reply_to(client.asker, &FromController::Learned(knowledge)),
                    told if told == news => {}
                    _ => context.send(client.asker.source, &ToPort::Learn(knowledge)),
                }
                client.told = news;
                return is_over;
            }
            (Some(Err((reason, why))), None) => {
                context.reply_to(client.asker, &FromController::Refused(reason, why));
                return true;
            }
            // What was held has been stopped.
            (Some(Err(_)), Some((path, held))) => {
                let Some(Epoch(epoch)) = self.reserve.take_epoch() else {
                    client.told = Some((path, held));
                    return false;
                };
                let entry = RouteEntry { path, epoch, action: ActionEntry::Unknown };
                let knowledge = Knowledge { routes: vec![entry], ..Knowledge::default() };
                context.send(client.asker.source, &ToPort::Learn(knowledge));
                return true;
            }
        }
        false
    }

    /// What a client may know; `None`: not yet.
    fn resolve(&mut self, client: &Waiting) -> Option<Result<Knowledge, (Reason, String)>> {
        let own = self.own_agent(client.destination);
        let path = match (&own, self.latt.get(client.destination)) {
            (Some((path, _)), _) => path.clone(),
            (None, Some(node)) => node.path.logical(),
            (None, None) if !self.knows_all() || self.expects(client.destination) => return None,
            (None, None) => {
                let why = format!(
                    "no agent has the id {}; `daedal tree` shows those that there are",
                    client.destination
                );
                return Some(Err((Reason::UnknownAgent, why)));
            }
        };
        let source = match AgentPath::parse(&client.source) {
            Ok(source) => source,
            Err(error) => return Some(Err((Reason::Invalid, error.to_string()))),
        };
        if !source.may_send_to(&path) {
            let why = format!(
                "{source} may not send to {path}: only to its siblings and those of its ancestors"
            );
            return Some(Err((Reason::NotASibling, why)));
        }
        match own {
            Some(_) => self.way_to_own(client.destination).map(Ok),
            None => self.knowledge(client.destination),
        }
    }

    /// All that is needed to reach one of the system's own agents, by logical id; `None`: its box is not there.
    pub(super) fn way_to_own(&self, id: AgentId) -> Option<Knowledge> {
        let (path, place) = self.own_agent(id)?;
        let mut knowledge = Knowledge::default();
        let action = ActionEntry::To(path.physical_id().0);
        let epoch = self.reserve.term.unwrap_or(0);
        knowledge.routes.push(RouteEntry { path: path.to_string(), epoch, action });
        let (agent_box, reactor) = (place.agent_box.0, place.reactor);
        knowledge.places.push(PlaceEntry { physical: path.physical_id().0, agent_box, reactor });
        self.add_boxes(&mut knowledge);
        Some(knowledge)
    }

    /// All that is needed to reach the physical agents of one of the tree; `None`: none of them runs.
    fn knowledge(&mut self, destination: AgentId) -> Option<Result<Knowledge, (Reason, String)>> {
        let mut knowledge = Knowledge::default();
        let (mut runs, mut failed) = (false, None);
        for node in self.latt.below(destination) {
            let id = node.path.logical_id();
            let (epoch, action) = match &node.kind {
                Kind::Virtual { transformation, children } => {
                    let known = self.epochs.get(&id).copied();
                    let epoch = known.or_else(|| self.reserve.take_epoch())?;
                    self.epochs.insert(id, epoch);
                    (epoch, transformation.routes(children))
                }
                Kind::Physical(_) => {
                    let life = self.lives.get(&id)?;
                    if let Stage::Failed(it) = &life.stage {
                        failed = Some(it.why.clone());
                    }
                    match life.stage.running().zip(self.members.get(&life.site)) {
                        Some((hosting, member)) => {
                            runs = true;
                            let physical = AgentId::from(hosting.path.as_str());
                            let (agent_box, reactor) = (member.id.0, hosting.reactor.unwrap_or(0));
                            let physical_id = physical.0;
                            knowledge.places.push(PlaceEntry {
                                physical: physical_id,
                                agent_box,
                                reactor,
                            });
                            (life.epoch, Action::To(physical))
                        }
                        // Not older than what was told of it before the change that it waits for.
                        None => (life.epoch.max(Epoch(self.cut_of(node).since)), Action::Hold),
                    }
                }
            };
            let (path, Epoch(epoch)) = (node.path.logical().to_string(), epoch);
            let action = ActionEntry::of(&action);
            knowledge.routes.push(RouteEntry { path, epoch, action });
        }
        match failed {
            Some(why) if !runs => Some(Err((Reason::UnknownAgent, why))),
            _ if !runs => None,
            _ => {
                self.add_boxes(&mut knowledge);
                Some(Ok(knowledge))
            }
        }
    }

    fn add_boxes(&self, knowledge: &mut Knowledge) {
        let ids: BTreeSet<u16> = knowledge.places.iter().map(|place| place.agent_box).collect();
        for (name, member) in &self.members {
            let BoxId(agent_box) = member.id;
            if let Some(process) = member.current.as_ref().filter(|_| ids.contains(&agent_box)) {
                let (name, address) = (name.clone(), process.address.clone());
                knowledge.boxes.push(BoxEntry { agent_box, name, address });
            }
        }
    }
}
