//! The record of events, exported and checked as an auditor does.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::BufReader,
    path::{Path, PathBuf},
};

use approve_client::{
    Client, ExportEvents,
    audit::{Anchor, Options, Replay, Report, VerifyError, export, verify},
};
use rusqlite::Connection;
use serde_json::Value;

use crate::{Server, ledger::all_approvals};

/// Exports the whole record to a file in `folder`.
pub async fn exported(client: &Client, folder: &Path) -> PathBuf {
    let file = folder.join("record.jsonl");
    export(client, ExportEvents::new(), &file).await.unwrap();
    file
}

/// Checks an exported record.
pub fn checked(file: &Path, anchors: &[Anchor]) -> Result<Report, VerifyError> {
    let options = Options { anchors: anchors.to_vec(), ..Options::default() };
    verify(BufReader::new(File::open(file).unwrap()), &options)
}

/// The records of an exported file, as they stand there.
pub fn records(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter_map(|mut line| line.get_mut("record").map(Value::take)).collect()
}

/// The newest event's place and hash.
pub async fn anchor(client: &Client) -> Anchor {
    client.audit_head().await.unwrap().into()
}

/// The record is whole, and explains where each approval stands; what was found of it.
pub async fn explains_all(client: &Client, folder: &Path) -> Report {
    let file = exported(client, folder).await;
    let report = checked(&file, &[]).unwrap();
    let mut replays: BTreeMap<String, Replay> = BTreeMap::new();
    for record in records(&file) {
        if let Some(id) = record["approval"].as_str() {
            replays.entry(id.to_owned()).or_default().apply(&record.to_string()).unwrap();
        }
    }
    let approvals = all_approvals(client).await;
    for approval in &approvals {
        let replay = replays.remove(&approval.id).unwrap_or_default();
        assert_eq!(replay.status, Some(approval.status()), "{} by its record", approval.id);
        assert_eq!(replay.tasks, approval.task_count, "{}'s tasks by its record", approval.id);
    }
    replays.retain(|_, replay| replay.status.is_some());
    assert!(replays.is_empty(), "the record tells of approvals that there are not: {replays:?}");
    report
}

/// The server's database, as somebody has it who can write to its folder.
pub fn database(server: &Server) -> Connection {
    let connection = Connection::open(server.data_dir().join("approve.db")).unwrap();
    connection.busy_timeout(crate::DEADLINE).unwrap();
    connection.pragma_update(None, "foreign_keys", false).unwrap();
    connection
}
