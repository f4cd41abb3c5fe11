//! A caller.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{AuthError, Grant, Grants as _, Permission, Place};
use crate::approval::{Approval, Origin, Person, Scope};

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The one who acts: the caller, or the person that they act for.
    pub person: Person,
    /// For the record.
    pub origin: Origin,
    /// What they may do, narrowed to where they may act on behalf of others if they do.
    pub grants: Arc<[Grant]>,
}

impl Caller {
    /// Tells callers apart, and the people that one of them acts for: no request id of one is another's.
    #[must_use]
    pub fn key(&self) -> String {
        match &self.origin.on_behalf_of {
            Some(person) => format!("{}\n{person}", self.origin.by),
            None => self.origin.by.to_string(),
        }
    }

    /// Whether the caller may do something at a place.
    #[must_use]
    pub fn may(&self, permission: Permission, place: Place<'_>) -> bool {
        self.grants.allow(permission, place)
    }

    /// Whether the caller may do something at all.
    #[must_use]
    pub fn may_somewhere(&self, permission: Permission) -> bool {
        self.grants.allow_somewhere(permission)
    }

    /// Whether the caller may do something on an approval.
    #[must_use]
    pub fn may_on(&self, permission: Permission, approval: &Approval) -> bool {
        let request = &approval.request;
        self.may(permission, Place::Approval(&request.source.workflow, &request.labels))
    }

    /// Refuses what the caller may not do: on approvals of a workflow with these labels; without labels in a workflow,
    /// whatever its approvals' labels; without a workflow everywhere.
    ///
    /// # Errors
    /// [`AuthError::Permission`]
    pub fn require(
        &self,
        permission: Permission,
        workflow: Option<&str>,
        labels: Option<&BTreeMap<String, String>>,
    ) -> Result<(), AuthError> {
        let place = match (workflow, labels) {
            (Some(workflow), Some(labels)) => Place::Approval(workflow, labels),
            (Some(workflow), None) => Place::Workflow(workflow),
            (None, _) => Place::Everywhere,
        };
        if self.may(permission, place) { Ok(()) } else { Err(AuthError::Permission(permission)) }
    }

    /// The approvals for which the caller has a permission; `None`: all.
    #[must_use]
    pub fn scopes(&self, permission: Permission) -> Option<Vec<Scope>> {
        self.grants.scopes(permission)
    }
}

/// A caller who was let in, and for how long.
#[derive(Debug, Clone)]
pub struct Authenticated {
    /// Who.
    pub caller: Caller,
    /// When what they showed expires. Streams end then.
    pub until: Option<Timestamp>,
    /// Cancelled when it is revoked. Streams end then.
    pub revoked: Option<CancellationToken>,
    /// Cancelled when other roles hold. Streams end then, to come again.
    pub replaced: CancellationToken,
}
