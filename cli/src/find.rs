//! Which system a command is about: the one at `--controller`, else the one of `--system`, else the one
//! that this user started last on this host, which left its address in a run file.

#![expect(clippy::disallowed_methods, reason = "waits for a file")]

use std::fs;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use daedal::Templates;
use daedal::running::{BoxConfig, RunningBox};

/// How long a controller may take from its start until it leaves word.
const WORD_AT_MOST: Duration = Duration::from_secs(1);

/// Which system.
#[derive(Clone, Debug, Args)]
pub struct Where {
    /// Address of the system's controller [default: as --system says]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    controller: Option<SocketAddr>,
    /// File of what the system's frames are sealed with, if they are [default: as --system says]
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// File that states the system [default: the system that you started last on this host]
    #[arg(long, value_name = "FILE")]
    system: Option<PathBuf>,
}

impl Where {
    /// A guest of the system, to ask it by.
    pub fn guest(&self, templates: &Arc<Templates>) -> Result<RunningBox> {
        let (controller, secret) = self.found()?;
        RunningBox::start_guest(controller, secret.as_deref(), templates)
            .map_err(|why| anyhow!(why))
    }

    /// The address of the controller, and the file of the secret.
    fn found(&self) -> Result<(SocketAddr, Option<PathBuf>)> {
        let (controller, secret) = match (self.controller, &self.system) {
            (Some(address), None) => (address, None),
            (told, Some(file)) => {
                let spec = daedal::system::load(file)?;
                let address = told.unwrap_or(spec.controller.address);
                (address, spec.secret_file.map(PathBuf::from))
            }
            (None, None) => last_started()?,
        };
        Ok((controller, self.secret_file.clone().or(secret)))
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

/// Leaves word of a system that was started, for the commands that follow: its controller's address and, on a
/// second line, the file of its secret.
pub fn remember(config: &BoxConfig) -> Result<()> {
    let file = run_file();
    let folder = file.parent().context("a run file lies in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut word = config.controller.to_string();
    if let Some(secret) = &config.secret {
        // Commands are given from other folders.
        word = format!("{word}\n{}", std::path::absolute(secret)?.display());
    }
    fs::write(&file, word).with_context(|| format!("cannot write {}", file.display()))
}

/// Takes back the word of a system that has ended, unless another was started since.
pub fn forget(controller: SocketAddr) {
    let file = run_file();
    let is_ours = |text: String| text.lines().next() == Some(&*controller.to_string());
    if fs::read_to_string(&file).is_ok_and(is_ours) {
        // Who reads it finds nobody, and is told so.
        let _ = fs::remove_file(file);
    }
}

fn last_started() -> Result<(SocketAddr, Option<PathBuf>)> {
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
    let mut lines = text.lines();
    let address = lines.next().unwrap_or_default().parse().with_context(|| {
        format!(
            "{} does not hold an address: remove it, or name the system by --controller",
            file.display()
        )
    })?;
    Ok((address, lines.next().map(PathBuf::from)))
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
