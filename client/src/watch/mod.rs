mod session;
mod stream;
mod view;

use std::{sync::Arc, time::Duration};

use approve_proto::v1::{Approval, ApprovalStatus, StreamPendingApprovalsRequest};

use crate::{Error, Filter};

pub use stream::WatchStream;
pub use view::View;

/// The bounds within which a server keeps the heartbeat interval.
const HEARTBEAT_MIN: Duration = Duration::from_secs(1);
const HEARTBEAT_MAX: Duration = Duration::from_secs(60);

/// After how many heartbeat intervals without a message a stream counts as dead.
const SILENT_INTERVALS: u32 = 3;

/// Asks for a stream of pending approvals; see [`Client::watch`](crate::Client::watch).
#[derive(Clone, Debug, PartialEq)]
pub struct Watch {
    filter: Option<Filter>,
    resume_token: Option<String>,
    heartbeat: Duration,
    reconnect_min: Duration,
    reconnect_max: Duration,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            filter: None,
            resume_token: None,
            heartbeat: Duration::from_secs(10),
            reconnect_min: Duration::from_millis(100),
            reconnect_max: Duration::from_secs(15),
        }
    }
}

impl Watch {
    /// All pending approvals, from a snapshot on.
    pub fn new() -> Self {
        Self::default()
    }

    /// Those that the filter matches.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// Goes on after this token of [`WatchStream::resume_token`], with the same filter, instead of a snapshot. If the
    /// server no longer keeps what came after it, the stream starts with [`WatchEvent::Reset`] and a snapshot.
    pub fn resume_token(mut self, token: impl Into<String>) -> Self {
        self.resume_token = Some(token.into()).filter(|token| !token.is_empty());
        self
    }

    /// How often the server shows a sign of life where nothing happens: 1 s to 60 s, default 10 s. A stream that is
    /// silent for three times as long is given up and made again.
    pub fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.heartbeat = interval.clamp(HEARTBEAT_MIN, HEARTBEAT_MAX);
        self
    }

    /// The shortest and the longest wait before a new try. Default 100 ms and 15 s; between them it grows with each
    /// failure in a row, and is random.
    pub fn reconnect_delay(mut self, min: Duration, max: Duration) -> Self {
        self.reconnect_min = min;
        self.reconnect_max = max;
        self
    }

    fn silence(&self) -> Duration {
        self.heartbeat * SILENT_INTERVALS
    }

    fn request(&self, resume_token: Option<&str>) -> StreamPendingApprovalsRequest {
        StreamPendingApprovalsRequest {
            filter: self.filter.clone().map(Into::into),
            resume_token: resume_token.unwrap_or_default().to_owned(),
            heartbeat_interval: prost_types::Duration::try_from(self.heartbeat).ok(),
        }
    }
}

/// What a watch tells, in the order in which it happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum WatchEvent {
    /// A pending approval that matches, as it is now: new, or changed.
    Upserted(Box<Approval>),
    /// An approval that was upserted before and no longer matches, mostly because it is final.
    Removed {
        /// Its id.
        id: String,
        /// Its status now; PENDING where it only ceased to match the filter.
        status: ApprovalStatus,
        /// The revision of the change.
        revision: i64,
    },
    /// Everything up to now was told; from here on it is live. Comes after the snapshot, and after each reconnect.
    Synced {
        /// The newest revision that was told.
        revision: i64,
    },
    /// What was told so far no longer holds: drop it. A new snapshot follows.
    Reset,
    /// The connection was lost. Nothing to do: it is made again by itself, and what is missed will be told.
    Disconnected {
        /// Why.
        cause: Arc<Error>,
        /// When it is tried again.
        retry_in: Duration,
    },
}
