//! `/metrics`, for Prometheus.

use axum::{Router, http::header::CONTENT_TYPE, response::IntoResponse as _, routing::get};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::metrics::SharedMetrics;

/// Serves until told to stop.
pub(crate) async fn serve(listener: TcpListener, metrics: SharedMetrics, stop: CancellationToken) {
    let text = move || {
        let text = metrics.text();
        async move { ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response() }
    };
    let routes = Router::new().route("/metrics", get(text));
    if let Err(error) = axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "serving metrics ended");
    }
}
