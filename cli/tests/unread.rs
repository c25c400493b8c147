//! Who reads what a command prints may have had enough of it.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, reason = "a test")]

mod system;

use std::io::pipe;

use system::{Folder, System};

/// The command ends as if the signal of a closed pipe had ended it, and complains of nothing.
#[track_caller]
fn check(folder: &Folder, arguments: &[&str]) {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let output = folder.daedal(arguments).stdout(writer).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), said.as_str()), (Some(141), ""), "{arguments:?}");
}

#[test]
fn commands_whose_output_nobody_reads_end_quietly() {
    let system = System::start_together();
    let folder = &system.folder;
    check(folder, &["tree"]);
    check(folder, &["routes"]);
    check(folder, &["boxes"]);
    check(folder, &["boxes", "--watch"]);
    check(folder, &["state", "kvs"]);
    check(folder, &["reshard", "kvs", "1"]);
    check(folder, &["preflight", "a", "--system", "system.toml"]);
    check(folder, &["sim", "--seeds", "1"]);
    check(folder, &["sim", "--seed", "1"]);
}
