//! Network namespaces, each pair joined by a veth pair of its own, so that any two can be cut off from each
//! other while the rest goes on.
//!
//! Number k has the address 10.0.0.(k + 1), on its loopback, and a route to each of the others. They go with the
//! value that made them. Needs root and `ip`.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::process::Command;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// So many namespaces.
#[derive(Debug)]
pub struct Lab {
    name: String,
    count: usize,
    is_ours: bool,
}

impl Lab {
    /// Makes them: none but this process has the same.
    /// # Errors
    /// What `ip` says: mostly that this is not root.
    pub fn new(count: usize) -> Result<Lab, String> {
        let lab = Lab { name: format!("daedal-{}", std::process::id()), count, is_ours: true };
        for end in 0..count {
            ip(&["netns", "add", &lab.space(end)])?;
            let address = format!("{}/32", Lab::address(end));
            ip(&["-n", &lab.space(end), "link", "set", "lo", "up"])?;
            ip(&["-n", &lab.space(end), "address", "add", &address, "dev", "lo"])?;
        }
        for (one, other) in lab.pairs() {
            let (space, peer) = (lab.space(one), lab.space(other));
            let (there, here) = (device(other), device(one));
            let pair =
                ["link", "add", &there, "type", "veth", "peer", "name", &here, "netns", &peer];
            ip(&[&["-n", &space], &pair[..]].concat())?;
            lab.mend(one, other)?;
            lab.mend(other, one)?;
        }
        Ok(lab)
    }

    /// Those of that name, which another process made and will remove.
    pub fn of(name: &str, count: usize) -> Lab {
        Lab { name: name.into(), count, is_ours: false }
    }

    /// What they are called, each with its number behind.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Of a namespace.
    pub fn address(end: usize) -> String {
        format!("10.0.0.{}", end + 1)
    }

    /// All pairs of two.
    pub fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let count = self.count;
        (0..count).flat_map(move |one| (one + 1..count).map(move |other| (one, other)))
    }

    /// On a thread that is there; so are its sockets, and the processes that it starts.
    /// # Panics
    /// When the namespace is gone.
    pub fn within<T: Send>(&self, end: usize, run: impl FnOnce() -> T + Send) -> T {
        let run = || {
            self.enter(end);
            run()
        };
        std::thread::scope(|scope| {
            scope.spawn(run).join().expect("what is run there says its errors")
        })
    }

    /// Moves this thread there, for good.
    /// # Panics
    /// When the namespace is gone.
    pub fn enter(&self, end: usize) {
        let file = format!("/run/netns/{}", self.space(end));
        let there = File::open(&file).expect("a lab's namespaces stay while it is used");
        move_into_link_name_space(there.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("who made the namespace may enter it");
    }

    /// Cuts two off from each other: `at` has no route any more, the other sends into nothing.
    /// # Errors
    /// What `ip` says.
    pub fn cut(&self, at: usize, other: usize) -> Result<(), String> {
        ip(&["-n", &self.space(at), "link", "set", &device(other), "down"])
    }

    /// Undoes [`Lab::cut`].
    /// # Errors
    /// What `ip` says.
    pub fn mend(&self, at: usize, other: usize) -> Result<(), String> {
        let (space, device) = (self.space(at), device(other));
        ip(&["-n", &space, "link", "set", &device, "up"])?;
        let (to, from) = (Lab::address(other), Lab::address(at));
        ip(&["-n", &space, "route", "replace", &to, "dev", &device, "src", &from])
    }

    /// A counter of UDP in a namespace, as /proc/net/snmp has it. `None`: it has none of that name.
    pub fn udp_counter(&self, end: usize, name: &str) -> Option<u64> {
        let text = self.within(end, || fs::read_to_string("/proc/thread-self/net/snmp")).ok()?;
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp: "));
        let (names, values) = (lines.next()?, lines.next()?);
        let mut pairs = names.split(' ').zip(values.split(' '));
        pairs.find_map(|(known, value)| (known == name).then(|| value.parse().ok())?)
    }

    /// Kills whatever runs there, and removes them.
    pub fn clear(&self) {
        for end in 0..self.count {
            let space = self.space(end);
            let pids = Command::new("ip").args(["netns", "pids", &space]).output();
            let pids = pids.map(|it| String::from_utf8_lossy(&it.stdout).into_owned());
            let pids = pids.unwrap_or_default();
            let pids = pids.split_whitespace().filter_map(|pid| pid.parse().ok());
            for pid in pids.filter_map(rustix::process::Pid::from_raw) {
                // It may have ended meanwhile.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
            // It may never have been there.
            let _ = ip(&["netns", "delete", &space]);
        }
    }

    fn space(&self, end: usize) -> String {
        format!("{}-{end}", self.name)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.is_ours {
            self.clear();
        }
    }
}

/// In any namespace, what leads to another.
fn device(other: usize) -> String {
    format!("to-{other}")
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(arguments).output();
    let output = output.map_err(|error| format!("`ip` cannot be started: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("`ip {}`: {}", arguments.join(" "), said.trim().replace('\n', "; "))),
    }
}
