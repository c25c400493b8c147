//! Hosts of a network, for people: namespaces on a switch, which may lose and double what they are sent. Not among
//! `all`: tests make their own.

use std::process::Command;

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Subcommand;
use daedal_lab::Lab;

use crate::step::{Outcome, Report};

/// What the namespaces are called, each with its number behind.
const NAME: &str = "daedal-lab";

#[derive(Subcommand)]
pub enum Act {
    /// Makes hosts that see each other by an interface called lab
    Up {
        /// How many
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
        hosts: u8,
        /// How much of a hundred packets each loses of what comes
        #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=99))]
        loss: u8,
        /// How much of a hundred packets come twice
        #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=99))]
        doubled: u8,
    },
    /// Removes them
    Down,
}

pub fn lab(report: &mut Report, act: &Act) {
    report.step("lab", |_| match *act {
        Act::Up { hosts, loss, doubled } => up(hosts.into(), loss, doubled),
        Act::Down => down(),
    });
}

fn up(hosts: usize, loss: u8, doubled: u8) -> Result<Outcome> {
    let made = Lab::lasting(NAME, hosts).map_err(|error| anyhow!("{error}"));
    let lab =
        made.context("there is no lab; run as root, and cargo ci lab down if there is one")?;
    for end in 0..hosts {
        if let Err(error) = lab.trouble(end, loss, doubled) {
            lab.remove();
            bail!("{error}");
        }
        println!("{} is 10.0.0.{}, by its interface lab", lab.space(end), end + 1);
    }
    println!("to run something on one: ip netns exec {} COMMAND", lab.space(0));
    println!("to remove them:          cargo ci lab down");
    Ok(Outcome::Passed)
}

fn down() -> Result<Outcome> {
    let spaces = Lab::spaces_called(NAME);
    for space in &spaces {
        let pids = Command::new("ip").args(["netns", "pids", space]).output();
        let pids = pids.context("`ip` cannot be started")?.stdout;
        let pids: Vec<_> =
            String::from_utf8_lossy(&pids).split_whitespace().map(str::to_owned).collect();
        if !pids.is_empty() {
            bail!("there runs something in {space}: end it first (kill {})", pids.join(" "));
        }
    }
    Lab::of(NAME, spaces.len()).remove();
    let left = Lab::spaces_called(NAME);
    ensure!(left.is_empty(), "{} could not be removed: run as root", left.join(", "));
    println!("{} namespaces removed", spaces.len());
    Ok(Outcome::Passed)
}
