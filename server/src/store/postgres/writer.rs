//! The task that writes. It takes whatever waits in its queue into one transaction, as one group, and answers only after
//! that is committed, or is known not to be.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, mpsc, watch},
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::DropGuard, task::TaskTracker};

use super::{
    connection::{Address, CONNECT_TIMEOUT, failed, is_passing},
    flush::{self, GroupId, Writes},
    link::{Link, param},
    load::{self, LoadError, load},
    own::OwnTail,
    readers::Readers,
    rows::get,
    working_set::{Loaded, Need, WorkingSet},
};
use crate::{
    audit::{ChainHead, Refusals},
    store::{
        Revision, StoreError,
        job::{Ask, Job, RolledBack},
        search::Settled,
        transaction::{Transaction, Written},
    },
};

/// A write that waits, and what it will read.
pub(super) struct Write {
    pub(super) needs: Vec<Need>,
    /// How much it writes, about, where that may be much.
    pub(super) bytes: usize,
    pub(super) job: Box<dyn Job<WorkingSet>>,
}

/// How long a group is tried for.
const PATIENCE: Duration = Duration::from_secs(6);
/// How long it is asked for what became of a group whose answer was lost.
const INQUIRY: Duration = Duration::from_secs(20);
/// How long one exchange with the database may take.
const EXCHANGE: Duration = Duration::from_secs(15);
/// The first pause between tries, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));
/// How often a group is carried out anew because it asks for more rows: a few names lead to others.
const MAX_READS: usize = 8;

const LAST_GROUP: &str = "SELECT coalesce((SELECT last_group FROM groups WHERE server = $1), 0)";

/// What the writer owns.
pub(super) struct Writer {
    pub(super) address: Address,
    pub(super) tasks: TaskTracker,
    /// Their connections are given up where there is none left for this.
    pub(super) readers: Readers,
    pub(super) tail: Arc<OwnTail>,
    pub(super) head: Arc<watch::Sender<Revision>>,
    /// The number of the server's lease.
    pub(super) server: Arc<AtomicI64>,
    /// Asks for a lease.
    pub(super) lease_wanted: Arc<Notify>,
    pub(super) refusals: Arc<Refusals>,
    pub(super) settled: Settled,
    pub(super) max_batch: usize,
    pub(super) max_bytes: usize,
    /// How much a write of the last group read and wrote, about: as much is reckoned for each of the next one.
    pub(super) usual_bytes: Arc<AtomicUsize>,
    pub(super) link: Option<Link>,
    pub(super) groups: i64,
    /// Ends the keeper: the lease is given up when there is nothing left to write.
    pub(super) last: DropGuard,
}

/// Why a group was not committed.
enum Failure {
    /// One job broke it.
    Job(StoreError),
    /// It may go well in a while.
    Passing(StoreError),
    /// It will not.
    Lasting(StoreError),
    /// The answer to the commit was lost.
    Lost(Lost),
}

struct Lost {
    id: GroupId,
    done: Box<Done>,
    error: StoreError,
}

/// What a group wrote.
struct Done {
    /// After which revision.
    before: Revision,
    written: Written,
    /// Whether what was settled before left the indexes with it.
    took_out: bool,
}

/// The database did not answer in time.
#[derive(Debug, thiserror::Error)]
#[error("the database does not answer")]
struct Silent;

/// The server's lease ended, and there is no new one yet.
#[derive(Debug, thiserror::Error)]
#[error("the server has no lease")]
struct NoLease;

/// A group asked for more and more.
#[derive(Debug, thiserror::Error)]
#[error("a write asks for more rows each time it is carried out")]
struct Endless;

impl Writer {
    /// Writes until every sender of the queue is gone and the queue is empty.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Write>) {
        let mut waiting = Vec::with_capacity(self.max_batch);
        let mut batch = Vec::with_capacity(self.max_batch);
        while queue.recv_many(&mut waiting, self.max_batch).await > 0 {
            while !waiting.is_empty() {
                let group = self.fitting(&waiting);
                batch.extend(waiting.drain(..group));
                self.carry_out(&mut batch).await;
            }
        }
        if self.refusals.has_counted() {
            let (job, _) = Ask::new(|transaction: &mut Transaction<'_, _>| transaction.close_refusals());
            // A failure is logged; there is nobody left to tell.
            let _ = self.commit(&mut [Write { needs: Vec::new(), bytes: 0, job: Box::new(job) }]).await;
        }
        drop(self.last);
    }

    /// How many of those that wait fit a group: one at least.
    fn fitting(&self, waiting: &[Write]) -> usize {
        let (mut bytes, usual) = (0, self.usual_bytes.load(Ordering::Relaxed));
        let fits = |write: &&Write| {
            bytes += write.bytes.max(usual);
            bytes <= self.max_bytes
        };
        waiting.iter().take_while(fits).count().max(1)
    }

    async fn carry_out(&mut self, batch: &mut Vec<Write>) {
        match self.commit(batch).await {
            Ok(()) => batch.drain(..).for_each(|write| write.job.answer(Ok(()))),
            // One job may not fail the others: each for itself.
            Err(Failure::Job(_) | Failure::Lasting(_)) if batch.len() > 1 => {
                for mut write in batch.drain(..) {
                    let outcome = self.commit(std::slice::from_mut(&mut write)).await;
                    write.job.answer(outcome.map_err(Failure::into_error));
                }
            }
            Err(Failure::Lost(lost)) => {
                let error = Arc::new(lost.error);
                let unknown = || StoreError::Unknown(Box::new(AnswerLost(Arc::clone(&error))));
                batch.drain(..).for_each(|write| write.job.answer(Err(unknown())));
            }
            Err(failure) => {
                let error = Arc::new(failure.into_error());
                let rolled_back = || StoreError::unavailable(RolledBack(Arc::clone(&error)));
                batch.drain(..).for_each(|write| write.job.answer(Err(rolled_back())));
            }
        }
    }

    /// One transaction, tried again while that may help.
    async fn commit(&mut self, batch: &mut [Write]) -> Result<(), Failure> {
        let until = Instant::now() + PATIENCE;
        let mut pause = PAUSES.0;
        loop {
            let failure = match self.try_commit(batch).await {
                Ok(done) => {
                    self.publish(done);
                    return Ok(());
                }
                Err(failure) => failure,
            };
            let error = match failure {
                Failure::Lost(lost) => match self.inquire(&lost).await {
                    Some(true) => {
                        self.publish(*lost.done);
                        return Ok(());
                    }
                    Some(false) => lost.error,
                    None => return Err(Failure::Lost(lost)),
                },
                Failure::Passing(error) => error,
                failure => {
                    self.roll_back().await;
                    tracing::warn!(error = failure.error(), writes = batch.len(), "a transaction was rolled back");
                    return Err(failure);
                }
            };
            self.roll_back().await;
            if Instant::now() + pause >= until {
                tracing::warn!(error = &error as &dyn std::error::Error, writes = batch.len(), "writes were given up");
                return Err(Failure::Passing(error));
            }
            tracing::debug!(error = &error as &dyn std::error::Error, "a transaction is tried again");
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    async fn roll_back(&mut self) {
        let Some(link) = self.link.take() else { return };
        if !link.is_closed() && matches!(timeout(CONNECT_TIMEOUT, link.roll_back()).await, Ok(Ok(()))) {
            self.link = Some(link);
        }
    }

    fn publish(&mut self, done: Done) {
        let Done { before, written: Written { head, changes, refusals }, took_out } = done;
        self.refusals = refusals;
        self.settled.committed(took_out, &changes);
        self.tail.push(before, changes, head.revision);
        advance(&self.head, head.revision);
    }

    async fn link(&mut self) -> Result<&Link, Failure> {
        if self.link.as_ref().is_none_or(Link::is_closed) {
            self.link = None;
            let statements: Vec<_> = [LAST_GROUP].into_iter().chain(load::ALL).chain(flush::ALL).collect();
            let opened = timeout(EXCHANGE, Link::open(&self.address, &self.tasks, &statements)).await;
            let opened = opened.map_err(|_| Failure::Passing(StoreError::unavailable(Silent)))?;
            let opened = opened.inspect_err(|error| self.readers.make_room(error));
            self.link = Some(opened.map_err(|error| Failure::Passing(failed(error)))?);
        }
        self.link.as_ref().ok_or_else(silent)
    }

    /// One try. What was written, which may be nothing.
    async fn try_commit(&mut self, batch: &mut [Write]) -> Result<Done, Failure> {
        let server = self.server.load(Ordering::Acquire);
        let id = GroupId { server, group: self.groups + 1 };
        let (refusals, lease_wanted) = (Arc::clone(&self.refusals), Arc::clone(&self.lease_wanted));
        let usual_bytes = Arc::clone(&self.usual_bytes);
        self.link().await?;
        let (link, settled) = (self.link.as_ref().ok_or_else(silent)?, &self.settled);
        let mut needs: BTreeSet<Need> = batch.iter().flat_map(|write| write.needs.iter().cloned()).collect();
        let mut loaded = Arc::new(Loaded::default());
        let mut begin = Some(server);
        let mut head = ChainHead::START;
        for _ in 0..MAX_READS {
            // Nobody else has it: the working set is gone.
            let rows = Arc::get_mut(&mut loaded).ok_or(Failure::Lasting(StoreError::unavailable(Endless)))?;
            let read = timeout(EXCHANGE, load(link, begin.take(), &needs, rows)).await;
            if let Some(found) = read.map_err(|_| Failure::Passing(StoreError::unavailable(Silent)))?? {
                head = found;
            }
            if loaded.slots.is_empty() {
                lease_wanted.notify_one();
                return Err(Failure::Passing(StoreError::unavailable(NoLease)));
            }
            let mut tables = WorkingSet::new(Arc::clone(&loaded));
            let outcome = run(batch, &mut tables, head, Arc::clone(&refusals));
            let written: usize = batch.iter().map(|write| write.bytes).sum();
            usual_bytes.store((loaded.input_bytes() + written) / batch.len().max(1), Ordering::Relaxed);
            if !tables.needs.is_empty() {
                needs = std::mem::take(&mut tables.needs);
                continue;
            }
            let written = outcome?;
            let due = settled.due(&written);
            let writes = Writes::new(tables.changed, head, &written, due).map_err(Failure::Lasting)?;
            let mut done = Done { before: head.revision, written, took_out: !due.is_empty() };
            if writes.is_empty() {
                link.roll_back().await.map_err(|error| Failure::Passing(failed(error)))?;
                done.took_out = false;
                return Ok(done);
            }
            let committed = timeout(EXCHANGE, writes.commit(link, id)).await;
            return match committed {
                Ok(Ok(())) => {
                    self.groups = id.group;
                    Ok(done)
                }
                Ok(Err(error)) if !was_refused(&error) => {
                    self.groups = id.group;
                    self.link = None;
                    Err(Failure::Lost(Lost { id, done: Box::new(done), error: failed(error) }))
                }
                Ok(Err(error)) => Err(by_kind(error)),
                Err(_) => {
                    self.groups = id.group;
                    self.link = None;
                    let error = StoreError::unavailable(Silent);
                    Err(Failure::Lost(Lost { id, done: Box::new(done), error }))
                }
            };
        }
        Err(Failure::Lasting(StoreError::unavailable(Endless)))
    }

    /// Whether a group whose answer was lost is committed: once the log's end can be locked, its transaction has ended one
    /// way or the other. `None` where the database can't be asked.
    async fn inquire(&mut self, lost: &Lost) -> Option<bool> {
        tracing::warn!(
            error = &lost.error as &dyn std::error::Error,
            group = lost.id.group,
            "the answer to a commit was lost; asking what became of it"
        );
        let until = Instant::now() + INQUIRY;
        let mut pause = PAUSES.0;
        loop {
            if let Ok(Ok(last)) = timeout(EXCHANGE, self.last_group(lost.id.server)).await {
                return Some(last >= lost.id.group);
            }
            self.link = None;
            if Instant::now() + pause >= until {
                return None;
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    async fn last_group(&mut self, server: i64) -> Result<i64, Failure> {
        let link = self.link().await?;
        let mut pipeline = link.pipeline();
        pipeline.control("BEGIN");
        pipeline.run(load::HEAD, Vec::new());
        let last = pipeline.run(LAST_GROUP, vec![param(server)]);
        pipeline.control("ROLLBACK");
        let answers = pipeline.send().await.map_err(|error| Failure::Passing(failed(error)))?;
        let row = answers.get(last).and_then(|rows| rows.first());
        let row = row.ok_or_else(|| Failure::Passing(StoreError::unavailable(Silent)))?;
        get(row, 0).map_err(Failure::Passing)
    }
}

fn silent() -> Failure {
    Failure::Passing(StoreError::unavailable(Silent))
}

/// Moves the head on; it never goes back.
pub(super) fn advance(head: &watch::Sender<Revision>, to: Revision) {
    head.send_if_modified(|known| {
        let newer = to > *known;
        *known = to.max(*known);
        newer
    });
}

/// Carries the jobs out on rows in memory.
fn run(
    batch: &mut [Write],
    tables: &mut WorkingSet,
    head: ChainHead,
    refusals: Arc<Refusals>,
) -> Result<Written, Failure> {
    let mut transaction = Transaction::new(tables, head, refusals);
    let mut broken = None;
    for write in batch.iter_mut() {
        // All of them, so that all that is to be read is known.
        if let Err(error) = write.job.run(&mut transaction) {
            broken.get_or_insert(error);
        }
    }
    match broken {
        Some(error) => Err(Failure::Job(error)),
        None => transaction.finish().map_err(Failure::Lasting),
    }
}

/// Whether the database has said that it did not commit. A session that is ended from outside has not said so.
fn was_refused(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| !code.code().starts_with("08") && !code.code().starts_with("57P"))
}

fn by_kind(error: tokio_postgres::Error) -> Failure {
    if is_passing(&error) { Failure::Passing(failed(error)) } else { Failure::Lasting(failed(error)) }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Database(error) => by_kind(error),
            LoadError::Store(error) => Self::Lasting(error),
        }
    }
}

impl Failure {
    fn error(&self) -> &(dyn std::error::Error + 'static) {
        match self {
            Self::Job(error) | Self::Passing(error) | Self::Lasting(error) => error,
            Self::Lost(lost) => &lost.error,
        }
    }

    fn into_error(self) -> StoreError {
        match self {
            Self::Job(error) | Self::Passing(error) | Self::Lasting(error) => error,
            Self::Lost(lost) => StoreError::Unknown(Box::new(lost.error)),
        }
    }
}

/// A commit whose answer was lost, told to everybody who was in it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the answer to the commit was lost")]
struct AnswerLost(#[source] Arc<StoreError>);
