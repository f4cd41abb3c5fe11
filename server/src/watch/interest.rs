//! What subscribers wait for: a filter is asked once about what is new, for all who share it, and nobody is woken for
//! what is not of interest.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry as MapEntry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::store::{Filter, Revision};

/// How many spans a filter remembers. Who is farther behind reads on from where it is.
const SPANS: usize = 64;

/// The filters that are waited with.
#[derive(Debug)]
pub(super) struct Interests(Mutex<Known>);

#[derive(Debug)]
struct Known {
    /// Each filter was asked about all up to this revision.
    asked: Revision,
    filters: HashMap<Arc<Filter>, (Arc<Interest>, usize)>,
}

/// A filter, and where in the newest part of the log there is something for it.
#[derive(Debug)]
pub(super) struct Interest {
    filter: Arc<Filter>,
    spans: Mutex<Spans>,
    /// The end of the last span.
    newest: watch::Sender<Revision>,
}

/// Strictly after the first revision, up to the second one.
#[derive(Debug)]
struct Spans {
    /// After this revision there is nothing but in these spans.
    since: Revision,
    found: VecDeque<(Revision, Revision)>,
}

impl Interests {
    /// None yet, of a log whose newest revision is `head`.
    pub(super) fn new(head: Revision) -> Self {
        Self(Mutex::new(Known { asked: head, filters: HashMap::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One who waits with a filter; [`leave`](Self::leave) ends that.
    pub(super) fn join(&self, filter: Filter) -> Arc<Interest> {
        let mut known = self.lock();
        let since = known.asked;
        match known.filters.entry(Arc::new(filter)) {
            MapEntry::Occupied(mut shared) => {
                let (interest, waiting) = shared.get_mut();
                *waiting += 1;
                Arc::clone(interest)
            }
            MapEntry::Vacant(new) => {
                let interest = Arc::new(Interest {
                    filter: Arc::clone(new.key()),
                    spans: Mutex::new(Spans { since, found: VecDeque::new() }),
                    newest: watch::Sender::new(since),
                });
                new.insert((Arc::clone(&interest), 1));
                interest
            }
        }
    }

    pub(super) fn leave(&self, interest: &Interest) {
        let mut known = self.lock();
        if let Some((_, waiting)) = known.filters.get_mut(&interest.filter) {
            *waiting -= 1;
            if *waiting == 0 {
                known.filters.remove(&interest.filter);
            }
        }
    }

    /// Asks each filter whether there is something for it after what was asked about before, up to `head`; wakes those
    /// who wait for it.
    pub(super) fn ask(&self, head: Revision, is_concerned: impl Fn(&Filter) -> bool) {
        let mut known = self.lock();
        let before = std::mem::replace(&mut known.asked, head);
        for (interest, _) in known.filters.values() {
            if is_concerned(&interest.filter) {
                interest.add(before, head);
            }
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.lock().filters.len()
    }
}

impl Interest {
    pub(super) fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Wakes whoever waits for something.
    pub(super) fn wakes(&self) -> watch::Receiver<Revision> {
        self.newest.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Spans> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, after: Revision, until: Revision) {
        {
            let mut spans = self.lock();
            match spans.found.back_mut() {
                Some(last) if last.1 == after => last.1 = until,
                _ => spans.found.push_back((after, until)),
            }
            if spans.found.len() > SPANS
                && let Some((_, until)) = spans.found.pop_front()
            {
                spans.since = until;
            }
        }
        self.newest.send_replace(until);
    }

    /// How far the log holds nothing of interest after `cursor`; `head` where that is all of it, which must have been
    /// read before.
    pub(super) fn quiet_until(&self, cursor: Revision, head: Revision) -> Revision {
        let spans = self.lock();
        if cursor < spans.since {
            return cursor;
        }
        let next = spans.found.partition_point(|(_, until)| *until <= cursor);
        spans.found.get(next).map_or(head, |(after, _)| *after).max(cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workflow(name: &str) -> Filter {
        Filter { workflow: Some(name.to_owned()), ..Filter::default() }
    }

    #[test]
    fn it_knows_where_there_is_something_and_forgets_the_oldest() {
        let interests = Interests::new(10);
        let interest = interests.join(workflow("pay"));
        assert_eq!(interest.quiet_until(10, 10), 10);
        interests.ask(20, |_| false);
        assert_eq!(interest.quiet_until(10, 20), 20);
        assert_eq!(interest.quiet_until(9, 20), 9, "nobody was asked about that");
        interests.ask(23, |filter| *filter == workflow("pay"));
        interests.ask(29, |_| true);
        interests.ask(40, |_| false);
        assert_eq!(interest.quiet_until(10, 40), 20);
        assert_eq!(interest.quiet_until(21, 40), 21);
        assert_eq!(interest.quiet_until(29, 40), 40);
        let mut head = 40;
        for _ in 0..SPANS {
            interests.ask(head + 1, |_| true);
            interests.ask(head + 2, |_| false);
            head += 2;
        }
        assert_eq!(interest.quiet_until(21, head), 21, "the first span is forgotten");
        assert_eq!(interest.quiet_until(30, head), 40, "the second is not");
    }

    #[test]
    fn those_who_wait_alike_share_and_are_woken_together() {
        let interests = Interests::new(0);
        let (first, second) = (interests.join(workflow("pay")), interests.join(workflow("pay")));
        let other = interests.join(workflow("ship"));
        let (mut wakes, mut others) = (second.wakes(), other.wakes());
        interests.ask(1, |filter| *filter == workflow("pay"));
        assert!(wakes.has_changed().unwrap() && !others.has_changed().unwrap());
        assert_eq!((*wakes.borrow_and_update(), *others.borrow_and_update()), (1, 0));
        interests.leave(&first);
        assert_eq!(interests.len(), 2);
        interests.leave(&second);
        assert_eq!(interests.len(), 1);
        interests.leave(&other);
        assert_eq!(interests.len(), 0, "no filter is asked that nobody waits with");
    }
}
