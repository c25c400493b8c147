//! `daedal preflight`: what the boxes of a system file need of this machine, what is there, what follows from
//! what is not, and what mends it. Boxes look the same at their start.

use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::Args;
use daedal::Templates;
use daedal::assemble::{self, HOME};
use daedal::boxes::executor::Executor;
use daedal::boxes::preflight::{Finding, Preflight, Standing, check, other_drivers};
use daedal::running::{BoxConfig, config_of};
use daedal::system::SystemSpec;

use crate::say;
use crate::start_box::journal;

/// What `daedal preflight` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0, the boxes start as the file says; 1, one does not start, or \
                        there is no such file or box; 2, one starts with less."
)]
pub struct Arguments {
    /// The boxes, as the system file calls them; `controller` is the controller's [default: all that are
    /// to be on this host]
    names: Vec<String>,
    /// File that states the system
    #[arg(long, value_name = "FILE")]
    system: PathBuf,
    /// What reactors are to run on, instead of what the file says: thread or glommio
    #[arg(long)]
    executor: Option<Executor>,
    /// Cores that the reactors are to be pinned to, such as 0,1
    #[arg(long, value_delimiter = ',', value_name = "CORES")]
    cpus: Vec<usize>,
}

/// Looks, prints, and says by its exit code how it stands.
pub fn run(arguments: &Arguments, templates: &Templates) -> ExitCode {
    match look(arguments, templates) {
        Ok(Standing::Ok | Standing::Without) => ExitCode::SUCCESS,
        Ok(Standing::Less) => ExitCode::from(2),
        Ok(Standing::Missing) => ExitCode::FAILURE,
        Err(error) => say::end(&error),
    }
}

fn look(arguments: &Arguments, templates: &Templates) -> Result<Standing> {
    let spec = assemble::load(&arguments.system, templates)?;
    let mut worst = Standing::Ok;
    for name in names(arguments, &spec) {
        let mut config = config_of(&spec, &name).map_err(|why| anyhow!(why))?;
        config.cpus.clone_from(&arguments.cpus);
        config.executor = arguments.executor.unwrap_or(config.executor);
        let mut needs = config.needs();
        if name == HOME {
            needs.writes.push(journal(None, &spec, &arguments.system));
        }
        let mut preflight = check(&needs);
        preflight.findings.extend(other_drivers(&needs));
        say::print(format_args!("{}", render(&config, &preflight)))?;
        worst = worst.max(preflight.standing());
    }
    Ok(worst)
}

/// Those that were named, else those whose address this host has; all, if it has none of them.
fn names(arguments: &Arguments, spec: &SystemSpec) -> Vec<String> {
    if !arguments.names.is_empty() {
        return arguments.names.clone();
    }
    let controller = (HOME, spec.controller.address);
    let boxes = spec.boxes.iter().map(|(name, it)| (name.as_str(), it.address));
    let all: Vec<_> = std::iter::once(controller).chain(boxes).collect();
    let is_here = |ip| UdpSocket::bind((ip, 0)).is_ok();
    let here = all.iter().filter(|(_, address)| is_here(address.ip()));
    let here: Vec<String> = here.map(|(name, _)| name.to_string()).collect();
    if here.is_empty() { all.iter().map(|(name, _)| name.to_string()).collect() } else { here }
}

fn render(config: &BoxConfig, preflight: &Preflight) -> String {
    let BoxConfig { name, address, reactors, .. } = config;
    let head = format!("box \"{name}\" at {address}, reactors: {reactors}\n");
    preflight.findings.iter().fold(head, |text, finding| text + &row(finding))
}

fn row(finding: &Finding) -> String {
    let Finding { what, standing, found, follows, mend } = finding;
    let word = match standing {
        Standing::Ok => "ok",
        Standing::Without => "no",
        Standing::Less => "less",
        Standing::Missing => "missing",
    };
    let mut text = format!("  {word:<8} {what:<13} {found}\n");
    if *standing != Standing::Ok {
        text += &format!("  {:<8} {:<13} {follows}\n", "", "so");
        text += &format!("  {:<8} {:<13} {mend}\n", "", "mend it by");
    }
    text
}
