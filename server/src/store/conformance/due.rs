//! Work that is due.

use std::slice::from_ref;

use super::*;
use crate::{
    approval::DeliveryState,
    store::{DeliveryTry, NextDue, first_heartbeat},
};

fn tried(approval: &Approval, attempts: u32, due: Timestamp) -> DeliveryTry {
    let (id, token) = (approval.id.clone(), approval.task.token.clone());
    DeliveryTry { id, token, attempts, error: "throttled".to_owned(), due }
}

pub(crate) async fn heartbeats_fall_due(bed: &dyn Bed) {
    let store = bed.open().await;
    let known = created(&store, task(1)).await;
    let mut unknown = task(2);
    unknown.heartbeat = None;
    let unknown = created(&store, unknown).await;
    let none = store.due_heartbeats(seconds(19), 10).await.unwrap();
    assert_eq!((none.items, none.next), (Vec::new(), Some(seconds(20))));
    let one = store.due_heartbeats(seconds(20), 10).await.unwrap();
    assert_eq!(one.items.len(), 1);
    assert_eq!((&one.items[0].id, one.items[0].due), (&unknown.id, seconds(20)));
    assert_eq!(one.items[0].heartbeat, None);
    assert_eq!(one.next, Some(seconds(40)), "two thirds of 60 s");
    let both = store.due_heartbeats(seconds(40), 10).await.unwrap();
    assert_eq!((both.items.len(), both.next), (2, None));
    assert_eq!((&both.items[1].id, &both.items[1].token), (&known.id, &known.task.token));
    assert_eq!(both.items[1].heartbeat, Some(SignedDuration::from_secs(60)));
}

pub(crate) async fn a_heartbeat_is_moved_for_the_token_it_is_of(bed: &dyn Bed) {
    let store = bed.open().await;
    let approval = created(&store, task(1)).await;
    let decided = created(&store, task(2)).await;
    let decided = done(&store, &decided, reject(), seconds(1)).await;
    let next = |of: &Approval, token: TaskToken, second| NextDue { id: of.id.clone(), token, due: seconds(second) };
    let moves = vec![
        next(&approval, approval.task.token.clone(), 70),
        next(&decided, decided.task.token.clone(), 70),
        next(&approval, TaskToken::from("old"), 90),
    ];
    store.set_heartbeats(moves).await.unwrap();
    let due = store.due_heartbeats(seconds(69), 10).await.unwrap();
    assert_eq!((due.items.len(), due.next), (0, Some(seconds(70))));
    assert_eq!(store.due_heartbeats(seconds(1_000), 10).await.unwrap().items.len(), 1);
    assert_eq!(head(&store), decided.revision, "no events");
    assert_eq!(get(&store, &approval).await, approval);
}

pub(crate) async fn votes_leave_a_heartbeat_where_it_is(bed: &dyn Bed) {
    let store = bed.open().await;
    let approval = created(&store, task(1)).await;
    let token = approval.task.token.clone();
    store.set_heartbeats(vec![NextDue { id: approval.id.clone(), token, due: seconds(70) }]).await.unwrap();
    done(&store, &approval, approve("ana"), seconds(50)).await;
    assert_eq!(store.due_heartbeats(seconds(60), 10).await.unwrap().next, Some(seconds(70)));
}

pub(crate) async fn what_is_final_wants_no_heartbeat(bed: &dyn Bed) {
    let store = bed.open().await;
    let first = created(&store, task(1)).await;
    let second = created(&store, task(2)).await;
    let third = created(&store, task(3)).await;
    done(&store, &first, reject(), seconds(1)).await;
    done(&store, &second, cancel(), seconds(1)).await;
    let detach = Command::Detach { token: third.task.token.clone(), reason: "closed".to_owned() };
    done(&store, &third, detach, seconds(1)).await;
    let due = store.due_heartbeats(seconds(1_000), 10).await.unwrap();
    assert_eq!((due.items, due.next), (Vec::new(), None));
}

pub(crate) async fn deadlines_fall_due(bed: &dyn Bed) {
    let store = bed.open().await;
    let with_deadline = |number, after| {
        let mut admission = task(number);
        admission.task.request.rule.expire_after = Some(SignedDuration::from_secs(after));
        admission
    };
    let late = created(&store, with_deadline(1, 60)).await;
    let early = created(&store, with_deadline(2, 30)).await;
    let decided = created(&store, with_deadline(3, 10)).await;
    created(&store, task(4)).await;
    done(&store, &decided, reject(), seconds(1)).await;
    let due = store.due_timers(seconds(29), 10).await.unwrap();
    assert_eq!((due.items, due.next), (Vec::new(), Some(seconds(30))));
    let due = store.due_timers(seconds(30), 10).await.unwrap();
    assert_eq!((due.items, due.next), (vec![early.id.clone()], Some(seconds(60))));
    let due = store.due_timers(seconds(60), 10).await.unwrap();
    assert_eq!((due.items, due.next), (vec![early.id.clone(), late.id.clone()], None));
    done(&store, &early, Command::Timer, seconds(60)).await;
    assert_eq!(store.due_timers(seconds(60), 10).await.unwrap().items, from_ref(&late.id));
}

pub(crate) async fn a_deadline_between_milliseconds_is_not_early(bed: &dyn Bed) {
    let store = bed.open().await;
    let mut admission = task(1);
    admission.task.request.rule.expire_after = Some(SignedDuration::new(1, 500_000));
    let approval = created(&store, admission).await;
    let next = store.due_timers(start(), 1).await.unwrap().next.unwrap();
    assert!(next >= approval.expires.unwrap());
    assert_eq!(store.due_timers(next, 1).await.unwrap().items, from_ref(&approval.id));
    done(&store, &approval, Command::Timer, next).await;
}

pub(crate) async fn a_decision_is_to_be_delivered_at_once(bed: &dyn Bed) {
    let store = bed.open().await;
    let approval = created(&store, task(1)).await;
    done(&store, &approval, approve("ana"), seconds(4)).await;
    let due = store.due_deliveries(seconds(1_000), 10).await.unwrap();
    assert_eq!((due.items, due.next), (Vec::new(), None));
    let decided = done(&store, &approval, approve("bob"), seconds(5)).await;
    let due = store.due_deliveries(seconds(5), 10).await.unwrap();
    assert_eq!((due.items, due.next), (vec![decided.clone()], None));
    let delivered = Command::Delivered { token: decided.task.token.clone(), attempts: 1 };
    done(&store, &decided, delivered, seconds(6)).await;
    let due = store.due_deliveries(seconds(1_000), 10).await.unwrap();
    assert_eq!((due.items, due.next), (Vec::new(), None));
    let canceled = created(&store, task(2)).await;
    done(&store, &canceled, cancel(), seconds(7)).await;
    assert!(store.due_deliveries(seconds(1_000), 10).await.unwrap().items.is_empty());
}

pub(crate) async fn a_try_moves_a_delivery(bed: &dyn Bed) {
    let store = bed.open().await;
    let approval = created(&store, task(1)).await;
    let pending = created(&store, task(2)).await;
    let decided = done(&store, &approval, reject(), seconds(5)).await;
    let mut stale = tried(&decided, 1, seconds(900));
    stale.token = TaskToken::from("old");
    let tries = vec![tried(&decided, 1, seconds(7)), stale, tried(&pending, 1, seconds(8))];
    store.note_deliveries(tries).await.unwrap();
    let due = store.due_deliveries(seconds(6), 10).await.unwrap();
    assert_eq!((due.items, due.next), (Vec::new(), Some(seconds(7))));
    store.note_deliveries(vec![tried(&decided, 0, seconds(9)), tried(&decided, 2, seconds(10))]).await.unwrap();
    let due = store.due_deliveries(seconds(10), 10).await.unwrap();
    assert_eq!(due.items.len(), 1);
    let noted = &due.items[0];
    assert_eq!((noted.delivery.attempts, noted.delivery.last_error.as_deref()), (3, Some("throttled")));
    assert_eq!((noted.version, noted.revision), (decided.version, decided.revision), "no events");
    assert_eq!(get(&store, &decided).await, *noted);
    assert_eq!(get(&store, &pending).await, pending);
    assert_eq!(head(&store), decided.revision);
    let delivered = Command::Delivered { token: decided.task.token.clone(), attempts: 1 };
    assert_eq!(done(&store, &decided, delivered, seconds(11)).await.delivery.attempts, 4);
}

pub(crate) async fn a_detached_task_is_sent_nothing(bed: &dyn Bed) {
    let store = bed.open().await;
    let approval = created(&store, task(1)).await;
    let decided = done(&store, &approval, reject(), seconds(5)).await;
    let pending = created(&store, task(2)).await;
    for (of, second) in [(&pending, 8), (&decided, 6)] {
        let detach = Command::Detach { token: of.task.token.clone(), reason: "closed".to_owned() };
        done(&store, of, detach, seconds(second)).await;
    }
    assert!(store.due_deliveries(seconds(1_000), 10).await.unwrap().items.is_empty());
    let detached = |second, limit| {
        let store = store.clone();
        async move {
            let found = store.due_detached(seconds(second), limit).await.unwrap();
            let ids = found.items.into_iter().map(|approval| approval.id.clone());
            (ids.collect::<Vec<_>>(), found.next)
        }
    };
    // 15 s after they were lost.
    assert_eq!(detached(20, 10).await, (Vec::new(), Some(seconds(21))));
    assert_eq!(detached(21, 10).await, (vec![decided.id.clone()], Some(seconds(23))));
    assert_eq!(detached(23, 10).await, (vec![decided.id.clone(), pending.id.clone()], None));
    assert_eq!(detached(23, 1).await, (vec![decided.id.clone()], Some(seconds(23))));
    let next = |of: &Approval, token: TaskToken| NextDue { id: of.id.clone(), token, due: seconds(60) };
    let moves = vec![next(&decided, decided.task.token.clone()), next(&pending, TaskToken::from("old"))];
    store.set_detached(moves).await.unwrap();
    assert_eq!(detached(23, 10).await, (vec![pending.id.clone()], Some(seconds(60))));
    // It was answered after all: the history of its execution told.
    let delivered = Command::Delivered { token: decided.task.token.clone(), attempts: 1 };
    let delivered = done(&store, &decided, delivered, seconds(10)).await;
    assert_eq!(delivered.delivery.state, DeliveryState::Delivered);
    done(&store, &pending, cancel(), seconds(10)).await;
    assert_eq!(detached(1_000, 10).await, (Vec::new(), None));
}

pub(crate) async fn due_work_comes_in_order_and_in_pieces(bed: &dyn Bed) {
    let store = bed.open().await;
    let mut approvals = Vec::new();
    for number in 0..6 {
        let mut admission = task(number);
        admission.at = seconds(i64::from(10 - number));
        admission.task.request.rule.expire_after = Some(SignedDuration::from_secs(i64::from(100 - number)));
        approvals.push(created(&store, admission).await);
    }
    let ids = |of: &[Arc<Approval>]| of.iter().rev().map(|approval| approval.id.clone()).collect::<Vec<_>>();
    let due = store.due_timers(seconds(200), 4).await.unwrap();
    assert_eq!((due.items, due.next), (ids(&approvals[2..]), Some(seconds(99))));
    let due = store.due_heartbeats(seconds(200), 4).await.unwrap();
    let next = first_heartbeat(seconds(9), Some(SignedDuration::from_secs(60)));
    assert_eq!(due.items.iter().map(|due| due.id.clone()).collect::<Vec<_>>(), ids(&approvals[2..]));
    assert_eq!(due.next, Some(next));
    for (second, approval) in (50..).zip(approvals.iter().rev()) {
        done(&store, approval, reject(), seconds(second)).await;
    }
    let due = store.due_deliveries(seconds(200), 4).await.unwrap();
    assert_eq!(due.items.iter().map(|approval| approval.id.clone()).collect::<Vec<_>>(), ids(&approvals[2..]));
    assert_eq!(due.next, Some(seconds(54)));
}
