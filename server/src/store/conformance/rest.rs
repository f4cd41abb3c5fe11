//! History, counts, workflows, and what a restart leaves.

use std::{collections::BTreeMap, slice::from_ref};

use futures::future::join_all;

use super::*;
use crate::{
    approval::Status,
    provision::Spec,
    store::{Filter, ListQuery, Order, StoreError, WorkflowRecord},
};

fn workflow(name: &str, second: i64) -> WorkflowRecord {
    WorkflowRecord {
        name: name.to_owned(),
        spec: Spec { tags: BTreeMap::from([("team".to_owned(), "a".to_owned())]), ..Spec::reference() },
        activity_arn: "arn:aws:states:eu-west-1:123456789012:activity:a".to_owned(),
        role_arn: "arn:aws:iam::123456789012:role/r".to_owned(),
        state_machine_arn: "arn:aws:states:eu-west-1:123456789012:stateMachine:m".to_owned(),
        definition: r#"{"StartAt": "A"}"#.to_owned(),
        created: start(),
        updated: seconds(second),
    }
}

pub(crate) async fn pending_approvals_are_counted(bed: &dyn Bed) {
    let store = bed.open().await;
    assert_eq!(store.count_pending(None).await.unwrap(), 0);
    let calls = (0..10).map(|number| {
        let mut admission = task(number);
        if number < 3 {
            "Releases".clone_into(&mut admission.task.request.source.workflow);
        }
        created(&store, admission)
    });
    let approvals = join_all(calls).await;
    let counts = || async {
        let all = store.count_pending(None).await.unwrap();
        (
            all,
            store.count_pending(Some("Releases")).await.unwrap(),
            store.count_pending(Some("Payments")).await.unwrap(),
        )
    };
    assert_eq!(counts().await, (10, 3, 7));
    done(&store, &approvals[0], reject(), seconds(1)).await;
    done(&store, &approvals[9], cancel(), seconds(1)).await;
    done(&store, &approvals[8], approve("ana"), seconds(1)).await;
    refused(&store, &approvals[9], cancel(), seconds(1)).await;
    assert_eq!(counts().await, (8, 2, 6));
    assert_eq!(store.count_pending(Some("none")).await.unwrap(), 0);
}

pub(crate) async fn any_character_is_kept(bed: &dyn Bed) {
    let store = bed.open().await;
    // Whoever starts an execution chooses most of these.
    let odd = "a\0b\u{1}\u{202e}ß\n'\"";
    let mut admission = task(1);
    let request = &mut admission.task.request;
    for text in [&mut request.title, &mut request.description, &mut request.source.workflow] {
        odd.clone_into(text);
    }
    request.source.key = Some(odd.to_owned());
    request.source.execution_arn = Some(odd.to_owned());
    request.labels = [(odd.to_owned(), odd.to_owned())].into();
    admission.task.input = Arc::from(odd);
    let identity = request.source.identity().unwrap();
    let approval = created(&store, admission).await;
    // What is like it is another one.
    let mut like = task(2);
    like.task.request.labels = [("a\u{1}0b".to_owned(), "b".to_owned())].into();
    created(&store, like).await;
    assert_eq!(get(&store, &approval).await, approval);
    assert_eq!(store.find_identity(&identity).await.unwrap(), Some(approval.clone()));
    assert_eq!(store.count_pending(Some(odd)).await.unwrap(), 1);
    let filters = [
        Filter { labels: approval.request.labels.clone(), ..Filter::default() },
        Filter { workflow: Some(odd.to_owned()), ..Filter::default() },
        Filter { execution_arn: Some(odd.to_owned()), ..Filter::default() },
    ];
    for filter in filters {
        let query = ListQuery { filter, statuses: Vec::new(), order: Order::NewestFirst, after: None, limit: 5 };
        assert_eq!(store.list(query).await.unwrap().approvals, from_ref(&approval));
    }
    let decide = || store.execute(&approval.id, reject(), origin(), seconds(1), key(odd, odd, 1));
    let decided = done_of(decide().await.unwrap());
    assert_eq!(done_of(decide().await.unwrap()), decided);
    assert!(store.find_prefix(odd, 5).await.unwrap().is_empty());
}

pub(crate) async fn workflows_are_kept(bed: &dyn Bed) {
    let store = bed.open().await;
    assert!(store.workflows().await.unwrap().is_empty());
    for (name, second) in [("b", 1), ("a", 1), ("b", 2)] {
        store.put_workflow(workflow(name, second)).await.unwrap();
    }
    assert_eq!(store.workflows().await.unwrap(), [workflow("a", 1), workflow("b", 2)]);
    assert!(store.delete_workflow("a").await.unwrap());
    assert!(!store.delete_workflow("a").await.unwrap());
    assert_eq!(store.workflows().await.unwrap(), [workflow("b", 2)]);
    assert_eq!(head(&store), 0);
}

pub(crate) async fn everything_survives_a_restart(bed: &dyn Bed) {
    let store = bed.open().await;
    let pending = created(&store, task(1)).await;
    let decided = created(&store, task(2)).await;
    let decided =
        done_of(store.execute(&decided.id, reject(), origin(), seconds(1), key("web", "k", 1)).await.unwrap());
    store.put_workflow(workflow("a", 1)).await.unwrap();
    let before = changes(&store, 0, 100).await;
    store.close().await.unwrap();
    drop(store);

    let store = bed.open().await;
    assert_eq!(head(&store), decided.revision);
    assert_eq!(get(&store, &pending).await, pending);
    assert_eq!(get(&store, &decided).await, decided);
    let after = changes(&store, 0, 100).await;
    assert_eq!(after.len(), before.len());
    for (after, before) in after.iter().zip(&before) {
        assert_eq!((after.revision, &after.before, &after.after), (before.revision, &before.before, &before.after));
    }
    assert_eq!(store.workflows().await.unwrap(), [workflow("a", 1)]);
    assert_eq!(store.count_pending(None).await.unwrap(), 1);
    assert_eq!(store.due_deliveries(seconds(1), 10).await.unwrap().items, from_ref(&decided));
    assert_eq!(store.due_heartbeats(seconds(40), 10).await.unwrap().items.len(), 1);
    let again = store.execute(&decided.id, reject(), origin(), seconds(2), key("web", "k", 1)).await.unwrap();
    assert_eq!(done_of(again), decided);
    assert!(matches!(store.admit(task(1)).await.unwrap(), Admitted::Known(_)));
    let next = created(&store, task(3)).await;
    assert_eq!(next.revision, decided.revision + 1);
}

pub(crate) async fn nothing_acknowledged_is_lost_when_dropped(bed: &dyn Bed) {
    let store = bed.open().await;
    let approval = created(&store, task(1)).await;
    let decided = done(&store, &approval, reject(), seconds(1)).await;
    drop(store);
    let store = bed.open().await;
    assert_eq!(get(&store, &approval).await, decided);
    assert_eq!(head(&store), decided.revision);
}

pub(crate) async fn a_closed_store_says_so(bed: &dyn Bed) {
    let store = bed.open().await;
    let approval = created(&store, task(1)).await;
    store.close().await.unwrap();
    let closed = |error: StoreError| assert!(matches!(error, StoreError::Closed), "{error:?}");
    closed(store.admit(task(2)).await.unwrap_err());
    closed(store.execute(&approval.id, reject(), origin(), start(), None).await.unwrap_err());
    closed(store.get(&approval.id).await.unwrap_err());
    let all = ListQuery {
        filter: Filter::default(),
        statuses: vec![Status::Pending],
        order: Order::NewestFirst,
        after: None,
        limit: 1,
    };
    closed(store.list(all).await.unwrap_err());
    closed(store.changes_after(0, 10).await.unwrap_err());
    closed(store.close().await.unwrap_err());
}
