//! What a task's input says of the rule, in its own words.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer, de};
use serde_json::{Value, value::RawValue};

use super::{DurationText, FieldError, PrincipalText};
use crate::approval::{
    ApproverSet, CommentPolicy, Decision, Escalation, ExpiryAction, Freeze, Outcome, Principal, RejectAction, Rule,
    RuleError, RuleRequest, StageOrder, StageRequest,
};

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleBlock {
    approvers: Option<SetBlock>,
    required: Option<u32>,
    stages: Option<Vec<StageBlock>>,
    order: Option<StageOrder>,
    rejections: Option<u32>,
    allow_self_approval: Option<bool>,
    allow_repeat_approvers: Option<bool>,
    comment: Option<CommentPolicy>,
    outcomes: Option<Vec<OutcomeBlock>>,
    response_schema: Option<SchemaText>,
    expires_after: Option<DurationText>,
    on_expiry: Option<ExpiryText>,
    on_reject: Option<RejectAction>,
    remind_after: Option<Vec<DurationText>>,
    escalations: Option<Vec<EscalationBlock>>,
    freezes: Option<Vec<FreezeBlock>>,
    trust_task_input: Option<bool>,
}

#[derive(Deserialize)]
#[serde(transparent)]
struct SetBlock(Vec<PrincipalText>);

impl From<SetBlock> for ApproverSet {
    fn from(set: SetBlock) -> Self {
        Self(set.0.into_iter().map(|one| one.0).collect())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StageBlock {
    name: String,
    approvers: Option<SetBlock>,
    required: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OutcomeBlock {
    name: String,
    #[serde(default)]
    label: String,
    decision: Decision,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EscalationBlock {
    after: DurationText,
    approvers: SetBlock,
    #[serde(default)]
    stage: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FreezeBlock {
    start: Timestamp,
    end: Timestamp,
    except: Option<SetBlock>,
    #[serde(default)]
    reason: String,
}

/// "expire", "reject", "approve", or an outcome's name.
struct ExpiryText(ExpiryAction);

impl<'de> Deserialize<'de> for ExpiryText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match String::deserialize(deserializer)?.as_str() {
            "expire" => ExpiryAction::Expire,
            "reject" => ExpiryAction::Reject,
            "approve" => ExpiryAction::Approve,
            name => ExpiryAction::Outcome(name.to_owned()),
        }))
    }
}

/// The schema itself, or its text: kept as it is written.
struct SchemaText(String);

impl<'de> Deserialize<'de> for SchemaText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        match serde_json::from_str(raw.get()) {
            Ok(Value::String(text)) => Ok(Self(text)),
            Ok(_) => Ok(Self(raw.get().to_owned())),
            Err(error) => Err(de::Error::custom(error)),
        }
    }
}

impl RuleBlock {
    /// The workflow's rule with what the task says, if somebody could meet it.
    pub(super) fn effective(self, rule: &Rule, requester: Option<&Principal>) -> Result<Rule, FieldError> {
        let names_stages = self.stages.is_some();
        let error = |error: RuleError| {
            FieldError::new(format!("approve.rule.{}", in_task_words(&error.field, names_stages)), error.problem)
        };
        let rule = rule.asked(self.into_request()).map_err(error)?;
        match rule.problems(requester).into_iter().next() {
            Some(problem) => Err(error(problem)),
            None => Ok(rule),
        }
    }

    fn into_request(self) -> RuleRequest {
        let stage = |stage: StageBlock| StageRequest {
            name: stage.name,
            approvers: stage.approvers.map(ApproverSet::from),
            required: stage.required,
        };
        let outcome =
            |outcome: OutcomeBlock| Outcome { name: outcome.name, label: outcome.label, decision: outcome.decision };
        let escalation = |escalation: EscalationBlock| Escalation {
            after: escalation.after.0,
            approvers: escalation.approvers.into(),
            stage: escalation.stage,
        };
        let freeze = |freeze: FreezeBlock| Freeze {
            start: freeze.start,
            end: freeze.end,
            except: freeze.except.map(ApproverSet::from),
            reason: freeze.reason,
        };
        let durations = |all: Vec<DurationText>| all.into_iter().map(|after| after.0).collect::<Vec<SignedDuration>>();
        RuleRequest {
            approvers: self.approvers.map(ApproverSet::from),
            required: self.required,
            stages: self.stages.map(|stages| stages.into_iter().map(stage).collect()),
            order: self.order,
            required_rejections: self.rejections,
            allow_self_approval: self.allow_self_approval,
            allow_repeat_approvers: self.allow_repeat_approvers,
            comment: self.comment,
            outcomes: self.outcomes.map(|outcomes| outcomes.into_iter().map(outcome).collect()),
            response_schema: self.response_schema.map(|schema| schema.0),
            expire_after: self.expires_after.map(|after| after.0),
            on_expiry: self.on_expiry.map(|action| action.0),
            on_reject: self.on_reject,
            remind_after: self.remind_after.map(durations),
            escalations: self.escalations.map(|all| all.into_iter().map(escalation).collect()),
            freezes: self.freezes.map(|freezes| freezes.into_iter().map(freeze).collect()),
            trust_task_input: self.trust_task_input,
        }
    }
}

/// A field of a rule as a task names it. A task that names no stages speaks of all of them, or of the only one.
fn in_task_words(path: &str, names_stages: bool) -> String {
    let mut words = Vec::new();
    for part in path.split('.') {
        let (name, index) = part.split_at(part.find('[').unwrap_or(part.len()));
        match name {
            "stages" if !names_stages && !index.is_empty() => {}
            // A set of a task's own is a plain list.
            "approver_sets" => words.push("approvers".to_owned()),
            "any_of" => {}
            "required_approvals" => words.push("required".to_owned()),
            "required_rejections" => words.push("rejections".to_owned()),
            "stage_order" => words.push("order".to_owned()),
            "comment_policy" => words.push("comment".to_owned()),
            "response_schema_json" => words.push("response_schema".to_owned()),
            "expire_after" => words.push("expires_after".to_owned()),
            "expiry_action" | "expiry_outcome" => words.push("on_expiry".to_owned()),
            "reject_action" => words.push("on_reject".to_owned()),
            "start_time" => words.push("start".to_owned()),
            "end_time" => words.push("end".to_owned()),
            _ => words.push(format!("{name}{index}")),
        }
    }
    words.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_named_as_a_task_names_them() {
        for (path, names_stages, expected) in [
            ("stages[0].required_approvals", false, "required"),
            ("stages[2].required_approvals", true, "stages[2].required"),
            ("stages[0].approver_sets[1].any_of", false, "approvers"),
            ("expiry_outcome", false, "on_expiry"),
            ("freezes[1].end_time", false, "freezes[1].end"),
            ("stages", false, "stages"),
            ("escalations[0].approvers.any_of", false, "escalations[0].approvers"),
        ] {
            assert_eq!(in_task_words(path, names_stages), expected);
        }
    }
}
