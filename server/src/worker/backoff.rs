//! How long to wait before the next try.

use jiff::SignedDuration;

/// Bounded exponential backoff with jitter: the n-th wait is between half of `min × 2ⁿ` and all of it, and never over
/// `max`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    /// The first wait.
    pub(crate) min: SignedDuration,
    /// The longest wait.
    pub(crate) max: SignedDuration,
}

impl Backoff {
    /// For calls to Step Functions that failed.
    pub(crate) const CALLS: Self = Self { min: SignedDuration::from_millis(200), max: SignedDuration::from_secs(30) };
    /// For a store that does not answer.
    pub(crate) const STORE: Self = Self { min: SignedDuration::from_millis(50), max: SignedDuration::from_secs(5) };

    /// The wait after `tries` failed tries, of which there is at least one. `random` is in 0..1.
    #[must_use]
    pub(crate) fn wait(&self, tries: u32, random: f64) -> SignedDuration {
        let doubled = 1_i32.checked_shl(tries.saturating_sub(1).min(20)).unwrap_or(i32::MAX);
        let whole = self.min.checked_mul(doubled).unwrap_or(self.max).min(self.max);
        whole / 2 + (whole / 2).mul_f64(random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_wait_is_within_its_bounds(tries in 1..2_000_u32, random in 0.0..1.0_f64) {
            for backoff in [Backoff::CALLS, Backoff::STORE] {
                let wait = backoff.wait(tries, random);
                prop_assert!(wait >= backoff.min / 2);
                prop_assert!(wait <= backoff.max);
                prop_assert!(tries < 30 || wait >= backoff.max / 2);
            }
        }
    }
}
