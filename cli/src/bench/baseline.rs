//! The programs of `benches/`, which say what the machine does without daedal: built and started here.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use serde::Deserialize;

use super::figure::Figure;
use crate::say::note;

/// A program of `benches/` with its arguments: `raw ring-ask 64`.
pub type Name = &'static str;

/// Where they are.
#[derive(Debug)]
pub struct Baselines {
    programs: PathBuf,
}

/// The line that each prints, as far as it matters here.
#[derive(Deserialize)]
struct Line {
    value: f64,
    /// Its times: a histogram, deflated, in base64.
    histogram: Option<String>,
}

impl Baselines {
    /// Builds them, if the current directory is in a checkout; `None` if not.
    /// # Errors
    /// When they cannot be built.
    pub fn build() -> Result<Option<Baselines>> {
        let here = std::env::current_dir().context("where this process is")?;
        let Some(benches) = here.ancestors().map(|it| it.join("benches")).find(|it| is_ours(it))
        else {
            return Ok(None);
        };
        note!("building the baselines in {}", benches.display());
        let built = Command::new("cargo")
            .args(["build", "--release", "--quiet", "--manifest-path"])
            .arg(benches.join("Cargo.toml"))
            .arg("--target-dir")
            .arg(benches.join("target"))
            .status()
            .context("cargo, to build the baselines with")?;
        if !built.success() {
            bail!("the baselines in {} cannot be built: {built}", benches.display());
        }
        Ok(Some(Baselines { programs: benches.join("target/release") }))
    }

    /// Runs one of them.
    /// # Errors
    /// What it says.
    pub fn run(&self, name: &str) -> Result<Figure> {
        let mut words = name.split(' ');
        let program = self.programs.join(words.next().unwrap_or_default());
        let output = Command::new(program)
            .args(words)
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("baseline {name}"))?;
        if !output.status.success() {
            bail!("baseline {name} failed: {}", output.status);
        }
        let line: Line = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("baseline {name} prints a line of JSON"))?;
        let times = line.histogram.as_deref().map(decode).transpose();
        let times = times.with_context(|| format!("baseline {name} prints its times"))?;
        Ok(Figure { value: line.value, times })
    }

    /// What a cache line takes from processor 0 to 1 and back, in nanoseconds.
    /// # Errors
    /// As [`Baselines::run`].
    pub fn bounce_ns(&self) -> Result<f64> {
        self.run("raw bounce").map(|figure| figure.value)
    }
}

fn decode(text: &str) -> Result<Histogram<u64>> {
    let bytes = BASE64_STANDARD.decode(text)?;
    Ok(Deserializer::new().deserialize(&mut bytes.as_slice())?)
}

fn is_ours(benches: &Path) -> bool {
    ["raw", "peers"].iter().all(|program| benches.join(program).join("Cargo.toml").is_file())
}
