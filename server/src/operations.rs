//! What callers do with approvals, however they call: over gRPC or from a page. Permissions, bounds of what they say,
//! the store, and the worker that is told. What it takes to decide is for the approval's rule to say.

use std::{sync::Arc, time::SystemTime};

use crate::{
    approval::{Approval, ApprovalId, Choice, Command, Limits, Refusal},
    auth::{AuthError, Caller, Permission, Place},
    clock::SharedClock,
    store::{Executed, RequestKey, Revision, SharedStore, StoreError},
    telemetry::trace::CallContext,
    worker::WorkerHandle,
};

/// Why something was not done. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OperationError {
    /// The caller may not.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The approval's rule does not let them.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something that was said is out of bounds.
    #[error("{field}: {problem}")]
    Field {
        /// Its name in the API.
        field: &'static str,
        /// What is wrong, and what is expected.
        problem: String,
    },
    /// The request key was used with another body.
    #[error("the request id was used with another body")]
    KeyReused,
    /// There is no such approval, or none that the caller sees.
    #[error("no approval has the id {0}; one that finished may have been archived")]
    NotFound(ApprovalId),
}

/// A decision, as somebody says it.
#[derive(Debug, Clone)]
pub(crate) struct Decide {
    /// What.
    pub(crate) choice: Choice,
    /// Why; may be empty.
    pub(crate) comment: String,
    /// JSON text for the workflow; may be empty.
    pub(crate) response: String,
    /// Only if this is still the etag.
    pub(crate) etag: Option<String>,
    /// The trace of the call that it came by.
    pub(crate) call: Option<CallContext>,
}

/// Carries out what callers ask for.
#[derive(Clone)]
pub(crate) struct Operations {
    pub(crate) store: SharedStore,
    pub(crate) worker: WorkerHandle,
    pub(crate) clock: SharedClock,
}

impl Operations {
    /// Decides for the caller, or for whom they act.
    pub(crate) async fn decide(
        &self,
        caller: &Caller,
        id: &ApprovalId,
        decide: Decide,
        key: Option<RequestKey>,
    ) -> Result<(Arc<Approval>, Revision), OperationError> {
        let command = Command::Vote {
            choice: decide.choice,
            comment: text("comment", decide.comment)?,
            response: response(&decide.response)?,
            etag: decide.etag,
            cast_by: caller.origin.on_behalf_of.is_some().then(|| caller.origin.by.clone()),
            by: caller.person.clone(),
        };
        let from = SystemTime::now();
        let done = self.execute(caller, Permission::Decide, id, command, key).await?;
        self.worker.tracer().decided(&done.0, decide.call, from);
        Ok(done)
    }

    /// Carries out a command, and sees to it that what follows from it is done.
    pub(crate) async fn execute(
        &self,
        caller: &Caller,
        permission: Permission,
        id: &ApprovalId,
        command: Command,
        key: Option<RequestKey>,
    ) -> Result<(Arc<Approval>, Revision), OperationError> {
        self.require(caller, permission, id).await?;
        let origin = caller.origin.clone();
        let at = self.clock.now();
        match self.store.execute(id, command, origin, at, key).await? {
            Executed::Done { approval, revision } => {
                self.worker.decided(&approval, at);
                Ok((approval, revision))
            }
            Executed::Refused(refusal) => Err(refusal.into()),
            Executed::KeyReused => Err(OperationError::KeyReused),
            Executed::NotFound => Err(OperationError::NotFound(id.clone())),
        }
    }

    /// An approval by its id. One that the caller does not see is none.
    pub(crate) async fn seen(&self, caller: &Caller, id: &ApprovalId) -> Result<Arc<Approval>, OperationError> {
        let begun = tokio::time::Instant::now();
        match self.store.get(id).await?.filter(|approval| caller.may_on(Permission::View, approval)) {
            Some(approval) => Ok(approval),
            None => {
                hide(caller, begun).await;
                Err(OperationError::NotFound(id.clone()))
            }
        }
    }

    /// Refuses what the caller may not do on an approval, or does not see.
    pub(crate) async fn require(
        &self,
        caller: &Caller,
        permission: Permission,
        id: &ApprovalId,
    ) -> Result<(), OperationError> {
        let everywhere = |permission| caller.may(permission, Place::Everywhere);
        if everywhere(Permission::View) && everywhere(permission) {
            return Ok(());
        }
        let approval = self.seen(caller, id).await?;
        let request = &approval.request;
        Ok(caller.require(permission, Some(&request.source.workflow), Some(&request.labels))?)
    }
}

/// How long it takes to say that there is no such approval, to whoever does not see all. Longer than it takes to look.
const UNSEEN: std::time::Duration = std::time::Duration::from_millis(25);

/// Takes the same time for what is not there as for what the caller does not see.
pub(crate) async fn hide(caller: &Caller, begun: tokio::time::Instant) {
    if !caller.may(Permission::View, Place::Everywhere) {
        tokio::time::sleep_until(begun + UNSEEN).await;
    }
}

/// A text that people wrote, within bounds; may be empty.
pub(crate) fn text(field: &'static str, text: String) -> Result<String, OperationError> {
    if text.len() > Limits::COMMENT {
        let problem = format!("expected at most {} bytes, found {}", Limits::COMMENT, text.len());
        return Err(OperationError::Field { field, problem });
    }
    Ok(text)
}

fn response(text: &str) -> Result<Option<String>, OperationError> {
    let bad = |problem| Err(OperationError::Field { field: "response_json", problem });
    if text.is_empty() {
        return Ok(None);
    }
    if text.len() > Limits::RESPONSE {
        return bad(format!("expected at most {} bytes, found {}", Limits::RESPONSE, text.len()));
    }
    match serde_json::from_str::<&serde_json::value::RawValue>(text) {
        Ok(raw) => Ok(Some(raw.get().to_owned())),
        Err(error) => bad(format!("expected JSON: {error}")),
    }
}
