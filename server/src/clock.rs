//! Time, injected: production reads the system's, tests drive their own.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

/// What the server takes for time. All stored times have millisecond precision.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// The time now, in whole milliseconds.
    fn now(&self) -> Timestamp;

    /// Returns once `now()` has reached `deadline`.
    async fn sleep_until(&self, deadline: Timestamp);
}

/// A clock shared by all parts of the server.
pub type SharedClock = Arc<dyn Clock>;

/// The system's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        whole_millis(Timestamp::now())
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        // The wall clock may be set back while we sleep: look again.
        loop {
            let left = deadline.duration_since(self.now());
            match std::time::Duration::try_from(left) {
                Ok(left) if !left.is_zero() => tokio::time::sleep(left).await,
                _ => return,
            }
        }
    }
}

/// Drops what is finer than a millisecond, so that a time survives the store unchanged.
#[must_use]
pub fn whole_millis(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}
