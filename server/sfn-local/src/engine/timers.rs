//! Everything that is to happen later, in due order.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Due times; timers due at the same instant fire in the order they were set.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    queue: BTreeMap<TimerKey, T>,
    sequence: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct TimerKey {
    due: Timestamp,
    sequence: u64,
}

impl<T> Timers<T> {
    pub(crate) fn new() -> Self {
        Self { queue: BTreeMap::new(), sequence: 0 }
    }

    pub(crate) fn set(&mut self, due: Timestamp, what: T) -> TimerKey {
        self.sequence += 1;
        let key = TimerKey { due, sequence: self.sequence };
        self.queue.insert(key, what);
        key
    }

    pub(crate) fn cancel(&mut self, key: TimerKey) {
        self.queue.remove(&key);
    }

    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.queue.first_key_value().map(|(key, _)| key.due)
    }

    /// The earliest timer that is due at `now`, with its due time.
    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<(Timestamp, T)> {
        let entry = self.queue.first_entry().filter(|entry| entry.key().due <= now)?;
        let (key, what) = entry.remove_entry();
        Some((key.due, what))
    }
}

/// As a list: keys of JSON objects are texts.
impl<T: Serialize> Serialize for Timers<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let queue: Vec<_> = self.queue.iter().collect();
        (queue, self.sequence).serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Timers<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (queue, sequence): (Vec<(TimerKey, T)>, u64) = Deserialize::deserialize(deserializer)?;
        Ok(Self { queue: queue.into_iter().collect(), sequence })
    }
}
