//! Votes: cast, replaced, withdrawn.

use jiff::Timestamp;

use super::{Event, Refusal, finish, must_be_pending};
use crate::approval::{Approval, Decision, Person, Principal, Rule, StageOrder, Status, Verdict, Vote};

/// What somebody decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Plainly.
    Plain(Decision),
    /// By one of the rule's outcomes.
    Outcome {
        /// Its name.
        name: String,
        /// What it is thought to count as.
        decision: Option<Decision>,
    },
}

impl From<Decision> for Choice {
    fn from(decision: Decision) -> Self {
        Self::Plain(decision)
    }
}

/// What is to be counted.
pub(in crate::approval) struct Ballot<'a> {
    pub(in crate::approval) by: &'a Person,
    pub(in crate::approval) choice: &'a Choice,
    pub(in crate::approval) comment: &'a str,
    pub(in crate::approval) response: Option<&'a str>,
    pub(in crate::approval) cast_by: Option<&'a Principal>,
}

/// What is taken for granted of a ballot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::approval) enum Assume {
    Nothing,
    /// That it has the comment and the response that the rule asks for, and is none that is recorded already.
    WellFilled,
}

/// Counts a ballot.
pub(in crate::approval) fn cast(
    next: &mut Approval,
    ballot: &Ballot<'_>,
    etag: Option<&str>,
    assume: Assume,
    now: Timestamp,
) -> Result<Vec<Event>, Refusal> {
    let resolved = resolve(next, ballot.choice);
    let new = assume == Assume::WellFilled;
    if next.status.is_final() {
        let known =
            !new && resolved.is_ok_and(|(decision, outcome)| same(next, ballot, decision, outcome).next().is_some());
        return if known { Ok(Vec::new()) } else { must_be_pending(next).map(|()| Vec::new()) };
    }
    let (decision, outcome) = resolved?;
    let outcome = outcome.map(ToOwned::to_owned);
    let eligible = match decision {
        Decision::Approve => next.approvable(ballot.by),
        Decision::Reject => next.rejectable(ballot.by).map(|()| Vec::new()),
    };
    let recorded = {
        let known: Vec<_> = same(next, ballot, decision, outcome.as_deref()).collect();
        let counts = |stage: &usize| known.iter().any(|vote| vote.stages.contains(stage));
        !known.is_empty() && eligible.as_ref().map_or(true, |stages| stages.iter().all(counts))
    };
    if recorded && !new {
        return Ok(Vec::new());
    }
    let stages = eligible.map_err(|why| Refusal::ineligible(why, ballot.by, &next.request.rule))?;
    must_be_free(next, ballot.by, now)?;
    must_not_be_anothers(next, &ballot.by.principal, now)?;
    if etag.is_some_and(|etag| etag != next.etag()) {
        return Err(Refusal::EtagMismatch { etag: next.etag() });
    }
    if !new {
        must_be_well_filled(next, ballot, decision)?;
    }
    let vote = Vote {
        voter: ballot.by.principal.clone(),
        decision,
        outcome,
        stages,
        comment: ballot.comment.to_owned(),
        response: ballot.response.map(ToOwned::to_owned),
        at: now,
        cast_by: ballot.cast_by.cloned(),
    };
    Ok(count(next, vote))
}

/// Puts a vote in the place of those that it replaces, and sees what it comes to.
fn count(next: &mut Approval, vote: Vote) -> Vec<Event> {
    let rule = &next.request.rule;
    let mut replaced: Vec<_> = next.votes.extract_if(.., |known| replaces(rule, &vote, known)).collect();
    let last = replaced.pop();
    // More than one only where a person had approved several stages, each by a vote of its own, and now rejects.
    let mut events: Vec<_> =
        replaced.into_iter().map(|vote| Event::Withdrawn { vote, comment: String::new() }).collect();
    let (decision, now) = (vote.decision, vote.at);
    if next.assignment.as_ref().is_some_and(|assignment| assignment.assignee == vote.voter) {
        next.assignment = None;
    }
    next.votes.push(vote.clone());
    events.push(Event::Voted { vote, replaced: last });
    let verdict = next.request.rule.verdict(&next.votes);
    if verdict == Verdict::Open {
        return events;
    }
    let decisive: Vec<_> = next.votes.iter().filter(|known| known.decision == decision).collect();
    let mut by = Vec::new();
    for vote in &decisive {
        by.retain(|known| *known != vote.voter);
        by.push(vote.voter.clone());
    }
    let named = |name: &String| decisive.iter().any(|vote| vote.outcome.as_ref() == Some(name));
    let outcome = next.request.rule.outcomes.iter().map(|outcome| &outcome.name).find(|name| named(name)).cloned();
    next.outcome.clone_from(&outcome);
    if verdict == Verdict::Approved {
        events.push(Event::Approved { by: by.clone(), outcome });
        finish(next, Status::Approved, by, now);
    } else {
        events.push(Event::Rejected { by: by.clone(), outcome });
        finish(next, Status::Rejected, by, now);
    }
    events
}

/// One vote for each person; where people may repeat, and stages follow each other, one for each person and stage. A
/// person is either for it or against it.
fn replaces(rule: &Rule, vote: &Vote, known: &Vote) -> bool {
    let one_each = !rule.allow_repeat_approvers || rule.order == StageOrder::Parallel;
    known.voter == vote.voter
        && (one_each
            || vote.decision != known.decision
            || vote.decision == Decision::Reject
            || vote.stages.iter().any(|stage| known.stages.contains(stage)))
}

/// What a choice comes to: the decision, and the outcome that it names.
fn resolve<'a>(approval: &Approval, choice: &'a Choice) -> Result<(Decision, Option<&'a str>), Refusal> {
    match choice {
        Choice::Plain(decision) => Ok((*decision, None)),
        Choice::Outcome { name, decision } => {
            let rule = &approval.request.rule;
            let outcome = rule.outcome(name).ok_or_else(|| Refusal::OutcomeUnknown {
                name: name.clone(),
                outcomes: rule.outcomes.iter().map(|outcome| outcome.name.clone()).collect(),
            })?;
            if decision.is_some_and(|decision| decision != outcome.decision) {
                return Err(Refusal::OutcomeDisagrees(name.clone()));
            }
            Ok((outcome.decision, Some(name)))
        }
    }
}

/// The votes that say what a ballot says.
fn same<'a>(
    approval: &'a Approval,
    ballot: &'a Ballot<'_>,
    decision: Decision,
    outcome: Option<&'a str>,
) -> impl Iterator<Item = &'a Vote> {
    approval.votes.iter().filter(move |known| {
        known.voter == ballot.by.principal
            && known.decision == decision
            && known.outcome.as_deref() == outcome
            && known.comment == ballot.comment
            && known.response.as_deref() == ballot.response
    })
}

fn must_be_well_filled(approval: &Approval, ballot: &Ballot<'_>, decision: Decision) -> Result<(), Refusal> {
    let rule = &approval.request.rule;
    if ballot.comment.trim().is_empty() && rule.wants_comment(decision) {
        return Err(Refusal::CommentRequired);
    }
    if decision == Decision::Approve || ballot.response.is_some() {
        let misfits = rule.misfits(ballot.response);
        if !misfits.is_empty() {
            return Err(Refusal::ResponseInvalid(misfits));
        }
    }
    Ok(())
}

/// Neither on hold nor frozen, for somebody.
pub(super) fn must_be_free(approval: &Approval, who: &Person, now: Timestamp) -> Result<(), Refusal> {
    if let Some(hold) = approval.held(now) {
        return Err(Refusal::OnHold { until: hold.until, reason: hold.reason.clone() });
    }
    if let Some(freeze) = approval.request.rule.frozen(who, now) {
        return Err(Refusal::OnHold { until: Some(freeze.end), reason: freeze.reason.clone() });
    }
    Ok(())
}

/// Not in somebody else's hand.
pub(super) fn must_not_be_anothers(approval: &Approval, who: &Principal, now: Timestamp) -> Result<(), Refusal> {
    match approval.in_hand(now) {
        Some(assignment) if assignment.assignee != *who => {
            Err(Refusal::Claimed { assignee: assignment.assignee.clone(), until: assignment.until })
        }
        _ => Ok(()),
    }
}

/// Takes somebody's votes back.
pub(super) fn withdraw(next: &mut Approval, by: &Person, comment: &str, now: Timestamp) -> Result<Vec<Event>, Refusal> {
    must_be_pending(next)?;
    if next.votes.iter().all(|vote| vote.voter != by.principal) {
        return Ok(Vec::new());
    }
    must_be_free(next, by, now)?;
    let withdrawn = next.votes.extract_if(.., |vote| vote.voter == by.principal);
    Ok(withdrawn.map(|vote| Event::Withdrawn { vote, comment: comment.to_owned() }).collect())
}
