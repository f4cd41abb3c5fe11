//! What an approval still needs, and what a decision would do. Asks the state machine itself, so that it can't disagree
//! with it.

use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Approval, ApproverSet, Decision, Labels, Person, Principal, Priority, Progress, Refusal, Request, Rule, Source,
    StageOrder, Status, Task, TaskState, TaskToken,
    machine::{Assume, Ballot, Choice, cast, create},
};

/// What an approval needs, and what a person can do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// One line for people.
    pub summary: String,
    /// What each stage still needs, in the rule's order.
    pub stages: Vec<StageNeed>,
    /// Further rejections that would reject; 0 once it is final.
    pub rejections_needed: u32,
    /// Why nobody may decide now, whichever stage they are of.
    pub blocked: Option<String>,
    /// What the person's decisions would do. Empty where no person was asked about.
    pub effects: Vec<Effect>,
}

/// What a stage still needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageNeed {
    /// How far it is.
    pub progress: Progress,
    /// Who could give what is missing: whoever is in every one of them. Empty: anyone.
    pub approvers: Vec<ApproverSet>,
    /// Who approved in it already.
    pub approved_by: Vec<Principal>,
}

/// What one decision would do, with the comment and the response that the rule asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// The decision.
    pub decision: Decision,
    /// The outcome that it names.
    pub outcome: Option<String>,
    /// The approval's status after it, or why it would be refused.
    pub result: Result<Status, Refusal>,
    /// The same for people.
    pub text: String,
}

/// What an approval needs, and what a decision by somebody would do now.
#[must_use]
pub fn explain(approval: &Approval, person: Option<&Person>, now: Timestamp) -> Explanation {
    let stages = stages(approval);
    let rejections_needed = rejections_needed(approval);
    Explanation {
        summary: summary(approval, &stages, now),
        stages,
        rejections_needed,
        blocked: blocked(approval, person, now),
        effects: person.map(|person| effects(approval, person, now)).unwrap_or_default(),
    }
}

/// The same for a new approval of a rule.
#[must_use]
pub fn explain_rule(rule: Rule, requester: Option<Principal>, person: Option<&Person>, now: Timestamp) -> Explanation {
    let request = Request {
        title: String::new(),
        description: String::new(),
        requester,
        rule_version: rule.version(),
        rule,
        source: Source {
            workflow: String::new(),
            activity_arn: String::new(),
            execution_arn: None,
            state_machine_arn: None,
            state_name: None,
            state_entered: None,
            key: None,
        },
        labels: Labels::new(),
        priority: Priority::default(),
    };
    let task = Task {
        state: TaskState::Open,
        token: TaskToken::from(""),
        taken: now,
        attempt: 0,
        count: 1,
        heartbeat: None,
        detached: None,
    };
    explain(&create(Uuid::nil(), request, Arc::from("null"), task, None, now).approval, person, now)
}

fn stages(approval: &Approval) -> Vec<StageNeed> {
    let rule = &approval.request.rule;
    let approved = |at: usize| {
        let counts = |vote: &&super::Vote| vote.decision == Decision::Approve && vote.stages.contains(&at);
        approval.votes.iter().filter(counts).map(|vote| vote.voter.clone()).collect()
    };
    let progress = approval.progress().into_iter().enumerate();
    progress
        .map(|(at, progress)| StageNeed {
            approvers: rule.approvers_now(at, approval.escalations),
            approved_by: approved(at),
            progress,
        })
        .collect()
}

fn rejections_needed(approval: &Approval) -> u32 {
    if approval.status.is_final() {
        return 0;
    }
    let rejections = approval.votes.iter().filter(|vote| vote.decision == Decision::Reject).count();
    approval.request.rule.required_rejections.saturating_sub(u32::try_from(rejections).unwrap_or(u32::MAX))
}

fn summary(approval: &Approval, stages: &[StageNeed], now: Timestamp) -> String {
    if approval.status.is_final() {
        let outcome = approval.outcome.as_ref().map(|name| format!(", as {name}")).unwrap_or_default();
        let by: Vec<_> = approval.decided_by.iter().map(|who| who.as_str()).collect();
        return format!("{}{outcome}, by {}", approval.status.name(), by.join(", "));
    }
    let needs: Vec<_> = stages
        .iter()
        .filter(|stage| stage.progress.approvals < stage.progress.required)
        .map(|stage| {
            let missing = stage.progress.required - stage.progress.approvals;
            let plural = if missing == 1 { "" } else { "s" };
            let of =
                if stage.progress.name.is_empty() { String::new() } else { format!(" in {:?}", stage.progress.name) };
            format!("{missing} more approval{plural}{of}, by {}", whom(&stage.approvers))
        })
        .collect();
    let joint = match approval.request.rule.order {
        StageOrder::Sequential => "; then ",
        StageOrder::Parallel => "; and ",
    };
    let in_hand = match approval.in_hand(now) {
        Some(assignment) => format!("; in the hand of {} until {}", assignment.assignee, assignment.until),
        None => String::new(),
    };
    format!("waits for {}{in_hand}", needs.join(joint))
}

fn whom(sets: &[ApproverSet]) -> String {
    let one = |set: &ApproverSet| set.0.iter().map(|who| who.as_str()).collect::<Vec<_>>().join(" or ");
    match sets {
        [] => "anyone".to_owned(),
        [only] => one(only),
        several => several.iter().map(|set| format!("({})", one(set))).collect::<Vec<_>>().join(" and "),
    }
}

fn blocked(approval: &Approval, person: Option<&Person>, now: Timestamp) -> Option<String> {
    if approval.status.is_final() {
        return Some(format!("it is final: {}", approval.status.name()));
    }
    let because = |reason: &str| if reason.is_empty() { String::new() } else { format!(": {reason}") };
    if let Some(hold) = approval.held(now) {
        let until = hold.until.map_or("until it is resumed".to_owned(), |until| format!("until {until}"));
        return Some(format!("on hold by {} {until}{}", hold.by, because(&hold.reason)));
    }
    let freezes = approval.request.rule.freezes.iter();
    let frozen = freezes
        .filter(|freeze| person.map_or(freeze.covers(now), |person| freeze.stops(person, now)))
        .max_by_key(|freeze| freeze.end)?;
    let except = frozen.except.as_ref().map(|except| format!(", but by {}", whom(std::slice::from_ref(except))));
    Some(format!("frozen until {}{}{}", frozen.end, except.unwrap_or_default(), because(&frozen.reason)))
}

fn effects(approval: &Approval, person: &Person, now: Timestamp) -> Vec<Effect> {
    let plain = [Decision::Approve, Decision::Reject].map(|decision| (decision, None));
    let outcomes = approval.request.rule.outcomes.iter();
    let named = outcomes.map(|outcome| (outcome.decision, Some(outcome.name.clone())));
    plain.into_iter().chain(named).map(|(decision, outcome)| effect(approval, person, decision, outcome, now)).collect()
}

fn effect(approval: &Approval, person: &Person, decision: Decision, outcome: Option<String>, now: Timestamp) -> Effect {
    let choice = match &outcome {
        Some(name) => Choice::Outcome { name: name.clone(), decision: None },
        None => Choice::Plain(decision),
    };
    let ballot = Ballot { by: person, choice: &choice, comment: "", response: None, cast_by: None };
    let mut after = approval.clone();
    let result = match cast(&mut after, &ballot, None, Assume::WellFilled, now) {
        Ok(_) => Ok(after.status),
        Err(refusal) => Err(refusal),
    };
    let text = match &result {
        Ok(_) => consequence(&after, decision),
        Err(refusal) => refusal.to_string(),
    };
    Effect { decision, outcome, result, text }
}

fn consequence(after: &Approval, decision: Decision) -> String {
    let rule = &after.request.rule;
    let mut text = match (after.status, decision) {
        (Status::Approved, _) => "approves it".to_owned(),
        (Status::Rejected, _) => "rejects it".to_owned(),
        (_, Decision::Approve) => {
            let missing = |progress: &Progress| progress.required.saturating_sub(progress.approvals);
            let missing: u32 = after.progress().iter().map(missing).sum();
            let plural = if missing == 1 { "" } else { "s" };
            format!("counts; {missing} more approval{plural} needed")
        }
        (_, Decision::Reject) => {
            let missing = rejections_needed(after);
            let plural = if missing == 1 { "" } else { "s" };
            format!("counts; {missing} more rejection{plural} would reject it")
        }
    };
    if rule.wants_comment(decision) {
        text.push_str("; it needs a comment");
    }
    if rule.response_schema.is_some() && decision == Decision::Approve {
        text.push_str("; its response has to fit the rule's schema");
    }
    text
}
