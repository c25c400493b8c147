//! Whether unsafe code keeps what it promises: under miri where nothing foreign is called, with the address
//! sanitizer where it is. Not among `all`: both need nightly, and minutes.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::step::{Outcome, Report, command, run, succeeds};

/// What runs under miri, and with which of its flags: of each package the tests that go through its unsafe
/// files, and of those not what would take hours there.
const UNDER_MIRI: [(&str, &str, &[&str]); 2] = [
    // net/src/{pool,frame}.rs: by themselves, and as links use them. Megabytes take too long there.
    ("daedal-net", "", &["pool::", "link::tests::cases", "link::session", "--skip", "large"]),
    // core/boxes/src/deliver.rs. rkyv's pointers are relative: they leave the borrow of the field that they lie
    // in, which is right by tree borrows, and not by the older model.
    ("daedal-boxes", "-Zmiri-tree-borrows", &["deliver::"]),
];

/// What runs with the address sanitizer: whole tests, as they take no longer there than elsewhere.
const SANITIZED: [(&str, &[&str]); 2] = [
    // net/src/{pool,frame,mapping}.rs and net/src/driver/{kernel/calls,shm/slots}.rs, over real sockets and memory.
    ("daedal-net", &["--lib", "--test", "drivers"]),
    // core/boxes/src/{deliver,doze,mapped}.rs, with reactors on threads of their own.
    ("daedal-boxes", &["--lib"]),
];

pub fn miri(report: &mut Report) {
    report.step("miri", |_| {
        ensure!(
            succeeds("cargo", &["+nightly", "miri", "--version"]) && has_source()?,
            "miri, the standard library's source or the nightly toolchain is not there; run rustup \
             toolchain install nightly --component miri --component rust-src"
        );
        let commands = UNDER_MIRI.map(|(package, flags, tests)| {
            let mut miri = command("cargo", &["+nightly", "miri", "test", "--lib"]);
            miri.args(["--package", package, "--target-dir", "target/miri", "--"]).args(tests);
            miri.env("MIRIFLAGS", flags);
            miri
        });
        all_of(commands)
    });
}

pub fn asan(report: &mut Report) {
    report.step("asan", |_| {
        ensure!(
            succeeds("rustc", &["+nightly", "--version"]),
            "the nightly toolchain is not there; run rustup toolchain install nightly"
        );
        // Named, so that what runs while others are built is not sanitized.
        let target = said("rustc", &["+nightly", "--print", "host-tuple"])?;
        let commands = SANITIZED.map(|(package, tests)| {
            let mut cargo = command("cargo", &["+nightly", "test", "--target", &target]);
            cargo.args(["--package", package, "--target-dir", "target/asan"]).args(tests);
            cargo.env("RUSTFLAGS", "-Zsanitizer=address");
            cargo
        });
        all_of(commands)
    });
}

/// Runs all of them, also behind one that fails.
fn all_of(commands: impl IntoIterator<Item = Command>) -> Result<Outcome> {
    let mut outcome = Outcome::Passed;
    for mut command in commands {
        outcome = outcome.and(run(&mut command)?);
    }
    Ok(outcome)
}

/// Whether the nightly toolchain has the source that miri builds its own standard library from.
fn has_source() -> Result<bool> {
    let sysroot = PathBuf::from(said("rustc", &["+nightly", "--print", "sysroot"])?);
    Ok(sysroot.join("lib/rustlib/src/rust/library/std").is_dir())
}

/// The one line that a command prints.
fn said(program: &str, arguments: &[&str]) -> Result<String> {
    let output = command(program, arguments).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        bail!("{program} {} failed", arguments.join(" "));
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
