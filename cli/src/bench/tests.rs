use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::Parser;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

use super::bar::Bar;
use super::case::Ours::Here;
use super::case::{Case, What, measure};
use super::figure::{Figure, Percentiles, times};
use super::remote::{Pair, Work};
use super::report::{
    Beside, Head, LeftOut, Measured, Outcome, Round, Rounds, Row, human, median, render,
};
use super::target::Target;
use super::{Arguments, Scenario, cases, kvs, log, page, run};

fn round(ours: f64, theirs: f64, bounces: [f64; 2]) -> Round {
    let pairs = vec![Beside { ours: Figure::each(ours), theirs: Some(Figure::each(theirs)) }];
    Round { start: UNIX_EPOCH, lasted: Duration::ZERO, pairs, bounces_ns: Some(bounces) }
}

fn head(metric: &'static str, unit: &'static str) -> Head {
    Head {
        metric,
        unit,
        load_percent: None,
        message_bytes: None,
        batch: None,
        baseline_name: "peers x".to_string(),
        bar: None,
    }
}

#[test]
fn a_round_counts_when_its_bounces_agree_within_half() {
    assert!(!round(1.0, 1.0, [100.0, 150.0]).is_mixed());
    assert!(round(1.0, 1.0, [100.0, 151.0]).is_mixed());
    assert!(round(1.0, 1.0, [151.0, 100.0]).is_mixed());
}

fn measured(head: Head, counted: Vec<Round>, mixed: Vec<Round>) -> Measured {
    let rounds = Rounds { counted, mixed };
    Measured { scenario: "remote", driver: "kernel", heads: vec![head], rounds }
}

#[test]
fn the_ratio_is_that_of_the_medians() {
    let counted = [(1.0, 10.0), (3.0, 2.0), (2.0, 4.0)].map(|it| round(it.0, it.1, [1.0, 1.0]));
    let head = Head { bar: Some(Bar::AtLeast(0.5)), ..head("tell", "messages/s") };
    let row = measured(head, counted.to_vec(), Vec::new()).rows().remove(0);
    assert_eq!(row.bar(), "≥ 0.5 yes");
    assert_eq!((row.value, row.baseline, row.ratio), (Some(2.0), Some(4.0), Some(0.5)));
    assert_eq!((row.rounds, row.head.unit, row.times), (3, "messages/s", None));
}

#[test]
fn without_rounds_there_are_no_figures() {
    let mixed = vec![round(1.0, 1.0, [100.0, 200.0]); 20];
    let measured = measured(head("ask", "ns"), Vec::new(), mixed);
    let row = measured.rows().remove(0);
    assert_eq!((row.value, row.baseline, row.ratio, row.rounds), (None, None, None, 0));
    assert_eq!((row.bounce_ns, row.bounces_ns.len()), (None, 20));
    assert_eq!(row.bar(), "-");
    assert_eq!(median([1.0, 2.0].into_iter()), Some(1.5));
    let table = render(&Outcome { measured: vec![measured], left_out: Vec::new() });
    assert!(table.contains("  20") && table.contains("mixed: rounds that do not count"), "{table}");
}

/// A round of times between 1 and 1000 ns, and of those of a baseline that takes ten times as long.
fn round_of_times() -> Round {
    let all = |factor: u64| {
        let mut all = times();
        (1..=1000).for_each(|it| all.record(it * factor).expect("it is within bounds"));
        Figure::ask(all)
    };
    let pairs = vec![Beside { ours: all(1), theirs: Some(all(10)) }];
    Round { pairs, ..round(0.0, 0.0, [1.0, 1.0]) }
}

#[test]
fn times_stand_with_their_percentiles_in_table_and_json() {
    let measured = measured(head("ask", "ns"), vec![round_of_times()], Vec::new());
    let row = measured.rows().remove(0);
    let all = Percentiles { p50_ns: 500.0, p99_ns: 990.0, p999_ns: 999.0 };
    assert_eq!(row.times, Some(all));
    let json = serde_json::to_value(&row).expect("a row is JSON");
    assert_eq!(json["times"]["p999_ns"], 999.0);
    assert_eq!(json["metric"], "ask");
    let table = render(&Outcome { measured: vec![measured], left_out: Vec::new() });
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = table.lines().map(words).collect();
    let ours = "remote kernel ask daedal 500 ns 990 ns 999 ns";
    assert!(lines.iter().any(|line| line == ours), "{table}");
    assert!(lines.iter().any(|line| line.starts_with("remote kernel ask peers x 50")), "{table}");
}

#[test]
fn the_page_shows_all_that_was_found_and_fetches_nothing() {
    let ask = measured(head("ask", "ns"), vec![round_of_times()], Vec::new());
    let step = |percent| Head { load_percent: Some(percent), ..head("p99", "ns") };
    let heads = [10, 50, 100].map(step).to_vec();
    let pairs = vec![round_of_times().pairs.remove(0); 3];
    let rounds = Rounds { counted: vec![Round { pairs, ..round_of_times() }], mixed: Vec::new() };
    let load = Measured { scenario: "load", driver: "shm", heads, rounds };
    let left_out = LeftOut { what: "kvs".into(), why: "a < b".into(), is_failure: false };
    let outcome = Outcome { measured: vec![ask, load], left_out: vec![left_out] };
    let page = page::html(&outcome).expect("a page");
    for part in ["<td>remote<td>kernel<td>ask<td class=\"number\">500 ns<td>peers x", "a &lt; b"] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    for title in ["Round trips: remote, kernel", "Under load: shm", "Cache-line bounce"] {
        assert_eq!(page.matches(title).count(), 1, "{title}");
    }
    assert_eq!(page.matches("<svg ").count(), 3);
    let space = "xmlns=\"http://www.w3.org/2000/svg\"";
    let rest = page.replace(space, "");
    assert!(["http", "src=", "href=", "url("].iter().all(|it| !rest.contains(it)));
}

#[test]
fn without_points_nothing_is_drawn() {
    let page = page::html(&Outcome::default()).expect("a page");
    assert!(!page.contains("<svg") && !page.contains("<table"), "{page}");
}

#[test]
fn a_log_of_hdr_histogram_has_the_times_of_both_of_each_round() {
    let case = measured(head("ask", "ns"), vec![round_of_times(); 2], vec![round_of_times()]);
    let text = log::text(&[case]).expect("a log");
    let mut found = Vec::new();
    for entry in IntervalLogIterator::new(&text) {
        let LogEntry::Interval(interval) = entry.expect("an entry") else { continue };
        let bytes = BASE64_STANDARD.decode(interval.encoded_histogram()).expect("base64");
        let all: Histogram<u64> =
            Deserializer::new().deserialize(&mut bytes.as_slice()).expect("a histogram");
        let tag = interval.tag().expect("a tag").as_str().to_owned();
        found.push((tag, all.value_at_quantile(0.5)));
    }
    let round = [("remote/kernel/ask/daedal", 500), ("remote/kernel/ask/peers-x", 5003)];
    let round = round.map(|(tag, p50)| (tag.to_owned(), p50));
    assert_eq!(found, [round.clone(), round].concat());
}

#[test]
fn the_second_process_understands_what_it_is_told() {
    let pair = Pair {
        work: Work { senders: 16, is_sealed: true, ..Work::LOAD.at_rate(Some(7)).over_ethernet() },
        sockets: [1, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port))),
        drivers: ["xdp:native,zero-copy", "kernel"].map(str::to_owned),
    };
    let told: Pair = pair.text().parse().expect("it is told so");
    assert_eq!(told, pair);
    assert!("load".parse::<Pair>().is_err());
}

#[test]
fn figures_of_ours_stand_beside_each_other_where_there_is_no_baseline() {
    let measure = measure("ask", "ns", Here(|| Ok(Figure::each(3.0))))
        .beside("peers x", Bar::AtMost(1.0))
        .beside_ours("daedal: y", Here(|| Ok(Figure::each(2.0))), Bar::AtMost(1.5));
    let what = What::Measures(vec![measure]);
    let case = Case { scenario: Scenario::Local, driver: "none", what };
    let rows = case.measure(None, 1, &AtomicBool::new(false)).expect("nothing fails").rows();
    let found = |row: &Row| (row.value, row.baseline, row.is_reached);
    assert_eq!(found(&rows[0]), (Some(3.0), None, None));
    assert_eq!(found(&rows[1]), (Some(3.0), Some(2.0), Some(true)));
    assert_eq!(rows[1].head.baseline_name, "daedal: y");
}

#[test]
fn rows_of_sizes_are_told_apart_by_their_bytes() {
    let sizes = cases().into_iter().filter(|case| case.scenario == Scenario::Sizes);
    let heads: Vec<Head> = sizes.flat_map(|case| case.heads()).collect();
    let names: Vec<String> = heads.iter().map(Head::name).collect();
    assert_eq!(names[..3], ["tell 65536 B", "tell 16 B", "tell 64 B"]);
    assert_eq!((heads[0].unit, &*heads[0].baseline_name), ("bytes/s", "raw veth-tcp-tell 65536"));
    assert_eq!((heads[1].unit, &*heads[1].baseline_name), ("messages/s", "raw udp-tell 16"));
    let batches = cases().into_iter().filter(|case| case.scenario == Scenario::Batches);
    let names: Vec<String> = batches.flat_map(|case| case.heads()).map(|it| it.name()).collect();
    assert_eq!(names[..2], ["tell by 1", "tell by 2"]);
    assert_eq!(serde_json::to_value(&heads[1]).expect("a head is JSON")["message_bytes"], 16);
}

#[test]
fn figures_are_written_with_as_much_of_them_as_matters() {
    let check = |value: f64, unit: &str, expect: &str| {
        assert_eq!(human(Some(value), unit), expect);
    };
    check(12_345_678.0, "messages/s", "12.346 M/s");
    check(99_990.0, "messages/s", "100.0 k/s");
    check(12_345_678_900.0, "bytes/s", "12.35 GB/s");
    check(-12.3, "ns", "-12 ns");
    check(12_345_678.0, "ns", "12.35 ms");
}

#[test]
fn rows_of_the_store_are_told_apart_by_their_baselines() {
    let store = cases().into_iter().filter(|it| it.scenario == Scenario::Kvs);
    let store = store.filter(|it| it.driver == "none");
    let heads: Vec<Head> = store.flat_map(|case| case.heads()).collect();
    let names = |metric: &str| -> Vec<&str> {
        let of = heads.iter().filter(|head| head.metric == metric);
        of.map(|head| &head.baseline_name["redis-server ".len()..]).collect()
    };
    let rates = ["SET -P 1", "GET -P 1", "SET -P 16", "GET -P 16", "SET -P 64", "GET -P 64"];
    assert_eq!(names("tell"), rates);
    assert_eq!(names("cpu"), rates[..2]);
}

#[test]
fn a_store_in_two_boxes_is_to_reach_half_of_what_one_does() {
    let heads = kvs::heads(16, "kernel");
    assert_eq!(heads[0].baseline_name, "redis-server SET -P 16");
    assert_eq!(heads[0].bar, Some(Bar::AtLeast(0.5)));
    assert_eq!(kvs::heads(16, "none")[0].bar, Some(Bar::AtLeast(1.0)));
}

#[test]
fn what_other_programs_print_is_understood() {
    let table = "\"test\",\"rps\"\n\"SET\",\"249999.98\",\"1.486\"\n\"GET\",\"499999.97\"\n";
    assert_eq!(kvs::rate_of("SET", table), Some(249_999.98));
    assert_eq!(kvs::rate_of("GET", table), Some(499_999.97));
    assert_eq!(kvs::rate_of("PING", table), None);
    assert_eq!(kvs::rate_of("SET", "Could not connect"), None);
    let stat = "7 (a) b) S 1 7 7 0 -1 4194304 9 0 0 0 123 45 0 0 20 0 3 0 1 2 3";
    assert_eq!(kvs::ticks_of(stat), Some(168));
    assert_eq!(kvs::ticks_of("7 (a) S 1"), None);
}

#[derive(clap::Parser)]
struct Command {
    #[command(flatten)]
    arguments: Arguments,
}

fn of(words: &str) -> Arguments {
    let words = std::iter::once("bench").chain(words.split(' '));
    Command::try_parse_from(words).expect("scenarios").arguments
}

#[test]
fn all_wants_every_case_and_names_none() {
    let scenarios = || cases().into_iter().map(|case| case.scenario);
    assert!(scenarios().all(|it| of("all").wants(it) && !of("all").names(it)));
    let chosen = of("sizes local");
    let is_chosen = |it| matches!(it, Scenario::Sizes | Scenario::Local);
    assert!(scenarios().all(|it| chosen.wants(it) == is_chosen(it)));
    assert!(scenarios().all(|it| chosen.names(it) == is_chosen(it)));
}

#[test]
fn a_file_that_cannot_be_written_is_found_before_anything_is_measured() {
    let file = std::env::temp_dir().join(format!("daedal-bench-{}.json", std::process::id()));
    let was = "of another day, and longer than what comes";
    std::fs::write(&file, was).expect("a file");
    for option in ["--hdr", "--html"] {
        let words =
            format!("local --rounds 1 --json {} {option} /no/such/folder/x", file.display());
        let error = run(&of(&words)).expect_err("there is no such folder").to_string();
        let expect = "cannot write /no/such/folder/x, so nothing is measured; name another file";
        assert_eq!(error, expect);
        assert_eq!(std::fs::read_to_string(&file).expect("it is there"), was);
    }
    let target = Target::open(&file).expect("it can be written");
    assert_eq!(std::fs::read_to_string(&file).expect("it is there"), was);
    target.write("a result").expect("it can be written");
    assert_eq!(std::fs::read_to_string(&file).expect("it is there"), "a result");
    std::fs::remove_file(file).expect("it is there");
}

#[cfg(not(feature = "dpdk"))]
#[test]
fn what_cannot_be_measured_is_found_before_baselines_are_built() {
    let (arguments, cases, mut outcome) =
        (of("remote --driver dpdk:memif"), cases(), Outcome::default());
    let chosen = cases.iter().filter(|case| arguments.chooses(case));
    assert_eq!(super::with_what_they_need(&arguments, chosen, &mut outcome).len(), 0);
    assert!(!outcome.left_out.is_empty() && outcome.left_out.iter().all(|it| it.is_failure));
}

#[test]
fn what_was_left_out_is_said_and_why() {
    let left_out = LeftOut { what: "kvs -P 1".into(), why: "no load".into(), is_failure: false };
    let table = render(&Outcome { measured: Vec::new(), left_out: vec![left_out] });
    assert!(table.contains("left out: kvs -P 1: no load"), "{table}");
}
