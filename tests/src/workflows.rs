//! Workflows that the tests provision.

use std::time::Duration;

use approve_client::{
    ApplyEvent, ApplyOptions, Client,
    proto::{ApproverSet, RoleSpec, Rule, Stage, StateMachineSpec, Workflow, WorkflowSpec},
};
use futures::TryStreamExt;

/// A Task that hands its whole input to the activity: what is started with is what the server gets.
pub const PASS_INPUT: &str = r#"{
  "StartAt": "Ask",
  "States": {
    "Ask": {"Type": "Task", "Resource": "${activity_arn}", "TimeoutSeconds": 300, "HeartbeatSeconds": 60, "Next": "NextStep"},
    "NextStep": {"Type": "Pass", "End": true}
  }
}"#;

/// A Task whose `approve` block takes title, requester, priority and labels from the input, the identity from the
/// context object.
pub const ASK: &str = r#"{
  "StartAt": "Ask",
  "States": {
    "Ask": {
      "Type": "Task",
      "Resource": "${activity_arn}",
      "Parameters": {
        "approve": {
          "title.$": "$.title",
          "requester.$": "$.requester",
          "labels.$": "$.labels",
          "execution.$": "$$.Execution.Id",
          "state_machine.$": "$$.StateMachine.Id",
          "state.$": "$$.State.Name",
          "entered_at.$": "$$.State.EnteredTime",
          "attempt.$": "$$.State.RetryCount"
        },
        "input.$": "$"
      },
      "TimeoutSeconds": 300,
      "HeartbeatSeconds": 60,
      "Next": "NextStep"
    },
    "NextStep": {"Type": "Pass", "End": true}
  }
}"#;

/// [`ASK`] with a heartbeat of so many seconds, and a Retry for lost ones.
pub fn ask_retrying(heartbeat_seconds: u32) -> String {
    let mut definition: serde_json::Value = serde_json::from_str(ASK).unwrap();
    let step = &mut definition["States"]["Ask"];
    step["HeartbeatSeconds"] = heartbeat_seconds.into();
    step["Retry"] = serde_json::json!([{
        "ErrorEquals": ["States.HeartbeatTimeout", "States.Timeout"],
        "IntervalSeconds": 1, "MaxAttempts": 99, "BackoffRate": 1.0
    }]);
    definition.to_string()
}

/// [`ASK`] with times that are longer than any test.
pub fn ask_for_a_day() -> String {
    const DAY_SECONDS: u32 = 86_400;
    let mut definition: serde_json::Value = serde_json::from_str(ASK).unwrap();
    let step = &mut definition["States"]["Ask"];
    step["TimeoutSeconds"] = DAY_SECONDS.into();
    step["HeartbeatSeconds"] = (DAY_SECONDS / 2).into();
    definition.to_string()
}

/// A state machine that does nothing for so many seconds of Step Functions' own clock.
pub fn waiting(seconds: u32) -> String {
    let wait = serde_json::json!({"Type": "Wait", "Seconds": seconds, "End": true});
    serde_json::json!({"StartAt": "Wait", "States": {"Wait": wait}}).to_string()
}

/// An input for [`ASK`].
pub fn ask_input(title: &str, requester: &str) -> String {
    serde_json::json!({"title": title, "requester": requester, "labels": {"team": "billing"}}).to_string()
}

/// A spec with this definition.
pub fn spec(name: &str, definition: &str) -> WorkflowSpec {
    WorkflowSpec {
        name: name.to_owned(),
        state_machine: Some(StateMachineSpec { definition: definition.to_owned(), ..StateMachineSpec::default() }),
        role: Some(RoleSpec::default()),
        ..WorkflowSpec::default()
    }
}

/// The spec with this rule.
pub fn with_rule(spec: WorkflowSpec, rule: Rule) -> WorkflowSpec {
    WorkflowSpec { rule: Some(rule), ..spec }
}

/// A rule of so many approvals, by members of `group`.
pub fn of_group(group: &str, required_approvals: u32) -> Rule {
    let any_of = vec![format!("group:{group}")];
    let stage = Stage { approver_sets: vec![ApproverSet { any_of }], required_approvals, ..Stage::default() };
    Rule { stages: vec![stage], ..Rule::default() }
}

/// A rule that expires.
pub fn expiring(after: Duration) -> Rule {
    Rule { expire_after: Some(prost_types::Duration::try_from(after).unwrap()), ..Rule::default() }
}

/// Applies a spec and returns the workflow.
pub async fn apply(client: &Client, spec: WorkflowSpec) -> Workflow {
    let mut events = client.apply_workflow(spec, ApplyOptions::new());
    while let Some(event) = events.try_next().await.unwrap() {
        if let ApplyEvent::Applied(workflow) = event {
            return *workflow;
        }
    }
    panic!("the stream ended before the workflow was applied");
}
