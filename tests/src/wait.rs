//! Waiting for a condition, never for time to pass.

use std::{future::Future, time::Duration};

use tokio::time::Instant;

/// How long anything may take before it counts as broken. Far more than it needs: a slow machine is no failure.
pub const DEADLINE: Duration = Duration::from_secs(60);

const INTERVAL: Duration = Duration::from_millis(10);

/// Asks until `condition` gives something.
///
/// # Panics
/// After [`DEADLINE`], saying `what` did not come true.
pub async fn wait_for<T>(what: &str, condition: impl AsyncFnMut() -> Option<T>) -> T {
    wait_until(what, DEADLINE, condition).await
}

/// Like [`wait_for`], with a deadline of its own.
pub async fn wait_until<T>(what: &str, deadline: Duration, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(Instant::now() < end, "{what}: not within {deadline:?}");
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Waits for a future.
///
/// # Panics
/// After [`DEADLINE`], saying `what` did not happen.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(done) => done,
        Err(_) => panic!("{what}: not within {DEADLINE:?}"),
    }
}
