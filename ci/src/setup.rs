//! Installs what the other tasks use and what is missing, where that is allowed and there is a network.
//! Nothing here can fail: what stays missing is said, with what is skipped for want of it.

use std::os::unix::fs::MetadataExt;

use crate::step::{Outcome, Report, command, run, succeeds};

/// A program, the Debian package that has it, and what is skipped without it.
const PACKAGES: [(&str, &str, &str); 4] = [
    ("redis-server", "redis-server", "the comparison with redis-server"),
    ("redis-cli", "redis-tools", "tests that drive the gateway with redis-cli and redis-benchmark"),
    ("ip", "iproute2", "tests between network namespaces"),
    ("nft", "nftables", "a test over a network that loses and doubles packets"),
];

pub fn setup(report: &mut Report) {
    report.step("setup", |report| {
        subcommands(report);
        packages(report);
        if missing_dpdk().is_some() && is_root() && on_path("apt-get") {
            install(&DPDK);
        }
        Ok(Outcome::Passed)
    });
}

/// What only a build with the feature `dpdk` needs.
const DPDK: [&str; 2] = ["libdpdk-dev", "pkg-config"];

/// Why there can be no build with DPDK; `None` when there can.
pub fn missing_dpdk() -> Option<String> {
    let is_there = succeeds("pkg-config", &["--atleast-version=22.11", "libdpdk"]);
    let install = DPDK.join(" ");
    (!is_there).then(|| {
        format!("dpdk: no libdpdk of 22.11 or later; run apt-get install {install} as root")
    })
}

/// Subcommands of cargo, and how each is installed.
const SUBCOMMANDS: [(&str, &[&str]); 3] = [
    ("fmt", &["rustup", "component", "add", "rustfmt"]),
    ("clippy", &["rustup", "component", "add", "clippy"]),
    ("deny", &["cargo", "install", "cargo-deny", "--locked"]),
];

/// What is skipped without a subcommand of cargo, and why; `None` when it is there.
pub fn missing(subcommand: &str) -> Option<String> {
    if succeeds("cargo", &[subcommand, "--version"]) {
        return None;
    }
    let install = SUBCOMMANDS.iter().find(|(name, _)| *name == subcommand);
    let install = install.map_or(String::new(), |(_, install)| install.join(" "));
    Some(format!("{subcommand}: no cargo {subcommand}; run {install}"))
}

fn subcommands(report: &mut Report) {
    for (name, install) in SUBCOMMANDS {
        if missing(name).is_some()
            && let [program, arguments @ ..] = install
            && let Err(error) = run(&mut command(program, arguments))
        {
            println!("{error:#}");
        }
        if let Some(what_and_why) = missing(name) {
            _ = report.skip(what_and_why);
        }
    }
}

fn packages(report: &mut Report) {
    let missing: Vec<_> = PACKAGES.into_iter().filter(|(program, ..)| !on_path(program)).collect();
    let names: Vec<&str> = missing.iter().map(|(_, package, _)| *package).collect();
    if !names.is_empty() && is_root() && on_path("apt-get") {
        install(&names);
    }
    for (program, package, skipped) in missing {
        if !on_path(program) {
            _ = report
                .skip(format!("{skipped}: no {program}; run apt-get install {package} as root"));
        }
    }
}

/// Installs Debian packages. Tries without a fresh list first: most images have one.
fn install(packages: &[&str]) {
    let options = ["-o", "Acquire::http::Timeout=20", "-o", "Acquire::Retries=1"];
    let apt = |task: &[&str]| {
        let mut command = command("apt-get", &options);
        command.args(task).env("DEBIAN_FRONTEND", "noninteractive");
        matches!(run(&mut command), Ok(Outcome::Passed))
    };
    let task = [&["install", "--yes", "--no-install-recommends"], packages].concat();
    if !apt(&task) && apt(&["update"]) {
        apt(&task);
    }
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Where Debian keeps what only root was meant to run, such as `ip`.
    let system = ["/usr/sbin".into(), "/sbin".into()];
    std::env::split_paths(&path).chain(system).any(|folder| folder.join(program).is_file())
}

/// Whoever owns our entry in /proc is who we run as.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|entry| entry.uid() == 0)
}
