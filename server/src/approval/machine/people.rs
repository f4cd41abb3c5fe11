//! What people do with an approval beside voting: claim it, give it to others, hold it, cancel it.

use jiff::Timestamp;

use super::{
    Event, Refusal, finish, must_be_pending,
    vote::{must_be_free, must_not_be_anothers},
};
use crate::approval::{Approval, Assignment, Hold, Person, Principal, Status};

/// How often an approval may be given on.
const MAX_CHAIN: usize = 10;

pub(super) fn claim(next: &mut Approval, by: &Person, until: Timestamp, now: Timestamp) -> Result<Vec<Event>, Refusal> {
    must_be_pending(next)?;
    next.approvable(by).map_err(|why| Refusal::ineligible(why, by, &next.request.rule))?;
    must_be_free(next, by, now)?;
    must_not_be_anothers(next, &by.principal, now)?;
    let chain = next.in_hand(now).map(|mine| mine.by.clone()).unwrap_or_default();
    next.assignment = Some(Assignment { assignee: by.principal.clone(), by: chain, until });
    Ok(vec![Event::Claimed { by: by.principal.clone(), until }])
}

pub(super) fn release(
    next: &mut Approval,
    by: &Principal,
    operator: bool,
    now: Timestamp,
) -> Result<Vec<Event>, Refusal> {
    must_be_pending(next)?;
    if !operator {
        must_not_be_anothers(next, by, now)?;
    }
    Ok(match next.assignment.take() {
        Some(Assignment { assignee, .. }) => vec![Event::Released { by: by.clone(), assignee }],
        None => Vec::new(),
    })
}

pub(super) fn reassign(
    next: &mut Approval,
    by: &Person,
    operator: bool,
    to: &Principal,
    comment: &str,
    until: Timestamp,
    now: Timestamp,
) -> Result<Vec<Event>, Refusal> {
    must_be_pending(next)?;
    if !operator {
        next.approvable(by).map_err(|why| Refusal::ineligible(why, by, &next.request.rule))?;
        must_be_free(next, by, now)?;
        must_not_be_anothers(next, &by.principal, now)?;
    }
    if let Some(problem) = not_assignable(next, &by.principal, to) {
        return Err(Refusal::NotAssignable { to: to.clone(), problem });
    }
    let mut chain = next.in_hand(now).map(|known| known.by.clone()).unwrap_or_default();
    if !chain.contains(&by.principal) {
        chain.push(by.principal.clone());
    }
    if chain.contains(to) || chain.len() > MAX_CHAIN {
        return Err(Refusal::ReassignmentLoop(to.clone()));
    }
    next.assignment = Some(Assignment { assignee: to.clone(), by: chain, until });
    let (by, to, comment) = (by.principal.clone(), to.clone(), comment.to_owned());
    Ok(vec![Event::Reassigned { by, to, comment, until }])
}

/// Why somebody can't be given it. Whether they may decide is looked at when they do, with the groups that they have
/// then: this only keeps it from going where it could only lie.
fn not_assignable(approval: &Approval, by: &Principal, to: &Principal) -> Option<&'static str> {
    let rule = &approval.request.rule;
    let could = |stage: &usize| rule.could_be_approver(*stage, to, approval.escalations);
    if !to.is_actor() {
        Some("expected a person or a service")
    } else if to == by {
        Some("that is yourself; claim it instead")
    } else if approval.request.requester.as_ref() == Some(to) && !rule.allow_self_approval {
        Some("they asked for it, and may not approve it")
    } else if !rule.open(&approval.votes).iter().any(could) {
        Some("the rule does not let them approve it now")
    } else {
        None
    }
}

pub(super) fn hold(
    next: &mut Approval,
    by: &Principal,
    until: Option<Timestamp>,
    reason: &str,
) -> Result<Vec<Event>, Refusal> {
    must_be_pending(next)?;
    next.hold = Some(Hold { by: by.clone(), until, reason: reason.to_owned() });
    Ok(vec![Event::Held { by: by.clone(), until, reason: reason.to_owned() }])
}

pub(super) fn resume(next: &mut Approval, by: &Principal) -> Result<Vec<Event>, Refusal> {
    must_be_pending(next)?;
    Ok(match next.hold.take() {
        Some(_) => vec![Event::Resumed { by: by.clone() }],
        None => Vec::new(),
    })
}

pub(super) fn cancel(
    next: &mut Approval,
    by: &Principal,
    operator: bool,
    reason: &str,
    now: Timestamp,
) -> Result<Vec<Event>, Refusal> {
    must_be_pending(next)?;
    if !operator && next.request.requester.as_ref() != Some(by) {
        return Err(Refusal::NotTheRequester(by.clone()));
    }
    finish(next, Status::Canceled, vec![by.clone()], now);
    next.reason = Some(reason.to_owned());
    Ok(vec![Event::Canceled { by: by.clone(), reason: reason.to_owned() }])
}
