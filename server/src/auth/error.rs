//! Why a call is not let in, or may not do what it asks for.

use std::time::Duration;

use approve_proto::ACTOR_METADATA;

use super::Permission;

/// Why a call is refused before anything is done. The texts go to callers: they help whoever made a mistake, and nobody
/// who tries things out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The caller did not say who they are.
    #[error("say who you are: metadata \"{ACTOR_METADATA}\" with \"user:<name>\"")]
    Missing,
    /// The caller did not show who they are.
    #[error("show who you are: {0}")]
    NothingShown(&'static str),
    /// Metadata can't be understood.
    #[error("metadata \"{field}\": {problem}")]
    Malformed {
        /// The metadata's key.
        field: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The caller says who they are, where that is not believed.
    #[error("metadata \"{0}\" is not believed by this server: show who you are")]
    NotBelieved(&'static str),
    /// What they show is not accepted.
    #[error("{0}")]
    Refused(String),
    /// It can't be told now whether what they show is to be accepted.
    #[error("{0}")]
    Undecided(&'static str),
    /// They may not do this.
    #[error("this needs the permission \"{}\"", .0.name())]
    Permission(Permission),
    /// They have reached a limit.
    #[error("the limit \"{limit}\" is reached; try again later")]
    Limit {
        /// Its name in the config.
        limit: &'static str,
        /// When it is worth while to try again.
        retry_after: Duration,
    },
}

impl AuthError {
    pub(super) fn malformed(field: &'static str, problem: impl ToString) -> Self {
        Self::Malformed { field, problem: problem.to_string() }
    }
}
