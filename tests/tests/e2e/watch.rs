//! `StreamPendingApprovals`: a snapshot, a bookmark, then every change in order, resumable, with signs of life.

use approve_client::{ApprovalStatus, Client, Decide, Filter, Watch, WatchEvent};
use approve_proto::v1::{
    StreamPendingApprovalsRequest, StreamPendingApprovalsResponse, stream_pending_approvals_response::Change,
};
use approve_tests::{
    DEADLINE, Server,
    approvals::{Watching, ask, start},
    crowd::{Changes, Crowd, Size},
    server::request_as,
    within,
    workflows::{ASK, apply, ask_input, of_group, spec, with_rule},
};
use tonic::Streaming;

async fn stream(server: &Server, request: StreamPendingApprovalsRequest) -> Streaming<StreamPendingApprovalsResponse> {
    server.raw_approvals().await.stream_pending_approvals(request_as("ana", request)).await.unwrap().into_inner()
}

async fn next(stream: &mut Streaming<StreamPendingApprovalsResponse>) -> StreamPendingApprovalsResponse {
    within("a response", stream.message()).await.unwrap().expect("a watch does not end")
}

#[tokio::test]
async fn a_snapshot_then_a_bookmark_then_changes() {
    let server = Server::dev().await;
    let client = server.client("ana").await;
    let (_, first) = ask(&client, "HumanApproval", r#"{"at": 1}"#).await;
    let (_, second) = ask(&client, "HumanApproval", r#"{"at": 2}"#).await;

    let mut stream = stream(&server, StreamPendingApprovalsRequest::default()).await;

    let mut snapshot = Vec::new();
    let bookmark = loop {
        let response = next(&mut stream).await;
        match response.change.clone().unwrap() {
            Change::Upserted(approval) => {
                assert_eq!(response.resume_token, "", "a snapshot is not resumed half-way");
                snapshot.push(approval);
            }
            Change::Bookmark(bookmark) => {
                assert!(!response.resume_token.is_empty());
                break bookmark;
            }
            Change::Removed(removed) => panic!("{removed:?}"),
        }
    };
    assert!(bookmark.synced);
    let mut ids: Vec<_> = snapshot.iter().map(|approval| approval.id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, [first.id.as_str(), second.id.as_str()]);
    assert!(snapshot.iter().all(|approval| approval.revision <= bookmark.revision));

    client.decide(Decide::approve(&first.id)).await.unwrap();
    start(&client, "HumanApproval", r#"{"at":3}"#).await;
    let mut revision = bookmark.revision;
    let mut told = Vec::new();
    while told.len() < 2 {
        let response = next(&mut stream).await;
        assert!(!response.resume_token.is_empty());
        let at = match response.change.unwrap() {
            Change::Upserted(approval) => {
                told.push(format!("upserted {}", approval.input_json));
                approval.revision
            }
            Change::Removed(removed) => {
                assert_eq!(removed.status(), ApprovalStatus::Approved);
                told.push(format!("removed {}", removed.id));
                removed.revision
            }
            Change::Bookmark(bookmark) => {
                assert!(!bookmark.synced, "it is told once");
                assert!(bookmark.revision >= revision);
                continue;
            }
        };
        assert!(at > revision, "revision {at} after {revision}");
        revision = at;
    }
    assert_eq!(told, [format!("removed {}", first.id), r#"upserted {"at":3}"#.to_owned()]);
}

#[tokio::test]
async fn resuming_starts_strictly_after_the_token_and_misses_nothing() {
    let server = Server::dev().await;
    let client = server.client("ana").await;
    let (_, first) = ask(&client, "HumanApproval", r#"{"at": 1}"#).await;
    let (_, second) = ask(&client, "HumanApproval", r#"{"at": 2}"#).await;
    let watching = Watching::synced(&client, Watch::new()).await;
    let token = watching.resume_token().to_owned();
    drop(watching);

    client.decide(Decide::reject(&first.id)).await.unwrap();
    let (_, third) = ask(&client, "HumanApproval", r#"{"at":3}"#).await;

    let resumed = Watching::synced(&client, Watch::new().resume_token(&token)).await;
    let told: Vec<_> = resumed
        .events
        .iter()
        .map(|event| match event {
            WatchEvent::Upserted(approval) => format!("upserted {}", approval.id),
            WatchEvent::Removed { id, status, .. } => format!("removed {id} {}", status.as_str_name()),
            WatchEvent::Synced { .. } => "synced".to_owned(),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(
        told,
        [
            format!("removed {} APPROVAL_STATUS_REJECTED", first.id),
            format!("upserted {}", third.id),
            "synced".to_owned()
        ]
    );
    let again = Watching::synced(&client, Watch::new().resume_token(resumed.resume_token())).await;
    assert_eq!(again.events.len(), 1, "nothing happened since: {:?}", again.events);
    assert!(client.get(&second.id).await.is_ok());
}

#[tokio::test]
async fn an_idle_stream_shows_that_it_lives() {
    let server = Server::dev().await;
    let request = StreamPendingApprovalsRequest {
        heartbeat_interval: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        ..StreamPendingApprovalsRequest::default()
    };
    let mut stream = stream(&server, request).await;
    let mut synced = false;
    let mut idle = 0;
    while idle < 2 {
        let response = next(&mut stream).await;
        assert!(!response.resume_token.is_empty());
        match response.change.unwrap() {
            Change::Bookmark(bookmark) if bookmark.synced => {
                assert!(!std::mem::replace(&mut synced, true), "it is told once");
            }
            Change::Bookmark(_) => idle += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(synced);
}

#[tokio::test]
async fn what_no_longer_matches_a_filter_is_removed_while_it_is_pending() {
    let server = Server::empty().await;
    let ana = server.client_in("ana", &["finance"]).await;
    let bo = server.client_in("bo", &["finance"]).await;
    apply(&ana, with_rule(spec("payments", ASK), of_group("finance", 2))).await;
    let mine = |client: &Client| {
        let client = client.clone();
        async move { Watching::synced(&client, Watch::new().filter(Filter::new().awaiting_me(true))).await }
    };
    let mut of_ana = mine(&ana).await;
    let mut of_bo = mine(&bo).await;
    let mut of_outsider = mine(&server.client_in("mal", &["sales"]).await).await;
    let mut all = Watching::synced(&ana, Watch::new()).await;
    start(&ana, "payments", &ask_input("Pay", "user:req")).await;
    let id = of_ana.upserted("the approval", |_| true).await.id;

    ana.decide(Decide::approve(&id)).await.unwrap();

    assert_eq!(of_ana.removed(&id).await, ApprovalStatus::Pending);
    assert_eq!(all.upserted("the vote", |approval| approval.votes.len() == 1).await.id, id);
    of_bo.upserted("the vote", |approval| approval.votes.len() == 1).await;
    bo.decide(Decide::approve(&id)).await.unwrap();
    assert_eq!(of_bo.removed(&id).await, ApprovalStatus::Approved);
    assert_eq!(all.removed(&id).await, ApprovalStatus::Approved);
    // Whatever is told after all this would have come after it, too.
    start(&ana, "payments", &ask_input("Another", "user:req")).await;
    of_ana.upserted("another approval", |approval| approval.id != id).await;
    let outsider = tokio::time::timeout(std::time::Duration::ZERO, of_outsider.next()).await;
    assert!(outsider.is_err(), "told somebody who may not decide: {outsider:?}");
}

#[tokio::test]
async fn filters_choose_by_label_text_and_workflow() {
    let server = Server::empty().await;
    let client = server.client("ana").await;
    apply(&client, spec("payments", ASK)).await;
    apply(&client, spec("releases", ASK)).await;
    let (_, payment) = ask(&client, "payments", &ask_input("Pay INVOICE 7", "user:req")).await;
    let (_, release) = ask(&client, "releases", &ask_input("Release 1.2", "user:req")).await;
    for (filter, expected) in [
        (Filter::new(), vec![&payment.id, &release.id]),
        (Filter::new().label("team", "billing"), vec![&payment.id, &release.id]),
        (Filter::new().label("team", "other"), vec![]),
        (Filter::new().text("invoice 7"), vec![&payment.id]),
        (Filter::new().text(&release.id[10..]), vec![&release.id]),
        (Filter::new().workflow("releases"), vec![&release.id]),
        (Filter::new().execution_arn(&payment.source.as_ref().unwrap().execution_arn), vec![&payment.id]),
    ] {
        let watching = Watching::synced(&client, Watch::new().filter(filter.clone())).await;
        let ids: Vec<_> = watching.view.iter().map(|approval| &approval.id).collect();
        assert_eq!(ids, expected, "{filter:?}");
        let listed = client.list(approve_client::List::pending().filter(filter.clone()).oldest_first()).await.unwrap();
        let ids: Vec<_> = listed.approvals.iter().map(|approval| &approval.id).collect();
        assert_eq!(ids, expected, "{filter:?}");
    }
}

#[tokio::test]
async fn many_streams_with_many_filters_each_tell_what_the_store_holds() {
    let server = Server::dev().await;
    let changes = Changes::prepare(server.url(), server.client("ana").await, 80).await;
    // Those that stall do so until the changes are over.
    let size = Size { streams: 100, stalled_of: 10, stalled_for: DEADLINE, reconnecting_of: 5 };
    let crowd = Crowd::open(server.url(), size).await;

    let made = changes.make(1_600).await;

    let summary = within("every stream to tell everything", crowd.finish()).await;
    assert!(made.ended > 10 && made.asked == made.ended && made.votes > 1_000, "{made:?}");
    assert!(summary.told > 4_000 && summary.reconnected > 0, "{summary:?}");
}
