//! Two network namespaces joined by a virtual Ethernet, for programs that need two hosts. As root.

use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::process::Command;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Name of the interface in both.
pub const INTERFACE: &str = "lab";

/// Of an end.
pub fn address(end: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, end as u8 + 1)
}

/// The namespaces, which go with this.
#[derive(Debug)]
pub struct Lab([String; 2]);

impl Lab {
    /// Makes them.
    /// # Errors
    /// What `ip` says: it needs root.
    pub fn new() -> io::Result<Lab> {
        let lab = Lab([0, 1].map(|end| format!("raw-{}-{end}", std::process::id())));
        let [one, two] = &lab.0;
        let veth =
            format!("link add {INTERFACE} netns {one} type veth peer name {INTERFACE} netns {two}");
        let mut script = vec![format!("netns add {one}"), format!("netns add {two}"), veth];
        for (end, name) in lab.0.iter().enumerate() {
            script.push(format!("-n {name} address add {}/24 dev {INTERFACE}", address(end)));
            script.push(format!("-n {name} link set {INTERFACE} up"));
        }
        script.iter().try_for_each(|line| ip(line)).map(|()| lab)
    }

    /// Moves this thread there, for good.
    /// # Errors
    /// The system's.
    pub fn enter(&self, end: usize) -> io::Result<()> {
        let there = File::open(format!("/run/netns/{}", self.0[end]))?;
        Ok(move_into_link_name_space(there.as_fd(), Some(LinkNameSpaceType::Network))?)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for end in &self.0 {
            // It may never have been there.
            ip(&format!("netns delete {end}")).ok();
        }
    }
}

fn ip(line: &str) -> io::Result<()> {
    let output = Command::new("ip").args(line.split(' ')).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("ip {line}: {}", said.trim())))
}
