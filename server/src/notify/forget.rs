//! Unsent messages are not kept for ever.

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{clock::SharedClock, store::SharedStore};

/// How long an unsent message is kept after its first try. Longer than any is tried: by then it is a dead letter, or its
/// target is no longer one.
const KEPT: SignedDuration = SignedDuration::from_hours(90 * 24);
/// How many dead letters are kept of a target: the newest.
const MOST: u32 = 10_000;
/// How often it is looked for others.
const EVERY: SignedDuration = SignedDuration::from_hours(1);

/// Until told to stop.
pub(super) async fn run(store: SharedStore, clock: SharedClock, stop: CancellationToken) {
    loop {
        let before = clock.now().checked_sub(KEPT).unwrap_or(Timestamp::MIN);
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            forgotten = store.forget_unsent(before, MOST) => match forgotten {
                Ok(0) => {}
                Ok(messages) => info!(messages, "unsent messages that are old, or too many, were forgotten"),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    warn!(error, "old unsent messages are forgotten later");
                }
            }
        }
        let next = clock.now().checked_add(EVERY).unwrap_or(Timestamp::MAX);
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = clock.sleep_until(next) => {}
        }
    }
}
