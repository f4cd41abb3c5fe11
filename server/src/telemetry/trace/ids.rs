//! Ids of traces and spans that follow from an approval's id. So each server, and the same one after a crash, knows them
//! without keeping them anywhere.

use opentelemetry::trace::{SpanId, TraceId};
use sha2::{Digest as _, Sha256};

/// Ids as log lines carry them: in lower-case hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SpanIds {
    /// 32 digits.
    pub(crate) trace: String,
    /// 16 digits.
    pub(crate) span: String,
}

/// The trace of an approval, and the span that all others of it are in.
pub(crate) fn approval_ids(approval: &str) -> Option<SpanIds> {
    let is_one = approval.starts_with("apr_");
    is_one.then(|| SpanIds { trace: trace_id(approval).to_string(), span: span_id(approval, ROOT).to_string() })
}

/// The span that all others of an approval are in.
pub(super) const ROOT: &str = "approval";

/// The trace of an approval. A digest: a UUIDv7's own bits are not even enough to sample by.
pub(super) fn trace_id(approval: &str) -> TraceId {
    TraceId::from_bytes(beginning(&digest("trace", &[approval])))
}

/// A span of an approval, by what it is of.
pub(super) fn span_id(approval: &str, of: &str) -> SpanId {
    SpanId::from_bytes(beginning(&digest("span", &[approval, of])))
}

fn digest(kind: &str, parts: &[&str]) -> [u8; 32] {
    let mut digest = Sha256::new_with_prefix("approve ");
    digest.update(kind);
    for part in parts {
        digest.update([0]);
        digest.update(part);
    }
    digest.finalize().into()
}

fn beginning<const N: usize>(digest: &[u8; 32]) -> [u8; N] {
    let mut bytes = [0; N];
    for (to, from) in bytes.iter_mut().zip(digest) {
        *to = *from;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stay_what_they_are() {
        let id = "apr_01h455vb4pex5vsknk084sn02q";
        let ids = approval_ids(id).unwrap();
        assert_eq!((ids.trace.len(), ids.span.len()), (32, 16));
        assert_eq!(approval_ids(id), Some(ids));
        assert_ne!(trace_id(id), trace_id("apr_01h455vb4pex5vsknk084sn02r"));
        assert_ne!(span_id(id, ROOT), span_id(id, "pending"));
        assert_eq!(approval_ids("of no approval"), None);
    }
}
