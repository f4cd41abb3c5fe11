//! Refused attempts, recorded in bounds: whoever is refused again and again must not fill the disk.
//!
//! A caller's first refusal opens a window of a minute. In it each refusal that is unlike the others has a record of its
//! own, at once, up to [`MAX_TOLD`]. All others are counted, and the count is one record more once the window is over:
//! with the next write after it, or when the server stops. What a crash takes is that count of a minute, no record.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::Described;
use crate::approval::{ApprovalId, Origin, Via};

/// How long refusals of a caller are taken together.
pub const WINDOW: SignedDuration = SignedDuration::from_secs(60);
/// How many refusals of a caller have a record of their own within a window.
pub const MAX_TOLD: usize = 20;
/// How many callers are told apart at once; those beyond share one window.
pub const MAX_CALLERS: usize = 1_000;

/// Something that a caller tried, and was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// On this approval, which need not exist.
    pub approval: Option<ApprovalId>,
    /// What: the record's `detail`, without the reason.
    pub tried: Map<String, Value>,
    /// The API's name of the reason.
    pub reason: String,
}

impl Attempt {
    /// What its record says.
    ///
    /// # Errors
    /// None that are known.
    pub fn describe(&self) -> serde_json::Result<Described> {
        let mut detail = self.tried.clone();
        detail.insert("reason".to_owned(), self.reason.clone().into());
        Described::new("refused", &detail)
    }
}

/// Refusals that were counted and have no record of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeated {
    /// Who: the server itself for callers beyond [`MAX_CALLERS`].
    pub origin: Origin,
    /// When the last one was.
    pub until: Timestamp,
    /// The record's `detail`.
    pub detail: Map<String, Value>,
}

impl Repeated {
    /// What its record says.
    ///
    /// # Errors
    /// None that are known.
    pub fn describe(&self) -> serde_json::Result<Described> {
        Described::new("refused_again", &self.detail)
    }
}

/// The windows that are open.
#[derive(Debug, Clone, Default)]
pub struct Refusals {
    /// By caller and whom they act for, or where they call from; `None`: all others.
    windows: BTreeMap<Option<(String, Option<String>)>, Window>,
}

#[derive(Debug, Clone)]
struct Window {
    origin: Origin,
    since: Timestamp,
    until: Timestamp,
    told: BTreeSet<String>,
    /// By reason.
    counted: BTreeMap<String, u64>,
}

impl Refusals {
    /// Notes a refusal; whether it is to have a record of its own. Windows that are over are to be closed first.
    pub fn note(&mut self, origin: &Origin, attempt: &Attempt, at: Timestamp) -> bool {
        // Whoever is not known is told apart by where they call from.
        let more = match origin.via {
            Via::System => origin.address.clone(),
            _ => origin.on_behalf_of.as_ref().map(ToString::to_string),
        };
        let mut key = Some((origin.by.to_string(), more));
        if !self.windows.contains_key(&key) && self.windows.len() >= MAX_CALLERS {
            key = None;
        }
        let shared = key.is_none();
        let window = self.windows.entry(key).or_insert_with(|| Window {
            origin: if shared { Origin::system("audit") } else { origin.clone() },
            since: at,
            until: at,
            told: BTreeSet::new(),
            counted: BTreeMap::new(),
        });
        window.until = window.until.max(at);
        let is_new = window.told.len() < MAX_TOLD && window.told.insert(format!("{attempt:?}"));
        if !is_new {
            *window.counted.entry(attempt.reason.clone()).or_default() += 1;
        }
        is_new
    }

    /// Whether a window is over.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.windows.values().any(|window| window.is_over(now))
    }

    /// Closes the windows that are over; what was counted in them.
    pub fn close(&mut self, now: Timestamp) -> Vec<Repeated> {
        self.windows
            .extract_if(.., |_, window| window.is_over(now))
            .filter_map(|(_, window)| window.repeated())
            .collect()
    }

    /// Closes all windows; what was counted in them.
    pub fn close_all(&mut self) -> Vec<Repeated> {
        std::mem::take(&mut self.windows).into_values().filter_map(Window::repeated).collect()
    }

    /// Whether closing all windows would tell of something.
    #[must_use]
    pub fn has_counted(&self) -> bool {
        self.windows.values().any(|window| !window.counted.is_empty())
    }
}

impl Window {
    fn is_over(&self, now: Timestamp) -> bool {
        now.duration_since(self.since) >= WINDOW
    }

    fn repeated(self) -> Option<Repeated> {
        if self.counted.is_empty() {
            return None;
        }
        let mut detail = Map::new();
        detail.insert("since".to_owned(), format!("{:.3}", self.since).into());
        detail.insert("until".to_owned(), format!("{:.3}", self.until).into());
        detail.insert("count".to_owned(), self.counted.values().sum::<u64>().into());
        let reasons = self.counted.into_iter().map(|(reason, count)| (reason, Value::from(count)));
        detail.insert("reasons".to_owned(), Value::Object(reasons.collect()));
        Some(Repeated { origin: self.origin, until: self.until, detail })
    }
}
