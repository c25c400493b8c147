//! A system of real processes in a folder of its own, and clients of it. Whatever a test does, its
//! processes end with it.

#![allow(dead_code, unused_imports, reason = "each test uses its part")]

mod client;
mod process;

use std::collections::BTreeMap;
use std::net::SocketAddr;

pub use client::Client;
pub use process::{AT_MOST, Folder, Process, await_some, free_address, until};

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
        system.folder.write("system.toml", &system.text());
        system
    }

    /// All of it runs, and answers.
    pub fn start() -> System {
        System::stated().started()
    }

    /// The same, whose boxes have that driver.
    pub fn start_by(driver: &str) -> System {
        let system = System::stated();
        let text = system.text().replace("idle = ", &format!("driver = \"{driver}\"\nidle = "));
        system.folder.write("system.toml", &text);
        system.started()
    }

    /// The same, where shards may share a box.
    pub fn start_together() -> System {
        System::stated_together().started()
    }

    /// The same, and nothing is started yet.
    pub fn stated_together() -> System {
        let system = System::stated();
        system.folder.write("system.toml", &system.text().replace("apart = [\"shard\"]\n", ""));
        system
    }

    fn started(self) -> System {
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
