//! Virtual time: tokio's paused clock, counted from a fixed day.

use approve_server::clock::Clock;
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::life::Life;

/// A day in 2026, when every simulation begins.
const EPOCH_MILLIS: i64 = 1_780_000_000_000;

/// The time of a simulation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Time {
    start: Instant,
}

impl Time {
    /// Begins now. The runtime's clock has to be paused.
    #[must_use]
    pub(super) fn begin() -> Self {
        Self { start: Instant::now() }
    }

    /// The time now, in whole milliseconds.
    #[must_use]
    pub(super) fn now(&self) -> Timestamp {
        let millis = i64::try_from(self.start.elapsed().as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millisecond(EPOCH_MILLIS.saturating_add(millis)).unwrap_or(Timestamp::MAX)
    }

    /// Milliseconds since it began.
    #[must_use]
    pub(super) fn millis(&self) -> u128 {
        self.start.elapsed().as_millis()
    }

    /// Returns at `when`.
    pub(super) async fn until(&self, when: Timestamp) {
        let left = when.duration_since(self.now());
        if left > SignedDuration::ZERO {
            tokio::time::sleep(left.unsigned_abs()).await;
        }
    }
}

/// The clock of one server of a simulation. It stands still once the server is dead.
pub(super) struct ServerClock {
    /// The time.
    pub(super) time: Time,
    /// The server's.
    pub(super) life: Life,
}

#[async_trait]
impl Clock for ServerClock {
    fn now(&self) -> Timestamp {
        self.time.now()
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        self.time.until(deadline).await;
        self.life.check().await;
    }
}
