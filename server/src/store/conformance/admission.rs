//! Tasks become approvals, or are bound to them.

use std::slice::from_ref;

use futures::future::join_all;

use super::*;
use crate::{
    approval::{DeliveryState, Event, FieldError, Status, TaskState},
    audit::describe,
    store::first_heartbeat,
};

async fn events(store: &SharedStore, approval: &Approval) -> Vec<Described> {
    history(store, &approval.id).await.into_iter().map(|line| line.what).collect()
}

fn described(event: &Event, after: &Approval) -> Described {
    describe(event, after).unwrap()
}

pub(crate) async fn a_new_task_is_a_new_approval(bed: &dyn Bed) {
    let store = bed.open().await;
    assert_eq!(head(&store), 0);
    let approval = created(&store, task(1)).await;
    assert_eq!((approval.status, approval.version, approval.revision), (Status::Pending, 1, 1));
    assert_eq!(*approval.request, request(1));
    assert_eq!(&*approval.input, INPUT);
    assert_eq!(approval.task.state, TaskState::Open);
    assert_eq!((approval.task.taken, approval.task.count), (start(), 1));
    assert_eq!(approval.task.heartbeat, Some(SignedDuration::from_secs(60)));
    assert_eq!(head(&store), 1);
    assert_eq!(get(&store, &approval).await, approval);
    let identity = approval.request.source.identity().unwrap();
    assert_eq!(store.find_identity(&identity).await.unwrap(), Some(approval.clone()));
    assert_eq!(store.find_identity("another").await.unwrap(), None);
    let requested = described(&Event::Requested { refused_identity: None }, &approval);
    assert_eq!(events(&store, &approval).await, [requested]);
    let nobody = "apr_00000000000000000000000000".parse().unwrap();
    assert_eq!(store.get(&nobody).await.unwrap(), None);
    assert_eq!(history(&store, &nobody).await, []);
}

pub(crate) async fn a_token_is_known_again(bed: &dyn Bed) {
    let store = bed.open().await;
    let approval = created(&store, task(1)).await;
    let mut again = task(1);
    again.uuid = uuid(2);
    again.task.input = Arc::from("{}");
    for identity in [IdentityUse::Trusted { checked: None }, IdentityUse::Distrusted] {
        again.identity = identity;
        match store.admit(again.clone()).await.unwrap() {
            Admitted::Known(known) => assert_eq!(known, approval),
            other => panic!("not known: {other:?}"),
        }
    }
    assert_eq!(head(&store), 1);
}

pub(crate) async fn a_task_that_was_not_understood_is_kept(bed: &dyn Bed) {
    let store = bed.open().await;
    created(&store, task(1)).await;
    let mut admission = retry(1, 2);
    admission.task.error = Some(FieldError { field: "approve.rule".to_owned(), problem: "no rule".to_owned() });
    let approval = created(&store, admission).await;
    assert_eq!(approval.status, Status::Invalid);
    assert_eq!(approval.reason.as_deref(), Some("approve.rule: no rule"));
    let refused = described(&Event::Refused { reason: "approve.rule: no rule".to_owned() }, &approval);
    assert_eq!(events(&store, &approval).await, [refused]);
    let due = store.due_deliveries(start(), 10).await.unwrap();
    assert_eq!(due.items, from_ref(&approval));
    let heartbeats = store.due_heartbeats(seconds(1_000), 10).await.unwrap();
    assert!(heartbeats.items.iter().all(|due| due.id != approval.id));
    let holder = store.find_identity(&request(1).source.identity().unwrap()).await.unwrap().unwrap();
    assert_ne!(holder.id, approval.id);
}

pub(crate) async fn tasks_without_an_identity_are_never_the_same(bed: &dyn Bed) {
    let store = bed.open().await;
    for number in 1..=2 {
        let mut admission = task(number);
        admission.task.request.source.execution_arn = None;
        created(&store, admission).await;
    }
    assert_eq!(store.count_pending(None).await.unwrap(), 2);
}

pub(crate) async fn an_identity_has_to_be_checked_first(bed: &dyn Bed) {
    let store = bed.open().await;
    let approval = created(&store, task(1)).await;
    let other = created(&store, task(9)).await;
    let stale = TaskToken::from("stale");
    let claims = [
        None,
        Some((approval.id.clone(), stale)),
        Some((other.id.clone(), other.task.token.clone())),
        Some((other.id.clone(), approval.task.token.clone())),
    ];
    for checked in claims {
        let mut admission = retry(1, 2);
        admission.identity = IdentityUse::Trusted { checked };
        match store.admit(admission).await.unwrap() {
            Admitted::Check(found) => assert_eq!(found, approval),
            other => panic!("nothing to check: {other:?}"),
        }
    }
    assert_eq!(head(&store), 2);
}

pub(crate) async fn a_checked_task_is_bound(bed: &dyn Bed) {
    let store = bed.open().await;
    let approval = created(&store, task(1)).await;
    let voted = done(&store, &approval, approve("ana"), seconds(5)).await;
    let detach = Command::Detach { token: voted.task.token.clone(), reason: "closed".to_owned() };
    let detached = done(&store, &voted, detach, seconds(10)).await;
    let mut admission = retry(1, 2);
    admission.at = seconds(20);
    let bound = bound(&store, admission, &detached).await;
    assert_eq!((&bound.id, &bound.votes), (&approval.id, &voted.votes));
    assert_eq!((bound.task.state, bound.task.count, bound.task.attempt), (TaskState::Open, 2, 1));
    assert_eq!(bound.task.token, TaskToken::from("token-2"));
    assert_eq!(get(&store, &approval).await, bound);
    assert_eq!(store.count_pending(None).await.unwrap(), 1);
    let due = store.due_heartbeats(seconds(1_000), 10).await.unwrap().items;
    assert_eq!(due.len(), 1);
    assert_eq!(due[0].token, bound.task.token);
    assert_eq!(due[0].due, first_heartbeat(seconds(20), Some(SignedDuration::from_secs(60))));
    assert!(store.due_detached(seconds(1_000), 10).await.unwrap().items.is_empty());
    let bound = described(&Event::TaskBound { attempt: 1, count: 2 }, &approval);
    assert_eq!(events(&store, &approval).await.last(), Some(&bound));
}

pub(crate) async fn an_old_token_neither_creates_nor_steals(bed: &dyn Bed) {
    let store = bed.open().await;
    let first = created(&store, task(1)).await;
    let second = bound(&store, retry(1, 2), &first).await;
    let third = bound(&store, retry(1, 3), &second).await;
    for number in 1..=3 {
        let mut again = retry(1, number);
        again.identity = IdentityUse::Trusted { checked: Some((third.id.clone(), third.task.token.clone())) };
        match store.admit(again).await.unwrap() {
            Admitted::Known(known) => assert_eq!(known, third),
            other => panic!("token {number} is not known: {other:?}"),
        }
    }
    assert_eq!(head(&store), third.revision);
    let other = created(&store, task(9)).await;
    let steal = Command::Bind { token: first.task.token.clone(), attempt: 1, heartbeat: None };
    done(&store, &other, steal, seconds(1)).await;
    match store.admit(retry(1, 1)).await.unwrap() {
        Admitted::Known(known) => assert_eq!(known, third, "a token stays with whom it first was"),
        other => panic!("not known: {other:?}"),
    }
}

pub(crate) async fn a_decided_approval_answers_a_new_task_at_once(bed: &dyn Bed) {
    let store = bed.open().await;
    let approval = created(&store, task(1)).await;
    let decided = done(&store, &approval, reject(), seconds(5)).await;
    let delivered = Command::Delivered { token: decided.task.token.clone(), attempts: 1 };
    let delivered = done(&store, &decided, delivered, seconds(6)).await;
    assert!(store.due_deliveries(seconds(1_000), 10).await.unwrap().items.is_empty());
    let mut admission = retry(1, 2);
    admission.at = seconds(20);
    let bound = bound(&store, admission, &delivered).await;
    assert_eq!((bound.status, bound.delivery.state), (Status::Rejected, DeliveryState::Recorded));
    assert_eq!(store.due_deliveries(seconds(19), 10).await.unwrap().next, Some(seconds(20)));
    assert_eq!(store.due_deliveries(seconds(20), 10).await.unwrap().items, [bound]);
}

pub(crate) async fn a_distrusted_task_gets_nothing_of_the_identity(bed: &dyn Bed) {
    let store = bed.open().await;
    let mut alone = task(7);
    alone.identity = IdentityUse::Distrusted;
    let alone = created(&store, alone).await;
    let requested = described(&Event::Requested { refused_identity: None }, &alone);
    assert_eq!(events(&store, &alone).await, [requested]);
    let identity = request(7).source.identity().unwrap();
    assert_eq!(store.find_identity(&identity).await.unwrap(), None, "what is not believed is not kept");
    created(&store, retry(7, 8)).await;

    let approval = created(&store, task(1)).await;
    let identity = request(1).source.identity().unwrap();
    let mut liar = retry(1, 2);
    liar.identity = IdentityUse::Distrusted;
    let apart = created(&store, liar).await;
    assert_ne!(apart.id, approval.id);
    let refused = described(&Event::Requested { refused_identity: Some(identity.clone()) }, &apart);
    assert_eq!(events(&store, &apart).await, [refused]);
    assert_eq!(get(&store, &approval).await, approval);
    assert_eq!(store.find_identity(&identity).await.unwrap(), Some(approval));
}

pub(crate) async fn a_canceled_approval_loses_its_identity_to_a_new_one(bed: &dyn Bed) {
    let store = bed.open().await;
    let approval = created(&store, task(1)).await;
    let canceled = done(&store, &approval, cancel(), seconds(5)).await;
    let mut admission = retry(1, 2);
    admission.identity = IdentityUse::Trusted { checked: Some((canceled.id.clone(), canceled.task.token.clone())) };
    let heir = created(&store, admission).await;
    assert_ne!(heir.id, canceled.id);
    let identity = request(1).source.identity().unwrap();
    assert_eq!(store.find_identity(&identity).await.unwrap(), Some(heir));
    assert_eq!(get(&store, &canceled).await, canceled);
    match store.admit(task(1)).await.unwrap() {
        Admitted::Known(known) => assert_eq!(known, canceled),
        other => panic!("not known: {other:?}"),
    }
}

pub(crate) async fn one_of_many_equal_tasks_is_created(bed: &dyn Bed) {
    let store = bed.open().await;
    let admissions = (1..=20).map(|number| store.admit(retry(1, number)));
    let outcomes = join_all(admissions).await;
    let mut created = 0;
    for outcome in outcomes {
        match outcome.unwrap() {
            Admitted::Created(_) => created += 1,
            Admitted::Check(_) => {}
            other => panic!("neither created nor to be checked: {other:?}"),
        }
    }
    assert_eq!(created, 1);
    assert_eq!(head(&store), 1);
}
