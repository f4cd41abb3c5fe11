//! The newest changes that this server has made itself, in memory. They are of use as long as no other server writes.

use std::sync::{Mutex, PoisonError};

use crate::store::{Change, Revision, tail::Tail};

/// The newest changes, if they are this server's.
#[derive(Debug)]
pub(super) struct OwnTail {
    tail: Tail<Change>,
    /// Up to where they are complete.
    until: Mutex<Revision>,
}

impl OwnTail {
    /// An empty one, of a store whose newest revision is `head`.
    pub(super) fn new(head: Revision, max_changes: usize, max_bytes: usize) -> Self {
        Self { tail: Tail::new(head, max_changes, max_bytes), until: Mutex::new(head) }
    }

    /// Adds the changes of the revisions after `after`, up to `until`. Where others wrote between what is here and these,
    /// it begins anew with them.
    pub(super) fn push(&self, after: Revision, changes: Vec<Change>, until: Revision) {
        let mut known = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if *known != after {
            self.tail.restart(after);
        }
        self.tail.push(changes);
        *known = until;
    }

    /// The changes strictly after `revision`, `limit` at most, of a store whose newest revision is `head`; `None` where
    /// some of them are not here.
    pub(super) fn after(&self, revision: Revision, head: Revision, limit: usize) -> Option<Vec<Change>> {
        let known = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if *known < head { None } else { self.tail.after(revision, limit) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::{
        strategy::{Strategy as _, ValueTree as _},
        test_runner::TestRunner,
    };

    use super::*;
    use crate::approval::arbitrary::{new_approval, requests};

    fn change(revision: Revision) -> Vec<Change> {
        let request = requests().new_tree(&mut TestRunner::deterministic()).unwrap().current();
        vec![Change { revision, before: None, after: Arc::new(new_approval(request, "{}")) }]
    }

    fn revisions(tail: &OwnTail, after: Revision, head: Revision) -> Option<Vec<Revision>> {
        Some(tail.after(after, head, 9)?.iter().map(|change| change.revision).collect())
    }

    #[test]
    fn what_others_wrote_is_missed() {
        let tail = OwnTail::new(10, 9, usize::MAX);
        tail.push(10, change(11), 11);
        assert_eq!(revisions(&tail, 10, 11), Some(vec![11]));
        assert_eq!(revisions(&tail, 11, 12), None, "12 is somebody else's");
        tail.push(12, change(13), 14);
        assert_eq!(revisions(&tail, 11, 14), None);
        assert_eq!(revisions(&tail, 12, 14), Some(vec![13]));
        assert_eq!(revisions(&tail, 13, 14), Some(vec![]), "14 changed nothing");
    }
}
