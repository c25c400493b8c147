//! Network namespaces, and what `ip` makes in them: hosts of a network, on one machine. They go with the value that
//! made them. As root.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Two ends that see each other as 10.0.0.1 and 10.0.0.2, each by an interface called `lab`:
/// what [`Lab::pair`] makes.
pub const PAIR: &str = "
-n {0} link add lab type veth peer name lab netns {1}
-n {0} address add 10.0.0.1/24 dev lab
-n {0} link set lab up
-n {0} link set lo up
-n {1} address add 10.0.0.2/24 dev lab
-n {1} link set lab up
-n {1} link set lo up
";

/// So many namespaces, and whatever is in them.
#[derive(Debug)]
pub struct Lab {
    name: String,
    count: usize,
    is_ours: bool,
}

impl Lab {
    /// So many namespaces, and what `ip` makes in them: lines of its arguments, in which `{0}` is the first
    /// namespace.
    /// # Errors
    /// Why there are none, for people: mostly that this is not root.
    pub fn new(count: usize, script: &str) -> Result<Lab, String> {
        static LABS: AtomicU32 = AtomicU32::new(0);
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let name = format!("daedal-{}-{number}", std::process::id());
        let lab = Lab { name, count, is_ours: true };
        for end in 0..count {
            lab.ip(&format!("netns add {{{end}}}"))?;
        }
        lab.ip(script)?;
        Ok(lab)
    }

    /// Two that see each other as 10.0.0.1 and 10.0.0.2, by interfaces called `lab`, and nothing else.
    /// # Errors
    /// As [`Lab::new`].
    pub fn pair() -> Result<Lab, String> {
        Lab::new(2, PAIR)
    }

    /// Those of that name, which another process made and will remove.
    pub fn of(name: &str, count: usize) -> Lab {
        Lab { name: name.into(), count, is_ours: false }
    }

    /// What they are called, each with its number behind.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What one of them is called.
    pub fn space(&self, end: usize) -> String {
        format!("{}-{end}", self.name)
    }

    /// Lines of arguments for `ip`, those for one namespace that follow each other in one go.
    /// # Errors
    /// What it says.
    pub fn ip(&self, script: &str) -> Result<(), String> {
        let named = (0..self.count).fold(script.to_owned(), |script, end| {
            script.replace(&format!("{{{end}}}"), &self.space(end))
        });
        let space = |line: &str| line.strip_prefix("-n ")?.split(' ').next().map(str::to_owned);
        let lines: Vec<&str> = named.lines().filter(|line| !line.is_empty()).collect();
        lines.chunk_by(|one, other| space(one) == space(other)).try_for_each(|lines| {
            let at = space(lines[0]).map_or(Vec::new(), |space| vec!["-n".to_owned(), space]);
            let skipped = at.iter().map(|word| word.len() + 1).sum::<usize>();
            let batch: Vec<_> = lines.iter().map(|line| &line[skipped..]).collect();
            run_ip(&at, &batch.join("\n"))
        })
    }

    /// Runs what opens sockets, or starts threads and processes, there: they stay there, this thread does not.
    /// # Panics
    /// When the namespace is gone.
    pub fn within<T>(&self, end: usize, run: impl FnOnce() -> T) -> T {
        let here = File::open("/proc/thread-self/ns/net").expect("a thread is in a namespace");
        self.enter(end);
        let result = run();
        enter(&here);
        result
    }

    /// Moves this thread there, for good.
    /// # Panics
    /// When the namespace is gone.
    pub fn enter(&self, end: usize) {
        let there = File::open(format!("/run/netns/{}", self.space(end)));
        enter(&there.expect("a lab's namespaces stay while it is used"));
    }

    /// Removes them, as dropping does; those of another process, too.
    pub fn remove(&self) {
        for end in 0..self.count {
            // It may never have been there.
            let _ = self.ip(&format!("netns delete {{{end}}}"));
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.is_ours {
            self.remove();
        }
    }
}

fn enter(space: &File) {
    move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network))
        .expect("who made a namespace may enter it, and who was in one come back");
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
    let mut input = child.stdin.take().expect("it is piped");
    // What it does not read it says nothing of; then it says why.
    let _ = input.write_all(batch.as_bytes());
    drop(input);
    let output = child.wait_with_output().map_err(|error| format!("`ip`: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("`ip` for a lab: {}", said.trim().replace('\n', "; "))),
    }
}
