//! The server dies in mid-approval and comes back in the same folder. Nothing is lost, nobody is asked twice.

use approve_client::{
    ApprovalStatus, Decide, Filter, Reason, Watch, WatchEvent,
    proto::{DeliveryState, ExecutionStatus},
};
use approve_tests::{
    LocalAws, Server,
    approvals::{Watching, ask, delivered, delivery_state, ended, start},
    workflows::{ASK, apply, ask_input, ask_retrying, of_group, spec, with_rule},
};

const FINANCE: &[&str] = &["finance"];

#[tokio::test]
async fn approval_votes_and_streams_survive_a_kill_and_the_decision_arrives() {
    let aws = LocalAws::start().await;
    let mut server = Server::serve(aws.url()).await;
    let ana = server.client_in("ana", FINANCE).await;
    apply(&ana, with_rule(spec("payments", ASK), of_group("finance", 2))).await;
    let (arn, before) = ask(&ana, "payments", &ask_input("Pay invoice", "user:req")).await;
    let first_vote = Decide::approve(&before.id).comment("fits the order");
    let voted = ana.decide(first_vote.clone()).await.unwrap();
    assert_eq!(voted.approval.status(), ApprovalStatus::Pending);
    let mut watching = Watching::synced(&ana, Watch::new().filter(Filter::new().workflow("payments"))).await;
    assert_eq!(watching.view.len(), 1);

    server.kill();
    let lost = watching.until("the loss of the stream", |event| matches!(event, WatchEvent::Disconnected { .. }));
    lost.await;
    server.start().await;

    let after = ana.get(&before.id).await.unwrap();
    assert_eq!(after.status(), ApprovalStatus::Pending);
    assert_eq!((&after.title, &after.input_json), (&before.title, &before.input_json));
    assert_eq!(after.votes, voted.approval.votes);
    assert_eq!(after.etag, voted.approval.etag);
    let other_body = Decide::approve(&before.id).comment("on second thoughts").with_request_id(first_vote.request_id());
    let reused = ana.decide(other_body).await.unwrap_err();
    assert_eq!(reused.reason(), Some(&Reason::RequestIdReused), "the request id is known after the restart");

    let bo = server.client_in("bo", FINANCE).await;
    bo.decide(Decide::approve(&before.id)).await.unwrap();

    assert_eq!(watching.removed(&before.id).await, ApprovalStatus::Approved);
    let again = ana.decide(first_vote).await.unwrap();
    let first_answer = (voted.revision, ApprovalStatus::Pending);
    assert_eq!((again.revision, again.approval.status()), first_answer, "a repeated request gets the first answer");
    let told: Vec<_> = watching.events.iter().collect();
    assert!(!told.iter().any(|event| matches!(event, WatchEvent::Reset)), "the stream did not resume: {told:?}");
    let execution = ended(&ana, &arn).await;
    assert_eq!(execution.status(), ExecutionStatus::Succeeded);
    let output: serde_json::Value = serde_json::from_str(&execution.output_json).unwrap();
    assert_eq!(output["decided_by"], serde_json::json!(["user:ana", "user:bo"]));
    assert_eq!(output["approval_id"], *before.id);
    assert_eq!(delivered(&ana, &before.id).await.task_count, 1, "the task was kept, not asked for again");
}

#[tokio::test]
async fn a_decision_made_while_step_functions_is_away_arrives_after_a_kill() {
    let aws = LocalAws::start().await;
    let mut server = Server::serve(aws.url()).await;
    let ana = server.client("ana").await;
    apply(&ana, spec("payments", ASK)).await;
    let (arn, approval) = ask(&ana, "payments", &ask_input("Pay invoice", "user:req")).await;

    aws.process().pause();
    let decided = ana.decide(Decide::approve(&approval.id)).await.unwrap();
    assert_eq!(decided.approval.status(), ApprovalStatus::Approved);
    assert_eq!(delivery_state(&decided.approval), DeliveryState::Recorded);
    server.kill();
    aws.process().resume();
    server.start().await;

    delivered(&ana, &approval.id).await;
    assert_eq!(ended(&ana, &arn).await.status(), ExecutionStatus::Succeeded);
}

#[tokio::test]
async fn what_started_while_the_server_was_down_is_asked_for_when_it_is_back() {
    let aws = LocalAws::start().await;
    let mut server = Server::serve(aws.url()).await;
    let ana = server.client("ana").await;
    // A poll that nobody answers to any more may have been given the task: then the state's Retry hands it out again.
    let workflow = apply(&ana, spec("payments", &ask_retrying(2))).await;
    let mut watching = Watching::synced(&ana, Watch::new()).await;
    start(&ana, "payments", &ask_input("The first", "user:req")).await;
    watching.upserted("the first approval", |approval| approval.title == "The first").await;
    server.kill();

    approve_tests::aws::step_functions(aws.url())
        .start_execution()
        .state_machine_arn(&workflow.state_machine_arn)
        .input(ask_input("The second", "user:req"))
        .send()
        .await
        .unwrap();
    server.start().await;

    watching.upserted("the second approval", |approval| approval.title == "The second").await;
    assert_eq!(watching.view.len(), 2);
}
