//! `daedal bench` as it is run by people, over two processes: what it prints and writes is what it found.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, reason = "a test")]

mod system;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use serde_json::Value;
use system::{Folder, Process};

const STEPS: [&str; 6] = ["10", "25", "50", "75", "90", "100"];

/// A round of a load curve by kernel sockets, in a folder where there are no baselines. `None`, said: this machine
/// has one processor.
fn measured() -> Option<(Folder, String)> {
    let folder = Folder::new();
    let words =
        "bench load --driver kernel --rounds 1 --json found.json --hdr found.hdr --html found.html";
    let words: Vec<&str> = words.split(' ').collect();
    let output = folder.daedal(&words).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    if said.contains("needs processors 0 and 1") {
        println!("skipped: two spinning processes: {said}");
        return None;
    }
    assert!(output.status.success(), "{said}");
    Some((folder, String::from_utf8(output.stdout).unwrap()))
}

/// Tag and count of times of each interval of a log.
fn intervals(log: &[u8]) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for entry in IntervalLogIterator::new(log) {
        let LogEntry::Interval(interval) = entry.unwrap() else { continue };
        let bytes = BASE64_STANDARD.decode(interval.encoded_histogram()).unwrap();
        let times: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
        found.push((interval.tag().unwrap().as_str().to_owned(), times.len()));
    }
    found.sort();
    found
}

#[test]
fn a_load_curve_of_two_processes_stands_in_table_json_log_and_page() {
    let Some((folder, table)) = measured() else { return };
    let read = |name| std::fs::read(folder.path().join(name)).unwrap();

    let rows: Vec<Value> = serde_json::from_slice(&read("found.json")).unwrap();
    let percents = rows.iter().filter_map(|row| row["load_percent"].as_u64());
    assert_eq!(percents.map(|it| it.to_string()).collect::<Vec<_>>(), STEPS);
    for row in &rows {
        assert_eq!((&row["scenario"], &row["driver"]), (&"load".into(), &"kernel".into()));
        assert!(row["value"].is_f64() && row["baseline"].is_null(), "{row}");
        assert_eq!(row["rounds"], 1);
        assert_eq!(row["times"].is_object(), row["metric"] == "p99", "{row}");
    }

    let mut tags = STEPS.map(|percent| format!("load/kernel/p99-at-{percent}-%/daedal"));
    tags.sort();
    let intervals = intervals(&read("found.hdr"));
    assert!(intervals.iter().all(|(_, count)| *count > 0), "{intervals:?}");
    assert_eq!(intervals.into_iter().map(|(tag, _)| tag).collect::<Vec<_>>(), tags);

    let page = String::from_utf8(read("found.html")).unwrap();
    assert!(page.contains("<svg ") && page.contains("Under load: kernel"), "{page}");
    for percent in STEPS {
        let name = format!("p99 at {percent} %");
        assert!(table.contains(&name) && page.contains(&name), "{name}: {table}");
    }
}

#[test]
fn ctrl_c_ends_the_measuring_and_what_was_measured_is_kept() {
    let folder = Folder::new();
    let words = ["bench", "local", "--rounds", "1000", "--json", "found.json"];
    let mut bench = Process::start(&folder, &words);
    bench.await_words("round 2 of 1000");
    bench.interrupt();
    let status = bench.await_end();
    let said = bench.said();
    assert!(status.success() && said.contains("stopped: "), "{status}: {said}");
    let found = std::fs::read(folder.path().join("found.json")).unwrap();
    let rows: Vec<Value> = serde_json::from_slice(&found).unwrap();
    assert!(!rows.is_empty() && rows.iter().all(|row| row["rounds"].as_u64() < Some(1000)));
    assert!(said.contains("scenario"), "{said}");
}
