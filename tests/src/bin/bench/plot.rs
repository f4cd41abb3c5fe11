//! Curves as one SVG: a panel for each, both axes logarithmic.

use std::fmt::Write as _;

use crate::report::{Curve, short};

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 260.0;
const COLUMNS: usize = 2;
const MARGIN: (f64, f64, f64, f64) = (60.0, 36.0, 16.0, 40.0);
const COLORS: [&str; 5] = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#8c564b"];

pub(crate) fn svg(curves: &[Curve]) -> String {
    let rows = curves.len().div_ceil(COLUMNS);
    let (width, height) = (WIDTH * COLUMNS as f64, HEIGHT * rows as f64);
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="10"><rect width="100%" height="100%" fill="white"/>"#
    );
    for (at, curve) in curves.iter().enumerate() {
        let (x, y) = (WIDTH * (at % COLUMNS) as f64, HEIGHT * (at / COLUMNS) as f64);
        let _ = write!(svg, r#"<g transform="translate({x},{y})">{}</g>"#, panel(curve));
    }
    svg.push_str("</svg>\n");
    svg
}

/// A logarithmic axis over whole decades.
struct Axis {
    from: f64,
    to: f64,
    start: f64,
    length: f64,
}

impl Axis {
    fn new(values: impl Iterator<Item = f64> + Clone, start: f64, length: f64) -> Self {
        let least = values.clone().fold(f64::INFINITY, f64::min).max(1e-3);
        let most = values.fold(least, f64::max);
        let from = least.log10().floor();
        Self { from, to: most.log10().ceil().max(from + 1.0), start, length }
    }

    fn at(&self, value: f64) -> f64 {
        self.start + (value.max(1e-3).log10() - self.from) / (self.to - self.from) * self.length
    }

    fn decades(&self) -> impl Iterator<Item = f64> {
        (self.from as i32..=self.to as i32).map(|power| 10_f64.powi(power))
    }
}

fn panel(curve: &Curve) -> String {
    let (left, top, right, bottom) = MARGIN;
    let points = curve.lines.iter().flat_map(|line| &line.points);
    let across = Axis::new(points.clone().map(|point| point.0), left, WIDTH - left - right);
    let up = Axis::new(points.map(|point| point.1), HEIGHT - bottom, top + bottom - HEIGHT);
    let mut panel = format!(r#"<text x="{left}" y="16" font-size="12">{}, {}</text>"#, curve.name, curve.unit);
    let _ = write!(panel, r#"<text x="{}" y="{}" text-anchor="end">{}</text>"#, WIDTH - right, HEIGHT - 6.0, curve.of);
    for value in across.decades() {
        let x = across.at(value);
        let (end, label) = (HEIGHT - bottom, HEIGHT - bottom + 14.0);
        let _ = write!(panel, r##"<path d="M{x:.1} {top}V{end}" stroke="#ddd"/>"##);
        let _ = write!(panel, r#"<text x="{x:.1}" y="{label}" text-anchor="middle">{}</text>"#, short(value));
    }
    for value in up.decades() {
        let y = up.at(value);
        let (end, label) = (WIDTH - right, left - 4.0);
        let _ = write!(panel, r##"<path d="M{left} {y:.1}H{end}" stroke="#ddd"/>"##);
        let _ = write!(panel, r#"<text x="{label}" y="{:.1}" text-anchor="end">{}</text>"#, y + 3.0, short(value));
    }
    for ((place, line), color) in curve.lines.iter().enumerate().zip(COLORS.iter().cycle()) {
        let points: Vec<_> = line.points.iter().map(|(x, y)| (across.at(*x), up.at(*y))).collect();
        let path: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = write!(panel, r#"<polyline points="{}" fill="none" stroke="{color}"/>"#, path.join(" "));
        for (x, y) in points {
            let _ = write!(panel, r#"<circle cx="{x:.1}" cy="{y:.1}" r="2.5" fill="{color}"/>"#);
        }
        let (x, y) = (left + 6.0, top + 10.0 + 12.0 * place as f64);
        let _ = write!(panel, r#"<text x="{x}" y="{y}" fill="{color}">{}</text>"#, line.name);
    }
    panel
}
