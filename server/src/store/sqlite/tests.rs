//! The conformance suite on the embedded store, and what it promises beyond.

use std::{
    fs,
    path::Path,
    sync::{Arc, mpsc},
};

use async_trait::async_trait;
use futures::future::join_all;
use rusqlite::Connection;
use tempfile::TempDir;

use super::{Options, SqliteStore, connection::DATABASE, events, list, log, read, rows, search, tables};
use crate::{
    approval::Status,
    store::{
        Admitted, Changes, Executed, ExportRange, Exported, Filter, ListQuery, Order, SharedStore, Store, StoreError,
        conformance::{Bed, changes, conformance, created, done, head, history, origin, record, reject, seconds, task},
        transaction::Transaction,
    },
};

/// A store in a folder that goes with it.
struct Folder {
    folder: TempDir,
    options: Options,
}

impl Folder {
    fn new(options: Options) -> Self {
        Self { folder: TempDir::new().unwrap(), options }
    }
}

#[async_trait]
impl Bed for Folder {
    async fn open(&self) -> SharedStore {
        Arc::new(SqliteStore::open(self.folder.path(), self.options).unwrap())
    }
}

fn open(folder: &Path) -> SqliteStore {
    SqliteStore::open(folder, Options::default()).unwrap()
}

mod as_it_is {
    use super::*;

    conformance!(Folder::new(Options::default()));
}

/// Nothing in memory, one write for each transaction.
mod from_disk {
    use super::*;

    conformance!(Folder::new(Options { tail_changes: 0, batch: 1, readers: 1, queue: 1, ..Options::default() }));
}

#[test]
fn no_statement_looks_at_every_row() {
    let folder = TempDir::new().unwrap();
    drop(open(folder.path()));
    let connection = Connection::open(folder.path().join(DATABASE)).unwrap();
    let single = [
        rows::BY_ID,
        rows::BY_NUMBER,
        rows::BY_IDENTITY,
        rows::BY_DELIVERY_DUE,
        rows::BY_DETACHED,
        read::NEXT_DETACHED,
        rows::FIXED,
        rows::STATE_AT,
        rows::HEAD,
        list::ROW,
        list::LABELED,
        list::WAITING,
        search::IN_BUCKET[0],
        search::IN_BUCKET[1],
        search::TAKE_TERM,
        search::NOT_YET,
        search::UNINDEXED,
        log::CHANGES,
        log::PENDING_NOW,
        log::FIRST_EVENT,
        log::NEWEST,
        read::PREFIX,
        events::OF_APPROVAL,
        events::BY_ACTOR,
        events::NEWEST_FIRST,
        events::FIRST_SINCE,
        events::LAST_BEFORE,
        events::IN_ORDER,
        events::HASH,
        events::OLDEST_HASH,
        super::retention::TIMES,
        super::retention::IS_RETIRED,
        rows::RETIRED,
        events::STATE_SINCE,
        read::DUE_HEARTBEATS,
        read::DUE_TIMERS,
        read::NEXT_DELIVERY,
        read::COUNT_WORKFLOW,
        tables::TOKEN,
        tables::KEY,
        tables::NUMBER,
        tables::PRUNE_KEYS,
        tables::SET_HEARTBEAT,
        tables::SET_DETACHED,
    ];
    let both = [list::BY_EXECUTION, list::BY_LABEL, list::BY_TERM, list::BY_WORKFLOW, list::BY_STATUS, list::BY_ID];
    for sql in single.into_iter().chain(both.into_iter().flatten()) {
        for step in plan(&connection, sql) {
            assert!(!step.contains("TEMP B-TREE"), "{step}: {sql}");
            // What is due is an index of its own, read from its beginning.
            let due = step.ends_with("_due") || step.contains("(subquery");
            assert!(!step.starts_with("SCAN") || due, "{step}: {sql}");
        }
    }
    // The few that became final since are sorted, and come from an index.
    let since = plan(&connection, log::FINAL_SINCE);
    assert!(since[0].contains("COVERING INDEX approvals_final (revision>?)"), "{since:?}");
}

fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let mut rows = statement.raw_query();
    let mut steps = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        steps.push(row.get(3).unwrap());
    }
    assert!(!steps.is_empty(), "{sql}");
    steps
}

#[test]
fn one_process_has_it() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let again = SqliteStore::open(folder.path(), Options::default());
    assert!(matches!(again, Err(StoreError::InUse(at)) if at == folder.path().display().to_string()));
    drop(store);
    open(folder.path());
}

#[test]
fn a_newer_schema_is_left_alone() {
    let folder = TempDir::new().unwrap();
    drop(open(folder.path()));
    let connection = Connection::open(folder.path().join(DATABASE)).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    let newer = SqliteStore::open(folder.path(), Options::default());
    assert!(matches!(newer, Err(StoreError::NewerSchema { found: 99, known: 4 })), "{newer:?}");
}

#[test]
fn what_can_not_be_opened_says_why() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "not a folder").unwrap();
    let error = SqliteStore::open(&file.join("store"), Options::default()).unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable(source) if source.is::<std::io::Error>()), "{error:?}");
    fs::write(folder.path().join(DATABASE), "not a database, but long enough to have been one. ".repeat(100)).unwrap();
    let error = SqliteStore::open(folder.path(), Options::default()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_can_read_it() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = TempDir::new().unwrap();
    let inside = folder.path().join("a/b");
    let store: SharedStore = Arc::new(open(&inside));
    created(&store, task(1)).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&inside), 0o700);
    let files: Vec<_> = fs::read_dir(&inside).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn a_commit_is_flushed() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let pragmas = store.write(|transaction| {
        let read = |name| {
            transaction.tables.connection.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
        };
        Ok(["journal_mode", "synchronous", "foreign_keys"].map(|name| read(name).unwrap()))
    });
    // 2 is FULL: the log is flushed at every commit, not at checkpoints alone.
    assert_eq!(pragmas.await.unwrap(), ["wal".to_owned().into(), 2.into(), 1.into()]);
}

/// Copies the files as they are, without the writer knowing, as a crash would leave them; `cut` bytes of the log are
/// lost.
fn crash(from: &Path, cut: usize) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::copy(from.join(DATABASE), folder.path().join(DATABASE)).unwrap();
    let log = format!("{DATABASE}-wal");
    let mut bytes = fs::read(from.join(&log)).unwrap();
    bytes.truncate(bytes.len().saturating_sub(cut));
    fs::write(folder.path().join(&log), bytes).unwrap();
    folder
}

#[tokio::test]
async fn a_crash_loses_nothing_that_was_acknowledged() {
    let folder = TempDir::new().unwrap();
    let store: SharedStore = Arc::new(open(folder.path()));
    for number in 0..10 {
        let approval = created(&store, task(number)).await;
        let decided = done(&store, &approval, reject(), seconds(1)).await;
        let left = crash(folder.path(), 0);
        let after: SharedStore = Arc::new(open(left.path()));
        assert_eq!(head(&after), decided.revision);
        assert_eq!(after.get(&approval.id).await.unwrap(), Some(decided));
    }
}

#[tokio::test]
async fn a_torn_log_leaves_whole_changes() {
    let folder = TempDir::new().unwrap();
    let store: SharedStore = Arc::new(open(folder.path()));
    for number in 0..10 {
        let approval = created(&store, task(number)).await;
        done(&store, &approval, reject(), seconds(1)).await;
    }
    let before = changes(&store, 0, 100).await;
    let mut heads = Vec::new();
    for cut in (0..200_000).step_by(7_919) {
        let left = crash(folder.path(), cut);
        let after: SharedStore = Arc::new(open(left.path()));
        let found = changes(&after, 0, 100).await;
        heads.push(head(&after));
        assert_eq!(i64::try_from(record(&after, 100).await.len()).unwrap(), head(&after));
        assert_eq!(found.last().map_or(0, |change| change.revision), head(&after));
        for (found, before) in found.iter().zip(&before) {
            assert_eq!((found.revision, &found.after), (before.revision, &before.after));
        }
        let all = ListQuery {
            filter: Filter::default(),
            statuses: Vec::new(),
            order: Order::OldestFirst,
            after: None,
            limit: 100,
        };
        let mut pending = 0;
        for approval in after.list(all).await.unwrap().approvals {
            pending += u64::from(approval.status == Status::Pending);
            assert_eq!(history(&after, &approval.id).await.last().unwrap().revision, approval.revision);
        }
        assert_eq!(after.count_pending(None).await.unwrap(), pending);
    }
    assert!(heads.is_sorted_by(|later, earlier| later >= earlier), "{heads:?}");
    assert!(heads.first() > heads.last(), "{heads:?}");
}

/// Holds the writer until the sender is dropped, so that what is written meanwhile shares a transaction.
async fn hold(store: &Arc<SqliteStore>) -> (mpsc::Sender<()>, tokio::task::JoinHandle<()>) {
    let (release, held) = mpsc::channel::<()>();
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let (mut begun, store) = (Some(begun), store.clone());
    let holding = tokio::spawn(async move {
        let job = move |_: &mut Transaction<'_, tables::SqliteTables>| {
            if let Some(begun) = begun.take() {
                begun.send(()).unwrap();
            }
            let _ = held.recv();
            Ok(())
        };
        store.write(job).await.unwrap();
    });
    has_begun.await.unwrap();
    (release, holding)
}

/// Writes `broken` in the midst of admissions, all in one transaction; the outcomes.
async fn with_others(
    store: &Arc<SqliteStore>,
    mut broken: impl FnMut(&mut Transaction<'_, tables::SqliteTables>) -> Result<(), StoreError> + Send + 'static,
) -> (Vec<Result<i64, StoreError>>, Result<(), StoreError>) {
    let (release, holding) = hold(store).await;
    let admit = |number| {
        let store = store.clone();
        async move {
            store.admit(task(number)).await.map(|admitted| match admitted {
                crate::store::Admitted::Created(approval) => approval.revision,
                other => panic!("{other:?}"),
            })
        }
    };
    let admissions = tokio::spawn(join_all((0..5).map(admit)));
    let broken = {
        let store = store.clone();
        tokio::spawn(async move { store.write(move |transaction| broken(transaction)).await })
    };
    let more = tokio::spawn(join_all((5..10).map(admit)));
    // All of them are in the queue once the others wait for their answers.
    while store.queue.lock().unwrap().as_ref().unwrap().capacity() > Options::default().queue - 11 {
        tokio::task::yield_now().await;
    }
    drop(release);
    holding.await.unwrap();
    let (first, broken, more) = (admissions.await.unwrap(), broken.await.unwrap(), more.await.unwrap());
    (first.into_iter().chain(more).collect(), broken)
}

#[tokio::test]
async fn a_broken_write_fails_alone() {
    let folder = TempDir::new().unwrap();
    let store = Arc::new(open(folder.path()));
    let (others, broken) = with_others(&store, |transaction| {
        transaction.tables.connection.execute("INSERT INTO meta VALUES ('half', 1)", []).unwrap();
        Err(StoreError::Unavailable("broken".into()))
    })
    .await;
    assert!(matches!(broken, Err(StoreError::Unavailable(_))), "{broken:?}");
    let mut revisions: Vec<_> = others.into_iter().map(Result::unwrap).collect();
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=10).collect::<Vec<_>>());
    let half = store.write(|transaction| {
        Ok(transaction
            .tables
            .connection
            .query_row("SELECT count(*) FROM meta", [], |row| row.get::<_, i64>(0))
            .unwrap())
    });
    assert_eq!(half.await.unwrap(), 0);
}

#[tokio::test]
async fn what_was_rolled_back_is_not_built_upon() {
    let folder = TempDir::new().unwrap();
    let store = Arc::new(open(folder.path()));
    let Admitted::Created(approval) = store.admit(task(1)).await.unwrap() else { panic!("it was there") };
    let (id, at) = (approval.id.clone(), approval.created);
    let lost = store.write(move |transaction| -> Result<(), StoreError> {
        let executed = transaction.execute(&id, &reject(), &origin(), at, None)?;
        assert!(matches!(executed, Executed::Done { .. }), "{executed:?}");
        Err(StoreError::Unavailable("broken".into()))
    });
    lost.await.unwrap_err();
    let executed = store.execute(&approval.id, reject(), origin(), at, None).await.unwrap();
    let Executed::Done { approval, .. } = executed else { panic!("{executed:?}") };
    assert_eq!(approval.votes.len(), 1);
    assert_eq!(store.get(&approval.id).await.unwrap().unwrap(), approval);
}

#[tokio::test]
async fn a_failed_commit_fails_everybody_and_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let store = Arc::new(open(folder.path()));
    let (others, broken) = with_others(&store, |transaction| {
        let broken = "PRAGMA defer_foreign_keys = ON; INSERT INTO requests VALUES (99, '', '')";
        transaction.tables.connection.execute_batch(broken).unwrap();
        Ok(())
    })
    .await;
    assert!(matches!(broken, Err(StoreError::Unavailable(_))), "{broken:?}");
    assert!(others.iter().all(|outcome| matches!(outcome, Err(StoreError::Unavailable(_)))), "{others:?}");
    let store: SharedStore = store;
    assert_eq!(head(&store), 0);
    assert!(changes(&store, 0, 10).await.is_empty());
    assert_eq!(store.count_pending(None).await.unwrap(), 0);
    assert_eq!(created(&store, task(1)).await.revision, 1);
}

#[tokio::test]
async fn readers_that_are_stuck_stop_no_writes() {
    let folder = TempDir::new().unwrap();
    let store = Arc::new(open(folder.path()));
    let mut stuck = Vec::new();
    for _ in 0..Options::default().readers {
        let (release, held) = mpsc::channel::<()>();
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let reader = store.clone();
        let reading = tokio::spawn(async move {
            let work = move |connection: &Connection| {
                let head = rows::head(connection);
                begun.send(()).unwrap();
                let _ = held.recv();
                head
            };
            reader.readers.read(work).await
        });
        has_begun.await.unwrap();
        stuck.push((release, reading));
    }
    let shared: SharedStore = store.clone();
    for number in 0..50 {
        let approval = created(&shared, task(number)).await;
        done(&shared, &approval, reject(), seconds(1)).await;
    }
    for (release, reading) in stuck {
        drop(release);
        assert_eq!(reading.await.unwrap().unwrap(), 0);
    }
    assert_eq!(shared.count_pending(None).await.unwrap(), 0);
}

#[tokio::test]
async fn what_is_pruned_is_not_passed_over() {
    let folder = TempDir::new().unwrap();
    let store = Arc::new(open(folder.path()));
    let shared: SharedStore = store.clone();
    for number in 0..5 {
        created(&shared, task(number)).await;
    }
    let prune = |transaction: &mut Transaction<'_, tables::SqliteTables>| {
        let connection = &transaction.tables.connection;
        connection.execute("INSERT INTO meta VALUES ('oldest_revision', 3)", []).unwrap();
        let hash = "INSERT INTO meta SELECT 'oldest_hash', hash FROM events WHERE revision = 3";
        connection.execute(hash, []).unwrap();
        Ok(())
    };
    let whole = record(&shared, 100).await;
    store.write(prune).await.unwrap();
    drop((store, shared));
    let store = open(folder.path());
    assert!(matches!(store.changes_after(2, 10).await.unwrap(), Changes::Compacted(3)));
    assert!(matches!(store.changes_after(3, 10).await.unwrap(), Changes::Some(some) if some.len() == 2));
    let export = async |first| store.export(ExportRange { first, last: 5, payloads: true, limit: 10 }).await.unwrap();
    assert_eq!(export(Some(3)).await, Exported::Compacted(3));
    // The chain goes on from what is no longer kept.
    let rest = Exported::Some { previous: whole[2].hash, events: whole[3..].to_vec() };
    assert_eq!(export(None).await, rest);
    assert_eq!(export(Some(4)).await, rest);
}

#[tokio::test]
async fn closing_waits_for_what_was_begun_and_merges_the_log() {
    let folder = TempDir::new().unwrap();
    let store = Arc::new(open(folder.path()));
    let (release, holding) = hold(&store).await;
    let writing = {
        let store = store.clone();
        tokio::spawn(async move { store.admit(task(1)).await })
    };
    while store.queue.lock().unwrap().as_ref().unwrap().capacity() == Options::default().queue {
        tokio::task::yield_now().await;
    }
    let closing = {
        let store = store.clone();
        tokio::spawn(async move { store.close().await })
    };
    while store.queue.lock().unwrap().is_some() {
        tokio::task::yield_now().await;
    }
    drop(release);
    holding.await.unwrap();
    assert!(writing.await.unwrap().is_ok());
    closing.await.unwrap().unwrap();
    let log = folder.path().join(format!("{DATABASE}-wal"));
    assert!(fs::metadata(log).map_or(0, |log| log.len()) == 0);
    drop(store);
    assert_eq!(*open(folder.path()).head().borrow(), 1);
}

#[tokio::test]
async fn letters_are_read_and_tried_again_beside_a_server() {
    use crate::store::messages::{Letters, Revived, Told, Unsent, UnsentQuery};

    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    store.take_target("ops").await.unwrap();
    let letter = Unsent {
        id: "ops.1.requested".to_owned(),
        target: "ops".to_owned(),
        approval: crate::approval::ApprovalId::from_uuid(uuid::Uuid::from_u128(1)),
        notice: "{}".to_owned(),
        attempts: 3,
        error: "it answered with status 410".to_owned(),
        created: seconds(1),
        due: None,
    };
    let told = Told { revision: 0, unsent: vec![letter.clone()], sent: Vec::new() };
    assert!(store.note_told("ops", told).await.unwrap());
    let letters = Letters::Folder(folder.path().to_owned());
    let dead = UnsentQuery { dead: true, limit: 10, ..UnsentQuery::default() };
    assert_eq!(letters.list(dead.clone()).await.unwrap(), std::slice::from_ref(&letter));
    assert_eq!(letters.retry(Revived::Ids(vec![letter.id.clone()]), seconds(9)).await.unwrap(), 1);
    assert_eq!(letters.list(dead).await.unwrap(), []);
    let due = store.due_unsent("ops", seconds(9), 10).await.unwrap().items;
    assert_eq!(due, [Unsent { due: Some(seconds(9)), ..letter }]);
    // The server goes on writing.
    assert!(store.note_told("ops", Told { revision: 5, ..Told::default() }).await.unwrap());
    assert!(matches!(
        Letters::Folder(folder.path().join("nowhere")).list(UnsentQuery::default()).await,
        Err(StoreError::Unavailable(_))
    ));
}

/// A store of before there were indexes for lists, with one approval that is rare, the first.
async fn without_indexes(folder: &Path, count: u32) -> Arc<crate::approval::Approval> {
    let store: SharedStore = Arc::new(open(folder));
    let admissions = (0..count).map(|number| {
        let mut admission = task(number);
        if number == 0 {
            "Buy a house".clone_into(&mut admission.task.request.title);
        }
        created(&store, admission)
    });
    let rare = join_all(admissions).await.swap_remove(0);
    store.close().await.unwrap();
    let before = "DROP TABLE waiting; DROP TABLE texts; DROP TABLE told; DROP TABLE unsent; DELETE FROM meta;
        PRAGMA user_version = 2";
    Connection::open(folder.join(DATABASE)).unwrap().execute_batch(before).unwrap();
    rare
}

fn unindexed(folder: &Path) -> i64 {
    search::unindexed(&Connection::open(folder.join(DATABASE)).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_store_is_served_while_it_is_indexed() {
    const COUNT: u32 = 2_300;
    let folder = TempDir::new().unwrap();
    let rare = without_indexes(folder.path(), COUNT).await;
    // Each start goes on where the one before it was ended.
    let mut left = i64::from(COUNT);
    while left > i64::from(COUNT) / 2 {
        drop(open(folder.path()));
        assert!(unindexed(folder.path()) <= left);
        let store: SharedStore = Arc::new(open(folder.path()));
        let found = store.find_prefix(rare.id.as_str(), 1).await.unwrap();
        assert_eq!(found, std::slice::from_ref(&rare.id));
        left = unindexed(folder.path());
    }
    let store: SharedStore = Arc::new(open(folder.path()));
    let late = created(&store, task(COUNT)).await;
    let text = |text: &str| ListQuery {
        filter: Filter { text: Some(text.to_owned()), ..Filter::default() },
        statuses: Vec::new(),
        order: Order::NewestFirst,
        after: None,
        limit: 10,
    };
    // Before it is found at once, it is found page by page.
    let mut query = text("a house");
    let found = loop {
        let page = store.list(query.clone()).await.unwrap();
        if let Some(found) = page.approvals.into_iter().next() {
            break found;
        }
        assert!(page.next.is_some(), "it is not found");
        query.after = page.next;
    };
    assert_eq!(found.id, rare.id);
    while unindexed(folder.path()) > 0 {
        tokio::task::yield_now().await;
    }
    let page = store.list(text("a house")).await.unwrap();
    assert_eq!((page.approvals.len(), page.next), (1, None), "it is on the first page");
    assert_eq!(store.list(text("invoice")).await.unwrap().approvals[0].id, late.id);
    let connection = Connection::open(folder.path().join(DATABASE)).unwrap();
    let rows = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, u32>(0)).unwrap();
    assert_eq!(rows("SELECT count(*) FROM texts_docsize"), COUNT + 1);
    assert_eq!(rows("SELECT count(*) FROM waiting"), COUNT + 1);
}
