//! What is to become of a task, given the approval that has its identity.

use super::{Admission, IdentityUse};
use crate::approval::{Approval, Command, Task, TaskState, Transition, apply, create, create_invalid};

/// What is to be written for a task.
pub(super) enum Plan {
    /// A new approval.
    Create {
        /// Its creation.
        transition: Transition,
        /// The identity that it has; `None`: its token alone.
        identity: Option<String>,
        /// Whether the approval that has this identity loses it.
        takes_over: bool,
    },
    /// The approval that has the identity is bound to it.
    Bind(Transition),
    /// That approval is to be checked first.
    Check,
}

impl Admission {
    /// The identity that the task claims. A task that was not understood claims none.
    pub(super) fn claim(&self) -> Option<String> {
        if self.task.error.is_some() { None } else { self.task.request.source.identity() }
    }

    /// What is to become of the task. `holder`: the approval that has the claimed identity. The token is known not to be
    /// stored yet.
    pub(super) fn plan(&self, holder: Option<&Approval>) -> Plan {
        let Some(identity) = self.claim() else {
            return Plan::Create { transition: self.creation(None), identity: None, takes_over: false };
        };
        let IdentityUse::Trusted { checked } = &self.identity else {
            let refused = holder.map(|_| identity);
            return Plan::Create { transition: self.creation(refused), identity: None, takes_over: false };
        };
        let Some(holder) = holder else {
            let transition = self.creation(None);
            return Plan::Create { transition, identity: Some(identity), takes_over: false };
        };
        let is_checked = checked.as_ref().is_some_and(|(id, token)| *id == holder.id && *token == holder.task.token);
        if !is_checked {
            return Plan::Check;
        }
        let bind = Command::Bind { token: self.token.clone(), attempt: self.task.attempt, heartbeat: self.heartbeat };
        match apply(holder, &bind, self.at) {
            Ok(transition) => Plan::Bind(transition),
            Err(_) => Plan::Create { transition: self.creation(None), identity: Some(identity), takes_over: true },
        }
    }

    fn creation(&self, refused_identity: Option<String>) -> Transition {
        let task = Task {
            state: TaskState::Open,
            token: self.token.clone(),
            taken: self.at,
            attempt: self.task.attempt,
            count: 1,
            heartbeat: self.heartbeat,
            detached: None,
        };
        let (request, input) = (self.task.request.clone(), self.task.input.clone());
        match &self.task.error {
            Some(error) => create_invalid(self.uuid, request, input, task, error.to_string(), self.at),
            None => create(self.uuid, request, input, task, refused_identity, self.at),
        }
    }
}
