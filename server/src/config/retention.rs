//! Settings of what is moved out of the store.

use std::{path::PathBuf, time::Duration};

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::{ConfigError, value_error};
use crate::{retention, store::REQUEST_KEY_LIFE};

/// What is moved out of the store, into files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// How long ago an approval must have finished, and an event must have been: "365d", "26h". At least a day. Absent:
    /// everything is kept.
    pub after: Option<String>,
    /// Where it is moved to; made if there is none. Needed where `after` is set.
    pub folder: Option<PathBuf>,
    /// How many approvals at a time, in one transaction and one file. 1 to 10,000.
    pub batch: usize,
    /// How long others are left alone between two, in milliseconds.
    pub pause_milliseconds: u32,
    /// How often it is looked for what is old enough, in seconds. At least 1.
    pub every_seconds: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { after: None, folder: None, batch: 200, pause_milliseconds: 50, every_seconds: 3_600 }
    }
}

impl Retention {
    /// How to do it, if it is to be done.
    ///
    /// # Errors
    /// Where a setting can't be used.
    pub fn settings(&self) -> Result<Option<retention::Settings>, ConfigError> {
        let Some(text) = &self.after else { return Ok(None) };
        let Some(folder) = self.folder.clone() else {
            return Err(value_error("retention.folder", "expected a folder: what is removed is written there first"));
        };
        let span = text.parse::<jiff::Span>().ok();
        let after = span.and_then(|span| span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok());
        let least = SignedDuration::try_from(REQUEST_KEY_LIFE).unwrap_or(SignedDuration::MAX);
        let after = after.filter(|after| *after >= least).ok_or_else(|| {
            value_error("retention.after", format!("{text:?}: expected a span of at least a day, like \"365d\""))
        })?;
        if !(1..=10_000).contains(&self.batch) {
            return Err(value_error("retention.batch", "expected 1 to 10,000"));
        }
        if self.every_seconds == 0 {
            return Err(value_error("retention.every_seconds", "expected at least 1"));
        }
        Ok(Some(retention::Settings {
            folder,
            after,
            batch: self.batch,
            pause: Duration::from_millis(self.pause_milliseconds.into()),
            every: Duration::from_secs(self.every_seconds.into()),
        }))
    }
}
