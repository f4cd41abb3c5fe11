//! The way to the collector: OTLP over gRPC, in batches, from a thread of its own.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanExporter, SpanProcessor as _},
};
use tonic::{
    metadata::{MetadataKey, MetadataMap, MetadataValue},
    transport::{Certificate, ClientTlsConfig},
};

use super::{Inner, Tracer, threshold};
use crate::{config, telemetry::metrics::SharedMetrics};

/// Traces that can't be sent.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// A file can't be read.
    #[error("cannot read {key} {path}")]
    File {
        /// The setting that names it.
        key: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line of the file of headers can't be used; which is not told, as it may be a secret.
    #[error("telemetry.headers_file {0}: expected lines like \"name: value\"")]
    Headers(PathBuf),
    /// The endpoint can't be used.
    #[error("telemetry.endpoint can't be used")]
    Endpoint(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Tracer {
    /// One that sends to the collector of the settings, or [`Tracer::off`] where there is none. `server` tells it from
    /// the others. Has to be made within the runtime.
    ///
    /// # Errors
    /// [`TraceError`]
    pub fn start(settings: &config::Telemetry, server: &str, metrics: SharedMetrics) -> Result<Self, TraceError> {
        let Some(endpoint) = &settings.endpoint else { return Ok(Self::off()) };
        let timeout = Duration::from_secs(settings.timeout_seconds.into());
        let mut builder = opentelemetry_otlp::SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint.clone())
            .with_timeout(timeout)
            .with_metadata(headers(settings)?);
        if endpoint.starts_with("https://") {
            builder = builder.with_tls_config(tls(settings)?);
        }
        let exporter = builder.build().map_err(|error| TraceError::Endpoint(error.into()))?;
        let exporter = Counted { exporter, metrics: Arc::clone(&metrics), failing: AtomicBool::new(false) };
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(settings.queue)
            .with_max_export_batch_size(settings.queue.min(512))
            .with_scheduled_delay(Duration::from_millis(settings.delay_milliseconds.into()))
            .build();
        let mut processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
        let resource = Resource::builder_empty()
            .with_service_name(settings.service_name.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(KeyValue::new("service.instance.id", server.to_owned()))
            .build();
        processor.set_resource(&resource);
        let scope = InstrumentationScope::builder("approve-server").with_version(env!("CARGO_PKG_VERSION")).build();
        let threshold = AtomicU64::new(threshold(settings.sample_ratio));
        Ok(Self(Some(Arc::new(Inner { processor, threshold, scope, metrics }))))
    }
}

/// Lines of `name: value`.
fn headers(settings: &config::Telemetry) -> Result<MetadataMap, TraceError> {
    let mut headers = MetadataMap::new();
    let Some(path) = &settings.headers_file else { return Ok(headers) };
    let text = fs::read_to_string(path).map_err(|source| TraceError::File {
        key: "telemetry.headers_file",
        path: path.clone(),
        source,
    })?;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let unusable = || TraceError::Headers(path.clone());
        let (name, value) = line.split_once(':').ok_or_else(unusable)?;
        let name: MetadataKey<_> = name.trim().to_ascii_lowercase().parse().map_err(|_| unusable())?;
        let mut value: MetadataValue<_> = value.trim().parse().map_err(|_| unusable())?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

fn tls(settings: &config::Telemetry) -> Result<ClientTlsConfig, TraceError> {
    let mut tls = ClientTlsConfig::new();
    match &settings.root_certificate {
        Some(path) => {
            let key = "telemetry.root_certificate";
            let pem = fs::read(path).map_err(|source| TraceError::File { key, path: path.clone(), source })?;
            tls = tls.ca_certificate(Certificate::from_pem(pem));
        }
        None => tls = tls.with_native_roots(),
    }
    Ok(tls)
}

/// Counts what is sent, and tells once that nothing is, and once that it is again.
#[derive(Debug)]
struct Counted<E> {
    exporter: E,
    metrics: SharedMetrics,
    failing: AtomicBool,
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let sent = self.exporter.export(batch).await;
        match &sent {
            Ok(()) => {
                self.metrics.spans_exported.inc_by(count);
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("the collector takes spans again");
                }
            }
            Err(error) => {
                self.metrics.spans_failed.inc_by(count);
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(error = error as &dyn std::error::Error, "the collector takes no spans");
                }
            }
        }
        sent
    }

    fn shutdown_with_timeout(&mut self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
