//! The programs of `benches/`, which say what the machine does without daedal: built and started here.

use std::cell::RefCell;
use std::collections::BTreeMap;
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

/// Packages that are built when one of their programs is asked for, and what of the system each needs for that.
const OPTIONAL: [(&str, &str); 2] = [
    (
        "aeron",
        "cmake 3.30 or later (`pip install cmake`) and libclang (`apt-get install libclang-dev`)",
    ),
    ("raw-dpdk", "DPDK 22.11 or later (`apt-get install libdpdk-dev pkg-config`)"),
];

/// Where they are.
#[derive(Debug)]
pub struct Baselines {
    programs: PathBuf,
    /// What this machine lacks for one of them, or for all of a package: for people.
    lacks: RefCell<BTreeMap<String, String>>,
}

/// The line that each prints, as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Found {
        value: f64,
        /// Its times: a histogram, deflated, in base64.
        histogram: Option<String>,
    },
    /// What this machine lacks for it: for people.
    Lacks { lacks: String },
}

impl Baselines {
    /// Builds them, if the current directory is in a checkout; `None` if not. Of the optional packages, those that have
    /// one of `wanted`.
    /// # Errors
    /// When they cannot be built.
    pub fn build(wanted: &[String]) -> Result<Option<Baselines>> {
        let here = std::env::current_dir().context("where this process is")?;
        let Some(benches) = here.ancestors().map(|it| it.join("benches")).find(|it| is_ours(it))
        else {
            return Ok(None);
        };
        note!("building the baselines in {}", benches.display());
        let built = cargo(&benches).status().context("cargo, to build the baselines with")?;
        if !built.success() {
            bail!("the baselines in {} cannot be built: {built}", benches.display());
        }
        let mut lacks = BTreeMap::new();
        for (package, needs) in OPTIONAL {
            if wanted.iter().any(|name| package_of(name) == package) {
                let built =
                    cargo(&benches).args(["--package", package]).stderr(Stdio::null()).status();
                if !built.is_ok_and(|it| it.success()) {
                    let manifest = benches.join("Cargo.toml");
                    let how = format!("cargo build --release -p {package} --manifest-path");
                    let why = format!("it needs {needs}; `{how} {}` says more", manifest.display());
                    lacks.insert(package.to_owned(), format!("it cannot be built here: {why}"));
                }
            }
        }
        let programs = benches.join("target/release");
        Ok(Some(Baselines { programs, lacks: RefCell::new(lacks) }))
    }

    /// Runs one of them. `None` if this machine lacks something for it: see [`Baselines::lacks`].
    /// # Errors
    /// What it says.
    pub fn run(&self, name: &str) -> Result<Option<Figure>> {
        if self.lacks(name).is_some() {
            return Ok(None);
        }
        let words = name.split(' ').skip(1);
        let output = Command::new(self.programs.join(package_of(name)))
            .args(words)
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("baseline {name}"))?;
        if !output.status.success() {
            bail!("baseline {name} failed: {}", output.status);
        }
        let line: Line = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("baseline {name} prints a line of JSON"))?;
        match line {
            Line::Found { value, histogram } => {
                let times = histogram.as_deref().map(decode).transpose();
                let times = times.with_context(|| format!("baseline {name} prints its times"))?;
                Ok(Some(Figure { value, times }))
            }
            Line::Lacks { lacks } => {
                self.lacks.borrow_mut().insert(name.to_owned(), lacks);
                Ok(None)
            }
        }
    }

    /// What this machine lacks for it, as far as that was seen: for people.
    pub fn lacks(&self, name: &str) -> Option<String> {
        let lacks = self.lacks.borrow();
        lacks.get(package_of(name)).or_else(|| lacks.get(name)).cloned()
    }

    /// What a cache line takes from processor 0 to 1 and back, in nanoseconds.
    /// # Errors
    /// As [`Baselines::run`].
    pub fn bounce_ns(&self) -> Result<f64> {
        let figure = self.run("raw bounce")?.context("raw bounce needs nothing")?;
        Ok(figure.value)
    }
}

/// Builds what is always built, unless it is told what else.
fn cargo(benches: &Path) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--quiet", "--manifest-path"]);
    cargo.arg(benches.join("Cargo.toml")).arg("--target-dir").arg(benches.join("target"));
    cargo
}

/// Its first word.
fn package_of(name: &str) -> &str {
    name.split(' ').next().unwrap_or_default()
}

fn decode(text: &str) -> Result<Histogram<u64>> {
    let bytes = BASE64_STANDARD.decode(text)?;
    Ok(Deserializer::new().deserialize(&mut bytes.as_slice())?)
}

fn is_ours(benches: &Path) -> bool {
    ["raw", "peers"].iter().all(|program| benches.join(program).join("Cargo.toml").is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_a_figure_or_what_is_lacking() {
        let found = r#"{"name":"ring-tell","unit":"messages/s","value":5,"histogram":null}"#;
        let found = serde_json::from_str(found).expect("a line");
        assert!(matches!(found, Line::Found { value: 5.0, histogram: None }), "{found:?}");
        let lacks = r#"{"name":"glommio-tell","lacks":"io_uring"}"#;
        let lacks = serde_json::from_str(lacks).expect("a line");
        assert!(matches!(&lacks, Line::Lacks { lacks } if lacks == "io_uring"), "{lacks:?}");
    }

    #[test]
    fn what_a_package_lacks_all_of_its_programs_lack() {
        let lacks = BTreeMap::from([("aeron".to_owned(), "cmake".to_owned())]);
        let baselines = Baselines { programs: PathBuf::new(), lacks: RefCell::new(lacks) };
        assert_eq!(baselines.lacks("aeron udp-ask").as_deref(), Some("cmake"));
        assert!(baselines.run("aeron udp-ask").expect("it is not even started").is_none());
        assert_eq!(baselines.lacks("raw udp-ask 64"), None);
    }
}
