use std::collections::BTreeMap;

use approve_client::{
    Approval,
    proto::{ApprovalStatus, Decision, DeliveryState, Priority, Source, StageProgress, TaskState, Vote},
};
use serde::Serialize;

use super::{Raw, RuleJson, moment, present, sorted};
use crate::output::names::Name;

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
    outcome: Option<&'a str>,
    stages: Vec<ProgressJson<'a>>,
    assignment: Option<AssignmentJson<'a>>,
    hold: Option<HoldJson<'a>>,
    rule_version: Option<&'a str>,
}

#[derive(Serialize)]
pub(super) struct ProgressJson<'a> {
    name: Option<&'a str>,
    required_approvals: u32,
    approvals: u32,
    open: bool,
}

#[derive(Serialize)]
struct AssignmentJson<'a> {
    assignee: &'a str,
    assigned_by: &'a [String],
    expire_time: Option<String>,
}

#[derive(Serialize)]
struct HoldJson<'a> {
    held_by: &'a str,
    end_time: Option<String>,
    reason: &'a str,
}

#[derive(Serialize)]
struct VoteJson<'a> {
    voter: &'a str,
    decision: String,
    comment: Option<&'a str>,
    response: Raw<'a>,
    vote_time: Option<String>,
    outcome: Option<&'a str>,
    cast_by: Option<&'a str>,
    stages: &'a [String],
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
            outcome: present(&approval.outcome),
            stages: approval.stages.iter().map(ProgressJson::from).collect(),
            assignment: approval.assignment.as_ref().map(|assignment| AssignmentJson {
                assignee: &assignment.assignee,
                assigned_by: &assignment.assigned_by,
                expire_time: moment(assignment.expire_time.as_ref()),
            }),
            hold: approval.hold.as_ref().map(|hold| HoldJson {
                held_by: &hold.held_by,
                end_time: moment(hold.end_time.as_ref()),
                reason: &hold.reason,
            }),
            rule_version: present(&approval.rule_version),
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
            outcome: present(&vote.outcome),
            cast_by: present(&vote.cast_by),
            stages: &vote.stages,
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

impl<'a> From<&'a StageProgress> for ProgressJson<'a> {
    fn from(stage: &'a StageProgress) -> Self {
        Self {
            name: present(&stage.name),
            required_approvals: stage.required_approvals,
            approvals: stage.approvals,
            open: stage.open,
        }
    }
}
