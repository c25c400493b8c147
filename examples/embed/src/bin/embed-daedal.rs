//! The whole `daedal` command, for the agents of this service: `box`, `tree`, `state counts` and the others.

use std::process::ExitCode;

fn main() -> ExitCode {
    daedal_cli::run(embed::templates())
}
