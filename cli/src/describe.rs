//! `daedal tree` and `routes`: what the controller says of the system.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
pub use daedal::model::control::View;
use daedal::model::control::{FromController, ToController};
use daedal::model::controller::Controller;
use daedal::model::encode::Body;
use daedal::model::latt::CONTROLLER;
use daedal::running::RunningBox;
use daedal::{Agent, AgentId, Handle, Templates};

use crate::find::Where;
use crate::say;

/// How long a command waits for the controller.
pub const ANSWER_AT_MOST: Duration = Duration::from_secs(5);

/// Asks the controller for a view, and prints it.
pub fn run(at: &Where, view: View, templates: &Arc<Templates>) -> Result<()> {
    let guest = at.guest(templates)?;
    let answer = ask(&guest, &ToController::Describe(view))?;
    guest.stop().map_err(|why| anyhow!(why))?;
    match answer {
        FromController::Text(text) => say::print(format_args!("{text}")),
        other => bail!("the controller answers something else: {other:?}"),
    }
}

/// Asks the controller something.
pub fn ask(guest: &RunningBox, request: &ToController) -> Result<FromController> {
    let address = guest.config().controller;
    let answer =
        ask_within::<Controller>(guest.handle(), CONTROLLER.into(), request, ANSWER_AT_MOST)?;
    answer.with_context(|| {
        format!(
            "the controller at {address} does not answer within {ANSWER_AT_MOST:?}: start it with \
             `daedal box controller --system FILE`, or name another by --controller or --system; a \
             system with a secret_file answers those alone who have the same, by --secret-file or --system"
        )
    })
}

/// Asks an agent, and waits for its answer for a while; `None`: in vain.
pub fn ask_within<A: Agent>(
    handle: &Handle,
    to: AgentId,
    request: &A::Message,
    at_most: Duration,
) -> Result<Option<A::Reply>>
where
    A::Message: Body<Message = A::Message>,
{
    Ok(handle.ask::<A>(to, request).wait_within(at_most).transpose()?)
}
