//! The newest changes, in memory, so that a watch that keeps up never touches the disk.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{Change, Revision};

/// What a change weighs beside its input: roughly its state and its request.
const BASE_WEIGHT: usize = 2_048;

/// The newest changes. Bounded by number and by bytes, whichever comes first.
#[derive(Debug)]
pub(super) struct Tail {
    max_changes: usize,
    max_bytes: usize,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    /// Every change after this revision is here.
    after: Revision,
    changes: VecDeque<Change>,
    bytes: usize,
}

impl Tail {
    /// An empty one, of a store whose newest revision is `head`.
    pub(super) fn new(head: Revision, max_changes: usize, max_bytes: usize) -> Self {
        Self { max_changes, max_bytes, held: Mutex::new(Held { after: head, changes: VecDeque::new(), bytes: 0 }) }
    }

    /// Adds changes, which must be the next ones.
    pub(super) fn push(&self, changes: Vec<Change>) {
        let mut held = self.lock();
        for change in changes {
            held.bytes += weight(&change);
            held.changes.push_back(change);
        }
        while held.changes.len() > self.max_changes || held.bytes > self.max_bytes {
            let Some(oldest) = held.changes.pop_front() else { break };
            held.bytes -= weight(&oldest);
            held.after = oldest.revision;
        }
    }

    /// The changes strictly after `revision`, `limit` at most; `None` where some of them are no longer here.
    pub(super) fn after(&self, revision: Revision, limit: usize) -> Option<Vec<Change>> {
        let held = self.lock();
        if revision < held.after {
            return None;
        }
        let first = held.changes.partition_point(|change| change.revision <= revision);
        Some(held.changes.iter().skip(first).take(limit).cloned().collect())
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn weight(change: &Change) -> usize {
    let approval = &change.after;
    let votes = approval.votes.iter().map(|vote| vote.comment.len() + vote.response.as_ref().map_or(0, String::len));
    BASE_WEIGHT + approval.input.len() + approval.request.description.len() + votes.sum::<usize>()
}
