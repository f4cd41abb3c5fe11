//! A share of the account's quota: a token bucket on the server's clock.

use std::{num::NonZeroU32, time::Duration};

use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, Reference},
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed},
};

use crate::clock::SharedClock;

/// The server's clock, as the limiter reads it.
#[derive(Clone)]
struct LimiterClock(SharedClock);

impl governor::clock::Clock for LimiterClock {
    type Instant = Instant;

    fn now(&self) -> Instant {
        let millis = u64::try_from(self.0.now().as_millisecond()).unwrap_or(0);
        Instant(Nanos::from(Duration::from_millis(millis)))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Instant(Nanos);

impl std::ops::Add<Nanos> for Instant {
    type Output = Self;

    fn add(self, other: Nanos) -> Self {
        Self(self.0 + other)
    }
}

impl Reference for Instant {
    fn duration_since(&self, earlier: Self) -> Nanos {
        self.0.saturating_sub(earlier.0)
    }

    fn saturating_sub(&self, duration: Nanos) -> Self {
        Self(self.0.saturating_sub(duration))
    }
}

/// So many per second, and as many at once.
pub(super) struct Rate {
    limiter: RateLimiter<NotKeyed, InMemoryState, LimiterClock, NoOpMiddleware<Instant>>,
    clock: SharedClock,
    /// Held by the one who waits: all that wait would wake for each that may go.
    turn: tokio::sync::Mutex<()>,
}

impl Rate {
    pub(super) fn new(per_second: u32, clock: SharedClock) -> Self {
        let quota = Quota::per_second(NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN));
        Self {
            limiter: RateLimiter::direct_with_clock(quota, LimiterClock(clock.clone())),
            clock,
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Returns when one more may go; to whoever came first.
    pub(super) async fn ready(&self) {
        let _turn = self.turn.lock().await;
        while let Err(later) = self.limiter.check() {
            let wait = later.wait_time_from(LimiterClock(self.clock.clone()).now());
            // A whole millisecond at least: the clock has no finer ones.
            let wait = jiff::SignedDuration::try_from(wait.max(Duration::from_millis(1))).unwrap_or_default();
            self.clock.sleep_until(self.clock.now() + wait).await;
        }
    }
}
