//! `cargo ci <task>`: what is checked before a change is taken, the same here and on the servers.
//!
//! Knows the order of the tasks and nothing of how each is done; depends on nothing of ours but `ci/lab`, which
//! depends on nothing else of ours, so that it builds when the rest does not.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod fuzz;
mod lab;
mod lint;
mod memory;
mod peers;
mod setup;
mod soak;
mod step;
mod test;

use step::Report;

/// Sets everything up and checks everything. Without a task: all.
#[derive(Parser)]
#[command(bin_name = "cargo ci", version)]
struct Arguments {
    #[command(subcommand)]
    task: Option<Task>,
}

#[derive(Subcommand)]
enum Task {
    /// Everything that is checked on a change, in order
    All,
    /// Installs what is missing; says what is skipped without it
    Setup,
    /// Is the code formatted as rustfmt would?
    Fmt,
    /// Lints, as errors
    Clippy,
    /// Documentation, warnings as errors
    Doc,
    /// Licences, sources and bans of the dependencies
    Deny,
    /// All tests
    Test,
    /// Lints and tests of reactors on glommio, which a default build has not
    Executors,
    /// Lints and tests of the driver dpdk, which a default build has not
    Dpdk,
    /// Exhaustive interleavings of what threads share
    Loom,
    /// The simulator, over 200 seeds
    Seeds,
    /// The simulator, over bugs that are put in: it finds each
    Planted,
    /// Unsafe code that calls nothing foreign, under miri (nightly)
    Miri,
    /// The other unsafe code, with the address sanitizer (nightly)
    Asan,
    /// One fuzz target, or all, one after the other, each for a while
    Fuzz {
        /// A file of ci/fuzz/fuzz_targets, without .rs; or all
        target: String,
        /// How long each
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
        seconds: u32,
    },
    /// What messages cost, beside every other framework that they are compared with
    Peers {
        /// Rounds that count
        #[arg(long, default_value_t = 5)]
        rounds: u16,
    },
    /// Hosts of a network, from namespaces, to run boxes in
    Lab {
        #[command(subcommand)]
        act: lab::Act,
    },
    /// Real processes in network namespaces, under load and trouble; then every counter is accounted for
    Soak {
        /// How long
        #[arg(long, default_value_t = 30.0)]
        minutes: f64,
        /// What troubles and load are drawn from [default: of this moment]
        #[arg(long)]
        seed: Option<u64>,
    },
}

fn main() -> ExitCode {
    let mut report = Report::default();
    match Arguments::parse().task.unwrap_or(Task::All) {
        Task::All => all(&mut report),
        Task::Setup => setup::setup(&mut report),
        Task::Fmt => lint::fmt(&mut report),
        Task::Clippy => lint::clippy(&mut report),
        Task::Doc => lint::doc(&mut report),
        Task::Deny => lint::deny(&mut report),
        Task::Test => test::test(&mut report),
        Task::Executors => test::executors(&mut report),
        Task::Dpdk => test::dpdk(&mut report),
        Task::Loom => test::loom(&mut report),
        Task::Seeds => test::seeds(&mut report),
        Task::Planted => test::planted(&mut report),
        Task::Miri => memory::miri(&mut report),
        Task::Asan => memory::asan(&mut report),
        Task::Fuzz { target, seconds } => fuzz::fuzz(&mut report, &target, seconds),
        Task::Peers { rounds } => peers::peers(&mut report, rounds),
        Task::Lab { act } => lab::lab(&mut report, &act),
        Task::Soak { minutes, seed } => soak::soak(&mut report, minutes, seed),
    }
    print!("{report}");
    if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What is quick to fail comes first. A step that fails does not keep the others from running.
fn all(report: &mut Report) {
    setup::setup(report);
    lint::fmt(report);
    lint::clippy(report);
    lint::doc(report);
    lint::deny(report);
    test::test(report);
    test::executors(report);
    test::dpdk(report);
    test::loom(report);
    test::seeds(report);
    test::planted(report);
}
