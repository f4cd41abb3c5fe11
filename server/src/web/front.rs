//! In front of everything: calls go to gRPC, what a browser asks for goes to pages.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::Router;
use futures::future::Either;
use http::{HeaderMap, Request, Response, header::CONTENT_TYPE};
use tonic::body::Body;
use tower::{Layer, Service, ServiceExt as _};

/// Tells pages from calls. Without pages everything is a call.
#[derive(Clone)]
pub(crate) struct Front(Option<Router>);

impl Front {
    pub(crate) fn new(pages: Option<Router>) -> Self {
        Self(pages)
    }
}

impl<S> Layer<S> for Front {
    type Service = Fronted<S>;

    fn layer(&self, calls: S) -> Fronted<S> {
        Fronted { pages: self.0.clone(), calls }
    }
}

/// Calls, and the pages beside them.
#[derive(Clone)]
pub(crate) struct Fronted<S> {
    pages: Option<Router>,
    calls: S,
}

type Page = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl<S> Service<Request<Body>> for Fronted<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, Page>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.calls.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match &self.pages {
            Some(pages) if !is_call(request.headers(), request.uri().path()) => {
                let (pages, request) = (pages.clone(), request.map(axum::body::Body::new));
                Either::Right(Box::pin(async move { Ok(pages.oneshot(request).await?.map(Body::new)) }))
            }
            _ => Either::Left(self.calls.call(request)),
        }
    }
}

/// Whether this is for gRPC: by its content type, and what has none (a browser's question before a call) by its path.
fn is_call(headers: &HeaderMap, path: &str) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
        || path.starts_with("/approve.v1.")
        || path.starts_with("/grpc.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_by_their_type_or_path() {
        let grpc = |kind: &str| HeaderMap::from_iter([(CONTENT_TYPE, kind.parse().unwrap())]);
        assert!(is_call(&grpc("application/grpc"), "/"));
        assert!(is_call(&grpc("application/grpc-web+proto"), "/approve.v1.ApprovalService/Decide"));
        assert!(is_call(&HeaderMap::new(), "/approve.v1.ApprovalService/Decide"));
        assert!(is_call(&HeaderMap::new(), "/grpc.health.v1.Health/Check"));
        assert!(!is_call(&grpc("application/x-www-form-urlencoded"), "/approvals/apr_1/decide"));
        assert!(!is_call(&HeaderMap::new(), "/"));
    }
}
