use std::io;

/// What is wrong with an exported record: the first thing that is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The file can't be read.
    #[error("the file can't be read")]
    Io(#[from] io::Error),
    /// Its first line is not that of an exported record.
    #[error("line 1 does not begin an exported record: {problem}")]
    NotAnExport {
        /// What is wrong.
        problem: String,
    },
    /// A line is not what a line is.
    #[error("line {line}, where event {revision} should be, was changed: {problem}")]
    Unreadable {
        /// Which.
        line: u64,
        /// The revision that is due there.
        revision: i64,
        /// What is wrong.
        problem: String,
    },
    /// A record or a hash is not what it was.
    #[error("event {revision} (line {line}) was changed, or does not belong there, or the one before it was rewritten")]
    Changed {
        /// Of the event.
        revision: i64,
        /// Where it stands.
        line: u64,
    },
    /// Events are missing.
    #[error("events {first} to {last} are missing before line {line}")]
    Removed {
        /// The first that is missing.
        first: i64,
        /// The last that is missing there.
        last: i64,
        /// The line after the gap.
        line: u64,
    },
    /// An event is not in its place.
    #[error("event {revision} was moved to line {line}")]
    Moved {
        /// Of the event.
        revision: i64,
        /// Where it stands.
        line: u64,
    },
    /// There is an event too much.
    #[error("event {revision} is there again at line {line}: one was inserted")]
    Inserted {
        /// Of the event.
        revision: i64,
        /// Where it stands.
        line: u64,
    },
    /// A payload is not what was recorded.
    #[error("a payload of event {revision} (line {line}) was changed or does not belong to it: {digest}")]
    Payload {
        /// Of the event.
        revision: i64,
        /// Where it stands.
        line: u64,
        /// Its digest, as the line has it.
        digest: String,
    },
    /// The last line is missing or does not fit: the file is not whole.
    #[error("the file was cut short or lengthened after event {last}")]
    CutShort {
        /// The last event that is there.
        last: i64,
    },
    /// An anchor is not signed by a key that is trusted.
    #[error("the anchor of event {revision} is not signed by a key that was given")]
    BadAnchor {
        /// Of the anchor.
        revision: i64,
    },
    /// The record ends before an anchor.
    #[error("the record ends with event {last}, but event {anchor} was anchored: it was cut short")]
    Truncated {
        /// The last event that is there.
        last: i64,
        /// The anchor's revision.
        anchor: i64,
    },
    /// The record is another one than was anchored.
    #[error("event {anchor} is not the one that was anchored: the record was rewritten{}", since(*.agrees))]
    Forked {
        /// The anchor's revision.
        anchor: i64,
        /// The newest revision before it at which an anchor agrees; up to there nothing was rewritten.
        agrees: Option<i64>,
    },
}

fn since(agrees: Option<i64>) -> String {
    agrees.map(|revision| format!(" after event {revision}")).unwrap_or_default()
}

impl VerifyError {
    /// The revision of the first event that is not as it was, as far as it is known.
    #[must_use]
    pub fn revision(&self) -> Option<i64> {
        match self {
            Self::Unreadable { revision, .. }
            | Self::Changed { revision, .. }
            | Self::Moved { revision, .. }
            | Self::Inserted { revision, .. }
            | Self::Payload { revision, .. } => Some(*revision),
            Self::Removed { first, .. } => Some(*first),
            Self::CutShort { last } | Self::Truncated { last, .. } => Some(last + 1),
            Self::Io(_) | Self::NotAnExport { .. } | Self::BadAnchor { .. } | Self::Forked { .. } => None,
        }
    }
}
