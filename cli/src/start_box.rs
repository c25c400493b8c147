//! `daedal box`: one box of a system, or its controller, in this process, until it is told to stop.

#![expect(clippy::disallowed_methods, reason = "waits for its parent on a thread of its own")]

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use daedal::Templates;
use daedal::assemble::HOME;
use daedal::boxes::idle::Idle;
use daedal::running::{BoxConfig, RunningBox, Word, config_of};
use daedal::system::SystemSpec;

/// What `daedal box` takes.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The box, as the system file calls it; `controller` is the controller's
    name: String,
    /// File that states the system
    #[arg(long, value_name = "FILE")]
    system: PathBuf,
    /// What reactors do when there is nothing to do, instead of what the file says: latency (spin),
    /// balanced (spin, then park) or frugal (park)
    #[arg(long)]
    idle: Option<Idle>,
    /// Cores that the reactors are pinned to
    #[arg(long, value_delimiter = ',', value_name = "CORES")]
    cpus: Vec<usize>,
    /// File for the highest space and epoch given out; only the controller has one
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// End when standard input is closed: when whoever started this box is gone
    #[arg(long)]
    with_parent: bool,
}

/// Runs the box.
pub fn run(arguments: &Arguments, templates: &Arc<Templates>) -> Result<()> {
    let spec = daedal::system::load(&arguments.system)?;
    let mut config = config_of(&spec, &arguments.name).map_err(|why| anyhow!(why))?;
    config.cpus.clone_from(&arguments.cpus);
    if let Some(idle) = arguments.idle {
        config.idle = idle;
    }
    let running = start(arguments, config, spec, templates)?;
    let (name, address) = (&arguments.name, running.config().address);
    say(&format!("box \"{name}\" is at {address}"));
    if arguments.with_parent {
        end_with_parent();
    }
    listen(&running, name)
}

/// Says something to whoever listens; that nobody does is no reason to end.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Ends the process when nobody holds the other end of its standard input any more.
fn end_with_parent() {
    std::thread::spawn(|| {
        let mut input = std::io::stdin().lock();
        // Whatever is written there means nothing; an error means the same as the end.
        let _ = std::io::copy(&mut input, &mut std::io::sink());
        std::process::exit(0);
    });
}

fn start(
    arguments: &Arguments,
    config: BoxConfig,
    spec: SystemSpec,
    templates: &Arc<Templates>,
) -> Result<RunningBox> {
    let named = |why| anyhow!("box \"{}\": {why}", arguments.name);
    if arguments.name != HOME {
        return RunningBox::start(config, templates).map_err(named);
    }
    let stated = spec.controller.journal.as_ref().map(PathBuf::from);
    let beside = arguments.system.with_extension("journal");
    let journal = arguments.journal.clone().or(stated).unwrap_or(beside);
    crate::find::remember(config.controller).context("leaving word for other commands")?;
    RunningBox::start_controller(config, templates, spec, journal).map_err(named)
}

/// Says what the box has to say, until it is refused or the process is told to end.
fn listen(running: &RunningBox, name: &str) -> Result<()> {
    loop {
        match running.next_word(Duration::from_secs(60)) {
            Some(Word::Member(id)) => {
                say(&format!("box \"{name}\" is part of the system, as box {id}"))
            }
            Some(Word::Refused(why)) => bail!("box \"{name}\": the controller refuses it: {why}"),
            None => {}
        }
    }
}
