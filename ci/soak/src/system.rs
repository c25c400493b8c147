//! The system: a controller and two boxes, each a process in a namespace of its own. Each box has a gateway and
//! shards of one store; frames of every process meet faults, at rates that its life was given.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use daedal::model::id::Point;
use daedal::model::point::PointRange;
use rustix::process::{Pid, Signal, kill_process};

use crate::mesh::Mesh;

/// The processes, by the namespace that each is in. The first is the controller.
pub const NAMES: [&str; 3] = ["controller", "a", "b"];
/// Where the controller is in [`NAMES`].
pub const CONTROLLER: usize = 0;
/// The others.
pub const BOXES: [usize; 2] = [1, 2];

const STATED: &str = "[controller]
address = \"10.0.0.1:7000\"
journal = \"journal\"
[agent.kvs]
kind = \"KeyValue\"
transform = [{ shard = 2 }]
[agent.door-a]
kind = \"Resp\"
listen = \"10.0.0.2:6379\"
box = \"a\"
[agent.door-b]
kind = \"Resp\"
listen = \"10.0.0.3:6379\"
box = \"b\"
[box.a]
address = \"10.0.0.2:7100\"
driver = \"kernel\"
idle = \"frugal\"
[box.b]
address = \"10.0.0.3:7200\"
driver = \"kernel\"
idle = \"frugal\"
";

/// How long the answer to a question about the system may take: it is asked again.
const LOOK_AT_MOST: Duration = Duration::from_secs(2);

/// The system, and the folder that its files are in.
#[derive(Debug)]
pub struct System {
    lab: Mesh,
    folder: PathBuf,
    program: PathBuf,
    processes: [Option<Process>; NAMES.len()],
    lives: [u32; NAMES.len()],
}

/// One life of a box.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Which one, from 1 on.
    pub life: u32,
}

impl System {
    /// None of it runs yet. `program`: the command.
    /// # Errors
    /// When its file cannot be written.
    pub fn stated(lab: Mesh, folder: &Path, program: &Path) -> Result<System> {
        let file = folder.join("system.toml");
        fs::write(&file, STATED).with_context(|| format!("cannot write {}", file.display()))?;
        let (folder, program) = (folder.to_path_buf(), program.to_path_buf());
        let (processes, lives) = (Default::default(), Default::default());
        Ok(System { lab, folder, program, processes, lives })
    }

    /// Its namespaces.
    pub fn lab(&self) -> &Mesh {
        &self.lab
    }

    /// Where a box serves.
    pub fn serves(end: usize) -> SocketAddr {
        format!("{}:6379", Mesh::address(end)).parse().expect("an address of a lab is one")
    }

    /// Starts a process. `faults`: what befalls its frames, as `daedal box --faults` takes it.
    /// # Errors
    /// When it cannot be started.
    pub fn start(&mut self, end: usize, faults: &str) -> Result<()> {
        self.lives[end] += 1;
        let (name, life) = (NAMES[end], self.lives[end]);
        let said = File::create(self.folder.join(format!("said-{name}-{life}")))?;
        let mut command = self.command(&["box", name, "--system", "system.toml", "--with-parent"]);
        command.args(["--log", "info", "--faults", faults]).process_group(0);
        // It ends when nobody holds its input any more.
        command.stdin(Stdio::piped()).stdout(said.try_clone()?).stderr(said);
        let child = self.lab.within(end, || command.spawn());
        let child = child.with_context(|| format!("cannot start {}", self.program.display()))?;
        self.processes[end] = Some(Process { child, life });
        Ok(())
    }

    /// What runs, with its number in [`NAMES`].
    pub fn processes(&self) -> impl Iterator<Item = (usize, &Process)> {
        let all = self.processes.iter().enumerate();
        all.filter_map(|(end, process)| Some((end, process.as_ref()?)))
    }

    /// One that runs.
    pub fn process(&self, end: usize) -> Option<&Process> {
        self.processes[end].as_ref()
    }

    /// Those that have ended though nobody ended them, and what each said last.
    pub fn fallen(&mut self) -> Vec<String> {
        let mut fallen = Vec::new();
        for (name, place) in NAMES.iter().zip(&mut self.processes) {
            let Some(process) = place else { continue };
            if let Ok(Some(status)) = process.child.try_wait() {
                let life = process.life;
                let said = fs::read_to_string(self.folder.join(format!("said-{name}-{life}")));
                let said = said.unwrap_or_default();
                let mut last: Vec<&str> = said.lines().rev().take(8).collect();
                last.reverse();
                fallen.push(format!("{name}, life {life}, ended ({status}): {}", last.join(" | ")));
                *place = None;
            }
        }
        fallen
    }

    /// kill -9.
    pub fn kill(&mut self, end: usize) {
        if let Some(mut process) = self.processes[end].take() {
            // Both fail only if it has ended already.
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
    }

    /// Ctrl-C: it takes its leave.
    pub fn end(&mut self, end: usize) {
        if let Some(mut process) = self.processes[end].take() {
            let _ = kill_process(Pid::from_child(&process.child), Signal::INT);
            let _ = process.child.wait();
        }
    }

    /// SIGSTOP or SIGCONT.
    pub fn pause(&self, end: usize, pauses: bool) {
        if let Some(process) = &self.processes[end] {
            let signal = if pauses { Signal::STOP } else { Signal::CONT };
            let _ = kill_process(Pid::from_child(&process.child), signal);
        }
    }

    /// What a command prints about this system, run beside the controller.
    /// # Errors
    /// What it says when it fails.
    pub fn look(&self, arguments: &[&str]) -> Result<String> {
        ask(self.asking(arguments))
    }

    /// The same, for another thread.
    pub fn asking(&self, arguments: &[&str]) -> Asking {
        let mut command = self.command(arguments);
        command.args(["--controller", "10.0.0.1:7000"]).stdin(Stdio::null());
        Asking { lab: Mesh::of(self.lab.name(), NAMES.len()), command }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(&self.folder);
        command.env("XDG_RUNTIME_DIR", &self.folder).env("TMPDIR", &self.folder);
        command
    }

    /// Where the files of counters are.
    pub fn counters(&self) -> PathBuf {
        self.folder.join("daedal")
    }

    /// Whether all shards answer at once, and how many keys they have, as a box's gateway says.
    pub fn keys_seen_by(&self, end: usize) -> Option<u64> {
        let answer = self.lab.within(end, || ask_gateway(System::serves(end), "DBSIZE"));
        answer.ok()?.strip_prefix(':')?.parse().ok()
    }

    /// One inline command to a gateway, and the line that it answers.
    pub fn ask_gateway(&self, words: &str) -> Option<String> {
        let end = BOXES[0];
        self.lab.within(end, || ask_gateway(System::serves(end), words)).ok()
    }
}

impl Process {
    /// Its number to the kernel.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

/// A question to a system, not asked yet.
#[derive(Debug)]
pub struct Asking {
    lab: Mesh,
    command: Command,
}

impl Asking {
    /// Asks, without waiting for the answer.
    /// # Errors
    /// When the command cannot be started.
    pub fn begin(self) -> Result<Child> {
        let Asking { lab, mut command } = self;
        command.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        Ok(lab.within(CONTROLLER, || command.spawn())?)
    }
}

/// Asks.
/// # Errors
/// What the command says when it fails.
pub fn ask(asking: Asking) -> Result<String> {
    let Asking { lab, mut command } = asking;
    let output = lab.within(CONTROLLER, || command.output())?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// One inline command to a gateway, and the line that it answers.
pub(crate) fn ask_gateway(at: SocketAddr, words: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&at, LOOK_AT_MOST)?;
    stream.set_read_timeout(Some(LOOK_AT_MOST))?;
    stream.write_all(format!("{words}\r\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream.take(1 << 10)).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

/// Where the shards of the store are, read off `daedal tree`: the namespace of each, in their order. `None`: one
/// of them runs nowhere.
pub fn shards(tree: &str) -> Option<Vec<usize>> {
    let is_one =
        |line: &&str| line.trim_start_matches([' ', '│', '├', '└', '─']).starts_with("shard");
    let lines: Vec<&str> = tree.lines().filter(is_one).collect();
    let place = |line: &&str| {
        let (_, place) = line.split_once("in ")?;
        let (site, place) = place.split_once('.')?;
        let (_, number) = place.split_once(" as kvs/shard")?;
        let number: String = number.chars().take_while(char::is_ascii_digit).collect();
        Some((number.parse::<usize>().ok()?, NAMES.iter().position(|name| *name == site)?))
    };
    let mut places = lines.iter().map(place).collect::<Option<Vec<_>>>()?;
    places.sort_unstable();
    let are_all = places.iter().map(|(number, _)| *number).eq(1..=places.len());
    (are_all && !places.is_empty()).then(|| places.into_iter().map(|(_, end)| end).collect())
}

/// Which shard has a key, of so many.
pub fn shard_of(key: &str, shards: usize) -> usize {
    let point = Point::of(key);
    let ranges = PointRange::ALL.split(shards);
    ranges.iter().position(|range| range.contains(point)).expect("the ranges are all points")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_found_in_the_tree_or_one_is_missing() {
        let tree = "system
├── door-b      Resp  in b.0 as door-b, space 1
└── kvs         shard = 2
    ├── shard1  KeyValue 0000000000000000..=7fffffffffffffff  in a.0 as kvs/shard1:2, space 4
    └── shard2  KeyValue 8000000000000000..=ffffffffffffffff  in b.0 as kvs/shard2, space 5
";
        assert_eq!(shards(tree), Some(vec![1, 2]));
        assert_eq!(shards(&tree.replace("in b.0 as kvs/shard2, space 5", "waits for box b")), None);
        assert_eq!(shards("system\n"), None);
    }
}
