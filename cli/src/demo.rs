//! `daedal demo`: a controller and boxes as processes of this machine, a key-value agent sharded over
//! them, served to Redis clients, under a measured load.

#![expect(clippy::disallowed_methods, reason = "waits for its processes")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use daedal::assemble::HOME;
use daedal::system::{AgentSpec, BoxSpec, ControllerSpec, Idle, SystemSpec, Transform};
use indicatif::{ProgressBar, ProgressStyle};

use crate::find::forget;
use crate::load;
use crate::say::say;
use crate::stop;
use crate::table::{Row, render};

/// How long the system may take until it serves.
const START_AT_MOST: Duration = Duration::from_secs(20);

/// What `daedal demo` takes.
#[derive(Debug, Args)]
pub struct Arguments {
    /// How many boxes, each a process
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    boxes: u8,
    /// How many reactors each of them has
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    reactors: u8,
    /// How long the load lasts, in seconds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Port for Redis clients; any that is free, if not given
    #[arg(long)]
    port: Option<u16>,
    /// Keep running for your own clients, without a load, until Ctrl-C
    #[arg(long)]
    serve: bool,
}

/// Runs the demo.
pub fn run(arguments: &Arguments) -> Result<()> {
    let stop = stop::at_ctrl_c()?;
    let mut system = Demo::start(arguments)?;
    system.await_service(&stop)?;
    if !stop.load(Ordering::Relaxed) {
        system.introduce()?;
        system.show(arguments, &stop)?;
    }
    system.stop()
}

/// A system of processes.
struct Demo {
    spec: SystemSpec,
    serves: SocketAddr,
    folder: PathBuf,
    processes: Vec<(String, Child)>,
    /// What the boxes say is read to its end by nobody, but must go somewhere.
    outputs: Vec<BufReader<ChildStdout>>,
}

impl Demo {
    fn start(arguments: &Arguments) -> Result<Demo> {
        let (spec, serves) = state(arguments)?;
        let folder = std::env::temp_dir().join(format!("daedal-demo-{}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let file = folder.join("system.toml");
        let mut demo = Demo { spec, serves, folder, processes: Vec::new(), outputs: Vec::new() };
        fs::write(&file, demo.spec.to_toml())
            .with_context(|| format!("cannot write {}", file.display()))?;
        let names: Vec<String> = demo.spec.boxes.keys().cloned().collect();
        for name in std::iter::once(HOME.to_string()).chain(names) {
            let (process, output) = start_box(&name, &file)?;
            demo.processes.push((name, process));
            demo.outputs.push(output);
        }
        Ok(demo)
    }

    /// Waits until the store answers, or the user has enough.
    fn await_service(&mut self, stop: &AtomicBool) -> Result<()> {
        let until = Instant::now() + START_AT_MOST;
        while !is_served(self.serves) && !stop.load(Ordering::Relaxed) {
            self.check_processes()?;
            if Instant::now() > until {
                bail!("the store does not answer at {} after {START_AT_MOST:?}", self.serves);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn introduce(&self) -> Result<()> {
        say!("redis-cli -p {}", self.serves.port())?;
        say!("")?;
        say!("  controller {}", self.spec.controller.address)?;
        for (name, it) in &self.spec.boxes {
            let (address, count, idle) = (it.address, it.reactors, self.idle_text());
            let reactors = if count == 1 { "reactor" } else { "reactors" };
            say!("  box {name}      {address} ({count} {reactors}, {idle})")?;
        }
        say!("  agent kvs  {} shards, over all boxes", self.spec.boxes.len())?;
        say!("")
    }

    fn show(&mut self, arguments: &Arguments, stop: &AtomicBool) -> Result<()> {
        if arguments.serve {
            say!("serving until Ctrl-C")?;
            return self.watch(stop);
        }
        self.load(Duration::from_secs(arguments.seconds), stop)?;
        if !stop.load(Ordering::Relaxed) {
            // As it was called: who had cargo run it may have no `daedal` installed.
            let daedal = std::env::args().next().unwrap_or_else(|| "daedal".into());
            say!("Try next: `{daedal} demo --serve`, and beside it `redis-cli` and")?;
            say!("`{daedal} tree`, `routes`, `boxes` or `state kvs`.")?;
        }
        Ok(())
    }

    fn check_processes(&mut self) -> Result<()> {
        for (name, process) in &mut self.processes {
            if let Some(status) = process.try_wait()? {
                bail!("box \"{name}\" has ended ({status}); it said why above");
            }
        }
        Ok(())
    }

    fn idle_text(&self) -> &'static str {
        match self.spec.boxes.values().next().and_then(|it| it.idle) {
            Some(Idle::Latency) => "latency: spinning",
            _ => "balanced: more threads than cores",
        }
    }

    fn load(&self, duration: Duration, stop: &AtomicBool) -> Result<()> {
        let bar = ProgressBar::new(1000);
        let style = ProgressStyle::with_template("  {bar:40} {msg}");
        bar.set_style(style.expect("the template is one"));
        let measured = load::run(self.serves, duration, stop, |share, answered| {
            bar.set_position(share);
            bar.set_message(format!("{answered} requests answered"));
        })
        .context("the load")?;
        bar.finish_and_clear();
        let rows = [
            Row { name: "SET", latencies: &measured.sets },
            Row { name: "GET", latencies: &measured.gets },
        ];
        say!("{}", render(&rows, measured.lasted))?;
        Ok(())
    }

    fn watch(&mut self, stop: &AtomicBool) -> Result<()> {
        while !stop.load(Ordering::Relaxed) {
            self.check_processes()?;
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn stop(mut self) -> Result<()> {
        for (_, process) in &mut self.processes {
            // A box ends when nobody holds its input any more.
            drop(process.stdin.take());
        }
        for (name, process) in &mut self.processes {
            process.wait().with_context(|| format!("waiting for box \"{name}\""))?;
        }
        Ok(())
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        for (_, process) in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
        // Nobody needs either any more; that they stay does no harm.
        let _ = fs::remove_dir_all(&self.folder);
        forget(self.spec.controller.address);
    }
}

fn start_box(name: &str, file: &Path) -> Result<(Child, BufReader<ChildStdout>)> {
    let program = std::env::current_exe().context("where this program is")?;
    let mut process = Command::new(program)
        .args(["box", name, "--with-parent", "--demonstration", "--system"])
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // Ctrl-C is for the demo, which ends its boxes when it is done with them.
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start box \"{name}\""))?;
    // It says where it is once it is there; what it says later nobody needs.
    let mut said = String::new();
    let mut output = BufReader::new(process.stdout.take().context("its output is a pipe")?);
    output.read_line(&mut said)?;
    if said.is_empty() {
        let _ = process.wait();
        bail!("box \"{name}\" did not start; it said why above");
    }
    Ok((process, output))
}

/// Whether a PING is answered, and a key can be read.
pub fn is_served(at: SocketAddr) -> bool {
    use std::io::{Read, Write};
    let Ok(mut stream) = TcpStream::connect(at) else { return false };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
    let request = b"DBSIZE\r\n";
    let mut answer = [0; 1];
    stream.write_all(request).is_ok() && stream.read_exact(&mut answer).is_ok() && answer[0] == b':'
}

/// The system, at ports that are free now.
fn state(arguments: &Arguments) -> Result<(SystemSpec, SocketAddr)> {
    let threads = usize::from(arguments.boxes) * usize::from(arguments.reactors);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let idle = if threads > cores { Idle::Balanced } else { Idle::Latency };
    let controller = ControllerSpec { address: free_ports(1)?, ..ControllerSpec::default() };
    let mut boxes = BTreeMap::new();
    for index in 0..arguments.boxes {
        let name = char::from(b'a' + index).to_string();
        let address = free_ports(arguments.reactors)?;
        let (reactors, idle) = (arguments.reactors, Some(idle));
        boxes.insert(name, BoxSpec { reactors, idle, ..BoxSpec::at(address) });
    }
    let serves = match arguments.port {
        Some(port) => TcpListener::bind((Ipv4Addr::LOCALHOST, port)).with_context(|| {
            format!("port {port} cannot be served: write another --port, or leave it out")
        })?,
        None => TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?,
    }
    .local_addr()?;
    let kvs = AgentSpec {
        kind: "KeyValue".into(),
        transform: vec![Transform::Shard(u16::from(arguments.boxes))],
        apart: vec!["shard".into()],
        ..AgentSpec::default()
    };
    let gateway = AgentSpec {
        kind: "Resp".into(),
        boxes: vec!["a".into()],
        reactor: Some(0),
        parameters: BTreeMap::from([("listen".to_string(), serves.to_string())]),
        ..AgentSpec::default()
    };
    let agents = BTreeMap::from([("kvs".to_string(), kvs), ("gateway".to_string(), gateway)]);
    Ok((SystemSpec { secret_file: None, controller, agents, boxes }, serves))
}

/// An address with as many free ports from it on.
fn free_ports(count: u8) -> Result<SocketAddr> {
    for _ in 0..100 {
        let first = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let Some(last) = first.port().checked_add(u16::from(count) - 1) else { continue };
        if (first.port()..=last).all(|port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok()) {
            return Ok(first);
        }
    }
    bail!("no {count} free ports in a row on 127.0.0.1")
}
