//! Several servers on one database: each takes any call, and what one leaves another goes on with.

mod away;
mod clients;
mod notifications;
mod protected;

use std::{net::TcpListener, time::Duration};

use approve_client::{
    ApprovalStatus, CreateToken, Decide, Filter, Watch,
    proto::{ExecutionStatus, Grant, Permission},
};
use approve_proto::v1::{DecideRequest, Decision};
use approve_tests::{
    LocalAws, SecureServer,
    approvals::{Watching, ask, becomes, delivered, ended, start},
    fleet::is,
    http,
    postgres::{Database, SHORT_LEASE, serve_with},
    server::request_as,
    wait_for,
    way::Passing,
    within,
    workflows::{ASK, apply, ask_input, expiring, spec, with_rule},
};
use serde_json::Value;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_types::StatusExt as _;

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn a_server_without_its_database_says_so_and_comes_back() {
    let (aws, database) = (LocalAws::start().await, Database::create().await);
    let way = database.way().await;
    let server = database.server_by(&database.url_by(&way), aws.url()).await;
    let client = server.client("ana").await;
    apply(&client, spec("shared", ASK)).await;
    let (arn, approval) = ask(&client, "shared", &ask_input("Pay", "user:req")).await;
    is(&server, ServingStatus::Serving).await;

    way.set(Passing::Cut);
    is(&server, ServingStatus::NotServing).await;
    let decide = DecideRequest {
        approval_id: approval.id.clone(),
        decision: Decision::Approve.into(),
        request_id: "one".to_owned(),
        ..DecideRequest::default()
    };
    let refused = server.raw_approvals().await.decide(request_as("ana", decide.clone())).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused:?}");
    assert!(refused.get_details_retry_info().is_some(), "{refused:?}");

    way.set(Passing::Open);
    is(&server, ServingStatus::Serving).await;
    server.raw_approvals().await.decide(request_as("ana", decide)).await.unwrap();
    assert_eq!(ended(&client, &arn).await.status(), ExecutionStatus::Succeeded);
    // It takes tasks again.
    let (arn, approval) = ask(&client, "shared", &ask_input("Pay again", "user:req")).await;
    client.decide(Decide::approve(&approval.id)).await.unwrap();
    assert_eq!(ended(&client, &arn).await.status(), ExecutionStatus::Succeeded);
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn what_is_asked_at_one_server_is_decided_at_another() {
    let (aws, database) = (LocalAws::start().await, Database::create().await);
    let (one, other) = (database.server(aws.url()).await, database.server(aws.url()).await);
    let (ana, there, bo) = (one.client("ana").await, other.client("ana").await, other.client("bo").await);
    apply(&ana, spec("shared", ASK)).await;
    let mut watching = Watching::synced(&bo, Watch::new().filter(Filter::new().workflow("shared"))).await;

    // The other one hears of the workflow, polls for it too, and tells of what the first one was asked.
    wait_for("the other server to know the workflow", async || bo.get_workflow("shared").await.ok()).await;
    for number in 0..6 {
        let arn = start(&ana, "shared", &ask_input("Pay", "user:req")).await;
        let approval = watching
            .upserted("the approval", |approval| {
                approval.source.as_ref().is_some_and(|source| source.execution_arn == arn)
            })
            .await;
        let (client, again) = if number % 2 == 0 { (&ana, &there) } else { (&there, &ana) };
        let decide = Decide::approve(&approval.id).with_request_id(format!("request-{number}")).wait_for_delivery(true);
        let decided = client.decide(decide.clone()).await.unwrap();
        // The same request at the other server gets the same answer.
        let again = again.decide(decide).await.unwrap();
        assert_eq!(again.approval.id, decided.approval.id);
        assert_eq!(again.approval.status(), ApprovalStatus::Approved);
        assert_eq!(ended(&bo, &arn).await.status(), ExecutionStatus::Succeeded);
        assert_eq!(watching.removed(&approval.id).await, ApprovalStatus::Approved);
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn what_a_killed_server_held_is_taken_over() {
    let (aws, database) = (LocalAws::start().await, Database::create().await);
    let mut one = database.server(aws.url()).await;
    let client = one.client("ana").await;
    apply(&client, with_rule(spec("quick", ASK), expiring(Duration::from_secs(5)))).await;
    apply(&client, spec("slow", ASK)).await;
    let (expiring, asked) = ask(&client, "quick", &ask_input("Decide quickly", "user:req")).await;
    let (waiting, undecided) = ask(&client, "slow", &ask_input("Decide later", "user:req")).await;
    let watching = Watching::synced(&client, Watch::new()).await;
    let resume = watching.resume_token().to_owned();
    drop(watching);

    // It comes after both were asked: they are the first one's.
    let other = database.server(aws.url()).await;
    one.kill();

    let client = other.client("ana").await;
    let execution = ended(&client, &expiring).await;
    assert_eq!((execution.status(), execution.error.as_str()), (ExecutionStatus::Failed, "Approval.Expired"));
    assert_eq!(delivered(&client, &asked.id).await.status(), ApprovalStatus::Expired);
    // A watcher goes on where it was at the other server.
    let mut watching = Watching::synced(&client, Watch::new().resume_token(resume)).await;
    let told = watching.events.iter().any(|event| format!("{event:?}").contains(&asked.id));
    if !told {
        watching.removed(&asked.id).await;
    }
    assert!(!watching.events.iter().any(|event| format!("{event:?}").contains(&undecided.id)), "told again");
    client.decide(Decide::approve(&undecided.id).wait_for_delivery(true)).await.unwrap();
    assert_eq!(ended(&client, &waiting).await.status(), ExecutionStatus::Succeeded);

    // And back: the first one comes again, the other one is killed.
    one.start().await;
    let client = one.client("ana").await;
    let (arn, approval) = ask(&client, "slow", &ask_input("Decide at last", "user:req")).await;
    drop(other);
    client.decide(Decide::approve(&approval.id)).await.unwrap();
    assert_eq!(ended(&client, &arn).await.status(), ExecutionStatus::Succeeded);
    becomes(&client, &approval.id, "the delivery to be known", |approval| approval.delivery.is_some()).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn an_api_token_that_one_server_revokes_ends_at_the_others() {
    let database = Database::create().await;
    let store = [("APPROVE_SERVER__STORE", database.url())];
    let servers = tokio::join!(
        SecureServer::start_with(SHORT_LEASE, false, &store),
        SecureServer::start_with(SHORT_LEASE, false, &store)
    );
    let (one, other) = servers;
    let ana = one.admin().await;
    let grant = Grant { permissions: vec![Permission::View.into()], ..Grant::default() };
    let made = ana.create_token(CreateToken::new("watcher").grant(grant)).await.unwrap();
    let (here, there) = (one.client_with(made.secret.expose()).await, other.client_with(made.secret.expose()).await);
    assert_eq!(here.caller().await.unwrap().principal, "service:watcher");
    wait_for("the other server to know the token", async || there.caller().await.ok()).await;
    let mut watching = Watching::synced(&there, Watch::new()).await;

    ana.revoke_token("watcher").await.unwrap();
    assert_eq!(here.caller().await.unwrap_err().code(), tonic::Code::Unauthenticated);
    let refused = wait_for("the other server to refuse the token", async || there.caller().await.err()).await;
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    // So does a stream that it had opened.
    let ended = within("the end of the stream", watching.ended()).await;
    assert_eq!(ended.code(), tonic::Code::Unauthenticated, "{ended:?}");
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn servers_share_the_polls_that_an_activity_may_have() {
    const MOST: usize = 1_000;
    let (aws, database) = (LocalAws::start_with(&["--long-poll-seconds", "2"]).await, Database::create().await);
    let config = format!("{SHORT_LEASE}\n[worker]\nmin_polls = 600\nmax_polls = 900\n");
    let polled = async |metrics: &str| -> usize {
        let text = http::text("GET", metrics, "/metrics", &Value::Null).await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("approve_open_polls ")).unwrap();
        line.parse().unwrap()
    };
    let (mut servers, mut metrics) = (Vec::new(), Vec::new());
    for share in [600, MOST / 2] {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let listen = [("APPROVE_SERVER__METRICS_LISTEN", address.as_str())];
        servers.push(serve_with(database.url(), aws.url(), &config, &listen).await);
        metrics.push(format!("http://{address}"));
        if servers.len() == 1 {
            apply(&servers[0].client("ana").await, spec("shared", ASK)).await;
        }
        wait_for("each to have its share", async || {
            for of in &metrics {
                // One that has just ended is about to be opened again.
                if polled(of).await.abs_diff(share) > share / 20 {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }
}
