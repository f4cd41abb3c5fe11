//! The newest changes, in memory, so that a watch that keeps up never touches the disk.

use std::{
    borrow::Borrow,
    collections::{VecDeque, vec_deque::Iter},
    sync::{PoisonError, RwLock},
};

use super::{Change, Revision};
use crate::approval::Approval;

/// What an approval weighs beside its input: roughly its state and its request.
const BASE_WEIGHT: usize = 2_048;

/// The newest changes. Bounded by number and by bytes, whichever comes first.
#[derive(Debug)]
pub(crate) struct Tail<T = Change> {
    max_changes: usize,
    max_bytes: usize,
    held: RwLock<Held<T>>,
}

#[derive(Debug)]
struct Held<T> {
    /// Every change after this revision is here.
    after: Revision,
    changes: VecDeque<T>,
    bytes: usize,
}

impl<T: Borrow<Change> + Clone> Tail<T> {
    /// An empty one, of a log whose newest revision is `head`.
    pub(crate) fn new(head: Revision, max_changes: usize, max_bytes: usize) -> Self {
        Self { max_changes, max_bytes, held: RwLock::new(Held::new(head)) }
    }

    /// Adds changes, which must be the next ones.
    pub(crate) fn push(&self, changes: impl IntoIterator<Item = T>) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            held.bytes += weight(&change.borrow().after);
            held.changes.push_back(change);
        }
        while held.changes.len() > self.max_changes || held.bytes > self.max_bytes {
            let Some(oldest) = held.changes.pop_front() else { break };
            held.bytes -= weight(&oldest.borrow().after);
            held.after = oldest.borrow().revision;
        }
    }

    /// Forgets everything: what is pushed next comes after `head`.
    pub(crate) fn restart(&self, head: Revision) {
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = Held::new(head);
    }

    /// The changes strictly after `revision`, `limit` at most; `None` where some of them are no longer here.
    pub(crate) fn after(&self, revision: Revision, limit: usize) -> Option<Vec<T>> {
        self.look_after(revision, |changes| changes.take(limit).cloned().collect())
    }

    /// What `look` makes of the changes strictly after `revision`; `None` where some of them are no longer here. What is
    /// pushed waits for it.
    pub(crate) fn look_after<R>(&self, revision: Revision, look: impl FnOnce(Iter<'_, T>) -> R) -> Option<R> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        if revision < held.after {
            return None;
        }
        let first = held.changes.partition_point(|change| change.borrow().revision <= revision);
        Some(look(held.changes.range(first..)))
    }
}

impl<T> Held<T> {
    const fn new(after: Revision) -> Self {
        Self { after, changes: VecDeque::new(), bytes: 0 }
    }
}

/// Roughly how much memory an approval takes, in bytes.
pub(crate) fn weight(approval: &Approval) -> usize {
    let votes = approval.votes.iter().map(|vote| vote.comment.len() + vote.response.as_ref().map_or(0, String::len));
    BASE_WEIGHT + approval.input.len() + approval.request.description.len() + votes.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};

    use super::*;
    use crate::approval::arbitrary::{new_approval, requests};

    fn changes(revisions: impl IntoIterator<Item = Revision>, input: usize) -> Vec<Change> {
        let mut request = requests().new_tree(&mut TestRunner::deterministic()).unwrap().current();
        request.description.clear();
        let approval = Arc::new(new_approval(request, &"x".repeat(input)));
        let change = |revision| Change { revision, before: None, after: approval.clone() };
        revisions.into_iter().map(change).collect()
    }

    fn revisions(tail: &Tail<Change>, after: Revision, limit: usize) -> Option<Vec<Revision>> {
        Some(tail.after(after, limit)?.iter().map(|change| change.revision).collect())
    }

    #[test]
    fn it_knows_what_it_no_longer_holds() {
        let tail = Tail::new(10, 3, usize::MAX);
        assert_eq!(revisions(&tail, 10, 9), Some(vec![]));
        assert_eq!(revisions(&tail, 9, 9), None);
        tail.push(changes([11, 13, 14], 0));
        assert_eq!(revisions(&tail, 10, 9), Some(vec![11, 13, 14]));
        assert_eq!(revisions(&tail, 11, 1), Some(vec![13]));
        assert_eq!(revisions(&tail, 12, 9), Some(vec![13, 14]), "within a change");
        tail.push(changes([15, 16], 0));
        assert_eq!(revisions(&tail, 12, 9), None);
        assert_eq!(revisions(&tail, 13, 9), Some(vec![14, 15, 16]));
        assert_eq!(revisions(&tail, 99, 9), Some(vec![]));
    }

    #[test]
    fn long_inputs_push_others_out() {
        let tail = Tail::new(0, 100, 3 * (BASE_WEIGHT + 1_000));
        tail.push(changes(1..=10, 1_000));
        assert_eq!(revisions(&tail, 7, 9), Some(vec![8, 9, 10]));
        assert_eq!(revisions(&tail, 6, 9), None);
        tail.push(changes([11], 1 << 20));
        assert_eq!(revisions(&tail, 11, 9), Some(vec![]), "what is too long is not kept at all");
        assert_eq!(revisions(&tail, 10, 9), None);
    }

    proptest! {
        #[test]
        fn what_it_holds_is_what_was_pushed(
            sizes in proptest::collection::vec((1_i64..3, 0_usize..5_000), 0..60),
            after in 0_i64..130,
        ) {
            let tail = Tail::new(0, 20, 60_000);
            let (mut all, mut head) = (Vec::new(), 0);
            for (step, input) in sizes {
                head += step;
                all.push(head);
                tail.push(changes([head], input));
            }
            let expected: Vec<_> = all.into_iter().filter(|revision| *revision > after).collect();
            if let Some(found) = revisions(&tail, after, usize::MAX) {
                prop_assert_eq!(found, expected);
            } else {
                prop_assert!(!expected.is_empty());
            }
        }
    }
}
