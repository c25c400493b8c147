//! `daedal-soak`: makes namespaces and a folder, has the soak itself run in a process of its own, and cleans up
//! after it, however it ended: by itself, by Ctrl-C or by a panic.

#![allow(clippy::disallowed_methods, reason = "waits on a thread for its parent")]

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, anyhow};
use clap::Parser;
use daedal_soak::mesh::Mesh;
use daedal_soak::soak::{Soak, run};
use daedal_soak::system::NAMES;

/// A system under load and trouble, for long; then every counter is accounted for.
#[derive(Debug, Parser)]
struct Arguments {
    /// How long
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// What troubles and load are drawn from [default: of this moment]
    #[arg(long)]
    seed: Option<u64>,
    /// The command that runs the processes
    #[arg(long, default_value = "target/release/daedal")]
    program: PathBuf,
    /// File that the report goes to as JSON
    #[arg(long, default_value = "target/soak.json")]
    json: PathBuf,
    /// Do this part alone, in these namespaces, which stand
    #[arg(long, hide = true, num_args = 2, value_names = ["NAMESPACES", "FOLDER"])]
    inner: Option<Vec<String>>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.inner {
        Some(inner) => soak(&arguments, &inner[0], &inner[1]),
        None => around(),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("daedal-soak: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Has it done in another process, and cleans up.
fn around() -> Result<bool> {
    // Ctrl-C reaches that one too, which then ends: this one waits for it.
    ctrlc::set_handler(|| {}).context("catching Ctrl-C")?;
    let lab = Mesh::new(NAMES.len()).map_err(|why| {
        anyhow!("{why}; a soak needs network namespaces: run it as root, with iproute2 installed")
    })?;
    let folder = std::env::temp_dir().join(lab.name());
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1)).arg("--inner").arg(lab.name()).arg(&folder);
    let mut child = command.stdin(Stdio::piped()).spawn().context("cannot start itself")?;
    // It ends when nobody holds its input any more.
    let input = child.stdin.take();
    let ended = child.wait();
    drop(input);
    lab.clear();
    let is_well = ended?.success();
    // What went wrong is looked for in what the processes said.
    match is_well {
        true => std::fs::remove_dir_all(&folder)?,
        false => eprintln!("what the processes said is in {}", folder.display()),
    }
    Ok(is_well)
}

/// Does it.
fn soak(arguments: &Arguments, lab: &str, folder: &str) -> Result<bool> {
    std::thread::spawn(|| {
        // Nobody would clean up any more when the other one is gone: the processes end with this one.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        std::process::exit(1);
    });
    let program = &arguments.program;
    let program = program.canonicalize().with_context(|| {
        format!("{} is not there: cargo build --release --package daedal-cli", program.display())
    })?;
    let of_now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = arguments.seed.map_or_else(|| of_now().map(|it| it.as_secs()), Ok)?;
    let report = run(&Soak {
        lab: Mesh::of(lab, NAMES.len()),
        folder: folder.into(),
        program,
        minutes: arguments.minutes,
        seed,
    })?;
    print!("{report}");
    if let Some(folder) = arguments.json.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let json = serde_json::to_string_pretty(&report)?;
    std::fs::write(&arguments.json, json)
        .with_context(|| format!("cannot write {}", arguments.json.display()))?;
    println!("the same as JSON: {}", arguments.json.display());
    Ok(report.is_well())
}
