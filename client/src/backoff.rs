use std::time::Duration;

/// How long to wait before the next try: a random time between `min` and a bound that doubles with each failure, up to
/// `max`. The randomness comes from outside.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        Self { min: min.min(max), max, failures: 0 }
    }

    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Counts a failure. `jitter` is in 0..=1; `hint` is what the server asked for, which is kept to where it is within
    /// bounds.
    pub(crate) fn next(&mut self, jitter: f64, hint: Option<Duration>) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let factor = 1u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        let bound = self.min.saturating_mul(factor).min(self.max);
        let spread = bound.saturating_sub(self.min);
        let delay = self.min + spread.mul_f64(jitter.clamp(0.0, 1.0));
        delay.max(hint.unwrap_or_default()).clamp(self.min, self.max)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_delay_is_within_bounds(
            min in 0u64..10_000,
            max in 0u64..100_000,
            steps in proptest::collection::vec((0.0f64..=1.0, proptest::option::of(0u64..1_000_000)), 1..80),
        ) {
            let (min, max) = (Duration::from_millis(min), Duration::from_millis(max));
            let mut backoff = Backoff::new(min, max);
            for (jitter, hint) in steps {
                let delay = backoff.next(jitter, hint.map(Duration::from_millis));
                prop_assert!(delay >= min.min(max), "{delay:?} < {min:?}");
                prop_assert!(delay <= max, "{delay:?} > {max:?}");
            }
        }
    }

    #[test]
    fn the_bound_grows_and_a_reset_takes_it_back() {
        let (min, max) = (Duration::from_millis(100), Duration::from_secs(2));
        let mut backoff = Backoff::new(min, max);
        let bounds: Vec<_> = (0..6).map(|_| backoff.next(1.0, None).as_millis()).collect();
        assert_eq!(bounds, [200, 400, 800, 1600, 2000, 2000]);
        backoff.reset();
        assert_eq!(backoff.next(1.0, None).as_millis(), 200);
        assert_eq!(backoff.next(0.0, None), min);
    }

    #[test]
    fn the_servers_wish_is_honoured() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
        let wish = Duration::from_secs(7);
        assert_eq!(backoff.next(0.5, Some(wish)), wish);
    }
}
