//! The `daedal` command: arguments to one file a subcommand.
//!
//! A program that embeds agents of its own gets the whole command for them by handing its templates to
//! [`run`].

#![warn(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "`say` and `note` outlive their readers"
)]

mod bench;
mod boxes;
mod demo;
mod describe;
mod find;
mod load;
mod preflight;
mod reshard;
mod say;
mod sim;
mod start_box;
mod state;
mod stop;
mod table;
mod waiting;
mod walks;
mod watch;

use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use daedal::Templates;

/// Distributed services that change while they run.
#[derive(Debug, Parser)]
#[command(name = "daedal", version)]
struct Arguments {
    /// What is written to standard error: error, warn, info, debug or trace, and what is worse
    #[arg(long, global = true, value_name = "LEVEL", default_value_t = tracing::Level::WARN)]
    log: tracing::Level,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts a sharded key-value store on this machine, loads it, and shows what it did
    Demo(demo::Arguments),
    /// Runs one box of a system, or its controller, in this process
    Box(start_box::Arguments),
    /// Draws the tree of agents, and where each runs
    Tree(find::Where),
    /// Shows the routes that clients are told
    Routes(find::Where),
    /// Shows the boxes, and how each of their reactors runs; with --watch, what the reactors count and how full
    /// everything is
    Boxes(watch::Arguments),
    /// Shows an agent's state, put together from the agents that it became
    State(state::Arguments),
    /// Cuts an agent into another number of shards, while the system runs
    Reshard(reshard::Arguments),
    /// Looks whether this machine has what the boxes of a system need, and says what mends what it lacks
    Preflight(preflight::Arguments),
    /// Shows the walks of sampled messages through the boxes of this host: see `daedal box --trace`
    Trace(walks::Arguments),
    /// Runs whole systems in virtual time, with faults, from seeds
    Sim(sim::Args),
    /// Measures what messages cost, beside other frameworks and the bare machine
    Bench(bench::Arguments),
}

/// Runs the command for the agents that `templates` can make.
pub fn run(templates: Templates) -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(arguments.log)
        .with_target(false)
        .init();
    let templates = Arc::new(templates);
    let done = match arguments.command {
        Command::Preflight(arguments) => return preflight::run(&arguments, &templates),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Box(arguments) => start_box::run(&arguments, &templates),
        Command::Tree(at) => describe::run(&at, describe::View::Tree, &templates),
        Command::Routes(at) => describe::run(&at, describe::View::Routes, &templates),
        Command::Boxes(arguments) => watch::run(&arguments, &templates),
        Command::Trace(arguments) => walks::run(&arguments),
        Command::State(arguments) => state::run(&arguments, &templates),
        Command::Reshard(arguments) => reshard::run(&arguments, &templates),
        Command::Sim(arguments) => sim::run(arguments),
        Command::Bench(arguments) => bench::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => say::end(&error),
    }
}
