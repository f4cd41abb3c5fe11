use serde::Deserialize;

use crate::ApprovalStatus;

/// Where an approval stands, by its records alone: what the server says of it must be the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// Where it stands; `None` before its first record.
    pub status: Option<ApprovalStatus>,
    /// Whether the workflow heard of it.
    pub delivered: bool,
    /// How many tasks there have been.
    pub tasks: u32,
    /// Attempts that were refused and have a record of their own.
    pub refused: u64,
}

/// A record that does not explain itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// It is no record.
    #[error("a record can't be read")]
    Unreadable(#[from] serde_json::Error),
    /// It can't have happened after what had happened.
    #[error("event {revision} of type {event_type:?} can't come where an approval stands at {status:?}")]
    Impossible {
        /// Of the event.
        revision: i64,
        /// Its type.
        event_type: String,
        /// Where the approval stood.
        status: Option<ApprovalStatus>,
    },
}

#[derive(Deserialize)]
struct Facts {
    revision: i64,
    #[serde(rename = "type")]
    event_type: String,
}

impl Replay {
    /// Takes the approval's next record.
    ///
    /// # Errors
    /// Where it can't come next.
    pub fn apply(&mut self, record: &str) -> Result<(), ReplayError> {
        let Facts { revision, event_type } = serde_json::from_str(record)?;
        let is_pending = self.status == Some(ApprovalStatus::Pending);
        // A rule may say that what expires is decided: the deadline's event comes first.
        let is_open = is_pending || self.status == Some(ApprovalStatus::Expired);
        let (allowed, next) = match event_type.as_str() {
            "requested" => (self.status.is_none(), Some(ApprovalStatus::Pending)),
            "invalid" => (self.status.is_none(), Some(ApprovalStatus::Invalid)),
            "approved" => (is_open, Some(ApprovalStatus::Approved)),
            "rejected" => (is_open, Some(ApprovalStatus::Rejected)),
            "expired" => (is_pending, Some(ApprovalStatus::Expired)),
            "canceled" => (is_pending, Some(ApprovalStatus::Canceled)),
            "voted" => (is_pending, None),
            "delivered" => (self.status.is_some() && !is_pending && !self.delivered, None),
            _ => (true, None),
        };
        if !allowed {
            return Err(ReplayError::Impossible { revision, event_type, status: self.status });
        }
        self.status = next.or(self.status);
        match event_type.as_str() {
            "requested" | "invalid" => self.tasks = 1,
            // Another task is to be answered.
            "task_bound" => (self.tasks, self.delivered) = (self.tasks + 1, false),
            "delivered" => self.delivered = true,
            "refused" => self.refused += 1,
            _ => {}
        }
        Ok(())
    }
}
