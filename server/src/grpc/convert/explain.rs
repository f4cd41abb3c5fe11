//! Explanations.

use approve_proto::v1 as proto;

use super::{decision, progress, rule::approver_set, status};
use crate::approval::{Effect, Explanation, StageNeed};

pub(in crate::grpc) fn explanation(explanation: Explanation) -> proto::Explanation {
    proto::Explanation {
        summary: explanation.summary,
        stages: explanation.stages.into_iter().map(stage).collect(),
        rejections_needed: explanation.rejections_needed,
        blocked: explanation.blocked.unwrap_or_default(),
        effects: explanation.effects.into_iter().map(effect).collect(),
    }
}

fn stage(stage: StageNeed) -> proto::StageNeed {
    proto::StageNeed {
        approver_sets: stage.approvers.iter().map(approver_set).collect(),
        approved_by: stage.approved_by.iter().map(ToString::to_string).collect(),
        progress: Some(progress(stage.progress)),
    }
}

fn effect(effect: Effect) -> proto::DecisionEffect {
    proto::DecisionEffect {
        decision: decision(effect.decision).into(),
        outcome: effect.outcome.unwrap_or_default(),
        allowed: effect.result.is_ok(),
        refusal_reason: effect.result.as_ref().err().map(|refusal| refusal.reason().to_owned()).unwrap_or_default(),
        effect: effect.text,
        status_after: effect.result.map(status).unwrap_or(proto::ApprovalStatus::Unspecified).into(),
    }
}
