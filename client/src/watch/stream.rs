use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use approve_proto::v1::StreamPendingApprovalsResponse;
use futures::{Stream, future::BoxFuture};
use tokio::time::{Instant, Sleep};
use tonic::Streaming;

use super::{
    Watch, WatchEvent,
    session::{self, Next, Session},
};
use crate::{Client, Error, backoff::Backoff};

type Responses = Streaming<StreamPendingApprovalsResponse>;

/// A stream of [`WatchEvent`]s that reconnects and resumes by itself. It ends after an error.
#[must_use = "it connects when it is polled"]
pub struct WatchStream {
    client: Client,
    /// The place of the server that it was opened at.
    place: usize,
    watch: Watch,
    session: Session,
    state: State,
    events: VecDeque<WatchEvent>,
}

enum State {
    Closed,
    Opening(BoxFuture<'static, Result<Responses, Error>>, Silence),
    Open(Box<Responses>, Silence),
    Waiting(Pin<Box<Sleep>>),
    Ended,
}

impl WatchStream {
    pub(crate) fn new(client: Client, watch: Watch) -> Self {
        let backoff = Backoff::new(watch.reconnect_min, watch.reconnect_max);
        let session = Session::new(watch.resume_token.clone(), client.identity().is_renewable(), backoff);
        Self { client, place: 0, session, watch, state: State::Closed, events: VecDeque::new() }
    }

    /// Where to go on after the event that was taken last, with [`Watch::resume_token`], in this process or another.
    /// `None` until the first snapshot is complete.
    pub fn resume_token(&self) -> Option<&str> {
        self.session.resume_token()
    }

    fn open(&mut self) -> State {
        let request = self.watch.request(self.session.resume_token());
        let ((place, client), silence) = (self.client.pinned(), self.watch.silence());
        self.place = place;
        let opening = async move {
            client
                .open(silence, Client::approvals, request, |mut service, request| async move {
                    service.stream_pending_approvals(request).await
                })
                .await
        };
        State::Opening(Box::pin(opening), Silence::new(silence))
    }

    fn lost(&mut self, cause: Error) -> Option<Error> {
        self.client.servers().failed(self.place, &cause);
        match self.session.lost(cause, rand::random()) {
            Next::Reopen => self.state = State::Closed,
            Next::Wait(event, delay) => {
                self.events.push_back(event);
                self.state = State::Waiting(Box::pin(tokio::time::sleep(delay)));
            }
            Next::Fail(error) => {
                self.state = State::Ended;
                return Some(error);
            }
        }
        None
    }
}

impl Stream for WatchStream {
    type Item = Result<WatchEvent, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let silence = this.watch.silence();
        loop {
            if let Some(event) = this.events.pop_front() {
                return Poll::Ready(Some(Ok(event)));
            }
            let cause = match &mut this.state {
                State::Closed => {
                    this.state = this.open();
                    continue;
                }
                State::Opening(opening, silent) => match opening.as_mut().poll(cx) {
                    Poll::Ready(Ok(responses)) => {
                        this.state = State::Open(Box::new(responses), Silence::new(silence));
                        continue;
                    }
                    Poll::Ready(Err(error)) => error,
                    Poll::Pending => ready!(silent.poll(cx)),
                },
                State::Open(responses, silent) => match Pin::new(&mut **responses).poll_next(cx) {
                    Poll::Ready(Some(Ok(message))) => {
                        silent.restart();
                        let mut events = this.session.message(message);
                        let first = events.next();
                        this.events.extend(events);
                        match first {
                            Some(event) => return Poll::Ready(Some(Ok(event))),
                            None => continue,
                        }
                    }
                    Poll::Ready(Some(Err(status))) => this.client.error(status, silence),
                    Poll::Ready(None) => session::ended(),
                    Poll::Pending => ready!(silent.poll(cx)),
                },
                State::Waiting(sleep) => {
                    ready!(sleep.as_mut().poll(cx));
                    this.state = State::Closed;
                    continue;
                }
                State::Ended => return Poll::Ready(None),
            };
            if let Some(error) = this.lost(cause) {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}

/// Notices that nothing has come for too long.
struct Silence {
    limit: Duration,
    /// Since when nothing has come; `None`: not looked at since the last message.
    since: Option<Instant>,
    /// Set anew when it is over, and not with each message: those come by the hundred thousand.
    sleep: Pin<Box<Sleep>>,
}

impl Silence {
    fn new(limit: Duration) -> Self {
        let now = Instant::now();
        Self { limit, since: Some(now), sleep: Box::pin(tokio::time::sleep_until(now + limit)) }
    }

    fn restart(&mut self) {
        self.since = None;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        let end = *self.since.get_or_insert_with(Instant::now) + self.limit;
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            if end <= self.sleep.deadline() {
                return Poll::Ready(Error::Timeout { after: self.limit });
            }
            self.sleep.as_mut().reset(end);
        }
    }
}

impl fmt::Debug for WatchStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Closed => "closed",
            State::Opening(..) => "opening",
            State::Open(..) => "open",
            State::Waiting(_) => "waiting",
            State::Ended => "ended",
        };
        f.debug_struct("WatchStream").field("watch", &self.watch).field("state", &state).finish_non_exhaustive()
    }
}
