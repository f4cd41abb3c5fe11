use approve_client::proto::{
    ApproverSet, CommentPolicy, Decision, ExpiryAction, RejectAction, Rule, Stage, StageOrder,
};
use serde::Serialize;

use super::{Raw, moment, present, whole_seconds};
use crate::output::names::Name;

#[derive(Serialize)]
pub(crate) struct RuleJson<'a> {
    stages: Vec<StageJson<'a>>,
    required_rejections: u32,
    allow_self_approval: bool,
    comment_policy: String,
    expire_after_seconds: Option<i64>,
    expiry_action: String,
    reject_action: String,
    stage_order: String,
    allow_repeat_approvers: bool,
    outcomes: Vec<OutcomeJson<'a>>,
    response_schema: Raw<'a>,
    expiry_outcome: Option<&'a str>,
    remind_after_seconds: Vec<i64>,
    escalations: Vec<EscalationJson<'a>>,
    freezes: Vec<FreezeJson<'a>>,
    trust_task_input: bool,
}

#[derive(Serialize)]
struct OutcomeJson<'a> {
    name: &'a str,
    label: Option<&'a str>,
    decision: String,
}

#[derive(Serialize)]
struct EscalationJson<'a> {
    after_seconds: Option<i64>,
    approvers: &'a [String],
    stage: Option<&'a str>,
}

#[derive(Serialize)]
struct FreezeJson<'a> {
    start_time: Option<String>,
    end_time: Option<String>,
    except: &'a [String],
    reason: Option<&'a str>,
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
            stage_order: StageOrder::lower(rule.stage_order),
            allow_repeat_approvers: rule.allow_repeat_approvers,
            outcomes: rule
                .outcomes
                .iter()
                .map(|outcome| OutcomeJson {
                    name: &outcome.name,
                    label: present(&outcome.label),
                    decision: Decision::lower(outcome.decision),
                })
                .collect(),
            response_schema: Raw(&rule.response_schema_json),
            expiry_outcome: present(&rule.expiry_outcome),
            remind_after_seconds: rule.remind_after.iter().map(|after| after.seconds).collect(),
            escalations: rule
                .escalations
                .iter()
                .map(|escalation| EscalationJson {
                    after_seconds: whole_seconds(escalation.after.as_ref()),
                    approvers: names(escalation.approvers.as_ref()),
                    stage: present(&escalation.stage),
                })
                .collect(),
            freezes: rule
                .freezes
                .iter()
                .map(|freeze| FreezeJson {
                    start_time: moment(freeze.start_time.as_ref()),
                    end_time: moment(freeze.end_time.as_ref()),
                    except: names(freeze.except.as_ref()),
                    reason: present(&freeze.reason),
                })
                .collect(),
            trust_task_input: rule.trust_task_input,
        }
    }
}

fn names(set: Option<&ApproverSet>) -> &[String] {
    set.map_or(&[], |set| &set.any_of)
}
