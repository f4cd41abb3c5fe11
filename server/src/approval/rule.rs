//! The rule: who may decide, how many it takes, what a deadline does.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::{Decision, Principal, Vote};

/// The most approvals or rejections that a rule may ask for.
pub const MAX_COUNT: u32 = 100;
/// The most principals in one set, and the most sets in one rule.
pub const MAX_APPROVERS: usize = 100;

/// A set of people. A person is in it who is one of these principals, or in one of these groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ApproverSet(pub Vec<Principal>);

impl ApproverSet {
    fn holds(&self, who: &Person) -> bool {
        self.0.iter().any(|member| *member == who.principal || who.groups.contains(member))
    }
}

/// Somebody who calls, with the groups they are in.
#[derive(Debug, Clone, PartialEq, Eq)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpiryAction {
    /// It expires; the task fails with `Approval.Expired`.
    #[default]
    Expire,
    /// It is rejected.
    Reject,
    /// It is approved.
    Approve,
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

/// Who decides, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Whoever decides must be in each of them. Empty: anyone.
    pub approvers: Vec<ApproverSet>,
    /// Approvals that approve, each by another person.
    pub required_approvals: u32,
    /// Rejections that reject, each by another person.
    pub required_rejections: u32,
    /// Whether the requester may approve.
    pub allow_self_approval: bool,
    /// When a comment is needed.
    pub comment: CommentPolicy,
    /// From the state's entered time to the deadline.
    pub expire_after: Option<SignedDuration>,
    /// What the deadline does.
    pub on_expiry: ExpiryAction,
    /// How a rejection reaches the workflow.
    pub on_reject: RejectAction,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            approvers: Vec::new(),
            required_approvals: 1,
            required_rejections: 1,
            allow_self_approval: false,
            comment: CommentPolicy::Never,
            expire_after: None,
            on_expiry: ExpiryAction::Expire,
            on_reject: RejectAction::Fail,
        }
    }
}

/// What a task may ask for: absent means what the workflow's rule says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RuleRequest {
    /// Another set that whoever decides must be in.
    pub approvers: Option<ApproverSet>,
    /// At least so many approvals.
    pub required_approvals: Option<u32>,
    /// At most so many rejections.
    pub required_rejections: Option<u32>,
    /// `false` forbids it.
    pub allow_self_approval: Option<bool>,
    /// At least this strict.
    pub comment: Option<CommentPolicy>,
    /// At most this long.
    pub expire_after: Option<SignedDuration>,
    /// Anything but what the workflow's rule does not say.
    pub on_expiry: Option<ExpiryAction>,
    /// Anything but what the workflow's rule does not say.
    pub on_reject: Option<RejectAction>,
}

/// A rule that would loosen the workflow's, or that can't be met.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct RuleError {
    /// The field, below the rule.
    pub field: &'static str,
    /// What is wrong, and what to do.
    pub problem: &'static str,
}

/// How the votes stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// More is needed.
    Open,
    /// The rule is met: approved.
    Approved,
    /// The rule is met: rejected.
    Rejected,
}

/// Why somebody may not decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ineligible {
    /// Not in the sets.
    NotAnApprover,
    /// The requester, and may not approve.
    SelfApproval,
}

impl Rule {
    /// This rule with what a task asks for: in each field the stricter of both. A task can't loosen it: where it names
    /// an action that grants more than the workflow's own, it is refused.
    pub fn tightened(&self, asked: &RuleRequest) -> Result<Self, RuleError> {
        let mut rule = self.clone();
        if let Some(set) = &asked.approvers
            && !rule.approvers.contains(set)
        {
            rule.approvers.push(set.clone());
        }
        if let Some(count) = asked.required_approvals {
            rule.required_approvals = rule.required_approvals.max(count);
        }
        if let Some(count) = asked.required_rejections {
            rule.required_rejections = rule.required_rejections.min(count);
        }
        rule.allow_self_approval &= asked.allow_self_approval.unwrap_or(true);
        rule.comment = rule.comment.max(asked.comment.unwrap_or_default());
        rule.expire_after = match (rule.expire_after, asked.expire_after) {
            (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
            (ours, theirs) => ours.or(theirs),
        };
        match asked.on_expiry {
            Some(ExpiryAction::Approve) if self.on_expiry != ExpiryAction::Approve => {
                return Err(RuleError {
                    field: "on_expiry",
                    problem: "a task can't ask to be approved by a timeout; only the workflow's own rule can say \
                              \"approve\"",
                });
            }
            Some(action) => rule.on_expiry = action,
            None => {}
        }
        match asked.on_reject {
            Some(RejectAction::Output) if self.on_reject != RejectAction::Output => {
                return Err(RuleError {
                    field: "on_reject",
                    problem: "a task can't turn a rejection into an output; only the workflow's own rule can say \
                              \"output\"",
                });
            }
            Some(action) => rule.on_reject = action,
            None => {}
        }
        rule.checked()
    }

    /// This rule, if it is in bounds and somebody could meet it.
    pub fn checked(self) -> Result<Self, RuleError> {
        let error = |field, problem| Err(RuleError { field, problem });
        if self.approvers.len() > MAX_APPROVERS {
            return error("approvers", "expected at most 100 sets");
        }
        if self.approvers.iter().any(|set| set.0.is_empty()) {
            return error("approvers", "expected at least one approver: nobody could ever decide");
        }
        if self.approvers.iter().any(|set| set.0.len() > MAX_APPROVERS) {
            return error("approvers", "expected at most 100 approvers");
        }
        if !(1..=MAX_COUNT).contains(&self.required_approvals) {
            return error("required", "expected 1 to 100");
        }
        if !(1..=MAX_COUNT).contains(&self.required_rejections) {
            return error("rejections", "expected 1 to 100");
        }
        if self.expire_after.is_some_and(|after| after < SignedDuration::from_secs(1)) {
            return error("expires_after", "expected at least 1 second");
        }
        if self.expire_after.is_some_and(|after| after > SignedDuration::from_hours(24 * 366)) {
            return error("expires_after", "expected at most 366 days: no execution lives longer");
        }
        let named_only = |set: &ApproverSet| set.0.iter().all(Principal::is_user);
        let required = usize::try_from(self.required_approvals).unwrap_or(usize::MAX);
        if self.approvers.iter().any(|set| named_only(set) && set.0.len() < required) {
            return error("required", "more approvals than there are approvers: it could never be met");
        }
        Ok(self)
    }

    /// Whether `who` may make `decision` on what `requester` asked for.
    pub fn eligible(&self, who: &Person, requester: Option<&Principal>, decision: Decision) -> Result<(), Ineligible> {
        if !self.approvers.iter().all(|set| set.holds(who)) {
            return Err(Ineligible::NotAnApprover);
        }
        let own = requester == Some(&who.principal);
        if own && decision == Decision::Approve && !self.allow_self_approval {
            return Err(Ineligible::SelfApproval);
        }
        Ok(())
    }

    /// How `votes` stand. Rejections win where both counts are met at once.
    #[must_use]
    pub fn verdict(&self, votes: &[Vote]) -> Verdict {
        let count = |decision| votes.iter().filter(|vote| vote.decision == decision).count();
        let met = |votes: usize, needed: u32| u32::try_from(votes).unwrap_or(u32::MAX) >= needed;
        if met(count(Decision::Reject), self.required_rejections) {
            Verdict::Rejected
        } else if met(count(Decision::Approve), self.required_approvals) {
            Verdict::Approved
        } else {
            Verdict::Open
        }
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
}
