//! Writes that wait for a transaction, which they share with others.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{StoreError, tables::Tables, transaction::Transaction};

/// A write that waits, or is being carried out.
pub(super) trait Job<T: Tables>: Send {
    /// Carries it out and keeps its outcome. May be called again after a rollback. An error after something was written
    /// is returned, to be rolled back; one before is the job's own.
    fn run(&mut self, transaction: &mut Transaction<'_, T>) -> Result<(), StoreError>;

    /// Whether it removes rows that others refer to, which it knows of: a database that checks each reference would look
    /// through whole tables for them.
    fn removes(&self) -> bool {
        false
    }

    /// Answers with the outcome that was kept, or with what became of the transaction.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

/// A job that is a function, and whoever waits for it.
pub(super) struct Ask<F, O> {
    work: F,
    outcome: Option<Result<O, StoreError>>,
    reply: oneshot::Sender<Result<O, StoreError>>,
}

impl<F, O> Ask<F, O> {
    pub(super) fn new(work: F) -> (Self, oneshot::Receiver<Result<O, StoreError>>) {
        let (reply, answer) = oneshot::channel();
        (Self { work, outcome: None, reply }, answer)
    }
}

impl<T, F, O> Job<T> for Ask<F, O>
where
    T: Tables,
    F: FnMut(&mut Transaction<'_, T>) -> Result<O, StoreError> + Send,
    O: Send,
{
    fn run(&mut self, transaction: &mut Transaction<'_, T>) -> Result<(), StoreError> {
        let before = transaction.tables.writes();
        let outcome = (self.work)(transaction);
        match outcome {
            Err(error) if transaction.tables.is_broken() || transaction.tables.writes() != before => Err(error),
            outcome => {
                self.outcome = Some(outcome);
                Ok(())
            }
        }
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let outcome = match committed {
            Ok(()) => self.outcome.unwrap_or(Err(StoreError::Closed)),
            Err(error) => Err(error),
        };
        // Whoever asked may be gone; what was written stays written.
        let _ = self.reply.send(outcome);
    }
}

/// A job that removes rows that others refer to.
pub(super) struct Removing<J>(pub(super) J);

impl<T: Tables, J: Job<T>> Job<T> for Removing<J> {
    fn run(&mut self, transaction: &mut Transaction<'_, T>) -> Result<(), StoreError> {
        self.0.run(transaction)
    }

    fn removes(&self) -> bool {
        true
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        Box::new(self.0).answer(committed);
    }
}

/// A transaction that failed, told to everybody who was in it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the transaction was rolled back")]
pub(super) struct RolledBack(#[source] pub(super) Arc<StoreError>);
