//! `daedal state kvs`: a virtual agent's state, put together from the agents that it became.
//!
//! Each physical agent is captured between two of its transitions, while requests are in flight; a cut
//! across all of them at one moment needs the wedge, and is not made here. The output says so.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use daedal::Templates;
use daedal::model::address::numbered;
use daedal::model::control::{FromController, FromPort, Reason, ToController, ToPort, port_path};
use daedal::model::path::AgentPath;
use daedal::model::port::Port;
use daedal::model::route::Action;
use daedal::model::state::Captured;
use daedal::running::RunningBox;

use crate::describe::{ANSWER_AT_MOST, ask, ask_within};
use crate::find::Where;
use crate::say::say;

/// What `daedal state` takes.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The agent's path, such as kvs or kvs/shard1; one of many by its number, such as users/7
    agent: String,
    #[command(flatten)]
    at: Where,
}

/// Captures the parts, and prints the whole.
pub fn run(arguments: &Arguments, templates: &Arc<Templates>) -> Result<()> {
    let (path, number) = match numbered(&arguments.agent) {
        Some((many, number)) => (AgentPath::parse(many)?, format!("/{number}")),
        None => (AgentPath::parse(&arguments.agent)?, String::new()),
    };
    let guest = arguments.at.guest(templates)?;
    let parts = places(&guest, &path)?;
    let count = parts.len();
    let captured = parts
        .into_iter()
        .map(|(part, port)| capture(&guest, &format!("{part}{number}"), &port))
        .collect::<Result<Vec<_>>>()?;
    let whole = Captured::join(captured).context("the parts' states do not join")?;
    guest.stop().map_err(|why| anyhow!(why))?;
    if count == 1 {
        say!("{path}{number}, captured between two of its transitions")?;
    } else {
        say!(
            "{path}, put together from {count} agents, each captured between two of its transitions"
        )?;
        say!(
            "(not one cut across all of them: requests in flight may show in one and not in another)"
        )?;
    }
    say!("{whole}")
}

/// Path of each physical agent, and its reactor's port.
fn places(guest: &RunningBox, path: &AgentPath) -> Result<Vec<(AgentPath, AgentPath)>> {
    let id = path.logical_id();
    let request = ToController::Lookup { destination: id.0, source: beside(path)?.to_string() };
    let learned = match ask(guest, &request)? {
        FromController::Learned(knowledge) => knowledge.read(),
        // The controller knows agents by their ids; a user knows what was typed.
        FromController::Refused(Reason::UnknownAgent, why) if why.contains(&id.to_string()) => {
            bail!("there is no agent \"{path}\"; `daedal tree` shows those that there are")
        }
        FromController::Refused(_, why) => bail!("{path}: {why}"),
        other => bail!("the controller answers something else: {other:?}"),
    };
    let places: BTreeMap<_, _> = learned.places.into_iter().collect();
    let boxes: BTreeMap<_, _> = learned.boxes.into_iter().map(|(id, name, _)| (id, name)).collect();
    let mut found = Vec::new();
    for (part, route) in learned.routes {
        let physical = match route.action {
            Action::To(physical) => physical,
            Action::Hold => bail!("{part} does not run now; `daedal tree` shows why"),
            _ => continue,
        };
        let at = places.get(&physical).with_context(|| format!("{part} runs nowhere just now"))?;
        let name =
            boxes.get(&at.agent_box).with_context(|| format!("{part} runs in an unknown box"))?;
        found.push((part, port_path(name, at.reactor)?));
    }
    Ok(found)
}

/// Who asks: a sibling of the agent, as only siblings hear where it is (Escher §2.2). A guest that looks at
/// a part of an agent sends nothing to it: its reactor's port is asked.
fn beside(path: &AgentPath) -> Result<AgentPath> {
    let parent = path.parent().context("the system agent has no state of its own")?;
    Ok(parent.join("guest")?)
}

fn capture(guest: &RunningBox, part: &str, port: &AgentPath) -> Result<Captured> {
    let request = ToPort::Capture { path: part.to_owned() };
    let answer = ask_within::<Port>(guest.handle(), port.logical_id(), &request, ANSWER_AT_MOST)?;
    match answer
        .with_context(|| format!("{part}: its box does not answer; `daedal boxes` shows it"))?
    {
        FromPort::Captured(bytes) => Ok(Captured::from_bytes(&bytes)?),
        FromPort::Refused(why) => bail!("{why}"),
        other => bail!("{port} answers something else: {other:?}"),
    }
}
