//! Finished approvals are archived while the server is killed, again and again: each is in one file or in the store.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use approve_client::{
    ApprovalStatus, Client, Code, Decide, List, Watch, WatchEvent,
    audit::Report,
    proto::{ExecutionStatus, StreamPendingApprovalsRequest},
};
use approve_server::store::{
    Store,
    postgres::{Address, Options as PostgresOptions, PostgresStore},
    sqlite::{Options, SqliteStore},
};
use approve_tests::{
    LocalAws, Server,
    approvals::{Watching, ask, ended},
    history,
    ledger::all_approvals,
    postgres::Database,
    record::{checked, exported},
    server::request_as,
    wait_for,
    workflows::{ASK, apply, ask_input, spec},
};
use futures::TryStreamExt as _;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::sleep;
use tonic_types::StatusExt as _;

const COUNT: usize = 600;
const PENDING_EVERY: usize = 10;
const KILLS: usize = 6;

/// Of that many days ago.
async fn fill(store: Arc<dyn Store>) -> Vec<String> {
    let past = Timestamp::now() - SignedDuration::from_hours(24 * 10);
    let ids = history::write(&store, COUNT, PENDING_EVERY, past).await;
    store.close().await.unwrap();
    ids.iter().map(|approval| approval.id.to_string()).collect()
}

fn config(folder: &Path) -> String {
    format!(
        "data_dir = {:?}\n\n[shutdown]\npoll_seconds = 1\n\n[aws]\nregion = \"us-east-1\"\n\n[worker]\nmin_polls = 4\nmax_polls = 16\n\n[postgres]\nlease_seconds = \
         3\n\n[retention]\nafter = \"2d\"\nfolder = {:?}\nbatch = 20\npause_milliseconds = 30\nevery_seconds = 1\n",
        folder.join("data"),
        folder.join("archive")
    )
}

/// The archive's files whose name begins so, in order.
fn files(folder: &Path, kind: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("archive")).into_iter().flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    let named = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with(kind) && name.ends_with(".jsonl")
    };
    let mut files: Vec<_> = paths.filter(named).collect();
    files.sort();
    files
}

/// How often each approval is in the archive.
fn archived(folder: &Path) -> BTreeMap<String, usize> {
    let mut archived = BTreeMap::new();
    for file in files(folder, "approvals-") {
        for line in fs::read_to_string(file).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            assert_eq!(line["state"]["status"], "APPROVED");
            assert_eq!(line["state"]["task"]["token"], "", "no token leaves the server");
            assert_eq!(line["input"], r#"{"invoice":4711,"amount":1200.50}"#);
            *archived.entry(line["approval"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    archived
}

/// Whether each approval is in the store or in the archive.
async fn is_somewhere(client: &Client, folder: &Path, ids: &[String]) {
    // Before the archive is read: what goes from the store is there by then.
    let listed: Vec<_> = client.list_all(List::new()).try_collect().await.unwrap();
    let archived = archived(folder);
    for id in ids {
        let is_listed = listed.iter().any(|approval: &approve_client::Approval| approval.id == *id);
        assert!(is_listed || archived.contains_key(id), "{id} is nowhere");
    }
}

async fn kill_and_compare(mut server: Server, ids: Vec<String>) {
    let folder = server.folder().to_owned();
    let mut interrupted = 0;
    for _ in 0..KILLS {
        sleep(Duration::from_millis(rand::random_range(30..300))).await;
        let before = archived(&folder).len();
        server.kill();
        interrupted += usize::from(before < COUNT - COUNT / PENDING_EVERY);
        server.start().await;
        is_somewhere(&server.client("ana").await, &folder, &ids).await;
    }
    println!("{interrupted} of {KILLS} kills came before all was archived");
    assert!(interrupted > 0);
    let ana = server.client("ana").await;
    // The youngest stays in the embedded store.
    wait_for("everything to be archived", async || {
        let left: Vec<_> = ana.list_all(List::new()).try_collect().await.unwrap();
        let finished = |approval: &&approve_client::Approval| approval.status() == ApprovalStatus::Approved;
        (left.iter().filter(finished).count() <= 1).then_some(())
    })
    .await;
    let archived = archived(&folder);
    assert!(archived.values().all(|times| *times == 1), "an approval is in two files");
    let left = all_approvals(&ana).await;
    assert_eq!(archived.len() + left.len(), COUNT);
    assert!(left.iter().all(|approval| !archived.contains_key(&approval.id)));

    // The record's files and what is left are one chain.
    let mut reports: Vec<Report> = Vec::new();
    let rest = exported(&ana, &folder).await;
    let mut previous: Option<String> = None;
    for file in files(&folder, "record-").into_iter().chain([rest]) {
        let report = checked(&file, &[]).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let header: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        if let Some(hash) = previous {
            assert_eq!(header["previous_hash"], *hash, "{}", file.display());
        }
        assert_eq!(report.first, reports.last().map_or(1, |before| before.last + 1));
        previous = Some(report.hash.clone());
        reports.push(report);
    }
    assert!(reports.iter().map(|report| report.payloads).sum::<u64>() > COUNT as u64);

    // Who asks for one that went is told; what is asked now is decided.
    let (gone, _) = archived.first_key_value().unwrap();
    let error = ana.get(gone).await.unwrap_err();
    assert!(format!("{error}").contains("archived"), "{error}");
    apply(&ana, spec("now", ASK)).await;
    let (arn, asked) = ask(&ana, "now", &ask_input("Pay", "user:req")).await;
    ana.decide(Decide::approve(&asked.id)).await.unwrap();
    assert_eq!(ended(&ana, &arn).await.status(), ExecutionStatus::Succeeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_archived_is_in_one_place_however_often_the_server_is_killed() {
    let aws = LocalAws::start().await;
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("approve.toml"), config(folder.path())).unwrap();
    let store = SqliteStore::open(&folder.path().join("data"), Options::default()).unwrap();
    let ids = fill(Arc::new(store)).await;
    let server = Server::serve_folder(folder, &[("APPROVE_SERVER__AWS__ENDPOINT", aws.url())]).await;
    kill_and_compare(server, ids).await;
}

/// Two starts on what is kept of ten days ago: a token from the first one is of before the cut that the second one makes.
async fn resume_after_the_cut(store: impl AsyncFn(&Path) -> Arc<dyn Store>, environment: &[(&str, &str)]) {
    let folder = TempDir::new().unwrap();
    let whole = config(folder.path());
    let kept = &whole[..whole.find("[retention]").unwrap()];
    fs::write(folder.path().join("approve.toml"), kept).unwrap();
    let mut ids = fill(store(folder.path()).await).await;
    let path = folder.path().to_owned();
    let mut server = Server::serve_folder(folder, environment).await;
    let ana = server.client("ana").await;
    let watching = Watching::synced(&ana, Watch::new()).await;
    let token = watching.resume_token().to_owned();
    let known: BTreeSet<String> = watching.view.iter().map(|approval| approval.id.clone()).collect();
    drop(watching);
    server.kill();
    ids.extend(fill(store(&path).await).await);

    fs::write(path.join("approve.toml"), &whole).unwrap();
    server.start().await;
    let ana = server.client("ana").await;
    wait_for("the cut", async || files(&path, "approvals-").last().map(drop)).await;
    let request = StreamPendingApprovalsRequest { resume_token: token.clone(), ..Default::default() };
    let mut service = server.raw_approvals().await;
    let too_old = wait_for("the log to be cut behind the token", async || {
        match service.stream_pending_approvals(request_as("ana", request.clone())).await {
            Ok(stream) => stream.into_inner().message().await.err(),
            Err(status) => Some(status),
        }
    })
    .await;
    assert_eq!(too_old.code(), Code::OutOfRange, "{too_old:?}");
    let info = too_old.get_details_error_info().unwrap();
    assert_eq!(info.reason, "REVISION_COMPACTED");
    let oldest: i64 = info.metadata["oldest_revision"].parse().unwrap();
    let last = files(&path, "record-").last().map(|file| checked(file, &[]).unwrap().last).unwrap();
    assert!(oldest > 0 && oldest <= last, "{oldest} of {last}");

    // The client begins anew, and says so.
    let watching = Watching::synced(&ana, Watch::new().resume_token(token)).await;
    assert!(matches!(watching.events.front(), Some(WatchEvent::Reset)), "{:?}", watching.events.front());
    let view: BTreeSet<String> = watching.view.iter().map(|approval| approval.id.clone()).collect();
    let pending = all_approvals(&ana).await.into_iter().filter(|one| one.status() == ApprovalStatus::Pending);
    assert_eq!(view, pending.map(|approval| approval.id).collect());
    assert!(known.is_subset(&view), "what was pending is, as nobody decided it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_from_before_the_cut_begins_anew() {
    let aws = LocalAws::start().await;
    let store = async |folder: &Path| {
        Arc::new(SqliteStore::open(&folder.join("data"), Options::default()).unwrap()) as Arc<dyn Store>
    };
    resume_after_the_cut(store, &[("APPROVE_SERVER__AWS__ENDPOINT", aws.url())]).await;
}

mod postgres {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "needs PostgreSQL"]
    async fn a_watch_from_before_the_cut_begins_anew() {
        let (aws, database) = (LocalAws::start().await, Database::create().await);
        let store = async |_: &Path| {
            let address = Address::new(database.url(), None, None).unwrap();
            Arc::new(PostgresStore::open(address, PostgresOptions::default()).await.unwrap()) as Arc<dyn Store>
        };
        let environment = [("APPROVE_SERVER__STORE", database.url()), ("APPROVE_SERVER__AWS__ENDPOINT", aws.url())];
        resume_after_the_cut(store, &environment).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "needs PostgreSQL"]
    async fn what_is_archived_is_in_one_place_however_often_the_server_is_killed() {
        let (aws, database) = (LocalAws::start().await, Database::create().await);
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("approve.toml"), config(folder.path())).unwrap();
        let address = Address::new(database.url(), None, None).unwrap();
        let store = PostgresStore::open(address, PostgresOptions::default()).await.unwrap();
        let ids = fill(Arc::new(store)).await;
        let environment = [("APPROVE_SERVER__STORE", database.url()), ("APPROVE_SERVER__AWS__ENDPOINT", aws.url())];
        let server = Server::serve_folder(folder, &environment).await;
        kill_and_compare(server, ids).await;
    }
}
