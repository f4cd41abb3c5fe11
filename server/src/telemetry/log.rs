//! Log lines: as text for people, as JSON for programs, with the trace that a line belongs to.

use std::io::IsTerminal as _;

use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    fmt::{self, FmtContext, FormatEvent, FormatFields, format::Writer},
    layer::{Context, SubscriberExt as _},
    registry::LookupSpan,
    reload,
    util::SubscriberInitExt as _,
};

use super::trace::{SpanIds, approval_ids};
use crate::config::{Log, LogFormat};

/// A log filter that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("log.level: expected a filter like \"info\" or \"approve_server=debug,info\"")]
pub struct BadLevel(#[source] Box<dyn std::error::Error + Send + Sync>);

/// Changes what is logged, at run time.
#[derive(Clone)]
pub struct LogControl(reload::Handle<EnvFilter, Registry>);

impl std::fmt::Debug for LogControl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LogControl")
    }
}

impl LogControl {
    /// Whether it is a level.
    ///
    /// # Errors
    /// [`BadLevel`]
    pub fn check(level: &str) -> Result<(), BadLevel> {
        filter(level).map(drop)
    }

    /// From the next line on.
    ///
    /// # Errors
    /// [`BadLevel`]; what was logged before is, then.
    pub fn set_level(&self, level: &str) -> Result<(), BadLevel> {
        self.0.reload(filter(level)?).map_err(|error| BadLevel(error.into()))
    }
}

fn filter(level: &str) -> Result<EnvFilter, BadLevel> {
    EnvFilter::builder().parse(level).map_err(|error| BadLevel(error.into()))
}

/// Sends log lines to stderr from here on.
///
/// # Errors
/// [`BadLevel`]
pub fn init(log: &Log) -> Result<LogControl, BadLevel> {
    let (filter, handle) = reload::Layer::new(filter(&log.level)?);
    match log.format {
        LogFormat::Text => {
            let colours =
                std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && std::io::stderr().is_terminal();
            let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(colours).with_target(false);
            Registry::default().with(filter).with(lines).init();
        }
        LogFormat::Json => {
            let lines = fmt::layer().with_writer(std::io::stderr).event_format(Json);
            Registry::default().with(filter).with(TraceOfSpan).with(lines).init();
        }
    }
    Ok(LogControl(handle))
}

/// Keeps the ids that a span was given as `trace_id` and `span_id`.
struct TraceOfSpan;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for TraceOfSpan {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let text = |name: &str| fields.0.get(name).and_then(Value::as_str).map(str::to_owned);
        if let (Some(trace), Some(span), Some(made)) = (text("trace_id"), text("span_id"), context.span(id)) {
            made.extensions_mut().insert(SpanIds { trace, span });
        }
    }
}

/// One JSON object a line: `timestamp`, `level`, the fields of the event, `target`, and `trace_id` and `span_id` where the
/// line belongs to a trace: that of the call, or of the approval that it names.
struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        let mut fields = Fields::default();
        fields.0.insert("timestamp".to_owned(), jiff::Timestamp::now().to_string().into());
        fields.0.insert("level".to_owned(), event.metadata().level().as_str().into());
        event.record(&mut fields);
        let target = || event.metadata().target().into();
        fields.0.entry("target").or_insert_with(target);
        let of_span = || {
            let mut scope = context.event_scope()?;
            scope.find_map(|span| span.extensions().get::<SpanIds>().cloned())
        };
        let of_approval = || approval_ids(fields.0.get("approval")?.as_str()?);
        if let Some(SpanIds { trace, span }) = of_span().or_else(of_approval) {
            fields.0.insert("trace_id".to_owned(), trace.into());
            fields.0.insert("span_id".to_owned(), span.into());
        }
        let line = serde_json::to_string(&fields.0).map_err(|_| std::fmt::Error)?;
        writeln!(writer, "{line}")
    }
}

/// The fields of an event or a span, in order.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        match field.name() {
            // Of libraries that log by the `log` crate.
            "log.target" => self.0.insert("target".to_owned(), value.into()),
            name if name.starts_with("log.") => None,
            name => self.0.insert(name.trim_start_matches("r#").to_owned(), value.into()),
        };
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    /// With what is behind it.
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        self.put(field, text);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that are logged meanwhile.
    fn logged(log: impl FnOnce(&LogControl)) -> Vec<Value> {
        let buffer = Buffer::default();
        let (filter, handle) = reload::Layer::new(filter("info").unwrap());
        let writer = buffer.clone();
        let lines = fmt::layer().event_format(Json).with_writer(move || writer.clone());
        let subscriber = Registry::default().with(filter).with(TraceOfSpan).with(lines);
        tracing::subscriber::with_default(subscriber, || log(&LogControl(handle)));
        let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_line_of_an_approval_carries_its_trace() {
        let id = "apr_01h455vb4pex5vsknk084sn02q";
        let lines = logged(|_| {
            tracing::info!(approval = %id, "asked");
            tracing::info!(approval = id, count = 3, "again");
            tracing::info!("of none");
        });
        let ids = approval_ids(id).unwrap();
        assert_eq!((&lines[0]["trace_id"], &lines[0]["span_id"]), (&ids.trace.into(), &ids.span.into()));
        assert_eq!((lines[0]["message"].as_str(), lines[0]["level"].as_str()), (Some("asked"), Some("INFO")));
        assert_eq!((&lines[1]["trace_id"], &lines[1]["count"]), (&lines[0]["trace_id"], &3.into()));
        assert_eq!(lines[2].get("trace_id"), None);
    }

    #[test]
    fn a_line_within_a_call_carries_the_trace_of_the_call() {
        let lines = logged(|_| {
            let span = tracing::info_span!("call", trace_id = %"0af7651916cd43dd8448eb211c80319c", span_id = %"b7ad6b7169203331");
            span.in_scope(|| tracing::info!(approval = "apr_01h455vb4pex5vsknk084sn02q", "decided"));
        });
        assert_eq!(lines[0]["trace_id"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(lines[0]["span_id"], "b7ad6b7169203331");
    }

    #[test]
    fn an_error_is_told_with_what_is_behind_it() {
        #[derive(Debug, thiserror::Error)]
        #[error("on top")]
        struct Top(#[source] io::Error);
        let lines = logged(|_| {
            let error = Top(io::Error::other("below"));
            tracing::warn!(error = &error as &dyn std::error::Error, "failed");
        });
        assert_eq!(lines[0]["error"], "on top: below");
    }

    #[test]
    fn the_level_can_be_changed_at_run_time() {
        let lines = logged(|control| {
            tracing::debug!("one");
            control.set_level("debug").unwrap();
            tracing::debug!("two");
            assert!(control.set_level("approve_server=loud").is_err());
            tracing::debug!("three");
        });
        let told: Vec<_> = lines.iter().filter_map(|line| line["message"].as_str()).collect();
        assert_eq!(told, ["two", "three"]);
    }
}
