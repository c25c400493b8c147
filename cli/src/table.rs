//! A latency table that a newcomer understands.

use std::fmt::Write;
use std::time::Duration;

use hdrhistogram::Histogram;

/// Latencies of one kind of request.
pub struct Row<'a> {
    /// What was asked.
    pub name: &'a str,
    /// How long each took, in nanoseconds.
    pub latencies: &'a Histogram<u64>,
}

/// The table, with what its columns mean.
pub fn render(rows: &[Row<'_>], lasted: Duration) -> String {
    let mut text =
        String::from("           requests/s       p50       p90       p99     p99.9       max\n");
    for row in rows {
        let at = |quantile| time(row.latencies.value_at_quantile(quantile));
        let rate = row.latencies.len() as f64 / lasted.as_secs_f64();
        let _ = writeln!(
            text,
            "  {:<8} {rate:>10.0} {:>9} {:>9} {:>9} {:>9} {:>9}",
            row.name,
            at(0.5),
            at(0.9),
            at(0.99),
            at(0.999),
            time(row.latencies.max()),
        );
    }
    text.push_str(
        "  p99 = 99 of 100 requests were answered within this time, as their client saw it\n",
    );
    text
}

/// A time in the unit that suits it.
fn time(nanoseconds: u64) -> String {
    match nanoseconds {
        0..1_000 => format!("{nanoseconds} ns"),
        1_000..1_000_000 => format!("{:.1} µs", nanoseconds as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} ms", nanoseconds as f64 / 1e6),
        _ => format!("{:.2} s", nanoseconds as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_shows_times_in_units_that_suit_them() {
        let mut latencies = Histogram::new(3).unwrap();
        for at in [900, 25_000, 26_000, 27_000, 3_000_000] {
            latencies.record(at).unwrap();
        }
        let rows = [Row { name: "GET", latencies: &latencies }];
        insta::assert_snapshot!(render(&rows, Duration::from_secs(1)), @r"
                   requests/s       p50       p90       p99     p99.9       max
          GET               5   26.0 µs   3.00 ms   3.00 ms   3.00 ms   3.00 ms
          p99 = 99 of 100 requests were answered within this time, as their client saw it
        ");
    }
}
