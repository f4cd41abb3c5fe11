use std::{io, path::PathBuf};

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
    /// A file does not follow on the one before it.
    #[error("the file begins with event {first}, but the one before it ends with event {last}: {}", between(*.last, *.first))]
    NotContinued {
        /// The last event of the file before it.
        last: i64,
        /// The first one of this file.
        first: i64,
    },
    /// An approval that was archived is not what was recorded of it.
    #[error("line {line} of {file}: {}{problem}", of(.approval))]
    Archived {
        /// Its id; empty where the line can't be read.
        approval: String,
        /// The file that it is in.
        file: String,
        /// Where it stands in that.
        line: u64,
        /// What is wrong.
        problem: String,
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

/// What is wrong with several files, and with which of them.
#[derive(Debug, thiserror::Error)]
#[error("{}", .path.display())]
pub struct FileError {
    /// The file that it was found in.
    pub path: PathBuf,
    /// What is wrong.
    pub source: VerifyError,
}

fn of(approval: &str) -> String {
    if approval.is_empty() { String::new() } else { format!("approval {approval} is not what was recorded: ") }
}

fn between(last: i64, first: i64) -> String {
    match first - last {
        1 => "the hashes differ, one of the two was rewritten".to_owned(),
        2.. => format!("events {} to {} are missing", last + 1, first - 1),
        _ => "it is out of order, or there twice".to_owned(),
    }
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
            Self::NotContinued { last, first } => Some(first.min(&(last + 1)).to_owned()),
            Self::Io(_)
            | Self::NotAnExport { .. }
            | Self::BadAnchor { .. }
            | Self::Forked { .. }
            | Self::Archived { .. } => None,
        }
    }
}
