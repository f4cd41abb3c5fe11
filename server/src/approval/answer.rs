//! What Step Functions is told of a final approval.

use serde::Serialize;
use serde_json::value::RawValue;

use super::{Approval, Decision, DeliveryState, RejectAction, Status};

/// The longest output that Step Functions takes, in bytes of UTF-8.
pub const MAX_OUTPUT_BYTES: usize = 262_144;
/// The longest cause that Step Functions takes, in characters.
pub const MAX_CAUSE_CHARS: usize = 32_768;

/// The error of a rejected approval's task.
pub const ERROR_REJECTED: &str = "Approval.Rejected";
/// The error of an expired approval's task.
pub const ERROR_EXPIRED: &str = "Approval.Expired";
/// The error of a canceled approval's task.
pub const ERROR_CANCELED: &str = "Approval.Canceled";
/// The error of a task that was not understood.
pub const ERROR_INVALID_REQUEST: &str = "Approval.InvalidRequest";

/// An answer to a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// `SendTaskSuccess`.
    Success {
        /// JSON text.
        output: String,
    },
    /// `SendTaskFailure`.
    Failure {
        /// The error's name.
        error: &'static str,
        /// JSON text.
        cause: String,
    },
}

#[derive(Serialize)]
struct Body<'a> {
    approval_id: &'a str,
    outcome: &'a str,
    status: &'static str,
    decided_by: Vec<&'a str>,
    comment: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    decided_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct InvalidBody<'a> {
    approval_id: &'a str,
    outcome: &'static str,
    status: &'static str,
    reason: &'a str,
}

impl Answer {
    /// The answer for an approval; `None` while there is none: it is pending, or nobody is listening.
    #[must_use]
    pub fn of(approval: &Approval) -> Option<Self> {
        match approval.status {
            Status::Pending => None,
            Status::Canceled => {
                (approval.delivery.state != DeliveryState::None).then(|| Self::failure(approval, ERROR_CANCELED))
            }
            Status::Approved => Some(Self::output(approval)),
            Status::Rejected => Some(match approval.request.rule.on_reject {
                RejectAction::Output => Self::output(approval),
                RejectAction::Fail => Self::failure(approval, ERROR_REJECTED),
            }),
            Status::Expired => Some(Self::failure(approval, ERROR_EXPIRED)),
            Status::Invalid => Some(Self::Failure {
                error: ERROR_INVALID_REQUEST,
                cause: to_json(&InvalidBody {
                    approval_id: approval.id.as_str(),
                    outcome: approval.status.name(),
                    status: approval.status.name(),
                    reason: approval.reason.as_deref().unwrap_or(""),
                }),
            }),
        }
    }

    fn output(approval: &Approval) -> Self {
        Self::Success { output: within(approval, |text| text.len() <= MAX_OUTPUT_BYTES) }
    }

    fn failure(approval: &Approval, error: &'static str) -> Self {
        let cause = within(approval, |text| text.len() <= MAX_CAUSE_CHARS || text.chars().count() <= MAX_CAUSE_CHARS);
        Self::Failure { error, cause }
    }
}

/// The decision as JSON text that fits: without the input if it must be, then without the response, then with a
/// shorter comment.
fn within(approval: &Approval, fits: impl Fn(&str) -> bool) -> String {
    let decisive = decisive_vote(approval);
    let comment = decisive.map_or("", |vote| vote.comment.as_str());
    let mut body = Body {
        approval_id: approval.id.as_str(),
        outcome: approval.outcome.as_deref().unwrap_or(approval.status.name()),
        status: approval.status.name(),
        reason: approval.reason.as_deref(),
        decided_by: approval.decided_by.iter().map(|who| who.as_str()).collect(),
        comment,
        decided_at: approval.decided.map(|at| at.to_string()),
        response: decisive.and_then(|vote| vote.response.as_deref()).and_then(|text| serde_json::from_str(text).ok()),
        input: serde_json::from_str(&approval.input).ok(),
    };
    let whole = to_json(&body);
    if fits(&whole) {
        return whole;
    }
    body.input = None;
    let without_input = to_json(&body);
    if fits(&without_input) {
        return without_input;
    }
    body.response = None;
    body.comment = comment.char_indices().nth(1_000).map_or(comment, |(end, _)| comment.get(..end).unwrap_or(comment));
    body.decided_by.truncate(20);
    to_json(&body)
}

/// The vote that made the approval final: the last one for its outcome.
fn decisive_vote(approval: &Approval) -> Option<&super::Vote> {
    let decision = match approval.status {
        Status::Approved => Decision::Approve,
        Status::Rejected => Decision::Reject,
        Status::Pending | Status::Expired | Status::Canceled | Status::Invalid => return None,
    };
    let decider = approval.decided_by.last()?;
    approval.votes.iter().rev().find(|vote| vote.decision == decision && vote.voter == *decider)
}

fn to_json(body: &impl Serialize) -> String {
    // Strings, numbers and raw JSON: nothing in it can fail to serialise.
    serde_json::to_string(body).unwrap_or_else(|_| "{}".to_owned())
}
