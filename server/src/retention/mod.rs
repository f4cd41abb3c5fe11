//! Moves what is finished and old out of the store: first into files, which are on disk before anything goes.
//!
//! The log goes from its beginning, as far as its events are old enough, into `record-<revision>.jsonl`: files in the
//! format of an exported record, each of which follows on the one before it. Approvals go once all of their events have,
//! into `approvals-<revision>.jsonl`, a line each. A file is named after the first revision in it, so that one that was
//! written shortly before a crash is written anew in its place, and nothing is in two files.

mod files;

use std::{path::PathBuf, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    clock::SharedClock,
    store::{SharedStore, StoreError, retention::line},
    telemetry::metrics::SharedMetrics,
};

/// How many events are in a file of the record, at most.
const EVENTS: usize = 5_000;

/// What is moved out, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where to.
    pub folder: PathBuf,
    /// How old it has to be.
    pub after: SignedDuration,
    /// How many approvals at a time, in one transaction.
    pub batch: usize,
    /// How long others are left alone between two.
    pub pause: Duration,
    /// How often it is looked for.
    pub every: Duration,
}

/// Moves old things out of a store.
pub struct Retention {
    /// Out of which.
    pub store: SharedStore,
    /// What time it is.
    pub clock: SharedClock,
    /// How.
    pub settings: Settings,
    /// Where it is counted.
    pub metrics: SharedMetrics,
}

/// Why nothing more was moved out.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// The store failed.
    #[error("the store can't be read or written")]
    Store(#[from] StoreError),
    /// A file can't be written.
    #[error("the archive can't be written")]
    File(#[from] std::io::Error),
    /// The store left out an event that it has.
    #[error("event {0} is missing in the record")]
    Gap(i64),
}

/// What was moved out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moved {
    /// So many events of the log.
    pub events: u64,
    /// So many approvals.
    pub approvals: u64,
}

impl Retention {
    /// Looks at once, and then again and again, until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let every = SignedDuration::try_from(self.settings.every).unwrap_or(SignedDuration::MAX);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                moved = self.pass() => match moved {
                    Ok(Moved { events: 0, approvals: 0 }) => {}
                    Ok(Moved { events, approvals }) => info!(events, approvals, "archived"),
                    Err(error) => {
                        self.metrics.archive_failures.inc();
                        warn!(error = &error as &dyn std::error::Error, "archiving stopped; it is tried again");
                    }
                }
            }
            let next = self.clock.now().checked_add(every).unwrap_or(Timestamp::MAX);
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.clock.sleep_until(next) => {}
            }
        }
    }

    /// Moves out all that is old enough now. May be dropped at any point.
    ///
    /// # Errors
    /// [`RetentionError`]; what was moved out before that is.
    pub async fn pass(&self) -> Result<Moved, RetentionError> {
        let Settings { folder, after, batch, .. } = &self.settings;
        let before = self.clock.now().checked_sub(*after).unwrap_or(Timestamp::MIN);
        let mut moved = Moved::default();
        files::folder(folder).await?;
        while let Some(events) = self.store.old_events(before, EVENTS).await? {
            files::record(&self.store, folder, events).await?;
            if !self.store.cut(events).await? {
                break;
            }
            let count = u64::try_from(events.last - events.first + 1).unwrap_or(0);
            self.metrics.archived_events.inc_by(count);
            moved.events += count;
            self.pause().await;
        }
        loop {
            let retired = self.store.retired(*batch).await?;
            let Some(first) = retired.first() else { return Ok(moved) };
            let mut text = String::new();
            for approval in &retired {
                text.push_str(&line(approval)?);
                text.push('\n');
            }
            let name = format!("approvals-{:015}.jsonl", first.revision);
            files::write(folder, name, text).await?;
            let ids = retired.iter().map(|approval| approval.id.clone()).collect();
            let pruned = self.store.prune(ids).await?;
            if pruned == 0 {
                return Ok(moved);
            }
            self.metrics.archived_approvals.inc_by(pruned);
            moved.approvals += pruned;
            self.pause().await;
        }
    }

    async fn pause(&self) {
        let pause = SignedDuration::try_from(self.settings.pause).unwrap_or_default();
        self.clock.sleep_until(self.clock.now().checked_add(pause).unwrap_or(Timestamp::MAX)).await;
    }
}
