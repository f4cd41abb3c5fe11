//! Several servers on one database: each takes any call, and what one leaves another goes on with.

use std::time::Duration;

use approve_client::{ApprovalStatus, Decide, Filter, Watch, proto::ExecutionStatus};
use approve_proto::v1::{DecideRequest, Decision};
use approve_tests::{
    LocalAws,
    approvals::{Watching, ask, becomes, delivered, ended, start},
    fleet::is,
    postgres::Database,
    server::request_as,
    wait_for,
    way::Passing,
    workflows::{ASK, apply, ask_input, expiring, spec, with_rule},
};
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
