//! What a watch knows over its connections, without any I/O.
//!
//! | in                                   | resume token | out                                            |
//! |--------------------------------------|--------------|------------------------------------------------|
//! | message                              | its own      | its event; before it Reset, if one is due      |
//! | lost, with a token                   | kept         | Disconnected; open again after a wait          |
//! | lost in a snapshot                   | none         | the same; Reset is due if anything was told    |
//! | REVISION_COMPACTED, with a token     | dropped      | open again at once; Reset is due               |
//! | RESUME_TOKEN_INVALID, token our own  | dropped      | open again at once; Reset is due               |
//! | UNAUTHENTICATED, once after a        | kept         | Disconnected; open again after a wait, with a  |
//! | message, credentials renewable       |              | new token                                      |
//! | an error that a new try won't mend   |              | the error, and the end                         |

use std::{sync::Arc, time::Duration};

use approve_proto::v1::{StreamPendingApprovalsResponse, stream_pending_approvals_response::Change};
use tonic::Code;

use super::WatchEvent;
use crate::{Error, Reason, backoff::Backoff};

#[derive(Debug)]
pub(crate) struct Session {
    token: Option<String>,
    /// Whether the token is the caller's, and nothing has come since.
    token_given: bool,
    /// Whether the consumer holds something that a snapshot would have to replace.
    told: bool,
    reset_due: bool,
    /// Whether an UNAUTHENTICATED may be no more than an old token.
    may_renew: bool,
    renewable: bool,
    backoff: Backoff,
}

/// How to go on after a connection was lost.
#[derive(Debug)]
pub(crate) enum Next {
    /// Open a new stream at once.
    Reopen,
    /// Tell this event, wait, then open a new stream.
    Wait(WatchEvent, Duration),
    /// End with this error.
    Fail(Error),
}

impl Session {
    /// `renewable`: whether the caller's credentials may be others later.
    pub(crate) fn new(token: Option<String>, renewable: bool, backoff: Backoff) -> Self {
        Self {
            token_given: token.is_some(),
            // Whoever resumes holds what came before the token.
            told: token.is_some(),
            token,
            reset_due: false,
            may_renew: false,
            renewable,
            backoff,
        }
    }

    /// Where a new stream goes on; `None`: with a snapshot.
    pub(crate) fn resume_token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Takes a message; returns what it tells, in order.
    pub(crate) fn message(
        &mut self,
        message: StreamPendingApprovalsResponse,
    ) -> impl Iterator<Item = WatchEvent> + use<> {
        self.backoff.reset();
        self.may_renew = self.renewable;
        let reset = std::mem::take(&mut self.reset_due).then(|| {
            self.told = false;
            WatchEvent::Reset
        });
        if !message.resume_token.is_empty() {
            self.token = Some(message.resume_token);
            self.token_given = false;
        }
        let event = match message.change {
            Some(Change::Upserted(approval)) => Some(WatchEvent::Upserted(Box::new(approval))),
            Some(Change::Removed(removed)) => {
                Some(WatchEvent::Removed { status: removed.status(), id: removed.id, revision: removed.revision })
            }
            Some(Change::Bookmark(bookmark)) => {
                bookmark.synced.then_some(WatchEvent::Synced { revision: bookmark.revision })
            }
            // A kind of change that a newer server knows.
            None => None,
        };
        self.told |= event.is_some();
        reset.into_iter().chain(event)
    }

    /// Takes the end of a connection, or that none could be made. `jitter` is in 0..=1.
    pub(crate) fn lost(&mut self, cause: Error, jitter: f64) -> Next {
        if self.token.is_some() && self.token_is_useless(&cause) {
            self.token = None;
            self.reset_due = self.told;
            return Next::Reopen;
        }
        let renew = cause.code() == Code::Unauthenticated && std::mem::take(&mut self.may_renew);
        if !renew && !may_pass(&cause) {
            return Next::Fail(cause);
        }
        if self.token.is_none() {
            self.reset_due = self.told;
        }
        let retry_in = self.backoff.next(jitter, cause.retry_delay());
        let event = WatchEvent::Disconnected { cause: Arc::new(cause), retry_in };
        Next::Wait(event, retry_in)
    }

    fn token_is_useless(&self, cause: &Error) -> bool {
        match cause.reason() {
            Some(Reason::RevisionCompacted) => cause.code() == Code::OutOfRange,
            // A token of our own that is refused means another server, or one that was set up anew. A token that the
            // caller brought is the caller's mistake.
            Some(Reason::ResumeTokenInvalid) => !self.token_given,
            _ => false,
        }
    }
}

/// Whether opening the stream again may go better.
fn may_pass(error: &Error) -> bool {
    match error {
        Error::Credentials { .. } | Error::Connect { .. } | Error::ConnectionLost { .. } | Error::Timeout { .. } => {
            true
        }
        Error::Config { .. } | Error::Protocol { .. } => false,
        Error::Refused(refusal) => match refusal.code {
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::Internal
            | Code::Unavailable => true,
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::DataLoss
            | Code::Unauthenticated => false,
        },
    }
}

/// For a server that ended the stream without saying why.
pub(crate) fn ended() -> Error {
    Error::ConnectionLost { source: "the server ended the stream".into() }
}

#[cfg(test)]
mod tests;
