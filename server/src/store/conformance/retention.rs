//! What leaves a store for good.

use super::*;
use crate::store::{Filter, ListQuery, Order, retention::OldEvents};

fn day(number: i64) -> Timestamp {
    start() + SignedDuration::from_hours(24 * number)
}

/// Delivers what was decided.
async fn deliver(store: &SharedStore, decided: &Approval, at: Timestamp) -> Arc<Approval> {
    let delivered = Command::Delivered { token: decided.task.token.clone(), attempts: 1 };
    done(store, decided, delivered, at).await
}

/// Cuts off all that was before a day, in pieces; the newest that is no longer kept.
async fn cut_all(store: &SharedStore, before: Timestamp, piece: usize) -> Revision {
    let mut last = 0;
    while let Some(events) = store.old_events(before, piece).await.unwrap() {
        assert_eq!(events.first, last + 1);
        assert!(events.last - events.first < i64::try_from(piece).unwrap());
        assert!(store.cut(events).await.unwrap());
        assert!(!store.cut(events).await.unwrap(), "twice");
        last = events.last;
    }
    last
}

async fn ids(store: &SharedStore) -> Vec<ApprovalId> {
    let query = ListQuery {
        filter: Filter::default(),
        statuses: Vec::new(),
        order: Order::OldestFirst,
        after: None,
        limit: 100,
    };
    store.list(query).await.unwrap().approvals.iter().map(|approval| approval.id.clone()).collect()
}

fn prune(retired: &[Arc<Approval>]) -> Vec<ApprovalId> {
    retired.iter().map(|approval| approval.id.clone()).collect()
}

pub(crate) async fn finished_approvals_go_with_their_events(bed: &dyn Bed) {
    let store = bed.open().await;
    let mut labelled = task(1);
    labelled.task.request.labels = Labels::from([("team".to_owned(), "a \u{0} b".to_owned())]);
    let gone = created(&store, labelled).await;
    let pending = created(&store, task(2)).await;
    let undelivered = created(&store, task(3)).await;
    let later = created(&store, task(4)).await;
    let nobodys = crate::audit::AdminEvent::ServerStopped { version: "1".to_owned() };
    store.record(origin(), None, None, nobodys, seconds(1)).await.unwrap();
    let asked = store.execute(&gone.id, reject(), origin(), seconds(2), key("bob", "once", 1)).await.unwrap();
    let gone = deliver(&store, &done_of(asked), seconds(3)).await;
    done(&store, &undelivered, reject(), seconds(4)).await;
    let old = head(&store);
    let rejected = done(&store, &later, reject(), day(10)).await;
    deliver(&store, &rejected, day(10)).await;
    let whole = record(&store, 100).await;
    let of_pending = history(&store, &pending.id).await;

    assert_eq!(store.old_events(start(), 100).await.unwrap(), None, "nothing is that old");
    assert_eq!(store.retired(100).await.unwrap(), [], "nothing was cut off");
    let last = cut_all(&store, day(5), 3).await;
    assert_eq!(last, old);
    assert_eq!(changes(&store, last, 10).await.len(), 2);
    let range = ExportRange { first: None, last: head(&store), payloads: true, limit: 100 };
    let Exported::Some { previous, events } = store.export(range).await.unwrap() else { panic!("compacted") };
    let kept = usize::try_from(last).unwrap();
    assert_eq!((previous, &events[..]), (whole[kept - 1].hash, &whole[kept..]), "the chain goes on");
    assert_eq!(store.export(ExportRange { first: Some(last), ..range }).await.unwrap(), Exported::Compacted(last));
    assert_eq!(history(&store, &pending.id).await, of_pending, "what is kept is kept with its events");

    let retired = store.retired(100).await.unwrap();
    assert_eq!(retired, std::slice::from_ref(&gone));
    assert_eq!(store.prune(prune(&retired)).await.unwrap(), 1);
    assert_eq!(store.prune(prune(&retired)).await.unwrap(), 0, "it is gone");
    let mut store = store;
    for reopened in [false, true] {
        if reopened {
            store.close().await.unwrap();
            drop(store);
            store = bed.open().await;
            // What was in memory was told from there until now.
            let before = store.changes_after(last - 1, 10).await.unwrap();
            assert!(matches!(before, Changes::Compacted(oldest) if oldest == last), "{before:?}");
        }
        assert_eq!(store.get(&gone.id).await.unwrap(), None);
        assert_eq!(ids(&store).await, [pending.id.clone(), undelivered.id.clone(), later.id.clone()]);
        assert!(history(&store, &gone.id).await.is_empty());
        assert_eq!(store.count_pending(None).await.unwrap(), 1);
        assert_eq!(pending_at(&store, head(&store), 10).await, std::slice::from_ref(&pending));
        assert_eq!(store.due_deliveries(day(20), 10).await.unwrap().items.len(), 1, "what is to be delivered");
    }
    let labels = gone.request.labels.clone();
    let of_label = ListQuery {
        filter: Filter { labels, ..Filter::default() },
        statuses: Vec::new(),
        order: Order::OldestFirst,
        after: None,
        limit: 100,
    };
    assert_eq!(store.list(of_label).await.unwrap().approvals, []);
    // A request for it finds nothing; its token is anybody's.
    let again = store.execute(&gone.id, reject(), origin(), seconds(5), key("bob", "once", 1)).await.unwrap();
    assert!(matches!(again, Executed::NotFound), "{again:?}");
    let anew = created(&store, task(1)).await;
    assert!(![&pending.id, &undelivered.id, &later.id].contains(&&anew.id));
    let twice = store.admit(task(1)).await.unwrap();
    assert!(matches!(&twice, Admitted::Known(known) if known.id == anew.id), "{twice:?}");
    // What was kept goes on.
    let rejected = done(&store, &pending, reject(), day(11)).await;
    deliver(&store, &rejected, day(11)).await;
    let delivered = store.get(&undelivered.id).await.unwrap().unwrap();
    deliver(&store, &delivered, day(11)).await;
    while let Some(events) = store.old_events(day(12), 100).await.unwrap() {
        assert!(store.cut(events).await.unwrap());
    }
    let retired = store.retired(1).await.unwrap();
    assert_eq!(retired.len(), 1, "one at a time");
}

pub(crate) async fn what_something_happened_to_stays(bed: &dyn Bed) {
    let store = bed.open().await;
    let mut all = Vec::new();
    for number in 1..=4 {
        let approval = created(&store, task(number)).await;
        let rejected = done(&store, &approval, reject(), seconds(1)).await;
        all.push(deliver(&store, &rejected, seconds(2)).await);
    }
    created(&store, task(5)).await;
    cut_all(&store, day(1), 100).await;
    let retired = store.retired(3).await.unwrap();
    assert_eq!(retired, all[..3]);
    // Somebody tries to vote: that is recorded as one of its events.
    let refused = store.execute(&all[1].id, approve("ana"), caller("user:ana", None), day(2), None).await.unwrap();
    assert!(matches!(refused, Executed::Refused(_)), "{refused:?}");
    assert_eq!(store.prune(prune(&retired)).await.unwrap(), 2);
    assert!(store.get(&all[1].id).await.unwrap().is_some());
    assert_eq!(store.retired(10).await.unwrap(), all[3..]);
    record_from(&store).await;
}

/// What is kept of the record is one chain.
async fn record_from(store: &SharedStore) {
    let head = store.chain_head().await.unwrap();
    let range = ExportRange { first: None, last: head.revision, payloads: true, limit: 1_000 };
    let Exported::Some { previous, events } = store.export(range).await.unwrap() else { panic!("compacted") };
    let mut hash = previous;
    for event in &events {
        hash = hash.then(&event.record);
        assert_eq!(event.hash, hash);
    }
    assert_eq!(head.hash, hash);
}

pub(crate) async fn the_newest_event_stays(bed: &dyn Bed) {
    let store = bed.open().await;
    assert_eq!(store.old_events(day(1), 10).await.unwrap(), None);
    created(&store, task(1)).await;
    assert_eq!(store.old_events(day(1), 10).await.unwrap(), None);
    created(&store, task(2)).await;
    assert_eq!(store.old_events(day(1), 10).await.unwrap(), Some(OldEvents { first: 1, last: 1 }));
    assert!(!store.cut(OldEvents { first: 1, last: 2 }).await.unwrap(), "all of it");
    assert!(!store.cut(OldEvents { first: 2, last: 2 }).await.unwrap(), "not from its beginning");
    assert!(store.cut(OldEvents { first: 1, last: 1 }).await.unwrap());
    record_from(&store).await;
    created(&store, task(3)).await;
    record_from(&store).await;
}
