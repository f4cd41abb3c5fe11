use std::{fmt, sync::Arc};

use tonic::Request;

/// W3C's name of the header.
const TRACEPARENT: &str = "traceparent";

/// Asks for the trace that the caller is in.
#[derive(Clone)]
pub(crate) struct TraceParent(Arc<dyn Fn() -> Option<String> + Send + Sync>);

impl TraceParent {
    pub(crate) fn new(current: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(current))
    }

    /// What can't be sent is left out: a trace is no reason to fail a call.
    pub(crate) fn put_on<M>(&self, request: &mut Request<M>) {
        if let Some(value) = (self.0)().and_then(|parent| parent.parse().ok()) {
            request.metadata_mut().insert(TRACEPARENT, value);
        }
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TraceParent")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_goes_along_where_there_is_one() {
        let sent = |parent: Option<&'static str>| {
            let mut request = Request::new(());
            TraceParent::new(move || parent.map(str::to_owned)).put_on(&mut request);
            request.metadata().get(TRACEPARENT).map(|value| value.to_str().unwrap().to_owned())
        };
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(sent(Some(parent)).as_deref(), Some(parent));
        assert_eq!(sent(None), None);
        assert_eq!(sent(Some("in\nvalid")), None);
    }
}
