//! The embedded store: one file, one thread that writes, a few connections that read.
//!
//! `schema/0001.sql` says what is kept and where. Writes that wait share a transaction and its flush to the disk;
//! whoever waits hears of it after that, and after the head was moved.

mod connection;
pub(super) mod dump;
mod events;
mod list;
mod log;
mod messages;
mod probe;
mod read;
mod readers;
mod recent;
mod retention;
mod rows;
mod search;
mod tables;
#[cfg(test)]
mod tests;
mod tokens;
mod writer;

use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

pub(crate) use self::probe::probe;
use self::{
    connection::unavailable,
    readers::Readers,
    tables::SqliteTables,
    writer::{Write, Writer},
};
use super::{
    Admission, Admitted, ApiTokenRecord, Changes, DeliveryTry, Due, EventPage, EventQuery, Executed, ExportRange,
    Exported, HeartbeatDue, ListQuery, NextDue, Page, PendingPage, RequestKey, Revision, Standing, Store, StoreError,
    WorkflowRecord,
    job::{Ask, Removing},
    messages::{Revived, Told, Unsent, UnsentQuery},
    retention::OldEvents,
    search::Settled,
    tail::Tail,
    transaction::Transaction,
};
use crate::{
    approval::{Approval, ApprovalId, Command, Origin},
    audit::{AdminEvent, ChainHead},
};

/// Sizes. The defaults suit a server of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How many reads run at once, at most; at least 1.
    pub readers: usize,
    /// How many writes share a transaction, at most; at least 1.
    pub batch: usize,
    /// How many writes may wait in the queue; others wait before it. At least 1.
    pub queue: usize,
    /// How many of the newest changes are kept in memory for watches, at most.
    pub tail_changes: usize,
    /// How many bytes of them.
    pub tail_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { readers: 4, batch: 512, queue: 1_024, tail_changes: 4_096, tail_bytes: 8 << 20 }
    }
}

/// The embedded store.
pub struct SqliteStore {
    /// `None` once it is closing.
    queue: Mutex<Option<mpsc::Sender<Write>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    readers: Readers,
    tail: Arc<Tail>,
    head: watch::Receiver<Revision>,
    standing: watch::Sender<Standing>,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("head", &*self.head.borrow()).finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the store in `folder`, which is made if there is none, and brings its schema up to date. Takes
    /// milliseconds, however much it holds.
    ///
    /// # Errors
    /// [`StoreError::InUse`] where another process has it open, [`StoreError::NewerSchema`] where a newer server made
    /// it, [`StoreError::Unavailable`] where the folder can't be written, [`StoreError::Corrupt`] where the file is no
    /// database.
    pub fn open(folder: &Path, options: Options) -> Result<Self, StoreError> {
        let lock = connection::lock(folder)?;
        connection::refuse_moved(folder)?;
        let connection = connection::open_writer(folder)?;
        let newest = rows::head(&connection)?;
        let unindexed = search::unindexed(&connection)?;
        let tail = Arc::new(Tail::new(newest, options.tail_changes, options.tail_bytes));
        let (head, seen) = watch::channel(newest);
        let (queue, jobs) = mpsc::channel(options.queue.max(1));
        let writer = Writer {
            tables: SqliteTables::new(connection),
            tail: tail.clone(),
            head,
            refusals: Arc::default(),
            settled: Settled::default(),
            unindexed,
            turns: 0,
            max_batch: options.batch.max(1),
            lock,
        };
        let writer = writer.start(jobs)?;
        Ok(Self {
            queue: Mutex::new(Some(queue)),
            writer: Mutex::new(Some(writer)),
            readers: Readers::new(folder, options.readers.max(1)),
            tail,
            head: seen,
            standing: watch::Sender::new(Standing::ALONE),
        })
    }

    /// Has the writer do something, and waits until it is on disk.
    async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        F: FnMut(&mut Transaction<'_, SqliteTables>) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        let (job, answer) = Ask::new(work);
        self.send(Box::new(job)).await?;
        answer.await.map_err(|_| unavailable(WriterGone))?
    }

    async fn send(&self, job: Write) -> Result<(), StoreError> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(StoreError::Closed)?;
        // The writer ends once it has all there is of the queue.
        queue.send(job).await.map_err(|_| unavailable(WriterGone))
    }

    /// Lets the writer finish; its thread.
    fn shut(&self) -> Option<JoinHandle<()>> {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.readers.close();
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        if let Some(writer) = self.shut() {
            // Short: it holds what was sent and not waited for. The folder is unlocked after it.
            let _ = writer.join();
        }
    }
}

/// Unsent messages of the store in a folder, which a server may have open.
pub(super) fn unsent(folder: &Path, query: &UnsentQuery) -> Result<Vec<Unsent>, StoreError> {
    messages::list(&connection::open_beside(folder)?, query)
}

/// Makes dead letters due in the store in a folder, which a server may have open.
pub(super) fn revive(folder: &Path, which: &Revived, at: Timestamp) -> Result<u64, StoreError> {
    messages::revive(&connection::open_beside(folder)?, which, at)
}

/// The writer's thread ended before its time: a defect.
#[derive(Debug, thiserror::Error)]
#[error("the store's writer is gone")]
struct WriterGone;

#[async_trait]
impl Store for SqliteStore {
    async fn admit(&self, admission: Admission) -> Result<Admitted, StoreError> {
        self.write(move |transaction| transaction.admit(&admission)).await
    }

    async fn execute(
        &self,
        id: &ApprovalId,
        command: Command,
        origin: Origin,
        at: Timestamp,
        key: Option<RequestKey>,
    ) -> Result<Executed, StoreError> {
        let id = id.clone();
        self.write(move |transaction| transaction.execute(&id, &command, &origin, at, key.as_ref())).await
    }

    async fn get(&self, id: &ApprovalId) -> Result<Option<Arc<Approval>>, StoreError> {
        let id = id.clone();
        let found = self.readers.read(move |connection| rows::find(connection, rows::BY_ID, [id.as_str()])).await?;
        Ok(found.map(|stored| stored.approval))
    }

    async fn find_identity(&self, identity: &str) -> Result<Option<Arc<Approval>>, StoreError> {
        let identity = identity.to_owned();
        let found = self.readers.read(move |connection| rows::find(connection, rows::BY_IDENTITY, [identity])).await?;
        Ok(found.map(|stored| stored.approval))
    }

    async fn find_prefix(&self, prefix: &str, limit: usize) -> Result<Vec<ApprovalId>, StoreError> {
        let prefix = prefix.to_owned();
        self.readers.read(move |connection| read::find_prefix(connection, &prefix, limit)).await
    }

    async fn list(&self, query: ListQuery) -> Result<Page, StoreError> {
        self.readers.read(move |connection| list::list(connection, &query)).await
    }

    async fn record(
        &self,
        origin: Origin,
        workflow: Option<String>,
        approval: Option<ApprovalId>,
        event: AdminEvent,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let record = move |transaction: &mut Transaction<'_, SqliteTables>| {
            transaction.record(&origin, workflow.as_deref(), approval.as_ref(), &event, at)
        };
        self.write(record).await
    }

    async fn events(&self, query: EventQuery) -> Result<EventPage, StoreError> {
        self.readers.read(move |connection| events::list(connection, &query)).await
    }

    async fn export(&self, range: ExportRange) -> Result<Exported, StoreError> {
        self.readers.read(move |connection| events::export(connection, range)).await
    }

    async fn chain_head(&self) -> Result<ChainHead, StoreError> {
        self.readers.read(rows::chain_head).await
    }

    fn head(&self) -> watch::Receiver<Revision> {
        self.head.clone()
    }

    fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    async fn pending_at(
        &self,
        as_of: Revision,
        after: Option<ApprovalId>,
        limit: usize,
    ) -> Result<PendingPage, StoreError> {
        self.readers.read(move |connection| log::pending_at(connection, as_of, after.as_ref(), limit)).await
    }

    async fn changes_after(&self, revision: Revision, limit: usize) -> Result<Changes, StoreError> {
        if self.readers.is_closed() {
            return Err(StoreError::Closed);
        }
        if let Some(changes) = self.tail.after(revision, limit) {
            return Ok(Changes::Some(changes));
        }
        self.readers.read(move |connection| log::changes_after(connection, revision, limit)).await
    }

    async fn due_heartbeats(&self, now: Timestamp, limit: usize) -> Result<Due<HeartbeatDue>, StoreError> {
        self.readers.read(move |connection| read::due_heartbeats(connection, now, limit)).await
    }

    async fn set_heartbeats(&self, next: Vec<NextDue>) -> Result<(), StoreError> {
        self.write(move |transaction| transaction.set_heartbeats(&next)).await
    }

    async fn due_deliveries(&self, now: Timestamp, limit: usize) -> Result<Due<Arc<Approval>>, StoreError> {
        self.readers.read(move |connection| read::due_deliveries(connection, now, limit)).await
    }

    async fn note_deliveries(&self, tries: Vec<DeliveryTry>) -> Result<(), StoreError> {
        self.write(move |transaction| transaction.note_deliveries(&tries)).await
    }

    async fn due_timers(&self, now: Timestamp, limit: usize) -> Result<Due<ApprovalId>, StoreError> {
        self.readers.read(move |connection| read::due_timers(connection, now, limit)).await
    }

    async fn due_detached(&self, now: Timestamp, limit: usize) -> Result<Due<Arc<Approval>>, StoreError> {
        self.readers.read(move |connection| read::due_detached(connection, now, limit)).await
    }

    async fn set_detached(&self, next: Vec<NextDue>) -> Result<(), StoreError> {
        self.write(move |transaction| transaction.set_detached(&next)).await
    }

    async fn count_pending(&self, workflow: Option<&str>) -> Result<u64, StoreError> {
        let workflow = workflow.map(str::to_owned);
        self.readers.read(move |connection| read::count_pending(connection, workflow.as_deref())).await
    }

    async fn put_workflow(&self, record: WorkflowRecord) -> Result<(), StoreError> {
        self.write(move |transaction| transaction.put_workflow(&record)).await
    }

    async fn workflows(&self) -> Result<Vec<WorkflowRecord>, StoreError> {
        self.readers.read(read::workflows).await
    }

    async fn delete_workflow(&self, name: &str) -> Result<bool, StoreError> {
        let name = name.to_owned();
        self.write(move |transaction| transaction.delete_workflow(&name)).await
    }

    async fn put_api_token(&self, token: ApiTokenRecord, origin: Origin) -> Result<bool, StoreError> {
        self.write(move |transaction| transaction.put_api_token(&token, &origin)).await
    }

    async fn revoke_api_token(
        &self,
        name: &str,
        origin: Origin,
        at: Timestamp,
    ) -> Result<Option<ApiTokenRecord>, StoreError> {
        let name = name.to_owned();
        self.write(move |transaction| transaction.revoke_api_token(&name, &origin, at)).await
    }

    async fn api_tokens(&self) -> Result<Vec<ApiTokenRecord>, StoreError> {
        self.readers.read(tokens::all).await
    }

    async fn old_events(&self, before: Timestamp, limit: usize) -> Result<Option<OldEvents>, StoreError> {
        let before = before.as_millisecond();
        self.readers.read(move |connection| retention::old_events(connection, before, limit)).await
    }

    async fn cut(&self, events: OldEvents) -> Result<bool, StoreError> {
        let cut = move |transaction: &mut Transaction<'_, SqliteTables>| {
            retention::cut(&transaction.tables.connection, events)
        };
        let (job, answer) = Ask::new(cut);
        self.send(Box::new(Removing(job))).await?;
        answer.await.map_err(|_| unavailable(WriterGone))?
    }

    async fn retired(&self, limit: usize) -> Result<Vec<Arc<Approval>>, StoreError> {
        self.readers.read(move |connection| retention::retired(connection, limit)).await
    }

    async fn prune(&self, ids: Vec<ApprovalId>) -> Result<u64, StoreError> {
        let prune = move |transaction: &mut Transaction<'_, SqliteTables>| {
            transaction.tables.removed(&ids);
            retention::prune(&transaction.tables.connection, &ids)
        };
        let (job, answer) = Ask::new(prune);
        self.send(Box::new(Removing(job))).await?;
        answer.await.map_err(|_| unavailable(WriterGone))?
    }

    async fn take_target(&self, target: &str) -> Result<Option<Revision>, StoreError> {
        let target = target.to_owned();
        let known = target.clone();
        let place = self.readers.read(move |connection| messages::place(connection, &known)).await?;
        if place.is_some() {
            return Ok(place);
        }
        let take = move |transaction: &mut Transaction<'_, SqliteTables>| {
            messages::take(&transaction.tables.connection, &target, transaction.head.revision)
        };
        self.write(take).await.map(Some)
    }

    async fn note_told(&self, target: &str, told: Told) -> Result<bool, StoreError> {
        let target = target.to_owned();
        let note = move |transaction: &mut Transaction<'_, SqliteTables>| {
            messages::note(&transaction.tables.connection, &target, &told)
        };
        self.write(note).await.map(|()| true)
    }

    async fn due_unsent(&self, target: &str, now: Timestamp, limit: usize) -> Result<Due<Unsent>, StoreError> {
        let target = target.to_owned();
        self.readers.read(move |connection| messages::due(connection, &target, now, limit)).await
    }

    async fn unsent(&self, query: UnsentQuery) -> Result<Vec<Unsent>, StoreError> {
        self.readers.read(move |connection| messages::list(connection, &query)).await
    }

    async fn revive_unsent(&self, which: Revived, at: Timestamp) -> Result<u64, StoreError> {
        let revive = move |transaction: &mut Transaction<'_, SqliteTables>| {
            messages::revive(&transaction.tables.connection, &which, at)
        };
        self.write(revive).await
    }

    async fn forget_unsent(&self, before: Timestamp, most: u32) -> Result<u64, StoreError> {
        let forget = move |transaction: &mut Transaction<'_, SqliteTables>| {
            messages::forget(&transaction.tables.connection, before, most)
        };
        self.write(forget).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        let writer = self.shut().ok_or(StoreError::Closed)?;
        let joined = tokio::task::spawn_blocking(move || writer.join()).await.map_err(unavailable)?;
        joined.map_err(|_| unavailable(WriterGone))
    }
}
