//! Between the domain and the API's messages.

mod explain;
mod rule;

use std::time::Duration;

use approve_proto::v1 as proto;
use jiff::{SignedDuration, Timestamp};

pub(super) use self::{
    explain::explanation,
    rule::{read_rule, read_rule_unchecked, rule},
};
use super::status::ApiError;
use crate::{
    approval::{
        Approval, Assignment, Choice, Decision, Delivery, DeliveryState, Hold, Person, Principal, Priority, Progress,
        Rule, Source, Status, TaskState, Vote,
    },
    auth::{Caller, Permission},
    store::{Filter, Order},
};

/// The longest text that a filter may look for, in bytes.
const MAX_FILTER_TEXT: usize = 256;
/// The most labels that a filter may ask for.
const MAX_FILTER_LABELS: usize = 10;

pub(super) fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}

fn duration(span: SignedDuration) -> prost_types::Duration {
    prost_types::Duration { seconds: span.as_secs(), nanos: span.subsec_nanos() }
}

pub(super) fn read_duration(field: &str, span: prost_types::Duration) -> Result<SignedDuration, ApiError> {
    let span =
        Duration::try_from(span).map_err(|_| ApiError::field(field, "expected a duration that is not negative"))?;
    SignedDuration::try_from(span).map_err(|_| ApiError::field(field, "expected a shorter duration"))
}

pub(super) fn approval(approval: &Approval) -> proto::Approval {
    let request = &approval.request;
    proto::Approval {
        id: approval.id.to_string(),
        status: status(approval.status).into(),
        etag: approval.etag(),
        revision: approval.revision,
        workflow: request.source.workflow.clone(),
        title: request.title.clone(),
        description: request.description.clone(),
        requester: request.requester.as_ref().map(ToString::to_string).unwrap_or_default(),
        rule: Some(rule(&request.rule)),
        input_json: approval.input.to_string(),
        source: Some(source(&request.source, approval.task.attempt)),
        labels: request.labels.clone().into_iter().collect(),
        priority: priority(request.priority).into(),
        create_time: Some(timestamp(approval.created)),
        update_time: Some(timestamp(approval.updated)),
        expire_time: approval.expires.map(timestamp),
        decide_time: approval.decided.map(timestamp),
        votes: approval.votes.iter().map(|one| vote(one, &request.rule)).collect(),
        decided_by: approval.decided_by.iter().map(ToString::to_string).collect(),
        reason: approval.reason.clone().unwrap_or_default(),
        delivery: Some(delivery(&approval.delivery)),
        task_state: task_state(approval.task.state).into(),
        task_count: approval.task.count,
        outcome: approval.outcome.clone().unwrap_or_default(),
        assignment: approval.assignment.as_ref().map(assignment),
        hold: approval.hold.as_ref().map(hold),
        stages: approval.progress().into_iter().map(progress).collect(),
        rule_version: request.rule_version.clone(),
    }
}

fn source(source: &Source, attempt: u32) -> proto::Source {
    proto::Source {
        activity_arn: source.activity_arn.clone(),
        execution_arn: source.execution_arn.clone().unwrap_or_default(),
        state_machine_arn: source.state_machine_arn.clone().unwrap_or_default(),
        state_name: source.state_name.clone().unwrap_or_default(),
        state_enter_time: source.state_entered.map(timestamp),
        attempt,
        key: source.key.clone().unwrap_or_default(),
    }
}

fn vote(vote: &Vote, rule: &Rule) -> proto::Vote {
    let stages = if vote.decision == Decision::Approve { vote.stages.as_slice() } else { &[] };
    let name = |at: &usize| rule.stages.get(*at).map(|stage| stage.name.clone());
    proto::Vote {
        voter: vote.voter.to_string(),
        decision: decision(vote.decision).into(),
        comment: vote.comment.clone(),
        response_json: vote.response.clone().unwrap_or_default(),
        vote_time: Some(timestamp(vote.at)),
        outcome: vote.outcome.clone().unwrap_or_default(),
        cast_by: vote.cast_by.as_ref().map(ToString::to_string).unwrap_or_default(),
        stages: stages.iter().filter_map(name).collect(),
    }
}

fn decision(decision: Decision) -> proto::Decision {
    match decision {
        Decision::Approve => proto::Decision::Approve,
        Decision::Reject => proto::Decision::Reject,
    }
}

fn assignment(assignment: &Assignment) -> proto::Assignment {
    proto::Assignment {
        assignee: assignment.assignee.to_string(),
        assigned_by: assignment.by.iter().map(ToString::to_string).collect(),
        expire_time: Some(timestamp(assignment.until)),
    }
}

fn hold(hold: &Hold) -> proto::Hold {
    proto::Hold { held_by: hold.by.to_string(), end_time: hold.until.map(timestamp), reason: hold.reason.clone() }
}

pub(super) fn progress(progress: Progress) -> proto::StageProgress {
    proto::StageProgress {
        name: progress.name,
        required_approvals: progress.required,
        approvals: progress.approvals,
        open: progress.open,
    }
}

fn delivery(delivery: &Delivery) -> proto::Delivery {
    proto::Delivery {
        state: delivery_state(delivery.state).into(),
        attempts: delivery.attempts,
        last_error: delivery.last_error.clone().unwrap_or_default(),
        settle_time: delivery.settled.map(timestamp),
    }
}

pub(super) fn delivery_state(state: DeliveryState) -> proto::DeliveryState {
    match state {
        DeliveryState::None => proto::DeliveryState::None,
        DeliveryState::Recorded => proto::DeliveryState::Recorded,
        DeliveryState::Delivered => proto::DeliveryState::Delivered,
        DeliveryState::Undeliverable => proto::DeliveryState::Undeliverable,
    }
}

pub(super) fn status(status: Status) -> proto::ApprovalStatus {
    match status {
        Status::Pending => proto::ApprovalStatus::Pending,
        Status::Approved => proto::ApprovalStatus::Approved,
        Status::Rejected => proto::ApprovalStatus::Rejected,
        Status::Expired => proto::ApprovalStatus::Expired,
        Status::Canceled => proto::ApprovalStatus::Canceled,
        Status::Invalid => proto::ApprovalStatus::Invalid,
    }
}

pub(super) fn read_statuses(statuses: &[i32]) -> Result<Vec<Status>, ApiError> {
    let mut read = Vec::new();
    for number in statuses {
        let status = match proto::ApprovalStatus::try_from(*number) {
            Ok(proto::ApprovalStatus::Pending) => Status::Pending,
            Ok(proto::ApprovalStatus::Approved) => Status::Approved,
            Ok(proto::ApprovalStatus::Rejected) => Status::Rejected,
            Ok(proto::ApprovalStatus::Expired) => Status::Expired,
            Ok(proto::ApprovalStatus::Canceled) => Status::Canceled,
            Ok(proto::ApprovalStatus::Invalid) => Status::Invalid,
            Ok(proto::ApprovalStatus::Unspecified) | Err(_) => return Err(unknown("statuses", *number)),
        };
        if !read.contains(&status) {
            read.push(status);
        }
    }
    Ok(read)
}

fn unknown(field: &str, number: i32) -> ApiError {
    ApiError::field(field, format!("{number} is not a value that there is"))
}

pub(super) fn task_state(state: TaskState) -> proto::TaskState {
    match state {
        TaskState::Open => proto::TaskState::Open,
        TaskState::Detached => proto::TaskState::Detached,
        TaskState::Closed => proto::TaskState::Closed,
    }
}

pub(super) fn priority(priority: Priority) -> proto::Priority {
    match priority {
        Priority::Low => proto::Priority::Low,
        Priority::Normal => proto::Priority::Normal,
        Priority::High => proto::Priority::High,
        Priority::Urgent => proto::Priority::Urgent,
    }
}

pub(super) fn read_choice(number: i32, outcome: String) -> Result<Choice, ApiError> {
    let decision = match proto::Decision::try_from(number) {
        Ok(proto::Decision::Approve) => Some(Decision::Approve),
        Ok(proto::Decision::Reject) => Some(Decision::Reject),
        Ok(proto::Decision::Unspecified) => None,
        Err(_) => return Err(unknown("decision", number)),
    };
    match (decision, outcome) {
        (decision, name) if !name.is_empty() => Ok(Choice::Outcome { name, decision }),
        (Some(decision), _) => Ok(Choice::Plain(decision)),
        (None, _) => Err(ApiError::field("decision", "expected DECISION_APPROVE or DECISION_REJECT, or an outcome")),
    }
}

pub(super) fn read_timestamp(field: &str, time: prost_types::Timestamp) -> Result<Timestamp, ApiError> {
    Timestamp::new(time.seconds, time.nanos)
        .map_err(|_| ApiError::field(field, "expected a time between the years -9999 and 9999"))
}

fn read_principal(field: &str, text: &str) -> Result<Principal, ApiError> {
    text.parse().map_err(|error: crate::approval::NotAPrincipal| ApiError::field(field, error.to_string()))
}

/// Somebody who acts: a person or a service.
pub(super) fn read_actor(field: &str, text: &str) -> Result<Principal, ApiError> {
    let actor = read_principal(field, text)?;
    if actor.is_actor() {
        Ok(actor)
    } else {
        Err(ApiError::field(field, "expected a user or a service, found a group"))
    }
}

pub(super) fn read_person(field: &str, person: &proto::Person) -> Result<Person, ApiError> {
    let mut groups = Vec::new();
    for (at, group) in person.groups.iter().enumerate() {
        let field = format!("{field}.groups[{at}]");
        let group = read_principal(&field, group)?;
        if group.is_actor() {
            return Err(ApiError::field(field, "expected \"group:<name>\""));
        }
        groups.push(group);
    }
    Ok(Person { principal: read_actor(&format!("{field}.principal"), &person.principal)?, groups })
}

pub(super) fn read_order(number: i32) -> Result<Order, ApiError> {
    match proto::ApprovalOrder::try_from(number) {
        Ok(proto::ApprovalOrder::Unspecified | proto::ApprovalOrder::NewestFirst) => Ok(Order::NewestFirst),
        Ok(proto::ApprovalOrder::OldestFirst) => Ok(Order::OldestFirst),
        Err(_) => Err(unknown("order", number)),
    }
}

/// Of what the caller may see.
pub(super) fn read_filter(filter: Option<proto::ApprovalFilter>, caller: &Caller) -> Result<Filter, ApiError> {
    let filter = filter.unwrap_or_default();
    if filter.text.len() > MAX_FILTER_TEXT {
        return Err(ApiError::field("filter.text", format!("expected at most {MAX_FILTER_TEXT} bytes")));
    }
    if filter.labels.len() > MAX_FILTER_LABELS {
        return Err(ApiError::field("filter.labels", format!("expected at most {MAX_FILTER_LABELS}")));
    }
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    let mut priorities = Vec::new();
    for number in filter.priorities {
        priorities.push(match proto::Priority::try_from(number) {
            Ok(proto::Priority::Low) => Priority::Low,
            Ok(proto::Priority::Normal) => Priority::Normal,
            Ok(proto::Priority::High) => Priority::High,
            Ok(proto::Priority::Urgent) => Priority::Urgent,
            Ok(proto::Priority::Unspecified) | Err(_) => return Err(unknown("filter.priorities", number)),
        });
    }
    priorities.sort_unstable();
    priorities.dedup();
    Ok(Filter {
        workflow: some(filter.workflow),
        labels: filter.labels.into_iter().collect(),
        priorities,
        text: some(filter.text),
        execution_arn: some(filter.execution_arn),
        awaiting: filter.awaiting_me.then(|| caller.person.clone()),
        visible: caller.scopes(Permission::View),
    })
}
