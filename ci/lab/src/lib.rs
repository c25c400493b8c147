//! Network namespaces, and what `ip` makes in them: hosts of a network, on one machine. They go with the value that
//! made them, or, if its process was killed, when the next is made. As root.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

mod required;

pub use required::required;

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
    /// namespace. Removes what processes have left that are no more.
    /// # Errors
    /// Why there are none, for people: mostly that this is not root.
    pub fn new(count: usize, script: &str) -> Result<Lab, String> {
        static LABS: AtomicU32 = AtomicU32::new(0);
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let name = format!("daedal-{}-{number}", std::process::id());
        sweep(&name);
        Lab::called(name, count, script)
    }

    fn called(name: String, count: usize, script: &str) -> Result<Lab, String> {
        let lab = Lab { name, count, is_ours: true };
        for end in 0..count {
            lab.ip(&format!("netns add {{{end}}}"))?;
        }
        lab.ip(script)?;
        Ok(lab)
    }

    /// So many hosts on a switch, which stay until they are removed: they see each other as 10.0.0.1, 10.0.0.2 and so
    /// on, each by an interface called `lab`. The switch is the last namespace.
    /// # Errors
    /// As [`Lab::new`], or that some of that name are there; then none are left that were not there before.
    pub fn lasting(name: &str, hosts: usize) -> Result<Lab, String> {
        if let Some(there) = Lab::spaces_called(name).first() {
            return Err(format!("{there} is there already"));
        }
        let mut script = format!(
            "-n {{{hosts}}} link add switch type bridge\n-n {{{hosts}}} link set switch up\n"
        );
        for end in 0..hosts {
            let address = end + 1;
            script += &format!(
                "-n {{{end}}} link add lab type veth peer name host{end} netns {{{hosts}}}\n\
                 -n {{{end}}} address add 10.0.0.{address}/24 dev lab\n\
                 -n {{{end}}} link set lab up\n\
                 -n {{{end}}} link set lo up\n\
                 -n {{{hosts}}} link set host{end} master switch up\n"
            );
        }
        let mut lab = Lab::called(name.to_owned(), hosts + 1, &script)?;
        lab.is_ours = false;
        Ok(lab)
    }

    /// The namespaces that a lab of this name has, in the order of their numbers.
    pub fn spaces_called(name: &str) -> Vec<String> {
        let number = |space: &str| {
            let rest = space.strip_prefix(name)?.strip_prefix('-')?;
            Some((rest.parse::<usize>().ok()?, space.to_owned()))
        };
        let mut spaces: Vec<_> = spaces().filter_map(|space| number(&space)).collect();
        spaces.sort_unstable();
        spaces.into_iter().map(|(_, space)| space).collect()
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

    /// Has so much of a hundred of the packets that come to a host by its interface `lab` get lost, and so much come twice
    /// of those that it sends to others. Frames that an XDP program takes are not seen by it. Of a lab whose hosts
    /// are 10.0.0.1 and so on: once a host.
    /// # Errors
    /// That there is no `nft`, or what it says.
    pub fn trouble(&self, end: usize, loss: u8, doubled: u8) -> Result<(), String> {
        if loss == 0 && doubled == 0 {
            return Ok(());
        }
        // Who a copy goes to has to be said.
        let copied = |host| {
            let rule = format!("oifname lab ip daddr 10.0.0.{host} numgen random mod 100 <");
            format!("{rule} {doubled} dup to 10.0.0.{host} device lab\n")
        };
        let twice: String = (1..=self.count).map(copied).collect();
        let loses = format!(
            "table inet trouble {{\nchain comes {{\ntype filter hook input priority 0;\n\
             iifname lab numgen random mod 100 < {loss} drop\n}}\n}}\n"
        );
        let doubles = format!(
            "table ip twice {{\nchain goes {{\ntype filter hook output priority 0;\n{twice}}}\n}}\n"
        );
        let space = self.space(end);
        let arguments = ["netns", "exec", &space, "nft", "-f", "-"];
        told_ip(&arguments, &(loses + &doubles)).map_err(|why| {
            format!(
                "packets cannot be lost or doubled without nft (apt-get install nftables): {why}"
            )
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

/// All that there are.
fn spaces() -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

/// Removes those of [`Lab::new`] whose process is no more, and those of this name, which another left that had this
/// process's number.
fn sweep(name: &str) {
    let is_gone = |maker| !Path::new(&format!("/proc/{maker}")).exists();
    let left = spaces().filter(|space| maker_of(space).is_some_and(is_gone));
    for space in left.chain(Lab::spaces_called(name)) {
        // Another may remove it just now.
        let _ = told_ip(&["netns", "delete", &space], "");
    }
}

/// The process that made it, if its name is one that [`Lab::new`] gives.
fn maker_of(space: &str) -> Option<u32> {
    let numbers = space.strip_prefix("daedal-")?.split('-').map(str::parse::<u32>);
    match numbers.collect::<Result<Vec<_>, _>>().ok()?[..] {
        [maker, _, _] => Some(maker),
        _ => None,
    }
}

fn enter(space: &File) {
    move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network))
        .expect("who made a namespace may enter it, and who was in one come back");
}

fn run_ip(at: &[String], batch: &str) -> Result<(), String> {
    let at = at.iter().map(String::as_str);
    told_ip(&at.chain(["-batch", "-"]).collect::<Vec<_>>(), batch)
        .map_err(|why| format!("`ip` for a lab: {why}"))
}

/// Runs `ip`, which reads `input`.
fn told_ip(arguments: &[&str], input: &str) -> Result<(), String> {
    let child = Command::new("ip")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.map_err(|error| format!("it cannot be started: {error}"))?;
    let mut stdin = child.stdin.take().expect("it is piped");
    // What it does not read it says nothing of; then it says why.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.success() {
        true => Ok(()),
        false => Err(said.trim().replace('\n', "; ")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::UdpSocket;
    use std::time::Duration;

    use super::*;

    /// `None`, said: this is not root.
    fn made(lab: Result<Lab, String>) -> Option<Lab> {
        match lab {
            Err(why) if !rustix::process::geteuid().is_root() => {
                println!("skipped: network namespaces: {why}");
                None
            }
            lab => Some(lab.expect("root may make them")),
        }
    }

    /// Set for the process that is killed.
    const IS_KILLED: &str = "DAEDAL_LAB_IS_KILLED";

    #[test]
    fn what_a_process_has_left_that_was_killed_goes_when_the_next_lab_is_made() {
        if std::env::var_os(IS_KILLED).is_some() {
            let lab = made(Lab::pair()).expect("its parent is root");
            println!("\nmade {}", lab.name());
            loop {
                std::thread::park();
            }
        }
        let Some(_first) = made(Lab::new(1, "")) else { return };
        let name = "tests::what_a_process_has_left_that_was_killed_goes_when_the_next_lab_is_made";
        let mut killed = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", name, "--nocapture"])
            .env(IS_KILLED, "")
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program again");
        let mut lines = BufReader::new(killed.stdout.take().expect("it is piped")).lines();
        let left = lines.find_map(|line| Some(line.ok()?.strip_prefix("made ")?.to_owned()));
        let left = left.expect("it makes a lab");
        let _second = Lab::new(1, "").expect("there was one");
        let of_the_living = Lab::spaces_called(&left).len();
        killed.kill().expect("it lives");
        killed.wait().expect("it was started here");
        let _third = Lab::new(1, "").expect("there was one");
        assert_eq!((of_the_living, Lab::spaces_called(&left)), (2, Vec::new()));
    }

    #[test]
    fn what_is_swept_says_whose_it_is() {
        for (space, maker) in [
            ("daedal-123-0-1", Some(123)),
            ("daedal-123-0", None),
            ("daedal-lab-0", None),
            ("daedal-try-123-0", None),
            ("daedal-1-2-3-4", None),
            ("other-1-2-3", None),
        ] {
            assert_eq!(maker_of(space), maker, "{space}");
        }
    }

    #[test]
    fn a_lab_that_fails_half_way_leaves_nothing() {
        let name = format!("daedal-half-{}", std::process::id());
        let script = format!("{PAIR}-n {{1}} link set nothing up\n");
        let failed = Lab::called(name.clone(), 2, &script).expect_err("there is no such interface");
        if !rustix::process::geteuid().is_root() {
            return println!("skipped: network namespaces: {failed}");
        }
        assert!(failed.contains("nothing"), "{failed}");
        assert_eq!(Lab::spaces_called(&name), [""; 0]);
    }

    #[test]
    fn hosts_on_a_switch_stay_until_they_are_removed_and_see_each_other() {
        let name = format!("daedal-try-{}", std::process::id());
        let Some(lab) = made(Lab::lasting(&name, 3)) else { return };
        drop(lab);
        assert_eq!(Lab::spaces_called(&name), [0, 1, 2, 3].map(|end| format!("{name}-{end}")));
        let again = Lab::lasting(&name, 1).expect_err("its names are taken");
        assert!(again.contains("there already"), "{again}");
        let lab = Lab::of(&name, 4);
        let socket =
            |end: usize| lab.within(end, || UdpSocket::bind((format!("10.0.0.{}", end + 1), 7000)));
        let [first, last] = [0, 2].map(|end| socket(end).expect("it has its address"));
        first.send_to(b"here", "10.0.0.3:7000").expect("there is a way");
        last.set_read_timeout(Some(Duration::from_secs(10))).expect("more than nothing");
        let mut buffer = [0; 16];
        let (bytes, from) = last.recv_from(&mut buffer).expect("it comes");
        assert_eq!(
            (&buffer[..bytes], from.to_string()),
            (&b"here"[..], "10.0.0.1:7000".to_owned())
        );
        lab.remove();
        assert_eq!(Lab::spaces_called(&name), [""; 0]);
    }
}
