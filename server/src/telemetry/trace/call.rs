//! The span of a call, in the caller's own trace where they have one (W3C `traceparent`).

use std::time::SystemTime;

use http::HeaderMap;
use opentelemetry::{
    KeyValue,
    propagation::{Extractor, TextMapPropagator as _},
    trace::{SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::Code;

use super::{Span, Tracer};

/// The trace that a call is part of.
#[derive(Debug, Clone)]
pub(crate) struct CallContext(pub(crate) SpanContext);

/// A call under way.
pub(crate) struct Call {
    tracer: Tracer,
    context: SpanContext,
    parent: Option<SpanId>,
    /// `/package.Service/Method`
    path: &'static str,
    start: SystemTime,
}

impl Tracer {
    /// A call comes in; `None` where neither the caller nor this server traces it. `random` makes ids.
    pub(crate) fn call(&self, path: &'static str, headers: &HeaderMap, random: impl Fn() -> u64) -> Option<Call> {
        let caller = caller(headers);
        let (trace, sampled) = match (&caller, &self.0) {
            (None, None) => return None,
            (Some(caller), inner) => (caller.trace_id(), caller.is_sampled() && inner.is_some()),
            (None, Some(inner)) => {
                let trace = TraceId::from(u128::from(random()) << 64 | u128::from(random()));
                (trace, inner.samples(trace))
            }
        };
        let flags = if sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
        let state = caller.as_ref().map(|caller| caller.trace_state().clone()).unwrap_or_default();
        let context = SpanContext::new(trace, SpanId::from(random().max(1)), flags, false, state);
        let parent = caller.map(|caller| caller.span_id());
        Some(Call { tracer: self.clone(), context, parent, path, start: SystemTime::now() })
    }
}

impl Call {
    /// For what the call leads to.
    pub(crate) fn context(&self) -> CallContext {
        CallContext(self.context.clone())
    }

    /// For log lines.
    pub(crate) fn log_span(&self) -> tracing::Span {
        tracing::info_span!("call", trace_id = %self.context.trace_id(), span_id = %self.context.span_id())
    }

    /// The call was answered.
    pub(crate) fn end(self, code: Code) {
        let Some(inner) = self.tracer.0.as_ref().filter(|_| self.context.is_sampled()) else { return };
        let path = self.path.trim_start_matches('/');
        let (service, method) = path.split_once('/').unwrap_or(("", path));
        let server_error = matches!(
            code,
            Code::Unknown
                | Code::DeadlineExceeded
                | Code::Unimplemented
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss
        );
        inner.end(Span {
            trace: self.context.trace_id(),
            id: self.context.span_id(),
            parent: self.parent,
            parent_is_remote: self.parent.is_some(),
            name: path.to_owned().into(),
            kind: SpanKind::Server,
            start: self.start,
            end: SystemTime::now(),
            attributes: vec![
                KeyValue::new("rpc.system", "grpc"),
                KeyValue::new("rpc.service", service.to_owned()),
                KeyValue::new("rpc.method", method.to_owned()),
                KeyValue::new("rpc.grpc.status_code", i64::from(i32::from(code))),
            ],
            link: None,
            status: if server_error { Status::error(format!("{code:?}")) } else { Status::Unset },
        });
    }
}

/// The caller's trace, if they sent one that can be read.
fn caller(headers: &HeaderMap) -> Option<SpanContext> {
    headers.get("traceparent")?;
    let context = TraceContextPropagator::new().extract_with_context(&opentelemetry::Context::new(), &Headers(headers));
    let caller = context.span().span_context().clone();
    caller.is_valid().then_some(caller)
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(traceparent: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", traceparent.parse().unwrap());
        headers
    }

    #[test]
    fn a_callers_trace_is_read_as_w3c_writes_it() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let context = caller(&headers(good)).unwrap();
        assert_eq!(context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(context.span_id().to_string(), "b7ad6b7169203331");
        assert!(context.is_sampled());
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "<script>",
        ] {
            assert!(caller(&headers(bad)).is_none(), "{bad}");
        }
        assert!(caller(&HeaderMap::new()).is_none());
    }

    #[test]
    fn a_call_is_in_its_callers_trace_or_in_none() {
        let tracer = Tracer::off();
        assert!(tracer.call("/a.B/C", &HeaderMap::new(), || 7).is_none());
        let traced = headers("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let call = tracer.call("/a.B/C", &traced, || 7).unwrap();
        assert_eq!(call.context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(call.context.span_id().to_string(), "0000000000000007");
        assert!(!call.context.is_sampled(), "nobody would send it");
    }
}
