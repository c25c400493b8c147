//! `daedal boxes`: the boxes, as the controller knows them, and how each of their reactors runs, as it says
//! itself at this moment: which driver in which mode, so that a fallback is seen.

#![expect(clippy::disallowed_methods, reason = "waits for all reactors until one moment")]

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use daedal::Templates;
use daedal::model::control::{
    BoxState, FromController, FromPort, ProcessState, Standing, ToController, ToPort, port_path,
};
use daedal::model::port::Port;
use daedal::running::RunningBox;

use crate::describe::ask;
use crate::find::Where;
use crate::say;

/// How long all reactors together may take to answer: of a box that was killed the controller knows nothing,
/// and nobody waits for long to see that it does not answer.
const ANSWER_AT_MOST: Duration = Duration::from_secs(2);

/// Prints the boxes and their reactors.
pub fn run(at: &Where, templates: &Arc<Templates>) -> Result<()> {
    let guest = at.guest(templates)?;
    let boxes = match ask(&guest, &ToController::Boxes)? {
        FromController::Boxes(boxes) => boxes,
        other => bail!("the controller answers something else: {other:?}"),
    };
    let reactors = reactors(&guest, &boxes)?;
    let mut text = String::new();
    for (it, said) in boxes.iter().zip(reactors) {
        let _ = writeln!(text, "{}", line(it));
        for (reactor, said) in said.iter().enumerate() {
            let _ = writeln!(text, "    {}.{reactor}  {said}", it.name);
        }
    }
    guest.stop().map_err(|why| anyhow!(why))?;
    say::print(format_args!("{text}"))
}

/// What each reactor of each box says. All are asked before one is waited for.
fn reactors(guest: &RunningBox, boxes: &[BoxState]) -> Result<Vec<Vec<String>>> {
    let ask = |it: &BoxState| {
        let count = it.process.as_ref().map_or(0, |process| process.reactors);
        let ask = |reactor| {
            let port = port_path(&it.name, reactor)?.logical_id();
            Ok(guest.handle().try_ask::<Port>(port, &ToPort::Describe))
        };
        (0..count).map(ask).collect::<Result<Vec<_>>>()
    };
    let asked = boxes.iter().map(ask).collect::<Result<Vec<_>>>()?;
    let until = Instant::now() + ANSWER_AT_MOST;
    let hear = |asked: Vec<_>| {
        let left = || until.saturating_duration_since(Instant::now());
        let said = asked.into_iter().map(|ask: Result<daedal::Ask<_>, _>| {
            match ask.map(|ask| ask.wait_within(left())) {
                Ok(Some(Ok(FromPort::Described(text)))) => text,
                Ok(None) => format!("does not answer within {ANSWER_AT_MOST:?}: it may be gone"),
                Ok(Some(Ok(other))) => format!("answers something else: {other:?}"),
                Ok(Some(Err(why))) | Err(why) => format!("cannot be asked: {why}"),
            }
        });
        said.collect()
    };
    Ok(asked.into_iter().map(hear).collect())
}

fn line(it: &BoxState) -> String {
    let BoxState { name, standing, agent_box, process } = it;
    let Some(id) = agent_box else { return format!("{name}  has not come") };
    let standing = match standing {
        Standing::Stated => "",
        Standing::Home => "  (the controller's)",
        Standing::Guest => "  (a guest)",
    };
    let state = match process {
        Some(ProcessState { address, reactors, agents }) => {
            let reactors = counted((*reactors).into(), "reactor");
            format!("{address}  {reactors}  {}", counted(*agents, "agent"))
        }
        None => "has not reported, or has ended".to_owned(),
    };
    format!("{name}  box {id}  {state}{standing}")
}

/// `1 reactor`, `2 reactors`.
fn counted(count: u32, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
