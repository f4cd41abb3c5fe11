//! Approvals of another time, written into a store without a server.

use std::sync::Arc;

use approve_server::{
    approval::{
        Approval, Command, Decision, Labels, Origin, Person, Priority, Request, Rule, Source, TaskInput, TaskToken,
    },
    store::{Admission, Admitted, Executed, IdentityUse, RequestKey, Store},
};
use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use uuid::Uuid;

/// How many are written at once.
const AT_ONCE: usize = 64;

/// Writes so many approvals of workflow "past" that were asked at a time, and decided and delivered then, but for every
/// so many that are left pending. Returns them.
pub async fn write(store: &Arc<dyn Store>, count: usize, pending_every: usize, at: Timestamp) -> Vec<Arc<Approval>> {
    let writes = (0..count).map(|number| {
        let store = Arc::clone(store);
        async move { one(&*store, number % pending_every == 0, at).await }
    });
    stream::iter(writes).buffered(AT_ONCE).collect().await
}

async fn one(store: &dyn Store, stays_pending: bool, at: Timestamp) -> Arc<Approval> {
    let uuid = Uuid::now_v7();
    let request = Request {
        title: "Pay invoice 4711".to_owned(),
        description: "1200.50 EUR, due on Friday".to_owned(),
        requester: Some("user:rita".parse().unwrap()),
        rule: Rule::default(),
        rule_version: Rule::default().version(),
        source: Source {
            workflow: "past".to_owned(),
            activity_arn: "arn:aws:states:us-east-1:123456789012:activity:past".to_owned(),
            execution_arn: Some(format!("arn:aws:states:us-east-1:123456789012:execution:past:{uuid}")),
            state_machine_arn: Some("arn:aws:states:us-east-1:123456789012:stateMachine:past".to_owned()),
            state_name: Some("Ask".to_owned()),
            state_entered: Some(at),
            key: None,
        },
        labels: Labels::from([("team".to_owned(), "finance \u{0} \u{1}".to_owned())]),
        priority: Priority::Normal,
    };
    let token = TaskToken::from(format!("{uuid}{}", "x".repeat(600)));
    let admission = Admission {
        uuid,
        token: token.clone(),
        task: TaskInput { request, input: r#"{"invoice":4711,"amount":1200.50}"#.into(), attempt: 0, error: None },
        heartbeat: None,
        identity: IdentityUse::Trusted { checked: None },
        at,
    };
    let Admitted::Created(approval) = store.admit(admission).await.unwrap() else { panic!("not created") };
    if stays_pending {
        return approval;
    }
    let vote = Command::Vote {
        by: Person { principal: "user:ana".parse().unwrap(), groups: Vec::new() },
        choice: Decision::Approve.into(),
        comment: "looks right".to_owned(),
        response: Some(r#"{"account": 7.10}"#.to_owned()),
        etag: None,
        cast_by: None,
    };
    let key = RequestKey { caller: "user:ana".to_owned(), id: uuid.to_string(), fingerprint: [1; 32] };
    execute(store, &approval, vote, at, Some(key)).await;
    execute(store, &approval, Command::Delivered { token, attempts: 1 }, at, None).await
}

async fn execute(
    store: &dyn Store,
    approval: &Approval,
    command: Command,
    at: Timestamp,
    key: Option<RequestKey>,
) -> Arc<Approval> {
    match store.execute(&approval.id, command, Origin::system("history"), at, key).await.unwrap() {
        Executed::Done { approval, .. } => approval,
        other => panic!("not done: {other:?}"),
    }
}
