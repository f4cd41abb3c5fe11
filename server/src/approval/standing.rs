//! How an approval stands: what its stages have, and who may do what about it now.

use jiff::Timestamp;

use super::{Approval, Assignment, Decision, Hold, Person, Rule, Status, Vote};

/// How far a stage is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Its name.
    pub name: String,
    /// Approvals that it takes.
    pub required: u32,
    /// Approvals that it has, of those that count in it.
    pub approvals: u32,
    /// Whether it takes votes now.
    pub open: bool,
}

/// Why somebody may not decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ineligible {
    /// An approver of no stage.
    NotAnApprover,
    /// The requester, and may not approve.
    SelfApproval,
    /// An approver of these stages only, by their places, which take no votes now.
    StageNotOpen(Vec<usize>),
}

impl Rule {
    /// How far each stage is with these votes, in order, in an approval that is pending.
    #[must_use]
    pub fn progress(&self, votes: &[Vote]) -> Vec<Progress> {
        let open = self.open(votes);
        let stages = self.stages.iter().zip(self.counts(votes)).enumerate();
        stages
            .map(|(at, (stage, approvals))| Progress {
                name: stage.name.clone(),
                required: stage.required,
                approvals,
                open: open.contains(&at),
            })
            .collect()
    }
}

impl Approval {
    /// How far each stage is, in the rule's order.
    #[must_use]
    pub fn progress(&self) -> Vec<Progress> {
        let mut progress = self.request.rule.progress(&self.votes);
        if self.status.is_final() {
            progress.iter_mut().for_each(|stage| stage.open = false);
        }
        progress
    }

    /// The stages in which an approval by somebody would count now.
    pub fn approvable(&self, who: &Person) -> Result<Vec<usize>, Ineligible> {
        let rule = &self.request.rule;
        let theirs = rule.stages_of(who, self.escalations);
        if theirs.is_empty() {
            return Err(Ineligible::NotAnApprover);
        }
        if self.request.requester.as_ref() == Some(&who.principal) && !rule.allow_self_approval {
            return Err(Ineligible::SelfApproval);
        }
        let open = rule.open(&self.votes);
        let voted =
            |stage: &usize| self.votes.iter().any(|vote| vote.voter == who.principal && vote.stages.contains(stage));
        let of_open: Vec<_> = theirs.iter().copied().filter(|stage| open.contains(stage)).collect();
        // Whoever counts in a stage stays there, whatever else they could do: nobody counts twice.
        let kept = theirs.iter().copied().find(|stage| !open.contains(stage) && voted(stage));
        match kept {
            Some(stage) if !rule.allow_repeat_approvers || of_open.is_empty() => Ok(vec![stage]),
            _ if of_open.is_empty() => Err(Ineligible::StageNotOpen(theirs)),
            _ => Ok(of_open),
        }
    }

    /// Whether somebody may reject it now: an approver of a stage that is open, or whoever has voted.
    pub fn rejectable(&self, who: &Person) -> Result<(), Ineligible> {
        let rule = &self.request.rule;
        let theirs = rule.stages_of(who, self.escalations);
        if theirs.is_empty() {
            return Err(Ineligible::NotAnApprover);
        }
        let open = rule.open(&self.votes);
        let voted = self.votes.iter().any(|vote| vote.voter == who.principal);
        if voted || theirs.iter().any(|stage| open.contains(stage)) {
            return Ok(());
        }
        Err(Ineligible::StageNotOpen(theirs))
    }

    /// Whether it waits for somebody: they could approve it, it would be the nearer to its end, and they have not voted.
    /// Whoever may approve may reject as well, and a requester who may only withdraw is not waited for. Looks at nothing
    /// but the approval as it stands: a hold is not looked at, and an assignment holds until its end is recorded.
    #[must_use]
    pub fn awaits(&self, who: &Person) -> bool {
        if self.status != Status::Pending {
            return false;
        }
        if self.assignment.as_ref().is_some_and(|assignment| assignment.assignee != who.principal) {
            return false;
        }
        let Ok(stages) = self.approvable(who) else { return false };
        let mut own = self.votes.iter().filter(|vote| vote.voter == who.principal);
        if own.any(|vote| vote.decision == Decision::Reject || vote.stages.iter().any(|stage| stages.contains(stage))) {
            return false;
        }
        self.request.rule.would_count(&self.votes, &who.principal, &stages)
    }

    /// Who has it in hand now.
    #[must_use]
    pub fn in_hand(&self, now: Timestamp) -> Option<&Assignment> {
        self.assignment.as_ref().filter(|assignment| now < assignment.until)
    }

    /// The operator's hold that keeps everybody from voting now.
    #[must_use]
    pub fn held(&self, now: Timestamp) -> Option<&Hold> {
        self.hold.as_ref().filter(|hold| hold.until.is_none_or(|until| now < until))
    }
}
