//! How what is kept is written down: as JSON, in two parts. What changes is written anew with every change; the request,
//! which never does and may be long, once.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Revision, StoreError};
use crate::approval::{Approval, ApprovalId, Assignment, Delivery, Hold, Principal, Request, Status, Task, Vote};

#[derive(Serialize)]
struct StateRef<'a> {
    version: u64,
    status: Status,
    created: Timestamp,
    updated: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decided: Option<Timestamp>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    votes: &'a [Vote],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    decided_by: &'a [Principal],
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assignment: Option<&'a Assignment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<&'a Hold>,
    #[serde(skip_serializing_if = "is_none_yet")]
    reminders: usize,
    #[serde(skip_serializing_if = "is_none_yet")]
    escalations: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    task: &'a Task,
    delivery: &'a Delivery,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_none_yet(count: &usize) -> bool {
    *count == 0
}

#[derive(Deserialize)]
struct State {
    version: u64,
    status: Status,
    created: Timestamp,
    updated: Timestamp,
    expires: Option<Timestamp>,
    decided: Option<Timestamp>,
    #[serde(default)]
    votes: Vec<Vote>,
    #[serde(default)]
    decided_by: Vec<Principal>,
    outcome: Option<String>,
    assignment: Option<Assignment>,
    hold: Option<Hold>,
    #[serde(default)]
    reminders: usize,
    #[serde(default)]
    escalations: usize,
    reason: Option<String>,
    task: Task,
    delivery: Delivery,
}

#[derive(Deserialize)]
struct VotesOnly {
    #[serde(default)]
    votes: Vec<Vote>,
}

#[derive(Deserialize)]
struct TaskOnly {
    task: Task,
}

/// The part of an approval that changes.
pub(super) fn encode_state(approval: &Approval) -> Result<String, StoreError> {
    // Without `..`: a new field has to find its place here.
    let Approval {
        id: _,
        version,
        revision: _,
        status,
        request: _,
        input: _,
        created,
        updated,
        expires,
        decided,
        votes,
        decided_by,
        outcome,
        assignment,
        hold,
        reminders,
        escalations,
        reason,
        task,
        delivery,
    } = approval;
    encode(&StateRef {
        version: *version,
        status: *status,
        created: *created,
        updated: *updated,
        expires: *expires,
        decided: *decided,
        votes,
        decided_by,
        outcome: outcome.as_deref(),
        assignment: assignment.as_ref(),
        hold: hold.as_ref(),
        reminders: *reminders,
        escalations: *escalations,
        reason: reason.as_deref(),
        task,
        delivery,
    })
}

/// An approval, of its parts.
pub(super) fn decode_approval(
    id: ApprovalId,
    revision: Revision,
    state: &str,
    request: Arc<Request>,
    input: Arc<str>,
) -> Result<Approval, StoreError> {
    let state: State = decode(state)?;
    Ok(Approval {
        id,
        version: state.version,
        revision,
        status: state.status,
        request,
        input,
        created: state.created,
        updated: state.updated,
        expires: state.expires,
        decided: state.decided,
        votes: state.votes,
        decided_by: state.decided_by,
        outcome: state.outcome,
        assignment: state.assignment,
        hold: state.hold,
        reminders: state.reminders,
        escalations: state.escalations,
        reason: state.reason,
        task: state.task,
        delivery: state.delivery,
    })
}

/// The response of somebody's vote, in a state after it.
pub(super) fn decode_response(state: &str, voter: &str) -> Result<Option<String>, StoreError> {
    let votes = decode::<VotesOnly>(state)?.votes;
    // The newest is last: who votes in several stages has several.
    Ok(votes.into_iter().rev().find(|vote| vote.voter.as_str() == voter).and_then(|vote| vote.response))
}

/// The task alone.
pub(super) fn decode_task(state: &str) -> Result<Task, StoreError> {
    decode::<TaskOnly>(state).map(|state| state.task)
}

/// Anything that is kept whole.
pub(super) fn encode(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Unavailable(error.into()))
}

/// What [`encode`] wrote.
pub(super) fn decode<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt(error.into()))
}
