//! What was measured, each figure next to its floor: as a table, as JSON, as a plot.

use std::{path::Path, time::Duration};

use serde::Serialize;

use crate::plot;

/// The figures of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    profile: &'static str,
    cores: usize,
    figures: Vec<Figure>,
    curves: Vec<Curve>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    floor: Option<Floor>,
    /// To the floor: of a rate how much of it is reached, of a time how often it fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aim: Option<Aim>,
}

#[derive(Debug, Serialize)]
struct Floor {
    what: String,
    value: f64,
}

#[derive(Debug, Serialize)]
struct Aim {
    text: String,
    met: bool,
}

/// How something grows.
#[derive(Debug, Serialize)]
pub(crate) struct Curve {
    pub(crate) name: String,
    /// What grows.
    pub(crate) of: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) lines: Vec<Line>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

impl Figure {
    /// Next to its floor; the ratio is of both, unless rounds had one of their own.
    pub(crate) fn floor(&mut self, what: impl Into<String>, value: f64, ratio: f64) -> &mut Self {
        self.floor = Some(Floor { what: what.into(), value });
        self.ratio = Some(ratio);
        self
    }

    pub(crate) fn ratio_at_least(&mut self, aim: f64) -> &mut Self {
        let met = self.ratio.is_some_and(|ratio| ratio >= aim);
        self.aim = Some(Aim { text: format!("≥ {aim} of it"), met });
        self
    }

    pub(crate) fn at_least(&mut self, aim: f64) -> &mut Self {
        self.aim = Some(Aim { text: format!("≥ {}", short(aim)), met: self.value >= aim });
        self
    }

    pub(crate) fn at_most(&mut self, aim: f64) -> &mut Self {
        self.aim = Some(Aim { text: format!("≤ {}", short(aim)), met: self.value <= aim });
        self
    }
}

impl Report {
    pub(crate) fn new() -> Self {
        Self {
            profile: if cfg!(debug_assertions) { "debug" } else { "release" },
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            figures: Vec::new(),
            curves: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, name: impl Into<String>, value: f64, unit: &'static str) -> &mut Figure {
        let name = name.into();
        eprintln!("{name}: {} {unit}", short(value));
        self.figures.push(Figure { name, value, unit, floor: None, ratio: None, aim: None });
        self.figures.last_mut().expect("it was pushed")
    }

    pub(crate) fn add_ms(&mut self, name: impl Into<String>, time: Duration) -> &mut Figure {
        self.add(name, millis(time), "ms")
    }

    /// A point of a line of a curve.
    pub(crate) fn point(&mut self, curve: (&str, &'static str, &'static str), line: &str, point: (f64, f64)) {
        let (name, of, unit) = curve;
        let at = self.curves.iter().position(|curve| curve.name == name).unwrap_or_else(|| {
            self.curves.push(Curve { name: name.to_owned(), of, unit, lines: Vec::new() });
            self.curves.len() - 1
        });
        let lines = &mut self.curves[at].lines;
        match lines.iter_mut().find(|known| known.name == line) {
            Some(known) => known.points.push(point),
            None => lines.push(Line { name: line.to_owned(), points: vec![point] }),
        }
    }

    pub(crate) fn print(&self, json: bool) {
        if json {
            println!("{}", serde_json::to_string_pretty(self).unwrap());
            return;
        }
        println!("{} build, {} cores", self.profile, self.cores);
        let rows: Vec<_> = self.figures.iter().map(Figure::row).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 5] = std::array::from_fn(width);
        for row in &rows {
            let [name, value, floor, ratio, aim] = row;
            let [w0, w1, w2, w3, _] = widths;
            println!("{}", format!("{name:<w0$}  {value:>w1$}  {floor:<w2$}  {ratio:>w3$}  {aim}").trim_end());
        }
        for curve in &self.curves {
            println!("\n{}, {} by {}", curve.name, curve.unit, curve.of);
            for line in &curve.lines {
                let points = line.points.iter().map(|(x, y)| format!("{}: {}", short(*x), short(*y)));
                println!("  {}: {}", line.name, points.collect::<Vec<_>>().join(", "));
            }
        }
    }

    /// Writes the curves, if there are any.
    pub(crate) fn plot(&self, path: &Path) {
        if !self.curves.is_empty() {
            std::fs::write(path, plot::svg(&self.curves)).unwrap();
            eprintln!("plotted to {}", path.display());
        }
    }
}

impl Figure {
    fn row(&self) -> [String; 5] {
        let floor = self.floor.as_ref().map(|floor| format!("{}: {}", floor.what, short(floor.value)));
        let aim = self.aim.as_ref().map(|aim| format!("{} {}", aim.text, if aim.met { "✓" } else { "✗" }));
        [
            self.name.clone(),
            format!("{} {}", short(self.value), self.unit),
            floor.unwrap_or_default(),
            self.ratio.map(|ratio| format!("{ratio:.2}×")).unwrap_or_default(),
            aim.unwrap_or_default(),
        ]
    }
}

pub(crate) fn short(value: f64) -> String {
    match value {
        value if value >= 1_000.0 => format!("{value:.0}"),
        value if value == value.trunc() => format!("{value}"),
        value => format!("{value:.2}"),
    }
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// The median.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The time that `percent` of them do not exceed.
pub(crate) fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

/// Figures of alternating rounds, and of their floors: what a noisy moment does to one, it mostly does to both.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    ours: Vec<f64>,
    floors: Vec<f64>,
}

impl Rounds {
    pub(crate) fn of(ours: Vec<f64>, floors: Vec<f64>) -> Self {
        Self { ours, floors }
    }

    pub(crate) fn push(&mut self, ours: f64, floor: f64) {
        self.ours.push(ours);
        self.floors.push(floor);
    }

    pub(crate) fn ours(&self) -> f64 {
        median(self.ours.clone())
    }

    pub(crate) fn floor(&self) -> f64 {
        median(self.floors.clone())
    }

    /// The median of the rounds' ratios.
    pub(crate) fn ratio(&self) -> f64 {
        median(self.ours.iter().zip(&self.floors).map(|(ours, floor)| ours / floor).collect())
    }

    pub(crate) fn report<'a>(
        &self,
        report: &'a mut Report,
        name: impl Into<String>,
        unit: &'static str,
        floor: &str,
    ) -> &'a mut Figure {
        report.add(name, self.ours(), unit).floor(floor, self.floor(), self.ratio())
    }
}
