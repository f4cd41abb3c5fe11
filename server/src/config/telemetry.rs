//! Settings of traces.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ConfigError, value_error};

/// Where traces are sent, by OTLP over gRPC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// The collector: `http://` or `https://`, host and port. Absent: there are no traces.
    pub endpoint: Option<String>,
    /// Which part of approvals is traced, and of calls whose callers have no trace of their own. 0 to 1.
    pub sample_ratio: f64,
    /// A file with headers for the collector, a line each: "authorization: Bearer …". They are only sent over TLS, or to
    /// loopback.
    pub headers_file: Option<PathBuf>,
    /// Roots of the collector's certificate, in PEM. Absent: the system's.
    pub root_certificate: Option<PathBuf>,
    /// The service's name in traces.
    pub service_name: String,
    /// How many spans may wait. What does not fit is dropped. 1 to 100,000.
    pub queue: usize,
    /// How long spans wait for others to go with, in milliseconds. 1 to 60,000.
    pub delay_milliseconds: u32,
    /// How long the collector may take, in seconds. 1 to 60.
    pub timeout_seconds: u32,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            endpoint: None,
            sample_ratio: 1.0,
            headers_file: None,
            root_certificate: None,
            service_name: "approve-server".to_owned(),
            queue: 4_096,
            delay_milliseconds: 2_000,
            timeout_seconds: 10,
        }
    }
}

impl Telemetry {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let refuse = |key: &str, problem: &str| Err(value_error(format!("telemetry.{key}"), problem));
        if !(0.0..=1.0).contains(&self.sample_ratio) {
            return refuse("sample_ratio", "expected 0 to 1");
        }
        if !(1..=100_000).contains(&self.queue) {
            return refuse("queue", "expected 1 to 100,000");
        }
        if !(1..=60_000).contains(&self.delay_milliseconds) {
            return refuse("delay_milliseconds", "expected 1 to 60,000");
        }
        if !(1..=60).contains(&self.timeout_seconds) {
            return refuse("timeout_seconds", "expected 1 to 60");
        }
        let Some(endpoint) = &self.endpoint else { return Ok(()) };
        let uri = endpoint.parse::<http::Uri>().ok();
        let host = uri.as_ref().and_then(http::Uri::host).unwrap_or_default().trim_matches(['[', ']']);
        let loopback =
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        match uri.as_ref().and_then(http::Uri::scheme_str) {
            Some("https") => Ok(()),
            Some("http") if self.headers_file.is_some() && !loopback => {
                refuse("endpoint", "expected https://: headers_file holds what others are not to read")
            }
            Some("http") => Ok(()),
            _ => refuse("endpoint", "expected http:// or https://, host and port: \"http://localhost:4317\""),
        }
    }
}
