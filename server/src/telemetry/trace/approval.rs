//! The spans of an approval.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use opentelemetry::{
    KeyValue,
    trace::{SpanContext, SpanId, SpanKind, Status, TraceId},
};

use super::{
    CallContext, Inner, Span, Tracer,
    ids::{ROOT, span_id, trace_id},
    time,
};
use crate::approval::{Approval, DeliveryState};

impl Tracer {
    /// A task was taken, at `from`, and is stored: as a new approval, or bound to one.
    pub(crate) fn stored(&self, approval: &Approval, from: SystemTime) {
        let Some(trace) = self.of(approval) else { return };
        let task = approval.task.count;
        let mut attributes = trace.attributes(approval);
        attributes.push(KeyValue::new("approve.task.count", i64::from(task)));
        let id = trace.span_id(&format!("intake {task}"));
        trace.child("intake", id, SpanKind::Consumer, from, SystemTime::now(), attributes, Status::Unset, None);
    }

    /// Somebody's decision is stored. `call` is the call that it came by.
    pub(crate) fn decided(&self, approval: &Approval, call: Option<CallContext>, from: SystemTime) {
        // A call that is repeated gets the answer of the one that was first.
        if time(approval.updated) + Duration::from_millis(1) < from {
            return;
        }
        let Some(trace) = self.of(approval) else { return };
        let mut attributes = trace.attributes(approval);
        attributes.push(KeyValue::new("approve.votes", i64::try_from(approval.votes.len()).unwrap_or(i64::MAX)));
        let id = trace.span_id(&format!("decide {}", approval.version));
        trace.child(
            "decide",
            id,
            SpanKind::Internal,
            from,
            SystemTime::now(),
            attributes,
            Status::Unset,
            call.map(|call| call.0),
        );
    }

    /// An answer was sent to Step Functions by `operation`; `error` is what kind of failure came of it.
    pub(crate) fn tried(&self, approval: &Approval, operation: &'static str, from: SystemTime, error: Option<&str>) {
        let Some(trace) = self.of(approval) else { return };
        let mut attributes = trace.attributes(approval);
        attributes.push(KeyValue::new("rpc.system", "aws-api"));
        attributes.push(KeyValue::new("rpc.service", "SFN"));
        attributes.push(KeyValue::new("rpc.method", operation));
        attributes.push(KeyValue::new("approve.delivery.attempt", i64::from(approval.delivery.attempts) + 1));
        let status = match error {
            None => Status::Unset,
            Some(error) => {
                attributes.push(KeyValue::new("error.type", error.to_owned()));
                Status::error(error.to_owned())
            }
        };
        // Tries that throttling swallowed are not counted: the time tells them apart.
        let since = from.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
        let id = trace.span_id(&format!("deliver {since}"));
        trace.child("deliver", id, SpanKind::Client, from, SystemTime::now(), attributes, status, None);
    }

    /// Nothing more is to be done of an approval: what outlasted everything else ends here.
    pub(crate) fn settled(&self, approval: &Approval) {
        if !approval.status.is_final() || approval.delivery.state == DeliveryState::Recorded {
            return;
        }
        let Some(trace) = self.of(approval) else { return };
        let decided = approval.decided.unwrap_or(approval.updated);
        let id = trace.span_id("pending");
        let attributes = trace.attributes(approval);
        let begun = time(approval.created);
        trace.child("pending", id, SpanKind::Internal, begun, time(decided), attributes.clone(), Status::Unset, None);
        let status = match approval.delivery.state {
            DeliveryState::Undeliverable => Status::error("undeliverable"),
            DeliveryState::None | DeliveryState::Recorded | DeliveryState::Delivered => Status::Unset,
        };
        trace.end(Span {
            trace: trace.trace,
            id: trace.root,
            parent: None,
            parent_is_remote: false,
            name: ROOT.into(),
            kind: SpanKind::Internal,
            start: begun,
            end: time(last(approval, decided)),
            attributes,
            link: None,
            status,
        });
    }

    fn of(&self, approval: &Approval) -> Option<Trace<'_>> {
        let inner = self.0.as_ref()?;
        let id = approval.id.as_str();
        let trace = trace_id(id);
        inner.samples(trace).then(|| Trace { inner, id: id.to_owned(), trace, root: span_id(id, ROOT) })
    }
}

/// When the workflow heard of it, or it was over without that.
fn last(approval: &Approval, decided: Timestamp) -> Timestamp {
    approval.delivery.settled.unwrap_or(decided).max(decided)
}

/// The trace of an approval that is kept.
struct Trace<'a> {
    inner: &'a Inner,
    id: String,
    trace: TraceId,
    root: SpanId,
}

impl Trace<'_> {
    fn span_id(&self, of: &str) -> SpanId {
        span_id(&self.id, of)
    }

    fn attributes(&self, approval: &Approval) -> Vec<KeyValue> {
        let source = &approval.request.source;
        let mut attributes = Vec::with_capacity(10);
        attributes.push(KeyValue::new("approve.approval.id", self.id.clone()));
        attributes.push(KeyValue::new("approve.workflow", source.workflow.clone()));
        attributes.push(KeyValue::new("approve.status", approval.status.name()));
        attributes.push(KeyValue::new("aws.step_functions.activity.arn", source.activity_arn.clone()));
        if let Some(arn) = &source.state_machine_arn {
            attributes.push(KeyValue::new("aws.step_functions.state_machine.arn", arn.clone()));
        }
        if let Some(arn) = &source.execution_arn {
            attributes.push(KeyValue::new("aws.step_functions.execution.arn", arn.clone()));
        }
        attributes
    }

    #[allow(clippy::too_many_arguments)]
    fn child(
        &self,
        name: &'static str,
        id: SpanId,
        kind: SpanKind,
        start: SystemTime,
        end: SystemTime,
        attributes: Vec<KeyValue>,
        status: Status,
        link: Option<SpanContext>,
    ) {
        self.end(Span {
            trace: self.trace,
            id,
            parent: Some(self.root),
            parent_is_remote: false,
            name: name.into(),
            kind,
            start,
            end,
            attributes,
            link,
            status,
        });
    }

    fn end(&self, span: Span) {
        self.inner.end(span);
    }
}
