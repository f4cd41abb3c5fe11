//! What watches read.

use std::collections::BTreeMap;

use tokio::task::JoinSet;

use super::*;
use crate::approval::ApprovalId;

/// Some approvals go through some changes, in turns.
async fn script(store: &SharedStore) {
    let first = created(store, task(1)).await;
    let second = created(store, task(2)).await;
    done(store, &first, approve("ana"), seconds(1)).await;
    done(store, &second, reject(), seconds(2)).await;
    let third = created(store, task(3)).await;
    let decided = done(store, &first, approve("bob"), seconds(3)).await;
    let delivered = Command::Delivered { token: decided.task.token.clone(), attempts: 1 };
    done(store, &first, delivered, seconds(4)).await;
    done(store, &third, approve("ana"), seconds(5)).await;
    done(store, &third, vote("ana", Decision::Reject), seconds(6)).await;
    created(store, task(0)).await;
}

pub(crate) async fn changes_come_in_order_with_what_was_before(bed: &dyn Bed) {
    let store = bed.open().await;
    script(&store).await;
    let all = changes(&store, 0, 100).await;
    let revisions: Vec<_> = all.iter().map(|change| change.revision).collect();
    // A decision is two events, and one change.
    assert_eq!(revisions, [1, 2, 3, 5, 6, 8, 9, 10, 12, 13]);
    let mut latest: BTreeMap<ApprovalId, Arc<Approval>> = BTreeMap::new();
    for change in &all {
        assert_eq!(change.after.revision, change.revision);
        assert_eq!(change.before, latest.insert(change.after.id.clone(), change.after.clone()));
        assert_eq!(&*change.after.input, INPUT);
    }
    for approval in latest.values() {
        assert_eq!(get(&store, approval).await, *approval);
    }
    for after in 0..=head(&store) {
        let expected: Vec<_> = all.iter().filter(|change| change.revision > after).collect();
        for piece in [1, 3, 100] {
            let found = changes(&store, after, piece).await;
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!((&found.before, &found.after), (&expected.before, &expected.after));
            }
        }
    }
    assert!(changes(&store, head(&store) + 5, 10).await.is_empty());
}

pub(crate) async fn what_was_pending_is_seen_as_it_was(bed: &dyn Bed) {
    let store = bed.open().await;
    script(&store).await;
    let all = changes(&store, 0, 100).await;
    for as_of in 0..=head(&store) {
        let mut then: BTreeMap<ApprovalId, Arc<Approval>> = BTreeMap::new();
        for change in all.iter().filter(|change| change.revision <= as_of) {
            then.insert(change.after.id.clone(), change.after.clone());
        }
        let expected: Vec<_> = then.into_values().filter(|approval| !approval.status.is_final()).collect();
        for piece in [1, 2, 100] {
            assert_eq!(pending_at(&store, as_of, piece).await, expected, "at {as_of}");
        }
    }
}

pub(crate) async fn the_head_moves_with_every_change(bed: &dyn Bed) {
    let store = bed.open().await;
    let mut head = store.head();
    assert_eq!(*head.borrow_and_update(), 0);
    let approval = created(&store, task(1)).await;
    assert!(head.has_changed().unwrap());
    assert_eq!(*head.borrow_and_update(), 1);
    let decided = done(&store, &approval, reject(), seconds(1)).await;
    head.changed().await.unwrap();
    assert_eq!(*head.borrow_and_update(), decided.revision);
    refused(&store, &approval, cancel(), seconds(1)).await;
    assert!(!head.has_changed().unwrap());
}

pub(crate) async fn changes_have_no_gaps_under_load(bed: &dyn Bed) {
    let store = bed.open().await;
    let mut writers = JoinSet::new();
    for writer in 0..8_u32 {
        let store = store.clone();
        writers.spawn(async move {
            for round in 0..10 {
                let approval = created(&store, task(round * 8 + writer)).await;
                done(&store, &approval, approve("ana"), seconds(1)).await;
                let decided = done(&store, &approval, approve("bob"), seconds(2)).await;
                // Whoever was answered finds it in the head.
                assert!(head(&store) >= decided.revision);
                refused(&store, &approval, cancel(), seconds(3)).await;
            }
        });
    }
    let mut heads = store.head();
    let mut seen: BTreeMap<ApprovalId, Arc<Approval>> = BTreeMap::new();
    let (mut last, mut known_head) = (0, 0);
    // 80 approvals of four events: asked, two votes, decided.
    while last < 320 {
        let now = *heads.borrow_and_update();
        assert!(now >= known_head, "the head went back");
        known_head = now;
        while last < now {
            let Changes::Some(some) = store.changes_after(last, 7).await.unwrap() else { panic!("compacted") };
            assert!(!some.is_empty(), "the head is at {now}, and nothing is after {last}");
            for change in some {
                assert!(change.revision > last && change.revision - last <= 2, "{last} … {}", change.revision);
                last = change.revision;
                assert_eq!(seen.insert(change.after.id.clone(), change.after.clone()), change.before);
            }
        }
        if last < 320 {
            heads.changed().await.unwrap();
        }
    }
    writers.join_all().await;
    assert_eq!((head(&store), seen.len()), (320, 80));
}
