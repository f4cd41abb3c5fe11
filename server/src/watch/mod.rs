//! The watch: from the store's log of changes to subscribers.
//!
//! A hub follows the log once and keeps its newest part in memory. A subscriber is a cursor in the log: it reads what is
//! in memory from there, and what is not from the store, in pages that it shares with others that are behind. So a slow
//! one costs no memory, is not dropped, and slows nobody. Whether a change is of interest is asked once for each filter,
//! and only those who wait with such a filter are woken.

mod hub;
mod interest;
mod pages;
mod reading;
mod subscription;

use std::{
    borrow::Borrow,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;

pub use self::{
    hub::{Hub, Kept},
    subscription::Subscription,
};
use crate::{
    approval::{Approval, ApprovalId, Status},
    store::{Change, Filter, Pending, Revision, StoreError},
};

/// How many changes, or approvals of a snapshot, are read at once.
const PAGE: usize = 256;

/// Why a subscription can't go on.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The store failed.
    #[error("the watch can't read on")]
    Store(#[source] StoreError),
    /// Changes after its revision are not kept any more.
    #[error("the revision to resume from is not kept any more")]
    Compacted {
        /// The oldest revision to resume from.
        oldest: Revision,
    },
    /// Its revision has not been reached.
    #[error("the revision to resume from is newer than what there is")]
    Ahead {
        /// The newest revision.
        head: Revision,
    },
}

/// Something to tell a subscriber.
#[derive(Debug, Clone)]
pub enum Update {
    /// Matches, as a snapshot found it.
    Found(Pending),
    /// Matches, in the form that it has after this change.
    Upserted(Arc<Entry>),
    /// Matched before, and does not any more.
    Removed {
        /// Which.
        id: ApprovalId,
        /// Its status now.
        status: Status,
        /// The revision of the change, to resume from.
        revision: Revision,
    },
    /// All up to this revision was told; from here on it is live.
    Synced(Revision),
}

/// A change as all subscribers share it, and what they send of it.
#[derive(Debug)]
pub struct Entry {
    change: Change,
    encoded: OnceLock<Bytes>,
}

impl Entry {
    /// The revision of the change, to resume from.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.change.revision
    }

    /// The approval after the change.
    #[must_use]
    pub fn approval(&self) -> &Arc<Approval> {
        &self.change.after
    }

    /// Whether the approval did not match before the change.
    #[must_use]
    pub fn is_new_to(&self, filter: &Filter) -> bool {
        !self.change.before.as_deref().is_some_and(|before| before.status == Status::Pending && filter.matches(before))
    }

    /// What `encode` makes of the approval: made once, however many subscribers send it. All must encode alike.
    pub fn encoded(&self, encode: impl FnOnce(&Approval) -> Bytes) -> &Bytes {
        self.encoded.get_or_init(|| encode(&self.change.after))
    }
}

impl From<Change> for Entry {
    fn from(change: Change) -> Self {
        Self { change, encoded: OnceLock::new() }
    }
}

/// How a change concerns those who ask with a filter.
enum Concern {
    /// It matches now.
    Matches,
    /// It matched before, and does not any more.
    Matched,
}

/// The filter is applied to before and after: what stops matching is removed.
fn concern(filter: &Filter, change: &Change) -> Option<Concern> {
    let matches = |approval: &Approval| approval.status == Status::Pending && filter.matches_as_it_stands(approval);
    // What it was asked with never changes.
    if !filter.may_match(&change.after.id, &change.after.request) {
        None
    } else if matches(&change.after) {
        Some(Concern::Matches)
    } else {
        change.before.as_deref().is_some_and(matches).then_some(Concern::Matched)
    }
}

/// Whose weight and place a [`Tail`](crate::store::tail::Tail) goes by.
#[derive(Debug, Clone)]
struct SharedEntry(Arc<Entry>);

impl Borrow<Change> for SharedEntry {
    fn borrow(&self) -> &Change {
        &self.0.change
    }
}
