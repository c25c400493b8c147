//! A system of real processes in a folder of its own, and clients of it. Whatever a test does, its
//! processes end with it.

#![allow(dead_code, unused_imports, reason = "each test uses its part")]

mod client;
pub mod load;
mod metrics;
mod process;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::{fs, io};

use daedal_lab::Lab;

pub use client::Client;
pub use metrics::Metrics;
pub use process::{AT_MOST, Folder, Process, await_some, free_address, until};

/// A store of two shards on two boxes; the gateway stands in box `a`.
pub struct System {
    pub controller: SocketAddr,
    pub serves: SocketAddr,
    pub boxes: [SocketAddr; 2],
    pub processes: BTreeMap<&'static str, Process>,
    pub folder: Folder,
    /// Two hosts, the second of which has box `b`; or else all runs on this one.
    pub lab: Option<Lab>,
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
            lab: None,
        };
        system.folder.write("system.toml", &system.text());
        system
    }

    /// Its file, for two hosts of [`Lab::pair`].
    pub fn stated_between(lab: Lab) -> System {
        let at = |host: &str, port: u16| SocketAddr::new(host.parse().unwrap(), port);
        let [a, b] = ["10.0.0.1", "10.0.0.2"];
        let system = System {
            controller: at(a, 7000),
            serves: at(a, 6379),
            boxes: [at(a, 7100), at(b, 7200)],
            processes: BTreeMap::new(),
            folder: Folder::new(),
            lab: Some(lab),
        };
        system.folder.write("system.toml", &system.text());
        system
    }

    /// All of it runs, and answers.
    pub fn start() -> System {
        System::stated().started()
    }

    /// The same, whose boxes have that driver.
    pub fn start_by(driver: &str) -> System {
        System::stated().by(driver).started()
    }

    /// The same, whose boxes will have that driver.
    pub fn by(self, driver: &str) -> System {
        self.rewritten("idle = ", &format!("driver = \"{driver}\"\nidle = "))
    }

    /// The same, with other words in its file.
    pub fn rewritten(self, from: &str, to: &str) -> System {
        let text = fs::read_to_string(self.folder.path().join("system.toml")).unwrap();
        assert!(text.contains(from), "{from} in\n{text}");
        self.folder.write("system.toml", &text.replace(from, to));
        self
    }

    /// The same, where shards may share a box.
    pub fn start_together() -> System {
        System::stated_together().started()
    }

    /// The same, and nothing is started yet.
    pub fn stated_together() -> System {
        System::stated().rewritten("apart = [\"shard\"]\n", "")
    }

    pub fn started(self) -> System {
        let mut system = self;
        for name in ["controller", "a", "b"] {
            system.start_box(name);
        }
        system.await_service();
        system
    }

    /// Its file.
    pub fn text(&self) -> String {
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

    /// Runs something on the host of a box.
    fn beside<T>(&self, name: &str, run: impl FnOnce() -> T) -> T {
        match &self.lab {
            Some(lab) => lab.within(usize::from(name == "b"), run),
            None => run(),
        }
    }

    pub fn start_box(&mut self, name: &'static str) {
        self.start_box_with(name, &[]);
    }

    /// The same, with more arguments.
    pub fn start_box_with(&mut self, name: &'static str, more: &[&str]) {
        let arguments = [&["box", name, "--system", "system.toml"], more].concat();
        let process = self.beside(name, || Process::start(&self.folder, &arguments));
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
            let Ok(mut client) = self.connect() else { return false };
            client.ask("DBSIZE").is_ok_and(|answer| answer.starts_with(':'))
        });
    }

    pub fn client(&self) -> Client {
        self.connect().unwrap()
    }

    fn connect(&self) -> io::Result<Client> {
        self.beside("a", || Client::connect(self.serves))
    }

    /// What a box gives out at the address that it says.
    pub fn metrics(&self, name: &str) -> Metrics {
        self.beside(name, || Metrics::of(&self.processes[name]))
    }

    /// What a command prints about this system, or why it failed.
    pub fn look(&self, arguments: &[&str]) -> Result<String, String> {
        let controller = self.controller.to_string();
        let mut command = self.folder.daedal(arguments);
        command.args(["--controller", &controller]);
        let output = self.beside("controller", || command.output().unwrap());
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).unwrap()),
            false => Err(String::from_utf8(output.stderr).unwrap()),
        }
    }
}
