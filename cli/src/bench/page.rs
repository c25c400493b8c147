//! The result as one page of HTML, which fetches nothing: figures and ratios, times, load curves, and the cache-line
//! bounce before and after each round.

use std::fmt::Display;

use anyhow::Result;
use hdrhistogram::Histogram;

use super::figure::{Figure, Percentiles};
use super::plot::{Line, Plot};
use super::report::{self, Beside, Measured, Outcome, Row, human};

const STYLE: &str = "body{font:14px sans-serif;margin:2em;max-width:80em}
table{border-collapse:collapse}
td,th{padding:.2em .7em;text-align:left;white-space:nowrap;border-bottom:1px solid #ddd}
.number{text-align:right}
.ratio{display:inline-block;height:.7em;background:#4a7ab5}
svg{display:block;margin:1em 0}";

/// Pixels of a ratio of 1, and of the greatest that is drawn.
const RATIO_PIXELS: [f64; 2] = [25.0, 100.0];
/// The parts of times that are drawn: 10 to each ninth.
const PARTS_TO_A_NINE: u32 = 10;
const NINES: u32 = 4;

/// The whole page.
/// # Errors
/// A plot that cannot be drawn.
pub fn html(outcome: &Outcome) -> Result<String> {
    let rows = outcome.rows();
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>daedal bench</title>\n\
         <style>{STYLE}</style>\n<h1>daedal bench</h1>\n"
    );
    page += &figures(&rows);
    page += &spreads(&rows);
    page += &left_out(outcome);
    for plot in plots(&outcome.measured) {
        page += &plot.svg()?.unwrap_or_default();
    }
    page += "</html>\n";
    Ok(page)
}

fn figures(rows: &[Row]) -> String {
    let heads = [
        "scenario", "driver", "metric", "daedal", "baseline", "", "ratio", "bar", "rounds",
        "mixed", "bounce",
    ];
    let lines = rows.iter().map(|row| {
        let ratio = row.ratio.map_or("-".to_owned(), |ratio| {
            let [one, most] = RATIO_PIXELS;
            let pixels = (ratio * one).min(most);
            format!("{ratio:.2} <span class=\"ratio\" style=\"width:{pixels:.0}px\"></span>")
        });
        [
            cell(row.scenario),
            cell(row.driver),
            cell(row.head.name()),
            number(human(row.value, row.head.unit)),
            cell(&row.head.baseline_name),
            number(human(row.baseline, row.head.unit)),
            format!("<td>{ratio}"),
            cell(row.bar()),
            number(row.rounds),
            number(row.mixed),
            number(human(row.bounce_ns, "ns")),
        ]
        .concat()
    });
    table("Figures", &heads, lines)
}

fn spreads(rows: &[Row]) -> String {
    let [p50, p99, p999] = Percentiles::NAMES;
    let heads = ["scenario", "driver", "metric", "times of", p50, p99, p999];
    let line = |(whose, spread): ([String; 4], [String; 3])| {
        whose.map(|it| cell(&it)).concat() + &spread.map(number).concat()
    };
    table("Times", &heads, report::spreads(rows).into_iter().map(line))
}

fn left_out(outcome: &Outcome) -> String {
    let lines = outcome.left_out.iter().map(|it| cell(&it.what) + &cell(&it.why));
    table("Left out", &["what", "why"], lines)
}

/// Nothing without lines.
fn table(title: &str, heads: &[&str], lines: impl Iterator<Item = String>) -> String {
    let lines: String = lines.fold(String::new(), |all, line| all + "<tr>" + &line + "\n");
    if lines.is_empty() {
        return String::new();
    }
    let heads: String = heads.iter().fold(String::new(), |all, head| all + "<th>" + head);
    format!("<h2>{title}</h2>\n<table><tr>{heads}\n{lines}</table>\n")
}

fn cell(text: impl Display) -> String {
    format!("<td>{}", escaped(&text.to_string()))
}

fn number(text: impl Display) -> String {
    format!("<td class=\"number\">{text}")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Round trips, load curves, and the bounce, each of which may have no points.
fn plots(measured: &[Measured]) -> Vec<Plot> {
    let (curves, others): (Vec<&Measured>, Vec<&Measured>) =
        measured.iter().partition(|it| it.heads.iter().any(|head| head.load_percent.is_some()));
    let has_times = |it: &Measured| it.rows().iter().any(|row| row.times.is_some());
    let asks = others.into_iter().filter(|it| has_times(it));
    asks.map(ask_plot)
        .chain(curves.into_iter().map(load_plot))
        .chain([bounce_plot(measured)])
        .collect()
}

fn ask_plot(measured: &Measured) -> Plot {
    let all = |of: &dyn Fn(&Beside) -> Option<Figure>, index: usize| -> Vec<Figure> {
        measured.rounds.counted.iter().filter_map(|round| of(&round.pairs[index])).collect()
    };
    let mut lines = vec![ask_line("daedal", &all(&|pair| Some(pair.ours.clone()), 0))];
    for (index, head) in measured.heads.iter().enumerate() {
        lines.push(ask_line(&head.baseline_name, &all(&|pair| pair.theirs.clone(), index)));
    }
    let what = measured.heads.first().map_or("", |head| head.metric);
    Plot {
        title: format!("Round trips: {}, {}, {what}", measured.scenario, measured.driver),
        below: "that took no longer, of all rounds",
        mark: |nines| format!("{} %", 100.0 - 100.0 / 10f64.powf(*nines)),
        lines,
    }
}

/// The times of all rounds together, along nines: 1 is nine of ten, 2 is 99 of 100.
fn ask_line(name: &str, figures: &[Figure]) -> Line {
    let mut all: Option<Histogram<u64>> = None;
    for times in figures.iter().filter_map(|figure| figure.times.as_ref()) {
        match &mut all {
            Some(all) => all.add(times).expect("all have the same bounds"),
            None => all = Some(times.clone()),
        }
    }
    let at = |part: u32| f64::from(part) / f64::from(PARTS_TO_A_NINE);
    let points = all.map_or(Vec::new(), |all| {
        let point = |part| {
            let share = 1.0 - 1.0 / 10f64.powf(at(part));
            (at(part), all.value_at_quantile(share) as f64)
        };
        (0..=NINES * PARTS_TO_A_NINE).map(point).collect()
    });
    Line { name: name.to_owned(), points }
}

fn load_plot(measured: &Measured) -> Plot {
    let rows = measured.rows();
    let line = |name: String, of: &dyn Fn(&Row) -> Option<f64>| {
        let points =
            rows.iter().filter_map(|row| Some((f64::from(row.head.load_percent?), of(row)?)));
        Line { name, points: points.collect() }
    };
    let baseline = rows.first().map_or("", |row| &row.head.baseline_name);
    let lines = Percentiles::NAMES.iter().enumerate().flat_map(|(at, name)| {
        [
            line(format!("daedal {name}"), &|row| Some(row.times?.ns()[at])),
            line(format!("{baseline} {name}"), &|row| Some(row.baseline_times?.ns()[at])),
        ]
    });
    Plot {
        title: format!("Under load: {}", measured.driver),
        below: "asks a second, in percent of the most that each answers",
        mark: |percent| format!("{percent} %"),
        lines: lines.collect(),
    }
}

fn bounce_plot(measured: &[Measured]) -> Plot {
    let rounds = measured.iter().flat_map(|it| it.rounds.counted.iter().chain(&it.rounds.mixed));
    let mut rounds: Vec<_> = rounds.collect();
    rounds.sort_by_key(|round| round.start);
    let line = |name: &str, which: usize| {
        let points = rounds.iter().enumerate();
        let points = points.filter_map(|(at, round)| Some((at as f64, round.bounces_ns?[which])));
        Line { name: name.to_owned(), points: points.collect() }
    };
    Plot {
        title: "Cache-line bounce around each round, those too that do not count".to_owned(),
        below: "round",
        mark: |round| format!("{round}"),
        lines: vec![line("before", 0), line("after", 1)],
    }
}
