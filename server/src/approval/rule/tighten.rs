//! What a task may ask for: only ever more than the workflow's own rule does, unless the workflow trusts its tasks.

use jiff::SignedDuration;

use super::{
    ApproverSet, CommentPolicy, Escalation, ExpiryAction, Freeze, Outcome, RejectAction, Rule, RuleError, Stage,
    StageOrder,
};
use crate::approval::Decision;

/// What a task asks for: absent means what the workflow's rule says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RuleRequest {
    /// Another set that whoever decides, in whichever stage, must be in.
    pub approvers: Option<ApproverSet>,
    /// At least so many approvals, where the rule has one stage.
    pub required: Option<u32>,
    /// More of stages that there are, and more stages.
    pub stages: Option<Vec<StageRequest>>,
    /// In order.
    pub order: Option<StageOrder>,
    /// At most so many rejections.
    pub required_rejections: Option<u32>,
    /// `false` forbids it.
    pub allow_self_approval: Option<bool>,
    /// `false` forbids it.
    pub allow_repeat_approvers: Option<bool>,
    /// At least this strict.
    pub comment: Option<CommentPolicy>,
    /// None but the workflow's own.
    pub outcomes: Option<Vec<Outcome>>,
    /// Where the workflow has none.
    pub response_schema: Option<String>,
    /// At most this long.
    pub expire_after: Option<SignedDuration>,
    /// None that approves, but the workflow's own.
    pub on_expiry: Option<ExpiryAction>,
    /// Anything but what the workflow's rule does not say.
    pub on_reject: Option<RejectAction>,
    /// More reminders.
    pub remind_after: Option<Vec<SignedDuration>>,
    /// Not for a task.
    pub escalations: Option<Vec<Escalation>>,
    /// More freezes.
    pub freezes: Option<Vec<Freeze>>,
    /// Not for a task, whoever trusts it.
    pub trust_task_input: Option<bool>,
}

/// What a task asks of one stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageRequest {
    /// The stage's name: one of the rule's, or a new one.
    pub name: String,
    /// Another set that whoever approves in it must be in.
    pub approvers: Option<ApproverSet>,
    /// At least so many approvals.
    pub required: Option<u32>,
}

impl StageRequest {
    fn into_stage(self) -> Stage {
        Stage { name: self.name, approvers: self.approvers.into_iter().collect(), required: self.required.unwrap_or(1) }
    }
}

fn refused<T>(field: &str, problem: &str) -> Result<T, RuleError> {
    Err(RuleError::new(field, problem))
}

impl Rule {
    /// This rule with what a task asks for. Where the rule trusts its tasks, what they say takes the place of what it says
    /// itself; else in each field the stricter of both holds, and a task that asks for less is refused. It is not checked
    /// whether it can be met.
    pub fn asked(&self, asked: RuleRequest) -> Result<Self, RuleError> {
        if asked.trust_task_input.is_some() {
            return refused("trust_task_input", "only the workflow's own rule can say whether a task is trusted");
        }
        if self.trust_task_input { self.replaced(asked) } else { self.tightened(asked) }
    }

    fn tightened(&self, asked: RuleRequest) -> Result<Self, RuleError> {
        let mut rule = self.clone();
        rule.tighten_stages(asked.stages, asked.order)?;
        if let Some(required) = asked.required {
            rule.only_stage()?.required = rule.only_stage()?.required.max(required);
        }
        if let Some(set) = asked.approvers {
            for stage in &mut rule.stages {
                add_set(stage, set.clone());
            }
        }
        rule.required_rejections = rule.required_rejections.min(asked.required_rejections.unwrap_or(u32::MAX));
        rule.allow_self_approval &= asked.allow_self_approval.unwrap_or(true);
        rule.allow_repeat_approvers &= asked.allow_repeat_approvers.unwrap_or(true);
        rule.comment = rule.comment.max(asked.comment.unwrap_or_default());
        if asked.outcomes.is_some_and(|outcomes| outcomes != self.outcomes) {
            return refused("outcomes", "only the workflow's own rule can name outcomes");
        }
        match (&self.response_schema, asked.response_schema) {
            (Some(ours), Some(theirs)) if *ours != theirs => {
                return refused("response_schema_json", "the workflow's own rule has one, which a task can't replace");
            }
            (None, theirs) => rule.response_schema = theirs,
            (Some(_), _) => {}
        }
        rule.expire_after = match (self.expire_after, asked.expire_after) {
            (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
            (ours, theirs) => ours.or(theirs),
        };
        if let Some(action) = asked.on_expiry {
            if action != self.on_expiry && self.approves(&action) {
                return refused(
                    "expiry_action",
                    "a task can't ask to be approved by a timeout; only the workflow's own rule can",
                );
            }
            rule.on_expiry = action;
        }
        if self.approves(&rule.on_expiry) && rule.expire_after != self.expire_after {
            return refused("expire_after", "a task can't bring an approval by a timeout forward");
        }
        if let Some(action) = asked.on_reject {
            if action == RejectAction::Output && self.on_reject != RejectAction::Output {
                return refused(
                    "reject_action",
                    "a task can't turn a rejection into an output; only the workflow's own rule can say \"output\"",
                );
            }
            rule.on_reject = action;
        }
        rule.remind_after.extend(asked.remind_after.into_iter().flatten());
        if asked.escalations.is_some() {
            return refused("escalations", "a task can't name more approvers; only the workflow's own rule can");
        }
        rule.freezes.extend(asked.freezes.into_iter().flatten());
        Ok(rule)
    }

    fn tighten_stages(&mut self, asked: Option<Vec<StageRequest>>, order: Option<StageOrder>) -> Result<(), RuleError> {
        match order {
            Some(StageOrder::Parallel) if self.has_order() => {
                return refused("stage_order", "a task can't undo the order that the workflow's own rule asks for");
            }
            Some(order) => self.order = order,
            None => {}
        }
        let Some(asked) = asked else { return Ok(()) };
        // One approval by anyone is part of what any stages ask for.
        if self.stages == [Stage::default()] && !asked.is_empty() {
            self.stages = asked.into_iter().map(StageRequest::into_stage).collect();
            return Ok(());
        }
        for asked in asked {
            match self.stages.iter_mut().find(|stage| stage.name == asked.name) {
                Some(stage) => {
                    stage.required = stage.required.max(asked.required.unwrap_or(0));
                    if let Some(set) = asked.approvers {
                        add_set(stage, set);
                    }
                }
                None => self.stages.push(asked.into_stage()),
            }
        }
        Ok(())
    }

    /// Whether an expiry would approve.
    pub(in crate::approval) fn approves(&self, action: &ExpiryAction) -> bool {
        match action {
            ExpiryAction::Expire | ExpiryAction::Reject => false,
            ExpiryAction::Approve => true,
            // One that there is not is refused when the rule is checked.
            ExpiryAction::Outcome(name) => {
                self.outcome(name).is_some_and(|outcome| outcome.decision == Decision::Approve)
            }
        }
    }

    fn only_stage(&mut self) -> Result<&mut Stage, RuleError> {
        match self.stages.as_mut_slice() {
            [only] => Ok(only),
            _ => refused("required_approvals", "the rule has several stages: say it of one of them, in \"stages\""),
        }
    }

    /// This rule with what a trusted task says in place of what it says itself.
    fn replaced(&self, asked: RuleRequest) -> Result<Self, RuleError> {
        let mut rule = self.clone();
        if let Some(stages) = asked.stages {
            rule.stages = stages.into_iter().map(StageRequest::into_stage).collect();
        }
        if let Some(required) = asked.required {
            rule.only_stage()?.required = required;
        }
        if let Some(set) = asked.approvers {
            for stage in &mut rule.stages {
                stage.approvers = vec![set.clone()];
            }
        }
        replace(&mut rule.order, asked.order);
        replace(&mut rule.required_rejections, asked.required_rejections);
        replace(&mut rule.allow_self_approval, asked.allow_self_approval);
        replace(&mut rule.allow_repeat_approvers, asked.allow_repeat_approvers);
        replace(&mut rule.comment, asked.comment);
        replace(&mut rule.outcomes, asked.outcomes);
        replace(&mut rule.response_schema, asked.response_schema.map(Some));
        replace(&mut rule.expire_after, asked.expire_after.map(Some));
        replace(&mut rule.on_expiry, asked.on_expiry);
        replace(&mut rule.on_reject, asked.on_reject);
        replace(&mut rule.remind_after, asked.remind_after);
        replace(&mut rule.escalations, asked.escalations);
        replace(&mut rule.freezes, asked.freezes);
        Ok(rule)
    }
}

fn replace<T>(ours: &mut T, theirs: Option<T>) {
    if let Some(theirs) = theirs {
        *ours = theirs;
    }
}

fn add_set(stage: &mut Stage, set: ApproverSet) {
    if !stage.approvers.contains(&set) {
        stage.approvers.push(set);
    }
}
