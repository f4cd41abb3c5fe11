//! A collector of traces on loopback, which keeps what it gets, by OpenTelemetry's own protobuf.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

use crate::wait::wait_for;

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// It takes what it gets.
    Takes,
    /// It never answers.
    Stalls,
    /// It takes nothing.
    Refuses,
}

/// The collector; it ends when it is dropped.
#[derive(Debug)]
pub struct Collector {
    url: String,
    kept: Kept,
    serving: JoinHandle<()>,
}

/// Headers, and what came with them.
type Exported = (BTreeMap<String, String>, ExportTraceServiceRequest);

#[derive(Debug, Clone)]
struct Kept {
    mood: Mood,
    requests: Arc<Mutex<Vec<Exported>>>,
}

impl Collector {
    /// Starts one.
    pub async fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let kept = Kept { mood, requests: Arc::default() };
        let service = TraceServiceServer::new(kept.clone());
        let incoming = TcpListenerStream::new(listener);
        let server = Server::builder().add_service(service).serve_with_incoming(incoming);
        let serving = tokio::spawn(async move { server.await.unwrap() });
        Self { url, kept, serving }
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// All spans so far.
    pub fn spans(&self) -> Vec<Span> {
        let requests = self.kept.requests.lock().unwrap();
        let resources = requests.iter().flat_map(|(_, request)| &request.resource_spans);
        resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| scope.spans.clone()).collect()
    }

    /// All that came so far, as it is written for people: for what must not be in it.
    pub fn everything(&self) -> String {
        format!("{:?}", self.kept.requests.lock().unwrap())
    }

    /// The headers of the first request.
    pub fn headers(&self) -> BTreeMap<String, String> {
        self.kept.requests.lock().unwrap().first().map(|(headers, _)| headers.clone()).unwrap_or_default()
    }

    /// Waits for a span that fits.
    pub async fn span(&self, what: &str, fits: impl Fn(&Span) -> bool) -> Span {
        wait_for(what, async || self.spans().into_iter().find(|span| fits(span))).await
    }

    /// Waits for a span of this name that carries an approval's id.
    pub async fn of_approval(&self, name: &str, approval: &str) -> Span {
        let fits = |span: &Span| span.name == name && attribute(span, "approve.approval.id") == approval;
        self.span(&format!("the span {name} of {approval}"), fits).await
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// An attribute's text; empty where there is none.
pub fn attribute(span: &Span, key: &str) -> String {
    text(span.attributes.iter().find(|attribute| attribute.key == key))
}

fn text(attribute: Option<&KeyValue>) -> String {
    match attribute.and_then(|attribute| attribute.value.as_ref()?.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// An id in hex.
pub fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        match self.mood {
            Mood::Takes => {}
            Mood::Stalls => std::future::pending().await,
            Mood::Refuses => return Err(Status::permission_denied("go away")),
        }
        let headers = request.metadata().clone().into_headers();
        let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (name.to_string(), value.to_str().unwrap_or_default().to_owned())
        };
        let headers = headers.iter().map(header).collect();
        self.requests.lock().unwrap().push((headers, request.into_inner()));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}
