use std::{
    io,
    path::{Path, PathBuf},
};

use approve_proto::v1::AuditEvent;
use futures::TryStreamExt as _;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::{fs, io::AsyncWriteExt as _};

use super::line::{Footer, Header, Line, VERSION, ZERO, harmless};
use crate::{Client, Error, ExportEvents};

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// How many events.
    pub events: u64,
    /// The first one's revision.
    pub first: i64,
    /// The last one's revision.
    pub last: i64,
    /// Its hash.
    pub hash: String,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// A call failed.
    #[error(transparent)]
    Call(#[from] Error),
    /// The file can't be written.
    #[error("can't write {}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The server left an event out, or sent something that is no record.
    #[error("the server sent no record of event {revision}")]
    Gap {
        /// The event that was due.
        revision: i64,
    },
}

/// Writes a range of the record to a file, which is there once it is whole and on disk, in place of what was there.
/// Nobody else may read it: it holds what was decided about.
///
/// Whether the record is what it should be is for [`verify`](super::verify) to say.
///
/// # Errors
/// Those of [`Client::export_events`], and of the file system.
pub async fn export(client: &Client, events: ExportEvents, path: &Path) -> Result<Exported, ExportError> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let outcome = write(client, events, &partial).await;
    let failed = |source| ExportError::File { path: path.to_owned(), source };
    match outcome {
        Ok(exported) => {
            fs::rename(&partial, path).await.map_err(failed)?;
            sync_folder(path).await.map_err(failed)?;
            Ok(exported)
        }
        Err(error) => {
            // It is of no use; if it can't be removed, the next export takes its place.
            let _ = fs::remove_file(&partial).await;
            Err(error)
        }
    }
}

async fn write(client: &Client, events: ExportEvents, path: &Path) -> Result<Exported, ExportError> {
    let failed = |source| ExportError::File { path: path.to_owned(), source };
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    options.mode(0o600);
    let mut file = options.open(path).await.map_err(failed)?;
    let mut responses = client.export_events(events);
    let mut exported: Option<Exported> = None;
    while let Some(response) = responses.try_next().await? {
        let mut text = String::new();
        let exported = exported.get_or_insert_with(|| {
            let from = response.events.first().map_or(1, |event| event.revision);
            let previous_hash = if from == 1 { ZERO.to_owned() } else { response.previous_hash.clone() };
            push(&mut text, &Header { approve_audit: VERSION, from, previous_hash: previous_hash.clone() });
            Exported { events: 0, first: from, last: from - 1, hash: previous_hash }
        });
        for event in response.events {
            exported.last += 1;
            let gap = || ExportError::Gap { revision: exported.last };
            if event.revision != exported.last {
                return Err(gap());
            }
            let line = line(&event).map_err(|_| gap())?;
            text.push_str(&line);
            exported.events += 1;
            exported.hash = event.hash;
        }
        file.write_all(text.as_bytes()).await.map_err(failed)?;
    }
    let exported = exported.ok_or(Error::Protocol { missing: "previous_hash" })?;
    let mut text = String::new();
    push(&mut text, &Footer { approve_audit_end: VERSION, to: exported.last, hash: exported.hash.clone() });
    file.write_all(text.as_bytes()).await.map_err(failed)?;
    file.sync_all().await.map_err(failed)?;
    Ok(exported)
}

fn push(text: &mut String, line: &impl Serialize) {
    // Neither of the two can fail.
    text.push_str(&serde_json::to_string(line).unwrap_or_default());
    text.push('\n');
}

/// The line of an event. A record is written as it is: on one line, whatever the server sent.
fn line(event: &AuditEvent) -> Result<String, serde_json::Error> {
    let record: &RawValue = serde_json::from_str(&event.record_json)?;
    if record.get().contains(['\n', '\r']) {
        return Err(serde::de::Error::custom("a record is one line"));
    }
    let payloads = event.payloads.clone().into_iter().collect();
    let mut line = serde_json::to_string(&Line { hash: event.hash.clone(), record, payloads })?;
    line.push('\n');
    Ok(harmless(line))
}

/// A new name is on disk once its folder is.
async fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder).await?.sync_all().await
}
