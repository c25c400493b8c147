//! What the controller shows of the system: tree, routes, boxes. For people; nothing reads it back.

use super::Controller;
use super::life::Stage;
use crate::control::View;
use crate::latt::{Kind, Node};
use crate::route::{Action, PickBy};

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
            Stage::Running(hosting) | Stage::Stopping(hosting) => {
                let reactor = hosting.reactor.unwrap_or(0);
                format!("in {site}.{reactor} as {}, space {}", hosting.path, hosting.space)
            }
            Stage::Starting => format!("starts in {site}"),
            Stage::Failed(why) => format!("failed in {site}: {why}"),
            Stage::Ended
                if self.members.get(site).is_some_and(|member| member.current.is_some()) =>
            {
                "waits for boxes that may still run it to report".to_owned()
            }
            Stage::Ended => format!("waits for box {site}"),
        }
    }

    fn describe_routes(&self) -> String {
        let mut text = String::new();
        for node in self.latt.top().flat_map(|top| self.latt.below(top.path.logical_id())) {
            let id = node.path.logical_id();
            let (epoch, action) = match &node.kind {
                Kind::Virtual { transformation, children } => {
                    let action = transformation.routes(children);
                    let how = match &action {
                        Action::Pick { by: PickBy::Point, .. } => "pick by point of",
                        Action::Pick { by: PickBy::RoundRobin, .. } => "pick in turn of",
                        Action::Pick { by: PickBy::LeastOutstanding, .. } => {
                            "pick the least busy of"
                        }
                        _ => "each of",
                    };
                    let names: Vec<_> = children.iter().map(|child| child.path.as_str()).collect();
                    let epoch = self.epochs.get(&id).copied();
                    (epoch, format!("{how} {}", names.join(", ")))
                }
                Kind::Physical(_) => match self.lives.get(&id).map(|life| (life, &life.stage)) {
                    Some((life, Stage::Running(hosting) | Stage::Stopping(hosting))) => {
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
