//! One reader of the log for all subscribers.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{Semaphore, oneshot, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Entry, PAGE, SharedEntry, Subscription, WatchError, concern,
    interest::Interests,
    pages::{Page, Pages},
    reading::Reading,
};
use crate::{
    approval::{Approval, ApprovalId, DeliveryState},
    store::{Change, Changes, Filter, PendingPage, Revision, SharedStore, StoreError, tail::Tail},
};

/// How much of the log is kept in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// How many changes, at most.
    pub changes: usize,
    /// How many bytes of them, at most; roughly, and as much again for what is sent of them.
    pub bytes: usize,
    /// How many bytes of the older part, which is read again for subscribers that are behind; at most, and likewise.
    pub older_bytes: usize,
}

impl Default for Kept {
    fn default() -> Self {
        Self { changes: 8_192, bytes: 8 << 20, older_bytes: 8 << 20 }
    }
}

/// How many pages are read from the store at once, of the log and of snapshots, so that its other readers do not wait
/// behind all who watch.
const READS: usize = 2;

/// How long a revision is waited for that another server may have told of.
const CATCH_UP: std::time::Duration = std::time::Duration::from_secs(3);

/// Follows the store's log for all subscribers.
pub struct Hub {
    store: SharedStore,
    reads: Semaphore,
    tasks: TaskTracker,
    tail: Tail<SharedEntry>,
    pages: Pages,
    pub(super) interests: Interests,
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
            reads: Semaphore::new(READS),
            tasks: TaskTracker::new(),
            tail: Tail::new(head, kept.changes, kept.bytes),
            pages: Pages::new(kept.older_bytes),
            interests: Interests::new(head),
            head: watch::Sender::new(head),
            settled: Mutex::default(),
        })
    }

    /// Follows the log until told to stop.
    pub async fn run(&self, stop: CancellationToken) {
        self.follow(stop).await;
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn follow(&self, stop: CancellationToken) {
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
                Ok(Changes::Some(_)) => {
                    if cursor < newest {
                        cursor = newest;
                        self.publish(Vec::new(), cursor);
                    }
                }
                // Cannot be: the hub follows closely. Begin anew from what is kept; cursors below it read the store.
                Ok(Changes::Compacted(oldest)) => {
                    self.tail.restart(oldest);
                    self.interests.ask(oldest, |_| true);
                    cursor = oldest;
                    self.head.send_replace(cursor);
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
        let entries: Vec<_> = changes.into_iter().map(|change| SharedEntry(Arc::new(Entry::from(change)))).collect();
        self.tail.push(entries.iter().cloned());
        self.interests
            .ask(head, |filter| entries.iter().any(|SharedEntry(entry)| concern(filter, &entry.change).is_some()));
        // Last: whoever knows of the head knows what is of interest up to it.
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
        let newest = *self.store.head().borrow();
        match resume {
            Some(revision) if revision > newest => Err(WatchError::Ahead { head: newest }),
            Some(revision) => Ok(Subscription::resumed(Arc::clone(self), filter, revision)),
            None => Ok(Subscription::with_snapshot(Arc::clone(self), filter)),
        }
    }

    /// The newest revision that was published.
    pub(super) fn head(&self) -> Revision {
        *self.head.borrow()
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

    /// What `look` makes of the changes after a revision, if they are in memory.
    pub(super) fn look_after<R>(
        &self,
        revision: Revision,
        look: impl FnOnce(&mut dyn Iterator<Item = &Arc<Entry>>) -> R,
    ) -> Option<R> {
        self.tail.look_after(revision, |entries| look(&mut entries.map(|SharedEntry(entry)| entry)))
    }

    /// Begins to read the next changes after a revision, which the log has passed.
    pub(super) fn read_page(self: &Arc<Self>, after: Revision) -> Reading<Arc<Page>> {
        let hub = Arc::clone(self);
        Reading::of(
            self.tasks.spawn(async move { hub.pages.after(after, |begin, limit| hub.page(begin, limit)).await }),
        )
    }

    /// Begins to read a page of what was pending at a revision.
    pub(super) fn read_pending(self: &Arc<Self>, as_of: Revision, after: Option<ApprovalId>) -> Reading<PendingPage> {
        let hub = Arc::clone(self);
        Reading::of(self.tasks.spawn(async move {
            // It is never closed.
            let _turn = hub.reads.acquire().await;
            hub.store.pending_at(as_of, after, PAGE).await.map_err(WatchError::Store)
        }))
    }

    async fn page(&self, begin: Revision, limit: usize) -> Result<Page, WatchError> {
        let _turn = self.reads.acquire().await;
        let head = *self.store.head().borrow();
        match self.store.changes_after(begin, limit).await.map_err(WatchError::Store)? {
            Changes::Some(changes) => Ok(Page {
                // There may be more after the last one; where there is none at all there was none up to the head.
                until: changes.last().map_or(head, |change| change.revision),
                entries: changes.into_iter().map(|change| Arc::new(change.into())).collect(),
            }),
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
