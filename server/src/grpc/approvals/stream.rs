//! The stream of pending approvals.

use std::{pin::Pin, time::Duration, vec};

use approve_proto::v1::{self as proto, StreamPendingApprovalsResponse, stream_pending_approvals_response::Change};
use futures::stream;
use tokio::{
    sync::watch,
    time::{Instant, Sleep},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{Status, codegen::BoxStream};

use super::{
    frame::{self, Frame},
    snapshot::SnapshotEncoder,
};
use crate::{
    grpc::{convert, status::ApiError, token},
    store::Standing,
    watch::{Subscription, Update},
};

/// The responses of one stream.
pub(super) fn responses(
    subscription: Subscription,
    digest: token::QueryDigest,
    interval: Duration,
    standing: watch::Receiver<Standing>,
    closing: CancellationToken,
) -> BoxStream<Frame> {
    let feed = Feed {
        subscription,
        digest,
        snapshot: SnapshotEncoder::default(),
        ready: Vec::new().into_iter(),
        interval,
        standing,
        last: Instant::now(),
        idle: Box::pin(tokio::time::sleep(interval)),
        closing: Box::pin(closing.cancelled_owned()),
    };
    Box::pin(stream::unfold(Some(Box::new(feed)), |feed| async {
        let mut feed = feed?;
        match feed.next().await {
            Ok(frame) => Some((Ok(frame), Some(feed))),
            Err(error) => Some((Err(Status::from(error)), None)),
        }
    }))
}

/// One stream: its subscription, what of it is ready to be sent, and when to send a sign of life.
struct Feed {
    subscription: Subscription,
    digest: token::QueryDigest,
    snapshot: SnapshotEncoder,
    ready: vec::IntoIter<Update>,
    interval: Duration,
    standing: watch::Receiver<Standing>,
    /// When something was sent.
    last: Instant,
    /// Fires at or before the time of the next sign of life: kept, as most often something else comes first.
    idle: Pin<Box<Sleep>>,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Feed {
    async fn next(&mut self) -> Result<Frame, ApiError> {
        let frame = loop {
            if let Some(update) = self.ready.next() {
                break self.frame(update)?;
            }
            // What was read is told before the stream closes: its token is the one to resume from.
            tokio::select! {
                biased;
                () = &mut self.closing => return Err(ApiError::ShuttingDown),
                // Before the updates: those that do not match must not put it off.
                () = &mut self.idle => {
                    let due = self.last + self.interval;
                    if due <= Instant::now() {
                        // Other servers may know of changes: whoever listens here is not told that there are none.
                        if !self.standing.borrow().reachable {
                            return Err(ApiError::StoreAway);
                        }
                        let covered = self.subscription.covered();
                        break self.bookmark(false, covered);
                    }
                    self.idle.as_mut().reset(due);
                }
                updates = self.subscription.next() => self.ready = updates?.into_iter(),
            }
        };
        self.last = Instant::now();
        if self.idle.is_elapsed() {
            self.idle.as_mut().reset(self.last + self.interval);
        }
        Ok(frame)
    }

    fn frame(&mut self, update: Update) -> Result<Frame, ApiError> {
        Ok(match update {
            Update::Found(found) => {
                Frame::Upserted { encoded: self.snapshot.upserted(&found)?, resume_token: String::new() }
            }
            Update::Upserted(entry) => Frame::Upserted {
                encoded: entry.encoded(frame::upserted).clone(),
                resume_token: token::resume(self.digest, entry.revision()),
            },
            Update::Removed { id, status, revision } => Frame::Message(Box::new(StreamPendingApprovalsResponse {
                change: Some(Change::Removed(proto::RemovedApproval {
                    id: id.to_string(),
                    status: convert::status(status).into(),
                    revision,
                })),
                resume_token: token::resume(self.digest, revision),
            })),
            Update::Synced(revision) => self.bookmark(true, Some(revision)),
        })
    }

    fn bookmark(&self, synced: bool, covered: Option<i64>) -> Frame {
        Frame::Message(Box::new(StreamPendingApprovalsResponse {
            change: Some(Change::Bookmark(proto::Bookmark { synced, revision: covered.unwrap_or_default() })),
            resume_token: covered.map(|revision| token::resume(self.digest, revision)).unwrap_or_default(),
        }))
    }
}
