//! Lets calls in: who calls is found out once, before anything else is done.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Extensions, Request, Response};
use tonic::{
    Status,
    body::Body,
    transport::server::{TcpConnectInfo, TlsConnectInfo},
};
use tower::{Layer, Service};

use super::status::ApiError;
use crate::auth::{Authenticator, Shown};

/// In front of all services.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) authenticator: Arc<Authenticator>,
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

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let gate = self.gate.clone();
        // The one that is ready goes, its clone stays.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            if gate.is_open(request.uri().path()) {
                return inner.call(request).await;
            }
            let shown = Shown { headers: request.headers(), address: address(request.extensions()) };
            match gate.authenticator.authenticate(shown).await {
                Ok(known) => {
                    request.extensions_mut().insert(known.caller);
                    inner.call(request).await
                }
                Err(error) => Ok(Status::from(ApiError::from(error)).into_http()),
            }
        })
    }
}

impl Gate {
    /// Whether a call needs no caller.
    fn is_open(&self, path: &str) -> bool {
        !path.starts_with("/approve.v1.")
            && (path.starts_with("/grpc.health.v1.Health/") || !self.authenticator.is_checked())
    }
}

fn address(extensions: &Extensions) -> Option<SocketAddr> {
    match extensions.get::<TcpConnectInfo>() {
        Some(tcp) => tcp.remote_addr(),
        None => extensions.get::<TlsConnectInfo<TcpConnectInfo>>()?.get_ref().remote_addr(),
    }
}
