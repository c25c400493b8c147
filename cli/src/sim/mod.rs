//! `daedal sim`: runs seeds of the simulator, or one seed and explains it.
//!
//! A file a task: many seeds, one seed, planted bugs. This one has what they share: how a seed is written on
//! the command line, and what is taken away from it.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::str::FromStr;

use anyhow::Result;
use daedal::sim::fault::Kind;
use daedal::sim::planted::Bug;
use daedal::sim::scenario::{Cut, Options, Transforms};
use daedal::transforms::balance::Policy;
use daedal::transforms::{Balance, Ordered, Shard};

mod explain;
mod planted;
mod sweep;

/// What to simulate.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many seeds to run
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Run them in a second process too, and compare the traces; of this program, or of another build of it
    #[arg(long, value_name = "PROGRAM", num_args = 0..=1, conflicts_with_all = ["seed", "planted"])]
    against: Option<Option<std::path::PathBuf>>,
    /// Print each seed's digest, as --against compares them
    #[arg(long, conflicts_with_all = ["seed", "planted", "against"])]
    digests: bool,
    /// Run this seed alone, and explain it; if it fails, look for the shortest run that fails alike
    #[arg(long, conflicts_with_all = ["seeds", "from", "planted"])]
    seed: Option<u64>,
    /// With --seed: the walk of the messages of this trace, as a run without it prints them (hexadecimal)
    #[arg(long, requires = "seed", value_parser = hexadecimal)]
    follow: Option<u64>,
    /// Put bugs in, one after the other, and show that its seed finds each (a build with `--features planted`)
    #[arg(long)]
    planted: bool,
    #[command(flatten)]
    less: Less,
}

/// What is taken away from a seed, and what is put in.
#[derive(Debug, clap::Args)]
struct Less {
    /// With --seed: put in this bug, of those that --planted shows
    #[arg(long, requires = "seed")]
    bug: Option<Bug>,
    /// With --seed: only these kinds of faults, of those that it has; `none` for none
    #[arg(long, requires = "seed", value_parser = set::<Kind>)]
    kinds: Option<Set<Kind>>,
    /// With --seed: only these partitions, pauses and crashes, numbered as they begin; `none` for none
    #[arg(long, requires = "seed", value_parser = set::<usize>)]
    outages: Option<Set<usize>>,
    /// With --seed: faults are over by then, in virtual nanoseconds
    #[arg(long, requires = "seed")]
    until_ns: Option<u64>,
    /// With --seed: at most so many boxes; the least is 3, the controller's and two
    #[arg(long, requires = "seed")]
    boxes: Option<usize>,
    /// With --seed: at most so many clients at a time
    #[arg(long, requires = "seed")]
    clients: Option<usize>,
    /// With --seed: at most so many requests of each client
    #[arg(long, requires = "seed")]
    requests: Option<u32>,
    /// With --seed: at most so many of them outstanding
    #[arg(long, requires = "seed")]
    window: Option<u32>,
}

/// A list on the command line, without the order in which it was written.
type Set<T> = BTreeSet<T>;

fn set<T: FromStr + Ord>(text: &str) -> Result<Set<T>, T::Err> {
    let parts = text.split(',').filter(|part| *part != "none");
    parts.map(T::from_str).collect()
}

fn hexadecimal(text: &str) -> Result<u64, std::num::ParseIntError> {
    u64::from_str_radix(text, 16)
}

impl Less {
    fn cut(&self) -> Cut {
        Cut {
            kinds: self.kinds.clone(),
            outages: self.outages.clone(),
            until_ns: self.until_ns,
            boxes: self.boxes,
            clients: self.clients,
            requests: self.requests,
            window: self.window,
        }
    }
}

/// Runs it.
/// # Errors
/// When a seed fails, or a planted bug is not found or not in this build.
pub fn run(args: Args) -> Result<()> {
    if let Some(seed) = args.seed {
        let options = Options { cut: args.less.cut(), planted: args.less.bug, ..options() };
        return explain::explain(seed, &options, args.follow);
    }
    match args.against {
        _ if args.planted => planted::plant(),
        Some(program) => sweep::compare(args.from, args.seeds, program),
        None => sweep::sweep(args.from, args.seeds, args.digests).map(drop),
    }
}

fn options() -> Options {
    Options::new(Transforms {
        shard: |count| Rc::new(Shard(count)),
        balance: |copies| Rc::new(Balance { copies, by: Policy::LeastOutstanding }),
        ordered: || Rc::new(Ordered),
    })
}
