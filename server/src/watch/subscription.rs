//! One subscriber's place in the log.

use std::sync::Arc;

use futures::{FutureExt as _, future::BoxFuture};
use tokio::sync::watch;

use super::{Entry, Hub, PAGE, Update, WatchError};
use crate::{
    approval::{Approval, ApprovalId, Status},
    store::{Filter, Page, Revision, StoreError},
};

type NextPage = BoxFuture<'static, Result<Page, StoreError>>;

enum State {
    Snapshot { as_of: Revision, after: Option<ApprovalId>, page: NextPage },
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
    pub(super) fn resumed(hub: Arc<Hub>, filter: Filter, head: watch::Receiver<Revision>, revision: Revision) -> Self {
        Self { hub, filter, head, state: State::Changes { cursor: revision, synced: false } }
    }

    pub(super) fn with_snapshot(hub: Arc<Hub>, filter: Filter, head: watch::Receiver<Revision>) -> Self {
        let as_of = *head.borrow();
        let state = State::Snapshot { as_of, after: None, page: page(&hub, as_of, None) };
        Self { hub, filter, head, state }
    }

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
    ///
    /// # Errors
    /// [`WatchError::Store`] where the store can't be read, [`WatchError::Compacted`] where the changes to tell next are
    /// not kept any more.
    pub async fn next(&mut self) -> Result<Vec<Update>, WatchError> {
        match &mut self.state {
            State::Snapshot { as_of, after, page: next } => {
                let as_of = *as_of;
                let found = match next.as_mut().await {
                    Ok(found) => found,
                    Err(error) => {
                        *next = page(&self.hub, as_of, after.clone());
                        return Err(WatchError::Store(error));
                    }
                };
                self.state = match found.next {
                    Some(last) => {
                        let mut next = page(&self.hub, as_of, Some(last.clone()));
                        // The store reads on while this page is sent.
                        let now = (&mut next).now_or_never();
                        let page = now.map_or(next, |found| async { found }.boxed());
                        State::Snapshot { as_of, after: Some(last), page }
                    }
                    None => State::Changes { cursor: as_of, synced: true },
                };
                let matching = found.approvals.into_iter().filter(|approval| matches(&self.filter, approval));
                let mut updates: Vec<_> = matching.map(Update::Found).collect();
                if self.covered().is_some() {
                    updates.push(Update::Synced(as_of));
                }
                Ok(updates)
            }
            State::Changes { cursor, synced } => {
                let changes = self.hub.changes_after(*cursor).await?;
                if let Some(last) = changes.last() {
                    *cursor = last.revision();
                    return Ok(changes.into_iter().filter_map(|change| update(&self.filter, change)).collect());
                }
                if !*synced {
                    *synced = true;
                    return Ok(vec![Update::Synced(*cursor)]);
                }
                let cursor = *cursor;
                // The hub outlives its subscribers.
                let _ = self.head.wait_for(|head| *head > cursor).await;
                Ok(Vec::new())
            }
        }
    }
}

fn page(hub: &Arc<Hub>, as_of: Revision, after: Option<ApprovalId>) -> NextPage {
    let store = Arc::clone(&hub.store);
    Box::pin(async move { store.pending_at(as_of, after, PAGE).await })
}

/// The filter is applied to before and after: what stops matching is removed.
fn update(filter: &Filter, entry: Arc<Entry>) -> Option<Update> {
    let change = &entry.change;
    if matches(filter, &change.after) {
        return Some(Update::Upserted(entry));
    }
    let matched = change.before.as_deref().is_some_and(|before| matches(filter, before));
    matched.then(|| Update::Removed {
        id: change.after.id.clone(),
        status: change.after.status,
        revision: change.revision,
    })
}

fn matches(filter: &Filter, approval: &Approval) -> bool {
    approval.status == Status::Pending && filter.matches(approval)
}
