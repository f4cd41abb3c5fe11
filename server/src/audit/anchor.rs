//! Anchors: signed heads that are written beside the store now and then, for somebody to take elsewhere.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::SignedDuration;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{ChainHead, SignedHead, SigningKey};
use crate::{
    clock::SharedClock,
    store::{ExportRange, Exported, Revision, SharedStore, StoreError},
};

/// The end of the file in which its last line is looked for. A line is about 300 bytes.
const LAST_LINE: u64 = 4_096;

/// Writes anchors.
pub struct Anchors {
    /// Where the record is.
    pub store: SharedStore,
    /// For the times of anchors.
    pub clock: SharedClock,
    /// What signs them.
    pub key: Option<Arc<SigningKey>>,
    /// A line of JSON each is appended here.
    pub file: PathBuf,
    /// How often.
    pub interval: Duration,
}

/// Why an anchor was not written.
#[derive(Debug, thiserror::Error)]
enum AnchorError {
    #[error("the head of the record can't be read")]
    Store(#[from] StoreError),
    #[error("the anchor can't be written")]
    File(#[from] io::Error),
}

/// What is compared of an anchor.
#[derive(Debug, Deserialize)]
struct Written {
    revision: Revision,
    hash: String,
}

impl Anchors {
    /// Compares the record with the last anchor; then writes one whenever the interval has passed and the head has
    /// moved, and a last one when told to stop.
    pub async fn run(self, stop: CancellationToken) {
        self.compare().await;
        let mut written = ChainHead::START;
        let interval = SignedDuration::try_from(self.interval).unwrap_or(SignedDuration::MAX);
        loop {
            let next = self.clock.now().checked_add(interval).unwrap_or(jiff::Timestamp::MAX);
            let stopping = tokio::select! {
                () = stop.cancelled() => true,
                () = self.clock.sleep_until(next) => false,
            };
            match self.write(written).await {
                Ok(head) => written = head,
                Err(error) => {
                    error!(error = &error as &dyn std::error::Error, file = %self.file.display(), "the record is not anchored");
                }
            }
            if stopping {
                return;
            }
        }
    }

    /// Writes an anchor if the head is not `written`; the head.
    async fn write(&self, written: ChainHead) -> Result<ChainHead, AnchorError> {
        let head = self.store.chain_head().await?;
        if head == written {
            return Ok(head);
        }
        let signed = SignedHead::new(head, self.clock.now(), self.key.as_deref());
        let mut line = serde_json::to_string(&signed).map_err(io::Error::from)?;
        line.push('\n');
        let file = self.file.clone();
        tokio::task::spawn_blocking(move || append(&file, &line)).await.map_err(io::Error::other)??;
        info!(
            revision = signed.revision,
            hash = %signed.hash,
            create_time = format!("{:.3}", signed.create_time),
            signature = signed.signature,
            key_id = signed.key_id,
            "the record is anchored"
        );
        Ok(head)
    }

    /// Says if the last anchor is not of this record: it was cut short or rewritten since, or an older copy was put back.
    async fn compare(&self) {
        let file = self.file.clone();
        let last = match tokio::task::spawn_blocking(move || last_line(&file)).await.map_err(io::Error::other) {
            Ok(Ok(Some(line))) => line,
            Ok(Ok(None)) => return,
            Ok(Err(error)) | Err(error) => return warn!(%error, "the last anchor can't be read"),
        };
        let Ok(anchor) = serde_json::from_str::<Written>(&last) else {
            return warn!(file = %self.file.display(), "the last anchor can't be understood");
        };
        if anchor.revision == 0 {
            return;
        }
        let range = ExportRange { first: Some(anchor.revision), last: anchor.revision, payloads: false, limit: 1 };
        match self.store.export(range).await {
            Ok(Exported::Some { events, .. }) => match events.first() {
                Some(event) if event.hash.to_string() == anchor.hash => {}
                Some(_) => {
                    error!(revision = anchor.revision, "the record is not the one that was anchored: it was rewritten")
                }
                None => {
                    error!(revision = anchor.revision, "the record is not the one that was anchored: it was cut short")
                }
            },
            Ok(Exported::Compacted(_)) => {}
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "the record can't be compared with its anchor")
            }
        }
    }
}

/// Appends a line, which is on disk afterwards.
fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o644);
    let mut file = options.open(path)?;
    file.write_all(line.as_bytes())?;
    file.sync_data()
}

fn last_line(path: &Path) -> io::Result<Option<String>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LAST_LINE)))?;
    let mut end = Vec::new();
    file.take(LAST_LINE).read_to_end(&mut end)?;
    let end = String::from_utf8_lossy(&end);
    Ok(end.lines().rfind(|line| !line.trim().is_empty()).map(str::to_owned))
}
