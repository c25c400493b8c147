//! `daedal box`: one box of a system, or its controller, in this process, until it is told to stop.

#![expect(clippy::disallowed_methods, reason = "waits for its parent on a thread of its own")]

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use daedal::assemble::{self, HOME};
use daedal::boxes::executor::Executor;
use daedal::boxes::idle::Idle;
use daedal::net::driver::fault::Rates;
use daedal::running::{BoxConfig, Faults, RunningBox, Word, config_of};
use daedal::system::SystemSpec;
use daedal::{Failure, Templates};

use crate::find::{forget, remember, run_folder};
use crate::waiting::{self, Why};

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
    /// What reactors run on, instead of what the file says: thread, or glommio (files by direct I/O)
    #[arg(long)]
    executor: Option<Executor>,
    /// Processors that the reactors are pinned to, in turn, instead of those of the file, such as 0,1
    #[arg(long, value_delimiter = ',', value_name = "PROCESSORS", value_parser = processor)]
    cpus: Vec<usize>,
    /// File that frames are written to, both ways, for tcpdump and wireshark to read, instead of what the
    /// system file says; of reactor k > 0 with .k behind
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// File for the highest space and epoch given out; only the controller has one
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Folder for the file of its counters, which `daedal boxes --watch` and `daedal trace` read [default: this
    /// user's run folder]
    #[arg(long, value_name = "FOLDER")]
    run: Option<PathBuf>,
    /// Address at which Prometheus gets its counters, at /metrics, instead of what the file says
    #[arg(long, value_name = "ADDR")]
    metrics: Option<SocketAddr>,
    /// Note the walk of one of so many messages that enter by its shims, for `daedal trace`; 0: of none
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    trace: u64,
    /// End when standard input is closed: when whoever started this box is gone
    #[arg(long)]
    with_parent: bool,
    /// Run the key-value store of demo and bench, whatever agents the program has
    #[arg(long, hide = true)]
    demonstration: bool,
    /// For tests: what befalls frames, both ways, in percent, such as drop=30,duplicate=50,reorder=20,delay=5,seed=7
    #[arg(long, hide = true, value_name = "FAULTS", value_parser = faults)]
    faults: Option<Faults>,
}

fn processor(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "write processors' numbers, such as 0,1".to_owned())
}

/// The longest that `--faults delay=…` keeps a frame back: some round trips of a wide network.
const FAULTS_DELAY_NS_MAX: u64 = 50_000_000;

fn faults(text: &str) -> Result<Faults, String> {
    let mut faults = Faults { rates: Rates::default(), seed: 0 };
    for part in text.split(',') {
        let wrong =
            || format!("\"{part}\": write drop, duplicate, reorder, delay or seed, = and a number");
        let (name, number) = part.split_once('=').ok_or_else(wrong)?;
        let number = u32::from_str(number).map_err(|_| wrong())?;
        let rate = match name {
            "drop" => &mut faults.rates.drop_ppm,
            "duplicate" => &mut faults.rates.duplicate_ppm,
            "reorder" => &mut faults.rates.reorder_ppm,
            "delay" => {
                faults.rates.delay_ns_max = FAULTS_DELAY_NS_MAX;
                &mut faults.rates.delay_ppm
            }
            "seed" => {
                faults.seed = number.into();
                continue;
            }
            _ => return Err(wrong()),
        };
        *rate = number.saturating_mul(10_000);
    }
    Ok(faults)
}

/// Runs the box.
pub fn run(arguments: &Arguments, templates: &Arc<Templates>) -> Result<()> {
    let templates = &if arguments.demonstration { demonstration() } else { templates.clone() };
    let spec = assemble::load(&arguments.system, templates)?;
    let mut config = config_of(&spec, &arguments.name).map_err(|why| anyhow!(why))?;
    instead_of_the_file(&mut config, arguments)?;
    let running = start(arguments, config, spec, templates)?;
    take_leave_when_told(&running)?;
    let (name, address) = (&arguments.name, running.config().address);
    let executor = running.config().executor;
    say(&format!("box \"{name}\" is at {address}, on executor {executor}"));
    if let Some(metrics) = running.metrics() {
        say(&format!("box \"{name}\" gives out metrics at http://{metrics}/metrics"));
    }
    for finding in running.notes() {
        say(&format!("box \"{name}\": {finding}"));
    }
    if arguments.with_parent {
        end_with_parent(&running);
    }
    listen(&running, &arguments.system)
}

/// What `demo` and `bench` show, in processes of whatever program has the command.
fn demonstration() -> Arc<Templates> {
    let mut templates = Templates::new();
    kvs::templates(&mut templates);
    Arc::new(templates)
}

/// What was said on the command line goes before what the file says.
fn instead_of_the_file(config: &mut BoxConfig, arguments: &Arguments) -> Result<()> {
    config.faults = arguments.faults;
    config.idle = arguments.idle.unwrap_or(config.idle);
    config.executor = arguments.executor.unwrap_or(config.executor);
    config.counters = Some(arguments.run.clone().unwrap_or_else(run_folder));
    config.metrics = arguments.metrics.or(config.metrics);
    config.sample = arguments.trace;
    if arguments.pcap.is_some() {
        config.pcap.clone_from(&arguments.pcap);
    }
    if !arguments.cpus.is_empty() {
        let (count, reactors) = (arguments.cpus.len(), config.reactors);
        if count > reactors.into() {
            let (name, s) = (&config.name, if reactors == 1 { "" } else { "s" });
            bail!(
                "--cpus names {count} processors, box \"{name}\" has {reactors} reactor{s}: name no more"
            );
        }
        config.cpus.clone_from(&arguments.cpus);
    }
    Ok(())
}

/// Says something to whoever listens; that nobody does is no reason to end.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Ends the process on Ctrl-C, and when it is told to end by name. Others are told: what runs here does
/// not any more, or, of a controller, that it is not the one to ask.
fn take_leave_when_told(running: &RunningBox) -> Result<()> {
    let (farewell, controller) = (running.farewell(), running.config().controller);
    let counters = running.counters().map(PathBuf::from);
    let leave = move || {
        match &farewell {
            Some(farewell) => farewell.say(),
            None => forget(controller),
        }
        end(counters.as_deref());
    };
    ctrlc::set_handler(leave).context("catching Ctrl-C")
}

/// Ends the process when nobody holds the other end of its standard input any more.
fn end_with_parent(running: &RunningBox) {
    let counters = running.counters().map(PathBuf::from);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        // Whatever is written there means nothing; an error means the same as the end.
        let _ = std::io::copy(&mut input, &mut std::io::sink());
        end(counters.as_deref());
    });
}

/// Ends the process, and takes its file of counters away, as nothing else does then.
fn end(counters: Option<&Path>) -> ! {
    counters.map(std::fs::remove_file);
    std::process::exit(0);
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
    let journal = journal(arguments.journal.as_deref(), &spec, &arguments.system);
    let running = RunningBox::start_controller(config, templates, spec, journal).map_err(named)?;
    remember(running.config()).context("leaving word for other commands")?;
    Ok(running)
}

/// Where the controller's journal is: where the command says, else where the file says, else beside the file.
pub fn journal(told: Option<&Path>, spec: &SystemSpec, file: &Path) -> PathBuf {
    let stated = spec.controller.journal.as_ref().map(PathBuf::from);
    told.map(PathBuf::from).or(stated).unwrap_or_else(|| file.with_extension("journal"))
}

/// Says what the box has to say, until it is refused or the process is told to end.
fn listen(running: &RunningBox, file: &Path) -> Result<()> {
    let name = &running.config().name;
    let mut patience = waiting::FIRST_LOOK;
    let (mut is_member, mut said) = (false, Why::Unknown);
    let mut failed = String::new();
    loop {
        match running.next_word(patience) {
            Some(Word::Member(id)) => {
                is_member = true;
                say(&format!("box \"{name}\" is part of the system, as box {id}"));
            }
            Some(Word::Refused(why)) => bail!("box \"{name}\": the controller refuses it: {why}"),
            // One that is tried again fails again: that is not said again.
            Some(Word::NotStarted(failure)) if failure.why == failed => {}
            Some(Word::NotStarted(Failure { why, may_pass })) => {
                let then = if may_pass { "; it is tried again" } else { "" };
                say(&format!(
                    "box \"{name}\": an agent does not start (`daedal tree` shows it): {why}{then}"
                ));
                failed = why;
            }
            None if is_member => {}
            None => {
                let why = waiting::look(running.config(), file);
                match &why {
                    Why::InVain(why) => bail!("box \"{name}\": {why}"),
                    Why::For(what) if said != why => {
                        say(&format!("box \"{name}\" waits for {what}"))
                    }
                    _ => {}
                }
                said = why;
                patience = (patience * 2).min(waiting::LOOK_AT_MOST);
            }
        }
    }
}
