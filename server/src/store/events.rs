//! What is asked of the record, and what it answers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::{Revision, StoreError, codec::decode};
use crate::{
    approval::{ApprovalId, Principal},
    audit::{Hash, RecordFacts},
};

/// An event, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its revision.
    pub revision: Revision,
    /// Its record's exact text ([`crate::audit::Record`]).
    pub record: String,
    /// Its hash.
    pub hash: Hash,
    /// What is kept of the payloads that the record names by their SHA-256: by that one, their text. Empty unless asked
    /// for.
    pub payloads: BTreeMap<String, String>,
}

/// Which events. Fields combine with AND.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventQuery {
    /// Of this approval.
    pub approval: Option<ApprovalId>,
    /// By this principal, or on behalf of it.
    pub actor: Option<Principal>,
    /// Of this workflow.
    pub workflow: Option<String>,
    /// Of one of these types; empty: any.
    pub types: Vec<String>,
    /// Not before then.
    pub start: Option<Timestamp>,
    /// Before then.
    pub end: Option<Timestamp>,
    /// Before this revision.
    pub before: Option<Revision>,
    /// How many at most.
    pub limit: usize,
}

impl EventQuery {
    /// Whether an event with this record is one of those that are asked for, but for the approval and the place.
    pub(super) fn matches(&self, record: &str) -> Result<bool, StoreError> {
        let facts = RecordFacts::of(record).map_err(StoreError::corrupt)?;
        let actor =
            |actor: &Principal| facts.by == actor.as_str() || facts.on_behalf_of.as_deref() == Some(actor.as_str());
        Ok(self.actor.as_ref().is_none_or(actor)
            && self.workflow.as_deref().is_none_or(|workflow| facts.workflow.as_deref() == Some(workflow))
            && (self.types.is_empty() || self.types.iter().any(|kind| facts.kind == *kind))
            && self.start.is_none_or(|start| facts.at >= start)
            && self.end.is_none_or(|end| facts.at < end))
    }
}

/// The digests that a record names, of what is kept beside it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PayloadNames {
    input_sha256: Option<String>,
    description_sha256: Option<String>,
    vote: Option<VoteDigest>,
}

#[derive(Debug, Deserialize)]
struct VoteDigest {
    voter: String,
    response_sha256: Option<String>,
}

impl PayloadNames {
    /// Those of a record, if it names any.
    pub(super) fn of(record: &str) -> Result<Option<Self>, StoreError> {
        #[derive(Deserialize)]
        struct Named {
            #[serde(default)]
            detail: PayloadNames,
        }
        if !record.contains("_sha256\":") {
            return Ok(None);
        }
        decode(record).map(|Named { detail }| Some(detail))
    }

    /// Whether it names something of what was asked.
    pub(super) fn of_request(&self) -> bool {
        self.input_sha256.is_some() || self.description_sha256.is_some()
    }

    /// Whose response it names, and its digest.
    pub(super) fn of_vote(&self) -> Option<(&str, &str)> {
        let VoteDigest { voter, response_sha256 } = self.vote.as_ref()?;
        Some((voter, response_sha256.as_deref()?))
    }

    /// Keeps what it names of what was asked.
    pub(super) fn keep_request(&self, input: &str, description: &str, found: &mut BTreeMap<String, String>) {
        found.extend(self.input_sha256.clone().map(|digest| (digest, input.to_owned())));
        found.extend(self.description_sha256.clone().map(|digest| (digest, description.to_owned())));
    }
}

/// A page of events, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPage {
    /// The events, without payloads.
    pub events: Vec<Recorded>,
    /// What `before` of the next page is; `None` at the end. A page may be short although more follow: a query that
    /// matches little is looked for in bounded pieces.
    pub next: Option<Revision>,
}

/// Which events to export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportRange {
    /// From this revision, at least 1; `None`: from the oldest that is kept.
    pub first: Option<Revision>,
    /// Up to this one.
    pub last: Revision,
    /// With payloads.
    pub payloads: bool,
    /// How many at most.
    pub limit: usize,
}

/// A piece of the record, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exported {
    /// The first events of the range.
    Some {
        /// The hash before them.
        previous: Hash,
        /// The events; none only where the range has none. Fewer than asked for where payloads are long.
        events: Vec<Recorded>,
    },
    /// The range begins with what is no longer kept; this is the newest revision that is not.
    Compacted(Revision),
}
