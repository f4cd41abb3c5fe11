//! The shared store: a PostgreSQL database that several servers use at once.
//!
//! `schema/0001.sql` says what is kept and where. Each server has one connection that writes: whatever waits shares a
//! transaction, as in the embedded store, and two round trips. A transaction first locks the end of the log, so that one
//! at a time writes, over all servers: what it reads behind that lock nobody else changes, and the revisions it gives are
//! the next ones, in the order of the commits.

mod connection;
mod events;
mod flush;
pub(super) mod import;
mod keeper;
mod lease;
mod link;
mod list;
mod load;
mod log;
mod messages;
mod migrate;
pub(super) mod names;
mod own;
mod probe;
mod read;
mod readers;
mod retention;
mod rows;
mod search;
#[cfg(test)]
mod tests;
mod working_set;
mod writer;

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::connection::{Address, BadAddress};
pub(crate) use self::connection::{answers, may_pass};
pub(crate) use self::probe::probe;
use self::{
    keeper::{Keeper, Session, first_standing},
    own::OwnTail,
    readers::Readers,
    working_set::{Need, WorkingSet},
    writer::{Write, Writer},
};
use super::{
    Admission, Admitted, ApiTokenRecord, Changes, DeliveryTry, Due, EventPage, EventQuery, Executed, ExportRange,
    Exported, HeartbeatDue, ListQuery, NextDue, Page, PendingPage, RequestKey, Revision, Standing, Store, StoreError,
    WorkflowRecord,
    job::Ask,
    messages::{Revived, Told, Unsent, UnsentQuery},
    retention::OldEvents,
    search::Settled,
    transaction::Transaction,
};
use crate::{
    approval::{Approval, ApprovalId, Command, Origin},
    audit::{AdminEvent, ChainHead},
};

/// Sizes and times. The defaults suit a server of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What the server calls itself, for people who look into the database.
    pub name: String,
    /// How many connections read, at most; at least 1. Two more write, and listen.
    pub readers: usize,
    /// How many writes share a transaction, at most; at least 1.
    pub batch: usize,
    /// How many bytes of inputs a transaction reads or writes, about; one write may have more.
    pub batch_bytes: usize,
    /// How many writes may wait in the queue; others wait before it. At least 1.
    pub queue: usize,
    /// How many of the newest changes are kept in memory for watches, at most.
    pub tail_changes: usize,
    /// How many bytes of them.
    pub tail_bytes: usize,
    /// How long others leave alone what a server held that is not heard of any more.
    pub lease: Duration,
    /// Whether notifications are listened to. Without them changes by other servers are seen within a second or so.
    pub listens: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "approve-server".to_owned(),
            readers: 8,
            batch: 512,
            batch_bytes: 8 << 20,
            queue: 1_024,
            tail_changes: 4_096,
            tail_bytes: 16 << 20,
            lease: Duration::from_secs(10),
            listens: true,
        }
    }
}

/// The shared store.
pub struct PostgresStore {
    /// `None` once it is closing.
    queue: Mutex<Option<mpsc::Sender<Write>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    keeper: Mutex<Option<JoinHandle<()>>>,
    tasks: TaskTracker,
    readers: Readers,
    tail: Arc<OwnTail>,
    head: Arc<watch::Sender<Revision>>,
    standing: Arc<watch::Sender<Standing>>,
    server: Arc<AtomicI64>,
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("head", &*self.head.borrow()).finish_non_exhaustive()
    }
}

impl PostgresStore {
    /// Opens the store, brings its schema up to date, and takes a lease.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where the database can't be reached, [`StoreError::NewerSchema`] where a newer server
    /// made it.
    pub async fn open(address: Address, options: Options) -> Result<Self, StoreError> {
        let tasks = TaskTracker::new();
        let readers = Readers::new(&address, &tasks, options.readers.max(1))?;
        let mut session = Session::open(&address, &tasks, &readers, options.listens).await?;
        migrate::migrate(session.client()).await?;
        let lease = lease::take(session.client(), &options.name, options.lease).await?;
        let seen = lease::look(session.client()).await?;
        let tail = Arc::new(OwnTail::new(seen.revision, options.tail_changes, options.tail_bytes));
        let head = Arc::new(watch::Sender::new(seen.revision));
        let standing = Arc::new(watch::Sender::new(first_standing(lease, seen.settings, seen.servers)));
        let server = Arc::new(AtomicI64::new(lease.server));
        let lease_wanted = Arc::new(Notify::new());
        let stop = CancellationToken::new();
        let keeper = Keeper {
            address: address.clone(),
            tasks: tasks.clone(),
            readers: readers.clone(),
            name: options.name,
            length: options.lease,
            listens: options.listens,
            head: Arc::clone(&head),
            standing: Arc::clone(&standing),
            server: Arc::clone(&server),
            lease_wanted: Arc::clone(&lease_wanted),
            renewed: Instant::now(),
            // What this server had before it was started anew may still be under way.
            took_over: Some(Instant::now()),
            session: Some(session),
        };
        tasks.spawn(search::catch_up(readers.clone(), stop.clone()));
        let (queue, jobs) = mpsc::channel(options.queue.max(1));
        let writer = Writer {
            address,
            tasks: tasks.clone(),
            readers: readers.clone(),
            tail: Arc::clone(&tail),
            head: Arc::clone(&head),
            server: Arc::clone(&server),
            lease_wanted,
            refusals: Arc::default(),
            settled: Settled::default(),
            max_batch: options.batch.max(1),
            max_bytes: options.batch_bytes.max(1),
            // Until more is known, groups are small.
            usual_bytes: Arc::new(AtomicUsize::new(options.batch_bytes / 64)),
            link: None,
            groups: 0,
            last: stop.clone().drop_guard(),
        };
        Ok(Self {
            queue: Mutex::new(Some(queue)),
            writer: Mutex::new(Some(tasks.spawn(writer.run(jobs)))),
            keeper: Mutex::new(Some(tasks.spawn(keeper.run(stop)))),
            tasks,
            readers,
            tail,
            head,
            standing,
            server,
        })
    }

    /// Has the writer do something, and waits until it is committed. `needs` is what it will read.
    async fn write<O, F>(&self, needs: Vec<Need>, work: F) -> Result<O, StoreError>
    where
        F: FnMut(&mut Transaction<'_, WorkingSet>) -> Result<O, StoreError> + Send + 'static,
        O: Send + 'static,
    {
        self.write_sized(needs, 0, work).await
    }

    /// The same, of something that is so long.
    async fn write_sized<O, F>(&self, needs: Vec<Need>, bytes: usize, work: F) -> Result<O, StoreError>
    where
        F: FnMut(&mut Transaction<'_, WorkingSet>) -> Result<O, StoreError> + Send + 'static,
        O: Send + 'static,
    {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(StoreError::Closed)?;
        let (job, answer) = Ask::new(work);
        let write = Write { needs, bytes, job: Box::new(job) };
        queue.send(write).await.map_err(|_| StoreError::unavailable(WriterGone))?;
        // The writer ends once it has all there is of the queue.
        drop(queue);
        answer.await.map_err(|_| StoreError::unavailable(WriterGone))?
    }

    fn number(&self) -> i64 {
        self.server.load(Ordering::Acquire)
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        // The writer finishes what was sent, and then the keeper gives up the lease.
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.readers.close();
    }
}

/// Unsent messages of a database that servers may use.
pub(super) async fn unsent(address: &Address, query: &UnsentQuery) -> Result<Vec<Unsent>, StoreError> {
    messages::list(&Readers::new(address, &TaskTracker::new(), 1)?, query).await
}

/// Makes dead letters due in a database that servers may use.
pub(super) async fn revive(address: &Address, which: &Revived, at: Timestamp) -> Result<u64, StoreError> {
    messages::revive(&Readers::new(address, &TaskTracker::new(), 1)?, which, at).await
}

/// The writer ended before its time: a defect.
#[derive(Debug, thiserror::Error)]
#[error("the store's writer is gone")]
struct WriterGone;

/// How long the ends of connections are waited for.
const LAST: Duration = Duration::from_secs(2);

#[async_trait]
impl Store for PostgresStore {
    async fn admit(&self, admission: Admission) -> Result<Admitted, StoreError> {
        let identity = admission.claim().map(Need::Identity);
        let needs = [Need::Token(admission.token.digest())].into_iter().chain(identity).collect();
        let bytes = admission.task.input.len();
        self.write_sized(needs, bytes, move |transaction| transaction.admit(&admission)).await
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
        let used = key.as_ref().map(|key| Need::Key(key.caller.clone(), key.id.clone()));
        let needs = [Need::Id(id.clone())].into_iter().chain(used).collect();
        self.write(needs, move |transaction| transaction.execute(&id, &command, &origin, at, key.as_ref())).await
    }

    async fn get(&self, id: &ApprovalId) -> Result<Option<Arc<Approval>>, StoreError> {
        read::by_id(&self.readers, id).await
    }

    async fn find_identity(&self, identity: &str) -> Result<Option<Arc<Approval>>, StoreError> {
        read::by_identity(&self.readers, identity).await
    }

    async fn find_prefix(&self, prefix: &str, limit: usize) -> Result<Vec<ApprovalId>, StoreError> {
        read::find_prefix(&self.readers, prefix, limit).await
    }

    async fn list(&self, query: ListQuery) -> Result<Page, StoreError> {
        list::list(&self.readers, &query).await
    }

    async fn record(
        &self,
        origin: Origin,
        workflow: Option<String>,
        approval: Option<ApprovalId>,
        event: AdminEvent,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let needs = approval.clone().map(Need::Id).into_iter().collect();
        let record = move |transaction: &mut Transaction<'_, WorkingSet>| {
            transaction.record(&origin, workflow.as_deref(), approval.as_ref(), &event, at)
        };
        self.write(needs, record).await
    }

    async fn events(&self, query: EventQuery) -> Result<EventPage, StoreError> {
        events::list(&self.readers, &query).await
    }

    async fn export(&self, range: ExportRange) -> Result<Exported, StoreError> {
        events::export(&self.readers, range).await
    }

    async fn chain_head(&self) -> Result<ChainHead, StoreError> {
        read::chain_head(&self.readers).await
    }

    fn head(&self) -> watch::Receiver<Revision> {
        self.head.subscribe()
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
        log::pending_at(&self.readers, as_of, after.as_ref(), limit).await
    }

    async fn changes_after(&self, revision: Revision, limit: usize) -> Result<Changes, StoreError> {
        if self.readers.is_closed() {
            return Err(StoreError::Closed);
        }
        let head = *self.head.borrow();
        if let Some(changes) = self.tail.after(revision, head, limit) {
            return Ok(Changes::Some(changes));
        }
        log::changes_after(&self.readers, revision, limit).await
    }

    async fn due_heartbeats(&self, now: Timestamp, limit: usize) -> Result<Due<HeartbeatDue>, StoreError> {
        read::due_heartbeats(&self.readers, self.number(), now, limit).await
    }

    async fn set_heartbeats(&self, next: Vec<NextDue>) -> Result<(), StoreError> {
        self.write(Vec::new(), move |transaction| transaction.set_heartbeats(&next)).await
    }

    async fn due_deliveries(&self, now: Timestamp, limit: usize) -> Result<Due<Arc<Approval>>, StoreError> {
        read::due_deliveries(&self.readers, self.number(), now, limit).await
    }

    async fn note_deliveries(&self, tries: Vec<DeliveryTry>) -> Result<(), StoreError> {
        let needs = tries.iter().map(|tried| Need::Id(tried.id.clone())).collect();
        self.write(needs, move |transaction| transaction.note_deliveries(&tries)).await
    }

    async fn due_timers(&self, now: Timestamp, limit: usize) -> Result<Due<ApprovalId>, StoreError> {
        read::due_timers(&self.readers, self.number(), now, limit).await
    }

    async fn due_detached(&self, now: Timestamp, limit: usize) -> Result<Due<Arc<Approval>>, StoreError> {
        read::due_detached(&self.readers, self.number(), now, limit).await
    }

    async fn set_detached(&self, next: Vec<NextDue>) -> Result<(), StoreError> {
        self.write(Vec::new(), move |transaction| transaction.set_detached(&next)).await
    }

    async fn count_pending(&self, workflow: Option<&str>) -> Result<u64, StoreError> {
        read::count_pending(&self.readers, workflow).await
    }

    async fn put_workflow(&self, record: WorkflowRecord) -> Result<(), StoreError> {
        self.write(Vec::new(), move |transaction| transaction.put_workflow(&record)).await
    }

    async fn workflows(&self) -> Result<Vec<WorkflowRecord>, StoreError> {
        read::workflows(&self.readers).await
    }

    async fn delete_workflow(&self, name: &str) -> Result<bool, StoreError> {
        let name = name.to_owned();
        let needs = vec![Need::Workflow(name.clone())];
        self.write(needs, move |transaction| transaction.delete_workflow(&name)).await
    }

    async fn put_api_token(&self, token: ApiTokenRecord, origin: Origin) -> Result<bool, StoreError> {
        let needs = vec![Need::ApiTokens(token.name.clone())];
        self.write(needs, move |transaction| transaction.put_api_token(&token, &origin)).await
    }

    async fn revoke_api_token(
        &self,
        name: &str,
        origin: Origin,
        at: Timestamp,
    ) -> Result<Option<ApiTokenRecord>, StoreError> {
        let name = name.to_owned();
        let needs = vec![Need::ApiTokens(name.clone())];
        self.write(needs, move |transaction| transaction.revoke_api_token(&name, &origin, at)).await
    }

    async fn api_tokens(&self) -> Result<Vec<ApiTokenRecord>, StoreError> {
        read::api_tokens(&self.readers).await
    }

    async fn old_events(&self, before: Timestamp, limit: usize) -> Result<Option<OldEvents>, StoreError> {
        retention::old_events(&self.readers, self.number(), before.as_millisecond(), limit).await
    }

    async fn cut(&self, events: OldEvents) -> Result<bool, StoreError> {
        retention::cut(&self.readers, events).await
    }

    async fn retired(&self, limit: usize) -> Result<Vec<Arc<Approval>>, StoreError> {
        retention::retired(&self.readers, self.number(), limit).await
    }

    async fn prune(&self, ids: Vec<ApprovalId>) -> Result<u64, StoreError> {
        retention::prune(&self.readers, &ids).await
    }

    async fn take_target(&self, target: &str) -> Result<Option<Revision>, StoreError> {
        messages::take(&self.readers, self.number(), target).await
    }

    async fn note_told(&self, target: &str, told: Told) -> Result<bool, StoreError> {
        messages::note(&self.readers, self.number(), target, &told).await
    }

    async fn due_unsent(&self, target: &str, now: Timestamp, limit: usize) -> Result<Due<Unsent>, StoreError> {
        messages::due(&self.readers, target, now, limit).await
    }

    async fn unsent(&self, query: UnsentQuery) -> Result<Vec<Unsent>, StoreError> {
        messages::list(&self.readers, &query).await
    }

    async fn revive_unsent(&self, which: Revived, at: Timestamp) -> Result<u64, StoreError> {
        messages::revive(&self.readers, &which, at).await
    }

    async fn forget_unsent(&self, before: Timestamp, most: u32) -> Result<u64, StoreError> {
        messages::forget(&self.readers, before, most).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        let take = |task: &Mutex<Option<JoinHandle<()>>>| task.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let (writer, keeper) = (take(&self.writer).ok_or(StoreError::Closed)?, take(&self.keeper));
        self.readers.close();
        let written = writer.await;
        // It ends after the writer, so that nobody takes over what is still being written.
        if let Some(keeper) = keeper {
            keeper.await.map_err(StoreError::unavailable)?;
        }
        self.tasks.close();
        // Connections that can't be closed well are closed by the database.
        let _ = timeout(LAST, self.tasks.wait()).await;
        written.map_err(|_| StoreError::unavailable(WriterGone))
    }
}
