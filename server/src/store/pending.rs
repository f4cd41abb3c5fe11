//! One of a snapshot, as the store holds it: understood only as far as it is asked for, as there are so many.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use super::{
    Revision, StoreError,
    codec::{decode, decode_approval},
};
use crate::approval::{Approval, ApprovalId, DeliveryState, Priority, Rule, Status, TaskState};

/// An approval that was pending.
#[derive(Debug, Clone)]
pub struct Pending(Form);

#[derive(Debug, Clone)]
enum Form {
    Read(Arc<Approval>),
    Written { id: ApprovalId, revision: Revision, state: Box<str>, request: Box<str>, input: Arc<str> },
}

impl From<Arc<Approval>> for Pending {
    fn from(approval: Arc<Approval>) -> Self {
        Self(Form::Read(approval))
    }
}

impl Pending {
    /// Of what [`codec`](super::codec) wrote.
    pub(super) fn written(
        id: ApprovalId,
        revision: Revision,
        state: Box<str>,
        request: Box<str>,
        input: Arc<str>,
    ) -> Self {
        Self(Form::Written { id, revision, state, request, input })
    }

    /// One as it is written.
    #[cfg(test)]
    pub(crate) fn of(approval: &Approval) -> Self {
        let state = super::codec::encode_state(approval).unwrap().into();
        let request = super::codec::encode(&approval.request).unwrap().into();
        Self::written(approval.id.clone(), approval.revision, state, request, Arc::clone(&approval.input))
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &ApprovalId {
        match &self.0 {
            Form::Read(approval) => &approval.id,
            Form::Written { id, .. } => id,
        }
    }

    /// What is to be decided about.
    #[must_use]
    pub fn input(&self) -> &str {
        match &self.0 {
            Form::Read(approval) => &approval.input,
            Form::Written { input, .. } => input,
        }
    }

    /// The approval.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where what is kept can't be read.
    pub fn read(&self) -> Result<Arc<Approval>, StoreError> {
        match &self.0 {
            Form::Read(approval) => Ok(Arc::clone(approval)),
            Form::Written { id, revision, state, request, input } => {
                decode_approval(id.clone(), *revision, state, decode(request)?, Arc::clone(input)).map(Arc::new)
            }
        }
    }

    /// The approval without a copy of its texts, where nothing has happened to it yet but that it was asked; `None` for
    /// any other.
    pub(crate) fn outline(&self) -> Option<Outline<'_>> {
        let Form::Written { id, revision, state, request, input } = &self.0 else { return None };
        // What can't be read is met again by who reads the approval.
        let state: UntouchedState<'_> = serde_json::from_str(state).ok()?;
        let request = serde_json::from_str(request).ok()?;
        state.is_untouched().then_some(Outline { id, revision: *revision, state, request, input })
    }
}

/// An approval to which nothing has happened yet, in the words of the record. See [`Approval`] for its fields.
#[derive(Debug)]
pub(crate) struct Outline<'a> {
    pub(crate) id: &'a ApprovalId,
    pub(crate) revision: Revision,
    pub(crate) state: UntouchedState<'a>,
    pub(crate) request: RequestText<'a>,
    pub(crate) input: &'a str,
}

/// What changes of an approval, as long as most of it is not there.
#[derive(Debug, Deserialize)]
pub(crate) struct UntouchedState<'a> {
    pub(crate) version: u64,
    status: Status,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) task: TaskText,
    delivery: DeliveryText,
    decided: Option<IgnoredAny>,
    votes: Option<IgnoredAny>,
    decided_by: Option<IgnoredAny>,
    outcome: Option<IgnoredAny>,
    assignment: Option<IgnoredAny>,
    hold: Option<IgnoredAny>,
    #[serde(borrow)]
    reason: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct TaskText {
    pub(crate) state: TaskState,
    pub(crate) attempt: u32,
    pub(crate) count: u32,
}

#[derive(Debug, Deserialize)]
struct DeliveryText {
    state: DeliveryState,
    attempts: u32,
    last_error: Option<IgnoredAny>,
    settled: Option<IgnoredAny>,
}

impl UntouchedState<'_> {
    fn is_untouched(&self) -> bool {
        let Self { status, delivery, decided, votes, decided_by, outcome, assignment, hold, reason, .. } = self;
        let things = [decided, votes, decided_by, outcome, assignment, hold, &delivery.last_error, &delivery.settled];
        *status == Status::Pending
            && delivery.state == DeliveryState::None
            && delivery.attempts == 0
            && reason.is_none()
            && things.into_iter().all(Option::is_none)
    }
}

/// What an approval was asked with.
#[derive(Debug, Deserialize)]
pub(crate) struct RequestText<'a> {
    #[serde(borrow)]
    pub(crate) title: Text<'a>,
    #[serde(borrow)]
    pub(crate) description: Text<'a>,
    #[serde(borrow)]
    pub(crate) requester: Option<Text<'a>>,
    #[serde(borrow)]
    rule: &'a RawValue,
    #[serde(borrow, default)]
    pub(crate) rule_version: Text<'a>,
    #[serde(borrow)]
    pub(crate) source: SourceText<'a>,
    #[serde(borrow)]
    pub(crate) labels: BTreeMap<Text<'a>, Text<'a>>,
    pub(crate) priority: Priority,
}

impl RequestText<'_> {
    /// The rule, in writing: the same text is the same rule.
    pub(crate) fn rule_text(&self) -> &str {
        self.rule.get()
    }

    pub(crate) fn rule(&self) -> Result<Rule, StoreError> {
        decode(self.rule.get())
    }
}

/// Where it comes from.
#[derive(Debug, Deserialize)]
pub(crate) struct SourceText<'a> {
    #[serde(borrow)]
    pub(crate) workflow: Text<'a>,
    #[serde(borrow)]
    pub(crate) activity_arn: Text<'a>,
    #[serde(borrow)]
    pub(crate) execution_arn: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) state_machine_arn: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) state_name: Option<Text<'a>>,
    pub(crate) state_entered: Option<Timestamp>,
    #[serde(borrow)]
    pub(crate) key: Option<Text<'a>>,
}

/// A text, borrowed where it is written without escapes.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);
