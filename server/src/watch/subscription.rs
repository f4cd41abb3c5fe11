//! One subscriber's place in the log.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Concern, Entry, Hub, Update, WatchError, concern, interest::Interest, pages::Page, reading::Reading};
use crate::{
    approval::ApprovalId,
    store::{Filter, Pending, PendingPage, Revision, StoreError, tail::weight},
};

/// How many updates a subscriber takes at once, at most: whoever stalls holds on to those.
const MOST: usize = 32;
/// And how many bytes of them, roughly.
const MOST_BYTES: usize = 512 << 10;
/// How many changes it looks at, at most, before others have their turn.
const LOOKED_AT: usize = 512;

enum State {
    Snapshot { as_of: Revision, after: Option<ApprovalId>, page: Reading<PendingPage> },
    Changes { cursor: Revision, synced: bool, page: Option<Reading<Arc<Page>>> },
}

impl State {
    const fn changes(cursor: Revision, synced: bool) -> Self {
        Self::Changes { cursor, synced, page: None }
    }
}

/// One subscriber's place in the log.
pub struct Subscription {
    hub: Arc<Hub>,
    interest: Arc<Interest>,
    wakes: watch::Receiver<Revision>,
    state: State,
}

impl Subscription {
    pub(super) fn resumed(hub: Arc<Hub>, filter: Filter, revision: Revision) -> Self {
        Self::new(hub, filter, State::changes(revision, false))
    }

    pub(super) fn with_snapshot(hub: Arc<Hub>, filter: Filter) -> Self {
        let as_of = hub.head();
        let page = hub.read_pending(as_of, None);
        Self::new(hub, filter, State::Snapshot { as_of, after: None, page })
    }

    fn new(hub: Arc<Hub>, filter: Filter, state: State) -> Self {
        let interest = hub.interests.join(filter);
        Self { wakes: interest.wakes(), hub, interest, state }
    }

    /// The revision up to which everything was told; `None` within a snapshot.
    #[must_use]
    pub fn covered(&self) -> Option<Revision> {
        match self.state {
            State::Snapshot { .. } => None,
            State::Changes { cursor, .. } => Some(self.quiet_until(cursor)),
        }
    }

    fn quiet_until(&self, cursor: Revision) -> Revision {
        let head = self.hub.head();
        self.interest.quiet_until(cursor, head)
    }

    /// The next updates, in order; waits for some. May be empty, when what happened is not of interest. Nothing is lost
    /// if the future is dropped.
    ///
    /// # Errors
    /// [`WatchError::Store`] where the store can't be read, [`WatchError::Compacted`] where the changes to tell next are
    /// not kept any more.
    pub async fn next(&mut self) -> Result<Vec<Update>, WatchError> {
        let filter = self.interest.filter();
        match &mut self.state {
            State::Snapshot { as_of, after, page } => {
                let as_of = *as_of;
                let found = match page.done().await {
                    Ok(found) => found,
                    Err(error) => {
                        *page = self.hub.read_pending(as_of, after.clone());
                        return Err(error);
                    }
                };
                let is_last = found.next.is_none();
                self.state = match found.next {
                    // The store reads on while this page is sent.
                    Some(last) => State::Snapshot {
                        as_of,
                        page: self.hub.read_pending(as_of, Some(last.clone())),
                        after: Some(last),
                    },
                    None => State::changes(as_of, true),
                };
                let mut updates = matching(filter, found.approvals).map_err(WatchError::Store)?;
                if is_last {
                    updates.push(Update::Synced(as_of));
                }
                Ok(updates)
            }
            State::Changes { cursor, page: reading @ Some(_), .. } => {
                let Some(page) = reading else { return Ok(Vec::new()) };
                let read = page.done().await;
                *reading = None;
                let page = read?;
                let first = page.entries.partition_point(|entry| entry.revision() <= *cursor);
                let (updates, seen) = take(filter, &mut page.entries.iter().skip(first), page.until);
                *cursor = seen;
                Ok(updates)
            }
            State::Changes { cursor, synced, page } => {
                let head = self.hub.head();
                *cursor = self.interest.quiet_until(*cursor, head);
                if *cursor < head {
                    match self.hub.look_after(*cursor, |entries| take(filter, entries, head)) {
                        Some((updates, seen)) => {
                            *cursor = seen;
                            return Ok(updates);
                        }
                        None => *page = Some(self.hub.read_page(*cursor)),
                    }
                    return Ok(Vec::new());
                }
                if !*synced {
                    *synced = true;
                    return Ok(vec![Update::Synced(*cursor)]);
                }
                let cursor = *cursor;
                // The hub outlives its subscribers.
                let _ = self.wakes.wait_for(|newest| *newest > cursor).await;
                Ok(Vec::new())
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.interests.leave(&self.interest);
    }
}

/// Of a page of a snapshot. Who asks for everything has no need to have it read.
fn matching(filter: &Filter, found: Vec<Pending>) -> Result<Vec<Update>, StoreError> {
    if *filter == Filter::default() {
        return Ok(found.into_iter().map(Update::Found).collect());
    }
    let mut updates = Vec::new();
    for one in found {
        let approval = one.read()?;
        if filter.matches(&approval) {
            updates.push(Update::Found(approval.into()));
        }
    }
    Ok(updates)
}

/// What there is to tell of the next changes, and how far they were looked at: `until` or beyond, where that was all.
fn take(filter: &Filter, entries: &mut dyn Iterator<Item = &Arc<Entry>>, until: Revision) -> (Vec<Update>, Revision) {
    let (mut updates, mut bytes, mut seen) = (Vec::new(), 0, 0);
    for (looked_at, entry) in entries.enumerate() {
        if updates.len() == MOST || bytes > MOST_BYTES || looked_at == LOOKED_AT {
            return (updates, seen);
        }
        seen = entry.revision();
        if let Some(update) = update(filter, entry) {
            bytes += weight(&entry.change.after);
            updates.push(update);
        }
    }
    (updates, seen.max(until))
}

fn update(filter: &Filter, entry: &Arc<Entry>) -> Option<Update> {
    let change = &entry.change;
    Some(match concern(filter, change)? {
        Concern::Matches => Update::Upserted(Arc::clone(entry)),
        Concern::Matched => {
            Update::Removed { id: change.after.id.clone(), status: change.after.status, revision: change.revision }
        }
    })
}
