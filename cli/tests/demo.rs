//! `daedal demo` that is stopped by Ctrl-C: it ends well, and leaves neither processes nor files.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, reason = "a test")]

mod system;

use std::fs;

use system::{Folder, Process, until};

/// Processes whose command line names the folder: the boxes of a demo that was started there.
fn boxes(folder: &Folder) -> usize {
    let name = folder.path().to_str().unwrap();
    let names_it = |line: Vec<u8>| String::from_utf8_lossy(&line).contains(name);
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|it| fs::read(it.path().join("cmdline")).ok())
        .filter(|it| names_it(it.clone()))
        .count()
}

/// Files that it left, besides what it said.
fn files(folder: &Folder) -> Vec<String> {
    let files = fs::read_dir(folder.path()).unwrap().flatten();
    let names = files.map(|it| it.file_name().into_string().unwrap());
    names.filter(|name| !name.starts_with("said-") && name != "daedal").collect()
}

#[track_caller]
fn is_stopped(
    arguments: &[&str],
    once: impl Fn(&Folder, &Process) -> bool,
    boxes_then: usize,
    stop: fn(&Process),
) -> String {
    let folder = Folder::new();
    let mut demo = Process::start(&folder, arguments);
    until("what is waited for", || {
        assert!(!demo.has_ended(), "{}", demo.said());
        once(&folder, &demo)
    });
    assert!(boxes(&folder) >= boxes_then, "{}", demo.said());
    stop(&demo);
    let status = demo.await_end();
    let said = demo.said();
    assert!(status.success(), "{status}: {said}");
    assert_eq!(boxes(&folder), 0, "{said}");
    assert_eq!(files(&folder), [""; 0], "{said}");
    assert_eq!(fs::read_dir(folder.path().join("daedal")).map_or(0, Iterator::count), 0);
    said
}

#[test]
fn ctrl_c_stops_a_demo_that_serves() {
    let serves = |_: &Folder, demo: &Process| demo.said().contains("serving until Ctrl-C");
    let said = is_stopped(&["demo", "--serve"], serves, 3, Process::interrupt);
    assert!(said.starts_with("redis-cli -p "), "{said}");
}

#[test]
fn a_demo_that_is_told_to_end_by_name_ends_as_well() {
    let serves = |_: &Folder, demo: &Process| demo.said().contains("serving until Ctrl-C");
    is_stopped(&["demo", "--serve", "--reactors", "2"], serves, 3, Process::terminate);
}

#[test]
fn ctrl_c_stops_a_demo_under_load_which_shows_what_it_has() {
    let loads = |_: &Folder, demo: &Process| demo.said().contains("agent kvs  2 shards");
    let said = is_stopped(&["demo", "--seconds", "3600"], loads, 3, Process::interrupt);
    assert!(said.contains("requests/s"), "{said}");
}

#[test]
fn ctrl_c_stops_a_demo_that_still_starts() {
    let starts = |folder: &Folder, _: &Process| boxes(folder) > 0;
    is_stopped(&["demo", "--boxes", "4"], starts, 1, Process::interrupt);
}

#[test]
fn a_demo_that_is_done_says_what_to_try_next() {
    let folder = Folder::new();
    let mut demo = Process::start(&folder, &["demo", "--seconds", "1"]);
    let status = demo.await_end();
    let said = demo.said();
    assert!(status.success(), "{said}");
    let next = format!("Try next: `{} demo --serve`", env!("CARGO_BIN_EXE_daedal"));
    for part in ["redis-cli -p ", "  SET ", "  GET ", &next] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!((boxes(&folder), files(&folder)), (0, Vec::new()));
}
