//! What is asked of the record, and what it answers.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Revision;
use crate::{
    approval::{ApprovalId, Principal},
    audit::Hash,
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
