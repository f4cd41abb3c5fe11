//! `/metrics`, for Prometheus; `/healthz` and `/readyz`, for whoever starts servers and sends calls to them.

use axum::{
    Router,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse as _,
    routing::get,
};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

use super::metrics::SharedMetrics;
use crate::store::Standing;

/// Serves until told to stop. The server is ready while the store answers, until it drains.
pub(crate) async fn serve(
    listener: TcpListener,
    metrics: SharedMetrics,
    standing: watch::Receiver<Standing>,
    draining: CancellationToken,
    stop: CancellationToken,
) {
    let text = move || {
        let text = metrics.text();
        async move { ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response() }
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
