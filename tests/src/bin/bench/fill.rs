//! A store with many approvals, written without a server.

use std::{fs, path::Path, sync::Arc};

use approve_server::{
    approval::{ApproverSet, Labels, Priority, Request, Rule, Source, Stage, TaskInput, TaskToken},
    clock::{Clock as _, SystemClock},
    entropy::{SystemEntropy, uuid_v7},
    store::{
        Admission, Admitted, IdentityUse, Store,
        sqlite::{Options, SqliteStore},
    },
};
use jiff::SignedDuration;
use rusqlite::Connection;
use tokio::task::JoinSet;

use crate::setup::WORKFLOW;

/// What waits for a flush at once.
const WRITERS: usize = 512;
/// One of so many has the rare label, the rare approvers, the rare text.
pub(crate) const RARE: usize = 10_000;
/// The store's file.
const FILE: &str = "approve.db";
/// Longer than anything here.
const HEARTBEAT: SignedDuration = SignedDuration::from_hours(24);

pub(crate) const RARE_LABEL: (&str, &str) = ("team", "board");
pub(crate) const COMMON_LABEL: (&str, &str) = ("team", "finance");
pub(crate) const RARE_TEXT: &str = "a house";
pub(crate) const COMMON_TEXT: &str = "pay inv";

/// What is in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fill {
    /// So many approvals, each of which takes two votes…
    pub(crate) approvals: usize,
    /// …of which the newest so many are pending, and the others approved…
    pub(crate) pending: usize,
    /// …each with an input of so many bytes.
    pub(crate) input: usize,
}

impl Fill {
    /// All of them pending.
    pub(crate) fn pending(count: usize, input: usize) -> Self {
        Self { approvals: count, pending: count, input }
    }
}

/// Fills a store; where `stores` keeps them, copies the one that is there, or keeps this one.
pub(crate) async fn fill_or_copy(folder: &Path, fill: &Fill, stores: Option<&Path>) {
    let Some(stores) = stores else { return self::fill(folder, fill).await };
    let Fill { approvals, pending, input } = fill;
    let kept = stores.join(format!("{approvals}-{pending}-{input}"));
    if !kept.join(FILE).is_file() {
        let unfinished = stores.join("unfinished");
        let _ = fs::remove_dir_all(&unfinished);
        fs::create_dir_all(&unfinished).unwrap();
        self::fill(&unfinished, fill).await;
        fs::rename(unfinished, &kept).unwrap();
    }
    fs::create_dir_all(folder).unwrap();
    fs::copy(kept.join(FILE), folder.join(FILE)).unwrap();
}

async fn fill(folder: &Path, fill: &Fill) {
    let store = Arc::new(SqliteStore::open(folder, Options::default()).unwrap());
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (store, fill) = (store.clone(), *fill);
        writers.spawn(async move {
            for number in (writer..fill.approvals).step_by(WRITERS) {
                let admitted = store.admit(admission(number, fill.input)).await.unwrap();
                assert!(matches!(admitted, Admitted::Created(_)));
            }
        });
    }
    writers.join_all().await;
    store.close().await.unwrap();
    if fill.pending < fill.approvals {
        approve_others(folder, fill);
    }
}

fn admission(number: usize, input: usize) -> Admission {
    let at = SystemClock.now();
    let uuid = uuid_v7(&SystemEntropy, at);
    let rare = number.is_multiple_of(RARE);
    let arn = |kind: &str| format!("arn:aws:states:us-east-1:123456789012:{kind}:{WORKFLOW}");
    let source = Source {
        workflow: WORKFLOW.to_owned(),
        activity_arn: arn("activity"),
        execution_arn: Some(format!("{}:{uuid}", arn("execution"))),
        state_machine_arn: Some(arn("stateMachine")),
        state_name: Some("Ask".to_owned()),
        state_entered: Some(at),
        key: None,
    };
    let (key, value) = if rare { RARE_LABEL } else { COMMON_LABEL };
    let approvers = ApproverSet(vec![format!("group:{value}").parse().unwrap(), "user:ana".parse().unwrap()]);
    let rare_only = ApproverSet(vec![format!("group:{value}").parse().unwrap()]);
    let approvers = if rare { rare_only } else { approvers };
    let stage = Stage { approvers: vec![approvers], required: 2, ..Stage::default() };
    let rule = Rule { stages: vec![stage], ..Rule::default() };
    let request = Request {
        title: if rare { format!("Buy {RARE_TEXT}") } else { format!("Pay invoice {number}") },
        description: String::new(),
        requester: Some("user:req".parse().unwrap()),
        rule_version: rule.version(),
        rule,
        source,
        labels: Labels::from([(key.to_owned(), value.to_owned())]),
        priority: Priority::Normal,
    };
    let input = format!("{{\"invoice\": {number}, \"note\": \"{}\"}}", "x".repeat(input.saturating_sub(36)));
    Admission {
        uuid,
        // Of the length that real ones have.
        token: TaskToken::from(format!("{uuid}{}", "x".repeat(650))),
        task: TaskInput { request, input: input.into(), attempt: 0, error: None },
        heartbeat: Some(HEARTBEAT),
        identity: IdentityUse::Trusted { checked: None },
        at,
    }
}

/// What a decision and its delivery leave behind, in one statement for each table, as a million of them would take long.
fn approve_others(folder: &Path, fill: &Fill) {
    let connection = Connection::open(folder.join(FILE)).unwrap();
    let others = fill.approvals - fill.pending;
    connection
        .execute_batch(&format!(
            "PRAGMA synchronous = OFF;
             BEGIN;
             UPDATE events SET state = replace(state, '\"status\":\"PENDING\"', '\"status\":\"APPROVED\"')
                 WHERE approval <= {others} AND state IS NOT NULL;
             UPDATE approvals SET status = 'APPROVED', heartbeat_due = NULL WHERE number <= {others};
             DELETE FROM waiting WHERE approval_id IN (SELECT id FROM approvals WHERE number <= {others});
             UPDATE pending_counts SET pending = {pending};
             COMMIT;
             PRAGMA wal_checkpoint(TRUNCATE);",
            pending = fill.pending
        ))
        .unwrap();
}
