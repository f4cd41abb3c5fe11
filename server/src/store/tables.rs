//! What a transaction asks of a database: rows, one at a time. How they are kept is each store's own affair; what is
//! written, and when, is [`super::transaction`]'s.

use std::sync::Arc;

use super::{ApiTokenRecord, NextDue, RequestKey, Revision, StoreError, due::DueTimes};
use crate::{
    approval::{Approval, ApprovalId},
    audit::Hash,
};

/// An approval, and what its row knows beside.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    /// Key within the store, never shown; in the order of creation.
    pub(super) number: i64,
    pub(super) due: DueTimes,
    pub(super) approval: Arc<Approval>,
}

/// A request key that was used.
#[derive(Debug, Clone)]
pub(super) struct UsedKey {
    pub(super) fingerprint: [u8; 32],
    /// The approval that the answer was about.
    pub(super) number: i64,
    pub(super) id: ApprovalId,
    /// As of when.
    pub(super) revision: Revision,
}

/// An event, to be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct EventRow<'a> {
    pub(super) revision: Revision,
    pub(super) number: Option<i64>,
    /// In milliseconds.
    pub(super) at: i64,
    pub(super) actor: Option<&'a str>,
    pub(super) on_behalf_of: Option<&'a str>,
    pub(super) hash: Hash,
    pub(super) record: &'a str,
    pub(super) state: Option<&'a str>,
}

/// A due time that is moved without an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    Heartbeat,
    Detached,
}

/// The rows of a store, within a transaction. What was written in it is seen in it.
pub(super) trait Tables {
    /// A count that grows with everything that is written.
    fn writes(&self) -> u64;
    /// Whether the transaction is lost already.
    fn is_broken(&self) -> bool;

    fn by_id(&mut self, id: &ApprovalId) -> Result<Option<Stored>, StoreError>;
    fn by_identity(&mut self, identity: &str) -> Result<Option<Stored>, StoreError>;
    /// The approval that has, or had, the token with this digest.
    fn by_token(&mut self, digest: &str) -> Result<Option<Stored>, StoreError>;
    fn number_of(&mut self, id: &ApprovalId) -> Result<Option<i64>, StoreError>;
    /// An approval as it was at a revision of its own.
    fn as_of(&mut self, number: i64, revision: Revision) -> Result<Arc<Approval>, StoreError>;
    /// A request key that was used at `since`, in milliseconds, or later.
    fn key(&mut self, key: &RequestKey, since: i64) -> Result<Option<UsedKey>, StoreError>;

    /// Keeps a new approval, with its request, its labels and its token; its number.
    fn insert(&mut self, approval: &Arc<Approval>, identity: Option<&str>, due: DueTimes) -> Result<i64, StoreError>;
    /// Keeps what became of an approval, and its token if it has another one.
    fn update(&mut self, before: &Stored, after: &Arc<Approval>, due: DueTimes) -> Result<(), StoreError>;
    /// Its tokens are its only identity from now on.
    fn drop_identity(&mut self, number: i64) -> Result<(), StoreError>;
    fn append(&mut self, event: EventRow<'_>) -> Result<(), StoreError>;
    fn keep_key(&mut self, key: &RequestKey, number: i64, revision: Revision, at: i64) -> Result<(), StoreError>;
    /// Forgets keys that were used before `before`, the oldest first, `limit` at most.
    fn prune_keys(&mut self, before: i64, limit: i64) -> Result<(), StoreError>;
    /// Counts pending approvals of a workflow.
    fn add_pending(&mut self, workflow: &str, by: i64) -> Result<(), StoreError>;

    /// Sets a due time that is set, of an approval that has this token.
    fn move_due(&mut self, what: Moved, next: &NextDue) -> Result<(), StoreError>;
    /// Notes a try at a delivery: the approval's state of its own revision, and when it is due again, in milliseconds.
    fn note_try(&mut self, number: i64, approval: &Arc<Approval>, state: &str, due: i64) -> Result<(), StoreError>;

    /// Whether a token of this name is neither revoked nor expired at `now`, in milliseconds.
    fn api_token_lives(&mut self, name: &str, now: i64) -> Result<bool, StoreError>;
    fn newest_api_token(&mut self, name: &str) -> Result<Option<ApiTokenRecord>, StoreError>;
    /// Keeps a token, in place of the one with its digest.
    fn put_api_token(&mut self, token: &ApiTokenRecord) -> Result<(), StoreError>;

    fn put_workflow(&mut self, name: &str, record: &str) -> Result<(), StoreError>;
    /// Whether there was one.
    fn delete_workflow(&mut self, name: &str) -> Result<bool, StoreError>;
}
