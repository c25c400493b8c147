//! Network namespaces, each pair joined by a veth pair of its own, so that any two can be cut off from each
//! other while the rest goes on.
//!
//! Number k has the address 10.0.0.(k + 1), on its loopback, and a route to each of the others. They go with the
//! value that made them, and what runs there. Needs root and `ip`.

use std::fs;
use std::ops::Deref;
use std::process::Command;

use daedal_lab::Lab;

/// So many namespaces.
#[derive(Debug)]
pub struct Mesh {
    lab: Lab,
    count: usize,
    is_ours: bool,
}

impl Deref for Mesh {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        &self.lab
    }
}

impl Mesh {
    /// Makes them: none but this process has the same.
    /// # Errors
    /// What `ip` says: mostly that this is not root.
    pub fn new(count: usize) -> Result<Mesh, String> {
        let mesh = Mesh { lab: Lab::new(count, "")?, count, is_ours: true };
        for end in 0..count {
            let address = Mesh::address(end);
            mesh.ip(&format!(
                "-n {{{end}}} link set lo up\n-n {{{end}}} address add {address}/32 dev lo"
            ))?;
        }
        for (one, other) in mesh.pairs() {
            let (there, here) = (device(other), device(one));
            mesh.ip(&format!(
                "-n {{{one}}} link add {there} type veth peer name {here} netns {{{other}}}"
            ))?;
            mesh.mend(one, other)?;
            mesh.mend(other, one)?;
        }
        Ok(mesh)
    }

    /// Those of that name, which another process made and will remove.
    pub fn of(name: &str, count: usize) -> Mesh {
        Mesh { lab: Lab::of(name, count), count, is_ours: false }
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

    /// Cuts two off from each other: `at` has no route any more, the other sends into nothing.
    /// # Errors
    /// What `ip` says.
    pub fn cut(&self, at: usize, other: usize) -> Result<(), String> {
        self.ip(&format!("-n {{{at}}} link set {} down", device(other)))
    }

    /// Undoes [`Mesh::cut`].
    /// # Errors
    /// What `ip` says.
    pub fn mend(&self, at: usize, other: usize) -> Result<(), String> {
        let (device, to, from) = (device(other), Mesh::address(other), Mesh::address(at));
        self.ip(&format!(
            "-n {{{at}}} link set {device} up\n-n {{{at}}} route replace {to} dev {device} src {from}"
        ))
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
        }
        self.remove();
    }
}

impl Drop for Mesh {
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
