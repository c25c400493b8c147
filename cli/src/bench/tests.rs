use super::agents::Figure;
use super::remote::Pair;
use super::report::{Round, median, row};

fn round(ours: f64, theirs: f64, bounces: [f64; 2]) -> Round {
    let figure = |value| Figure { value, percentiles: None };
    Round { ours: figure(ours), theirs: vec![figure(theirs)], bounces_ns: Some(bounces) }
}

#[test]
fn a_round_counts_when_its_bounces_agree_within_half() {
    assert!(!round(1.0, 1.0, [100.0, 150.0]).is_mixed());
    assert!(round(1.0, 1.0, [100.0, 151.0]).is_mixed());
    assert!(round(1.0, 1.0, [151.0, 100.0]).is_mixed());
}

#[test]
fn the_ratio_is_that_of_the_medians() {
    let rounds = [(1.0, 10.0), (3.0, 2.0), (2.0, 4.0)].map(|it| round(it.0, it.1, [1.0, 1.0]));
    let row = row(("local", "none", "tell"), (0, "peers x"), &rounds);
    assert_eq!((row.value, row.baseline, row.ratio), (Some(2.0), Some(4.0), Some(0.5)));
    assert_eq!((row.rounds, row.unit, row.p50_ns), (3, "messages/s", None));
}

#[test]
fn without_rounds_there_are_no_figures() {
    let row = row(("local", "none", "ask"), (0, "peers x"), &[]);
    assert_eq!((row.value, row.baseline, row.ratio, row.rounds), (None, None, None, 0));
    assert_eq!(median([1.0, 2.0].into_iter()), Some(1.5));
}

#[test]
fn the_second_process_is_told_two_addresses() {
    assert!("ask,127.0.0.1:1,127.0.0.1:2".parse::<Pair>().is_ok());
    for text in ["", "ask", "give,127.0.0.1:1,127.0.0.1:2", "ask,127.0.0.1,127.0.0.1:2"] {
        assert!(text.parse::<Pair>().is_err(), "{text}");
    }
}
