//! gRPC-Web beside gRPC, on the same port: for browsers, and for whoever has HTTP/1.1 alone.
//!
//! | request to the API                          | what happens                                        |
//! |---------------------------------------------|-----------------------------------------------------|
//! | gRPC over HTTP/2                            | goes on untouched                                   |
//! | gRPC-Web, or the preflight of it            | is translated, or answered                          |
//! | the same, of an origin that is not allowed  | 403                                                 |
//! | anything else                               | 415: any page may send those, without a preflight   |
//!
//! What is not for the API goes on as it is.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{
    FutureExt as _,
    future::{self, BoxFuture, Either},
};
use http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{ACCESS_CONTROL_REQUEST_METHOD, CONTENT_TYPE, ORIGIN},
};
use tonic::body::Body;
use tonic_web::GrpcWebLayer;
use tower::{Layer, Service, ServiceExt as _};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::config::GrpcWeb;

/// How long a browser may remember the answer to a preflight.
const PREFLIGHT_LIFE: Duration = Duration::from_secs(3_600);

const WEB_TYPES: [&[u8]; 4] = [
    b"application/grpc-web",
    b"application/grpc-web+proto",
    b"application/grpc-web-text",
    b"application/grpc-web-text+proto",
];

/// In front of everything.
#[derive(Clone)]
pub(crate) struct Web(Option<Arc<GrpcWeb>>);

impl Web {
    /// Without settings nothing but gRPC is taken.
    pub(crate) fn new(settings: Option<GrpcWeb>) -> Self {
        Self(settings.map(Arc::new))
    }
}

impl<S> Layer<S> for Web {
    type Service = Translated<S>;

    fn layer(&self, inner: S) -> Translated<S> {
        Translated { settings: self.0.clone(), inner }
    }
}

/// A service of gRPC that speaks gRPC-Web, too.
#[derive(Clone)]
pub(crate) struct Translated<S> {
    settings: Option<Arc<GrpcWeb>>,
    inner: S,
}

type Answer = Result<Response<Body>, Infallible>;

impl<S> Service<Request<Body>> for Translated<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, BoxFuture<'static, Answer>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let refused = |status, why| Either::Right(future::ready(Ok(refusal(status, why))).boxed());
        match (Kind::of(&request), &self.settings) {
            (Kind::Grpc | Kind::NotForUs, _) => Either::Left(self.inner.call(request)),
            (Kind::Web, Some(settings)) => {
                if request.headers().get(ORIGIN).is_some_and(|origin| !settings.allows(origin.as_bytes())) {
                    return refused(
                        StatusCode::FORBIDDEN,
                        "pages of this origin may not call: grpc_web.allowed_origins",
                    );
                }
                // The one that is ready goes, its clone stays.
                let clone = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, clone);
                Either::Right(cors().layer(GrpcWebLayer::new().layer(inner)).oneshot(request).boxed())
            }
            (Kind::Web, None) => refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "gRPC-Web is off: [grpc_web]"),
            (Kind::Unknown, _) => {
                refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "expected gRPC over HTTP/2, or gRPC-Web where it is on")
            }
        }
    }
}

/// What a request is, as far as its type tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Grpc,
    /// gRPC-Web, or a preflight.
    Web,
    /// For the API, and neither.
    Unknown,
    NotForUs,
}

impl Kind {
    fn of<B>(request: &Request<B>) -> Self {
        let content_type = request.headers().get(CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
        let is_grpc = match content_type.strip_prefix(b"application/grpc") {
            Some([] | [b'+' | b';', ..]) => request.version() == Version::HTTP_2,
            _ => false,
        };
        if is_grpc {
            return Self::Grpc;
        }
        let path = request.uri().path();
        if !path.starts_with("/approve.v1.") && !path.starts_with("/grpc.") {
            return Self::NotForUs;
        }
        let is_preflight =
            request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if is_preflight || WEB_TYPES.contains(&content_type) { Self::Web } else { Self::Unknown }
    }
}

/// For origins that are allowed: others do not come so far.
fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::mirror_request())
        .allow_methods([Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(["grpc-status", "grpc-message", "grpc-status-details-bin"].map(HeaderName::from_static))
        .max_age(PREFLIGHT_LIFE)
}

fn refusal(status: StatusCode, why: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::new(http_body_util::Full::from(why)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

#[cfg(test)]
mod tests;
