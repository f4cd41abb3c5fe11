//! Between the domain and the API's messages.

use std::time::Duration;

use approve_proto::v1 as proto;
use jiff::{SignedDuration, Timestamp};

use super::status::ApiError;
use crate::{
    approval::{
        Approval, ApproverSet, CommentPolicy, Decision, Delivery, DeliveryState, ExpiryAction, Person, Priority,
        RejectAction, Rule, Source, Status, TaskState, Vote,
    },
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
        votes: approval.votes.iter().map(vote).collect(),
        decided_by: approval.decided_by.iter().map(ToString::to_string).collect(),
        reason: approval.reason.clone().unwrap_or_default(),
        delivery: Some(delivery(&approval.delivery)),
        task_state: task_state(approval.task.state).into(),
        task_count: approval.task.count,
        ..proto::Approval::default()
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

fn vote(vote: &Vote) -> proto::Vote {
    proto::Vote {
        voter: vote.voter.to_string(),
        decision: match vote.decision {
            Decision::Approve => proto::Decision::Approve,
            Decision::Reject => proto::Decision::Reject,
        }
        .into(),
        comment: vote.comment.clone(),
        response_json: vote.response.clone().unwrap_or_default(),
        vote_time: Some(timestamp(vote.at)),
        cast_by: vote.cast_by.as_ref().map(ToString::to_string).unwrap_or_default(),
        ..proto::Vote::default()
    }
}

fn delivery(delivery: &Delivery) -> proto::Delivery {
    proto::Delivery {
        state: match delivery.state {
            DeliveryState::None => proto::DeliveryState::None,
            DeliveryState::Recorded => proto::DeliveryState::Recorded,
            DeliveryState::Delivered => proto::DeliveryState::Delivered,
            DeliveryState::Undeliverable => proto::DeliveryState::Undeliverable,
        }
        .into(),
        attempts: delivery.attempts,
        last_error: delivery.last_error.clone().unwrap_or_default(),
        settle_time: delivery.settled.map(timestamp),
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

fn task_state(state: TaskState) -> proto::TaskState {
    match state {
        TaskState::Open => proto::TaskState::Open,
        TaskState::Detached => proto::TaskState::Detached,
        TaskState::Closed => proto::TaskState::Closed,
    }
}

fn priority(priority: Priority) -> proto::Priority {
    match priority {
        Priority::Low => proto::Priority::Low,
        Priority::Normal => proto::Priority::Normal,
        Priority::High => proto::Priority::High,
        Priority::Urgent => proto::Priority::Urgent,
    }
}

pub(super) fn read_decision(number: i32) -> Result<Decision, ApiError> {
    match proto::Decision::try_from(number) {
        Ok(proto::Decision::Approve) => Ok(Decision::Approve),
        Ok(proto::Decision::Reject) => Ok(Decision::Reject),
        Ok(proto::Decision::Unspecified) => {
            Err(ApiError::field("decision", "expected DECISION_APPROVE or DECISION_REJECT"))
        }
        Err(_) => Err(unknown("decision", number)),
    }
}

pub(super) fn read_order(number: i32) -> Result<Order, ApiError> {
    match proto::ApprovalOrder::try_from(number) {
        Ok(proto::ApprovalOrder::Unspecified | proto::ApprovalOrder::NewestFirst) => Ok(Order::NewestFirst),
        Ok(proto::ApprovalOrder::OldestFirst) => Ok(Order::OldestFirst),
        Err(_) => Err(unknown("order", number)),
    }
}

/// `caller` is asked for only where the filter needs it.
pub(super) fn read_filter(
    filter: Option<proto::ApprovalFilter>,
    caller: impl FnOnce() -> Result<Person, ApiError>,
) -> Result<Filter, ApiError> {
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
        awaiting: if filter.awaiting_me { Some(caller()?) } else { None },
    })
}

pub(super) fn rule(rule: &Rule) -> proto::Rule {
    proto::Rule {
        stages: vec![proto::Stage {
            name: String::new(),
            approver_sets: rule
                .approvers
                .iter()
                .map(|set| proto::ApproverSet { any_of: set.0.iter().map(ToString::to_string).collect() })
                .collect(),
            required_approvals: rule.required_approvals,
        }],
        required_rejections: rule.required_rejections,
        allow_self_approval: rule.allow_self_approval,
        comment_policy: match rule.comment {
            CommentPolicy::Never => proto::CommentPolicy::Never,
            CommentPolicy::OnReject => proto::CommentPolicy::OnReject,
            CommentPolicy::Always => proto::CommentPolicy::Always,
        }
        .into(),
        expire_after: rule.expire_after.map(duration),
        expiry_action: match rule.on_expiry {
            ExpiryAction::Expire => proto::ExpiryAction::Expire,
            ExpiryAction::Reject => proto::ExpiryAction::Reject,
            ExpiryAction::Approve => proto::ExpiryAction::Approve,
        }
        .into(),
        reject_action: match rule.on_reject {
            RejectAction::Fail => proto::RejectAction::Fail,
            RejectAction::Output => proto::RejectAction::Output,
        }
        .into(),
        ..proto::Rule::default()
    }
}

pub(super) fn read_rule(field: &str, rule: proto::Rule) -> Result<Rule, ApiError> {
    let below = |name: &str| format!("{field}.{name}");
    let mut approvers = Vec::new();
    let stage = rule.stages.into_iter().next().unwrap_or_default();
    for (at, set) in stage.approver_sets.into_iter().enumerate() {
        let mut members = Vec::new();
        for (of, member) in set.any_of.iter().enumerate() {
            let path = || below(&format!("approver_sets[{at}].any_of[{of}]"));
            members.push(
                member
                    .parse()
                    .map_err(|error: crate::approval::NotAPrincipal| ApiError::field(path(), error.to_string()))?,
            );
        }
        approvers.push(ApproverSet(members));
    }
    let read = Rule {
        approvers,
        required_approvals: stage.required_approvals.max(1),
        required_rejections: rule.required_rejections.max(1),
        allow_self_approval: rule.allow_self_approval,
        comment: match proto::CommentPolicy::try_from(rule.comment_policy) {
            Ok(proto::CommentPolicy::Unspecified | proto::CommentPolicy::Never) => CommentPolicy::Never,
            Ok(proto::CommentPolicy::OnReject) => CommentPolicy::OnReject,
            Ok(proto::CommentPolicy::Always) => CommentPolicy::Always,
            Err(_) => return Err(unknown(&below("comment_policy"), rule.comment_policy)),
        },
        expire_after: rule.expire_after.map(|after| read_duration(&below("expire_after"), after)).transpose()?,
        on_expiry: match proto::ExpiryAction::try_from(rule.expiry_action) {
            Ok(proto::ExpiryAction::Unspecified | proto::ExpiryAction::Expire) => ExpiryAction::Expire,
            Ok(proto::ExpiryAction::Reject) => ExpiryAction::Reject,
            Ok(proto::ExpiryAction::Approve) => ExpiryAction::Approve,
            Ok(proto::ExpiryAction::Outcome) | Err(_) => {
                return Err(unknown(&below("expiry_action"), rule.expiry_action));
            }
        },
        on_reject: match proto::RejectAction::try_from(rule.reject_action) {
            Ok(proto::RejectAction::Unspecified | proto::RejectAction::Fail) => RejectAction::Fail,
            Ok(proto::RejectAction::Output) => RejectAction::Output,
            Err(_) => return Err(unknown(&below("reject_action"), rule.reject_action)),
        },
    };
    read.checked().map_err(|error| ApiError::field(below(api_name(error.field)), error.problem))
}

/// The API's names of a rule's fields, where they differ from those in a task's input.
fn api_name(field: &'static str) -> &'static str {
    match field {
        "approvers" => "approver_sets",
        "required" => "required_approvals",
        "rejections" => "required_rejections",
        "expires_after" => "expire_after",
        same => same,
    }
}
