//! State that outlives the process: a snapshot, and a journal of every call since that may change something.
//!
//! The engine is deterministic: the same calls at the same times give the same state, tokens included. So the journal is
//! the calls, one JSON line each, written and synced before a call is applied, and a start replays them on the snapshot.
//! A call that is in the journal but was never answered is one whose answer was lost.
//!
//! | line | |
//! |---|---|
//! | first | `{"journal": 3, "options": {…}, "snapshot": true}`: the format, and the engine's options with the seed |
//! | second, with `"snapshot": true` | the engine, as [`Engine::save`] writes it |
//! | others | `{"at": milliseconds since 1970, "call": {"sfn": [region, operation, body]}}`, or `iam`, `poll`, `cancel`, `end_polls` |
//!
//! Once the calls take more room than the snapshot that would replace them is likely to, a new file is written beside
//! this one, synced, and renamed over it: a crash leaves the one or the other, whole. So the file is no larger than a few
//! times the state. Another file beside it, `….lock`, is what keeps a second process out.
//!
//! The format's number goes up whenever the engine answers otherwise than before: a journal of another format is refused.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, BufRead as _, BufReader, BufWriter, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::{Engine, EngineOptions};

const FORMAT: u64 = 3;

/// Calls may always take this many bytes before a snapshot replaces them.
const SLACK: u64 = 4 * 1024 * 1024;
/// Beyond that, calls may take this many times what the snapshot took.
const GROWTH: u64 = 2;

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
    /// The snapshot is not one of an engine.
    #[error("the state in the data file is not readable")]
    State(#[source] serde_json::Error),
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
    #[serde(default)]
    snapshot: bool,
}

/// An open journal, at its end.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    path: PathBuf,
    /// Held while the journal is open, whichever file has its name.
    _lock: File,
    header: Header,
    /// Bytes of whole lines; what is beyond was never applied.
    length: u64,
    /// There may be more than that.
    rest: bool,
    /// Bytes of the header and the snapshot.
    base: u64,
    /// The next snapshot is due beyond this length.
    limit: u64,
}

/// What was in a journal.
pub(crate) struct Recorded {
    pub(crate) seed: u64,
    /// What [`Engine::save`] wrote.
    pub(crate) snapshot: Option<String>,
    pub(crate) calls: Vec<(i64, Entry)>,
}

impl Journal {
    /// Opens or makes the file. A last line that was cut off is dropped: its call was never applied.
    pub(crate) fn open(path: &Path, options: &EngineOptions) -> Result<(Self, Recorded), JournalError> {
        let open = |path: &Path| {
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(JournalError::Io)
        };
        let lock = open(&beside(path, "lock"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => JournalError::InUse,
            TryLockError::Error(error) => JournalError::Io(error),
        })?;
        let mut file = open(path)?;
        let found = read(&mut file)?;
        let header = Header { journal: FORMAT, seed: options.seed, options: shown(options), snapshot: false };
        let mut journal = Self {
            file,
            path: path.to_owned(),
            _lock: lock,
            header,
            length: found.length,
            rest: false,
            base: found.base,
            limit: 0,
        };
        let recorded = match found.header {
            Some(header) => {
                check(&header, options)?;
                journal.header.seed = header.seed;
                Recorded { seed: header.seed, snapshot: found.snapshot, calls: found.calls }
            }
            None => {
                journal.write_header().map_err(JournalError::Io)?;
                Recorded { seed: options.seed, snapshot: None, calls: Vec::new() }
            }
        };
        journal.limit = journal.base + SLACK.max(journal.base * GROWTH);
        Ok((journal, recorded))
    }

    fn write_header(&mut self) -> io::Result<()> {
        let line = line(&self.header)?;
        self.write(&line)?;
        self.base = self.length;
        // A new file's name is to be there, too, once a call is.
        sync_folder(&self.path)
    }

    /// Makes a call durable.
    pub(crate) fn append(&mut self, at: i64, call: Entry) -> io::Result<()> {
        let line = line(&Line { at, call })?;
        self.write(&line)
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        self.drop_rest()?;
        self.rest = true;
        match self.file.write_all(line).and_then(|()| self.file.sync_data()) {
            Ok(()) => {
                self.rest = false;
                self.length += line.len() as u64;
                Ok(())
            }
            Err(error) => {
                // Where even that fails, the next call tries again.
                let _ = self.drop_rest();
                Err(error)
            }
        }
    }

    /// Drops what got through of a line that could not be written.
    fn drop_rest(&mut self) -> io::Result<()> {
        if self.rest {
            self.file.set_len(self.length)?;
            self.file.seek(SeekFrom::Start(self.length))?;
            self.rest = false;
        }
        Ok(())
    }

    /// Whether the calls have outgrown the snapshot.
    pub(crate) fn is_due(&self) -> bool {
        self.length > self.limit
    }

    /// Replaces the snapshot and the calls by `engine`. After a failure the journal is as it was, and due later.
    pub(crate) fn compact(&mut self, engine: &Engine) -> io::Result<()> {
        self.limit = self.length * GROWTH;
        self.header.snapshot = true;
        let new = beside(&self.path, "new");
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&new)?;
        let mut writer = BufWriter::new(file);
        writer.write_all(&line(&self.header)?)?;
        engine.save(&mut writer)?;
        writer.write_all(b"\n")?;
        let mut file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        let length = file.stream_position()?;
        std::fs::rename(&new, &self.path)?;
        (self.file, self.length, self.base) = (file, length, length);
        self.limit = length + SLACK.max(length * GROWTH);
        sync_folder(&self.path)
    }
}

fn line(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

/// Makes a file's name durable.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[derive(Default)]
struct Found {
    header: Option<Header>,
    snapshot: Option<String>,
    calls: Vec<(i64, Entry)>,
    /// Up to the end of the last whole line.
    length: u64,
    base: u64,
}

/// Everything up to the last whole line, where the file is left.
fn read(file: &mut File) -> Result<Found, JournalError> {
    let mut reader = BufReader::new(&mut *file);
    let (mut text, mut found) = (Vec::new(), Found::default());
    for line in 1.. {
        text.clear();
        let length = reader.read_until(b'\n', &mut text).map_err(JournalError::Io)?;
        if text.last() != Some(&b'\n') {
            break;
        }
        found.length += length as u64;
        let unreadable = |source| JournalError::Line { line, source };
        match &found.header {
            None => found.header = Some(serde_json::from_slice(&text).map_err(unreadable)?),
            Some(Header { journal: FORMAT, snapshot: true, .. }) if line == 2 => {
                let text = std::mem::take(&mut text);
                found.snapshot =
                    Some(String::from_utf8(text).map_err(|error| unreadable(serde::de::Error::custom(error)))?);
            }
            // What another format has in its lines is not known.
            Some(Header { journal, .. }) if *journal != FORMAT => break,
            Some(_) => {
                let Line { at, call } = serde_json::from_slice(&text).map_err(unreadable)?;
                found.calls.push((at, call));
                continue;
            }
        }
        found.base = found.length;
    }
    if found.header.as_ref().is_none_or(|header| header.journal == FORMAT) {
        file.set_len(found.length).map_err(JournalError::Io)?;
        file.seek(SeekFrom::End(0)).map_err(JournalError::Io)?;
    }
    Ok(found)
}

fn check(header: &Header, options: &EngineOptions) -> Result<(), JournalError> {
    if header.journal != FORMAT {
        return Err(JournalError::Format(header.journal));
    }
    let wanted = shown(options);
    if header.options != wanted {
        return Err(JournalError::Options { found: header.options.to_string(), wanted: wanted.to_string() });
    }
    Ok(())
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
        "limits": [options.limits.activities, options.limits.state_machines, options.limits.open_executions],
    })
}
