//! Connections that read, a few at a time.

use std::time::Duration;

use deadpool_postgres::{Connect, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime, Timeouts};
use futures::future::BoxFuture;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_postgres::{Row, types::ToSql};
use tokio_util::task::TaskTracker;

use super::connection::{Address, failed, is_crowded};
use crate::store::StoreError;

/// How long a read waits for a connection.
const WAIT: Duration = Duration::from_secs(5);

/// How long it waits before it looks again for one.
const PAUSE: Duration = Duration::from_millis(20);

/// A pool of them.
#[derive(Debug, Clone)]
pub(super) struct Readers(Pool);

struct Connector {
    address: Address,
    tasks: TaskTracker,
}

impl Connect for Connector {
    fn connect(
        &self,
        _: &tokio_postgres::Config,
    ) -> BoxFuture<'_, Result<(tokio_postgres::Client, JoinHandle<()>), tokio_postgres::Error>> {
        Box::pin(self.address.connect(&self.tasks, None))
    }
}

impl Readers {
    /// A pool of at most `max`, opened as they are needed.
    pub(super) fn new(address: &Address, tasks: &TaskTracker, max: usize) -> Result<Self, StoreError> {
        let connector = Connector { address: address.clone(), tasks: tasks.clone() };
        let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_connect(address.config().clone(), connector, config);
        let timeouts = Timeouts { wait: Some(WAIT), create: Some(WAIT), recycle: Some(WAIT) };
        let pool = Pool::builder(manager).max_size(max).timeouts(timeouts).runtime(Runtime::Tokio1).build();
        pool.map(Self).map_err(StoreError::unavailable)
    }

    /// What a statement finds, at one moment.
    pub(super) async fn read(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        match self.try_read(sql, params).await {
            // The connection had ended while it was idle, and the pool did not know.
            Err(Broken::Connection(_)) => self.try_read(sql, params).await.map_err(Broken::into_error),
            outcome => outcome.map_err(Broken::into_error),
        }
    }

    /// Its first row.
    pub(super) async fn first(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>, StoreError> {
        Ok(self.read(sql, params).await?.into_iter().next())
    }

    async fn try_read(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Broken> {
        let client = self.client().await.map_err(Broken::Other)?;
        let broken = |error: tokio_postgres::Error| match error.code() {
            None if client.is_closed() => Broken::Connection(failed(error)),
            _ => Broken::Other(failed(error)),
        };
        let statement = client.prepare_cached(sql).await.map_err(broken)?;
        client.query(&statement, params).await.map_err(broken)
    }

    /// A connection. Where the database gives no more of them, one that is in use is waited for.
    pub(super) async fn client(&self) -> Result<Object, StoreError> {
        let until = Instant::now() + WAIT;
        loop {
            match self.0.get().await {
                Ok(client) => return Ok(client),
                Err(PoolError::Backend(error)) if is_crowded(&error) && Instant::now() + PAUSE < until => {
                    sleep(PAUSE).await;
                }
                Err(PoolError::Backend(error)) => return Err(failed(error)),
                Err(PoolError::Closed) => return Err(StoreError::Closed),
                Err(error) => return Err(StoreError::unavailable(error)),
            }
        }
    }

    /// Gives up what is idle where a connection that matters more could not be made for want of one.
    pub(super) fn make_room(&self, error: &tokio_postgres::Error) {
        if is_crowded(error) {
            self.0.retain(|_, _| false);
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Refuses what comes, and closes what is not in use. What is in use is closed after that.
    pub(super) fn close(&self) {
        self.0.close();
    }
}

enum Broken {
    Connection(StoreError),
    Other(StoreError),
}

impl Broken {
    fn into_error(self) -> StoreError {
        match self {
            Self::Connection(error) | Self::Other(error) => error,
        }
    }
}
