//! What the controller shows of the system: tree and routes as text for people, which nothing reads back,
//! and the boxes.

use super::Controller;
use super::life;
use crate::control::{BoxState, ProcessState, Standing, View};
use crate::id::{AgentId, Stamp};
use crate::latt::{Kind, Node};
use crate::route::{Action, PickBy};
use crate::stage::Stage;

impl Controller {
    pub(super) fn describe(&self, view: View, now: Stamp) -> String {
        match view {
            View::Tree => self.latt.draw(|node| self.note(node, now)) + self.stuck(),
            View::Routes => self.describe_routes(),
        }
    }

    /// Why nothing new starts, if it is for want of numbers.
    fn stuck(&self) -> &'static str {
        match self.reserve.again {
            Some(_) => {
                "the controller's journal cannot be written: nothing new starts until it can; its box logs why\n"
            }
            None => "",
        }
    }

    /// Where a physical agent stands.
    fn note(&self, node: &Node, now: Stamp) -> String {
        let Some(life) = self.lives.get(&node.path.logical_id()) else { return String::new() };
        let site = &life.site;
        match &life.stage {
            life::Stage::Running(hosting) | life::Stage::Stopping(hosting) => {
                let reactor = hosting.reactor.unwrap_or(0);
                format!("in {site}.{reactor} as {}, space {}", hosting.path, hosting.space)
            }
            life::Stage::Starting => format!("starts in {site}"),
            life::Stage::Ending => format!("ends in {site}, for others to go on"),
            life::Stage::Failed(failed) => format!("failed in {site}: {}", failed.text(now)),
            life::Stage::Ended
                if self.members.get(site).is_some_and(|member| member.current.is_some()) =>
            {
                "waits for boxes that may still run it to report".to_owned()
            }
            life::Stage::Ended => format!("waits for box {site}"),
        }
    }

    fn describe_routes(&self) -> String {
        let mut text = String::new();
        for node in self.latt.top().flat_map(|top| self.latt.below(top.path.logical_id())) {
            let id = node.path.logical_id();
            let (epoch, action) = match &node.kind {
                Kind::Virtual { transformation, children } => {
                    let action = transformation.routes(children);
                    let how = how(&action);
                    let names: Vec<_> = children.iter().map(|child| child.path.as_str()).collect();
                    let epoch = self.epochs.get(&id).copied();
                    (epoch, format!("{how} {}", names.join(", ")))
                }
                Kind::Physical(_) => match self.lives.get(&id).map(|life| (life, &life.stage)) {
                    Some((
                        life,
                        life::Stage::Running(hosting) | life::Stage::Stopping(hosting),
                    )) => {
                        let reactor = hosting.reactor.unwrap_or(0);
                        let place = format!("to {} in {}.{reactor}", hosting.path, life.site);
                        (Some(life.epoch), place)
                    }
                    _ => (None, "hold".to_owned()),
                },
            };
            let epoch = epoch.map_or("not asked for".to_owned(), |epoch| format!("epoch {epoch}"));
            text.push_str(&format!("{}  {action}  ({epoch})\n", node.path.logical()));
        }
        text
    }

    /// The boxes, by name; those that have not come are last.
    pub(super) fn box_states(&self) -> Vec<BoxState> {
        let come = self.members.iter().map(|(name, member)| {
            let running = self.living_in(name).filter_map(|id| self.lives.get(&id));
            let count = running.filter(|life| life.stage.running().is_some()).count();
            BoxState {
                name: name.clone(),
                standing: match name {
                    name if *name == self.home => Standing::Home,
                    name if self.is_stated(name) => Standing::Stated,
                    _ => Standing::Guest,
                },
                agent_box: Some(member.id.0),
                process: member.current.as_ref().map(|process| ProcessState {
                    address: process.address.clone(),
                    reactors: process.reactors,
                    agents: count as u32,
                }),
            }
        });
        let awaited = self.sites.iter().filter(|site| !self.members.contains_key(&site.name));
        let awaited = awaited.map(|site| BoxState {
            name: site.name.clone(),
            standing: Standing::Stated,
            agent_box: None,
            process: None,
        });
        come.chain(awaited).collect()
    }
}

/// What a route does with a message, before the names of those that it leads to.
fn how(action: &Action) -> String {
    match action {
        Action::Pick { by: PickBy::Point, .. } => "pick by point of".to_owned(),
        Action::Pick { .. } => "pick one of".to_owned(),
        Action::Through { stages, .. } => {
            let name = |id: &AgentId| match Stage::find(*id) {
                Some(stage) => stage.name().to_owned(),
                None => id.to_string(),
            };
            let stages: Vec<_> = stages.iter().map(name).collect();
            format!("through {} to", stages.join(", "))
        }
        Action::Each { wait_for_matching, .. } => format!("each, {wait_for_matching} agreeing, of"),
        Action::To(_) => "to".to_owned(),
        Action::Hold => "hold".to_owned(),
        Action::Unknown => "refuse".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_through_stages_names_them() {
        let through = |stages: Vec<AgentId>| Action::Through { stages, next: AgentId(1) };
        assert_eq!(how(&through(vec![Stage::Ordered.id()])), "through ordered to");
        assert_eq!(how(&through(vec![AgentId(7)])), "through 0000000000000007 to");
    }
}
