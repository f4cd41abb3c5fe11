//! Lets calls in: who calls, whether they may, and whether there is room for them, once and before anything else.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::{Extensions, Request, Response, request::Parts};
use tonic::{Code, Status, body::Body};
use tonic_types::StatusExt as _;
use tower::{Layer, Service};
use tracing::{Instrument as _, info, warn};

use super::{
    body::{End, Held, InTime, Open},
    deadline,
    rpc::{self, Rpc},
    secured::Peer,
    status::ApiError,
};
use crate::{
    approval::Origin,
    audit::AdminEvent,
    auth::{AuthError, Authenticated, Authenticator, CallLimits, Shown, Slot},
    clock::SharedClock,
    entropy::SharedEntropy,
    store::SharedStore,
    telemetry::{Tracer, metrics::SharedMetrics, trace::Call},
};

/// How long before its deadline a call is answered that the deadline has passed: what carries it would say CANCELLED.
const ANSWER: Duration = Duration::from_millis(10);

/// In front of all services.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Inner>);

/// What the gate stands on.
pub(crate) struct GateParts {
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) store: SharedStore,
    pub(crate) clock: SharedClock,
    pub(crate) entropy: SharedEntropy,
    pub(crate) metrics: SharedMetrics,
    pub(crate) tracer: Tracer,
}

struct Inner {
    parts: GateParts,
    limits: Arc<CallLimits>,
    request_time: Duration,
}

impl Gate {
    pub(crate) fn new(parts: GateParts, limits: Arc<CallLimits>, request_time: Duration) -> Self {
        Self(Arc::new(Inner { parts, limits, request_time }))
    }
}

impl<S> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated { gate: self.clone(), inner }
    }
}

/// A service behind the gate.
#[derive(Clone)]
pub(crate) struct Gated<S> {
    gate: Gate,
    inner: S,
}

impl<S> Service<Request<Body>> for Gated<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let gate = Arc::clone(&self.gate.0);
        // The one that is ready goes, its clone stays.
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            let rpc = rpc::find(request.uri().path());
            let call = gate.begin(rpc, &request);
            let within = call.as_ref().map_or_else(tracing::Span::none, Call::log_span);
            let begun = Instant::now();
            let answer = match gate.pass(rpc, call.as_ref(), inner, request).instrument(within).await {
                Ok(response) => response,
                Err(error) => Status::from(ApiError::from(error)).into_http(),
            };
            gate.end(rpc, call, begun, &answer);
            Ok(answer)
        })
    }
}

impl Inner {
    /// The span of a call. Streams have none: they last for days. Nor have probes.
    fn begin(&self, rpc: Option<&Rpc>, request: &Request<Body>) -> Option<Call> {
        let rpc = rpc.filter(|rpc| rpc.slot != Slot::Stream && rpc.path.starts_with("/approve.v1."))?;
        self.parts.tracer.call(rpc.path, request.headers(), || self.parts.entropy.bits())
    }

    /// Counts what was answered. Of a stream that is how it began.
    fn end(&self, rpc: Option<&Rpc>, call: Option<Call>, begun: Instant, answer: &Response<Body>) {
        // An answer that begins without a status ends well: what fails later is a stream.
        let code = Status::from_header_map(answer.headers()).map_or(Code::Ok, |status| status.code());
        self.parts.metrics.call(rpc.map_or("other", Rpc::name), code_name(code), begun.elapsed());
        if let Some(call) = call {
            call.end(code);
        }
    }

    async fn pass<S>(
        &self,
        rpc: Option<&Rpc>,
        call: Option<&Call>,
        mut inner: S,
        request: Request<Body>,
    ) -> Result<Response<Body>, AuthError>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    {
        let path = request.uri().path();
        if self.is_open(path) {
            return Ok(send(&mut inner, request).await);
        }
        let (mut parts, body) = request.into_parts();
        let known = self.authenticate(&parts).await?;
        let who = &known.caller.origin.by;
        if self.parts.authenticator.is_checked() {
            self.limits.call(who)?;
        }
        if let Some(rpc) = rpc
            && let Err(error) = permitted(rpc, &known)
        {
            self.record(rpc.path, &known.caller.origin, "PERMISSION_MISSING").await;
            return Err(error);
        }
        let slot = rpc.map_or(Slot::Call, |rpc| rpc.slot);
        let place = if self.parts.authenticator.is_checked() { Some(self.limits.enter(who, slot)?) } else { None };
        let end = match slot {
            Slot::Stream => End::new(known.until.map(|until| self.left(until)), known.revoked, known.replaced),
            Slot::Call | Slot::List => End::default(),
        };
        let origin = known.caller.origin.clone();
        parts.extensions.insert(known.caller);
        if let Some(call) = call {
            parts.extensions.insert(call.context());
        }
        let is_ours = rpc.is_some_and(|rpc| rpc.path.starts_with("/approve.v1."));
        let body = if is_ours { Body::new(InTime::new(body, self.request_time)) } else { body };
        let left = deadline(&parts.headers).map(|time| time.saturating_sub(ANSWER.min(time / 10)));
        let request = Request::from_parts(parts, body);
        let response = match left {
            None => send(&mut inner, request).await,
            Some(left) => match tokio::time::timeout(left, send(&mut inner, request)).await {
                Ok(response) => response,
                Err(_) => Status::from(ApiError::DeadlineExceeded).into_http(),
            },
        };
        if let (Some(rpc), Some(reason)) = (rpc, refused_permission(&response)) {
            self.record(rpc.path, &origin, &reason).await;
        }
        let open = (slot == Slot::Stream).then(|| Open::new(&self.parts.metrics.streams));
        Ok(response.map(|body| Body::new(Held::new(body, end, place, open))))
    }

    /// Whether a call needs no caller.
    fn is_open(&self, path: &str) -> bool {
        !path.starts_with("/approve.v1.")
            && (path.starts_with("/grpc.health.v1.Health/") || !self.parts.authenticator.is_checked())
    }

    async fn authenticate(&self, parts: &Parts) -> Result<Authenticated, AuthError> {
        let peer = parts.extensions.get::<Peer>();
        let address = peer.and_then(|peer| peer.address);
        let certificates = peer.and_then(|peer| peer.certificates.as_deref());
        let shown = Shown {
            headers: &parts.headers,
            address,
            certificate: certificates.and_then(<[_]>::first).map(AsRef::as_ref),
        };
        let counted = AtomicBool::new(false);
        let unknown = || {
            counted.store(true, Ordering::Relaxed);
            self.limits.login(address.map(|address| address.ip()))
        };
        let known = self.parts.authenticator.authenticate(shown, unknown).await;
        if let Err(error) = &known {
            // Whoever is not let in takes the time of the log and of the record: that has an end, too.
            if !counted.load(Ordering::Relaxed) {
                unknown()?;
            }
            let shown = address.map(tracing::field::display);
            info!(address = shown, path = parts.uri.path(), reason = %error, "a call was not let in");
            // What says nothing of the caller is no refused attempt.
            if !matches!(error, AuthError::Limit { .. } | AuthError::Undecided(_)) {
                let address = address.map(|address| address.ip().to_string());
                let unknown = Origin { address, ..Origin::system("gate") };
                let method = method(parts.uri.path());
                let problem = error.to_string();
                self.keep(unknown, AdminEvent::AuthenticationRefused { method, problem }).await;
            }
        }
        known
    }

    /// How long until credentials expire.
    fn left(&self, until: jiff::Timestamp) -> Duration {
        Duration::try_from(until.duration_since(self.parts.clock.now())).unwrap_or_default()
    }

    /// Keeps that somebody tried what they may not do.
    async fn record(&self, path: &str, origin: &Origin, reason: &str) {
        let event = AdminEvent::PermissionRefused { method: method(path), reason: reason.to_owned() };
        self.keep(origin.clone(), event).await;
    }

    async fn keep(&self, origin: Origin, event: AdminEvent) {
        if let Err(error) = self.parts.store.record(origin, None, None, event, self.parts.clock.now()).await {
            warn!(error = &error as &dyn std::error::Error, "a refused call was not recorded");
        }
    }
}

/// The API's name of a method; of what is none of ours, as much as a name is long.
fn method(path: &str) -> String {
    path.trim_start_matches('/').chars().take(100).collect()
}

async fn send<S>(inner: &mut S, request: Request<Body>) -> Response<Body>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    match inner.call(request).await {
        Ok(response) => response,
    }
}

/// Refuses whoever has none of a call's permissions anywhere.
fn permitted(rpc: &Rpc, known: &Authenticated) -> Result<(), AuthError> {
    match rpc.permissions {
        [] => Ok(()),
        some if some.iter().any(|permission| known.caller.may_somewhere(*permission)) => Ok(()),
        [first, ..] => Err(AuthError::Permission(*first)),
    }
}

/// The reason, where a service answered that a permission is missing.
fn refused_permission(response: &Response<Body>) -> Option<String> {
    let status =
        Status::from_header_map(response.headers()).filter(|status| status.code() == Code::PermissionDenied)?;
    let reason = status.get_details_error_info()?.reason;
    (reason == "PERMISSION_MISSING").then_some(reason)
}

/// Where a request comes from.
pub(crate) fn address(extensions: &Extensions) -> Option<SocketAddr> {
    extensions.get::<Peer>()?.address
}

/// gRPC's name of a code.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
