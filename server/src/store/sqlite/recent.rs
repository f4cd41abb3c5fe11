//! The approvals that were written last, in memory: what mostly follows on a write (a vote, the next one, the delivery)
//! finds its approval here, and need not read and decode what was encoded a moment ago.

use hashlink::LruCache;

use crate::{
    approval::ApprovalId,
    store::{tables::Stored, tail::weight},
};

/// Approvals as their rows say, of the only connection that writes them.
pub(super) struct Recent {
    approvals: LruCache<ApprovalId, Stored>,
    bytes: usize,
    max_bytes: usize,
}

impl Recent {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { approvals: LruCache::new_unbounded(), bytes: 0, max_bytes }
    }

    pub(super) fn get(&mut self, id: &ApprovalId) -> Option<Stored> {
        self.approvals.get(id).cloned()
    }

    /// Keeps what was read or written, in place of what was known.
    pub(super) fn put(&mut self, stored: Stored) {
        self.bytes += weight(&stored.approval);
        if let Some(known) = self.approvals.insert(stored.approval.id.clone(), stored) {
            self.bytes -= weight(&known.approval);
        }
        while self.bytes > self.max_bytes {
            let Some((_, oldest)) = self.approvals.remove_lru() else { break };
            self.bytes -= weight(&oldest.approval);
        }
    }

    /// Forgets one, whose row was written past it.
    pub(super) fn forget(&mut self, id: &ApprovalId) {
        if let Some(known) = self.approvals.remove(id) {
            self.bytes -= weight(&known.approval);
        }
    }

    /// Forgets all: what was written may have been rolled back.
    pub(super) fn clear(&mut self) {
        self.approvals.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};

    use super::Recent;
    use crate::{
        approval::{
            ApprovalId,
            arbitrary::{new_approval, requests},
        },
        store::{due::DueTimes, tables::Stored, tail::weight},
    };

    #[test]
    fn what_was_not_used_longest_is_forgotten_first() {
        let request = requests().new_tree(&mut TestRunner::deterministic()).unwrap().current();
        let stored = |number: i64| {
            let mut approval = new_approval(request.clone(), "{}");
            approval.id = ApprovalId::from_uuid(uuid::Uuid::from_u128(number.unsigned_abs().into()));
            Stored { number, due: DueTimes::default(), approval: Arc::new(approval) }
        };
        let (first, second, third) = (stored(1), stored(2), stored(3));
        let mut recent = Recent::new(2 * weight(&first.approval));
        recent.put(first.clone());
        recent.put(first.clone());
        recent.put(second.clone());
        assert!(recent.get(&first.approval.id).is_some());
        recent.put(third.clone());
        let known = |recent: &mut Recent, stored: &Stored| recent.get(&stored.approval.id).map(|known| known.number);
        assert_eq!(known(&mut recent, &first), Some(1));
        assert_eq!(known(&mut recent, &second), None);
        assert_eq!(known(&mut recent, &third), Some(3));
        recent.forget(&first.approval.id);
        assert_eq!(known(&mut recent, &first), None);
        recent.put(second.clone());
        assert_eq!(known(&mut recent, &third), Some(3));
        assert_eq!(known(&mut recent, &second), Some(2));
    }
}
