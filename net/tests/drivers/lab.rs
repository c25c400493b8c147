//! Network namespaces joined by virtual Ethernets. They go with the test.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Namespaces, and whatever is in them.
pub struct Lab(Vec<String>);

impl Lab {
    /// So many namespaces, and what `ip` makes in them: lines of its arguments, in which `{0}` is the first
    /// namespace.
    /// # Errors
    /// Why there are none, for people.
    pub fn new(count: usize, script: &str) -> Result<Lab, String> {
        static LABS: AtomicU32 = AtomicU32::new(0);
        let (process, lab) = (std::process::id(), LABS.fetch_add(1, Ordering::Relaxed));
        let lab = Lab((0..count).map(|end| format!("daedal-xdp-{process}-{lab}-{end}")).collect());
        for end in 0..count {
            lab.ip(&format!("netns add {{{end}}}"))?;
        }
        lab.ip(script)?;
        Ok(lab)
    }

    /// Lines of arguments for `ip`, those for one namespace that follow each other in one go.
    /// # Errors
    /// What it says.
    pub fn ip(&self, script: &str) -> Result<(), String> {
        let named = (self.0.iter().enumerate())
            .fold(script.to_owned(), |it, (end, name)| it.replace(&format!("{{{end}}}"), name));
        let space = |line: &str| line.strip_prefix("-n ")?.split(' ').next().map(str::to_owned);
        let lines: Vec<&str> = named.lines().filter(|line| !line.is_empty()).collect();
        lines.chunk_by(|one, other| space(one) == space(other)).try_for_each(|lines| {
            let at = space(lines[0]).map_or(Vec::new(), |space| vec!["-n".to_owned(), space]);
            let skipped = at.iter().map(|word| word.len() + 1).sum::<usize>();
            let batch: Vec<_> = lines.iter().map(|line| &line[skipped..]).collect();
            run_ip(&at, &batch.join("\n"))
        })
    }

    /// Runs what opens sockets there: they stay there, this thread does not.
    pub fn within<T>(&self, end: usize, run: impl FnOnce() -> T) -> T {
        let here = File::open("/proc/thread-self/ns/net").unwrap();
        let there = File::open(format!("/run/netns/{}", self.0[end])).unwrap();
        let enter = |space: &File| {
            move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        };
        enter(&there);
        let result = run();
        enter(&here);
        result
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for end in 0..self.0.len() {
            // It may never have been there.
            let _ = self.ip(&format!("netns delete {{{end}}}"));
        }
    }
}

fn run_ip(at: &[String], batch: &str) -> Result<(), String> {
    let child = Command::new("ip")
        .args(at)
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.map_err(|error| format!("`ip` cannot be started: {error}"))?;
    child.stdin.take().unwrap().write_all(batch.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("`ip` for a lab: {}", said.trim().replace('\n', "; "))),
    }
}
