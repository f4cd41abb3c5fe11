//! The JSON of `--output json`. Names and shapes are stable: keys are only ever added. A key is always there; what is
//! absent is null.

use std::collections::BTreeMap;

use approve_client::{
    Approval,
    prost_types::{self, Timestamp},
    proto::{
        ApprovalStatus, CommentPolicy, Decision, DeliveryState, Execution, ExecutionStatus, ExpiryAction, Priority,
        RejectAction, ResourceAction, ResourceStep, Rule, Source, Stage, TaskState, Vote, Workflow, WorkflowSpec,
    },
};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::{names::Name, time};

/// JSON text, embedded as it is; null if empty; a string if it is not JSON.
pub(crate) struct Raw<'a>(pub &'a str);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_empty() {
            return serializer.serialize_none();
        }
        match serde_json::from_str::<&RawValue>(self.0) {
            Ok(raw) => raw.serialize(serializer),
            Err(_) => serializer.serialize_str(self.0),
        }
    }
}

#[derive(Serialize)]
pub(crate) struct ApprovalJson<'a> {
    id: &'a str,
    status: String,
    title: &'a str,
    description: Option<&'a str>,
    workflow: &'a str,
    requester: Option<&'a str>,
    priority: String,
    labels: BTreeMap<&'a str, &'a str>,
    rule: Option<RuleJson<'a>>,
    votes: Vec<VoteJson<'a>>,
    input: Raw<'a>,
    create_time: Option<String>,
    update_time: Option<String>,
    expire_time: Option<String>,
    decide_time: Option<String>,
    decided_by: &'a [String],
    reason: Option<&'a str>,
    delivery: DeliveryJson<'a>,
    source: Option<SourceJson<'a>>,
    task_state: String,
    task_count: u32,
    etag: &'a str,
    revision: i64,
}

#[derive(Serialize)]
struct RuleJson<'a> {
    stages: Vec<StageJson<'a>>,
    required_rejections: u32,
    allow_self_approval: bool,
    comment_policy: String,
    expire_after_seconds: Option<i64>,
    expiry_action: String,
    reject_action: String,
}

#[derive(Serialize)]
struct StageJson<'a> {
    name: Option<&'a str>,
    approver_sets: Vec<&'a [String]>,
    required_approvals: u32,
}

impl<'a> From<&'a Stage> for StageJson<'a> {
    fn from(stage: &'a Stage) -> Self {
        Self {
            name: present(&stage.name),
            approver_sets: stage.approver_sets.iter().map(|set| set.any_of.as_slice()).collect(),
            required_approvals: stage.required_approvals,
        }
    }
}

#[derive(Serialize)]
struct VoteJson<'a> {
    voter: &'a str,
    decision: String,
    comment: Option<&'a str>,
    response: Raw<'a>,
    vote_time: Option<String>,
}

#[derive(Serialize)]
struct DeliveryJson<'a> {
    state: String,
    attempts: u32,
    last_error: Option<&'a str>,
    settle_time: Option<String>,
}

#[derive(Serialize)]
struct SourceJson<'a> {
    activity_arn: &'a str,
    execution_arn: Option<&'a str>,
    state_machine_arn: Option<&'a str>,
    state_name: Option<&'a str>,
    state_enter_time: Option<String>,
    attempt: u32,
    key: Option<&'a str>,
}

impl<'a> From<&'a Approval> for ApprovalJson<'a> {
    fn from(approval: &'a Approval) -> Self {
        let delivery = approval.delivery.as_ref();
        Self {
            id: &approval.id,
            status: ApprovalStatus::lower(approval.status),
            title: &approval.title,
            description: present(&approval.description),
            workflow: &approval.workflow,
            requester: present(&approval.requester),
            priority: Priority::lower(approval.priority),
            labels: sorted(&approval.labels),
            rule: approval.rule.as_ref().map(RuleJson::from),
            votes: approval.votes.iter().map(VoteJson::from).collect(),
            input: Raw(&approval.input_json),
            create_time: moment(approval.create_time.as_ref()),
            update_time: moment(approval.update_time.as_ref()),
            expire_time: moment(approval.expire_time.as_ref()),
            decide_time: moment(approval.decide_time.as_ref()),
            decided_by: &approval.decided_by,
            reason: present(&approval.reason),
            delivery: DeliveryJson {
                state: DeliveryState::lower(delivery.map_or(DeliveryState::None as i32, |delivery| delivery.state)),
                attempts: delivery.map_or(0, |delivery| delivery.attempts),
                last_error: delivery.and_then(|delivery| present(&delivery.last_error)),
                settle_time: moment(delivery.and_then(|delivery| delivery.settle_time.as_ref())),
            },
            source: approval.source.as_ref().map(SourceJson::from),
            task_state: TaskState::lower(approval.task_state),
            task_count: approval.task_count,
            etag: &approval.etag,
            revision: approval.revision,
        }
    }
}

impl<'a> From<&'a Rule> for RuleJson<'a> {
    fn from(rule: &'a Rule) -> Self {
        Self {
            stages: rule.stages.iter().map(StageJson::from).collect(),
            required_rejections: rule.required_rejections,
            allow_self_approval: rule.allow_self_approval,
            comment_policy: CommentPolicy::lower(rule.comment_policy),
            expire_after_seconds: whole_seconds(rule.expire_after.as_ref()),
            expiry_action: ExpiryAction::lower(rule.expiry_action),
            reject_action: RejectAction::lower(rule.reject_action),
        }
    }
}

impl<'a> From<&'a Vote> for VoteJson<'a> {
    fn from(vote: &'a Vote) -> Self {
        Self {
            voter: &vote.voter,
            decision: Decision::lower(vote.decision),
            comment: present(&vote.comment),
            response: Raw(&vote.response_json),
            vote_time: moment(vote.vote_time.as_ref()),
        }
    }
}

impl<'a> From<&'a Source> for SourceJson<'a> {
    fn from(source: &'a Source) -> Self {
        Self {
            activity_arn: &source.activity_arn,
            execution_arn: present(&source.execution_arn),
            state_machine_arn: present(&source.state_machine_arn),
            state_name: present(&source.state_name),
            state_enter_time: moment(source.state_enter_time.as_ref()),
            attempt: source.attempt,
            key: present(&source.key),
        }
    }
}

#[derive(Serialize)]
pub(crate) struct ExecutionJson<'a> {
    arn: &'a str,
    name: &'a str,
    state_machine_arn: &'a str,
    status: String,
    input: Raw<'a>,
    output: Raw<'a>,
    error: Option<&'a str>,
    cause: Raw<'a>,
    start_time: Option<String>,
    stop_time: Option<String>,
    states: Vec<StateJson<'a>>,
}

#[derive(Serialize)]
struct StateJson<'a> {
    name: &'a str,
    enter_time: Option<String>,
    exit_time: Option<String>,
}

impl<'a> From<&'a Execution> for ExecutionJson<'a> {
    fn from(execution: &'a Execution) -> Self {
        Self {
            arn: &execution.arn,
            name: &execution.name,
            state_machine_arn: &execution.state_machine_arn,
            status: ExecutionStatus::lower(execution.status),
            input: Raw(&execution.input_json),
            output: Raw(&execution.output_json),
            error: present(&execution.error),
            cause: Raw(&execution.cause),
            start_time: moment(execution.start_time.as_ref()),
            stop_time: moment(execution.stop_time.as_ref()),
            states: execution
                .states
                .iter()
                .map(|state| StateJson {
                    name: &state.name,
                    enter_time: moment(state.enter_time.as_ref()),
                    exit_time: moment(state.exit_time.as_ref()),
                })
                .collect(),
        }
    }
}

#[derive(Serialize)]
pub(crate) struct WorkflowJson<'a> {
    name: &'a str,
    state_machine_arn: &'a str,
    activity_arn: &'a str,
    role_arn: &'a str,
    create_time: Option<String>,
    update_time: Option<String>,
    spec: Option<SpecJson<'a>>,
}

#[derive(Serialize)]
struct SpecJson<'a> {
    activity_name: Option<&'a str>,
    state_machine: Option<StateMachineJson<'a>>,
    role: Option<RoleJson<'a>>,
    rule: Option<RuleJson<'a>>,
    tags: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct StateMachineJson<'a> {
    name: Option<&'a str>,
    definition: Option<&'a str>,
    timeout_seconds: Option<i64>,
    heartbeat_seconds: Option<i64>,
}

#[derive(Serialize)]
struct RoleJson<'a> {
    name: Option<&'a str>,
    managed_policies: &'a [String],
}

impl<'a> From<&'a Workflow> for WorkflowJson<'a> {
    fn from(workflow: &'a Workflow) -> Self {
        Self {
            name: &workflow.name,
            state_machine_arn: &workflow.state_machine_arn,
            activity_arn: &workflow.activity_arn,
            role_arn: &workflow.role_arn,
            create_time: moment(workflow.create_time.as_ref()),
            update_time: moment(workflow.update_time.as_ref()),
            spec: workflow.spec.as_ref().map(SpecJson::from),
        }
    }
}

impl<'a> From<&'a WorkflowSpec> for SpecJson<'a> {
    fn from(spec: &'a WorkflowSpec) -> Self {
        Self {
            activity_name: present(&spec.activity_name),
            state_machine: spec.state_machine.as_ref().map(|machine| StateMachineJson {
                name: present(&machine.name),
                definition: present(&machine.definition),
                timeout_seconds: whole_seconds(machine.timeout.as_ref()),
                heartbeat_seconds: whole_seconds(machine.heartbeat.as_ref()),
            }),
            role: spec
                .role
                .as_ref()
                .map(|role| RoleJson { name: present(&role.name), managed_policies: &role.managed_policy_arns }),
            rule: spec.rule.as_ref().map(RuleJson::from),
            tags: sorted(&spec.tags),
        }
    }
}

#[derive(Serialize)]
pub(crate) struct StepJson<'a> {
    action: String,
    resource_type: &'a str,
    resource_name: &'a str,
    arn: Option<&'a str>,
    detail: Option<&'a str>,
}

impl<'a> From<&'a ResourceStep> for StepJson<'a> {
    fn from(step: &'a ResourceStep) -> Self {
        Self {
            action: ResourceAction::lower(step.action),
            resource_type: &step.resource_type,
            resource_name: &step.resource_name,
            arn: present(&step.arn),
            detail: present(&step.detail),
        }
    }
}

/// RFC 3339, UTC.
pub(crate) fn moment(time: Option<&Timestamp>) -> Option<String> {
    time.and_then(time::timestamp).map(|time| time.to_string())
}

fn present(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn sorted(map: &std::collections::HashMap<String, String>) -> BTreeMap<&str, &str> {
    map.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

fn whole_seconds(duration: Option<&prost_types::Duration>) -> Option<i64> {
    duration.map(|duration| duration.seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_is_embedded_as_it_was_written() {
        let approval = Approval {
            input_json: r#"{"amount":1200.50,"big":123456789012345678901234567890,"amount":1}"#.into(),
            ..Approval::default()
        };
        let json = serde_json::to_string(&ApprovalJson::from(&approval)).unwrap();
        assert!(json.contains(&format!(r#""input":{}"#, approval.input_json)), "{json}");
    }

    #[test]
    fn what_is_not_json_is_a_string_and_nothing_is_null() {
        let json = |text| serde_json::to_string(&Raw(text)).unwrap();
        assert_eq!(json("{oops"), r#""{oops""#);
        assert_eq!(json(""), "null");
    }
}
