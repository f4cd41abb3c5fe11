//! The thread that writes. It takes whatever waits in its queue into one transaction, so that many writes share one
//! flush to the disk, and answers only after that.

use std::{fs::File, sync::Arc, thread::JoinHandle};

use tokio::sync::{mpsc, watch};

use super::{
    connection::{failed, unavailable},
    rows, search,
    tables::SqliteTables,
};
use crate::{
    audit::Refusals,
    store::{
        Revision, StoreError,
        job::{Ask, Job, RolledBack},
        search::Settled,
        tail::Tail,
        transaction::{Transaction, Written},
    },
};

/// A write of this store.
pub(super) type Write = Box<dyn Job<SqliteTables>>;

/// What the writer's thread owns.
pub(super) struct Writer {
    pub(super) tables: SqliteTables,
    pub(super) tail: Arc<Tail>,
    pub(super) head: watch::Sender<Revision>,
    pub(super) refusals: Arc<Refusals>,
    pub(super) settled: Settled,
    /// Approvals up to this number are not in the indexes of lists yet.
    pub(super) unindexed: i64,
    /// How often it was looked for writes while there are such.
    pub(super) turns: u32,
    pub(super) max_batch: usize,
    /// Held until the connection is closed.
    pub(super) lock: File,
}

/// While there always is something to write, older approvals are put into indexes once in so many transactions.
const TURNS_PER_PIECE: u32 = 16;

/// Where writes come together, lets others that are about to be sent come along: they then share the flush.
fn gather(queue: &mut mpsc::Receiver<Write>, batch: &mut Vec<Write>, max_batch: usize) {
    if batch.len() < 2 {
        return;
    }
    std::thread::yield_now();
    while batch.len() < max_batch
        && let Ok(job) = queue.try_recv()
    {
        batch.push(job);
    }
}

enum Failure {
    /// One job broke the transaction.
    Job(StoreError),
    /// The transaction could not begin or commit.
    Transaction(StoreError),
}

impl Writer {
    /// Starts the thread. It ends when every sender of the queue is gone and the queue is empty.
    pub(super) fn start(self, queue: mpsc::Receiver<Write>) -> Result<JoinHandle<()>, StoreError> {
        std::thread::Builder::new().name("store-writer".to_owned()).spawn(|| self.run(queue)).map_err(unavailable)
    }

    fn run(mut self, mut queue: mpsc::Receiver<Write>) {
        let mut batch = Vec::with_capacity(self.max_batch);
        while self.wait(&mut queue, &mut batch) {
            gather(&mut queue, &mut batch, self.max_batch);
            self.carry_out(&mut batch);
        }
        if self.refusals.has_counted() {
            let (job, _) = Ask::new(|transaction: &mut Transaction<'_, _>| transaction.close_refusals());
            // A failure is logged; there is nobody left to tell.
            let _ = self.commit(&mut [Box::new(job)]);
        }
        if let Err(error) = self.tables.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
            tracing::warn!(%error, "the store's log was not merged into its file; the next start will do it");
        }
        drop(self.tables);
        drop(self.lock);
    }

    /// Waits for something to write, with what there is to do besides; whether anything more will come.
    fn wait(&mut self, queue: &mut mpsc::Receiver<Write>, batch: &mut Vec<Write>) -> bool {
        while self.unindexed > 0 {
            while batch.len() < self.max_batch
                && let Ok(job) = queue.try_recv()
            {
                batch.push(job);
            }
            // Even where there always is something to write, a little is done now and then.
            self.turns = self.turns.wrapping_add(1);
            if batch.is_empty() && queue.is_closed() {
                break;
            }
            if batch.is_empty() || self.turns.is_multiple_of(TURNS_PER_PIECE) {
                self.catch_up();
            }
            if !batch.is_empty() {
                return true;
            }
        }
        queue.blocking_recv_many(batch, self.max_batch) > 0
    }

    /// Puts some older approvals into the indexes of lists.
    fn catch_up(&mut self) {
        let piece = |writer: &Self| -> Result<i64, Failure> {
            writer.control("BEGIN IMMEDIATE")?;
            let connection = &writer.tables.connection;
            let left = search::catch_up(connection, writer.unindexed).map_err(Failure::Transaction)?;
            writer.control("COMMIT")?;
            Ok(left)
        };
        self.unindexed = piece(self).unwrap_or_else(|failure| {
            let (Failure::Job(error) | Failure::Transaction(error)) = failure;
            self.roll_back();
            let error: &dyn std::error::Error = &error;
            tracing::warn!(
                error,
                "older approvals were not indexed: lists look through them one by one until the next start"
            );
            0
        });
    }

    fn roll_back(&self) {
        if !self.tables.connection.is_autocommit() {
            let _ = self.tables.connection.execute_batch("ROLLBACK");
        }
    }

    fn carry_out(&mut self, batch: &mut Vec<Write>) {
        match self.commit(batch) {
            Ok(()) => batch.drain(..).for_each(|job| job.answer(Ok(()))),
            // One job may not fail the others: each for itself.
            Err(Failure::Job(_)) if batch.len() > 1 => {
                for mut job in batch.drain(..) {
                    let outcome = self.commit(std::slice::from_mut(&mut job));
                    job.answer(outcome.map_err(|(Failure::Job(error) | Failure::Transaction(error))| error));
                }
            }
            Err(Failure::Job(error) | Failure::Transaction(error)) => {
                let error = Arc::new(error);
                batch.drain(..).for_each(|job| job.answer(Err(unavailable(RolledBack(error.clone())))));
            }
        }
    }

    /// One transaction. After it, the head is what the file says, whatever happened.
    fn commit(&mut self, batch: &mut [Write]) -> Result<(), Failure> {
        let removes = batch.iter().any(|job| job.removes());
        if removes {
            self.check_references(false);
        }
        let outcome = self.try_commit(batch);
        if let Err(Failure::Job(error) | Failure::Transaction(error)) = &outcome {
            let error: &dyn std::error::Error = error;
            tracing::warn!(error, writes = batch.len(), "a transaction was rolled back");
            self.roll_back();
            self.tables.rolled_back();
        }
        if removes {
            self.check_references(true);
        }
        let (Written { head, changes, refusals }, took_out) = outcome?;
        self.refusals = refusals;
        self.settled.committed(took_out, &changes);
        self.tail.push(changes);
        self.head.send_if_modified(|known| std::mem::replace(known, head.revision) != head.revision);
        Ok(())
    }

    /// What was written, and whether what was settled before left the indexes with it.
    fn try_commit(&mut self, batch: &mut [Write]) -> Result<(Written, bool), Failure> {
        self.control("BEGIN IMMEDIATE")?;
        let head = rows::chain_head(&self.tables.connection).map_err(Failure::Transaction)?;
        let mut transaction = Transaction::new(&mut self.tables, head, self.refusals.clone());
        for job in batch.iter_mut() {
            job.run(&mut transaction).map_err(Failure::Job)?;
        }
        let written = transaction.finish().map_err(Failure::Transaction)?;
        let took_out = search::keep(&self.tables.connection, &written, &self.settled).map_err(Failure::Transaction)?;
        self.control("COMMIT")?;
        Ok((written, took_out))
    }

    /// Within a transaction this would be without effect.
    fn check_references(&self, checked: bool) {
        if let Err(error) = self.tables.connection.pragma_update(None, "foreign_keys", checked) {
            tracing::warn!(%error, checked, "whether references are checked was not changed");
        }
    }

    fn control(&self, sql: &str) -> Result<(), Failure> {
        let ran = self.tables.connection.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
        ran.map(drop).map_err(|error| Failure::Transaction(failed(error)))
    }
}
