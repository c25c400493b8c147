//! `daedal state kvs`: a virtual agent's state, put together from the agents that it became.
//!
//! Where it became several, they are held for a moment, and captured while all are: one cut, in which there is no
//! effect without its cause (`core/boxes/src/hold.rs`). Requests that are in flight are in it or not, and the system
//! goes on.

#![expect(
    clippy::disallowed_methods,
    reason = "a command has a deadline, and leaves in peace who is busy"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use daedal::model::address::numbered;
use daedal::model::control::{
    Failure, FromController, FromPort, Reason, ToController, ToPort, port_path,
};
use daedal::model::path::AgentPath;
use daedal::model::port::Port;
use daedal::model::route::Action;
use daedal::model::state::Captured;
use daedal::running::RunningBox;
use daedal::{AskError, Templates};

use crate::describe::{ANSWER_AT_MOST, ask};
use crate::find::Where;
use crate::say::say;

/// How long the command tries: parts may wait for answers, move, or be held for somebody else.
const CUT_AT_MOST: Duration = Duration::from_secs(10);
/// How long it leaves them in peace before it tries again.
const AGAIN: Duration = Duration::from_millis(50);

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
    let captured = cut(&guest, &path, &number);
    guest.stop().map_err(|why| anyhow!(why))?;
    let captured = captured?;
    let count = captured.len();
    let whole = Captured::join(captured).context("the parts' states do not join")?;
    if count == 1 {
        say!("{path}{number}, captured between two of its transitions")?;
    } else {
        say!(
            "{path}, put together from {count} agents in one cut, between two transitions of each"
        )?;
        say!(
            "(each was held until all were captured: what one had caused in another is in it with its cause)"
        )?;
    }
    say!("{whole}")
}

/// The states of all parts, in one cut. `number`: of many agents of one name, which, as `/7`.
fn cut(guest: &RunningBox, path: &AgentPath, number: &str) -> Result<Vec<Captured>> {
    let until = Instant::now() + CUT_AT_MOST;
    loop {
        let named = |(part, port): (AgentPath, AgentPath)| (format!("{part}{number}"), port);
        let parts: Vec<_> = places(guest, path)?.into_iter().map(named).collect();
        let by = (parts.len() > 1).then(|| guest.incarnation());
        let tried = try_cut(guest, &parts, by);
        if let Some(by) = by {
            // Whoever does not hear of it goes on by itself.
            let _ = ask_all(guest, &parts, |path| ToPort::Release { path, by });
        }
        match tried? {
            Ok(captured) => return Ok(captured),
            Err(why) if Instant::now() > until => {
                bail!(
                    "{path}: no cut across its {} parts within {CUT_AT_MOST:?}: {why}",
                    parts.len()
                )
            }
            Err(_) => std::thread::sleep(AGAIN),
        }
    }
}

/// Holds all parts, if `by` is to, and captures them once all are. The inner error may pass.
fn try_cut(
    guest: &RunningBox,
    parts: &[(String, AgentPath)],
    by: Option<u64>,
) -> Result<Result<Vec<Captured>, Failure>> {
    if let Some(by) = by {
        let held = ask_all(guest, parts, |path| ToPort::Hold { path, by })?;
        if let Err(why) = held.into_iter().collect::<Result<Vec<_>, _>>() {
            return Ok(Err(why));
        }
    }
    let states = ask_all(guest, parts, |path| ToPort::Capture { path, held_by: by })?;
    let mut captured = Vec::new();
    for ((part, port), state) in parts.iter().zip(states) {
        match state {
            Ok(FromPort::Captured(bytes)) => captured.push(Captured::from_bytes(&bytes)?),
            Ok(other) => bail!("{port} answers something else of {part}: {other:?}"),
            Err(why) => return Ok(Err(why)),
        }
    }
    Ok(Ok(captured))
}

/// Asks the ports of all parts at once.
fn ask_all(
    guest: &RunningBox,
    parts: &[(String, AgentPath)],
    message: impl Fn(String) -> ToPort,
) -> Result<Vec<Result<FromPort, Failure>>> {
    let ask = |(part, port): &(String, AgentPath)| {
        guest.handle().ask::<Port>(port.logical_id(), &message(part.clone()))
    };
    let asks: Vec<_> = parts.iter().map(ask).collect();
    let mut answers = Vec::new();
    for (ask, (part, _)) in asks.into_iter().zip(parts) {
        let answer = ask
            .wait_within(ANSWER_AT_MOST)
            .with_context(|| format!("{part}: its box does not answer; `daedal boxes` shows it"))?;
        match answer {
            Ok(FromPort::Refused(why)) if !why.may_pass => bail!("{why}"),
            Ok(FromPort::Refused(why)) => answers.push(Err(why)),
            Ok(answer) => answers.push(Ok(answer)),
            Err(AskError::Unknown) => {
                answers.push(Err(Failure::for_now(format!("the box of {part} has ended"))));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(answers)
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
