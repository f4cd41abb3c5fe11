use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// The time that the served engine lives in: the system's, shifted, or stopped.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    shift: SignedDuration,
    stopped_at: Option<Timestamp>,
}

impl Clock {
    pub(crate) fn now(&self) -> Timestamp {
        self.stopped_at.unwrap_or_else(|| shifted(Timestamp::now(), self.shift))
    }

    /// How long until `due`, to sleep for; `None` while the clock is stopped.
    pub(crate) fn until(&self, due: Timestamp) -> Option<Duration> {
        if self.stopped_at.is_some() {
            return None;
        }
        Some(Duration::try_from(due.duration_since(self.now())).unwrap_or_default())
    }

    /// Moves the clock ahead.
    pub(crate) fn advance(&mut self, by: Duration) {
        let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
        self.shift = self.shift.saturating_add(by);
        self.stopped_at = self.stopped_at.map(|time| shifted(time, by));
    }

    pub(crate) fn stop(&mut self) {
        self.stopped_at = Some(self.now());
    }

    /// Goes on from where it stopped.
    pub(crate) fn resume(&mut self) {
        if let Some(time) = self.stopped_at.take() {
            self.shift = time.duration_since(Timestamp::now());
        }
    }
}

fn shifted(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}
