//! Bodies of requests and responses, with an end.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::HeaderMap;
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::{Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{
    Status,
    body::Body,
    codegen::{Body as HttpBody, Bytes},
};

use super::status::ApiError;
use crate::approval::Principal;
use crate::auth::{AuthError, Seat, Slot};

type Frame = http_body::Frame<Bytes>;

/// A request's body that has to come in time.
pub(super) struct InTime {
    inner: Body,
    late: Pin<Box<Sleep>>,
}

impl InTime {
    pub(super) fn new(inner: Body, within: Duration) -> Self {
        Self { inner, late: Box::pin(sleep(within)) }
    }
}

impl HttpBody for InTime {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Status>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        ready!(self.late.as_mut().poll(cx));
        let late = AuthError::Limit { limit: "request_seconds", retry_after: Duration::from_secs(1) };
        Poll::Ready(Some(Err(ApiError::from(late).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}

/// When the credentials behind a stream are worth nothing any more.
#[derive(Default)]
pub(super) struct End {
    expires: Option<Pin<Box<Sleep>>>,
    revoked: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    replaced: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl End {
    pub(super) fn new(
        expires: Option<Duration>,
        revoked: Option<CancellationToken>,
        replaced: CancellationToken,
    ) -> Self {
        Self {
            expires: expires.map(|after| Box::pin(sleep(after))),
            revoked: revoked.map(|token| Box::pin(token.cancelled_owned())),
            replaced: Some(Box::pin(replaced.cancelled_owned())),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<AuthError> {
        if let Some(revoked) = &mut self.revoked
            && revoked.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(AuthError::Refused("the API token was revoked".to_owned()));
        }
        if let Some(expires) = &mut self.expires
            && expires.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(AuthError::Refused("the credentials have expired".to_owned()));
        }
        if let Some(replaced) = &mut self.replaced
            && replaced.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(AuthError::Undecided("what callers may do was changed: come again"));
        }
        Poll::Pending
    }
}

/// A response's body that holds its caller's place, and ends with their credentials.
pub(super) struct Held {
    inner: Option<Body>,
    end: End,
    _place: Option<Seat<(Principal, Slot)>>,
    _open: Option<Open>,
}

/// A stream that is counted as long as it is open.
pub(super) struct Open(Gauge);

impl Open {
    pub(super) fn new(streams: &Gauge) -> Self {
        streams.inc();
        Self(streams.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Held {
    pub(super) fn new(inner: Body, end: End, place: Option<Seat<(Principal, Slot)>>, open: Option<Open>) -> Self {
        Self { inner: Some(inner), end, _place: place, _open: open }
    }
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Status>>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        if let Poll::Ready(error) = this.end.poll(cx) {
            this.inner = None;
            let mut trailers = HeaderMap::new();
            let status = Status::from(ApiError::from(error));
            return Poll::Ready(Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers))));
        }
        Pin::new(inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.as_ref().map_or_else(http_body::SizeHint::default, HttpBody::size_hint)
    }
}
