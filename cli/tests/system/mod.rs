//! A system of real processes in a folder of its own, and clients of it. Whatever a test does, its
//! processes end with it.

#![allow(dead_code, reason = "each test uses its part")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// How long anything may take: much longer than it does, as the machine may be busy.
pub const AT_MOST: Duration = Duration::from_secs(20);

/// Asks until there is an answer.
#[track_caller]
pub fn await_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + AT_MOST;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Asks until it is so.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    await_some(what, || is_so().then_some(()));
}

/// An address that nobody has: outside the range that the system gives away, as a box that is restarted
/// must find its own free.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let is_free = |address: &SocketAddr| {
        UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok()
    };
    let from = 20_000 + (std::process::id() % 500) as u16 * 20;
    let port = || from + NEXT.fetch_add(1, Ordering::Relaxed);
    let mut addresses = std::iter::repeat_with(|| SocketAddr::from((Ipv4Addr::LOCALHOST, port())));
    addresses.find(is_free).unwrap()
}

/// A folder that goes with the test.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let name =
            format!("daedal-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The command, for a user whose run files lie in this folder.
    pub fn daedal(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_daedal"));
        command.args(arguments).current_dir(&self.0).env("XDG_RUNTIME_DIR", &self.0);
        command.stdin(Stdio::null());
        command
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }
}

/// A process that ends with the test, and what it says.
pub struct Process {
    child: Child,
    says: PathBuf,
}

impl Process {
    pub fn start(folder: &Folder, arguments: &[&str]) -> Process {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let says = folder.0.join(format!("said-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        let file = File::create(&says).unwrap();
        let mut command = folder.daedal(arguments);
        command.stdout(file.try_clone().unwrap()).stderr(file);
        Process { child: command.spawn().unwrap(), says }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that it has said.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.says).unwrap()
    }

    #[track_caller]
    pub fn await_words(&self, words: &str) {
        let said = || self.said();
        until(&format!("\"{words}\" of {}", said()), || said().contains(words));
    }

    /// How it ends by itself.
    #[track_caller]
    pub fn await_end(&mut self) -> ExitStatus {
        await_some("the end of a process", || self.child.try_wait().unwrap())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).unwrap();
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("process {} said:\n{}", self.id(), self.said());
        }
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A store of two shards on two boxes; the gateway stands in box `a`.
pub struct System {
    pub controller: SocketAddr,
    pub serves: SocketAddr,
    pub boxes: [SocketAddr; 2],
    pub processes: BTreeMap<&'static str, Process>,
    pub folder: Folder,
}

impl System {
    /// Its file, and no process.
    pub fn stated() -> System {
        let system = System {
            controller: free_address(),
            serves: free_address(),
            boxes: [free_address(), free_address()],
            processes: BTreeMap::new(),
            folder: Folder::new(),
        };
        fs::write(system.folder.path().join("system.toml"), system.text()).unwrap();
        system
    }

    /// All of it runs, and answers.
    pub fn start() -> System {
        let mut system = System::stated();
        for name in ["controller", "a", "b"] {
            system.start_box(name);
        }
        system.await_service();
        system
    }

    fn text(&self) -> String {
        let System { controller, serves, boxes: [a, b], .. } = self;
        format!(
            "[controller]
address = \"{controller}\"
journal = \"journal\"
[agent.kvs]
kind = \"KeyValue\"
transform = [{{ shard = 2 }}]
apart = [\"shard\"]
[agent.gateway]
kind = \"Resp\"
listen = \"{serves}\"
box = \"a\"
[box.a]
address = \"{a}\"
idle = \"frugal\"
[box.b]
address = \"{b}\"
idle = \"frugal\"
"
        )
    }

    pub fn start_box(&mut self, name: &'static str) {
        let process = Process::start(&self.folder, &["box", name, "--system", "system.toml"]);
        process.await_words(&format!("box \"{name}\" is at "));
        self.processes.insert(name, process);
    }

    /// kill -9.
    pub fn kill(&mut self, name: &str) {
        self.processes.get_mut(name).unwrap().kill();
    }

    /// Waits until all shards answer.
    #[track_caller]
    pub fn await_service(&self) {
        until("DBSIZE is answered", || {
            let Ok(mut client) = Client::connect(self.serves) else { return false };
            client.ask("DBSIZE").is_ok_and(|answer| answer.starts_with(':'))
        });
    }

    pub fn client(&self) -> Client {
        Client::connect(self.serves).unwrap()
    }

    /// What a command prints about this system, or why it failed.
    pub fn look(&self, arguments: &[&str]) -> Result<String, String> {
        let controller = self.controller.to_string();
        let mut command = self.folder.daedal(arguments);
        let output = command.args(["--controller", &controller]).output().unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).unwrap()),
            false => Err(String::from_utf8(output.stderr).unwrap()),
        }
    }
}

/// A Redis client.
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub fn connect(at: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect(at)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.set_nodelay(true)?;
        Ok(Client { stream: BufReader::new(stream) })
    }

    /// Says an inline command, and hears its answer: a line, or the text of a bulk string.
    pub fn ask(&mut self, words: &str) -> io::Result<String> {
        self.say(words)?;
        self.hear()
    }

    pub fn say(&mut self, words: &str) -> io::Result<()> {
        self.stream.get_mut().write_all(format!("{words}\r\n").as_bytes())
    }

    pub fn hear(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        let Some(length) = line.strip_prefix('$').and_then(|it| it.parse::<usize>().ok()) else {
            return Ok(line.to_owned());
        };
        let mut value = vec![0; length + 2];
        self.stream.read_exact(&mut value)?;
        value.truncate(length);
        String::from_utf8(value).map_err(io::Error::other)
    }
}
