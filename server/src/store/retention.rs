//! What leaves a store for good: the beginning of the log, and finished approvals whose events are all in it.

use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    Revision, StoreError,
    codec::{decode_task, encode, encode_state},
};
use crate::{
    approval::{Approval, ApprovalId, TaskToken},
    audit,
};

/// A part of the log that may go: all of its events are old enough, and it begins where the log does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OldEvents {
    /// The oldest event that is kept.
    pub first: Revision,
    /// The last that may go.
    pub last: Revision,
}

/// The line of an approval in the archive. Its votes' responses are in its state; its task token is not.
#[derive(Serialize)]
struct Line<'a> {
    approval: &'a ApprovalId,
    revision: Revision,
    request: Box<RawValue>,
    input: &'a str,
    state: Box<RawValue>,
}

/// An approval as a line of JSON, without the end of the line.
///
/// # Errors
/// None that are known.
pub fn line(approval: &Approval) -> Result<String, StoreError> {
    let raw = |text: String| RawValue::from_string(text).map_err(StoreError::corrupt);
    // An archive is read by people: no token leaves the server.
    let mut told = approval.clone();
    told.task.token = TaskToken::from(String::new());
    let line = Line {
        approval: &approval.id,
        revision: approval.revision,
        request: raw(audit::harmless(&decoded(&encode(&*approval.request)?)?).map_err(StoreError::corrupt)?)?,
        input: &approval.input,
        state: raw(audit::harmless(&decoded(&encode_state(&told)?)?).map_err(StoreError::corrupt)?)?,
    };
    audit::harmless(&line).map_err(StoreError::corrupt)
}

fn decoded(text: &str) -> Result<serde_json::Value, StoreError> {
    serde_json::from_str(text).map_err(StoreError::corrupt)
}

/// The digests of the tokens of these states, each once.
pub(super) fn tokens<'a>(states: impl IntoIterator<Item = &'a str>) -> Result<Vec<String>, StoreError> {
    let digests: Result<std::collections::BTreeSet<_>, _> =
        states.into_iter().map(|state| decode_task(state).map(|task| task.token.digest())).collect();
    digests.map(|digests| digests.into_iter().collect())
}
