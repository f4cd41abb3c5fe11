//! A message to a target, and how it is kept while it is not sent.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{notice::Notice, route::Recipient};
use crate::{approval::Approval, store::messages::Unsent};

/// What a target is told beyond the facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Include {
    /// The description.
    Description,
    /// The comments of votes.
    Comments,
    /// What is to be decided about, in full.
    Payload,
}

/// A message to a target.
#[derive(Debug, Clone)]
pub(super) struct Message {
    /// The same at each try.
    pub(super) id: String,
    pub(super) notice: Notice,
    /// To whom, where the target has several recipients.
    pub(super) to: Option<Recipient>,
    /// The approval right after the change; absent where it was kept for another try.
    pub(super) approval: Option<Arc<Approval>>,
    /// What was kept of it.
    pub(super) kept: Option<Unsent>,
}

/// What is kept of a message.
#[derive(Serialize, Deserialize)]
struct Kept {
    notice: Notice,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<Recipient>,
}

impl Message {
    pub(super) fn new(target: &str, notice: Notice, to: Option<Recipient>, approval: Arc<Approval>) -> Self {
        let mut id = format!("{target}.{}.{}", notice.revision, notice.kind.name());
        if let Some(to) = &to {
            let digest = Sha256::digest(to.address.to_ascii_lowercase().as_bytes());
            let digits = digest.iter().take(6).map(|byte| format!("{byte:02x}"));
            id = format!("{id}.{}", digits.collect::<String>());
        }
        Self { id, notice, to, approval: Some(approval), kept: None }
    }

    /// One that was kept. `None`: what was kept can't be read.
    pub(super) fn kept(unsent: Unsent) -> Option<Self> {
        let Kept { notice, to } = serde_json::from_str(&unsent.notice).ok()?;
        Some(Self { id: unsent.id.clone(), notice, to, approval: None, kept: Some(unsent) })
    }

    /// What is to be kept of it.
    pub(super) fn text(&self) -> serde_json::Result<String> {
        serde_json::to_string(&Kept { notice: self.notice.clone(), to: self.to.clone() })
    }
}
