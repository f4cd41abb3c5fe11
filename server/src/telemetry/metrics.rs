//! Every metric, by name. Counters begin at 0 with the process. `server/OPERATE.md` has a table of them.

use std::{sync::Arc, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};

/// What is counted, shared by all parts of the server.
pub type SharedMetrics = Arc<Metrics>;

/// How a delivery was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Settled {
    /// Step Functions accepted the answer.
    Delivered,
    /// It never will.
    Undeliverable,
    /// The task was closed; a retry is expected.
    Detached,
}

/// The label of a settled delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SettledLabel {
    /// How it was settled.
    pub settled: Settled,
}

/// The labels of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CallLabel {
    /// "ApprovalService/Decide"; "other" for what there is not.
    pub method: &'static str,
    /// gRPC's name of how it ended: "OK", "NOT_FOUND".
    pub code: &'static str,
}

/// The label of how long calls take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct MethodLabel {
    /// As in [`CallLabel`].
    pub method: &'static str,
}

/// The label of a finished approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StatusLabel {
    /// "APPROVED", "REJECTED", "EXPIRED", "CANCELED", "INVALID".
    pub status: &'static str,
}

/// The labels of something that was read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReloadLabel {
    /// "config" or "certificates".
    pub what: &'static str,
    /// "ok", or "failed": what was read before stays.
    pub result: &'static str,
}

/// Up to ten seconds: calls, and the ways of decisions.
const SECONDS: [f64; 12] = [0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// Up to a week: people.
const PATIENCE: [f64; 10] = [10.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0, 259_200.0, 604_800.0];

/// The label of what is counted by target.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TargetLabel {
    /// The target's name.
    pub target: String,
}

/// What is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// `approve_open_polls`: polls that wait for a task.
    pub open_polls: Gauge,
    /// `approve_tasks_taken_total`: tasks that Step Functions handed out.
    pub tasks_taken: Counter,
    /// `approve_tasks_waiting_for_store`: tasks in hand that can't be stored yet; while there are any, nothing is polled.
    pub tasks_waiting: Gauge,
    /// `approve_tasks_bound_total`: retries' tasks that found their approval again.
    pub tasks_bound: Counter,
    /// `approve_tasks_invalid_total`: tasks that can't be understood, and were failed.
    pub tasks_invalid: Counter,
    /// `approve_heartbeats_sent_total`: heartbeats that Step Functions accepted.
    pub heartbeats_sent: Counter,
    /// `approve_heartbeats_failed_total`: heartbeats without an answer, throttled, or denied.
    pub heartbeats_failed: Counter,
    /// `approve_heartbeats_in_danger_total`: heartbeats that were sent with less than half of their margin left.
    pub heartbeats_in_danger: Counter,
    /// `approve_tasks_lost_total`: tasks that were found closed before they were answered.
    pub tasks_lost: Counter,
    /// `approve_deliveries_total`, by `settled`.
    pub deliveries: Family<SettledLabel, Counter>,
    /// `approve_delivery_retries_total`: tries at a delivery that are made again.
    pub delivery_retries: Counter,
    /// `approve_delivery_delay_seconds`: from the decision until Step Functions accepted it.
    pub delivery_delay: Histogram,
    /// `approve_approvals_expired_total`: approvals whose own deadline passed.
    pub expired: Counter,
    /// `approve_approvals_created_total`: approvals that were asked for.
    pub created: Counter,
    /// `approve_approvals_finished_total`, by `status`.
    pub finished: Family<StatusLabel, Counter>,
    /// `approve_approval_pending_seconds`: from when it was asked for until it was final.
    pub pending_time: Histogram,
    /// `approve_approvals_pending`: of all servers; counted once a minute at most.
    pub pending: Gauge,
    /// `approve_calls_total`, by `method` and `code`. Of a stream: how it began.
    pub calls: Family<CallLabel, Counter>,
    /// `approve_call_duration_seconds`, by `method`; of a stream until it began.
    pub call_duration: Family<MethodLabel, Histogram>,
    /// `approve_streams`: streams that are open.
    pub streams: Gauge,
    /// `approve_store_reachable`: 1 while the store answers.
    pub store_reachable: Gauge,
    /// `approve_servers`: servers that share the store, this one included.
    pub servers: Gauge,
    /// `approve_archived_events_total`: events that were moved out of the store.
    pub archived_events: Counter,
    /// `approve_archived_approvals_total`: approvals that were moved out of the store.
    pub archived_approvals: Counter,
    /// `approve_archive_failures_total`: passes of the archive that were not finished.
    pub archive_failures: Counter,
    /// `approve_reloads_total`, by `what` and `result`.
    pub reloads: Family<ReloadLabel, Counter>,
    /// `approve_certificate_expiry_timestamp_seconds`: of the server's own certificate; 0 without TLS.
    pub certificate_expiry: Gauge,
    /// `approve_spans_ended_total`: spans that were put into the queue, or would have been.
    pub spans_ended: Counter,
    /// `approve_spans_exported_total`: spans that the collector took.
    pub spans_exported: Counter,
    /// `approve_spans_failed_total`: spans that the collector did not take.
    pub spans_failed: Counter,
    /// `approve_notifications_sent_total`, by `target`: messages that a target accepted.
    pub notifications_sent: Family<TargetLabel, Counter>,
    /// `approve_notifications_failed_total`, by `target`: tries at a message that failed.
    pub notifications_failed: Family<TargetLabel, Counter>,
    /// `approve_notifications_dead_total`, by `target`: messages that were given up.
    pub notifications_dead: Family<TargetLabel, Counter>,
    /// `approve_notifications_skipped_total`, by `target`: questions that were over before they could be sent.
    pub notifications_skipped: Family<TargetLabel, Counter>,
    /// `approve_notifications_failing`, by `target`, of the server that sends to it: 1 while it takes nothing.
    pub notifications_failing: Family<TargetLabel, Gauge>,
    /// `approve_notifications_queued`, by `target`, of the server that sends to it: events of the log that it was not told
    /// of yet, whether or not there is something to tell.
    pub notifications_queued: Family<TargetLabel, Gauge>,
}

/// Registers metrics under their names.
struct Names(Registry);

impl Names {
    fn counter(&mut self, name: &str, help: &str) -> Counter {
        let counter = Counter::default();
        self.0.register(name, help, counter.clone());
        counter
    }

    fn gauge(&mut self, name: &str, help: &str) -> Gauge {
        let gauge = Gauge::default();
        self.0.register(name, help, gauge.clone());
        gauge
    }

    fn seconds(&mut self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        let histogram = Histogram::new(buckets.iter().copied());
        self.0.register_with_unit(name, help, Unit::Seconds, histogram.clone());
        histogram
    }

    fn family<L>(&mut self, name: &str, help: &str) -> Family<L, Counter>
    where
        L: EncodeLabelSet + Clone + std::hash::Hash + Eq + std::fmt::Debug + Send + Sync + 'static,
    {
        let family = Family::default();
        self.0.register(name, help, family.clone());
        family
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut names = Names(Registry::with_prefix("approve"));
        names.0.register("build", "The server's version", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        let call_duration =
            Family::new_with_constructor((|| Histogram::new(SECONDS.iter().copied())) as fn() -> Histogram);
        let help = "How long calls take; of a stream until it began";
        names.0.register_with_unit("call_duration", help, Unit::Seconds, call_duration.clone());
        let notifications_failing: Family<TargetLabel, Gauge> = Family::default();
        let help = "1 while a target takes no messages";
        names.0.register("notifications_failing", help, notifications_failing.clone());
        let notifications_queued: Family<TargetLabel, Gauge> = Family::default();
        let help = "Events of the log that a target was not told of yet";
        names.0.register("notifications_queued", help, notifications_queued.clone());
        Self {
            open_polls: names.gauge("open_polls", "Polls that wait for a task"),
            tasks_taken: names.counter("tasks_taken", "Tasks that Step Functions handed out"),
            tasks_waiting: names.gauge("tasks_waiting_for_store", "Tasks in hand that can't be stored yet"),
            tasks_bound: names.counter("tasks_bound", "Retries' tasks that found their approval again"),
            tasks_invalid: names.counter("tasks_invalid", "Tasks that can't be understood, and were failed"),
            heartbeats_sent: names.counter("heartbeats_sent", "Heartbeats that Step Functions accepted"),
            heartbeats_failed: names.counter("heartbeats_failed", "Heartbeats without an answer, throttled, or denied"),
            heartbeats_in_danger: names
                .counter("heartbeats_in_danger", "Heartbeats that were sent with less than half of their margin left"),
            tasks_lost: names.counter("tasks_lost", "Tasks that were found closed before they were answered"),
            deliveries: names.family("deliveries", "Deliveries that were settled"),
            delivery_retries: names.counter("delivery_retries", "Tries at a delivery that are made again"),
            delivery_delay: names.seconds(
                "delivery_delay",
                "From the decision until Step Functions accepted it",
                &SECONDS,
            ),
            expired: names.counter("approvals_expired", "Approvals whose own deadline passed"),
            created: names.counter("approvals_created", "Approvals that were asked for"),
            finished: names.family("approvals_finished", "Approvals that became final"),
            pending_time: names.seconds(
                "approval_pending",
                "From when an approval was asked for until it was final",
                &PATIENCE,
            ),
            pending: names.gauge("approvals_pending", "Approvals that wait for people, of all servers"),
            calls: names.family("calls", "Calls that were answered"),
            call_duration,
            streams: names.gauge("streams", "Streams that are open"),
            store_reachable: names.gauge("store_reachable", "1 while the store answers"),
            servers: names.gauge("servers", "Servers that share the store"),
            archived_events: names.counter("archived_events", "Events that were moved out of the store"),
            archived_approvals: names.counter("archived_approvals", "Approvals that were moved out of the store"),
            archive_failures: names.counter("archive_failures", "Passes of the archive that were not finished"),
            reloads: names.family("reloads", "Settings and certificates that were read again"),
            certificate_expiry: names
                .gauge("certificate_expiry_timestamp_seconds", "When the server's own certificate ends; 0 without TLS"),
            spans_ended: names.counter("spans_ended", "Spans that ended"),
            spans_exported: names.counter("spans_exported", "Spans that the collector took"),
            spans_failed: names.counter("spans_failed", "Spans that the collector did not take"),
            notifications_sent: names.family("notifications_sent", "Messages that a target accepted"),
            notifications_failed: names.family("notifications_failed", "Tries at a message that failed"),
            notifications_dead: names.family("notifications_dead", "Messages that were given up"),
            notifications_skipped: names
                .family("notifications_skipped", "Messages that were not sent as they were over or too old by then"),
            notifications_failing,
            notifications_queued,
            registry: names.0,
        }
    }
}

impl Metrics {
    /// All of them, as Prometheus reads them.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // A `String` takes whatever is written to it.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// Counts a call.
    pub fn call(&self, method: &'static str, code: &'static str, took: Duration) {
        self.calls.get_or_create(&CallLabel { method, code }).inc();
        self.call_duration.get_or_create(&MethodLabel { method }).observe(took.as_secs_f64());
    }

    /// Counts something that was read again.
    pub fn reloaded(&self, what: &'static str, is_ok: bool) {
        let result = if is_ok { "ok" } else { "failed" };
        self.reloads.get_or_create(&ReloadLabel { what, result }).inc();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// With a child of each family, as families without any are not told.
    fn all() -> Metrics {
        let metrics = Metrics::default();
        for settled in [Settled::Delivered, Settled::Undeliverable, Settled::Detached] {
            metrics.deliveries.get_or_create(&SettledLabel { settled }).inc();
        }
        metrics.finished.get_or_create(&StatusLabel { status: "APPROVED" }).inc();
        metrics.call("ApprovalService/Decide", "OK", Duration::from_millis(3));
        metrics.reloaded("config", true);
        metrics.pending_time.observe(1.0);
        metrics.delivery_delay.observe(1.0);
        let target = TargetLabel { target: "ops".to_owned() };
        metrics.notifications_sent.get_or_create(&target).inc();
        metrics.notifications_failed.get_or_create(&target).inc();
        metrics.notifications_dead.get_or_create(&target).inc();
        metrics.notifications_skipped.get_or_create(&target).inc();
        metrics.notifications_failing.get_or_create(&target).set(1);
        metrics.notifications_queued.get_or_create(&target).set(1);
        metrics
    }

    /// The metrics of a text, by the names that they are asked for by, each with its labels.
    fn samples(text: &str) -> BTreeMap<String, BTreeSet<String>> {
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let sample = line.split(' ').next().unwrap();
            let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
            let labels = labels.trim_end_matches('}').split(',').filter_map(|label| label.split_once('='));
            found.entry(name.to_owned()).or_default().extend(labels.map(|(label, _)| label.to_owned()));
        }
        found
    }

    /// What begins with "approve_" in a text.
    fn named(text: &str) -> BTreeSet<&str> {
        let words = text.split(|char: char| !(char.is_ascii_lowercase() || char == '_'));
        words.filter(|word| word.starts_with("approve_") && *word != "approve_server").collect()
    }

    #[test]
    fn metrics_are_named_as_documented() {
        let text = all().text();
        assert!(text.contains("approve_heartbeats_in_danger_total 0"), "{text}");
        assert!(text.contains("approve_deliveries_total{settled=\"Delivered\"} 1"), "{text}");
        assert!(text.contains("approve_build_info{version="), "{text}");
        assert!(text.contains("# UNIT approve_call_duration_seconds seconds"), "{text}");
    }

    #[test]
    fn the_table_in_the_docs_is_of_all_metrics_and_of_no_other() {
        let samples = samples(&all().text());
        let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (name, labels) in &samples {
            let name = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name);
            let labels = labels.iter().filter(|label| *label != "le").cloned();
            told.entry(name.to_owned()).or_default().extend(labels);
        }
        let docs = include_str!("../../OPERATE.md");
        let mut documented = BTreeMap::new();
        for row in docs.lines().filter_map(|line| line.strip_prefix("| `approve_")) {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            let name = format!("approve_{}", cells[0].trim_end_matches('`'));
            let labels = cells[2].split(", ").filter(|label| !label.is_empty());
            let labels: BTreeSet<_> = labels.map(|label| label.trim_matches('`').to_owned()).collect();
            assert!(["counter", "gauge", "histogram", "info"].contains(&cells[1]), "{row}");
            assert!(cells[3].len() > 10, "{row}");
            assert_eq!(documented.insert(name, labels), None, "{row}");
        }
        assert_eq!(documented, told);
    }

    #[test]
    fn alerts_and_dashboards_are_of_metrics_that_there_are() {
        let samples = samples(&all().text());
        let alerts = include_str!("../../deploy/prometheus/alerts.yaml");
        let dashboard = include_str!("../../deploy/grafana/approve.json");
        assert!(named(alerts).len() >= 9 && named(dashboard).len() >= 20);
        for name in named(alerts).into_iter().chain(named(dashboard)) {
            assert!(samples.contains_key(name), "{name}");
        }
        assert!(alerts.contains("settled=\"Undeliverable\"") && all().text().contains("settled=\"Undeliverable\""));
    }
}
