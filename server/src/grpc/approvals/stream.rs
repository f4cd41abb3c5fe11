//! The stream of pending approvals.

use std::{collections::VecDeque, time::Duration};

use approve_proto::v1::{self as proto, StreamPendingApprovalsResponse, stream_pending_approvals_response::Change};
use futures::stream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Status, codegen::BoxStream};

use crate::{
    grpc::{convert, status::ApiError, token},
    watch::{Subscription, Update},
};

/// The responses of one stream.
pub(super) fn responses(
    subscription: Subscription,
    digest: token::QueryDigest,
    interval: Duration,
    closing: CancellationToken,
) -> BoxStream<StreamPendingApprovalsResponse> {
    let feed =
        Feed { subscription, digest, ready: VecDeque::new(), interval, last: Instant::now(), closing, ended: false };
    Box::pin(stream::unfold(feed, Feed::next))
}

/// One stream: its subscription, what of it is ready to be sent, and when to send a sign of life.
struct Feed {
    subscription: Subscription,
    digest: token::QueryDigest,
    ready: VecDeque<Update>,
    interval: Duration,
    last: Instant,
    closing: CancellationToken,
    ended: bool,
}

impl Feed {
    async fn next(mut self) -> Option<(Result<StreamPendingApprovalsResponse, Status>, Self)> {
        if self.ended {
            return None;
        }
        let response = loop {
            if let Some(update) = self.ready.pop_front() {
                break Ok(self.response(update));
            }
            // What was read is told before the stream closes: its token is the one to resume from.
            let idle = self.last + self.interval;
            tokio::select! {
                biased;
                () = self.closing.cancelled() => break Err(ApiError::ShuttingDown),
                // Before the updates: those that do not match must not put it off.
                () = tokio::time::sleep_until(idle) => {
                    let covered = self.subscription.covered();
                    break Ok(self.bookmark(false, covered));
                }
                updates = self.subscription.next() => match updates {
                    Ok(updates) => self.ready.extend(updates),
                    Err(error) => break Err(error.into()),
                },
            }
        };
        self.last = Instant::now();
        self.ended = response.is_err();
        Some((response.map_err(Status::from), self))
    }

    fn response(&self, update: Update) -> StreamPendingApprovalsResponse {
        let resume = |revision| token::resume(self.digest, revision);
        match update {
            Update::Upserted { approval, resume: at } => StreamPendingApprovalsResponse {
                change: Some(Change::Upserted(convert::approval(&approval))),
                resume_token: at.map(resume).unwrap_or_default(),
            },
            Update::Removed { id, status, revision } => StreamPendingApprovalsResponse {
                change: Some(Change::Removed(proto::RemovedApproval {
                    id: id.to_string(),
                    status: convert::status(status).into(),
                    revision,
                })),
                resume_token: resume(revision),
            },
            Update::Synced(revision) => self.bookmark(true, Some(revision)),
        }
    }

    fn bookmark(&self, synced: bool, covered: Option<i64>) -> StreamPendingApprovalsResponse {
        StreamPendingApprovalsResponse {
            change: Some(Change::Bookmark(proto::Bookmark { synced, revision: covered.unwrap_or_default() })),
            resume_token: covered.map(|revision| token::resume(self.digest, revision)).unwrap_or_default(),
        }
    }
}
