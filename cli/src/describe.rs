//! `daedal tree`, `routes` and `boxes`: what the controller says of the system.

#![expect(clippy::disallowed_methods, reason = "waits for an answer on a thread of its own")]

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
pub use daedal::model::control::View;
use daedal::model::control::{FromController, ToController};
use daedal::model::controller::Controller;
use daedal::model::encode::Body;
use daedal::model::latt::CONTROLLER;
use daedal::running::RunningBox;
use daedal::{Agent, AgentId, Templates};

use crate::find::Where;

/// How long a command waits for the controller.
pub const ANSWER_AT_MOST: Duration = Duration::from_secs(5);

/// Asks the controller for a view, and prints it.
pub fn run(at: &Where, view: View, templates: &Arc<Templates>) -> Result<()> {
    let address = at.controller()?;
    let guest = RunningBox::start_guest(address, templates).map_err(|why| anyhow!(why))?;
    match ask(&guest, &ToController::Describe(view))? {
        FromController::Text(text) => print!("{text}"),
        other => bail!("the controller at {address} answers something else: {other:?}"),
    }
    guest.stop().map_err(|why| anyhow!(why))
}

/// Asks the controller something.
pub fn ask(guest: &RunningBox, request: &ToController) -> Result<FromController> {
    let address = guest.config().controller;
    let answer = ask_within::<Controller>(guest, CONTROLLER.into(), request.clone());
    answer.with_context(|| format!("the controller at {address} does not answer; is it running?"))
}

/// Asks an agent, and waits for its answer for a while.
pub fn ask_within<A: Agent>(
    guest: &RunningBox,
    to: AgentId,
    request: A::Message,
) -> Result<A::Reply>
where
    A::Message: Body<Message = A::Message> + Send,
    A::Reply: Send,
{
    let (says, answers) = channel();
    let handle = guest.handle().clone();
    // The thread ends with the guest, whose end answers everything.
    std::thread::spawn(move || says.send(handle.ask_blocking::<A>(to, &request)));
    let answer = answers.recv_timeout(ANSWER_AT_MOST);
    Ok(answer.with_context(|| format!("no answer within {ANSWER_AT_MOST:?}"))??)
}
