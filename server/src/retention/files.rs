//! The archive's files. Each appears once it is whole and on disk.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde::Serialize;
use serde_json::value::RawValue;

use super::RetentionError;
use crate::{
    audit::{self, Hash},
    store::{ExportRange, Exported, Revision, SharedStore, StoreError, retention::OldEvents},
};

/// The version of the format, which is that of `approve-cli audit export`.
const VERSION: u32 = 1;
/// How many events are read at once.
const PIECE: usize = 500;

#[derive(Serialize)]
struct Header {
    approve_audit: u32,
    from: Revision,
    previous_hash: Hash,
}

#[derive(Serialize)]
struct Line<'a> {
    hash: Hash,
    record: &'a RawValue,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    payloads: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Footer {
    approve_audit_end: u32,
    to: Revision,
    hash: Hash,
}

/// Makes the folder, readable by nobody else, if there is none.
pub(super) async fn folder(folder: &Path) -> io::Result<()> {
    let folder = folder.to_owned();
    blocking(move || {
        if folder.is_dir() {
            return Ok(());
        }
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&folder)
    })
    .await
}

/// Writes events as an exported record.
pub(super) async fn record(
    store: &SharedStore,
    folder: &Path,
    OldEvents { first, last }: OldEvents,
) -> Result<(), RetentionError> {
    let mut text = String::new();
    let mut next = first;
    let mut end = Hash::ZERO;
    while next <= last {
        let range = ExportRange { first: Some(next), last, payloads: true, limit: PIECE };
        let Exported::Some { previous, events } = store.export(range).await? else {
            return Err(RetentionError::Gap(next));
        };
        if next == first {
            push(&mut text, &Header { approve_audit: VERSION, from: first, previous_hash: previous })?;
        }
        if events.is_empty() {
            return Err(RetentionError::Gap(next));
        }
        for event in events {
            if event.revision != next {
                return Err(RetentionError::Gap(next));
            }
            let record: &RawValue = serde_json::from_str(&event.record).map_err(unreadable)?;
            push(&mut text, &Line { hash: event.hash, record, payloads: event.payloads })?;
            end = event.hash;
            next += 1;
        }
    }
    push(&mut text, &Footer { approve_audit_end: VERSION, to: last, hash: end })?;
    write(folder, format!("record-{first:015}.jsonl"), text).await?;
    Ok(())
}

fn push(text: &mut String, line: &impl Serialize) -> Result<(), StoreError> {
    text.push_str(&audit::harmless(line).map_err(unreadable)?);
    text.push('\n');
    Ok(())
}

/// Writes a file, in place of one of that name.
pub(super) async fn write(folder: &Path, name: String, text: String) -> io::Result<()> {
    let folder = folder.to_owned();
    blocking(move || {
        // Of this process alone: another server may write to the same folder.
        let partial: PathBuf = folder.join(format!("{name}.{}.partial", std::process::id()));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&partial)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&partial, folder.join(name))?;
        File::open(&folder)?.sync_all()
    })
    .await
}

async fn blocking(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn unreadable(error: serde_json::Error) -> StoreError {
    StoreError::Corrupt(error.into())
}
