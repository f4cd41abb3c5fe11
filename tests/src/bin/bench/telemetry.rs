//! What traces cost: decisions of a server that sends a span of each, next to one that sends none. Rounds alternate.

use std::sync::Arc;

use approve_tests::{
    LocalAws, Server,
    collector::{Collector, Mood},
    server::write_config,
};
use tempfile::TempDir;

use crate::{
    decide::rate,
    report::{Report, Rounds, millis, percentile},
    setup::{Setup, processor_time},
};

/// Calls in flight.
const AT_ONCE: usize = 16;

/// A server, and what was measured of it.
struct Measured {
    setup: Setup,
    rates: Vec<f64>,
    times: Vec<f64>,
    costs: Vec<f64>,
}

impl Measured {
    async fn start(telemetry: &str) -> Self {
        let (folder, aws) = (TempDir::new().unwrap(), LocalAws::start().await);
        let settings = format!(
            "[aws]\nregion = \"us-east-1\"\nendpoint = \"{}\"\n[log]\nlevel = \"warn\"\n[worker]\n\
             deliveries_per_second = 1000000\n{telemetry}",
            aws.url()
        );
        write_config(folder.path(), &settings);
        let setup = Setup::of(Server::serve_folder(folder, &[]).await, aws).await;
        Self { setup, rates: Vec::new(), times: Vec::new(), costs: Vec::new() }
    }

    /// Decides all that it makes pending before, and waits until workflows have heard of it.
    async fn round(&mut self, decisions: usize) {
        let approvals = self.setup.make_pending(decisions).await;
        let ids: Arc<[String]> = approvals.iter().map(|approval| approval.id.clone()).collect();
        let process = self.setup.server.process().id();
        let begun = processor_time(process);
        let (rate, mut times) = rate(self.setup.server.url(), AT_ONCE, ids).await;
        self.setup.settled(&approvals).await;
        let took = processor_time(process).saturating_sub(begun);
        self.rates.push(rate);
        self.times.push(millis(percentile(&mut times, 50)));
        self.costs.push(millis(took) * 1e3 / decisions as f64);
    }
}

pub(crate) async fn measure(decisions: usize, rounds: usize, report: &mut Report) {
    let collector = Collector::start(Mood::Takes).await;
    let mut without = Measured::start("").await;
    let mut with = Measured::start(&format!("[telemetry]\nendpoint = \"{}\"\n", collector.url())).await;
    for _ in 0..rounds {
        without.round(decisions).await;
        with.round(decisions).await;
    }
    let rates = Rounds::of(with.rates, without.rates);
    rates.report(report, format!("Decide, traced, {AT_ONCE} at once"), "/s", "without traces /s");
    let times = Rounds::of(with.times, without.times);
    times.report(report, "the same, p50", "ms", "without traces, ms");
    let costs = Rounds::of(with.costs, without.costs);
    costs.report(report, "the server's processor time for each, until it is delivered", "µs", "without traces, µs");
    let spans = collector.spans().len() as f64;
    report.add("spans that arrived, for each decision", spans / (decisions * rounds) as f64, "");
}
