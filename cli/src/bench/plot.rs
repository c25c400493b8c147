//! Lines over a logarithmic scale of nanoseconds, as SVG. plotters draws them.

use std::ops::Range;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

/// Width and height, in pixels.
const SIZE: (u32, u32) = (760, 340);

/// A drawing.
#[derive(Debug)]
pub struct Plot {
    /// For people.
    pub title: String,
    /// What lies below, for people.
    pub below: &'static str,
    /// What a mark there is called.
    pub mark: fn(&f64) -> String,
    /// All that is drawn.
    pub lines: Vec<Line>,
}

/// From point to point.
#[derive(Debug)]
pub struct Line {
    /// For people.
    pub name: String,
    /// Place along, and nanoseconds.
    pub points: Vec<(f64, f64)>,
}

impl Plot {
    /// The drawing; `None` without points.
    /// # Errors
    /// What plotters says.
    pub fn svg(&self) -> Result<Option<String>> {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let along = range(points().map(|point| point.0));
        let Some((along, ns)) = along.zip(range(points().map(|point| point.1))) else {
            return Ok(None);
        };
        let mut text = String::new();
        self.draw(&mut text, along, ns).map_err(|why| anyhow!("{}: {why}", self.title))?;
        Ok(Some(text))
    }

    fn draw(
        &self,
        text: &mut String,
        along: Range<f64>,
        ns: Range<f64>,
    ) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
        let area = SVGBackend::with_string(text, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(&self.title, ("sans-serif", 16))
            .margin(8)
            .margin_right(40)
            .x_label_area_size(40)
            .y_label_area_size(80)
            .build_cartesian_2d(along, decades(ns).log_scale())?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_desc(self.below)
            .x_labels(5)
            .x_label_formatter(&self.mark)
            .y_desc("ns")
            .y_label_formatter(&|ns| format!("{ns:.0}"))
            .draw()?;
        for (number, line) in self.lines.iter().enumerate() {
            let color = Palette99::pick(number).to_rgba();
            let points = line.points.iter().map(|(along, ns)| (*along, ns.max(1.0)));
            chart
                .draw_series(LineSeries::new(points, color.stroke_width(2)).point_size(3))?
                .label(&line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()?;
        area.present()
    }
}

/// The powers of ten around it, so that there are marks; from one on.
fn decades(ns: Range<f64>) -> Range<f64> {
    let log = |ns: f64| ns.max(1.0).log10();
    let start = 10f64.powf(log(ns.start).floor());
    start..10f64.powf(log(ns.end).ceil()).max(10.0 * start)
}

/// From the least to the most; somewhat more, where they are the same.
fn range(values: impl Iterator<Item = f64>) -> Option<Range<f64>> {
    let all = values.fold(None, |all: Option<Range<f64>>, it| match all {
        Some(all) => Some(all.start.min(it)..all.end.max(it)),
        None => Some(it..it),
    })?;
    Some(if all.start < all.end { all } else { all.start..all.start + 1.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_one_point_and_of_no_time_is_drawn() {
        for ns in [0.0, 1.0, 100.0, 1e9] {
            let lines = vec![Line { name: "one".into(), points: vec![(0.0, ns)] }];
            let mark = |it: &f64| it.to_string();
            let plot = Plot { title: "title".into(), below: "below", mark, lines };
            let svg = plot.svg().expect("it is drawn").expect("there is a point");
            assert_eq!(svg.matches("<circle").count(), 1, "{ns}: {svg}");
        }
    }

    #[test]
    fn times_lie_between_powers_of_ten() {
        assert_eq!(decades(0.0..1.0), 1.0..10.0);
        assert_eq!(decades(230.0..240.0), 100.0..1000.0);
        assert_eq!(decades(100.0..101.0), 100.0..1000.0);
    }
}
