use std::{future::Future, time::Duration};

use tokio::time::Instant;
use tonic::{Code, Request, Response, Status};

use crate::{Client, Error, backoff::Backoff};

/// How often a call is sent at most.
const ATTEMPTS: u32 = 6;
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// When a call that failed is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Only where the server refused to look at it.
    Untouched,
    /// Also where it may have been done: done twice it counts once.
    Safe,
    /// Changes nothing: asked once more where there is another server to ask.
    Read,
}

impl Repeat {
    /// Of a request that a request id protects.
    pub(crate) fn by(request_id: &str) -> Self {
        if request_id.is_empty() { Self::Untouched } else { Self::Safe }
    }

    fn allows(self, error: &Error) -> bool {
        match error.code() {
            Code::Unavailable => self == Self::Safe,
            // A limit is checked before anything else is done.
            Code::ResourceExhausted => error.retry_delay().is_some(),
            _ => false,
        }
    }
}

impl Client {
    /// Makes one call within the request timeout.
    pub(crate) async fn unary<S, M: Clone, R, F>(
        &self,
        service: impl Fn(&Self) -> S,
        message: M,
        send: impl Fn(S, Request<M>) -> F,
    ) -> Result<R, Error>
    where
        F: Future<Output = Result<Response<R>, Status>>,
    {
        self.call(self.config().request_timeout, Repeat::Untouched, service, message, send).await
    }

    /// Makes one call that changes nothing, within the request timeout.
    pub(crate) async fn read<S, M: Clone, R, F>(
        &self,
        service: impl Fn(&Self) -> S,
        message: M,
        send: impl Fn(S, Request<M>) -> F,
    ) -> Result<R, Error>
    where
        F: Future<Output = Result<Response<R>, Status>>,
    {
        self.call(self.config().request_timeout, Repeat::Read, service, message, send).await
    }

    /// Makes one call, with all its repetitions within the timeout, which the server is told.
    pub(crate) async fn call<S, M: Clone, R, F>(
        &self,
        timeout: Duration,
        repeat: Repeat,
        service: impl Fn(&Self) -> S,
        message: M,
        send: impl Fn(S, Request<M>) -> F,
    ) -> Result<R, Error>
    where
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let deadline = Instant::now() + timeout;
        let mut backoff = Backoff::new(BACKOFF_MIN, BACKOFF_MAX);
        let mut attempt = 1;
        loop {
            let sent = self.authorized(timeout, Some(deadline), &service, &message, &send);
            let error = match tokio::time::timeout_at(deadline, sent).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => error,
                Err(_) => return Err(Error::Timeout { after: timeout }),
            };
            // Where nothing was sent, another server may be there.
            let untouched = repeat == Repeat::Read || matches!(error, Error::Connect { .. });
            let elsewhere = self.servers().are_several() && untouched && error.code() == Code::Unavailable;
            if !elsewhere && !repeat.allows(&error) {
                return Err(error);
            }
            let delay = backoff.next(rand::random(), error.retry_delay());
            if attempt == ATTEMPTS || Instant::now() + delay >= deadline {
                return Err(error);
            }
            tracing::debug!(attempt, ?delay, %error, "a call is sent again");
            tokio::time::sleep(delay).await;
            attempt += 1;
        }
    }

    /// Opens a stream that has no end. `patience` is how long the caller will wait for it.
    pub(crate) async fn open<S, M: Clone, R, F>(
        &self,
        patience: Duration,
        service: impl Fn(&Self) -> S,
        message: M,
        send: impl Fn(S, Request<M>) -> F,
    ) -> Result<R, Error>
    where
        F: Future<Output = Result<Response<R>, Status>>,
    {
        self.authorized(patience, None, &service, &message, &send).await
    }

    /// Sends with the caller's credentials; where the server does not take them and there are others, once more with
    /// those.
    async fn authorized<S, M: Clone, R, F>(
        &self,
        timeout: Duration,
        deadline: Option<Instant>,
        service: &impl Fn(&Self) -> S,
        message: &M,
        send: &impl Fn(S, Request<M>) -> F,
    ) -> Result<R, Error>
    where
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let mut token = self.identity().token().await?;
        let mut renewed = false;
        loop {
            let mut request = Request::new(message.clone());
            if let Some(deadline) = deadline {
                request.set_timeout(deadline.saturating_duration_since(Instant::now()));
            }
            self.identity().put_on(&mut request, token.as_ref())?;
            if let Some(parent) = &self.config().traceparent {
                parent.put_on(&mut request);
            }
            let (place, pinned) = self.pinned();
            let error = match send(service(&pinned), request).await {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) => pinned.error(status, timeout),
            };
            self.servers().failed(place, &error);
            let refused = token.as_ref().filter(|_| !renewed && error.code() == Code::Unauthenticated);
            match refused {
                Some(refused) => match self.identity().renew(refused).await? {
                    Some(fresh) => token = Some(fresh),
                    None => return Err(error),
                },
                None => return Err(error),
            }
            renewed = true;
        }
    }
}
