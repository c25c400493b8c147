//! Two network namespaces joined by a virtual Ethernet, for drivers that need one. As root.

use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::process::Command;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The namespaces, which go with this.
#[derive(Debug)]
pub struct Lab([String; 2]);

impl Lab {
    /// Makes them.
    /// # Errors
    /// What `ip` says: it needs root.
    pub fn new() -> Result<Lab, String> {
        let lab = Lab([0, 1].map(|end| format!("daedal-bench-{}-{end}", std::process::id())));
        let [one, two] = &lab.0;
        let mut script = vec![format!("netns add {one}"), format!("netns add {two}")];
        script.push(format!("link add lab netns {one} type veth peer name lab netns {two}"));
        for (end, name) in lab.0.iter().enumerate() {
            script.push(format!("-n {name} address add {}/24 dev lab", lab.address(end).ip()));
            script.push(format!("-n {name} link set lab up"));
        }
        script.iter().try_for_each(|line| ip(line)).map(|()| lab)
    }

    /// Where the reactor of an end is.
    pub fn address(&self, end: usize) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1 + end as u8], 7000))
    }

    /// Runs what starts threads and processes there; this thread comes back.
    /// # Errors
    /// The system's.
    pub fn within<T>(&self, end: usize, run: impl FnOnce() -> T) -> Result<T, String> {
        let open = |path: &str| File::open(path).map_err(|error| format!("{path}: {error}"));
        let here = open("/proc/thread-self/ns/net")?;
        let there = open(&format!("/run/netns/{}", self.0[end]))?;
        let enter = |space: &File| {
            move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network))
                .map_err(|error| format!("a network namespace cannot be entered: {error}"))
        };
        enter(&there)?;
        let result = run();
        enter(&here).map(|()| result)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for end in &self.0 {
            // It may never have been there.
            let _ = ip(&format!("netns delete {end}"));
        }
    }
}

fn ip(line: &str) -> Result<(), String> {
    let output = Command::new("ip").args(line.split(' ')).output();
    let output = output.map_err(|error| format!("`ip` cannot be started: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("`ip {line}`: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
