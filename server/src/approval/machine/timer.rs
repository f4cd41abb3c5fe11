//! What comes with time alone.

use jiff::{SignedDuration, Timestamp};

use super::{Event, Refusal, finish, must_be_pending};
use crate::approval::{Approval, Decision, ExpiryAction, Principal, Status};

/// Does what is due by now, in the order in which it fell due. A deadline ends everything, and nobody is reminded of what
/// is over. Reminders that were missed together are one.
pub(super) fn ring(next: &mut Approval, now: Timestamp) -> Result<Vec<Event>, Refusal> {
    must_be_pending(next)?;
    if next.expires.is_some_and(|deadline| deadline <= now) {
        return Ok(expire(next, now));
    }
    let due = |since: Timestamp, after: SignedDuration| since.checked_add(after).ok().filter(|at| *at <= now);
    let (since, granting_since) = (next.since(), next.granting_since());
    let by = Principal::system("timer");
    let mut events: Vec<(Timestamp, Event)> = Vec::new();
    let rule = &next.request.rule;
    let reminders: Vec<_> = rule.reminders_in_order().into_iter().map_while(|after| due(since, after)).collect();
    if let Some(last) = reminders.last()
        && reminders.len() > next.reminders
    {
        next.reminders = reminders.len();
        events.push((*last, Event::Reminded { number: reminders.len() }));
    }
    let mut escalations = 0;
    for (escalation, at) in rule
        .escalations_in_order()
        .into_iter()
        .map_while(|escalation| Some((escalation, due(granting_since, escalation.after)?)))
    {
        escalations += 1;
        if escalations > next.escalations {
            let (approvers, stage) = (escalation.approvers.clone(), escalation.stage.clone());
            events.push((at, Event::Escalated { approvers, stage }));
        }
    }
    next.escalations = next.escalations.max(escalations);
    if let Some(lapsed) = next.assignment.take_if(|assignment| assignment.until <= now) {
        events.push((lapsed.until, Event::Released { by: by.clone(), assignee: lapsed.assignee }));
    }
    if let Some(until) = next.hold.as_ref().and_then(|hold| hold.until).filter(|until| *until <= now) {
        next.hold = None;
        events.push((until, Event::Resumed { by }));
    }
    if events.is_empty() {
        return Err(Refusal::NothingDue);
    }
    events.sort_by_key(|(at, _)| *at);
    Ok(events.into_iter().map(|(_, event)| event).collect())
}

fn expire(next: &mut Approval, now: Timestamp) -> Vec<Event> {
    let by = vec![Principal::system("expiry")];
    let rule = &next.request.rule;
    let (decision, outcome) = match &rule.on_expiry {
        ExpiryAction::Expire => (None, None),
        ExpiryAction::Reject => (Some(Decision::Reject), None),
        ExpiryAction::Approve => (Some(Decision::Approve), None),
        // A rule without the outcome is not accepted; one that was kept nevertheless expires.
        ExpiryAction::Outcome(name) => {
            let outcome = rule.outcome(name);
            (outcome.map(|outcome| outcome.decision), outcome.map(|outcome| outcome.name.clone()))
        }
    };
    next.outcome.clone_from(&outcome);
    let (status, event) = match decision {
        None => (Status::Expired, None),
        Some(Decision::Reject) => (Status::Rejected, Some(Event::Rejected { by: by.clone(), outcome })),
        Some(Decision::Approve) => (Status::Approved, Some(Event::Approved { by: by.clone(), outcome })),
    };
    finish(next, status, by, now);
    std::iter::once(Event::Expired).chain(event).collect()
}
