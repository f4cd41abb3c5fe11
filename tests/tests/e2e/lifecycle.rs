//! How an approval stands with its task: kept alive by heartbeats, bound again after a retry, canceled with its workflow.

use approve_client::{
    ApprovalStatus, Client, Code, Decide, Reason,
    proto::{ExecutionStatus, TaskState},
};
use approve_tests::{
    LocalAws, Server,
    approvals::{ask, becomes, ended},
    aws, wait_for,
    workflows::{apply, ask_input, ask_retrying, of_group, spec, waiting, with_rule},
};
use aws_sdk_sfn::types::HistoryEventType;

const HEARTBEAT_SECONDS: u32 = 2;

/// How many events of a type an execution's history has.
async fn count(aws: &str, execution: &str, kind: HistoryEventType) -> usize {
    let history = aws::step_functions(aws).get_execution_history().execution_arn(execution).send().await.unwrap();
    history.events().iter().filter(|event| event.r#type == kind).count()
}

/// Waits for so many seconds of Step Functions' own clock.
async fn wait_by_step_functions(aws: &str, role: &str, seconds: u32) {
    let step_functions = aws::step_functions(aws);
    let machine = step_functions.create_state_machine().name("clock").role_arn(role).definition(waiting(seconds));
    let machine = machine.send().await.unwrap().state_machine_arn;
    let clock = step_functions.start_execution().state_machine_arn(machine).send().await.unwrap().execution_arn;
    wait_for("the clock", async || {
        let clock = step_functions.describe_execution().execution_arn(&clock).send().await.unwrap();
        (clock.status == aws_sdk_sfn::types::ExecutionStatus::Succeeded).then_some(())
    })
    .await;
}

async fn ask_with_heartbeats(client: &Client) -> (String, approve_client::Approval) {
    let definition = ask_retrying(HEARTBEAT_SECONDS);
    apply(client, with_rule(spec("payments", &definition), of_group("finance", 2))).await;
    ask(client, "payments", &ask_input("Pay", "user:req")).await
}

#[tokio::test]
async fn heartbeats_keep_the_task_while_people_think() {
    let server = Server::empty().await;
    let client = server.client_in("ana", &["finance"]).await;
    let (arn, approval) = ask_with_heartbeats(&client).await;
    // Step Functions itself tells when several intervals have passed.
    let role = client.get_workflow("payments").await.unwrap().role_arn;
    wait_by_step_functions(server.aws(), &role, 3 * HEARTBEAT_SECONDS).await;

    assert_eq!(count(server.aws(), &arn, HistoryEventType::ActivityTimedOut).await, 0);
    let now = client.get(&approval.id).await.unwrap();
    assert_eq!((now.status(), now.task_state(), now.task_count), (ApprovalStatus::Pending, TaskState::Open, 1));
    assert_eq!(now.revision, approval.revision, "a heartbeat is no change of the approval");
}

#[tokio::test]
async fn a_retry_after_missed_heartbeats_finds_the_approval_with_its_votes() {
    let aws = LocalAws::start().await;
    let mut server = Server::serve(aws.url()).await;
    let ana = server.client_in("ana", &["finance"]).await;
    let (arn, approval) = ask_with_heartbeats(&ana).await;
    ana.decide(Decide::approve(&approval.id)).await.unwrap();

    server.kill();
    wait_for("a missed heartbeat", async || {
        (count(aws.url(), &arn, HistoryEventType::ActivityTimedOut).await > 0).then_some(())
    })
    .await;
    server.start().await;

    let bound = becomes(&ana, &approval.id, "the new task", |approval| {
        approval.task_state() == TaskState::Open && approval.task_count > 1
    })
    .await;
    assert_eq!(bound.votes.len(), 1);
    let pending = ana.list(approve_client::List::new()).await.unwrap().approvals;
    assert_eq!(pending.len(), 1, "nobody is asked twice: {pending:?}");
    let bo = server.client_in("bo", &["finance"]).await;
    bo.decide(Decide::approve(&approval.id)).await.unwrap();
    assert_eq!(ended(&ana, &arn).await.status(), ExecutionStatus::Succeeded);
}

#[tokio::test]
async fn a_decision_that_misses_its_task_goes_to_the_next_one() {
    let aws = LocalAws::start().await;
    let mut server = Server::serve(aws.url()).await;
    let ana = server.client_in("ana", &["finance"]).await;
    let bo = server.client_in("bo", &["finance"]).await;
    let (arn, approval) = ask_with_heartbeats(&ana).await;
    ana.decide(Decide::approve(&approval.id)).await.unwrap();

    // Recorded, acknowledged, and not yet told: then the server is away until the task is lost.
    aws.process().pause();
    bo.decide(Decide::approve(&approval.id)).await.unwrap();
    server.kill();
    aws.process().resume();
    wait_for("a missed heartbeat", async || {
        (count(aws.url(), &arn, HistoryEventType::ActivityTimedOut).await > 0).then_some(())
    })
    .await;
    server.start().await;

    let execution = ended(&ana, &arn).await;
    assert_eq!(execution.status(), ExecutionStatus::Succeeded, "{execution:?}");
    assert_eq!(ana.list(approve_client::List::new()).await.unwrap().approvals.len(), 1);
}

#[tokio::test]
async fn an_approval_whose_execution_was_stopped_is_canceled() {
    let server = Server::empty().await;
    let client = server.client_in("ana", &["finance"]).await;
    let (arn, approval) = ask_with_heartbeats(&client).await;

    aws::step_functions(server.aws()).stop_execution().execution_arn(&arn).send().await.unwrap();

    let canceled =
        becomes(&client, &approval.id, "the cancellation", |approval| approval.status() == ApprovalStatus::Canceled)
            .await;
    assert_eq!(canceled.task_state(), TaskState::Closed);
    assert!(!canceled.reason.is_empty());
    let error = client.decide(Decide::approve(&approval.id)).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::FailedPrecondition, Some(&Reason::AlreadyDecided)));
    assert_eq!(error.metadata("status"), Some("CANCELED"));
}

#[tokio::test]
async fn a_loop_that_enters_the_state_again_asks_anew() {
    let server = Server::empty().await;
    let client = server.client("ana").await;
    let mut definition: serde_json::Value = serde_json::from_str(approve_tests::workflows::ASK).unwrap();
    definition["States"]["Ask"]["ResultPath"] = serde_json::json!("$.decision");
    definition["States"]["Ask"]["Next"] = "Again".into();
    definition["States"]["Again"] = serde_json::json!({
        "Type": "Choice",
        "Choices": [{"Variable": "$.decision.comment", "StringEquals": "again", "Next": "Ask"}],
        "Default": "NextStep"
    });
    apply(&client, spec("loop", &definition.to_string())).await;
    let (arn, first) = ask(&client, "loop", &ask_input("Pay", "user:req")).await;

    client.decide(Decide::approve(&first.id).comment("again")).await.unwrap();
    let second = wait_for("the second approval", async || {
        client.list(approve_client::List::pending()).await.unwrap().approvals.pop()
    })
    .await;
    assert_ne!(second.id, first.id);
    assert!(second.votes.is_empty());
    client.decide(Decide::approve(&second.id)).await.unwrap();

    let execution = ended(&client, &arn).await;
    assert_eq!(execution.status(), ExecutionStatus::Succeeded);
    assert_eq!(approve_tests::approvals::states(&execution), ["Ask", "Again", "Ask", "Again", "NextStep"]);
}
