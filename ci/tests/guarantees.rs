//! The table of guarantees in ARCHITECTURE.md is believed because of the tests that it names: each is there, and
//! what has no test says why.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

use std::fs;
use std::path::Path;

const HEAD: &str = "| promise | loss | slow agent | box crash (volatile) | partition | controller gone | change under way |";
/// Rules that have a row at least.
const RULES: [u32; 13] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 16];

/// What is wrong with a table: cells that show nothing and do not say why, tests that are not there, rules that
/// have no row. `read`: a file of the project.
fn faults(text: &str, read: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let mut rows = text.lines().skip_while(|line| *line != HEAD).skip(2);
    let rows: Vec<&str> = rows.by_ref().take_while(|line| line.starts_with('|')).collect();
    let mut faults = Vec::new();
    for rule in RULES {
        if !rows.iter().any(|row| row.starts_with(&format!("| {rule}. "))) {
            faults.push(format!("rule {rule} has no row"));
        }
    }
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let promise = cells[0];
        if cells.len() != HEAD.matches(" | ").count() + 1 {
            faults.push(format!("{promise}: {} cells", cells.len()));
        }
        for cell in &cells[1..] {
            let tests: Vec<_> = cell.split('`').skip(1).step_by(2).collect();
            let named = tests.iter().filter_map(|test| test.split_once("::"));
            if named.clone().count() == 0 && !cell.starts_with("— ") {
                faults.push(format!("{promise}: \"{cell}\" names no test, nor says why"));
            }
            for (file, test) in named {
                match read(file) {
                    None => faults.push(format!("{promise}: there is no {file}")),
                    Some(text) if !has_test(&text, test) => {
                        faults.push(format!("{promise}: {file} has no test {test}"));
                    }
                    Some(_) => {}
                }
            }
        }
    }
    faults
}

/// Whether a source file has a test of that name.
fn has_test(text: &str, name: &str) -> bool {
    let begins = format!("fn {name}(");
    let mut lines = text.lines();
    while lines.any(|line| line.trim() == "#[test]") {
        // Attributes may stand between.
        let next = lines.by_ref().map(str::trim).find(|line| !line.starts_with("#["));
        if next.is_some_and(|line| line.starts_with(&begins)) {
            return true;
        }
    }
    false
}

#[test]
fn the_tests_that_the_guarantees_name_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let faults = faults(&text, &|file| fs::read_to_string(root.join(file)).ok());
    assert!(faults.is_empty(), "ARCHITECTURE.md, Guarantees:\n{}", faults.join("\n"));
}

#[test]
fn what_names_a_test_that_is_not_there_or_no_reason_is_found() {
    let check = |cell: &str, expect: Option<&str>| {
        let good = "`a.rs::works`";
        let row = |rule: &u32| {
            format!("| {rule}. all | {good} | {good} | {good} | {good} | {good} | {good} |")
        };
        let rows: Vec<String> = RULES.iter().map(row).collect();
        let text = format!("x\n{HEAD}\n|---|\n{}\n\nmore", rows.join("\n"));
        let text = text.replacen(good, cell, 1);
        let read = |file: &str| {
            (file == "a.rs").then(|| "#[test]\n#[x]\nfn works() {}\nfn other() {}".to_owned())
        };
        let faults = faults(&text, &read);
        match expect {
            None => assert!(faults.is_empty(), "{faults:?}"),
            Some(part) => assert!(faults.len() == 1 && faults[0].contains(part), "{faults:?}"),
        }
    };
    check("`a.rs::works`, some words", None);
    check("— it has no clock", None);
    check("—", Some("nor says why"));
    check("`cargo ci seeds`", Some("nor says why"));
    check("`a.rs::fails`", Some("no test fails"));
    check("`a.rs::other`", Some("no test other"));
    check("`b.rs::works`", Some("there is no b.rs"));
}

#[test]
fn a_rule_without_a_row_is_found() {
    let faults = faults(&format!("{HEAD}\n|---|\n"), &|_| None);
    assert_eq!(faults.len(), RULES.len());
}
