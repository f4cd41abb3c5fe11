//! The only place where state lives: one trait, with what every implementation promises.
//!
//! - A write answers after it is durable. It is one transaction: the approval, its events, its due times and the
//!   request id stand or fall together.
//! - Revisions are dense and commit-ordered: a reader that has seen revision r never later finds one ≤ r. Each event
//!   has a revision of its own; an approval's `revision` is that of its last event.
//! - State is changed by the pure functions of [`crate::approval`] alone, inside the transaction.
//! - Due work is found by index.

mod admission;
mod attempt;
mod codec;
#[cfg(test)]
pub(crate) mod conformance;
mod due;
mod events;
mod filter;
mod job;
pub mod messages;
pub mod migration;
mod pending;
pub mod postgres;
mod recording;
pub mod retention;
mod search;
pub mod sqlite;
mod tables;
pub(crate) mod tail;
mod tokens;
mod transaction;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::Instant};
use uuid::Uuid;

pub(crate) use self::pending::{Outline, Text};
pub use self::{
    events::{EventPage, EventQuery, ExportRange, Exported, Recorded},
    pending::Pending,
};
use self::{
    messages::{Revived, Told, Unsent, UnsentQuery},
    retention::OldEvents,
};
use crate::{
    approval::{
        Approval, ApprovalId, Command, Origin, Principal, Priority, Refusal, Scope, Status, TaskInput, TaskToken,
    },
    audit::{AdminEvent, ChainHead},
};

/// A point in the history of a store. 0 is before everything.
pub type Revision = i64;

/// A store, shared by all parts of the server.
pub type SharedStore = Arc<dyn Store>;

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It can't be reached, or failed; nothing was changed. May be retried.
    #[error("the store is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The answer to a write was lost, and what became of it can't be told: it was done or it was not, as a whole. May be
    /// repeated with the same request key.
    #[error("it is not known whether the store has kept this")]
    Unknown(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What it holds can't be read: a defect, or damage.
    #[error("the store holds something that can't be read")]
    Corrupt(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It was made by a newer version of the server.
    #[error("the store has schema version {found}; this server knows versions up to {known}")]
    NewerSchema {
        /// The version found.
        found: i64,
        /// The newest version known.
        known: i64,
    },
    /// It was moved into a database, which is to be served instead.
    #[error("it was moved to {0}")]
    Moved(Box<str>),
    /// What is moved into it is not complete yet.
    #[error("a migration into this database is not finished: let approve-server migrate go on")]
    Migrating,
    /// Another process has it open for writing.
    #[error("another process is using the store at {0}")]
    InUse(String),
    /// It is shutting down.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    pub(crate) fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Unavailable(Box::new(error))
    }

    fn corrupt(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Corrupt(Box::new(error))
    }
}

/// A task that was taken, and is to be kept.
#[derive(Debug, Clone)]
pub struct Admission {
    /// For the id of a new approval.
    pub uuid: Uuid,
    /// What answers it.
    pub token: TaskToken,
    /// What was understood of its input.
    pub task: TaskInput,
    /// The state's HeartbeatSeconds, where it is known.
    pub heartbeat: Option<jiff::SignedDuration>,
    /// What its identity may be used for.
    pub identity: IdentityUse,
    /// The time now.
    pub at: Timestamp,
}

/// What a task's claim to be the same as an earlier one is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityUse {
    /// The approval with this identity may be bound to the task: everything that can be checked outside of the store
    /// was, for this version of it. `None` where no approval had the identity.
    Trusted {
        /// Which approval was checked.
        checked: Option<(ApprovalId, TaskToken)>,
    },
    /// The claim is not to be believed: it is a new approval, whose identity is its token.
    Distrusted,
}

/// What became of a task.
#[derive(Debug, Clone)]
pub enum Admitted {
    /// A new approval.
    Created(Arc<Approval>),
    /// It took the place of a lost task.
    Bound(Arc<Approval>),
    /// This very token is stored already: the same task, admitted twice.
    Known(Arc<Approval>),
    /// An approval has the task's identity and was not checked, or has changed since. Check this one and try again.
    Check(Arc<Approval>),
}

/// A caller's key that makes a write safe to repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    /// Who calls: keys of different callers never meet.
    pub caller: String,
    /// The key.
    pub id: String,
    /// A digest of the request's body.
    pub fingerprint: [u8; 32],
}

/// What became of a command.
#[derive(Debug, Clone)]
pub enum Executed {
    /// It was carried out, or changed nothing (then `revision` is the approval's last).
    Done {
        /// The approval after it.
        approval: Arc<Approval>,
        /// The revision of its last event.
        revision: Revision,
    },
    /// It was refused; no approval was changed.
    Refused(Refusal),
    /// The request key was used with another body.
    KeyReused,
    /// There is no such approval.
    NotFound,
}

/// One change of one approval.
#[derive(Debug, Clone)]
pub struct Change {
    /// The revision of the last event of the change.
    pub revision: Revision,
    /// The approval before it; `None` for a new one.
    pub before: Option<Arc<Approval>>,
    /// The approval after it.
    pub after: Arc<Approval>,
}

/// Changes after a revision, in order.
#[derive(Debug, Clone)]
pub enum Changes {
    /// The next ones.
    Some(Vec<Change>),
    /// The revision is older than what is kept; this is the oldest one to continue after.
    Compacted(Revision),
}

/// Which approvals. Fields combine with AND.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Filter {
    /// Of this workflow.
    pub workflow: Option<String>,
    /// With all these labels.
    pub labels: BTreeMap<String, String>,
    /// Of one of these priorities; empty: any.
    pub priorities: Vec<Priority>,
    /// Whose title, description, requester or id holds this, ASCII case-insensitively.
    pub text: Option<String>,
    /// Of this execution.
    pub execution_arn: Option<String>,
    /// That this person could vote on, and has not.
    pub awaiting: Option<crate::approval::Person>,
    /// Of one of these scopes: those that the caller may see. `None`: of any.
    pub visible: Option<Vec<Scope>>,
}

/// A list's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// By creation, newest first.
    #[default]
    NewestFirst,
    /// By creation, oldest first.
    OldestFirst,
}

/// A page of a list.
#[derive(Debug, Clone)]
pub struct ListQuery {
    /// Which.
    pub filter: Filter,
    /// Of one of these statuses; empty: any.
    pub statuses: Vec<Status>,
    /// In which order.
    pub order: Order,
    /// Strictly after this one, in that order.
    pub after: Option<ApprovalId>,
    /// How many at most.
    pub limit: usize,
}

/// A page.
#[derive(Debug, Clone)]
pub struct Page {
    /// The approvals.
    pub approvals: Vec<Arc<Approval>>,
    /// Where the next page begins; `None` at the end. A page may be short although more follow: a filter that matches
    /// little is looked for in bounded pieces, and long inputs fill a page.
    pub next: Option<ApprovalId>,
}

/// A page of what was pending at a revision.
#[derive(Debug)]
pub struct PendingPage {
    /// The approvals.
    pub approvals: Vec<Pending>,
    /// Where the next page begins; `None` at the end. A page may be short although more follow.
    pub next: Option<ApprovalId>,
}

/// Work that is due, and when to look again.
#[derive(Debug, Clone)]
pub struct Due<T> {
    /// What is due, earliest first.
    pub items: Vec<T>,
    /// When the next that was not returned falls due; `None` if there is none.
    pub next: Option<Timestamp>,
}

/// A heartbeat that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeartbeatDue {
    /// Of this approval.
    pub id: ApprovalId,
    /// To this task.
    pub token: TaskToken,
    /// Since then.
    pub due: Timestamp,
    /// The state's HeartbeatSeconds, where it is known.
    pub heartbeat: Option<jiff::SignedDuration>,
}

/// When something is due next. Without effect where the approval has another token by now, or wants none of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextDue {
    /// Of this approval.
    pub id: ApprovalId,
    /// Of this task.
    pub token: TaskToken,
    /// When.
    pub due: Timestamp,
}

/// A try at a delivery that did not settle it. Without effect where the approval has another token by now.
#[derive(Debug, Clone)]
pub struct DeliveryTry {
    /// Of this approval.
    pub id: ApprovalId,
    /// To this task.
    pub token: TaskToken,
    /// Tries to add to the count: 0 for one that throttling swallowed.
    pub attempts: u32,
    /// Why it failed.
    pub error: String,
    /// When to try again.
    pub due: Timestamp,
}

/// A workflow, as it was last applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowRecord {
    /// Its name: the key.
    pub name: String,
    /// What it should be; [`crate::provision`] reads it.
    pub spec: crate::provision::Spec,
    /// The activity's ARN.
    pub activity_arn: String,
    /// The execution role's ARN.
    pub role_arn: String,
    /// The state machine's ARN.
    pub state_machine_arn: String,
    /// The definition as applied.
    pub definition: String,
    /// When it was first applied.
    pub created: Timestamp,
    /// When it was last applied.
    pub updated: Timestamp,
}

/// An API token, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiTokenRecord {
    /// SHA-256 of the secret: the key.
    pub digest: Vec<u8>,
    /// Its name.
    pub name: String,
    /// What it may do, as JSON; [`crate::auth`] reads it.
    pub grants: String,
    /// Ties name, grants and expiry to the secret.
    pub seal: Vec<u8>,
    /// When it was made.
    pub created: Timestamp,
    /// By whom.
    pub created_by: Principal,
    /// When it ends.
    pub expires: Timestamp,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
}

/// How often a heartbeat is sent where the state's HeartbeatSeconds is known: at two thirds of it.
#[must_use]
pub fn first_heartbeat(taken: Timestamp, heartbeat: Option<jiff::SignedDuration>) -> Timestamp {
    let interval = heartbeat.map_or(DEFAULT_HEARTBEAT, |known| known * 2 / 3);
    taken.checked_add(interval).unwrap_or(taken)
}

/// When an approval that lost its task is looked at for the first time: most retries come before that.
#[must_use]
pub fn first_look(detached: Timestamp) -> Timestamp {
    detached.checked_add(jiff::SignedDuration::from_secs(15)).unwrap_or(detached)
}

/// How often a heartbeat is sent where the state's HeartbeatSeconds is not known.
pub const DEFAULT_HEARTBEAT: jiff::SignedDuration = jiff::SignedDuration::from_secs(20);

/// How long a request key is kept at least.
pub const REQUEST_KEY_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// How a store stands to this server, which may be one of several that share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whether it answered when it was last asked.
    pub reachable: bool,
    /// Until when the server may do what is due: keep tasks open, answer them. By its own clock that never goes back, and
    /// well before others take it over. `None`: as long as it runs.
    pub lease: Option<Instant>,
    /// How many servers share it, this one included.
    pub servers: usize,
    /// Grows when work that was another server's became this one's: what is due is to be looked for anew.
    pub taken_over: u64,
    /// Grows when workflows or API tokens were changed, by whomever.
    pub settings: i64,
}

impl Standing {
    /// Of a store that no other server uses.
    pub const ALONE: Self = Self { reachable: true, lease: None, servers: 1, taken_over: 0, settings: 0 };

    /// Whether the server may do what is due.
    #[must_use]
    pub fn may_act(&self) -> bool {
        self.lease.is_none_or(|until| Instant::now() < until)
    }
}

/// Durable state. Every method may fail with [`StoreError`]; a failed write changed nothing.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Keeps a task: as a new approval, or bound to the one that has its identity.
    ///
    /// - A token that is stored already: [`Admitted::Known`].
    /// - An input with an error: a new approval of status INVALID, by `approval::create_invalid`.
    /// - An identity that no approval has, or none: a new approval, by `approval::create`.
    /// - An identity that an approval has: bound by `Command::Bind` if `identity` is trusted and names this approval with
    ///   the token that it has now; [`Admitted::Check`] if it is trusted and names none, or another; a new approval if
    ///   it is distrusted, with the identity of its token and `refused_identity` in its event. A refused `Bind` (the
    ///   approval is CANCELED or INVALID) is a new approval likewise, which takes the identity over.
    async fn admit(&self, admission: Admission) -> Result<Admitted, StoreError>;

    /// Carries out a command on an approval, by `approval::apply`; `origin` goes into the record of what happened. With a
    /// key that was used before, by the same caller with the same fingerprint, answers what was answered then, for at
    /// least [`REQUEST_KEY_LIFE`]; only `Done` is kept for that.
    ///
    /// What is not done is recorded as an attempt that was refused, unless the server itself is behind it: in bounds, by
    /// [`crate::audit::Refusals`]. The head moves on; no approval changes, and there is no change to watch.
    async fn execute(
        &self,
        id: &ApprovalId,
        command: Command,
        origin: Origin,
        at: Timestamp,
        key: Option<RequestKey>,
    ) -> Result<Executed, StoreError>;

    /// One approval.
    async fn get(&self, id: &ApprovalId) -> Result<Option<Arc<Approval>>, StoreError>;

    /// The approval that has an identity ([`crate::approval::Source::identity`]).
    async fn find_identity(&self, identity: &str) -> Result<Option<Arc<Approval>>, StoreError>;

    /// The ids that begin with `prefix`, in order, `limit` at most.
    async fn find_prefix(&self, prefix: &str, limit: usize) -> Result<Vec<ApprovalId>, StoreError>;

    /// A page of a list.
    async fn list(&self, query: ListQuery) -> Result<Page, StoreError>;

    /// Records something that changes no approval, of a workflow, of an approval, or of neither. A refused permission is
    /// recorded in bounds, like any attempt that was refused.
    async fn record(
        &self,
        origin: Origin,
        workflow: Option<String>,
        approval: Option<ApprovalId>,
        event: AdminEvent,
        at: Timestamp,
    ) -> Result<(), StoreError>;

    /// A page of events, newest first.
    async fn events(&self, query: EventQuery) -> Result<EventPage, StoreError>;

    /// A piece of the record.
    async fn export(&self, range: ExportRange) -> Result<Exported, StoreError>;

    /// The newest event's place and hash.
    async fn chain_head(&self) -> Result<ChainHead, StoreError>;

    /// The newest revision that readers can see; changes as it does, also where no approval does.
    fn head(&self) -> watch::Receiver<Revision>;

    /// How it stands. What is due is found by the server that has it: that which changed the approval last, or took over
    /// from one that is gone.
    fn standing(&self) -> watch::Receiver<Standing>;

    /// Approvals that were PENDING at `as_of`, as they were then, by id, strictly after `after`, `limit` at most. A page
    /// is short where inputs are long.
    async fn pending_at(
        &self,
        as_of: Revision,
        after: Option<ApprovalId>,
        limit: usize,
    ) -> Result<PendingPage, StoreError>;

    /// Changes strictly after a revision, oldest first, `limit` at most; empty when there are none yet.
    async fn changes_after(&self, revision: Revision, limit: usize) -> Result<Changes, StoreError>;

    /// Heartbeats due by `now`, `limit` at most.
    async fn due_heartbeats(&self, now: Timestamp, limit: usize) -> Result<Due<HeartbeatDue>, StoreError>;

    /// Sets the next times of heartbeats. No events.
    async fn set_heartbeats(&self, next: Vec<NextDue>) -> Result<(), StoreError>;

    /// Approvals whose decision is to be delivered, due by `now`, `limit` at most.
    async fn due_deliveries(&self, now: Timestamp, limit: usize) -> Result<Due<Arc<Approval>>, StoreError>;

    /// Notes tries that did not settle a delivery. No events: they are seen in the approval as it is now, and in the
    /// change that it comes from, if that is read again.
    async fn note_deliveries(&self, tries: Vec<DeliveryTry>) -> Result<(), StoreError>;

    /// Pending approvals of which something is due by `now` that comes with time alone
    /// ([`Approval::timer_due`]), `limit` at most.
    async fn due_timers(&self, now: Timestamp, limit: usize) -> Result<Due<ApprovalId>, StoreError>;

    /// Approvals that wait for a retry's task, pending or undelivered, and are to be looked at by `now`, `limit` at most.
    /// The first time is [`first_look`].
    async fn due_detached(&self, now: Timestamp, limit: usize) -> Result<Due<Arc<Approval>>, StoreError>;

    /// Sets when they are to be looked at next. No events.
    async fn set_detached(&self, next: Vec<NextDue>) -> Result<(), StoreError>;

    /// How many approvals are pending: all, or of one workflow.
    async fn count_pending(&self, workflow: Option<&str>) -> Result<u64, StoreError>;

    /// Keeps a workflow, in place of what it was.
    async fn put_workflow(&self, record: WorkflowRecord) -> Result<(), StoreError>;

    /// All workflows, by name.
    async fn workflows(&self) -> Result<Vec<WorkflowRecord>, StoreError>;

    /// Forgets a workflow; whether there was one.
    async fn delete_workflow(&self, name: &str) -> Result<bool, StoreError>;

    /// Keeps an API token, and records that it was made, unless one of its name is alive; whether it did.
    async fn put_api_token(&self, token: ApiTokenRecord, origin: Origin) -> Result<bool, StoreError>;

    /// Ends the newest API token of a name, and records that, unless it was ended before; the token.
    async fn revoke_api_token(
        &self,
        name: &str,
        origin: Origin,
        at: Timestamp,
    ) -> Result<Option<ApiTokenRecord>, StoreError>;

    /// All API tokens, revoked and expired ones included, by name, newest first.
    async fn api_tokens(&self) -> Result<Vec<ApiTokenRecord>, StoreError>;

    /// The oldest events that are kept, `limit` at most, as long as they are of before `before`; never the newest of
    /// all. `None` where there are none, and where another server looks after that.
    async fn old_events(&self, before: Timestamp, limit: usize) -> Result<Option<OldEvents>, StoreError>;

    /// Cuts events off the beginning of the log; whether it did: the log still has to begin with them. From then on they
    /// are not exported, nor watched from but for what is in memory. The chain goes on from the hash of the last. Events of approvals that are
    /// kept can still be listed.
    async fn cut(&self, events: OldEvents) -> Result<bool, StoreError>;

    /// Finished approvals of which nothing is due, and whose events were all cut off: by their revision, `limit` at most.
    async fn retired(&self, limit: usize) -> Result<Vec<Arc<Approval>>, StoreError>;

    /// Forgets these approvals and their events, in one transaction, but for those to which something happened since they
    /// were found; how many it forgot. No events, and no change to watch.
    async fn prune(&self, ids: Vec<ApprovalId>) -> Result<u64, StoreError>;

    /// Makes this server the one that sends to a target, unless another one is whose lease holds: up to which revision it
    /// was told. A target that is not known yet begins at the head: it is not told what was before it.
    async fn take_target(&self, target: &str) -> Result<Option<Revision>, StoreError>;

    /// Notes what became of messages to a target; whether it did: not where another server sends to it by now.
    async fn note_told(&self, target: &str, told: Told) -> Result<bool, StoreError>;

    /// Unsent messages to a target that are due by `now`, `limit` at most.
    async fn due_unsent(&self, target: &str, now: Timestamp, limit: usize) -> Result<Due<Unsent>, StoreError>;

    /// A page of unsent messages, by id.
    async fn unsent(&self, query: UnsentQuery) -> Result<Vec<Unsent>, StoreError>;

    /// Makes dead letters due; how many.
    async fn revive_unsent(&self, which: Revived, at: Timestamp) -> Result<u64, StoreError>;

    /// Forgets unsent messages that were first tried before a time, and of each target's dead letters all but the newest
    /// `most`; how many it forgot.
    async fn forget_unsent(&self, before: Timestamp, most: u32) -> Result<u64, StoreError>;

    /// Writes out what is in hand and closes. Later calls fail with [`StoreError::Closed`].
    async fn close(&self) -> Result<(), StoreError>;
}
