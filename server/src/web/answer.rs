//! Answers: pages around their content, and pages that say what went wrong.

use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use http::{HeaderValue, StatusCode, header::RETRY_AFTER};
use tracing::{error, warn};

use super::{assets, session::Visitor, view::name};
use crate::{approval::Refusal, auth::AuthError, operations::OperationError, store::StoreError};

/// What is around every page.
pub(super) struct Shell {
    pub(super) title: String,
    /// Who is signed in.
    pub(super) who: Option<String>,
    /// What their forms carry.
    pub(super) csrf: String,
    /// Which of the tabs this is.
    pub(super) tab: &'static str,
}

impl Shell {
    pub(super) fn new(title: impl Into<String>, tab: &'static str, visitor: Option<&Visitor>) -> Self {
        Self {
            title: title.into(),
            who: visitor.map(|visitor| name(&visitor.caller.person.principal)),
            csrf: visitor.map(|visitor| visitor.session.csrf.clone()).unwrap_or_default(),
            tab,
        }
    }

    /// Where a file is that pages use.
    pub(super) fn asset(&self, name: &str) -> String {
        assets::path(name)
    }
}

/// A page as an answer.
pub(super) fn render(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => (status, Html(text)).into_response(),
        Err(error) => {
            error!(error = &error as &dyn std::error::Error, "a page can't be made");
            (StatusCode::INTERNAL_SERVER_ERROR, "This page can't be shown.\n").into_response()
        }
    }
}

/// What went wrong, for people.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) title: &'static str,
    pub(super) text: String,
    /// Where to go on, and what that is called.
    pub(super) onward: (String, &'static str),
    retry: bool,
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    shell: Shell,
    problem: &'a Problem,
}

impl Problem {
    pub(super) fn new(status: StatusCode, title: &'static str, text: impl Into<String>) -> Self {
        let retry = matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
        Self { status, title, text: text.into(), onward: ("/".to_owned(), "To the inbox"), retry }
    }

    pub(super) fn bad(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "This can't be understood", text)
    }

    pub(super) fn not_found() -> Self {
        let text = "It may have been archived, the link may be incomplete, or it is not for you to see.";
        Self::new(StatusCode::NOT_FOUND, "There is no such approval", text)
    }

    pub(super) fn onward(self, to: impl Into<String>, called: &'static str) -> Self {
        Self { onward: (to.into(), called), ..self }
    }

    pub(super) fn page(&self, visitor: Option<&Visitor>) -> Response {
        let mut answer =
            render(self.status, &ProblemPage { shell: Shell::new(self.title, "", visitor), problem: self });
        if self.retry {
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("2"));
        }
        answer
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.page(None)
    }
}

impl From<OperationError> for Problem {
    fn from(error: OperationError) -> Self {
        match error {
            OperationError::Auth(AuthError::Limit { .. }) => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "Too much at once", "Wait a moment, then try again.")
            }
            OperationError::Auth(AuthError::Permission(permission)) => Self::new(
                StatusCode::FORBIDDEN,
                "You may not do this",
                format!(
                    "It needs the permission \u{201c}{}\u{201d}, which an operator can give you.",
                    permission.name()
                ),
            ),
            OperationError::Auth(error) => Self::new(StatusCode::FORBIDDEN, "You may not do this", error.to_string()),
            OperationError::Refused(refusal) => refused(&refusal),
            OperationError::Store(error) => store(&error),
            OperationError::Field { field, problem } => Self::bad(format!("{field}: {problem}")),
            OperationError::KeyReused => Self::new(
                StatusCode::CONFLICT,
                "This form was sent before",
                "It was sent with something else in it, and that holds. Load the page again to see where it stands.",
            ),
            OperationError::NotFound(_) => Self::not_found(),
        }
    }
}

fn refused(refusal: &Refusal) -> Problem {
    let status = match refusal {
        Refusal::NotAnApprover(_) | Refusal::SelfApproval(_) | Refusal::NotTheRequester(_) => StatusCode::FORBIDDEN,
        Refusal::CommentRequired
        | Refusal::OutcomeUnknown { .. }
        | Refusal::OutcomeDisagrees(_)
        | Refusal::ResponseInvalid(_)
        | Refusal::NotAssignable { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::AlreadyDecided { .. }
        | Refusal::OnHold { .. }
        | Refusal::Claimed { .. }
        | Refusal::StageNotOpen { .. }
        | Refusal::EtagMismatch { .. }
        | Refusal::ReassignmentLoop(_)
        | Refusal::NothingDue
        | Refusal::NotBound => StatusCode::CONFLICT,
    };
    Problem::new(status, "Not decided", super::view::refusal(refusal))
}

fn store(error: &StoreError) -> Problem {
    match error {
        StoreError::Unavailable(_) | StoreError::Unknown(_) | StoreError::InUse(_) | StoreError::Closed => {
            warn!(error = error as &dyn std::error::Error, "a page can't be made: the store is unavailable");
            let text = "The server can't reach its database now. What you sent may or may not have been kept: \
                        load the page again to see.";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Not available now", text)
        }
        StoreError::Corrupt(_) | StoreError::NewerSchema { .. } | StoreError::Moved(_) | StoreError::Migrating => {
            error!(error = error as &dyn std::error::Error, "a page can't be made: the store can't be read");
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "This page can't be shown",
                "An operator has to look at it.",
            )
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        store(&error)
    }
}

pub(super) async fn no_page() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "There is no such page", "The link may be incomplete.")
}
