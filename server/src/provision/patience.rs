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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::provision::fake::Fake;

    proptest! {
        #[test]
        fn waits_grow_within_bounds_and_end_at_the_limit(limit in 0_i64..600) {
            let limit = SignedDuration::from_secs(limit);
            let clock = Fake::new().clock;
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let mut patience = Patience::new(&*clock, limit);
            let mut waits = vec![SignedDuration::ZERO];
            loop {
                let before = patience.waited();
                if !runtime.block_on(patience.wait()) {
                    break;
                }
                waits.push(patience.waited() - before);
            }
            prop_assert_eq!(patience.waited(), limit);
            // The last is what is left.
            waits.pop();
            prop_assert!(waits.windows(2).all(|pair| pair[0] <= pair[1]), "{:?}", waits);
            prop_assert!(waits.iter().skip(1).all(|wait| (FIRST..=LONGEST).contains(wait)), "{:?}", waits);
        }
    }
}
