//! State that outlives the process: a journal of every call that may change something.
//!
//! The engine is deterministic: the same calls at the same times give the same state, tokens included. So the journal is
//! the calls, one JSON line each, written and synced before a call is applied, and a start replays them. A call that is
//! in the journal but was never answered is one whose answer was lost.
//!
//! | line | |
//! |---|---|
//! | first | `{"journal": 1, "options": {…}}`: the format, and the engine's options with the seed |
//! | others | `{"at": milliseconds since 1970, "sfn": [region, operation, body]}`, or `iam`, `poll`, `cancel`, `end_polls` |
//!
//! The format's number goes up whenever the engine answers otherwise than before: a journal of another format is refused.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::EngineOptions;

const FORMAT: u64 = 1;

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process has it open.
    #[error("the data file is in use by another process")]
    InUse,
    /// The file cannot be opened, read or written.
    #[error("the data file cannot be used")]
    Io(#[source] io::Error),
    /// A line is not one of a journal.
    #[error("line {line} of the data file is not readable")]
    Line {
        /// From 1.
        line: usize,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// It was written with other options, which its replay would need.
    #[error("the data file was written with other options: {found}, and not {wanted}")]
    Options {
        /// Those in the file.
        found: String,
        /// Those given.
        wanted: String,
    },
    /// It was written by a version that behaved otherwise.
    #[error("the data file has format {0}, which this version cannot read; delete it to start anew")]
    Format(u64),
}

/// A call that may change something.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Entry {
    /// Region, operation and body.
    Sfn(String, String, String),
    /// Operation and form.
    Iam(String, String),
    /// Activity and worker.
    Poll(String, Option<String>),
    /// A poll whose client has gone, by its number.
    Cancel(u64),
    EndPolls,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    /// Milliseconds since 1970.
    at: i64,
    call: Entry,
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    journal: u64,
    seed: u64,
    options: Value,
}

/// An open journal, at its end.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
}

/// What was in a journal.
pub(crate) struct Recorded {
    pub(crate) seed: u64,
    pub(crate) calls: Vec<(i64, Entry)>,
}

impl Journal {
    /// Opens or makes the file. A last line that was cut off is dropped: its call was never applied.
    pub(crate) fn open(path: &Path, options: &EngineOptions) -> Result<(Self, Recorded), JournalError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(JournalError::Io)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => JournalError::InUse,
            TryLockError::Error(error) => JournalError::Io(error),
        })?;
        let recorded = read(&mut file, options)?;
        let mut journal = Self { file };
        match recorded {
            Some(recorded) => Ok((journal, recorded)),
            None => {
                let header = Header { journal: FORMAT, seed: options.seed, options: shown(options) };
                journal.write(&header).map_err(JournalError::Io)?;
                Ok((journal, Recorded { seed: options.seed, calls: Vec::new() }))
            }
        }
    }

    /// Makes a call durable.
    pub(crate) fn append(&mut self, at: i64, call: Entry) -> io::Result<()> {
        self.write(&Line { at, call })
    }

    fn write(&mut self, line: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        self.file.write_all(text.as_bytes())?;
        self.file.sync_data()
    }
}

/// Everything up to the last whole line, where the file is left; `None` when there is no such line.
fn read(file: &mut File, options: &EngineOptions) -> Result<Option<Recorded>, JournalError> {
    let mut reader = BufReader::new(&mut *file);
    let (mut text, mut whole, mut recorded) = (Vec::new(), 0_u64, None::<Recorded>);
    for line in 1.. {
        text.clear();
        let length = reader.read_until(b'\n', &mut text).map_err(JournalError::Io)?;
        if text.last() != Some(&b'\n') {
            break;
        }
        whole += length as u64;
        let unreadable = |source| JournalError::Line { line, source };
        match &mut recorded {
            None => {
                let header: Header = serde_json::from_slice(&text).map_err(unreadable)?;
                recorded = Some(checked(&header, options)?);
            }
            Some(recorded) => {
                let Line { at, call } = serde_json::from_slice(&text).map_err(unreadable)?;
                recorded.calls.push((at, call));
            }
        }
    }
    file.set_len(whole).map_err(JournalError::Io)?;
    file.seek(SeekFrom::End(0)).map_err(JournalError::Io)?;
    Ok(recorded)
}

fn checked(header: &Header, options: &EngineOptions) -> Result<Recorded, JournalError> {
    if header.journal != FORMAT {
        return Err(JournalError::Format(header.journal));
    }
    let wanted = shown(options);
    if header.options != wanted {
        return Err(JournalError::Options { found: header.options.to_string(), wanted: wanted.to_string() });
    }
    Ok(Recorded { seed: header.seed, calls: Vec::new() })
}

/// What the engine's answers depend on, but for the seed.
fn shown(options: &EngineOptions) -> Value {
    serde_json::json!({
        "account_id": options.account_id,
        "region": options.region,
        "long_poll_millis": u64::try_from(options.long_poll.as_millis()).unwrap_or(u64::MAX),
        "check_roles": options.check_roles,
        "role_propagation_millis": u64::try_from(options.role_propagation.as_millis()).unwrap_or(u64::MAX),
        "max_closed_executions": options.max_closed_executions,
    })
}
