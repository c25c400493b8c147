//! Which system a command is about: the one at `--controller`, else the one of `--system`, else the one
//! that this user started last on this host, which left its address in a run file.

#![expect(clippy::disallowed_methods, reason = "waits for a file")]

use std::fs;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

/// How long a controller may take from its start until it leaves word.
const WORD_AT_MOST: Duration = Duration::from_secs(1);

/// Which system.
#[derive(Clone, Debug, Args)]
pub struct Where {
    /// Address of the system's controller [default: as --system says]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    controller: Option<SocketAddr>,
    /// File that states the system [default: the system that you started last on this host]
    #[arg(long, value_name = "FILE")]
    system: Option<PathBuf>,
}

impl Where {
    /// The address of the controller.
    pub fn controller(&self) -> Result<SocketAddr> {
        if let Some(address) = self.controller {
            return Ok(address);
        }
        if let Some(file) = &self.system {
            return Ok(daedal::system::load(file)?.controller.address);
        }
        last_started()
    }
}

/// An address as people write it. Boxes speak IPv4 more often than not, so that is tried first.
fn address(text: &str) -> Result<SocketAddr, String> {
    let write = "write an address and a port, such as 127.0.0.1:7000";
    let found = text.to_socket_addrs().map_err(|error| format!("{error}; {write}"))?;
    let mut found: Vec<SocketAddr> = found.collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    found.first().copied().ok_or_else(|| format!("the name has no address; {write}"))
}

/// Leaves word of a system that was started, for the commands that follow.
pub fn remember(controller: SocketAddr) -> Result<()> {
    let file = run_file();
    let folder = file.parent().context("a run file lies in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::write(&file, controller.to_string())
        .with_context(|| format!("cannot write {}", file.display()))
}

/// Takes back the word of a system that has ended, unless another was started since.
pub fn forget(controller: SocketAddr) {
    let file = run_file();
    if fs::read_to_string(&file).is_ok_and(|text| text == controller.to_string()) {
        // Who reads it finds nobody, and is told so.
        let _ = fs::remove_file(file);
    }
}

fn last_started() -> Result<SocketAddr> {
    let file = run_file();
    // A controller that was started a moment ago has not left word yet.
    let until = Instant::now() + WORD_AT_MOST;
    while !file.exists() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    let Ok(text) = fs::read_to_string(&file) else {
        bail!(
            "no system was started by you on this host: name one by --controller ADDR or \
             --system FILE, or start one with `daedal demo --serve`"
        );
    };
    text.trim().parse().with_context(|| {
        format!(
            "{} does not hold an address: remove it, or name the system by --controller",
            file.display()
        )
    })
}

fn run_file() -> PathBuf {
    run_folder().join("controller")
}

/// One for each user: in the user's run folder, or, where there is none, under the temporary one.
pub fn run_folder() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(folder) if !folder.is_empty() => Path::new(&folder).join("daedal"),
        _ => {
            let user = rustix::process::getuid().as_raw();
            std::env::temp_dir().join(format!("daedal-{user}"))
        }
    }
}
