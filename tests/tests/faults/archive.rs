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
    audit::{Options as VerifyOptions, VerifyError, verify_files},
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

/// Damages one file after the other, and mends it again.
fn what_is_done_to_files_is_found(folder: &Path, all: &[PathBuf]) {
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let of_kind = |kind: &str| all.iter().find(|path| name(path).starts_with(kind)).unwrap().clone();
    let verdict = |files: &[PathBuf]| verify_files(files, &VerifyOptions::default());
    let (record, approvals) = (of_kind("record-"), of_kind("approvals-"));
    let without = |path: &PathBuf| all.iter().filter(|other| *other != path).cloned().collect::<Vec<_>>();

    // A file that is not there, or in another place, or there twice.
    let missing = verdict(&without(&record)).unwrap_err();
    assert!(matches!(missing.source, VerifyError::Archived { .. }), "{missing:?}");
    assert!(verdict(&without(&approvals)).is_ok(), "who has no list of them can't miss one");
    let (last, before) = all.split_last().unwrap();
    let turned: Vec<_> = [last].into_iter().chain(before).cloned().collect();
    let twice: Vec<_> = all.iter().chain([last]).cloned().collect();
    for files in [turned, twice] {
        let error = verdict(&files).unwrap_err();
        assert!(matches!(error.source, VerifyError::NotContinued { .. }), "{error:?}");
    }
    // What an approval is said to be.
    let text = fs::read_to_string(&approvals).unwrap();
    for (from, to) in [
        ("1200.50", "1200.51"),
        ("4711", "4712"),
        ("on Friday", "on Monday"),
        ("user:rita", "user:mallory"),
        ("finance", "fraud"),
        ("looks right", "looks wrong"),
        ("\"voter\":\"user:ana\"", "\"voter\":\"user:bob\""),
        ("7.10", "7.1"),
        ("\"status\":\"APPROVED\"", "\"status\":\"REJECTED\""),
        ("{\"approval\":", "{\"approvals\":"),
    ] {
        assert!(text.contains(from), "{from} is not in {text}");
        fs::write(&approvals, text.replacen(from, to, 1)).unwrap();
        let error = verdict(all).expect_err(to);
        let found = matches!(error.source, VerifyError::Archived { line: 1, .. } | VerifyError::NotAnExport { .. });
        assert!(found, "{to}: {error:?}");
    }
    let doubled = format!("{text}{}\n", text.lines().next().unwrap());
    fs::write(&approvals, doubled).unwrap();
    assert!(matches!(verdict(all).unwrap_err().source, VerifyError::Archived { .. }));
    fs::write(&approvals, &text).unwrap();
    // A record that was written anew from some event on holds in itself, and does not go on in the next file.
    let text = fs::read_to_string(&record).unwrap();
    fs::write(&record, text.replacen("looks right", "looks wrong", 1)).unwrap();
    let error = verdict(all).unwrap_err();
    assert!(matches!(error.source, VerifyError::Changed { .. }) && error.path == record, "{error:?}");
    fs::write(&record, text).unwrap();
    assert!(verdict(all).is_ok(), "{}", folder.display());
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

    // The record's files and what is left are one chain, and explain each approval that was archived.
    let rest = exported(&ana, &folder).await;
    let mut all = files(&folder, "");
    all.push(rest);
    let report = verify_files(&all, &VerifyOptions::default()).unwrap();
    assert_eq!((report.first, report.approvals), (1, archived.len() as u64));
    assert!(report.payloads > COUNT as u64);
    what_is_done_to_files_is_found(&folder, &all);

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

/// Makes all events of a store ten days older.
const AGE: &str = "UPDATE events SET at = at - 864000000";

/// Two starts: a token from the first one is of before the cut that the second one makes.
async fn resume_after_the_cut(
    store: Arc<dyn Store>,
    folder: TempDir,
    environment: &[(&str, &str)],
    age: impl AsyncFn(),
) {
    let whole = config(folder.path());
    let path = folder.path().to_owned();
    fs::write(path.join("approve.toml"), &whole[..whole.find("[retention]").unwrap()]).unwrap();
    fill(store).await;
    let mut server = Server::serve_folder(folder, environment).await;
    let ana = server.client("ana").await;
    let token = Watching::synced(&ana, Watch::new()).await.resume_token().to_owned();
    apply(&ana, spec("later", ASK)).await;
    let newest = ana.audit_head().await.unwrap().revision;
    server.kill();
    age().await;

    fs::write(path.join("approve.toml"), &whole).unwrap();
    server.start().await;
    let ana = server.client("ana").await;
    // What a stream has read before the cut is in memory, and would be told to this one.
    wait_for("the log to be cut behind the token", async || {
        let last = files(&path, "record-").last().map(|file| checked(file, &[]).unwrap().last)?;
        // These come after the cut.
        (last >= newest && !files(&path, "approvals-").is_empty()).then_some(())
    })
    .await;
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
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_from_before_the_cut_begins_anew() {
    let (aws, folder) = (LocalAws::start().await, TempDir::new().unwrap());
    let data = folder.path().join("data");
    let store = Arc::new(SqliteStore::open(&data, Options::default()).unwrap());
    let age = async || {
        rusqlite::Connection::open(data.join("approve.db")).unwrap().execute(AGE, []).unwrap();
    };
    resume_after_the_cut(store, folder, &[("APPROVE_SERVER__AWS__ENDPOINT", aws.url())], age).await;
}

mod postgres {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "needs PostgreSQL"]
    async fn a_watch_from_before_the_cut_begins_anew() {
        let (aws, database) = (LocalAws::start().await, Database::create().await);
        let address = Address::new(database.url(), None, None).unwrap();
        let store = Arc::new(PostgresStore::open(address, PostgresOptions::default()).await.unwrap());
        let environment = [("APPROVE_SERVER__STORE", database.url()), ("APPROVE_SERVER__AWS__ENDPOINT", aws.url())];
        let age = async || {
            database.client().await.execute(AGE, &[]).await.unwrap();
        };
        resume_after_the_cut(store, TempDir::new().unwrap(), &environment, age).await;
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
