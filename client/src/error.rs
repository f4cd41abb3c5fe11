use std::{collections::BTreeMap, fmt, time::Duration};

use approve_proto::ERROR_DOMAIN;
use tonic::{Code, Status, TimeoutExpired};
use tonic_types::StatusExt;

use crate::Reason;

pub(crate) type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The client can't be made from this configuration, or a request can't be made from these values.
    #[error("{what}")]
    Config {
        /// What is wrong, and with which value.
        what: String,
    },
    /// The caller's credentials could not be had. Nothing was sent.
    #[error("{what}")]
    Credentials {
        /// What was tried.
        what: String,
        /// What the file system, or the callback, said.
        source: Source,
    },
    /// No connection to the server could be made. Nothing was sent.
    #[error("can't connect to {server}")]
    Connect {
        /// The server's URL.
        server: String,
        /// What the transport said.
        source: Source,
    },
    /// The connection was lost during a call. Whether the call had an effect is not known.
    #[error("lost the connection to the server")]
    ConnectionLost {
        /// What the transport said.
        source: Source,
    },
    /// The call's deadline passed. Whether the call had an effect is not known.
    #[error("no answer within {}", Seconds(*.after))]
    Timeout {
        /// The deadline.
        after: Duration,
    },
    /// The server answered with an error.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// The server's answer lacks what the API promises.
    #[error("the server's answer has no {missing}")]
    Protocol {
        /// The field that is missing.
        missing: &'static str,
    },
}

/// An error that the server answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The gRPC code.
    pub code: Code,
    /// The reason, if one of the API's was sent.
    pub reason: Option<Reason>,
    /// For people.
    pub message: String,
    /// What the reason comes with; which keys, its documentation says.
    pub metadata: BTreeMap<String, String>,
    /// Which fields of the request are wrong.
    pub field_violations: Vec<FieldViolation>,
    /// How long the server asks to wait before the same call is tried again. Absent: it did not say.
    pub retry_delay: Option<Duration>,
}

/// One field of a request that the server did not accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    /// The field's path in the request, such as `spec.rule.required_approvals`.
    pub field: String,
    /// What is wrong with it, for people.
    pub description: String,
}

impl Error {
    /// The gRPC code: the server's, or for an error made here the one that fits.
    pub fn code(&self) -> Code {
        match self {
            Self::Config { .. } => Code::InvalidArgument,
            Self::Credentials { .. } => Code::Unauthenticated,
            Self::Connect { .. } | Self::ConnectionLost { .. } => Code::Unavailable,
            Self::Timeout { .. } => Code::DeadlineExceeded,
            Self::Refused(refusal) => refusal.code,
            Self::Protocol { .. } => Code::Internal,
        }
    }

    /// The reason that the server gave.
    pub fn reason(&self) -> Option<&Reason> {
        self.refusal().and_then(|refusal| refusal.reason.as_ref())
    }

    /// The server's answer, if this is one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// One value of the metadata that comes with the reason.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.refusal()?.metadata.get(key).map(String::as_str)
    }

    /// The fields of the request that the server did not accept; empty if it named none.
    pub fn field_violations(&self) -> &[FieldViolation] {
        self.refusal().map_or(&[], |refusal| &refusal.field_violations)
    }

    /// How long the server asks to wait before the same call is tried again.
    pub fn retry_delay(&self) -> Option<Duration> {
        self.refusal()?.retry_delay
    }

    /// Whether the same call may succeed later. It says nothing about side effects: a call that is not idempotent may
    /// have had its effect although it failed so.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Credentials { .. } | Self::Connect { .. } | Self::ConnectionLost { .. } | Self::Timeout { .. } => {
                true
            }
            Self::Refused(refusal) => refusal.retry_delay.is_some() || refusal.code == Code::Unavailable,
            Self::Config { .. } | Self::Protocol { .. } => false,
        }
    }

    /// Sorts what tonic reports into an answer of the server, a lost connection, and a passed deadline.
    pub(crate) fn from_status(mut status: Status, deadline: Duration) -> Self {
        match Origin::of(&status) {
            Origin::Deadline => Self::Timeout { after: deadline },
            Origin::Connect => Self::Connect { server: "the server".into(), source: status.into() },
            Origin::Transport => Self::ConnectionLost { source: status.into() },
            Origin::Server => {
                let details = status.get_error_details();
                status.metadata_mut().clear();
                let info = details.error_info();
                Self::Refused(Box::new(Refusal {
                    code: status.code(),
                    reason: info.map(|info| {
                        if info.domain == ERROR_DOMAIN {
                            Reason::from(info.reason.as_str())
                        } else {
                            Reason::Other(info.reason.clone())
                        }
                    }),
                    message: status.message().to_owned(),
                    metadata: info.map(|info| info.metadata.clone().into_iter().collect()).unwrap_or_default(),
                    field_violations: details
                        .bad_request()
                        .map(|bad| {
                            bad.field_violations
                                .iter()
                                .map(|violation| FieldViolation {
                                    field: violation.field.clone(),
                                    description: violation.description.clone(),
                                })
                                .collect()
                        })
                        .unwrap_or_default(),
                    retry_delay: details.retry_info().and_then(|info| info.retry_delay),
                }))
            }
        }
    }

    pub(crate) fn config(what: impl Into<String>) -> Self {
        Self::Config { what: what.into() }
    }

    pub(crate) fn at(self, url: &str) -> Self {
        match self {
            Self::Connect { source, .. } => Self::Connect { server: url.to_owned(), source },
            other => other,
        }
    }
}

/// Who made a status.
enum Origin {
    Server,
    Transport,
    Connect,
    Deadline,
}

impl Origin {
    /// A status from the wire has no source; one made on this side of it has.
    fn of(status: &Status) -> Self {
        let mut source = std::error::Error::source(status);
        if source.is_none() {
            // What tonic makes of a stream that ends without a status. The server's own errors have details.
            return if status.code() == Code::Unknown && status.details().is_empty() {
                Self::Transport
            } else if matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled) {
                // The latter is what a server says that noticed first: nobody here has cancelled.
                Self::Deadline
            } else {
                Self::Server
            };
        }
        while let Some(error) = source {
            if error.is::<TimeoutExpired>() {
                return Self::Deadline;
            }
            if error.is::<tonic::ConnectError>() {
                return Self::Connect;
            }
            source = error.source();
        }
        Self::Transport
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() {
            match &self.reason {
                Some(reason) => write!(f, "{reason}"),
                None => write!(f, "{}", self.code),
            }
        } else {
            f.write_str(&self.message)
        }
    }
}

impl std::error::Error for Refusal {}

struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    const DEADLINE: Duration = Duration::from_millis(1500);

    #[test]
    fn an_answer_of_the_server_keeps_all_that_it_said() {
        let mut details = ErrorDetails::with_error_info(
            "ALREADY_DECIDED",
            ERROR_DOMAIN,
            [("status".to_owned(), "APPROVED".to_owned())],
        );
        details.add_bad_request_violation("comment", "too long");
        details.set_retry_info(Some(Duration::from_secs(3)));
        let status = Status::with_error_details(Code::FailedPrecondition, "it is final", details);

        let error = Error::from_status(status, DEADLINE);

        assert_eq!(error.code(), Code::FailedPrecondition);
        assert_eq!(error.reason(), Some(&Reason::AlreadyDecided));
        assert_eq!(error.metadata("status"), Some("APPROVED"));
        assert_eq!(error.field_violations()[0].field, "comment");
        assert_eq!(error.retry_delay(), Some(Duration::from_secs(3)));
        assert!(error.is_retryable());
        assert_eq!(error.to_string(), "it is final");
    }

    #[test]
    fn a_reason_of_another_domain_is_not_ours() {
        let details = ErrorDetails::with_error_info("INTERNAL", "proxy.example", []);
        let error = Error::from_status(Status::with_error_details(Code::Internal, "x", details), DEADLINE);
        assert_eq!(error.reason(), Some(&Reason::Other("INTERNAL".into())));
        assert!(!error.is_retryable());
    }

    #[test]
    fn a_status_made_on_this_side_is_a_lost_connection() {
        let status = Status::from_error("connection reset".into());
        let error = Error::from_status(status, DEADLINE);
        assert!(matches!(error, Error::ConnectionLost { .. }));
        assert!(error.is_retryable());
        assert_eq!(error.reason(), None);
    }

    #[test]
    fn a_passed_deadline_is_a_timeout_whoever_noticed() {
        let noticed_there = Status::cancelled("Timeout expired");
        let noticed_here = Status::from_error(TimeoutExpired(()).into());
        for status in [noticed_here, noticed_there, Status::deadline_exceeded("too late")] {
            let error = Error::from_status(status, DEADLINE);
            assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
            assert_eq!(error.to_string(), "no answer within 1.5 s");
        }
    }
}
