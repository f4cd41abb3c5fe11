//! What was measured, as a table or JSON.

use std::time::Duration;

use serde::Serialize;

/// The figures of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    profile: &'static str,
    cores: usize,
    figures: Vec<Figure>,
}

#[derive(Debug, Serialize)]
struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self {
            profile: if cfg!(debug_assertions) { "debug" } else { "release" },
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            figures: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        let name = name.into();
        eprintln!("{name}: {} {unit}", short(value));
        self.figures.push(Figure { name, value, unit });
    }

    pub(crate) fn add_ms(&mut self, name: impl Into<String>, time: Duration) {
        self.add(name, time.as_secs_f64() * 1_000.0, "ms");
    }

    pub(crate) fn print(&self, json: bool) {
        if json {
            println!("{}", serde_json::to_string_pretty(self).unwrap());
            return;
        }
        let width = self.figures.iter().map(|figure| figure.name.chars().count()).max().unwrap_or(0);
        println!("{} build, {} cores", self.profile, self.cores);
        for Figure { name, value, unit } in &self.figures {
            println!("{name:<width$}  {:>10} {unit}", short(*value));
        }
    }
}

fn short(value: f64) -> String {
    if value >= 1_000.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

/// The median of rates.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The time that `percent` of them do not exceed.
pub(crate) fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() * percent / 100).min(times.len() - 1)]
}
