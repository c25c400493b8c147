//! `daedal reshard kvs 3`: another number of shards, while the system runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use clap::Args;
use daedal::model::control::{FromController, Reason, ToController};
use daedal::model::controller::Controller;
use daedal::model::latt::CONTROLLER;
use daedal::running::RunningBox;
use daedal::{AgentId, AskError, Templates};

use crate::describe::{View, ask};
use crate::find::Where;
use crate::say::{note, say};

/// How long the command waits until all shards run. The change goes on without it.
const DONE_AT_MOST: Duration = Duration::from_secs(60);
/// How long it leaves a controller in peace that could not do it for now; twice as long each time, since its shards may
/// have been stopped for that.
const AGAIN_FIRST: Duration = Duration::from_millis(200);
/// The longest of these times.
const AGAIN_MAX: Duration = Duration::from_secs(5);

/// What `daedal reshard` takes.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The agent's path, such as kvs
    agent: String,
    /// How many shards it has from then on
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    shards: u32,
    #[command(flatten)]
    at: Where,
}

/// Has the controller do it, and says how long it took.
pub fn run(arguments: &Arguments, templates: &Arc<Templates>) -> Result<()> {
    let Arguments { agent, shards, at } = arguments;
    let guest = at.guest(templates)?;
    // That nobody is there is said at once, and not when a change would have taken too long.
    ask(&guest, &ToController::Describe(View::Tree))?;
    let answer = ask_until_it_is_done(&guest, arguments);
    guest.stop().map_err(|why| anyhow!(why))?;
    let s = if *shards == 1 { "" } else { "s" };
    match answer? {
        FromController::Resharded { took_ns: 0, .. } => {
            say!("{agent} has {shards} shard{s}: nothing was left to do")
        }
        FromController::Resharded { took_ns, paused_ns } => {
            let ms = |ns: u64| ns.div_ceil(1_000_000);
            say!(
                "{agent} has {shards} shard{s} now: it took {} ms, for {} of which its shards did not all run",
                ms(took_ns),
                ms(paused_ns)
            )?;
            say!(
                "(the system's file is as it was: where every box starts anew, {agent} is as that says)"
            )
        }
        FromController::Refused(_, why) => bail!("{why}"),
        other => bail!("the controller answers something else: {other:?}"),
    }
}

/// Asks for it again while it cannot be done for now, or the controller has started anew: what was begun goes on, and
/// what is done is not done again. Says what it waits for.
#[expect(
    clippy::disallowed_methods,
    reason = "a command has a deadline, and a controller is left in peace"
)]
fn ask_until_it_is_done(guest: &RunningBox, arguments: &Arguments) -> Result<FromController> {
    let Arguments { agent, shards, .. } = arguments;
    let request = ToController::Reshard { path: agent.clone(), shards: *shards };
    let until = Instant::now() + DONE_AT_MOST;
    let (mut waits_for, mut again) = (String::new(), AGAIN_FIRST);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let ask = guest.handle().ask::<Controller>(AgentId::from(CONTROLLER), &request);
        let why = match ask.wait_within(left) {
            Some(Ok(FromController::Refused(Reason::NotNow, why))) => why,
            Some(Ok(told)) => return Ok(told),
            Some(Err(AskError::Unknown)) => "the controller has started anew".to_owned(),
            Some(Err(error)) => return Err(error.into()),
            None => {
                let s = if *shards == 1 { "" } else { "s" };
                let shows = "`daedal tree` shows what it waits for";
                let last = if waits_for.is_empty() { shows } else { &waits_for };
                bail!("{agent} is not cut into {shards} shard{s} within {DONE_AT_MOST:?}: {last}")
            }
        };
        if why != waits_for {
            note!("{agent} waits: {why}");
            waits_for = why;
        }
        std::thread::sleep(again.min(left));
        again = (2 * again).min(AGAIN_MAX);
    }
}
