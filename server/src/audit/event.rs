//! What is recorded beside the events of approvals.

use jiff::Timestamp;
use serde::Serialize;

use super::{Attempt, Described, Hash};
use crate::approval::{ApprovalId, Principal};

/// Something that happened, and not to the state of an approval: a record's `type` and `detail`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AdminEvent {
    /// A workflow was brought to what its spec says.
    WorkflowApplied {
        /// Of the JSON of the spec as it is kept.
        spec_sha256: Hash,
        /// Of the definition as it was applied.
        definition_sha256: Hash,
        /// The state machine.
        state_machine_arn: String,
        /// The activity.
        activity_arn: String,
    },
    /// A workflow was deleted.
    WorkflowDestroyed {
        /// How many of its approvals were pending, and are canceled.
        pending: u64,
    },
    /// An execution of a workflow was started.
    ExecutionStarted {
        /// Which.
        execution_arn: String,
        /// Of its input, which is not kept here.
        input_sha256: Hash,
    },
    /// An API token was made.
    TokenCreated {
        /// Its id, which is no secret.
        token: String,
        /// Whom it stands for.
        principal: Principal,
        /// What it may be used for.
        scopes: Vec<String>,
        /// Until when.
        #[serde(skip_serializing_if = "Option::is_none")]
        expires: Option<Timestamp>,
    },
    /// An API token is worth nothing any more.
    TokenRevoked {
        /// Its id.
        token: String,
        /// Whom it stood for.
        principal: Principal,
    },
    /// A call was refused because it did not show who calls.
    AuthenticationRefused {
        /// The API's name of the method.
        method: String,
        /// What was wrong with what it showed: no part of that.
        problem: String,
    },
    /// A call was refused before it came to an approval's rule.
    PermissionRefused {
        /// The API's name of the method.
        method: String,
        /// The API's name of the reason.
        reason: String,
    },
    /// The server began to serve.
    ServerStarted {
        /// Its version.
        version: String,
        /// Of how callers show who they are, and what they may do, as the config says: it changes when that does.
        roles_sha256: Hash,
    },
    /// The server goes by other settings of who callers are, and what they may do.
    RolesChanged {
        /// Of those, as with the start.
        roles_sha256: Hash,
    },
    /// The server was told to stop, and nothing but this was left to write.
    ServerStopped {
        /// Its version.
        version: String,
    },
}

impl AdminEvent {
    /// What its record says.
    ///
    /// # Errors
    /// None that are known.
    pub fn describe(&self) -> serde_json::Result<Described> {
        Described::variant(self)
    }

    /// The attempt that was refused, if that is what it is.
    #[must_use]
    pub fn attempt(&self, approval: Option<&ApprovalId>) -> Option<Attempt> {
        let (method, problem, reason) = match self {
            Self::AuthenticationRefused { method, problem } => (method, Some(problem), "UNAUTHENTICATED"),
            Self::PermissionRefused { method, reason } => (method, None, reason.as_str()),
            _ => return None,
        };
        let member = |(key, value): (&str, &String)| (key.to_owned(), value.clone().into());
        let tried = [Some(("method", method)), problem.map(|problem| ("problem", problem))];
        let tried = tried.into_iter().flatten().map(member).collect();
        Some(Attempt { approval: approval.cloned(), tried, reason: reason.to_owned() })
    }
}
