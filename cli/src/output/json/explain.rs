use approve_client::{
    ApprovalStatus, Decision,
    proto::{CheckRuleResponse, Explanation},
};
use serde::Serialize;

use super::{approval::ProgressJson, present};
use crate::output::names::Name;

#[derive(Serialize)]
pub(crate) struct ExplanationJson<'a> {
    summary: &'a str,
    blocked: Option<&'a str>,
    stages: Vec<NeedJson<'a>>,
    rejections_needed: u32,
    effects: Vec<EffectJson<'a>>,
}

#[derive(Serialize)]
struct NeedJson<'a> {
    progress: Option<ProgressJson<'a>>,
    approver_sets: Vec<&'a [String]>,
    approved_by: &'a [String],
}

#[derive(Serialize)]
struct EffectJson<'a> {
    decision: String,
    outcome: Option<&'a str>,
    allowed: bool,
    refusal_reason: Option<&'a str>,
    effect: &'a str,
    status_after: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct CheckJson<'a> {
    acceptable: bool,
    problems: Vec<ProblemJson<'a>>,
    explanation: Option<ExplanationJson<'a>>,
    rule_version: Option<&'a str>,
}

#[derive(Serialize)]
struct ProblemJson<'a> {
    field: &'a str,
    problem: &'a str,
}

impl<'a> From<&'a Explanation> for ExplanationJson<'a> {
    fn from(explanation: &'a Explanation) -> Self {
        Self {
            summary: &explanation.summary,
            blocked: present(&explanation.blocked),
            stages: explanation
                .stages
                .iter()
                .map(|need| NeedJson {
                    progress: need.progress.as_ref().map(ProgressJson::from),
                    approver_sets: need.approver_sets.iter().map(|set| set.any_of.as_slice()).collect(),
                    approved_by: &need.approved_by,
                })
                .collect(),
            rejections_needed: explanation.rejections_needed,
            effects: explanation
                .effects
                .iter()
                .map(|effect| EffectJson {
                    decision: Decision::lower(effect.decision),
                    outcome: present(&effect.outcome),
                    allowed: effect.allowed,
                    refusal_reason: present(&effect.refusal_reason),
                    effect: &effect.effect,
                    status_after: effect.allowed.then(|| ApprovalStatus::lower(effect.status_after)),
                })
                .collect(),
        }
    }
}

impl<'a> From<&'a CheckRuleResponse> for CheckJson<'a> {
    fn from(check: &'a CheckRuleResponse) -> Self {
        Self {
            acceptable: check.problems.is_empty(),
            problems: check
                .problems
                .iter()
                .map(|problem| ProblemJson { field: &problem.field, problem: &problem.problem })
                .collect(),
            explanation: check.explanation.as_ref().map(ExplanationJson::from),
            rule_version: present(&check.rule_version),
        }
    }
}
