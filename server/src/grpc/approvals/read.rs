//! Fields of requests.

use jiff::{SignedDuration, Timestamp};
use prost::Message;
use sha2::{Digest as _, Sha256};

use crate::{
    approval::ApprovalId,
    grpc::{convert, status::ApiError},
    operations::text,
    store::RequestKey,
};

pub(super) fn id(text: &str) -> Result<ApprovalId, ApiError> {
    text.parse().map_err(|error: crate::approval::NotAnId| ApiError::field("approval_id", error.to_string()))
}

/// A text that may be empty.
pub(super) fn comment(comment: String) -> Result<String, ApiError> {
    Ok(text("comment", comment)?)
}

/// A text that may not.
pub(super) fn reason(reason: String) -> Result<String, ApiError> {
    if reason.trim().is_empty() {
        return Err(ApiError::field("reason", "expected a reason: say why"));
    }
    Ok(text("reason", reason)?)
}

/// When what lasts from now for a while ends: as long as is asked, within bounds.
pub(super) fn until(
    duration: Option<prost_types::Duration>,
    default: SignedDuration,
    now: Timestamp,
) -> Result<Timestamp, ApiError> {
    let shortest = SignedDuration::from_mins(1);
    let longest = SignedDuration::from_hours(7 * 24);
    let lasts = duration.map(|duration| convert::read_duration("duration", duration)).transpose()?.unwrap_or(default);
    now.checked_add(lasts.clamp(shortest, longest)).map_err(|_| ApiError::field("duration", "expected a shorter one"))
}

/// What makes a call safe to repeat, where it has an id. `body` is what has to be the same then.
pub(super) fn key(id: &str, caller: &str, body: &impl Message) -> Result<Option<RequestKey>, ApiError> {
    if id.is_empty() {
        return Ok(None);
    }
    if id.len() > 128 || !id.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return Err(ApiError::field("request_id", "expected 1 to 128 bytes of printable ASCII"));
    }
    Ok(Some(RequestKey {
        caller: caller.to_owned(),
        id: id.to_owned(),
        fingerprint: Sha256::digest(body.encode_to_vec()).into(),
    }))
}
