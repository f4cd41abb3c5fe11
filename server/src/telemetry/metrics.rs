//! Every metric, by name. Counters begin at 0 with the process.

use std::sync::Arc;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
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
    /// `approve_approvals_expired_total`: approvals whose own deadline passed.
    pub expired: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("approve");
        let open_polls: Gauge = Gauge::default();
        registry.register("open_polls", "Polls that wait for a task", open_polls.clone());
        let tasks_waiting: Gauge = Gauge::default();
        registry.register("tasks_waiting_for_store", "Tasks in hand that can't be stored yet", tasks_waiting.clone());
        let deliveries: Family<SettledLabel, Counter> = Family::default();
        registry.register("deliveries", "Deliveries that were settled", deliveries.clone());
        let mut counter = |name: &str, help: &str| {
            let counter: Counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let tasks_taken = counter("tasks_taken", "Tasks that Step Functions handed out");
        let tasks_bound = counter("tasks_bound", "Retries' tasks that found their approval again");
        let tasks_invalid = counter("tasks_invalid", "Tasks that can't be understood, and were failed");
        let heartbeats_sent = counter("heartbeats_sent", "Heartbeats that Step Functions accepted");
        let heartbeats_failed = counter("heartbeats_failed", "Heartbeats without an answer, throttled, or denied");
        let heartbeats_in_danger =
            counter("heartbeats_in_danger", "Heartbeats that were sent with less than half of their margin left");
        let tasks_lost = counter("tasks_lost", "Tasks that were found closed before they were answered");
        let delivery_retries = counter("delivery_retries", "Tries at a delivery that are made again");
        let expired = counter("approvals_expired", "Approvals whose own deadline passed");
        Self {
            registry,
            open_polls,
            tasks_taken,
            tasks_waiting,
            tasks_bound,
            tasks_invalid,
            heartbeats_sent,
            heartbeats_failed,
            heartbeats_in_danger,
            tasks_lost,
            deliveries,
            delivery_retries,
            expired,
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_named_as_documented() {
        let metrics = Metrics::default();
        metrics.heartbeats_in_danger.inc();
        metrics.deliveries.get_or_create(&SettledLabel { settled: Settled::Delivered }).inc();
        let text = metrics.text();
        assert!(text.contains("approve_heartbeats_in_danger_total 1"), "{text}");
        assert!(text.contains("approve_deliveries_total{settled=\"Delivered\"} 1"), "{text}");
    }

    #[test]
    fn alerts_are_on_metrics_that_there_are() {
        let metrics = Metrics::default();
        metrics.deliveries.get_or_create(&SettledLabel { settled: Settled::Undeliverable }).inc();
        let text = metrics.text();
        let alerts = include_str!("../../deploy/prometheus/alerts.yaml");
        let words = alerts.split(|char: char| !(char.is_ascii_lowercase() || char == '_'));
        let named: Vec<_> = words.filter(|word| word.starts_with("approve_")).collect();
        assert!(named.len() >= 7, "{named:?}");
        for name in named {
            let metric = name.trim_end_matches("_total");
            assert!(text.contains(&format!("# TYPE {metric} ")), "{name}");
        }
        assert!(alerts.contains("settled=\"Undeliverable\"") && text.contains("settled=\"Undeliverable\""));
    }
}
