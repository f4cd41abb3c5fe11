//! The rule: who may decide, how many it takes, what time does.

mod check;
mod schema;
mod stages;
mod tighten;
mod times;

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use self::{
    check::{Bounds, RuleError},
    schema::Misfit,
    stages::Verdict,
    tighten::{RuleRequest, StageRequest},
};
use super::{Decision, Principal};

/// A set of people. A person is in it who is one of these principals, or in one of these groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ApproverSet(pub Vec<Principal>);

impl ApproverSet {
    /// Whether somebody is in it.
    #[must_use]
    pub fn holds(&self, who: &Person) -> bool {
        self.0.iter().any(|member| *member == who.principal || who.groups.contains(member))
    }

    /// Everybody in it, by name; `None` where it names a group, whose members are not known here.
    #[must_use]
    pub fn named(&self) -> Option<BTreeSet<&Principal>> {
        self.0.iter().map(|member| member.is_actor().then_some(member)).collect()
    }
}

/// Somebody who calls, with the groups they are in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Person {
    /// Who.
    pub principal: Principal,
    /// Their groups, as `group:<name>`.
    pub groups: Vec<Principal>,
}

/// When a decision needs a comment, laxest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommentPolicy {
    /// It is optional.
    #[default]
    Never,
    /// A rejection needs one.
    OnReject,
    /// Every decision needs one.
    Always,
}

/// What the approval's own deadline does.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpiryAction {
    /// It expires; the task fails with `Approval.Expired`.
    #[default]
    Expire,
    /// It is rejected.
    Reject,
    /// It is approved.
    Approve,
    /// It ends with this one of the rule's outcomes.
    Outcome(String),
}

/// How a rejection reaches the workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectAction {
    /// As a failure, `Approval.Rejected`.
    #[default]
    Fail,
    /// As an output with outcome REJECTED.
    Output,
}

/// How stages follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageOrder {
    /// A stage takes votes once those before it are met.
    #[default]
    Sequential,
    /// All take votes from the start.
    Parallel,
}

/// So many approvals by such people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Names it; another for each. May be empty for one.
    pub name: String,
    /// Whoever approves in it must be in each of them. Empty: anyone.
    pub approvers: Vec<ApproverSet>,
    /// Approvals that it takes, each by another person.
    pub required: u32,
}

impl Default for Stage {
    fn default() -> Self {
        Self { name: String::new(), approvers: Vec::new(), required: 1 }
    }
}

/// A decision with a name of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Its name, as the workflow gets it.
    pub name: String,
    /// For people; empty: the name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// What it counts as.
    pub decision: Decision,
}

/// More approvers after a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escalation {
    /// From the state's entered time.
    pub after: SignedDuration,
    /// Who may approve from then on, beside the stage's own approvers.
    pub approvers: ApproverSet,
    /// In which stage; empty: in all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stage: String,
}

/// A time in which nobody may decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// From then.
    pub start: Timestamp,
    /// Until then, exclusively.
    pub end: Timestamp,
    /// Who may decide nevertheless.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub except: Option<ApproverSet>,
    /// Why; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// Who decides, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Kept")]
pub struct Rule {
    /// Approved is what all of them approve. At least one.
    pub stages: Vec<Stage>,
    /// How they follow each other.
    pub order: StageOrder,
    /// Rejections that reject, over all stages, each by another person.
    pub required_rejections: u32,
    /// Whether the requester may approve.
    pub allow_self_approval: bool,
    /// Whether one person may count in several stages.
    #[serde(skip_serializing_if = "is_false")]
    pub allow_repeat_approvers: bool,
    /// When a comment is needed.
    pub comment: CommentPolicy,
    /// Decisions beyond plain ones. Of several that were named, the first here is the approval's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outcomes: Vec<Outcome>,
    /// JSON Schema that a response has to fit, as JSON text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_schema: Option<String>,
    /// From the state's entered time to the deadline.
    pub expire_after: Option<SignedDuration>,
    /// What the deadline does.
    pub on_expiry: ExpiryAction,
    /// How a rejection reaches the workflow.
    pub on_reject: RejectAction,
    /// When to remind, from the state's entered time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remind_after: Vec<SignedDuration>,
    /// When more people may approve.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub escalations: Vec<Escalation>,
    /// When nobody may decide.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub freezes: Vec<Freeze>,
    /// Whether a task's own rule takes the place of this one, where it speaks.
    #[serde(skip_serializing_if = "is_false")]
    pub trust_task_input: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Default for Rule {
    fn default() -> Self {
        Self::single(Vec::new(), 1)
    }
}

impl Rule {
    /// A rule of one stage, with the defaults for everything else.
    #[must_use]
    pub fn single(approvers: Vec<ApproverSet>, required: u32) -> Self {
        Self {
            stages: vec![Stage { name: String::new(), approvers, required }],
            order: StageOrder::Sequential,
            required_rejections: 1,
            allow_self_approval: false,
            allow_repeat_approvers: false,
            comment: CommentPolicy::Never,
            outcomes: Vec::new(),
            response_schema: None,
            expire_after: None,
            on_expiry: ExpiryAction::Expire,
            on_reject: RejectAction::Fail,
            remind_after: Vec::new(),
            escalations: Vec::new(),
            freezes: Vec::new(),
            trust_task_input: false,
        }
    }

    /// Tells versions of rules apart: 16 hexadecimal digits of a digest of the rule.
    #[must_use]
    pub fn version(&self) -> String {
        // Of strings, numbers and lists: nothing in it can fail to serialise.
        let text = serde_json::to_string(self).unwrap_or_default();
        Sha256::digest(text.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether `decision` needs a comment.
    #[must_use]
    pub fn wants_comment(&self, decision: Decision) -> bool {
        match self.comment {
            CommentPolicy::Never => false,
            CommentPolicy::OnReject => decision == Decision::Reject,
            CommentPolicy::Always => true,
        }
    }

    /// Where a response does not fit the rule's schema: the first few places. Without a schema everything fits; a response
    /// that is none counts as `null`.
    #[must_use]
    pub fn misfits(&self, response: Option<&str>) -> Vec<Misfit> {
        self.response_schema.as_deref().map(|schema| schema::misfits(schema, response)).unwrap_or_default()
    }

    /// The outcome of that name.
    #[must_use]
    pub fn outcome(&self, name: &str) -> Option<&Outcome> {
        self.outcomes.iter().find(|outcome| outcome.name == name)
    }
}

/// A rule as it is kept, in every form that it ever had: before there were stages, it was one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    stages: Option<Vec<Stage>>,
    #[serde(default)]
    approvers: Vec<ApproverSet>,
    required_approvals: Option<u32>,
    #[serde(default)]
    order: StageOrder,
    required_rejections: u32,
    allow_self_approval: bool,
    #[serde(default)]
    allow_repeat_approvers: bool,
    comment: CommentPolicy,
    #[serde(default)]
    outcomes: Vec<Outcome>,
    response_schema: Option<String>,
    expire_after: Option<SignedDuration>,
    on_expiry: ExpiryAction,
    on_reject: RejectAction,
    #[serde(default)]
    remind_after: Vec<SignedDuration>,
    #[serde(default)]
    escalations: Vec<Escalation>,
    #[serde(default)]
    freezes: Vec<Freeze>,
    #[serde(default)]
    trust_task_input: bool,
}

impl From<Kept> for Rule {
    fn from(kept: Kept) -> Self {
        let single = || {
            vec![Stage {
                approvers: kept.approvers,
                required: kept.required_approvals.unwrap_or(1),
                ..Stage::default()
            }]
        };
        Self {
            stages: kept.stages.unwrap_or_else(single),
            order: kept.order,
            required_rejections: kept.required_rejections,
            allow_self_approval: kept.allow_self_approval,
            allow_repeat_approvers: kept.allow_repeat_approvers,
            comment: kept.comment,
            outcomes: kept.outcomes,
            response_schema: kept.response_schema,
            expire_after: kept.expire_after,
            on_expiry: kept.on_expiry,
            on_reject: kept.on_reject,
            remind_after: kept.remind_after,
            escalations: kept.escalations,
            freezes: kept.freezes,
            trust_task_input: kept.trust_task_input,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_from_before_there_were_stages_is_read() {
        let text = r#"{"approvers":[["group:finance"]],"required_approvals":2,"required_rejections":1,
            "allow_self_approval":false,"comment":"never","expire_after":"PT2H","on_expiry":"reject","on_reject":"fail"}"#;
        let rule: Rule = serde_json::from_str(text).unwrap();
        assert_eq!(
            rule.stages,
            [Stage {
                name: String::new(),
                approvers: vec![ApproverSet(vec!["group:finance".parse().unwrap()])],
                required: 2,
            }]
        );
        assert_eq!(rule.on_expiry, ExpiryAction::Reject);
        let again: Rule = serde_json::from_str(&serde_json::to_string(&rule).unwrap()).unwrap();
        assert_eq!(again, rule);
    }

    #[test]
    fn a_version_is_of_the_rule_alone() {
        let rule = Rule::default();
        assert_eq!(rule.version(), Rule::default().version());
        assert_eq!(rule.version().len(), 16);
        assert_ne!(rule.version(), Rule { required_rejections: 2, ..Rule::default() }.version());
    }
}
