//! Pages of the log's older part, shared by the subscribers that are behind: read and decoded once, however many are.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::OnceCell;

use super::{Entry, WatchError};
use crate::store::{Revision, tail::weight};

/// Pages end where revisions are a multiple of this, or soon after: whoever reads on meets those who started elsewhere.
const STEP: Revision = 64;

/// What a page weighs beside its changes.
const BASE_WEIGHT: usize = 256;

/// The changes strictly after a revision, up to another one.
#[derive(Debug)]
pub(super) struct Page {
    /// The last revision of what it covers.
    pub(super) until: Revision,
    pub(super) entries: Vec<Arc<Entry>>,
}

/// Pages that were read. Bounded by bytes: the one that was not asked for the longest goes first.
#[derive(Debug)]
pub(super) struct Pages {
    max_bytes: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// By the revision that they begin after.
    pages: BTreeMap<Revision, Slot>,
    bytes: usize,
    /// Counts what was asked for.
    asked: u64,
}

#[derive(Debug)]
struct Slot {
    page: Loading,
    bytes: usize,
    /// When it was asked for last.
    asked: u64,
}

/// Empty while it is read: by one of those who wait for it.
type Loading = Arc<OnceCell<Arc<Page>>>;

impl Pages {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { max_bytes, held: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A page that covers what comes after `cursor`; it may begin before. What is not here is read by `load`, which is
    /// given where to begin and how many changes to read at most. One page is read once at a time.
    pub(super) async fn after<F>(
        &self,
        cursor: Revision,
        load: impl Fn(Revision, usize) -> F,
    ) -> Result<Arc<Page>, WatchError>
    where
        F: Future<Output = Result<Page, WatchError>>,
    {
        loop {
            let (begin, loading) = self.lock().find(cursor);
            let limit = usize::try_from(STEP - begin.rem_euclid(STEP)).unwrap_or(1);
            let read = || async {
                let page = Arc::new(load(begin, limit).await?);
                self.keep(begin, &page);
                Ok(page)
            };
            let page = loading.get_or_try_init(read).await?;
            if page.until > cursor {
                return Ok(Arc::clone(page));
            }
            // Another one's, which ends before.
        }
    }

    fn keep(&self, begin: Revision, page: &Page) {
        let bytes = BASE_WEIGHT + page.entries.iter().map(|entry| weight(&entry.change.after)).sum::<usize>();
        let mut held = self.lock();
        let Some(slot) = held.pages.get_mut(&begin) else { return };
        slot.bytes = bytes;
        held.bytes += bytes;
        while held.bytes > self.max_bytes {
            let loaded = held.pages.iter().filter(|(_, slot)| slot.bytes > 0);
            let Some(oldest) = loaded.min_by_key(|(_, slot)| slot.asked).map(|(begin, _)| *begin) else { break };
            if let Some(slot) = held.pages.remove(&oldest) {
                held.bytes -= slot.bytes;
            }
        }
    }
}

impl Held {
    /// Where the page begins that covers what comes after `cursor`, or that may, once it is read.
    fn find(&mut self, cursor: Revision) -> (Revision, Loading) {
        self.asked += 1;
        let near = self.pages.range_mut(..=cursor).next_back();
        if let Some((begin, slot)) = near {
            let covers = match slot.page.get() {
                Some(page) => page.until > cursor,
                None => begin.div_euclid(STEP) == cursor.div_euclid(STEP),
            };
            if covers {
                slot.asked = self.asked;
                return (*begin, Arc::clone(&slot.page));
            }
        }
        // What failed, or was given up, is nobody's any more.
        self.pages.retain(|_, slot| slot.page.initialized() || Arc::strong_count(&slot.page) > 1);
        let page = Loading::default();
        self.pages.insert(cursor, Slot { page: Arc::clone(&page), bytes: 0, asked: self.asked });
        (cursor, page)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;
    use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};

    use super::*;
    use crate::{
        approval::{
            Approval,
            arbitrary::{new_approval, requests},
        },
        store::Change,
    };

    /// A log in which one of so many revisions is a change.
    struct Log {
        of: Revision,
        approval: Arc<Approval>,
        reads: AtomicUsize,
    }

    impl Log {
        fn new(of: Revision) -> Self {
            let request = requests().new_tree(&mut TestRunner::deterministic()).unwrap().current();
            Self { of, approval: Arc::new(new_approval(request, "{}")), reads: AtomicUsize::new(0) }
        }

        fn entry(&self, revision: Revision) -> Arc<Entry> {
            Arc::new(Entry::from(Change { revision, before: None, after: Arc::clone(&self.approval) }))
        }

        async fn read(&self, begin: Revision, limit: usize) -> Result<Page, WatchError> {
            tokio::task::yield_now().await;
            self.reads.fetch_add(1, Ordering::Relaxed);
            let entries: Vec<_> = (begin + 1..)
                .filter(|revision| revision % self.of == 0)
                .map(|revision| self.entry(revision))
                .take(limit)
                .collect();
            Ok(Page { until: entries.last().unwrap().revision(), entries })
        }

        fn reads(&self) -> usize {
            self.reads.load(Ordering::Relaxed)
        }
    }

    /// Reads from one revision to another, and says what it was told.
    async fn follow(pages: &Pages, log: &Log, mut cursor: Revision, end: Revision) -> Vec<Revision> {
        let mut told = Vec::new();
        while cursor < end {
            let page = pages.after(cursor, |begin, limit| log.read(begin, limit)).await.unwrap();
            told.extend(page.entries.iter().map(|entry| entry.revision()).filter(|revision| *revision > cursor));
            cursor = page.until;
        }
        told
    }

    #[tokio::test]
    async fn who_is_behind_reads_what_another_one_read() {
        let pages = Pages::new(usize::MAX);
        let log = Log::new(1);
        let told = join_all((0..50).map(|_| follow(&pages, &log, 0, 4 * STEP))).await;
        assert_eq!(log.reads(), 4, "one page is read once, by whoever came first");
        assert!(told.iter().all(|told| *told == (1..=4 * STEP).collect::<Vec<_>>()));
        follow(&pages, &log, STEP + 44, 4 * STEP).await;
        assert_eq!(log.reads(), 4, "also by who begins in the midst of it");
    }

    #[tokio::test]
    async fn those_who_begin_elsewhere_meet() {
        let pages = Pages::new(usize::MAX);
        let log = Log::new(1);
        join_all((0..50).rev().map(|cursor| follow(&pages, &log, cursor, 10 * STEP))).await;
        assert!(log.reads() < 50 + 10, "{}", log.reads());
    }

    #[tokio::test]
    async fn what_is_held_is_bounded() {
        let log = Log::new(1);
        let weight = 64 * weight(&log.entry(1).change.after) + BASE_WEIGHT;
        let pages = Pages::new(3 * weight);
        for begin in [0, 77, 4_000, 100_000, 3] {
            follow(&pages, &log, begin, begin + 500).await;
            let held = pages.lock();
            assert!(held.bytes <= 3 * weight && held.pages.len() <= 8, "{} {}", held.bytes, held.pages.len());
            assert_eq!(held.bytes, held.pages.values().map(|slot| slot.bytes).sum::<usize>());
        }
        let reads = log.reads();
        follow(&pages, &log, 6 * STEP, 503).await;
        assert_eq!(log.reads(), reads, "the newest ones are held");
        let none = Pages::new(0);
        assert_eq!(follow(&none, &log, 0, 600).await, (1..=10 * STEP).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn who_gives_up_leaves_the_page_to_the_others() {
        let pages = Pages::new(usize::MAX);
        let log = Log::new(1);
        let mut first = Box::pin(follow(&pages, &log, 0, STEP));
        assert!(futures::poll!(&mut first).is_pending());
        let mut second = Box::pin(follow(&pages, &log, 0, STEP));
        assert!(futures::poll!(&mut second).is_pending());
        drop(first);
        assert_eq!(second.await.len(), 64);
        let mut third = Box::pin(follow(&pages, &log, 5_000, 5_100));
        assert!(futures::poll!(&mut third).is_pending());
        drop(third);
        follow(&pages, &log, STEP, 2 * STEP).await;
        assert_eq!(pages.lock().pages.len(), 2, "nothing is kept of what nobody reads");
    }

    #[tokio::test]
    async fn a_failure_is_told_to_who_meets_it_and_tried_again() {
        let pages = Pages::new(usize::MAX);
        let fails = |_, _| async { Err(WatchError::Compacted { oldest: 9 }) };
        assert!(matches!(pages.after(3, fails).await, Err(WatchError::Compacted { oldest: 9 })));
        let log = Log::new(1);
        assert_eq!(follow(&pages, &log, 3, STEP).await.len(), 61);
    }

    proptest! {
        #[test]
        fn nothing_is_left_out_or_told_twice(
            starts in proptest::collection::vec(0_i64..1_500, 1..12),
            held in 0_usize..3_000_000,
        ) {
            let pages = Pages::new(held);
            let log = Log::new(3);
            let all = starts.iter().map(|start| follow(&pages, &log, *start, 1_500));
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            for (start, told) in starts.iter().zip(runtime.block_on(join_all(all))) {
                let last = *told.last().unwrap();
                let expected: Vec<_> = (start + 1..=last).filter(|revision| revision % 3 == 0).collect();
                prop_assert!(last >= 1_500);
                prop_assert_eq!(told, expected);
            }
        }
    }
}
