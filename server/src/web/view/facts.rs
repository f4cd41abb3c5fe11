//! What there is to know of an approval.

use jiff::Timestamp;

use super::{
    Deadline, Fields, When, brief, count, name, past, payload, payload::glance, priority, status, visible, whom,
};
use crate::approval::{Approval, Decision, DeliveryState, Explanation, StageOrder, Status, TaskState, Vote, explain};

/// A word with a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Badge {
    pub(crate) text: &'static str,
    /// "good", "bad", "warn", "pending" or "quiet".
    pub(crate) kind: &'static str,
}

/// An approval in a list.
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) etag: String,
    pub(crate) title: String,
    pub(crate) requester: Option<String>,
    pub(crate) workflow: String,
    pub(crate) glance: String,
    pub(crate) status: Badge,
    pub(crate) outcome: Option<String>,
    pub(crate) priority: Option<Badge>,
    pub(crate) progress: String,
    pub(crate) deadline: Option<Deadline>,
    pub(crate) created: When,
    pub(crate) decided: Option<When>,
    pub(crate) decided_by: String,
    pub(crate) in_hand: Option<String>,
    pub(crate) held: bool,
}

impl Row {
    pub(crate) fn new(approval: &Approval, now: Timestamp) -> Self {
        let request = &approval.request;
        Self {
            id: approval.id.to_string(),
            etag: approval.etag(),
            title: brief(&request.title, 160),
            requester: request.requester.as_ref().map(name),
            workflow: visible(&request.source.workflow),
            glance: glance(&approval.input, 120),
            status: status(approval.status),
            outcome: approval.outcome.as_deref().map(|name| label(approval, name)),
            priority: priority(request.priority),
            progress: progress(approval),
            deadline: approval.expires.map(|at| Deadline::new(at, now)),
            created: When::at(approval.created),
            decided: approval.decided.map(When::at),
            decided_by: approval.decided_by.iter().map(name).collect::<Vec<_>>().join(", "),
            in_hand: approval.in_hand(now).map(|assignment| name(&assignment.assignee)),
            held: approval.held(now).is_some(),
        }
    }
}

/// How far it is, in few words.
fn progress(approval: &Approval) -> String {
    let stages = approval.progress();
    match stages.as_slice() {
        [] => String::new(),
        [only] => format!("{} of {}", only.approvals, count(only.required, "approval", "approvals")),
        several => {
            let met = several.iter().filter(|stage| stage.approvals >= stage.required).count();
            let open = several.iter().find(|stage| stage.open);
            let now = open.map(|stage| format!("{} {} of {}, ", visible(&stage.name), stage.approvals, stage.required));
            format!("{}stage {} of {}", now.unwrap_or_default(), (met + 1).min(several.len()), several.len())
        }
    }
}

/// The name of an outcome, for people.
pub(super) fn label(approval: &Approval, outcome: &str) -> String {
    let known = approval.request.rule.outcome(outcome);
    visible(known.map(|known| known.label.as_str()).filter(|label| !label.is_empty()).unwrap_or(outcome))
}

/// A stage of the rule, and how far it is.
pub(crate) struct Stage {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) voters: Vec<Voter>,
    /// "met", "open" or "waits".
    pub(crate) kind: &'static str,
    pub(crate) have: u32,
    pub(crate) need: u32,
}

/// Somebody who has voted.
pub(crate) struct Voter {
    pub(crate) name: String,
    pub(crate) what: String,
    pub(crate) kind: &'static str,
    pub(crate) when: When,
    pub(crate) comment: String,
    pub(crate) response: Option<Fields>,
    pub(crate) cast_by: Option<String>,
}

/// A line of what happened.
pub(crate) struct Happened {
    pub(crate) when: When,
    pub(crate) text: String,
    pub(crate) note: String,
}

/// All that is shown of an approval.
pub(crate) struct Facts {
    pub(crate) row: Row,
    pub(crate) description: String,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) fields: Fields,
    pub(crate) exact: String,
    pub(crate) stages: Vec<Stage>,
    pub(crate) sequential: bool,
    pub(crate) rejections: String,
    /// Why nobody can decide now.
    pub(crate) blocked: Option<String>,
    pub(crate) votes: Vec<Voter>,
    pub(crate) history: Vec<Happened>,
    pub(crate) attempts: String,
    pub(crate) delivery: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) execution: Option<String>,
    pub(crate) state: Option<String>,
    pub(crate) pending: bool,
}

impl Facts {
    pub(crate) fn new(approval: &Approval, now: Timestamp) -> Self {
        let request = &approval.request;
        let explanation = explain(approval, None, now);
        Self {
            row: Row::new(approval, now),
            description: visible(&request.description),
            labels: request.labels.iter().map(|(key, value)| (visible(key), visible(value))).collect(),
            fields: payload(&approval.input),
            exact: visible(&approval.input),
            sequential: request.rule.order == StageOrder::Sequential && request.rule.stages.len() > 1,
            rejections: rejections(&explanation),
            blocked: approval.held(now).map(|hold| {
                let until = hold.until.map(|until| format!(" until {}", When::at(until).text)).unwrap_or_default();
                format!("On hold by {}{until}: {}", name(&hold.by), visible(&hold.reason))
            }),
            stages: stages(approval, &explanation),
            votes: approval.votes.iter().map(|vote| voter(approval, vote)).collect(),
            history: history(approval),
            attempts: attempts(approval),
            delivery: delivery(approval),
            reason: approval.reason.as_deref().map(visible),
            execution: request.source.execution_arn.as_deref().map(visible),
            state: request.source.state_name.as_deref().map(visible),
            pending: approval.status == Status::Pending,
        }
    }
}

fn stages(approval: &Approval, explanation: &Explanation) -> Vec<Stage> {
    let stages = explanation.stages.iter().enumerate();
    stages
        .map(|(at, need)| {
            let progress = &need.progress;
            let counts = |vote: &&Vote| vote.decision == Decision::Approve && vote.stages.contains(&at);
            let met = progress.approvals >= progress.required;
            Stage {
                name: visible(&progress.name),
                text: format!(
                    "{} of {} from {}",
                    progress.approvals,
                    count(progress.required, "approval", "approvals"),
                    whom(&need.approvers)
                ),
                voters: approval.votes.iter().filter(counts).map(|vote| voter(approval, vote)).collect(),
                kind: if met {
                    "met"
                } else if progress.open {
                    "open"
                } else {
                    "waits"
                },
                have: progress.approvals.min(progress.required),
                need: progress.required,
            }
        })
        .collect()
}

fn rejections(explanation: &Explanation) -> String {
    match explanation.rejections_needed {
        0 => String::new(),
        1 => "One rejection rejects it.".to_owned(),
        more => format!("{more} rejections reject it."),
    }
}

fn voter(approval: &Approval, vote: &Vote) -> Voter {
    let outcome = vote.outcome.as_deref().map(|outcome| label(approval, outcome));
    Voter {
        name: name(&vote.voter),
        what: outcome.map_or_else(
            || past(vote.decision).to_owned(),
            |outcome| format!("{} as \u{201c}{outcome}\u{201d}", past(vote.decision)),
        ),
        kind: if vote.decision == Decision::Approve { "good" } else { "bad" },
        when: When::at(vote.at),
        comment: visible(&vote.comment),
        response: vote.response.as_deref().map(payload),
        cast_by: vote.cast_by.as_ref().map(name),
    }
}

fn history(approval: &Approval) -> Vec<Happened> {
    let line =
        |at: Timestamp, text: String, note: &str| (at, Happened { when: When::at(at), text, note: visible(note) });
    let requester = approval.request.requester.as_ref();
    let asked = requester.map_or_else(|| "Requested".to_owned(), |who| format!("Requested for {}", name(who)));
    let mut lines = vec![line(approval.created, asked, "")];
    for vote in &approval.votes {
        let voter = voter(approval, vote);
        lines.push(line(vote.at, format!("{} {}", voter.name, voter.what), &vote.comment));
    }
    if let Some(decided) = approval.decided {
        let by: Vec<_> = approval.decided_by.iter().map(name).collect();
        let by = if by.is_empty() { String::new() } else { format!(" by {}", by.join(", ")) };
        let text = format!("{}{by}", status(approval.status).text);
        lines.push(line(decided, text, approval.reason.as_deref().unwrap_or_default()));
    }
    if let Some(settled) = approval.delivery.settled {
        let text = match approval.delivery.state {
            DeliveryState::Delivered => "The workflow has heard of it",
            _ => "The workflow can't be told any more",
        };
        lines.push(line(settled, text.to_owned(), ""));
    }
    lines.sort_by_key(|(at, _)| *at);
    lines.into_iter().map(|(_, line)| line).collect()
}

fn attempts(approval: &Approval) -> String {
    let task = &approval.task;
    let state = match task.state {
        TaskState::Open => "the workflow waits",
        TaskState::Detached => "the workflow is about to try again",
        TaskState::Closed => "the task is closed",
    };
    match task.count {
        0 | 1 => format!("First attempt; {state}"),
        count => format!("Attempt {count}: asked anew by the workflow, decided once; {state}"),
    }
}

fn delivery(approval: &Approval) -> Option<String> {
    let delivery = &approval.delivery;
    match delivery.state {
        DeliveryState::None => None,
        DeliveryState::Recorded if delivery.attempts > 0 => Some(format!(
            "Recorded; on its way to the workflow ({} so far)",
            count(delivery.attempts, "attempt", "attempts")
        )),
        DeliveryState::Recorded => Some("Recorded; on its way to the workflow".to_owned()),
        DeliveryState::Delivered => Some("The workflow has heard of it".to_owned()),
        DeliveryState::Undeliverable => Some("The workflow can\u{2019}t be told any more".to_owned()),
    }
}
