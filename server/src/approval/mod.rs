//! The domain, pure: no clock, no I/O. `(state, command, now) → (state, events)` or a refusal.

mod answer;
#[cfg(test)]
pub(crate) mod arbitrary;
mod explain;
mod id;
mod machine;
mod members;
mod origin;
#[cfg(test)]
mod properties;
mod request;
mod rule;
mod scope;
mod standing;

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub(crate) use self::members::Members;
pub use self::{
    answer::{
        Answer, ERROR_CANCELED, ERROR_EXPIRED, ERROR_INVALID_REQUEST, ERROR_REJECTED, MAX_CAUSE_CHARS, MAX_OUTPUT_BYTES,
    },
    explain::{Effect, Explanation, StageNeed, explain, explain_rule},
    id::{ApprovalId, NotAPrincipal, NotAnId, Principal, TaskToken},
    machine::{Choice, Command, Event, Refusal, Transition, apply, create, create_invalid},
    origin::{Origin, Via},
    request::{FieldError, Limits, Request, StepDefaults, TaskInput, parse_task_input},
    rule::{
        ApproverSet, Bounds, CommentPolicy, Escalation, ExpiryAction, Freeze, Misfit, Outcome, Person, RejectAction,
        Rule, RuleError, RuleRequest, Stage, StageOrder, StageRequest, Verdict,
    },
    scope::{NotAPattern, Scope, WorkflowPattern},
    standing::{Ineligible, Progress},
};

/// Where an approval stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Waits for people.
    Pending,
    /// The rule was met: approved.
    Approved,
    /// The rule was met: rejected.
    Rejected,
    /// Its own deadline passed.
    Expired,
    /// The workflow is gone, or its requester or an operator canceled it.
    Canceled,
    /// The task asked for something that can't be understood, so nobody was asked.
    Invalid,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Approved, Self::Rejected, Self::Expired, Self::Canceled, Self::Invalid];

    /// Whether nothing can change it any more.
    #[must_use]
    pub fn is_final(self) -> bool {
        self != Self::Pending
    }

    /// Its name in the API and in what goes to the workflow.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Approved => "APPROVED",
            Self::Rejected => "REJECTED",
            Self::Expired => "EXPIRED",
            Self::Canceled => "CANCELED",
            Self::Invalid => "INVALID",
        }
    }
}

/// What a person decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// For it.
    Approve,
    /// Against it.
    Reject,
}

/// How urgent an approval is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Can wait.
    Low,
    /// The default.
    #[default]
    Normal,
    /// Soon.
    High,
    /// Now.
    Urgent,
}

/// One person's decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Who.
    pub voter: Principal,
    /// What.
    pub decision: Decision,
    /// The outcome that they named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// The stages that it may count in, by their places in the rule. None for a rejection.
    #[serde(default = "first_stage")]
    pub stages: Vec<usize>,
    /// Why; may be empty.
    pub comment: String,
    /// JSON text for the workflow.
    pub response: Option<String>,
    /// When.
    pub at: Timestamp,
    /// The service that acted for the voter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cast_by: Option<Principal>,
}

/// That of votes from before there were stages.
fn first_stage() -> Vec<usize> {
    vec![0]
}

/// Who has an approval in hand: until it lapses, only they may vote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// Who.
    pub assignee: Principal,
    /// Who gave it to them, oldest first; empty where they claimed it themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<Principal>,
    /// When it lapses.
    pub until: Timestamp,
}

/// An operator's hold: nobody may vote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Who holds it.
    pub by: Principal,
    /// Until when; `None`: until it is resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: String,
}

/// Where an approval comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The workflow's name here.
    pub workflow: String,
    /// The activity's ARN.
    pub activity_arn: String,
    /// The execution's ARN, where the task said it.
    pub execution_arn: Option<String>,
    /// The state machine's ARN, where the task said it.
    pub state_machine_arn: Option<String>,
    /// The state's name, where the task said it.
    pub state_name: Option<String>,
    /// When the state was entered, where the task said it.
    pub state_entered: Option<Timestamp>,
    /// The task's own key.
    pub key: Option<String>,
}

impl Source {
    /// What makes two tasks the same question: execution, state, entered time and key. A source that lacks one of the
    /// first three has none.
    #[must_use]
    pub fn identity(&self) -> Option<String> {
        let execution = self.execution_arn.as_deref()?;
        let state = self.state_name.as_deref()?;
        let entered = self.state_entered?.as_millisecond();
        let key = self.key.as_deref().unwrap_or("");
        // The separator is in none of the parts: Step Functions allows no control characters in names.
        Some([execution, state, &entered.to_string(), key].join("\u{1f}"))
    }
}

/// How an approval stands with its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Held open by heartbeats.
    Open,
    /// Lost; a retry's task is expected.
    Detached,
    /// Answered, or gone.
    Closed,
}

/// The task that an approval is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// How it stands.
    pub state: TaskState,
    /// What answers it.
    pub token: TaskToken,
    /// When it was taken.
    pub taken: Timestamp,
    /// The state's retry count, as the task told it.
    pub attempt: u32,
    /// How many tasks there have been.
    pub count: u32,
    /// The state's HeartbeatSeconds, where it is known.
    pub heartbeat: Option<SignedDuration>,
    /// When it was lost.
    pub detached: Option<Timestamp>,
}

/// How far the decision is on its way to the workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeliveryState {
    /// Nothing to deliver.
    #[default]
    None,
    /// On disk, on its way.
    Recorded,
    /// Step Functions accepted it.
    Delivered,
    /// Step Functions never will.
    Undeliverable,
}

/// What the workflow has heard.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Delivery {
    /// How far.
    pub state: DeliveryState,
    /// Tries.
    pub attempts: u32,
    /// Why the last one failed.
    pub last_error: Option<String>,
    /// When it was settled.
    pub settled: Option<Timestamp>,
}

/// A task of an activity, kept as something that people decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Its id.
    pub id: ApprovalId,
    /// Counts its changes from 1; the etag.
    pub version: u64,
    /// The store's revision of its last change; 0 until it is stored.
    pub revision: i64,
    /// Where it stands.
    pub status: Status,
    /// What does not change.
    pub request: Arc<Request>,
    /// What is to be decided about: the exact JSON text. Stored beside the document, not in it.
    #[serde(skip, default = "no_input")]
    pub input: Arc<str>,
    /// When it was made.
    pub created: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
    /// Its own deadline.
    pub expires: Option<Timestamp>,
    /// When it became final.
    pub decided: Option<Timestamp>,
    /// Current votes, oldest first.
    pub votes: Vec<Vote>,
    /// Who made it final.
    pub decided_by: Vec<Principal>,
    /// The outcome of its own that was decided.
    #[serde(default)]
    pub outcome: Option<String>,
    /// Who has it in hand. May have lapsed: see [`Approval::in_hand`].
    #[serde(default)]
    pub assignment: Option<Assignment>,
    /// An operator's hold. May have ended: see [`Approval::held`].
    #[serde(default)]
    pub hold: Option<Hold>,
    /// How many of its reminders were due.
    #[serde(default)]
    pub reminders: usize,
    /// How many of its escalations have come.
    #[serde(default)]
    pub escalations: usize,
    /// Why it was canceled, or what was invalid.
    pub reason: Option<String>,
    /// Its task.
    pub task: Task,
    /// What the workflow has heard.
    pub delivery: Delivery,
}

fn no_input() -> Arc<str> {
    Arc::from("")
}

impl Approval {
    /// Opaque to callers; changes with every change.
    #[must_use]
    pub fn etag(&self) -> String {
        self.version.to_string()
    }

    /// Whether its task wants heartbeats: not once it is final, when the answer is on its way.
    #[must_use]
    pub fn wants_heartbeats(&self) -> bool {
        self.status == Status::Pending && self.task.state == TaskState::Open
    }

    /// Whether there is an answer to send, and a task to send it to.
    #[must_use]
    pub fn wants_delivery(&self) -> bool {
        self.delivery.state == DeliveryState::Recorded && self.task.state == TaskState::Open
    }

    /// What its times count from: when the state was entered, which is the task's own word, but not after it was made.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        self.request.source.state_entered.map_or(self.created, |entered| entered.min(self.created))
    }

    /// What the times count from that let more people decide: not before it was made, whatever the task says.
    #[must_use]
    pub fn granting_since(&self) -> Timestamp {
        self.request.source.state_entered.map_or(self.created, |entered| entered.max(self.created))
    }

    /// When something is due that comes with time alone: its deadline, a reminder, an escalation, the end of a hold or
    /// of an assignment.
    #[must_use]
    pub fn timer_due(&self) -> Option<Timestamp> {
        if self.status.is_final() {
            return None;
        }
        let rule = &self.request.rule;
        let reminder = rule.reminders_in_order().get(self.reminders).copied();
        let reminder = reminder.and_then(|after| self.since().checked_add(after).ok());
        let escalation = rule.escalations_in_order().get(self.escalations).map(|next| next.after);
        let escalation = escalation.and_then(|after| self.granting_since().checked_add(after).ok());
        let assignment = self.assignment.as_ref().map(|assignment| assignment.until);
        let hold = self.hold.as_ref().and_then(|hold| hold.until);
        [self.expires, reminder, escalation, assignment, hold].into_iter().flatten().min()
    }
}

/// Free labels.
pub type Labels = BTreeMap<String, String>;
