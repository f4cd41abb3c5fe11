//! Traces, by OTLP. Each approval is one trace, whatever happens to the server meanwhile:
//!
//! ```text
//! approval                 from the task until the workflow heard of the decision
//! ├─ intake                a task was taken and stored; another for each retry's task
//! ├─ pending               people were waited for
//! ├─ decide                somebody's decision was stored; linked to the caller's own trace
//! └─ deliver               a try at SendTaskSuccess or SendTaskFailure
//! ```
//!
//! The ids follow from the approval's id, and times from its state: so the spans that outlast a process are made when
//! they end, by whichever server ends them. A call is a span of its own, in the caller's trace where there is one.
//!
//! Spans carry names, ids and outcomes: no payload, comment, person or token. They wait in a queue that is bounded; what
//! does not fit is dropped, and nobody ever waits for it.

mod approval;
mod call;
mod export;
mod ids;

use std::{
    borrow::Cow,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use opentelemetry::{
    InstrumentationScope, KeyValue,
    trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor as _};

pub use self::export::TraceError;
pub(crate) use self::{
    call::{Call, CallContext},
    ids::{SpanIds, approval_ids},
};
use super::metrics::SharedMetrics;

/// Makes spans, or does not.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<Inner>>);

struct Inner {
    processor: BatchSpanProcessor,
    /// Of traces that begin here: those whose id is below this are kept.
    threshold: AtomicU64,
    scope: InstrumentationScope,
    metrics: SharedMetrics,
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Tracer(on)" } else { "Tracer(off)" })
    }
}

impl Tracer {
    /// One that makes none.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    /// Another part of traces from here on: 0 to 1.
    pub fn set_ratio(&self, ratio: f64) {
        if let Some(inner) = &self.0 {
            inner.threshold.store(threshold(ratio), Ordering::Relaxed);
        }
    }

    /// Sends what is in hand, for some seconds at most. Blocks.
    pub fn finish(&self) {
        if let Some(inner) = &self.0
            && let Err(error) = inner.processor.shutdown()
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "the last spans were not sent");
        }
    }
}

impl Inner {
    /// Whether a trace that begins here is kept: told by its id, so that all servers say the same.
    fn samples(&self, trace: TraceId) -> bool {
        let [.., a, b, c, d, e, f, g, h] = trace.to_bytes();
        u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1 < self.threshold.load(Ordering::Relaxed)
    }

    fn end(&self, span: Span) {
        let flags = TraceFlags::SAMPLED;
        let context = SpanContext::new(span.trace, span.id, flags, false, TraceState::default());
        let mut links = SpanLinks::default();
        links.links.extend(span.link.map(Link::with_context));
        self.metrics.spans_ended.inc();
        self.processor.on_end(SpanData {
            span_context: context,
            parent_span_id: span.parent.unwrap_or(SpanId::INVALID),
            parent_span_is_remote: span.parent_is_remote,
            span_kind: span.kind,
            name: span.name,
            start_time: span.start,
            end_time: span.end.max(span.start),
            attributes: span.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links,
            status: span.status,
            instrumentation_scope: self.scope.clone(),
        });
    }
}

/// Traces below this are kept. All for 1.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn threshold(ratio: f64) -> u64 {
    // Ids are compared by 63 bits.
    let all = 1_u64 << 63;
    if ratio >= 1.0 { all } else { (ratio.max(0.0) * all as f64) as u64 }
}

/// What is known of a span that has ended.
struct Span {
    trace: TraceId,
    id: SpanId,
    parent: Option<SpanId>,
    parent_is_remote: bool,
    name: Cow<'static, str>,
    kind: SpanKind,
    start: SystemTime,
    end: SystemTime,
    attributes: Vec<KeyValue>,
    link: Option<SpanContext>,
    status: Status,
}

fn time(at: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(at.as_millisecond().max(0).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_a_part_of_all_ids() {
        assert_eq!(threshold(1.0), 1 << 63);
        assert_eq!(threshold(0.0), 0);
        assert_eq!(threshold(0.5), 1 << 62);
        assert_eq!(threshold(f64::NAN), 0);
        let below = |ratio: f64| {
            let kept = |n: &u32| {
                let [.., a, b, c, d, e, f, g, h] = ids::trace_id(&format!("apr_{n}")).to_bytes();
                u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1 < threshold(ratio)
            };
            (0..10_000_u32).filter(kept).count()
        };
        assert!((800..1_200).contains(&below(0.1)), "{}", below(0.1));
        assert_eq!(below(1.0), 10_000);
        assert_eq!(below(0.0), 0);
    }
}
