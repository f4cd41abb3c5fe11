//! The approval's state machine.
//!
//! | status \ command   | Vote                        | Withdraw, Claim, Release, Reassign, Hold, Resume | Timer                          | Cancel    | Abandon  | Bind                    | Detach   | Delivered | Undeliverable |
//! |--------------------|-----------------------------|--------------------------------------------------|--------------------------------|-----------|----------|-------------------------|----------|-----------|---------------|
//! | PENDING            | PENDING, APPROVED, REJECTED | PENDING                                          | PENDING³, EXPIRED, APPROVED, REJECTED¹ | CANCELED⁴ | CANCELED⁵ | PENDING, task OPEN | DETACHED | refused   | refused       |
//! | APPROVED … EXPIRED | refused²                    | refused                                          | refused                        | refused   | refused  | same, answer goes again | DETACHED | DELIVERED | UNDELIVERABLE |
//! | CANCELED⁴          | refused²                    | refused                                          | refused                        | refused   | refused  | same, answer goes again | DETACHED | DELIVERED | UNDELIVERABLE |
//! | CANCELED⁵          | refused²                    | refused                                          | refused                        | refused   | refused  | refused                 | refused  | refused   | refused       |
//! | INVALID            | refused                     | refused                                          | refused                        | refused   | refused  | refused                 | refused  | DELIVERED | UNDELIVERABLE |
//!
//! ¹ by the rule's `on_expiry`; only once the deadline has passed.
//! ² but the vote that is recorded already, by the same person, is a success that changes nothing.
//! ³ reminders, escalations, the ends of holds and assignments.
//! ⁴ by its requester or an operator: the task is to fail with `Approval.Canceled`.
//! ⁵ the workflow is gone: nobody is to be told.
//!
//! `Bind` and `Detach` speak of a token: one that is not, or no longer, the approval's changes nothing.

mod people;
mod refusal;
mod task;
mod timer;
mod vote;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub(super) use self::vote::{Assume, Ballot, cast};
pub use self::{refusal::Refusal, vote::Choice};
use super::{
    Approval, ApprovalId, ApproverSet, Delivery, DeliveryState, Person, Principal, Request, Status, Task, TaskState,
    TaskToken, Vote,
};

/// Something that is to be done to an approval.
#[derive(Debug, Clone)]
pub enum Command {
    /// A person decides.
    Vote {
        /// Who, with their groups.
        by: Person,
        /// What.
        choice: Choice,
        /// Why; may be empty.
        comment: String,
        /// JSON text for the workflow.
        response: Option<String>,
        /// Only if this is still the etag.
        etag: Option<String>,
        /// The service that acts for them.
        cast_by: Option<Principal>,
    },
    /// A person takes their vote back.
    Withdraw {
        /// Who, with their groups.
        by: Person,
        /// Why; may be empty.
        comment: String,
    },
    /// A person takes it in hand.
    Claim {
        /// Who, with their groups.
        by: Person,
        /// When the claim lapses.
        until: Timestamp,
    },
    /// It is to be in nobody's hand.
    Release {
        /// By whom.
        by: Principal,
        /// Whether they may release what others have in hand.
        operator: bool,
    },
    /// It is put in somebody's hand.
    Reassign {
        /// By whom, with their groups.
        by: Person,
        /// Whether they may give what they can't approve, or what others have in hand.
        operator: bool,
        /// To whom.
        to: Principal,
        /// Why; may be empty.
        comment: String,
        /// When it lapses.
        until: Timestamp,
    },
    /// Nobody is to vote for a while. For operators.
    Hold {
        /// By whom.
        by: Principal,
        /// Until when; `None`: until it is resumed.
        until: Option<Timestamp>,
        /// Why.
        reason: String,
    },
    /// The hold is over. For operators.
    Resume {
        /// By whom.
        by: Principal,
    },
    /// What comes with time alone is to be done as far as it is due.
    Timer,
    /// Whoever asked, or an operator, does not want a decision any more. The task is told.
    Cancel {
        /// By whom.
        by: Principal,
        /// Whether they may cancel what others asked for.
        operator: bool,
        /// Why.
        reason: String,
    },
    /// The workflow is gone: nobody waits for a decision, and nobody is to be told.
    Abandon {
        /// By whom.
        by: Principal,
        /// How that is known.
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
    /// Somebody took a vote back.
    Withdrawn {
        /// The vote.
        vote: Vote,
        /// Why; may be empty.
        comment: String,
    },
    /// Somebody took it in hand, or kept it there for longer.
    Claimed {
        /// Who.
        by: Principal,
        /// When it lapses.
        until: Timestamp,
    },
    /// It was given to somebody.
    Reassigned {
        /// By whom.
        by: Principal,
        /// To whom.
        to: Principal,
        /// Why; may be empty.
        comment: String,
        /// When it lapses.
        until: Timestamp,
    },
    /// Whoever had it in hand has it no longer: it was released, or lapsed.
    Released {
        /// By whom; `system:timer` where it lapsed.
        by: Principal,
        /// Who had it.
        assignee: Principal,
    },
    /// An operator holds it.
    Held {
        /// By whom.
        by: Principal,
        /// Until when; `None`: until it is resumed.
        until: Option<Timestamp>,
        /// Why.
        reason: String,
    },
    /// The hold is over.
    Resumed {
        /// By whom; `system:timer` where it came to its end.
        by: Principal,
    },
    /// It is time to remind people.
    Reminded {
        /// How many reminders were due by now. Those that were missed together are one.
        number: usize,
    },
    /// More people may approve from now on.
    Escalated {
        /// Who.
        approvers: ApproverSet,
        /// In which stage; empty: in all.
        stage: String,
    },
    /// The rule was met.
    Approved {
        /// By whom.
        by: Vec<Principal>,
        /// The outcome that was named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outcome: Option<String>,
    },
    /// The rule was met.
    Rejected {
        /// By whom.
        by: Vec<Principal>,
        /// The outcome that was named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outcome: Option<String>,
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

/// A new approval, from a task that was understood. Its deadline counts from the state's entered time. That is the task's
/// own word: it neither puts a deadline off, nor brings one forward that approves.
#[must_use]
pub fn create(
    uuid: Uuid,
    request: Request,
    input: Arc<str>,
    task: Task,
    refused_identity: Option<String>,
    now: Timestamp,
) -> Transition {
    let entered = request.source.state_entered.unwrap_or(task.taken);
    let rule = &request.rule;
    let from = if rule.approves(&rule.on_expiry) { entered.max(task.taken) } else { entered.min(task.taken) };
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
        outcome: None,
        assignment: None,
        hold: None,
        reminders: 0,
        escalations: 0,
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
        Command::Vote { by, choice, comment, response, etag, cast_by } => {
            let ballot = Ballot { by, choice, comment, response: response.as_deref(), cast_by: cast_by.as_ref() };
            cast(&mut next, &ballot, etag.as_deref(), Assume::Nothing, now)?
        }
        Command::Withdraw { by, comment } => vote::withdraw(&mut next, by, comment, now)?,
        Command::Claim { by, until } => people::claim(&mut next, by, *until, now)?,
        Command::Release { by, operator } => people::release(&mut next, by, *operator, now)?,
        Command::Reassign { by, operator, to, comment, until } => {
            people::reassign(&mut next, by, *operator, to, comment, *until, now)?
        }
        Command::Hold { by, until, reason } => people::hold(&mut next, by, *until, reason)?,
        Command::Resume { by } => people::resume(&mut next, by)?,
        Command::Timer => timer::ring(&mut next, now)?,
        Command::Cancel { by, operator, reason } => people::cancel(&mut next, by, *operator, reason, now)?,
        Command::Abandon { by, reason } => {
            must_be_pending(state)?;
            finish(&mut next, Status::Canceled, vec![by.clone()], now);
            next.reason = Some(reason.clone());
            next.task.state = TaskState::Closed;
            next.delivery.state = DeliveryState::None;
            vec![Event::Canceled { by: by.clone(), reason: reason.clone() }]
        }
        Command::Bind { token, attempt, heartbeat } => task::bind(&mut next, token, *attempt, *heartbeat, now)?,
        Command::Detach { token, reason } => {
            task::must_be_bound(state, token)?;
            next.task.state = TaskState::Detached;
            next.task.detached = Some(now);
            vec![Event::TaskDetached { reason: reason.clone() }]
        }
        Command::Delivered { token, attempts } => {
            task::settle(&mut next, token, *attempts, DeliveryState::Delivered, now)?;
            next.delivery.last_error = None;
            vec![Event::Delivered]
        }
        Command::Undeliverable { token, attempts, reason } => {
            task::settle(&mut next, token, *attempts, DeliveryState::Undeliverable, now)?;
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

fn finish(next: &mut Approval, status: Status, by: Vec<Principal>, now: Timestamp) {
    next.status = status;
    next.decided = Some(now);
    next.decided_by = by;
    next.assignment = None;
    next.hold = None;
    next.delivery.state = DeliveryState::Recorded;
}

#[cfg(test)]
mod tests;
