//! The watch: from the store's log of changes to subscribers.
//!
//! A hub follows the log once and keeps its newest part in memory. A subscriber is a cursor in the log: it reads what is
//! in memory from there, and what is not from the store. So a slow one costs no memory, is not dropped, and slows
//! nobody.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    approval::{Approval, ApprovalId, DeliveryState, Status},
    store::{Change, Changes, Filter, Revision, SharedStore, StoreError},
};

/// How many changes are kept in memory.
const KEPT: usize = 8_192;
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
    /// Matches, in this form.
    Upserted {
        /// The approval.
        approval: Arc<Approval>,
        /// Where to resume; `None` within a snapshot.
        resume: Option<Revision>,
    },
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

/// The newest part of the log, in memory.
#[derive(Default)]
struct Tail {
    changes: VecDeque<Arc<Change>>,
    /// Every change after this revision is in `changes`.
    after: Revision,
}

impl Tail {
    /// Changes after a revision, if all of them are here.
    fn read(&self, after: Revision) -> Option<Vec<Arc<Change>>> {
        if after < self.after {
            return None;
        }
        let from = self.changes.partition_point(|change| change.revision <= after);
        Some(self.changes.iter().skip(from).take(PAGE).cloned().collect())
    }

    fn push(&mut self, change: Change) {
        self.changes.push_back(Arc::new(change));
        while self.changes.len() > KEPT {
            if let Some(dropped) = self.changes.pop_front() {
                self.after = dropped.revision;
            }
        }
    }
}

/// Follows the store's log for all subscribers.
pub struct Hub {
    store: SharedStore,
    tail: RwLock<Tail>,
    head: watch::Sender<Revision>,
    settled: Mutex<HashMap<ApprovalId, Vec<oneshot::Sender<Arc<Approval>>>>>,
}

impl Hub {
    /// A hub that begins at the store's head.
    #[must_use]
    pub fn new(store: SharedStore) -> Arc<Self> {
        let head = *store.head().borrow();
        Arc::new(Self {
            store,
            tail: RwLock::new(Tail { after: head, ..Tail::default() }),
            head: watch::Sender::new(head),
            settled: Mutex::default(),
        })
    }

    /// Follows the log until told to stop.
    pub async fn run(&self, stop: CancellationToken) {
        let mut store_head = self.store.head();
        let mut cursor = *self.head.borrow();
        loop {
            let newest = *store_head.borrow_and_update();
            match self.store.changes_after(cursor, PAGE).await {
                Ok(Changes::Some(changes)) if !changes.is_empty() => {
                    cursor = changes.last().map_or(cursor, |change| change.revision);
                    self.publish(changes, cursor);
                    continue;
                }
                // Not every event changes an approval.
                Ok(Changes::Some(_)) => cursor = cursor.max(newest),
                // Cannot be: the hub follows closely. Begin anew from what is kept; cursors below it read the store.
                Ok(Changes::Compacted(oldest)) => {
                    let mut tail = self.tail.write().unwrap_or_else(PoisonError::into_inner);
                    *tail = Tail { after: oldest, ..Tail::default() };
                    cursor = oldest;
                    continue;
                }
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the watch can't read the log");
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(std::time::Duration::from_millis(200)) => {}
                    }
                    continue;
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                changed = store_head.wait_for(|head| *head > cursor) => if changed.is_err() { return },
            }
        }
    }

    fn publish(&self, changes: Vec<Change>, head: Revision) {
        {
            let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
            if !settled.is_empty() {
                for change in changes.iter().filter(|change| is_settled(&change.after)) {
                    for waiter in settled.remove(&change.after.id).into_iter().flatten() {
                        // Whoever waited may have gone.
                        let _ = waiter.send(Arc::clone(&change.after));
                    }
                }
            }
        }
        {
            let mut tail = self.tail.write().unwrap_or_else(PoisonError::into_inner);
            for change in changes {
                tail.push(change);
            }
        }
        self.head.send_replace(head);
    }

    /// Waits until an approval's delivery is settled; forgets about it when dropped.
    pub async fn settled(&self, id: &ApprovalId) -> Option<Arc<Approval>> {
        let receiver = {
            let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
            let (sender, receiver) = oneshot::channel();
            let waiters = settled.entry(id.clone()).or_default();
            waiters.retain(|waiter| !waiter.is_closed());
            waiters.push(sender);
            receiver
        };
        // It may have been settled before there was a waiter.
        let known = self.store.get(id).await.ok().flatten();
        if let Some(known) = known.filter(|known| is_settled(known)) {
            return Some(known);
        }
        receiver.await.ok()
    }

    /// A subscription: from a revision, or with a snapshot first.
    pub fn subscribe(self: &Arc<Self>, filter: Filter, resume: Option<Revision>) -> Result<Subscription, WatchError> {
        let head = self.head.subscribe();
        let newest = *self.store.head().borrow();
        let state = match resume {
            Some(revision) if revision > newest => return Err(WatchError::Ahead { head: newest }),
            Some(revision) => State::Changes { cursor: revision, synced: false },
            None => State::Snapshot { as_of: *head.borrow(), after: None },
        };
        Ok(Subscription { hub: Arc::clone(self), filter, head, state })
    }
}

fn is_settled(approval: &Approval) -> bool {
    match approval.delivery.state {
        DeliveryState::Delivered | DeliveryState::Undeliverable => true,
        DeliveryState::None => approval.status.is_final(),
        DeliveryState::Recorded => false,
    }
}

enum State {
    Snapshot { as_of: Revision, after: Option<ApprovalId> },
    Changes { cursor: Revision, synced: bool },
}

/// One subscriber's place in the log.
pub struct Subscription {
    hub: Arc<Hub>,
    filter: Filter,
    head: watch::Receiver<Revision>,
    state: State,
}

impl Subscription {
    /// The revision up to which everything was told; `None` within a snapshot.
    #[must_use]
    pub fn covered(&self) -> Option<Revision> {
        match self.state {
            State::Snapshot { .. } => None,
            State::Changes { cursor, .. } => Some(cursor),
        }
    }

    /// The next updates, in order; waits for some. May be empty, when what happened is not of interest. Nothing is lost
    /// if the future is dropped.
    pub async fn next(&mut self) -> Result<Vec<Update>, WatchError> {
        match &self.state {
            State::Snapshot { as_of, after } => {
                let (as_of, after) = (*as_of, after.clone());
                let page = self.hub.store.pending_at(as_of, after, PAGE).await.map_err(WatchError::Store)?;
                let mut updates: Vec<_> = page
                    .approvals
                    .into_iter()
                    .filter(|approval| self.matches(approval))
                    .map(|approval| Update::Upserted { approval, resume: None })
                    .collect();
                if page.next.is_some() {
                    self.state = State::Snapshot { as_of, after: page.next };
                } else {
                    self.state = State::Changes { cursor: as_of, synced: true };
                    updates.push(Update::Synced(as_of));
                }
                Ok(updates)
            }
            State::Changes { cursor, synced } => {
                let (cursor, synced) = (*cursor, *synced);
                let changes = self.read(cursor).await?;
                if let Some(last) = changes.last() {
                    let updates = changes.iter().filter_map(|change| self.update(change)).collect();
                    self.state = State::Changes { cursor: last.revision, synced };
                    return Ok(updates);
                }
                if !synced {
                    self.state = State::Changes { cursor, synced: true };
                    return Ok(vec![Update::Synced(cursor)]);
                }
                // The hub outlives its subscribers.
                let _ = self.head.wait_for(|head| *head > cursor).await;
                Ok(Vec::new())
            }
        }
    }

    async fn read(&self, cursor: Revision) -> Result<Vec<Arc<Change>>, WatchError> {
        let in_memory = self.hub.tail.read().unwrap_or_else(PoisonError::into_inner).read(cursor);
        if let Some(changes) = in_memory {
            return Ok(changes);
        }
        match self.hub.store.changes_after(cursor, PAGE).await.map_err(WatchError::Store)? {
            Changes::Some(changes) => Ok(changes.into_iter().map(Arc::new).collect()),
            Changes::Compacted(oldest) => Err(WatchError::Compacted { oldest }),
        }
    }

    /// The filter is applied to before and after: what stops matching is removed.
    fn update(&self, change: &Change) -> Option<Update> {
        if self.matches(&change.after) {
            let approval = Arc::clone(&change.after);
            return Some(Update::Upserted { approval, resume: Some(change.revision) });
        }
        let matched = change.before.as_deref().is_some_and(|before| self.matches(before));
        matched.then(|| Update::Removed {
            id: change.after.id.clone(),
            status: change.after.status,
            revision: change.revision,
        })
    }

    fn matches(&self, approval: &Approval) -> bool {
        approval.status == Status::Pending && self.filter.matches(approval)
    }
}
