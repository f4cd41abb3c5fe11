//! `/metrics`, for Prometheus; `/healthz` and `/readyz`, for whoever starts servers and sends calls to them.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse as _,
    routing::get,
};
use tokio::{
    net::TcpListener,
    sync::Mutex,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::metrics::SharedMetrics;
use crate::store::SharedStore;

/// How often pending approvals are counted at most: that takes longer the more there are.
const COUNTED_EVERY: Duration = Duration::from_secs(60);
/// How long that may hold up the rest.
const PATIENCE: Duration = Duration::from_secs(2);

/// Serves until told to stop. The server is ready while the store answers, until it drains.
pub(crate) async fn serve(
    listener: TcpListener,
    metrics: SharedMetrics,
    store: SharedStore,
    draining: CancellationToken,
    stop: CancellationToken,
) {
    let standing = store.standing();
    let gauges = Arc::new(Gauges { metrics, store, counted: Mutex::new(None) });
    let text = move || {
        let gauges = Arc::clone(&gauges);
        async move {
            let text = gauges.text().await;
            ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
        }
    };
    let ready = move || {
        let answer = match (draining.is_cancelled(), standing.borrow().reachable) {
            (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
            (false, false) => (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer\n"),
            (false, true) => (StatusCode::OK, "ready\n"),
        };
        async move { answer }
    };
    let routes =
        Router::new().route("/metrics", get(text)).route("/healthz", get(async || "ok\n")).route("/readyz", get(ready));
    if let Err(error) = axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "serving metrics ended");
    }
}

/// What is asked for when somebody looks.
struct Gauges {
    metrics: SharedMetrics,
    store: SharedStore,
    counted: Mutex<Option<Instant>>,
}

impl Gauges {
    async fn text(&self) -> String {
        let standing = *self.store.standing().borrow();
        self.metrics.store_reachable.set(i64::from(standing.reachable));
        self.metrics.servers.set(i64::try_from(standing.servers).unwrap_or(i64::MAX));
        let mut counted = self.counted.lock().await;
        if standing.reachable && counted.is_none_or(|last| last.elapsed() >= COUNTED_EVERY) {
            if let Ok(Ok(pending)) = timeout(PATIENCE, self.store.count_pending(None)).await {
                self.metrics.pending.set(i64::try_from(pending).unwrap_or(i64::MAX));
            }
            *counted = Some(Instant::now());
        }
        drop(counted);
        self.metrics.text()
    }
}
