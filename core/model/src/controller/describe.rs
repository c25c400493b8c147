//! What the controller shows of the system: tree, routes, boxes. For people; nothing reads it back.

use super::Controller;
use super::life;
use crate::control::View;
use crate::id::AgentId;
use crate::latt::{Kind, Node};
use crate::route::{Action, PickBy};
use crate::stage::Stage;

impl Controller {
    pub(super) fn describe(&self, view: View) -> String {
        match view {
            View::Tree => self.latt.draw(|node| self.note(node)),
            View::Routes => self.describe_routes(),
            View::Boxes => self.describe_boxes(),
        }
    }

    /// Where a physical agent stands.
    fn note(&self, node: &Node) -> String {
        let Some(life) = self.lives.get(&node.path.logical_id()) else { return String::new() };
        let site = &life.site;
        match &life.stage {
            life::Stage::Running(hosting) | life::Stage::Stopping(hosting) => {
                let reactor = hosting.reactor.unwrap_or(0);
                format!("in {site}.{reactor} as {}, space {}", hosting.path, hosting.space)
            }
            life::Stage::Starting => format!("starts in {site}"),
            life::Stage::Failed(why) => format!("failed in {site}: {why}"),
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

    fn describe_boxes(&self) -> String {
        let mut text = String::new();
        for (name, member) in &self.members {
            let running = self.living_in(name).filter_map(|id| self.lives.get(&id));
            let count = running.filter(|life| life.stage.running().is_some()).count();
            let kind = match name {
                name if *name == self.home => "  (the controller's)",
                name if self.is_stated(name) => "",
                _ => "  (a guest)",
            };
            let state = match &member.current {
                Some(process) => {
                    let reactors = counted(usize::from(process.reactors), "reactor");
                    format!("{}  {reactors}  {}", process.address, counted(count, "agent"))
                }
                None => "has not reported, or has ended".to_owned(),
            };
            text.push_str(&format!("{name}  box {}  {state}{kind}\n", member.id));
        }
        for site in self.sites.iter().filter(|site| !self.members.contains_key(&site.name)) {
            text.push_str(&format!("{}  has not come\n", site.name));
        }
        text
    }
}

/// `1 reactor`, `2 reactors`.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
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
