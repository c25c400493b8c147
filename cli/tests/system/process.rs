//! Processes of the command, each in a test's folder, and waiting for what they do.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::process::CommandExt;
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

/// An address that nobody has, nor the ports behind it that a box with some reactors takes: outside the range
/// that the system gives away, as a box that is restarted must find its own free.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let is_free = |address: &SocketAddr| {
        UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok()
    };
    let from = 20_000 + (std::process::id() % 60) as u16 * 200;
    let port = || from + NEXT.fetch_add(4, Ordering::Relaxed);
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

    /// Writes a file into it.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }

    /// What a command says that must fail, on the first line of its error.
    #[track_caller]
    pub fn refused(&self, arguments: &[&str]) -> String {
        let mut process = Process::start(self, arguments);
        let status = process.await_end();
        let said = process.said();
        assert_eq!(status.code(), Some(1), "{arguments:?}: {said}");
        said.lines().find_map(|line| line.strip_prefix("daedal: ")).expect(&said).to_owned()
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The command, for a user whose run files and temporary ones lie in this folder.
    pub fn daedal(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_daedal"));
        command.args(arguments).current_dir(&self.0);
        command.env("XDG_RUNTIME_DIR", &self.0).env("TMPDIR", &self.0);
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
        Process::start_command(folder, folder.daedal(arguments))
    }

    pub fn start_command(folder: &Folder, mut command: Command) -> Process {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let says = folder.0.join(format!("said-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        let file = File::create(&says).unwrap();
        // As a shell starts it: Ctrl-C reaches its group.
        command.stdout(file.try_clone().unwrap()).stderr(file).process_group(0);
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

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// How it ends by itself.
    #[track_caller]
    pub fn await_end(&mut self) -> ExitStatus {
        await_some("the end of a process", || self.child.try_wait().unwrap())
    }

    /// Ctrl-C at its terminal: its whole group hears it.
    pub fn interrupt(&self) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process_group(id, rustix::process::Signal::INT).unwrap();
    }

    /// `kill`: it alone hears it.
    pub fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).unwrap();
    }

    /// SIGSTOP.
    pub fn hold(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// SIGCONT.
    pub fn go_on(&self) {
        self.signal(rustix::process::Signal::CONT);
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
