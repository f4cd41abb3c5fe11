//! Connections that read, beside the writer: a few at a time, off the async threads.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::connection::{failed, open_reader, unavailable};
use crate::store::StoreError;

/// A pool of them.
#[derive(Debug)]
pub(super) struct Readers {
    permits: Arc<Semaphore>,
    pool: Arc<Pool>,
}

#[derive(Debug)]
struct Pool {
    folder: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// A pool of at most `max`, opened as they are needed.
    pub(super) fn new(folder: &Path, max: usize) -> Self {
        let pool = Pool { folder: folder.to_owned(), idle: Mutex::new(Vec::new()) };
        Self { permits: Arc::new(Semaphore::new(max)), pool: Arc::new(pool) }
    }

    /// Runs `work` on what the store holds at one moment.
    pub(super) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let pool = self.pool.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let idle = pool.lock().pop();
            let connection = match idle {
                Some(connection) => connection,
                None => open_reader(&pool.folder)?,
            };
            let transaction = connection.unchecked_transaction().map_err(failed)?;
            let outcome = work(&transaction);
            if transaction.finish().is_ok() && !permit.semaphore().is_closed() {
                pool.lock().push(connection);
            }
            drop(permit);
            outcome
        });
        reading.await.map_err(unavailable)?
    }

    pub(super) fn is_closed(&self) -> bool {
        self.permits.is_closed()
    }

    /// Refuses what comes, and closes what is not in use. What is in use is closed after that.
    pub(super) fn close(&self) {
        self.permits.close();
        self.pool.lock().clear();
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
