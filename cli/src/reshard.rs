//! `daedal reshard kvs 3`: another number of shards, while the system runs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clap::Args;
use daedal::Templates;
use daedal::model::control::{FromController, ToController};
use daedal::model::controller::Controller;
use daedal::model::latt::CONTROLLER;

use crate::describe::{View, ask, ask_within};
use crate::find::Where;
use crate::say::say;

/// How long the command waits until all shards run. The change goes on without it.
const DONE_AT_MOST: Duration = Duration::from_secs(60);

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
    let request = ToController::Reshard { path: agent.clone(), shards: *shards };
    let answer =
        ask_within::<Controller>(guest.handle(), CONTROLLER.into(), &request, DONE_AT_MOST)?;
    guest.stop().map_err(|why| anyhow!(why))?;
    let s = if *shards == 1 { "" } else { "s" };
    match answer {
        Some(FromController::Resharded { took_ns: 0, .. }) => {
            say!("{agent} has {shards} shard{s}: nothing was left to do")
        }
        Some(FromController::Resharded { took_ns, paused_ns }) => {
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
        Some(FromController::Refused(_, why)) => bail!("{why}"),
        Some(other) => bail!("the controller answers something else: {other:?}"),
        None => bail!(
            "{agent} is not cut into {shards} shard{s} within {DONE_AT_MOST:?}: `daedal tree` shows what it waits for"
        ),
    }
}
