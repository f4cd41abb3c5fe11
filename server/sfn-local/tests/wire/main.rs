//! The real AWS SDKs against the server.
#![allow(clippy::unwrap_used, reason = "a helper that cannot go on fails its test")]

mod durable;
mod errors;
mod faults;
mod iam;
mod iam_errors;
mod paging;
mod support;

use aws_sdk_sfn::{error::ProvideErrorMetadata as _, types::ExecutionStatus};
use support::{Local, approval_definition};

#[tokio::test]
async fn an_activity_pauses_a_workflow_and_its_answer_resumes_it() {
    let local = Local::start().await;
    let activity = local.activity("Approve").await;
    let machine = local.machine("Main", &approval_definition(&activity)).await;
    let poll = tokio::spawn({
        let (sfn, activity) = (local.sfn.clone(), activity.clone());
        async move { sfn.get_activity_task().activity_arn(activity).worker_name("w1").send().await.unwrap() }
    });
    let input = r#"{"invoice": 4711, "amount": 1200.50}"#;
    let started = local.sfn.start_execution().state_machine_arn(&machine).name("e1").input(input).send().await.unwrap();
    assert_eq!(started.execution_arn, machine.replace(":stateMachine:", ":execution:") + ":e1");
    let task = poll.await.unwrap();
    assert_eq!(
        task.input.as_deref(),
        Some(r#"{"title":"Pay","state":"ApprovalStep","attempt":0,"input":{"invoice":4711,"amount":1200.50}}"#)
    );
    let token = task.task_token.unwrap();
    local.sfn.send_task_heartbeat().task_token(&token).send().await.unwrap();
    local.sfn.send_task_success().task_token(&token).output(r#"{"outcome":"APPROVED"}"#).send().await.unwrap();
    let done = local.sfn.describe_execution().execution_arn(&started.execution_arn).send().await.unwrap();
    assert_eq!(done.status, ExecutionStatus::Succeeded);
    assert_eq!(done.output.as_deref(), Some(r#"{"outcome":"APPROVED"}"#));
    assert_eq!(done.input.as_deref(), Some(input));

    let history = local.sfn.get_execution_history().execution_arn(&started.execution_arn).send().await.unwrap().events;
    let types: Vec<&str> = history.iter().map(|event| event.r#type.as_str()).collect();
    assert_eq!(
        types,
        [
            "ExecutionStarted",
            "TaskStateEntered",
            "ActivityScheduled",
            "ActivityStarted",
            "ActivitySucceeded",
            "TaskStateExited",
            "PassStateEntered",
            "PassStateExited",
            "ExecutionSucceeded"
        ]
    );
    let scheduled = history[2].activity_scheduled_event_details.as_ref().unwrap();
    assert_eq!((scheduled.timeout_in_seconds, scheduled.heartbeat_in_seconds), (Some(300), Some(60)));
    assert_eq!(history[3].activity_started_event_details.as_ref().unwrap().worker_name.as_deref(), Some("w1"));
    let again = local.sfn.send_task_success().task_token(&token).output("{}").send().await.unwrap_err();
    assert!(again.into_service_error().is_task_timed_out());
    local.stop().await;
}

#[tokio::test]
async fn a_failure_fails_the_execution_with_its_error_and_cause() {
    let local = Local::start().await;
    let activity = local.activity("Approve").await;
    let machine = local.machine("Main", &approval_definition(&activity)).await;
    let started = local.sfn.start_execution().state_machine_arn(&machine).send().await.unwrap();
    let task = local.sfn.get_activity_task().activity_arn(&activity).send().await.unwrap();
    let token = task.task_token.unwrap();
    local.sfn.send_task_failure().task_token(&token).error("Approval.Rejected").cause("no").send().await.unwrap();
    let done = local.sfn.describe_execution().execution_arn(&started.execution_arn).send().await.unwrap();
    assert_eq!(done.status, ExecutionStatus::Failed);
    assert_eq!((done.error.as_deref(), done.cause.as_deref()), (Some("Approval.Rejected"), Some("no")));
    local.stop().await;
}

#[tokio::test]
async fn errors_arrive_as_the_types_of_the_model() {
    let local = Local::start().await;
    let sfn = &local.sfn;
    let no_activity = "arn:aws:states:us-east-1:000000000000:activity:none";
    let error = sfn.get_activity_task().activity_arn(no_activity).send().await.unwrap_err().into_service_error();
    assert!(error.is_activity_does_not_exist(), "{error:?}");
    let error = sfn.create_activity().name("a b").send().await.unwrap_err().into_service_error();
    assert!(error.is_invalid_name(), "{error:?}");
    let error = sfn.send_task_heartbeat().task_token("garbage").send().await.unwrap_err().into_service_error();
    assert!(error.is_invalid_token(), "{error:?}");
    let error = sfn.describe_execution().execution_arn("nonsense").send().await.unwrap_err().into_service_error();
    assert!(error.is_invalid_arn(), "{error:?}");
    let role = local.role("R").await;
    let error = sfn
        .create_state_machine()
        .name("m")
        .definition("{}")
        .role_arn(role)
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    assert!(error.is_invalid_definition(), "{error:?}");
    assert_eq!(
        error.message(),
        Some(
            "Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: These fields are required: [States, StartAt] at /'"
        )
    );
    local.stop().await;
}

#[tokio::test]
async fn shutting_down_answers_open_polls_empty() {
    let local = Local::start().await;
    let activity = local.activity("Approve").await;
    let poll = tokio::spawn(local.sfn.get_activity_task().activity_arn(&activity).send());
    local.wait_for_open_polls(1).await;
    local.stop().await;
    assert_eq!(poll.await.unwrap().unwrap().task_token, None);
}

#[tokio::test]
async fn payloads_at_the_limit_pass_and_one_byte_more_is_refused_by_the_service() {
    let local = Local::start().await;
    let activity = local.activity("Approve").await;
    let machine = local.machine("Main", &approval_definition(&activity)).await;
    let input = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    let start = local.sfn.start_execution().state_machine_arn(&machine);
    start.clone().input(input(262_144)).send().await.unwrap();
    let error = start.input(input(262_145)).send().await.unwrap_err().into_service_error();
    assert_eq!(error.code(), Some("ValidationException"));
    local.stop().await;
}
