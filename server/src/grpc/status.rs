//! The only map from what goes wrong to `tonic::Status`: exhaustive, so that a new error has to find its place here.

use std::{collections::HashMap, time::Duration};

use approve_proto::ERROR_DOMAIN;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};
use tracing::error;

use crate::{
    approval::Refusal,
    auth::AuthError,
    operations::OperationError,
    provision::ProvisionError,
    stepfunctions::{CallError, Failure},
    store::StoreError,
    watch::WatchError,
    workflows::ProvisionerError,
};

/// Everything that a call can fail with.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Watch(#[from] WatchError),
    #[error(transparent)]
    Aws(#[from] CallError),
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    #[error("{field}: {problem}")]
    Field { field: String, problem: String },
    #[error("no approval has the id {0}; one that finished may have been archived")]
    ApprovalNotFound(String),
    #[error("{prefix} fits several approvals")]
    AmbiguousId { prefix: String, matches: Vec<String> },
    #[error("the request id was used with another body")]
    KeyReused,
    #[error("the page token is of another query, or not of this server's making")]
    PageToken,
    #[error("the resume token is of another filter, or not of this server's making")]
    ResumeToken,
    #[error("no workflow has the name {0:?}")]
    WorkflowNotFound(String),
    #[error("{pending} approvals of the workflow are pending")]
    ApprovalsPending { pending: u64 },
    #[error("the workflow {0} is provisioned by code and only attached here; change it there, and attach it again")]
    WorkflowAttached(String),
    #[error("no execution has the ARN {0}")]
    ExecutionNotFound(String),
    #[error("an execution of that name exists with other input, or has ended")]
    ExecutionExists,
    #[error("an API token named {0:?} is alive; revoke it first, or choose another name")]
    ApiTokenExists(String),
    #[error("no API token has the name {0:?}")]
    ApiTokenNotFound(String),
    #[error("the deadline passed; what was asked for may have been done, or may be done yet")]
    DeadlineExceeded,
    #[error("the store does not answer")]
    StoreAway,
    #[error("the server is shutting down")]
    ShuttingDown,
}

impl ApiError {
    pub(super) fn field(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Field { field: field.into(), problem: problem.into() }
    }
}

impl From<OperationError> for ApiError {
    fn from(error: OperationError) -> Self {
        match error {
            OperationError::Auth(error) => Self::Auth(error),
            OperationError::Refused(refusal) => Self::Refused(refusal),
            OperationError::Store(error) => Self::Store(error),
            OperationError::Field { field, problem } => Self::field(field, problem),
            OperationError::KeyReused => Self::KeyReused,
            OperationError::NotFound(id) => Self::ApprovalNotFound(id.to_string()),
        }
    }
}

impl From<ProvisionerError> for ApiError {
    fn from(error: ProvisionerError) -> Self {
        match error {
            ProvisionerError::Provision(error) => Self::Provision(error),
            ProvisionerError::Store(error) => Self::Store(error),
            ProvisionerError::Pending { pending, .. } => Self::ApprovalsPending { pending },
            ProvisionerError::Attached(name) => Self::WorkflowAttached(name),
        }
    }
}

/// How soon a caller may try again.
const RETRY: Duration = Duration::from_millis(500);

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Self {
        let message = error.to_string();
        let mut report = Report::default();
        let code = match error {
            ApiError::Auth(error) => auth(error, &mut report),
            ApiError::Refused(refusal) => refused(refusal, &mut report),
            ApiError::Store(error) => store(&error, &mut report),
            ApiError::Watch(error) => watch(error, &mut report),
            ApiError::Aws(error) => aws(&error, &mut report),
            ApiError::Provision(error) => provision(error, &mut report),
            ApiError::Field { field, problem } => report.field("INVALID_FIELD", field, problem),
            ApiError::ApprovalNotFound(id) => {
                report.reason("APPROVAL_NOT_FOUND").with("approval_id", id);
                Code::NotFound
            }
            ApiError::AmbiguousId { prefix, matches } => {
                report.reason("AMBIGUOUS_ID").with("matches", matches.join(","));
                report.violation("approval_id", format!("{prefix} fits several approvals"));
                Code::InvalidArgument
            }
            ApiError::KeyReused => {
                report.field("REQUEST_ID_REUSED", "request_id", "was used with another body; make a new one")
            }
            ApiError::PageToken => report.field(
                "PAGE_TOKEN_INVALID",
                "page_token",
                "take it from the page before, with the same filter, statuses and order; or start without one",
            ),
            ApiError::ResumeToken => report.field(
                "RESUME_TOKEN_INVALID",
                "resume_token",
                "take it from a response of a stream with the same filter; or start without one",
            ),
            ApiError::WorkflowNotFound(name) => {
                report.reason("WORKFLOW_NOT_FOUND").with("workflow", name);
                Code::NotFound
            }
            ApiError::ApprovalsPending { pending } => {
                report.reason("APPROVALS_PENDING").with("pending", pending);
                Code::FailedPrecondition
            }
            ApiError::WorkflowAttached(name) => {
                report.reason("WORKFLOW_ATTACHED").with("workflow", name);
                Code::FailedPrecondition
            }
            ApiError::ExecutionNotFound(arn) => {
                report.reason("EXECUTION_NOT_FOUND").with("execution", arn);
                Code::NotFound
            }
            ApiError::ExecutionExists => {
                report.reason("EXECUTION_ALREADY_EXISTS");
                Code::AlreadyExists
            }
            ApiError::ApiTokenExists(name) => {
                report.reason("API_TOKEN_EXISTS").with("name", name);
                Code::AlreadyExists
            }
            ApiError::ApiTokenNotFound(name) => {
                report.reason("API_TOKEN_NOT_FOUND").with("name", name);
                Code::NotFound
            }
            ApiError::DeadlineExceeded => {
                report.reason("DEADLINE_EXCEEDED");
                Code::DeadlineExceeded
            }
            ApiError::StoreAway => {
                report.reason("STORE_UNAVAILABLE").retry();
                Code::Unavailable
            }
            ApiError::ShuttingDown => {
                report.reason("SHUTTING_DOWN").retry();
                Code::Unavailable
            }
        };
        report.into_status(code, message)
    }
}

fn auth(error: AuthError, report: &mut Report) -> Code {
    match error {
        AuthError::Missing
        | AuthError::NothingShown(_)
        | AuthError::Malformed { .. }
        | AuthError::NotBelieved(_)
        | AuthError::Refused(_) => {
            report.reason("UNAUTHENTICATED");
            Code::Unauthenticated
        }
        AuthError::Undecided(_) => {
            report.reason("IDENTITY_UNAVAILABLE").retry();
            Code::Unavailable
        }
        AuthError::Permission(permission) => {
            report.reason("PERMISSION_MISSING").with("permission", permission.name());
            Code::PermissionDenied
        }
        AuthError::Limit { limit, retry_after } => {
            report.reason("LIMIT_EXCEEDED").with("limit", limit).retry_after(retry_after);
            Code::ResourceExhausted
        }
    }
}

fn refused(refusal: Refusal, report: &mut Report) -> Code {
    report.reason(refusal.reason());
    match refusal {
        Refusal::AlreadyDecided { status, by, at } => {
            let by: Vec<_> = by.iter().map(|who| who.as_str()).collect();
            report.with("status", status.name()).with("decided_by", by.join(","));
            if let Some(at) = at {
                report.with("decided_at", at);
            }
            Code::FailedPrecondition
        }
        Refusal::OnHold { until, reason } => {
            if let Some(until) = until {
                report.with("until", until);
            }
            report.with("reason", reason);
            Code::FailedPrecondition
        }
        Refusal::Claimed { assignee, until } => {
            report.with("assignee", assignee).with("until", until);
            Code::FailedPrecondition
        }
        Refusal::StageNotOpen { who, stages } => {
            report.with("caller", who).with("stages", stages.join(","));
            Code::FailedPrecondition
        }
        Refusal::NotAnApprover(who) | Refusal::SelfApproval(who) | Refusal::NotTheRequester(who) => {
            report.with("caller", who);
            Code::PermissionDenied
        }
        Refusal::EtagMismatch { etag } => {
            report.with("etag", etag);
            Code::Aborted
        }
        Refusal::CommentRequired => {
            report.violation("comment", "the approval's rule asks for a comment; say why");
            Code::InvalidArgument
        }
        Refusal::OutcomeUnknown { outcomes, .. } => {
            report.with("outcomes", outcomes.join(","));
            report.violation("outcome", format!("expected one of the rule's outcomes: {}", outcomes.join(", ")));
            Code::InvalidArgument
        }
        Refusal::OutcomeDisagrees(_) => {
            report.violation("decision", "expected the one that the outcome counts as, or none");
            Code::InvalidArgument
        }
        Refusal::ResponseInvalid(misfits) => {
            for misfit in misfits {
                report.violation(format!("response_json{}", misfit.place), misfit.problem);
            }
            Code::InvalidArgument
        }
        Refusal::ReassignmentLoop(to) => {
            report.with("to", to);
            Code::FailedPrecondition
        }
        Refusal::NotAssignable { problem, .. } => {
            report.violation("to", problem);
            Code::InvalidArgument
        }
        // Of the worker's commands, which callers can't give.
        Refusal::NothingDue | Refusal::NotBound => {
            report.reason("INTERNAL");
            Code::Internal
        }
    }
}

fn store(error: &StoreError, report: &mut Report) -> Code {
    match error {
        StoreError::Unavailable(_) | StoreError::Unknown(_) | StoreError::InUse(_) => {
            error!(error = error as &dyn std::error::Error, "the store is unavailable");
            report.reason("STORE_UNAVAILABLE").retry();
            Code::Unavailable
        }
        StoreError::Closed => {
            report.reason("SHUTTING_DOWN").retry();
            Code::Unavailable
        }
        StoreError::Corrupt(_) | StoreError::NewerSchema { .. } | StoreError::Moved(_) | StoreError::Migrating => {
            error!(error = error as &dyn std::error::Error, "the store can't be read");
            report.reason("INTERNAL");
            Code::Internal
        }
    }
}

fn watch(error: WatchError, report: &mut Report) -> Code {
    match error {
        WatchError::Store(error) => store(&error, report),
        WatchError::Compacted { oldest } => {
            report.reason("REVISION_COMPACTED").with("oldest_revision", oldest);
            Code::OutOfRange
        }
        WatchError::Ahead { head } => {
            report.reason("REVISION_COMPACTED").with("newest_revision", head);
            Code::OutOfRange
        }
    }
}

fn aws(error: &CallError, report: &mut Report) -> Code {
    let (code, reason) = match error.failure {
        Failure::Throttled | Failure::Unknown => (Code::Unavailable, "AWS_UNAVAILABLE"),
        Failure::Denied => (Code::PermissionDenied, "AWS_DENIED"),
        Failure::Gone | Failure::TimedOut | Failure::Refused => (Code::FailedPrecondition, "AWS_REFUSED"),
    };
    report.reason(reason).with("operation", error.operation);
    if let Some(code) = &error.code {
        report.with("code", code);
    }
    if code == Code::Unavailable {
        report.retry();
    }
    code
}

fn provision(error: ProvisionError, report: &mut Report) -> Code {
    match error {
        ProvisionError::Field { field, problem } => report.field("INVALID_FIELD", format!("spec.{field}"), problem),
        ProvisionError::InvalidDefinition { location, message } => {
            report.reason("INVALID_DEFINITION").with("location", &location);
            report.violation("spec.state_machine.definition", format!("{location}: {message}"));
            Code::InvalidArgument
        }
        ProvisionError::NotOwned { resource } => {
            report.reason("NOT_OWNED").with("resource", resource);
            Code::FailedPrecondition
        }
        ProvisionError::ReplaceNeeded { resource, fields } => {
            report.reason("REPLACE_NEEDED").with("resource", resource).with("fields", fields);
            Code::FailedPrecondition
        }
        ProvisionError::RoleNotAssumable { source, .. } => {
            // Also what it says where the role lacks a permission.
            report.reason("AWS_REFUSED").with("operation", "CreateStateMachine").with("message", source.message);
            Code::FailedPrecondition
        }
        ProvisionError::Incomplete { left, failed } => {
            let code = aws(&failed, report);
            report.with("left", left);
            code
        }
        ProvisionError::Call(error) => aws(&error, report),
    }
}

/// What goes beside code and message.
#[derive(Default)]
struct Report {
    reason: &'static str,
    metadata: HashMap<String, String>,
    violations: Vec<FieldViolation>,
    retry: Option<Duration>,
}

impl Report {
    fn reason(&mut self, reason: &'static str) -> &mut Self {
        self.reason = reason;
        self
    }

    fn with(&mut self, key: &str, value: impl ToString) -> &mut Self {
        self.metadata.insert(key.to_owned(), value.to_string());
        self
    }

    fn retry(&mut self) {
        self.retry_after(RETRY);
    }

    fn retry_after(&mut self, after: Duration) {
        self.retry = Some(after);
    }

    fn violation(&mut self, field: impl Into<String>, problem: impl Into<String>) {
        self.violations.push(FieldViolation::new(field, problem));
    }

    fn field(&mut self, reason: &'static str, field: impl Into<String>, problem: impl Into<String>) -> Code {
        self.reason(reason);
        self.violation(field, problem);
        Code::InvalidArgument
    }

    fn into_status(self, code: Code, message: String) -> Status {
        let mut details = ErrorDetails::new();
        details.set_error_info(self.reason, ERROR_DOMAIN, self.metadata);
        if !self.violations.is_empty() {
            details.set_bad_request(self.violations);
        }
        if let Some(after) = self.retry {
            details.set_retry_info(Some(after));
        }
        Status::with_error_details(code, message, details)
    }
}
