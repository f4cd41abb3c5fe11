//! One reader of the log for all subscribers.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::{Entry, PAGE, SharedEntry, Subscription, WatchError};
use crate::{
    approval::{Approval, ApprovalId, DeliveryState},
    store::{Change, Changes, Filter, Revision, SharedStore, StoreError, tail::Tail},
};

/// How much of the log is kept in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// How many changes, at most.
    pub changes: usize,
    /// How many bytes of them, at most; roughly, and as much again for what is sent of them.
    pub bytes: usize,
}

impl Default for Kept {
    fn default() -> Self {
        Self { changes: 8_192, bytes: 16 << 20 }
    }
}

/// How long a revision is waited for that another server may have told of.
const CATCH_UP: std::time::Duration = std::time::Duration::from_secs(3);

/// Follows the store's log for all subscribers.
pub struct Hub {
    pub(super) store: SharedStore,
    tail: Tail<SharedEntry>,
    head: watch::Sender<Revision>,
    settled: Mutex<HashMap<ApprovalId, Vec<oneshot::Sender<Arc<Approval>>>>>,
}

impl Hub {
    /// A hub that begins at the store's head.
    #[must_use]
    pub fn new(store: SharedStore, kept: Kept) -> Arc<Self> {
        let head = *store.head().borrow();
        Arc::new(Self {
            store,
            tail: Tail::new(head, kept.changes, kept.bytes),
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
                    self.tail.restart(oldest);
                    cursor = oldest;
                    continue;
                }
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the watch can't read the log");
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(Duration::from_millis(200)) => {}
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
        self.tail.push(changes.into_iter().map(|change| SharedEntry(Arc::new(Entry::from(change)))));
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
    ///
    /// # Errors
    /// [`WatchError::Ahead`] where the log has not come to the revision.
    pub fn subscribe(self: &Arc<Self>, filter: Filter, resume: Option<Revision>) -> Result<Subscription, WatchError> {
        let head = self.head.subscribe();
        let newest = *self.store.head().borrow();
        match resume {
            Some(revision) if revision > newest => Err(WatchError::Ahead { head: newest }),
            Some(revision) => Ok(Subscription::resumed(Arc::clone(self), filter, head, revision)),
            None => Ok(Subscription::with_snapshot(Arc::clone(self), filter, head)),
        }
    }

    /// Waits a little for the log to come to a revision, where other servers write it as well: one of them may have told of
    /// it before it is seen here.
    pub(crate) async fn reach(&self, revision: Revision) {
        let shared = self.store.standing().borrow().lease.is_some();
        let mut head = self.store.head();
        if shared {
            // If it does not come, the subscription says so.
            let _ = tokio::time::timeout(CATCH_UP, head.wait_for(|head| *head >= revision)).await;
        }
    }

    /// The changes after a revision; from memory where they are there.
    pub(super) async fn changes_after(&self, revision: Revision) -> Result<Vec<Arc<Entry>>, WatchError> {
        if let Some(changes) = self.tail.after(revision, PAGE) {
            return Ok(changes.into_iter().map(|SharedEntry(entry)| entry).collect());
        }
        match self.store.changes_after(revision, PAGE).await.map_err(WatchError::Store)? {
            Changes::Some(changes) => Ok(changes.into_iter().map(|change| Arc::new(change.into())).collect()),
            Changes::Compacted(oldest) => Err(WatchError::Compacted { oldest }),
        }
    }
}

fn is_settled(approval: &Approval) -> bool {
    match approval.delivery.state {
        DeliveryState::Delivered | DeliveryState::Undeliverable => true,
        DeliveryState::None => approval.status.is_final(),
        DeliveryState::Recorded => false,
    }
}
