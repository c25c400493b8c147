//! What bad input gets from the command: a text that says what and where, and exit code 1.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, reason = "a test")]

mod system;
use system::System;

#[test]
fn an_unknown_agent_and_a_missing_file_are_told() {
    let system = System::start();
    let why = system.look(&["state", "nosuch"]).unwrap_err();
    assert!(why.contains("`daedal tree` shows those that there are"), "{why}");
    let output = system.folder.daedal(&["box", "a", "--system", "missing.toml"]).output().unwrap();
    let why = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(why.contains("missing.toml"), "{why}");
}
