//! Wakes a loop when there is work, and not before.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::clock::Clock;

/// The earliest time at which a loop has to look for work again. Set from anywhere, waited for by one loop.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    earliest: Mutex<Option<Timestamp>>,
    changed: Notify,
}

impl Alarm {
    /// Makes the loop look at `when`, or earlier.
    pub(super) fn set(&self, when: Timestamp) {
        let mut earliest = self.earliest.lock().unwrap_or_else(PoisonError::into_inner);
        if earliest.is_none_or(|known| when < known) {
            *earliest = Some(when);
            self.changed.notify_one();
        }
    }

    /// Returns when it is time to look, and forgets that time.
    pub(super) async fn ring(&self, clock: &dyn Clock) {
        loop {
            let earliest = *self.earliest.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(when) = earliest else {
                self.changed.notified().await;
                continue;
            };
            tokio::select! {
                biased;
                () = clock.sleep_until(when) => {
                    *self.earliest.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    return;
                }
                () = self.changed.notified() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[tokio::test]
    async fn an_earlier_time_takes_the_place_of_a_later_one() {
        let alarm = Alarm::default();
        let now = SystemClock.now();
        alarm.set(now + jiff::SignedDuration::from_hours(1));
        alarm.set(now);
        alarm.ring(&SystemClock).await;
        assert!(alarm.earliest.lock().unwrap().is_none());
    }
}
