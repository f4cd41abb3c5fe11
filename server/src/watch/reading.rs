//! A read of the store on behalf of a subscriber, which goes on while the subscriber is not looked after: one that stalls
//! holds up neither the store nor those who wait for the same page.

use tokio::task::JoinHandle;

use super::WatchError;
use crate::store::StoreError;

/// What is being read.
pub(super) struct Reading<T>(JoinHandle<Result<T, WatchError>>);

impl<T> Reading<T> {
    pub(super) fn of(task: JoinHandle<Result<T, WatchError>>) -> Self {
        Self(task)
    }

    /// What was read. To be called again where the future was dropped before, and not after that.
    pub(super) async fn done(&mut self) -> Result<T, WatchError> {
        match (&mut self.0).await {
            Ok(read) => read,
            Err(error) => Err(WatchError::Store(StoreError::unavailable(error))),
        }
    }
}
