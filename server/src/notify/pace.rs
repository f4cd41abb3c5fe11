//! How fast a target is sent to: at full speed while it takes messages; one by one, with longer and longer waits, while it
//! fails.

use jiff::{SignedDuration, Timestamp};

use crate::worker::backoff::Backoff;

/// Waits of a target that fails.
const TARGET: Backoff = Backoff { min: SignedDuration::from_secs(1), max: SignedDuration::from_mins(1) };
/// Waits of a message that fails.
const MESSAGE: Backoff = Backoff { min: SignedDuration::from_secs(2), max: SignedDuration::from_hours(1) };

/// When a message that has failed so often is tried again.
pub(super) fn again(attempts: u32, random: f64, asked: Option<SignedDuration>) -> SignedDuration {
    MESSAGE.wait(attempts.max(1), random).max(asked.unwrap_or_default())
}

/// How a target has taken what was sent to it last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Pace {
    failures: u32,
    /// Nothing is sent before.
    until: Option<Timestamp>,
}

impl Pace {
    /// Whether it has failed, and takes messages one by one.
    pub(super) fn is_failing(self) -> bool {
        self.failures > 0
    }

    /// How many messages are under way at once.
    pub(super) fn width(self, usual: usize) -> usize {
        if self.is_failing() { 1 } else { usual.max(1) }
    }

    /// Until when nothing is sent.
    pub(super) fn pause(self, now: Timestamp) -> Option<Timestamp> {
        self.until.filter(|until| now < *until)
    }

    /// After some were sent and the target failed at others, or did not; it may have asked to be left alone.
    pub(super) fn after(
        &mut self,
        sent: bool,
        failed: bool,
        asked: Option<SignedDuration>,
        now: Timestamp,
        random: f64,
    ) {
        if sent {
            self.failures = 0;
            self.until = None;
        }
        if failed {
            self.failures = self.failures.saturating_add(1);
            let wait = TARGET.wait(self.failures, random).max(asked.unwrap_or_default());
            self.until = Some(now.checked_add(wait).unwrap_or(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn a_target_that_fails_is_probed_and_one_that_takes_one_message_takes_all() {
        let mut pace = Pace::default();
        assert_eq!((pace.width(8), pace.pause(at(0))), (8, None));
        pace.after(false, true, None, at(0), 1.0);
        assert_eq!((pace.width(8), pace.pause(at(0))), (1, Some(at(1))));
        assert_eq!(pace.pause(at(1)), None);
        pace.after(false, true, Some(SignedDuration::from_secs(90)), at(1), 1.0);
        assert_eq!(pace.pause(at(1)), Some(at(91)));
        pace.after(true, false, None, at(91), 1.0);
        assert_eq!((pace.width(8), pace.pause(at(91))), (8, None));
    }

    #[test]
    fn what_fails_beside_what_is_sent_is_not_counted_up() {
        let mut pace = Pace::default();
        for second in 0..20 {
            pace.after(true, true, None, at(second), 1.0);
        }
        assert_eq!(pace.pause(at(19)), Some(at(20)));
    }

    proptest! {
        #[test]
        fn waits_grow_and_end(failures in 1_u32..200, random in 0.0..1.0_f64, asked in prop::option::of(0_i64..900)) {
            let asked = asked.map(SignedDuration::from_secs);
            let mut pace = Pace::default();
            for _ in 0..failures {
                pace.after(false, true, asked, at(0), random);
            }
            let wait = pace.pause(at(0)).unwrap().duration_since(at(0));
            prop_assert!(wait >= TARGET.min / 2 && wait >= asked.unwrap_or_default());
            prop_assert!(wait <= TARGET.max.max(asked.unwrap_or_default()));
            let message = again(failures, random, asked);
            prop_assert!(message >= MESSAGE.min / 2 && message >= asked.unwrap_or_default());
            prop_assert!(message <= MESSAGE.max.max(asked.unwrap_or_default()));
            prop_assert!(failures < 30 || message >= MESSAGE.max / 2);
        }
    }
}
