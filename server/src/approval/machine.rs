//! The approval's state machine.
//!
//! | status \ command    | Vote                         | Expire                       | Cancel   | Bind                    | Detach   | Delivered | Undeliverable |
//! |---------------------|------------------------------|------------------------------|----------|-------------------------|----------|-----------|---------------|
//! | PENDING             | PENDING, APPROVED, REJECTED  | EXPIRED, APPROVED, REJECTED¹ | CANCELED | PENDING, task OPEN      | DETACHED | refused   | refused       |
//! | APPROVED … EXPIRED  | refused²                     | refused                      | refused  | same, answer goes again | DETACHED | DELIVERED | UNDELIVERABLE |
//! | INVALID             | refused                      | refused                      | refused  | refused                 | refused  | DELIVERED | UNDELIVERABLE |
//! | CANCELED            | refused                      | refused                      | refused  | refused                 | refused  | refused   | refused       |
//!
//! ¹ by the rule's `on_expiry`; only once the deadline has passed.
//! ² but the vote that is recorded already, by the same person, is a success that changes nothing.
//!
//! `Bind` and `Detach` speak of a token: one that is not, or no longer, the approval's changes nothing.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Approval, ApprovalId, Decision, Delivery, DeliveryState, ExpiryAction, Ineligible, Person, Principal, Request,
    Status, Task, TaskState, TaskToken, Verdict, Vote,
};

/// Something that is to be done to an approval.
#[derive(Debug, Clone)]
pub enum Command {
    /// A person decides.
    Vote {
        /// Who, with their groups.
        by: Person,
        /// What.
        decision: Decision,
        /// Why; may be empty.
        comment: String,
        /// JSON text for the workflow.
        response: Option<String>,
        /// Only if this is still the etag.
        etag: Option<String>,
        /// The service that acts for them.
        cast_by: Option<Principal>,
    },
    /// The deadline has passed.
    Expire,
    /// Nobody is to decide any more.
    Cancel {
        /// By whom.
        by: Principal,
        /// Why.
        reason: String,
    },
    /// A retry's task takes the place of a lost one.
    Bind {
        /// What answers it.
        token: TaskToken,
        /// The state's retry count.
        attempt: u32,
        /// The state's HeartbeatSeconds, where it is known.
        heartbeat: Option<SignedDuration>,
    },
    /// The task is closed, but its execution runs on: a retry may come.
    Detach {
        /// Of the task that is closed.
        token: TaskToken,
        /// How that is known.
        reason: String,
    },
    /// Step Functions accepted the answer.
    Delivered {
        /// Of the task that was answered.
        token: TaskToken,
        /// Tries since the last record.
        attempts: u32,
    },
    /// Step Functions never will.
    Undeliverable {
        /// Of the task that was to be answered.
        token: TaskToken,
        /// Tries since the last record.
        attempts: u32,
        /// Why.
        reason: String,
    },
}

/// Something that happened to an approval: a line of its history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A task came, and people are asked.
    Requested {
        /// The identity that the task claimed and could not have, as it was another's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused_identity: Option<String>,
    },
    /// A task came that can't be understood.
    Refused {
        /// The field and what is wrong with it.
        reason: String,
    },
    /// Somebody decided.
    Voted {
        /// The vote.
        vote: Vote,
        /// What they had decided before.
        replaced: Option<Vote>,
    },
    /// The rule was met.
    Approved {
        /// By whom.
        by: Vec<Principal>,
    },
    /// The rule was met.
    Rejected {
        /// By whom.
        by: Vec<Principal>,
    },
    /// The deadline passed.
    Expired,
    /// Nobody is to decide any more.
    Canceled {
        /// By whom.
        by: Principal,
        /// Why.
        reason: String,
    },
    /// A retry's task took the place of a lost one.
    TaskBound {
        /// The state's retry count.
        attempt: u32,
        /// How many tasks there have been.
        count: u32,
    },
    /// The task was lost.
    TaskDetached {
        /// How that is known.
        reason: String,
    },
    /// The workflow heard of it.
    Delivered,
    /// The workflow never will.
    Undeliverable {
        /// Why.
        reason: String,
    },
}

/// What a command does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// The approval after it.
    pub approval: Approval,
    /// What happened, in order. Empty: nothing changed.
    pub events: Vec<Event>,
}

/// Why a command was not carried out. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is final.
    #[error("the approval is final: {}", status.name())]
    AlreadyDecided {
        /// As what.
        status: Status,
        /// Who made it so.
        by: Vec<Principal>,
        /// When.
        at: Option<Timestamp>,
    },
    /// The rule does not let the caller decide.
    #[error("the approval's rule does not let {0} decide")]
    NotAnApprover(Principal),
    /// The caller asked for it.
    #[error("{0} asked for this approval and may not approve it")]
    SelfApproval(Principal),
    /// It changed since it was read.
    #[error("the approval has changed since it was read")]
    EtagMismatch {
        /// What it is now.
        etag: String,
    },
    /// The rule asks for a comment.
    #[error("the approval's rule asks for a comment")]
    CommentRequired,
    /// The deadline has not passed.
    #[error("the approval has not expired yet")]
    NotExpired,
    /// The command speaks of another task than the approval's, or there is nothing to deliver.
    #[error("the approval is not bound to that task, or has nothing to deliver to it")]
    NotBound,
}

impl Refusal {
    /// Its name in the API and in the record of what happened.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::AlreadyDecided { .. } => "ALREADY_DECIDED",
            Self::NotAnApprover(_) => "NOT_AN_APPROVER",
            Self::SelfApproval(_) => "SELF_APPROVAL",
            Self::EtagMismatch { .. } => "ETAG_MISMATCH",
            Self::CommentRequired => "COMMENT_REQUIRED",
            Self::NotExpired => "NOTHING_DUE",
            Self::NotBound => "NOT_BOUND",
        }
    }
}

/// A new approval, from a task that was understood. Its deadline counts from the state's entered time.
#[must_use]
pub fn create(
    uuid: Uuid,
    request: Request,
    input: Arc<str>,
    task: Task,
    refused_identity: Option<String>,
    now: Timestamp,
) -> Transition {
    let from = request.source.state_entered.unwrap_or(task.taken);
    let expires = request.rule.expire_after.and_then(|after| from.checked_add(after).ok());
    let approval = Approval {
        id: ApprovalId::from_uuid(uuid),
        version: 1,
        revision: 0,
        status: Status::Pending,
        request: Arc::new(request),
        input,
        created: now,
        updated: now,
        expires,
        decided: None,
        votes: Vec::new(),
        decided_by: Vec::new(),
        reason: None,
        task,
        delivery: Delivery::default(),
    };
    Transition { approval, events: vec![Event::Requested { refused_identity }] }
}

/// The record of a task that was not understood: final at once, and its failure is to be delivered.
#[must_use]
pub fn create_invalid(
    uuid: Uuid,
    request: Request,
    input: Arc<str>,
    task: Task,
    reason: String,
    now: Timestamp,
) -> Transition {
    let mut transition = create(uuid, request, input, task, None, now);
    let approval = &mut transition.approval;
    approval.status = Status::Invalid;
    approval.expires = None;
    approval.decided = Some(now);
    approval.decided_by = vec![Principal::system("intake")];
    approval.reason = Some(reason.clone());
    approval.delivery.state = DeliveryState::Recorded;
    transition.events = vec![Event::Refused { reason }];
    transition
}

/// Carries out a command, or refuses it.
pub fn apply(state: &Approval, command: &Command, now: Timestamp) -> Result<Transition, Refusal> {
    let mut next = state.clone();
    let events = match command {
        Command::Vote { by, decision, comment, response, etag, cast_by } => {
            let vote = Vote {
                voter: by.principal.clone(),
                decision: *decision,
                comment: comment.clone(),
                response: response.clone(),
                at: now,
                cast_by: cast_by.clone(),
            };
            cast(&mut next, by, vote, etag.as_deref())?
        }
        Command::Expire => expire(&mut next, now)?,
        Command::Cancel { by, reason } => {
            must_be_pending(state)?;
            finish(&mut next, Status::Canceled, vec![by.clone()], now);
            next.reason = Some(reason.clone());
            vec![Event::Canceled { by: by.clone(), reason: reason.clone() }]
        }
        Command::Bind { token, attempt, heartbeat } => bind(&mut next, token, *attempt, *heartbeat, now)?,
        Command::Detach { token, reason } => {
            must_be_bound(state, token)?;
            next.task.state = TaskState::Detached;
            next.task.detached = Some(now);
            vec![Event::TaskDetached { reason: reason.clone() }]
        }
        Command::Delivered { token, attempts } => {
            settle(&mut next, token, *attempts, DeliveryState::Delivered, now)?;
            next.delivery.last_error = None;
            vec![Event::Delivered]
        }
        Command::Undeliverable { token, attempts, reason } => {
            settle(&mut next, token, *attempts, DeliveryState::Undeliverable, now)?;
            next.delivery.last_error = Some(reason.clone());
            vec![Event::Undeliverable { reason: reason.clone() }]
        }
    };
    if !events.is_empty() {
        next.version += 1;
        next.updated = now;
    }
    Ok(Transition { approval: next, events })
}

fn must_be_pending(state: &Approval) -> Result<(), Refusal> {
    if state.status.is_final() {
        return Err(Refusal::AlreadyDecided { status: state.status, by: state.decided_by.clone(), at: state.decided });
    }
    Ok(())
}

fn must_be_bound(state: &Approval, token: &TaskToken) -> Result<(), Refusal> {
    if state.task.state == TaskState::Open && state.task.token == *token { Ok(()) } else { Err(Refusal::NotBound) }
}

fn cast(next: &mut Approval, by: &Person, vote: Vote, etag: Option<&str>) -> Result<Vec<Event>, Refusal> {
    let recorded = next.votes.iter().position(|known| known.voter == vote.voter);
    let same = |known: &Vote| {
        known.decision == vote.decision && known.comment == vote.comment && known.response == vote.response
    };
    if recorded.and_then(|at| next.votes.get(at)).is_some_and(same) {
        return Ok(Vec::new());
    }
    must_be_pending(next)?;
    next.request.rule.eligible(by, next.request.requester.as_ref(), vote.decision).map_err(|why| match why {
        Ineligible::NotAnApprover => Refusal::NotAnApprover(by.principal.clone()),
        Ineligible::SelfApproval => Refusal::SelfApproval(by.principal.clone()),
    })?;
    if etag.is_some_and(|etag| etag != next.etag()) {
        return Err(Refusal::EtagMismatch { etag: next.etag() });
    }
    if vote.comment.trim().is_empty() && next.request.rule.wants_comment(vote.decision) {
        return Err(Refusal::CommentRequired);
    }
    let replaced = recorded.map(|at| next.votes.remove(at));
    let now = vote.at;
    let decision = vote.decision;
    next.votes.push(vote.clone());
    let mut events = vec![Event::Voted { vote, replaced }];
    let voters = || {
        let of = |known: &&Vote| known.decision == decision;
        next.votes.iter().filter(of).map(|known| known.voter.clone()).collect::<Vec<_>>()
    };
    match next.request.rule.verdict(&next.votes) {
        Verdict::Open => {}
        Verdict::Approved => {
            let by = voters();
            events.push(Event::Approved { by: by.clone() });
            finish(next, Status::Approved, by, now);
        }
        Verdict::Rejected => {
            let by = voters();
            events.push(Event::Rejected { by: by.clone() });
            finish(next, Status::Rejected, by, now);
        }
    }
    Ok(events)
}

fn expire(next: &mut Approval, now: Timestamp) -> Result<Vec<Event>, Refusal> {
    must_be_pending(next)?;
    if next.expires.is_none_or(|deadline| now < deadline) {
        return Err(Refusal::NotExpired);
    }
    let by = vec![Principal::system("expiry")];
    let (status, outcome) = match next.request.rule.on_expiry {
        ExpiryAction::Expire => (Status::Expired, None),
        ExpiryAction::Reject => (Status::Rejected, Some(Event::Rejected { by: by.clone() })),
        ExpiryAction::Approve => (Status::Approved, Some(Event::Approved { by: by.clone() })),
    };
    finish(next, status, by, now);
    Ok(std::iter::once(Event::Expired).chain(outcome).collect())
}

fn finish(next: &mut Approval, status: Status, by: Vec<Principal>, now: Timestamp) {
    next.status = status;
    next.decided = Some(now);
    next.decided_by = by;
    if status == Status::Canceled {
        next.task.state = TaskState::Closed;
    } else {
        next.delivery.state = DeliveryState::Recorded;
    }
}

fn bind(
    next: &mut Approval,
    token: &TaskToken,
    attempt: u32,
    heartbeat: Option<SignedDuration>,
    now: Timestamp,
) -> Result<Vec<Event>, Refusal> {
    if next.task.token == *token {
        return Ok(Vec::new());
    }
    if matches!(next.status, Status::Canceled | Status::Invalid) {
        must_be_pending(next)?;
    }
    next.task = Task {
        state: TaskState::Open,
        token: token.clone(),
        taken: now,
        attempt,
        count: next.task.count.saturating_add(1),
        heartbeat: heartbeat.or(next.task.heartbeat),
        detached: None,
    };
    if next.status.is_final() {
        next.delivery = Delivery {
            state: DeliveryState::Recorded,
            attempts: next.delivery.attempts,
            last_error: next.delivery.last_error.take(),
            settled: None,
        };
    }
    Ok(vec![Event::TaskBound { attempt, count: next.task.count }])
}

fn settle(
    next: &mut Approval,
    token: &TaskToken,
    attempts: u32,
    state: DeliveryState,
    now: Timestamp,
) -> Result<(), Refusal> {
    // A detached task may have been answered after all: the history of its execution tells.
    let ours = next.task.token == *token && next.task.state != TaskState::Closed;
    if !ours || next.delivery.state != DeliveryState::Recorded {
        return Err(Refusal::NotBound);
    }
    next.task.state = TaskState::Closed;
    next.delivery.state = state;
    next.delivery.attempts = next.delivery.attempts.saturating_add(attempts);
    next.delivery.settled = Some(now);
    Ok(())
}
