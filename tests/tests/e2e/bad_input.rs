//! Task input that can't be understood, or hardly fits: the task fails at once with a cause that names the field, and
//! the refusal is kept.

use approve_client::{
    ApprovalStatus, Client, Code, Decide, Error, Filter, List, Reason, StartExecution,
    proto::{Execution, ExecutionStatus},
};
use approve_tests::{
    Server,
    approvals::{ask, delivered, ended, start, states},
    wait_for,
    workflows::{PASS_INPUT, apply, spec},
};
use serde_json::Value;

/// The most that Step Functions takes as an input or output, in bytes.
const MAX_PAYLOAD: usize = 262_144;

#[tokio::test]
async fn a_malformed_approve_block_fails_the_task_and_names_the_field() {
    let server = Server::empty().await;
    let client = server.client("ana").await;
    apply(&client, spec("bare", PASS_INPUT)).await;
    for (input, field) in [
        (r#"{"approve": 7}"#, "approve"),
        (r#"{"approve": {"title": 7}}"#, "approve.title"),
        (r#"{"approve": {"titel": "x"}}"#, "approve.titel"),
        (r#"{"approve": {"title": "  "}}"#, "approve.title"),
        (r#"{"approve": {"requester": "group:finance"}}"#, "approve.requester"),
        (r#"{"approve": {"labels": {"a": 1}}}"#, "approve.labels.a"),
        (r#"{"approve": {"priority": "now"}}"#, "approve.priority"),
        (r#"{"approve": {"rule": {"required": "two"}}}"#, "approve.rule.required"),
        (r#"{"approve": {"rule": {"required": 0.5}}}"#, "approve.rule.required"),
        (r#"{"approve": {"rule": {"required": 101}}}"#, "approve.rule.required"),
        (r#"{"approve": {"rule": {"approvers": []}}}"#, "approve.rule.approvers"),
        (r#"{"approve": {"rule": {"expires_after": "soon"}}}"#, "approve.rule.expires_after"),
        (r#"{"approve": {"rule": {"on_expiry": "approve"}}}"#, "approve.rule.on_expiry"),
        (r#"{"approve": {"entered_at": "yesterday"}}"#, "approve.entered_at"),
    ] {
        let arn = start(&client, "bare", input).await;

        let execution = ended(&client, &arn).await;

        assert_refused(&execution, field);
        let cause: Value = serde_json::from_str(&execution.cause).unwrap();
        let kept = delivered(&client, cause["approval_id"].as_str().unwrap()).await;
        assert_eq!(kept.status(), ApprovalStatus::Invalid, "{input}");
        assert!(kept.reason.contains(field), "{input}: {}", kept.reason);
        assert_eq!(kept.input_json, input);
    }
    assert!(client.list(List::pending()).await.unwrap().approvals.is_empty());
    let refused = client.list(List::new().status(ApprovalStatus::Invalid)).await.unwrap();
    assert_eq!(refused.approvals.len(), 14);
    let error = client.decide(Decide::approve(&refused.approvals[0].id)).await.unwrap_err();
    assert_eq!(error.reason(), Some(&Reason::AlreadyDecided));
}

#[tokio::test]
async fn a_payload_at_the_limit_goes_through_and_one_byte_more_is_refused() {
    let server = Server::empty().await;
    let client = server.client("ana").await;
    apply(&client, spec("bare", PASS_INPUT)).await;

    let (arn, approval) = ask(&client, "bare", &payload(MAX_PAYLOAD)).await;
    assert_eq!(approval.input_json.len(), MAX_PAYLOAD);
    client.decide(Decide::approve(&approval.id)).await.unwrap();
    let execution = ended(&client, &arn).await;
    assert_eq!(execution.status(), ExecutionStatus::Succeeded, "{} {}", execution.error, execution.cause);
    let output: Value = serde_json::from_str(&execution.output_json).unwrap();
    assert_eq!(output["outcome"], "APPROVED");
    assert_eq!(output.get("input"), None, "with its input it would not have fitted");

    let error = start_error(&client, &payload(MAX_PAYLOAD + 1)).await;
    assert_invalid(&error, "input_json");
}

#[tokio::test]
async fn an_input_that_is_no_json_is_refused_before_anything_starts() {
    let server = Server::dev().await;
    let client = server.client("ana").await;
    for input in ["{", "{\"a\": 01}", "nope", "{} {}", "[1,]"] {
        assert_invalid(&start_error(&client, input).await, "input_json");
    }
    let cli = server.cli("ana");
    cli.run(&["start", "--input", "{oops"]).await.exits(6).says(&["JSON"]);
    let none = wait_for("the list", async || client.list(List::new().filter(Filter::new())).await.ok()).await;
    assert!(none.approvals.is_empty());
}

async fn start_error(client: &Client, input: &str) -> Error {
    client.start_execution(StartExecution::new().input_json(input)).await.unwrap_err()
}

fn assert_invalid(error: &Error, field: &str) {
    assert_eq!(error.code(), Code::InvalidArgument, "{error:?}");
    assert_eq!(error.reason(), Some(&Reason::InvalidField), "{error:?}");
    assert_eq!(error.field_violations().first().map(|violation| violation.field.as_str()), Some(field), "{error:?}");
}

fn assert_refused(execution: &Execution, field: &str) {
    assert_eq!(execution.status(), ExecutionStatus::Failed, "{execution:?}");
    assert_eq!(execution.error, "Approval.InvalidRequest", "{execution:?}");
    let cause: Value = serde_json::from_str(&execution.cause).unwrap();
    let reason = cause["reason"].as_str().unwrap();
    assert!(reason.starts_with(&format!("{field}:")), "expected a reason about {field}, found {reason:?}");
    assert_eq!(states(execution), ["Ask"]);
}

/// A JSON string of so many bytes.
fn payload(bytes: usize) -> String {
    format!("\"{}\"", "x".repeat(bytes - 2))
}
