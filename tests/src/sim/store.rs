//! One server's store, with everything that goes wrong on the way to it: away or stalled for a while, dead before a
//! commit, dead after it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use approve_server::{
    approval::{Approval, ApprovalId, Command, Origin},
    audit::{AdminEvent, ChainHead},
    store::{
        Admission, Admitted, ApiTokenRecord, Changes, DeliveryTry, Due, EventPage, EventQuery, Executed, ExportRange,
        Exported, HeartbeatDue, ListQuery, NextDue, Page, PendingPage, RequestKey, Revision, Standing, Store,
        StoreError, WorkflowRecord,
        messages::{Revived, Told, Unsent, UnsentQuery},
        retention::OldEvents,
    },
};
use async_trait::async_trait;
use jiff::Timestamp;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::sync::watch;

use super::{leases::Member, life::Life};

/// A store that can be taken away.
pub(super) struct FragileStore {
    inner: Mutex<Option<Arc<dyn Store>>>,
    head: watch::Receiver<Revision>,
    standing: watch::Receiver<Standing>,
    /// Where others share the store.
    member: Option<Arc<Member>>,
    life: Life,
    away: AtomicBool,
    stalled: AtomicBool,
    /// Ends the server's life at the next write: before its commit, or after.
    die: Mutex<Option<Die>>,
    random: Mutex<StdRng>,
}

/// When a server dies at a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Die {
    /// Nothing is written.
    BeforeCommit,
    /// It is written, and nobody is told.
    AfterCommit,
}

impl FragileStore {
    /// Around a store, for a server.
    #[must_use]
    pub(super) fn new(inner: Arc<dyn Store>, member: Option<Arc<Member>>, life: Life, seed: u64) -> Self {
        let standing = member.as_ref().map_or_else(|| inner.standing(), |member| member.standing());
        let head = inner.head();
        Self {
            inner: Mutex::new(Some(inner)),
            head,
            standing,
            member,
            life,
            away: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            die: Mutex::new(None),
            random: Mutex::new(StdRng::seed_from_u64(seed)),
        }
    }

    /// It can't be reached, or can be again.
    pub(super) fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// It answers nothing, or answers again.
    pub(super) fn set_stalled(&self, stalled: bool) {
        self.stalled.store(stalled, Ordering::SeqCst);
    }

    /// The server dies at its next write.
    pub(super) fn die_at_next_write(&self, when: Die) {
        *self.die.lock().unwrap_or_else(PoisonError::into_inner) = Some(when);
    }

    /// Lets go of the store, as the end of a process does.
    pub(super) fn take(&self) -> Option<Arc<dyn Store>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Keeps up with the store, as long as the server lives.
    pub(super) async fn keep_up(&self, member: &Member) {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.life.check().await;
            if self.away.load(Ordering::SeqCst) || self.stalled.load(Ordering::SeqCst) {
                member.away();
            } else {
                member.look();
            }
        }
    }

    /// Whether what is due of an approval is this server's to do.
    fn has(&self, id: &ApprovalId) -> bool {
        self.member.as_ref().is_none_or(|member| member.has(id))
    }

    fn changed(&self, approval: &Approval) {
        if let Some(member) = &self.member {
            member.changed(&approval.id);
        }
    }

    /// Of what is due, what is this server's to do.
    fn own<T>(&self, mut due: Due<T>, id: impl Fn(&T) -> &ApprovalId, limit: usize) -> Due<T> {
        due.items.retain(|item| self.has(id(item)));
        due.items.truncate(limit);
        due
    }

    /// How much is read of what is due, so that what is others' does not hide what is this server's.
    fn reading(&self, limit: usize) -> usize {
        if self.member.is_some() { limit.max(10_000) } else { limit }
    }

    async fn reach(&self) -> Result<Arc<dyn Store>, StoreError> {
        // Slow enough for others to come between a read and the write that follows from it.
        let wait = self.random.lock().unwrap_or_else(PoisonError::into_inner).random_range(0..20);
        tokio::time::sleep(Duration::from_millis(wait)).await;
        while self.stalled.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        self.life.check().await;
        if self.away.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("the store is away".into()));
        }
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(StoreError::Closed)
    }

    async fn read<T, W>(&self, act: impl FnOnce(Arc<dyn Store>) -> W) -> Result<T, StoreError>
    where
        W: Future<Output = Result<T, StoreError>>,
    {
        let inner = self.reach().await?;
        // The store's threads know nothing of virtual time: it stands still while they work.
        let answer = futures::executor::block_on(act(inner));
        self.life.check().await;
        answer
    }

    async fn write<T, W>(&self, act: impl FnOnce(Arc<dyn Store>) -> W) -> Result<T, StoreError>
    where
        W: Future<Output = Result<T, StoreError>>,
    {
        let inner = self.reach().await?;
        let die = self.die.lock().unwrap_or_else(PoisonError::into_inner).take();
        if die == Some(Die::BeforeCommit) {
            self.life.end();
        }
        if !self.life.goes_on() {
            // A dead process holds no lock.
            drop(inner);
            return std::future::pending().await;
        }
        if self.member.as_ref().is_some_and(|member| !member.holds()) {
            return Err(StoreError::Unavailable("the server has no lease".into()));
        }
        let answer = futures::executor::block_on(act(inner));
        if die == Some(Die::AfterCommit) {
            self.life.end();
        }
        self.life.check().await;
        answer
    }
}

#[async_trait]
impl Store for FragileStore {
    async fn admit(&self, admission: Admission) -> Result<Admitted, StoreError> {
        let admit = |store: Arc<dyn Store>| async move {
            let admitted = store.admit(admission).await?;
            if let Admitted::Created(approval) | Admitted::Bound(approval) = &admitted {
                self.changed(approval);
            }
            Ok(admitted)
        };
        self.write(admit).await
    }

    async fn execute(
        &self,
        id: &ApprovalId,
        command: Command,
        origin: Origin,
        at: Timestamp,
        key: Option<RequestKey>,
    ) -> Result<Executed, StoreError> {
        let execute = |store: Arc<dyn Store>| async move {
            let executed = store.execute(id, command, origin, at, key).await?;
            if let Executed::Done { approval, .. } = &executed {
                self.changed(approval);
            }
            Ok(executed)
        };
        self.write(execute).await
    }

    async fn get(&self, id: &ApprovalId) -> Result<Option<Arc<Approval>>, StoreError> {
        self.read(|store| async move { store.get(id).await }).await
    }

    async fn find_identity(&self, identity: &str) -> Result<Option<Arc<Approval>>, StoreError> {
        self.read(|store| async move { store.find_identity(identity).await }).await
    }

    async fn find_prefix(&self, prefix: &str, limit: usize) -> Result<Vec<ApprovalId>, StoreError> {
        self.read(|store| async move { store.find_prefix(prefix, limit).await }).await
    }

    async fn list(&self, query: ListQuery) -> Result<Page, StoreError> {
        self.read(|store| async move { store.list(query).await }).await
    }

    async fn record(
        &self,
        origin: Origin,
        workflow: Option<String>,
        approval: Option<ApprovalId>,
        event: AdminEvent,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(|store| async move { store.record(origin, workflow, approval, event, at).await }).await
    }

    async fn events(&self, query: EventQuery) -> Result<EventPage, StoreError> {
        self.read(|store| async move { store.events(query).await }).await
    }

    async fn export(&self, range: ExportRange) -> Result<Exported, StoreError> {
        self.read(|store| async move { store.export(range).await }).await
    }

    async fn chain_head(&self) -> Result<ChainHead, StoreError> {
        self.read(|store| async move { store.chain_head().await }).await
    }

    fn head(&self) -> watch::Receiver<Revision> {
        self.head.clone()
    }

    fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    async fn pending_at(
        &self,
        as_of: Revision,
        after: Option<ApprovalId>,
        limit: usize,
    ) -> Result<PendingPage, StoreError> {
        self.read(|store| async move { store.pending_at(as_of, after, limit).await }).await
    }

    async fn changes_after(&self, revision: Revision, limit: usize) -> Result<Changes, StoreError> {
        self.read(|store| async move { store.changes_after(revision, limit).await }).await
    }

    async fn due_heartbeats(&self, now: Timestamp, limit: usize) -> Result<Due<HeartbeatDue>, StoreError> {
        let reading = self.reading(limit);
        let due = self.read(|store| async move { store.due_heartbeats(now, reading).await }).await?;
        Ok(self.own(due, |due| &due.id, limit))
    }

    async fn set_heartbeats(&self, mut next: Vec<NextDue>) -> Result<(), StoreError> {
        let set = |store: Arc<dyn Store>| async move {
            next.retain(|next| self.has(&next.id));
            store.set_heartbeats(next).await
        };
        self.write(set).await
    }

    async fn due_deliveries(&self, now: Timestamp, limit: usize) -> Result<Due<Arc<Approval>>, StoreError> {
        let reading = self.reading(limit);
        let due = self.read(|store| async move { store.due_deliveries(now, reading).await }).await?;
        Ok(self.own(due, |approval| &approval.id, limit))
    }

    async fn note_deliveries(&self, tries: Vec<DeliveryTry>) -> Result<(), StoreError> {
        self.write(|store| async move { store.note_deliveries(tries).await }).await
    }

    async fn due_timers(&self, now: Timestamp, limit: usize) -> Result<Due<ApprovalId>, StoreError> {
        let reading = self.reading(limit);
        let due = self.read(|store| async move { store.due_timers(now, reading).await }).await?;
        Ok(self.own(due, |id| id, limit))
    }

    async fn due_detached(&self, now: Timestamp, limit: usize) -> Result<Due<Arc<Approval>>, StoreError> {
        let reading = self.reading(limit);
        let due = self.read(|store| async move { store.due_detached(now, reading).await }).await?;
        Ok(self.own(due, |approval| &approval.id, limit))
    }

    async fn set_detached(&self, mut next: Vec<NextDue>) -> Result<(), StoreError> {
        let set = |store: Arc<dyn Store>| async move {
            next.retain(|next| self.has(&next.id));
            store.set_detached(next).await
        };
        self.write(set).await
    }

    async fn count_pending(&self, workflow: Option<&str>) -> Result<u64, StoreError> {
        self.read(|store| async move { store.count_pending(workflow).await }).await
    }

    async fn put_workflow(&self, record: WorkflowRecord) -> Result<(), StoreError> {
        self.write(|store| async move { store.put_workflow(record).await }).await
    }

    async fn workflows(&self) -> Result<Vec<WorkflowRecord>, StoreError> {
        self.read(|store| async move { store.workflows().await }).await
    }

    async fn delete_workflow(&self, name: &str) -> Result<bool, StoreError> {
        self.write(|store| async move { store.delete_workflow(name).await }).await
    }

    async fn put_api_token(&self, token: ApiTokenRecord, origin: Origin) -> Result<bool, StoreError> {
        self.write(|store| async move { store.put_api_token(token, origin).await }).await
    }

    async fn revoke_api_token(
        &self,
        name: &str,
        origin: Origin,
        at: Timestamp,
    ) -> Result<Option<ApiTokenRecord>, StoreError> {
        self.write(|store| async move { store.revoke_api_token(name, origin, at).await }).await
    }

    async fn api_tokens(&self) -> Result<Vec<ApiTokenRecord>, StoreError> {
        self.read(|store| async move { store.api_tokens().await }).await
    }

    async fn old_events(&self, before: Timestamp, limit: usize) -> Result<Option<OldEvents>, StoreError> {
        self.read(|store| async move { store.old_events(before, limit).await }).await
    }

    async fn cut(&self, events: OldEvents) -> Result<bool, StoreError> {
        self.write(|store| async move { store.cut(events).await }).await
    }

    async fn retired(&self, limit: usize) -> Result<Vec<Arc<Approval>>, StoreError> {
        self.read(|store| async move { store.retired(limit).await }).await
    }

    async fn prune(&self, ids: Vec<ApprovalId>) -> Result<u64, StoreError> {
        self.write(|store| async move { store.prune(ids).await }).await
    }

    async fn take_target(&self, target: &str) -> Result<Option<Revision>, StoreError> {
        self.write(|store| async move { store.take_target(target).await }).await
    }

    async fn note_told(&self, target: &str, told: Told) -> Result<bool, StoreError> {
        self.write(|store| async move { store.note_told(target, told).await }).await
    }

    async fn due_unsent(&self, target: &str, now: Timestamp, limit: usize) -> Result<Due<Unsent>, StoreError> {
        self.read(|store| async move { store.due_unsent(target, now, limit).await }).await
    }

    async fn unsent(&self, query: UnsentQuery) -> Result<Vec<Unsent>, StoreError> {
        self.read(|store| async move { store.unsent(query).await }).await
    }

    async fn revive_unsent(&self, which: Revived, at: Timestamp) -> Result<u64, StoreError> {
        self.write(|store| async move { store.revive_unsent(which, at).await }).await
    }

    async fn forget_unsent(&self, before: Timestamp, most: u32) -> Result<u64, StoreError> {
        self.write(|store| async move { store.forget_unsent(before, most).await }).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.read(|store| async move { store.close().await }).await
    }
}
