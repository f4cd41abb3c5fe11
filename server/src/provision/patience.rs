//! Waiting, bounded: for AWS's quota, and for what it has not heard of yet.

use std::future::Future;

use jiff::{SignedDuration, Timestamp};

use crate::{
    clock::Clock,
    stepfunctions::{CallError, Failure},
};

const FIRST: SignedDuration = SignedDuration::from_secs(1);
const LONGEST: SignedDuration = SignedDuration::from_secs(8);

/// A number of waits, each longer than the one before, up to a limit in all.
pub(super) struct Patience<'a> {
    clock: &'a dyn Clock,
    began: Timestamp,
    limit: SignedDuration,
    next: SignedDuration,
}

impl<'a> Patience<'a> {
    pub(super) fn new(clock: &'a dyn Clock, limit: SignedDuration) -> Self {
        Self { clock, began: clock.now(), limit, next: FIRST }
    }

    /// How long it has been.
    pub(super) fn waited(&self) -> SignedDuration {
        self.clock.now().duration_since(self.began)
    }

    /// Waits before the next try; `false` once the limit is reached.
    pub(super) async fn wait(&mut self) -> bool {
        let now = self.clock.now();
        let left = self.limit - now.duration_since(self.began);
        if left <= SignedDuration::ZERO {
            return false;
        }
        let Ok(until) = now.checked_add(self.next.min(left)) else { return false };
        self.clock.sleep_until(until).await;
        self.next = (self.next * 2).min(LONGEST);
        true
    }
}

/// How long a call waits for its quota.
const QUOTA: SignedDuration = SignedDuration::from_secs(30);

/// Makes a call, again while it is throttled: then it had no effect.
pub(super) async fn unthrottled<T, F>(clock: &dyn Clock, mut call: impl FnMut() -> F) -> Result<T, CallError>
where
    F: Future<Output = Result<T, CallError>>,
{
    let mut patience = Patience::new(clock, QUOTA);
    loop {
        match call().await {
            Err(error) if error.failure == Failure::Throttled => {
                if !patience.wait().await {
                    return Err(error);
                }
            }
            outcome => return outcome,
        }
    }
}
