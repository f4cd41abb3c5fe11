//! Faults on purpose, and clients that go away.

use aws_sdk_sfn::{
    error::{ProvideErrorMetadata as _, SdkError},
    types::ExecutionStatus,
};

use sfn_local::Options;

use crate::support::{Local, approval_definition};

async fn set(local: &Local, rules: &str) {
    local.admin("POST", "faults", &format!(r#"{{"seed": 1, "rules": [{rules}]}}"#)).await;
}

#[tokio::test]
async fn throttling_and_errors_are_not_applied() {
    let local = Local::start().await;
    set(
        &local,
        r#"{"operation": "CreateActivity", "kind": "throttle", "times": 1},
           {"operation": "CreateActivity", "kind": "error", "status": 503, "times": 1},
           {"operation": "GetRole", "kind": "throttle"}"#,
    )
    .await;
    let create = local.sfn.create_activity().name("A");
    let throttled = create.clone().send().await.unwrap_err().into_service_error();
    assert_eq!(throttled.code(), Some("ThrottlingException"));
    let failed = create.clone().send().await.unwrap_err();
    assert_eq!(failed.raw_response().unwrap().status().as_u16(), 503);
    assert!(local.sfn.list_activities().send().await.unwrap().activities.is_empty());
    create.send().await.unwrap();
    let throttled = local.iam.get_role().role_name("R").send().await.unwrap_err().into_service_error();
    assert_eq!(throttled.code(), Some("Throttling"));
    let report = local.admin("GET", "faults", "").await;
    let fired: Vec<&serde_json::Value> =
        report["rules"].as_array().unwrap().iter().map(|rule| &rule["fired"]).collect();
    assert_eq!(fired, [1, 1, 1]);
    local.stop().await;
}

#[tokio::test]
async fn a_reset_is_before_the_effect_and_a_dropped_answer_after() {
    let local = Local::start().await;
    let activity = local.activity("A").await;
    let machine = local.machine("M", &approval_definition(&activity)).await;
    let execution = local.sfn.start_execution().state_machine_arn(&machine).send().await.unwrap().execution_arn;
    let token = local.sfn.get_activity_task().activity_arn(&activity).send().await.unwrap().task_token.unwrap();
    set(
        &local,
        r#"{"operation": "SendTaskSuccess", "kind": "reset", "times": 1},
           {"operation": "SendTaskSuccess", "kind": "drop_answer", "times": 1}"#,
    )
    .await;
    let status = async || local.sfn.describe_execution().execution_arn(&execution).send().await.unwrap().status;
    let send = local.sfn.send_task_success().task_token(&token).output("{}");
    assert!(matches!(send.clone().send().await.unwrap_err(), SdkError::DispatchFailure(_)));
    assert_eq!(status().await, ExecutionStatus::Running);
    assert!(matches!(send.clone().send().await.unwrap_err(), SdkError::DispatchFailure(_)));
    assert_eq!(status().await, ExecutionStatus::Succeeded);
    assert!(send.send().await.unwrap_err().into_service_error().is_task_timed_out());
    local.stop().await;
}

#[tokio::test]
async fn a_lost_answer_of_a_poll_loses_its_task() {
    let local = Local::start().await;
    let activity = local.activity("A").await;
    let machine = local.machine("M", &approval_definition(&activity)).await;
    let execution = local.sfn.start_execution().state_machine_arn(&machine).send().await.unwrap().execution_arn;
    set(&local, r#"{"operation": "GetActivityTask", "kind": "drop_answer", "times": 1}"#).await;
    local.sfn.get_activity_task().activity_arn(&activity).send().await.unwrap_err();
    local.admin("POST", "clock", r#"{"advance_millis": 60000}"#).await;
    let done = local.sfn.describe_execution().execution_arn(&execution).send().await.unwrap();
    assert_eq!(done.error.as_deref(), Some("States.HeartbeatTimeout"));
    local.stop().await;
}

#[tokio::test]
async fn a_client_that_has_gone_gets_no_task() {
    let local = Local::start().await;
    let activity = local.activity("A").await;
    let machine = local.machine("M", &approval_definition(&activity)).await;
    let gone = tokio::spawn(local.sfn.get_activity_task().activity_arn(&activity).send());
    local.wait_for_open_polls(1).await;
    gone.abort();
    local.wait_for_open_polls(0).await;
    local.sfn.start_execution().state_machine_arn(&machine).send().await.unwrap();
    let task = local.sfn.get_activity_task().activity_arn(&activity).send().await.unwrap();
    assert!(task.task_token.is_some());
    local.stop().await;
}

#[tokio::test]
async fn a_dead_poll_takes_a_task_with_it_where_that_is_asked_for() {
    let local = Local::with(Options { dead_polls_take_tasks: true, ..Options::default() }).await;
    let activity = local.activity("A").await;
    let machine = local.machine("M", &approval_definition(&activity)).await;
    let gone = tokio::spawn(local.sfn.get_activity_task().activity_arn(&activity).send());
    local.wait_for_open_polls(1).await;
    gone.abort();
    gone.await.unwrap_err();
    let execution = local.sfn.start_execution().state_machine_arn(&machine).send().await.unwrap().execution_arn;
    local.wait_for_open_polls(0).await;
    let history = local.sfn.get_execution_history().execution_arn(&execution).send().await.unwrap().events;
    assert_eq!(history.last().unwrap().r#type.as_str(), "ActivityStarted");
    local.admin("POST", "clock", r#"{"advance_millis": 60000}"#).await;
    let done = local.sfn.describe_execution().execution_arn(&execution).send().await.unwrap();
    assert_eq!(done.error.as_deref(), Some("States.HeartbeatTimeout"));
    local.stop().await;
}

#[tokio::test]
async fn calls_beyond_the_quota_are_throttled_where_that_is_asked_for() {
    let local = Local::with(Options { quotas: true, ..Options::default() }).await;
    local.admin("POST", "clock", r#"{"stop": true}"#).await;
    let create = local.sfn.create_activity().name("A");
    for _ in 0..100 {
        create.clone().send().await.unwrap();
    }
    let throttled = create.clone().send().await.unwrap_err();
    assert_eq!(throttled.raw_response().unwrap().status().as_u16(), 400);
    assert_eq!(throttled.into_service_error().code(), Some("ThrottlingException"));
    local.activity_list().await;
    local.admin("POST", "clock", r#"{"advance_millis": 1000}"#).await;
    create.clone().send().await.unwrap();
    create.send().await.unwrap_err();
    local.stop().await;
}

#[tokio::test]
async fn a_stopped_clock_lets_nothing_time_out() {
    let local = Local::start().await;
    let activity = local.activity("A").await;
    local.admin("POST", "clock", r#"{"stop": true}"#).await;
    let poll = tokio::spawn(local.sfn.get_activity_task().activity_arn(&activity).send());
    local.wait_for_open_polls(1).await;
    let before = local.admin("POST", "clock", "{}").await;
    assert_eq!(before, local.admin("POST", "clock", "{}").await);
    local.admin("POST", "clock", r#"{"advance_millis": 60000, "stop": false}"#).await;
    assert_eq!(poll.await.unwrap().unwrap().task_token, None);
    local.stop().await;
}
