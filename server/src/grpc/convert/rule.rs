//! Rules.

use approve_proto::v1 as proto;

use super::{decision, duration, read_duration, read_principal, read_timestamp, timestamp, unknown};
use crate::{
    approval::{
        ApproverSet, CommentPolicy, Decision, Escalation, ExpiryAction, Freeze, Outcome, RejectAction, Rule, Stage,
        StageOrder,
    },
    grpc::status::ApiError,
};

pub(in crate::grpc) fn rule(rule: &Rule) -> proto::Rule {
    let (expiry_action, expiry_outcome) = match &rule.on_expiry {
        ExpiryAction::Expire => (proto::ExpiryAction::Expire, ""),
        ExpiryAction::Reject => (proto::ExpiryAction::Reject, ""),
        ExpiryAction::Approve => (proto::ExpiryAction::Approve, ""),
        ExpiryAction::Outcome(name) => (proto::ExpiryAction::Outcome, name.as_str()),
    };
    proto::Rule {
        stages: rule.stages.iter().map(stage).collect(),
        stage_order: match rule.order {
            StageOrder::Sequential => proto::StageOrder::Sequential,
            StageOrder::Parallel => proto::StageOrder::Parallel,
        }
        .into(),
        required_rejections: rule.required_rejections,
        allow_self_approval: rule.allow_self_approval,
        comment_policy: match rule.comment {
            CommentPolicy::Never => proto::CommentPolicy::Never,
            CommentPolicy::OnReject => proto::CommentPolicy::OnReject,
            CommentPolicy::Always => proto::CommentPolicy::Always,
        }
        .into(),
        expire_after: rule.expire_after.map(duration),
        expiry_action: expiry_action.into(),
        reject_action: match rule.on_reject {
            RejectAction::Fail => proto::RejectAction::Fail,
            RejectAction::Output => proto::RejectAction::Output,
        }
        .into(),
        allow_repeat_approvers: rule.allow_repeat_approvers,
        outcomes: rule.outcomes.iter().map(outcome).collect(),
        response_schema_json: rule.response_schema.clone().unwrap_or_default(),
        expiry_outcome: expiry_outcome.to_owned(),
        remind_after: rule.remind_after.iter().copied().map(duration).collect(),
        escalations: rule.escalations.iter().map(escalation).collect(),
        freezes: rule.freezes.iter().map(freeze).collect(),
        trust_task_input: rule.trust_task_input,
    }
}

fn stage(stage: &Stage) -> proto::Stage {
    proto::Stage {
        name: stage.name.clone(),
        approver_sets: stage.approvers.iter().map(approver_set).collect(),
        required_approvals: stage.required,
    }
}

pub(super) fn approver_set(set: &ApproverSet) -> proto::ApproverSet {
    proto::ApproverSet { any_of: set.0.iter().map(ToString::to_string).collect() }
}

fn outcome(outcome: &Outcome) -> proto::Outcome {
    proto::Outcome {
        name: outcome.name.clone(),
        label: outcome.label.clone(),
        decision: decision(outcome.decision).into(),
    }
}

fn escalation(escalation: &Escalation) -> proto::Escalation {
    proto::Escalation {
        after: Some(duration(escalation.after)),
        approvers: Some(approver_set(&escalation.approvers)),
        stage: escalation.stage.clone(),
    }
}

fn freeze(freeze: &Freeze) -> proto::Freeze {
    proto::Freeze {
        start_time: Some(timestamp(freeze.start)),
        end_time: Some(timestamp(freeze.end)),
        except: freeze.except.as_ref().map(approver_set),
        reason: freeze.reason.clone(),
    }
}

/// A rule that could be met; `field` is its path.
pub(in crate::grpc) fn read_rule(field: &str, rule: proto::Rule) -> Result<Rule, ApiError> {
    let below = |name: &str| format!("{field}.{name}");
    read_rule_unchecked(field, rule)?.checked().map_err(|error| ApiError::field(below(&error.field), error.problem))
}

/// A rule, whether it could be met or not.
pub(in crate::grpc) fn read_rule_unchecked(field: &str, rule: proto::Rule) -> Result<Rule, ApiError> {
    let below = |name: &str| format!("{field}.{name}");
    let mut read = Rule {
        order: match proto::StageOrder::try_from(rule.stage_order) {
            Ok(proto::StageOrder::Unspecified | proto::StageOrder::Sequential) => StageOrder::Sequential,
            Ok(proto::StageOrder::Parallel) => StageOrder::Parallel,
            Err(_) => return Err(unknown(&below("stage_order"), rule.stage_order)),
        },
        required_rejections: rule.required_rejections.max(1),
        allow_self_approval: rule.allow_self_approval,
        allow_repeat_approvers: rule.allow_repeat_approvers,
        comment: match proto::CommentPolicy::try_from(rule.comment_policy) {
            Ok(proto::CommentPolicy::Unspecified | proto::CommentPolicy::Never) => CommentPolicy::Never,
            Ok(proto::CommentPolicy::OnReject) => CommentPolicy::OnReject,
            Ok(proto::CommentPolicy::Always) => CommentPolicy::Always,
            Err(_) => return Err(unknown(&below("comment_policy"), rule.comment_policy)),
        },
        response_schema: Some(rule.response_schema_json).filter(|schema| !schema.is_empty()),
        expire_after: rule.expire_after.map(|after| read_duration(&below("expire_after"), after)).transpose()?,
        on_expiry: match proto::ExpiryAction::try_from(rule.expiry_action) {
            Ok(proto::ExpiryAction::Unspecified | proto::ExpiryAction::Expire) => ExpiryAction::Expire,
            Ok(proto::ExpiryAction::Reject) => ExpiryAction::Reject,
            Ok(proto::ExpiryAction::Approve) => ExpiryAction::Approve,
            Ok(proto::ExpiryAction::Outcome) => ExpiryAction::Outcome(rule.expiry_outcome.clone()),
            Err(_) => return Err(unknown(&below("expiry_action"), rule.expiry_action)),
        },
        on_reject: match proto::RejectAction::try_from(rule.reject_action) {
            Ok(proto::RejectAction::Unspecified | proto::RejectAction::Fail) => RejectAction::Fail,
            Ok(proto::RejectAction::Output) => RejectAction::Output,
            Err(_) => return Err(unknown(&below("reject_action"), rule.reject_action)),
        },
        trust_task_input: rule.trust_task_input,
        ..Rule::default()
    };
    if !rule.expiry_outcome.is_empty() && !matches!(read.on_expiry, ExpiryAction::Outcome(_)) {
        return Err(ApiError::field(below("expiry_outcome"), "expected none without EXPIRY_ACTION_OUTCOME"));
    }
    if !rule.stages.is_empty() {
        let stages = rule.stages.into_iter().enumerate();
        read.stages =
            stages.map(|(at, stage)| read_stage(&below(&format!("stages[{at}]")), stage)).collect::<Result<_, _>>()?;
    }
    for (at, outcome) in rule.outcomes.into_iter().enumerate() {
        let decision = match proto::Decision::try_from(outcome.decision) {
            Ok(proto::Decision::Approve) => Decision::Approve,
            Ok(proto::Decision::Reject) => Decision::Reject,
            Ok(proto::Decision::Unspecified) | Err(_) => {
                let field = below(&format!("outcomes[{at}].decision"));
                return Err(ApiError::field(field, "expected DECISION_APPROVE or DECISION_REJECT"));
            }
        };
        read.outcomes.push(Outcome { name: outcome.name, label: outcome.label, decision });
    }
    for (at, after) in rule.remind_after.into_iter().enumerate() {
        read.remind_after.push(read_duration(&below(&format!("remind_after[{at}]")), after)?);
    }
    for (at, escalation) in rule.escalations.into_iter().enumerate() {
        let below = |name: &str| below(&format!("escalations[{at}].{name}"));
        let after = escalation.after.ok_or_else(|| ApiError::field(below("after"), "expected a duration"))?;
        read.escalations.push(Escalation {
            after: read_duration(&below("after"), after)?,
            approvers: read_set(&below("approvers"), &escalation.approvers.unwrap_or_default())?,
            stage: escalation.stage,
        });
    }
    for (at, freeze) in rule.freezes.into_iter().enumerate() {
        let below = |name: &str| below(&format!("freezes[{at}].{name}"));
        let time = |name: &str, time: Option<prost_types::Timestamp>| {
            read_timestamp(&below(name), time.ok_or_else(|| ApiError::field(below(name), "expected a time"))?)
        };
        read.freezes.push(Freeze {
            start: time("start_time", freeze.start_time)?,
            end: time("end_time", freeze.end_time)?,
            except: freeze.except.map(|set| read_set(&below("except"), &set)).transpose()?,
            reason: freeze.reason,
        });
    }
    Ok(read)
}

fn read_stage(field: &str, stage: proto::Stage) -> Result<Stage, ApiError> {
    let sets = stage.approver_sets.iter().enumerate();
    Ok(Stage {
        name: stage.name,
        approvers: sets
            .map(|(at, set)| read_set(&format!("{field}.approver_sets[{at}]"), set))
            .collect::<Result<_, _>>()?,
        required: stage.required_approvals.max(1),
    })
}

fn read_set(field: &str, set: &proto::ApproverSet) -> Result<ApproverSet, ApiError> {
    let members = set.any_of.iter().enumerate();
    members
        .map(|(at, member)| read_principal(&format!("{field}.any_of[{at}]"), member))
        .collect::<Result<_, _>>()
        .map(ApproverSet)
}
