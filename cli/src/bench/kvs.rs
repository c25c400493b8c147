//! The key-value store of a real system beside redis-server, both under redis-benchmark.
//!
//! Ours is a controller and one box with one reactor, each a process, with gateway and store in the box; or a box each,
//! if there is a driver between them. Both servers sleep when there is nothing to do: boxes are `balanced`, the default.
//! Only one of the two is alive at a time, pinned to processor 1 as the other, however many processes it is; the load
//! and the controller are on processor 0.

#![expect(clippy::disallowed_methods, reason = "waits for its processes")]

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use daedal::net::driver::DriverKind;
use daedal::system::{AgentSpec, BoxSpec, ControllerSpec, Idle, SystemSpec};

use super::bar::Bar;
use super::cpu;
use super::figure::Figure;
use super::report::{Beside, Head};
use crate::demo;

/// How many requests a client has outstanding.
pub const PIPELINES: [u16; 3] = [1, 16, 64];

const SERVER: &str = "redis-server";
const LOAD: &str = "redis-benchmark";
const COMMANDS: [&str; 2] = ["SET", "GET"];
const CLIENTS: &str = "50";
const VALUE_BYTES: &str = "64";
/// What is run before anything counts: clients that connect, memory that is touched.
const WARM_UP_REQUESTS: u64 = 20_000;
/// How long a server may take until it serves.
const START_AT_MOST: Duration = Duration::from_secs(20);
/// The unit of `/proc/PID/stat`, in nanoseconds: 100 to the second for whoever is not the kernel (proc(5)).
const TICK_NS: f64 = 1e7;

const LOAD_CPU: usize = 0;
const SERVER_CPU: usize = 1;

/// About a second's worth.
fn requests(pipeline: u16) -> u64 {
    match pipeline {
        0..16 => 100_000,
        16..64 => 800_000,
        _ => 1_600_000,
    }
}

/// What a round finds, in the order of [`pairs`]. The server's processor time is told where each request
/// is a visit of its own, and the server one process.
pub fn heads(pipeline: u16, driver: &str) -> Vec<Head> {
    let head = |metric, unit, bar| {
        COMMANDS.map(|command| Head {
            metric,
            unit,
            load_percent: None,
            message_bytes: None,
            batch: None,
            baseline_name: format!("{SERVER} {command} -P {pipeline}"),
            bar: Some(bar),
        })
    };
    let least = match pipeline {
        _ if driver != "none" => 0.5,
        0..16 => 0.95,
        16..64 => 1.0,
        _ => 1.3,
    };
    let mut heads = head("tell", "requests/s", Bar::AtLeast(least)).to_vec();
    if pipeline == 1 {
        heads.extend(head("cpu", "ns", Bar::AtMost(1.0)));
    }
    heads
}

/// Why there is nothing to compare with.
pub fn lacks_baseline() -> Option<String> {
    let why = || format!("no baseline for kvs: {SERVER} is in no directory of PATH; install it");
    in_path(SERVER).is_none().then(why)
}

/// Where redis-benchmark is.
/// # Errors
/// A text for people, if it is nowhere.
pub fn find_load() -> Result<PathBuf, String> {
    in_path(LOAD).ok_or_else(|| format!("{LOAD} is in no directory of PATH; install it"))
}

/// One round: ours, then theirs, if there is a redis-server. `driver`: what joins our two boxes; `none`: it is one.
/// # Errors
/// A text for people: a server that does not start.
pub fn pairs(pipeline: u16, driver: &str) -> Result<Vec<Beside>, String> {
    let between = driver.parse::<DriverKind>().ok();
    let ours = Server::ours(between)?.measure(pipeline)?;
    let theirs = match in_path(SERVER) {
        Some(program) => {
            Server::theirs(&program)?.measure(pipeline)?.into_iter().map(Some).collect()
        }
        None => vec![None; ours.len()],
    };
    Ok(ours.into_iter().zip(theirs).map(|(ours, theirs)| Beside { ours, theirs }).collect())
}

fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// A server that is alive, and goes with this value.
struct Server {
    /// The first of them is the one that clients talk to.
    processes: Vec<Child>,
    at: SocketAddr,
    folder: PathBuf,
}

impl Server {
    fn ours(between: Option<DriverKind>) -> Result<Server, String> {
        let mut server = Server::none("ours")?;
        let spec =
            system(server.at, between).map_err(|error| format!("ports on 127.0.0.1: {error}"))?;
        let file = server.folder.join("system.toml");
        fs::write(&file, spec.to_toml()).map_err(|error| format!("{}: {error}", file.display()))?;
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        // A folder of its own for run files too: other commands are not to find this system.
        let command = |name: &str| {
            let mut command = Command::new(&program);
            command.args(["box", name, "--with-parent", "--demonstration", "--system"]).arg(&file);
            command.env("XDG_RUNTIME_DIR", &server.folder);
            command
        };
        for name in spec.boxes.keys() {
            server.processes.push(start(SERVER_CPU, command(name))?);
        }
        server.processes.push(start(LOAD_CPU, command("controller"))?);
        server.await_service()
    }

    fn theirs(program: &Path) -> Result<Server, String> {
        let mut server = Server::none("theirs")?;
        let mut command = Command::new(program);
        command.args(["--port", &server.at.port().to_string(), "--bind", "127.0.0.1"]);
        command.args(["--save", "", "--appendonly", "no"]).current_dir(&server.folder);
        server.processes.push(start(SERVER_CPU, command)?);
        server.await_service()
    }

    /// A folder and a port that is free now, and nobody there.
    fn none(whose: &str) -> Result<Server, String> {
        let at = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|it| it.local_addr());
        let at = at.map_err(|error| format!("a port on 127.0.0.1: {error}"))?;
        let folder = std::env::temp_dir();
        let folder = folder.join(format!("daedal-bench-{}-{whose}", std::process::id()));
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Server { processes: Vec::new(), at, folder })
    }

    fn await_service(mut self) -> Result<Server, String> {
        let until = Instant::now() + START_AT_MOST;
        while Instant::now() < until {
            if demo::is_served(self.at) {
                return Ok(self);
            }
            for process in &mut self.processes {
                if let Ok(Some(status)) = process.try_wait() {
                    return Err(format!("a server has ended ({status}) before it served"));
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(format!("no server answers at {} after {START_AT_MOST:?}", self.at))
    }

    /// Rates, then processor times, of each command.
    fn measure(self, pipeline: u16) -> Result<Vec<Figure>, String> {
        let (mut rates, mut times) = (Vec::new(), Vec::new());
        for command in COMMANDS {
            self.load(command, pipeline, WARM_UP_REQUESTS)?;
            let (count, before) = (requests(pipeline), self.cpu_ns()?);
            rates.push(Figure::tell(self.load(command, pipeline, count)?));
            let cpu_ns = (self.cpu_ns()? - before) / count as f64;
            times.push(Figure::each(cpu_ns));
        }
        if pipeline == 1 {
            rates.append(&mut times);
        }
        Ok(rates)
    }

    /// Requests a second.
    fn load(&self, command: &str, pipeline: u16, requests: u64) -> Result<f64, String> {
        let (port, pipeline) = (self.at.port().to_string(), pipeline.to_string());
        let requests = requests.to_string();
        let mut load = Command::new(find_load()?);
        load.args(["-p", &port, "-c", CLIENTS, "-d", VALUE_BYTES, "-P", &pipeline]);
        load.args(["-n", &requests, "-t", &command.to_lowercase(), "--csv"]);
        let output = cpu::on(LOAD_CPU, || load.output().map_err(|error| error.to_string()))
            .map_err(|error| format!("{LOAD}: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        rate_of(command, &text).ok_or_else(|| format!("{LOAD} says no rate of {command}: {text}"))
    }

    /// What the server has used of its processor so far.
    fn cpu_ns(&self) -> Result<f64, String> {
        let file = format!("/proc/{}/stat", self.processes[0].id());
        let text = fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
        ticks_of(&text).map(|ticks| ticks as f64 * TICK_NS).ok_or_else(|| format!("{file}: {text}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // Both fail only if it has ended already.
            let _ = process.kill();
            let _ = process.wait();
        }
        // What is left of it is in the system's folder for such things.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn start(cpu: usize, mut command: Command) -> Result<Child, String> {
    // Ours ends when nobody holds its input any more; nobody needs what either says.
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    cpu::on(cpu, || command.spawn().map_err(|error| format!("cannot start {command:?}: {error}")))
}

/// A store that serves `at`, in one box, or in two that a driver joins, at ports that are free now.
fn system(at: SocketAddr, between: Option<DriverKind>) -> std::io::Result<SystemSpec> {
    let [controller, one] = super::remote::free_ports()?;
    let [other, _] = super::remote::free_ports()?;
    let agent = |kind: &str, parameters| AgentSpec {
        kind: kind.into(),
        transform: Vec::new(),
        boxes: Vec::new(),
        reactor: None,
        apart: Vec::new(),
        parameters,
    };
    let listen = BTreeMap::from([("listen".to_string(), at.to_string())]);
    let (mut store, mut gateway) = (agent("KeyValue", BTreeMap::new()), agent("Resp", listen));
    let at_port =
        |port| BoxSpec { idle: Some(Idle::Balanced), driver: between, ..BoxSpec::at(port) };
    let mut boxes = BTreeMap::from([("a".to_string(), at_port(one))]);
    if between.is_some() {
        boxes.insert("b".to_string(), at_port(other));
        gateway.boxes.push("a".to_string());
        store.boxes.push("b".to_string());
    }
    Ok(SystemSpec {
        secret_file: None,
        controller: ControllerSpec { address: controller, ..ControllerSpec::default() },
        agents: BTreeMap::from([("kvs".to_string(), store), ("gateway".to_string(), gateway)]),
        boxes,
    })
}

/// The rate in the table that redis-benchmark prints: `"SET","123456.78",…`.
pub fn rate_of(command: &str, table: &str) -> Option<f64> {
    let mut lines = table.lines().map(|line| line.split(',').map(|word| word.trim_matches('"')));
    lines.find_map(|mut words| {
        (words.next() == Some(command)).then(|| words.next()?.parse().ok())?
    })
}

/// User and system time in a line of `/proc/PID/stat`: fields 14 and 15, where the second is a name in
/// parentheses that may hold anything.
pub fn ticks_of(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}
