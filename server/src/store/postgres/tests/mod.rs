//! The conformance suite on the shared store, and what it promises beyond. They need a PostgreSQL, whose URL is in
//! APPROVE_POSTGRES: `tests/run` starts one.

mod proxy;
mod servers;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::future::join_all;
use tokio::sync::OnceCell;
use tokio_postgres::NoTls;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use self::servers::soon;
use super::{Address, Options, PostgresStore, events, list, log, messages, read};
use crate::store::{
    Filter, ListQuery, Order, SharedStore, StoreError,
    conformance::{Bed, conformance, created, task},
};

/// A database that goes with it.
struct Database {
    name: String,
    options: Options,
    created: OnceCell<()>,
    /// Of the stores that were opened.
    tasks: Mutex<Vec<TaskTracker>>,
}

impl Database {
    fn new(options: Options) -> Self {
        Self {
            name: format!("approve_{}", Uuid::new_v4().simple()),
            options,
            created: OnceCell::new(),
            tasks: Mutex::default(),
        }
    }

    fn url(&self) -> String {
        let (base, query) = server().split_once("/postgres?").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        format!("{base}/{}?{query}", self.name)
    }

    async fn create(&self) {
        self.created.get_or_init(|| administer(format!("CREATE DATABASE {}", self.name))).await;
    }

    /// Another server's.
    async fn another(&self, options: Options) -> PostgresStore {
        self.try_open(&self.url(), options).await.unwrap()
    }

    async fn try_open(&self, url: &str, options: Options) -> Result<PostgresStore, StoreError> {
        self.create().await;
        PostgresStore::open(Address::new(url, None, None).unwrap(), options).await
    }

    async fn client(&self) -> tokio_postgres::Client {
        self.create().await;
        connect(&self.url()).await
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let dropping = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(administer(drop));
        });
        dropping.join().unwrap();
    }
}

/// The URL of a PostgreSQL's own database.
fn server() -> String {
    std::env::var("APPROVE_POSTGRES").expect("APPROVE_POSTGRES is not set: run tests/run, which starts a PostgreSQL")
}

async fn administer(sql: String) {
    connect(&server()).await.batch_execute(&sql).await.unwrap();
}

async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[async_trait]
impl Bed for Database {
    async fn open(&self) -> SharedStore {
        // What was dropped writes what it has to write, and gives up its lease.
        let before = std::mem::take(&mut *self.tasks.lock().unwrap());
        for tasks in before {
            tasks.close();
            tasks.wait().await;
        }
        let store = self.another(self.options.clone()).await;
        self.tasks.lock().unwrap().push(store.tasks.clone());
        Arc::new(store)
    }
}

mod as_it_is {
    use super::*;

    conformance!(Database::new(Options::default()), ignore = "needs PostgreSQL");
}

/// Nothing in memory, one write for each transaction, no notifications.
mod from_the_database {
    use super::*;

    conformance!(
        Database::new(Options {
            tail_changes: 0,
            batch: 1,
            readers: 1,
            queue: 1,
            listens: false,
            ..Options::default()
        }),
        ignore = "needs PostgreSQL"
    );
}

/// The steps of a plan, where looking at every row is forbidden as far as it can be.
async fn plan(client: &tokio_postgres::Client, sql: &str) -> Vec<String> {
    let statement = client.prepare(sql).await.unwrap();
    let nulls = vec!["NULL"; statement.params().len()].join(", ");
    let arguments = if nulls.is_empty() { String::new() } else { format!("({nulls})") };
    client.batch_execute(&format!("PREPARE planned AS {sql}")).await.unwrap();
    let rows = client.query(&format!("EXPLAIN (COSTS OFF) EXECUTE planned{arguments}"), &[]).await.unwrap();
    client.batch_execute("DEALLOCATE planned").await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
#[ignore = "needs PostgreSQL"]
async fn no_statement_looks_at_every_row() {
    let database = Database::new(Options::default());
    drop(database.open().await);
    let client = database.client().await;
    // A few rows are read one after the other, whatever index there is: with this only what no index helps is.
    client.batch_execute("SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan").await.unwrap();
    let single = read::STATEMENTS.into_iter().chain(log::STATEMENTS).chain(events::STATEMENTS);
    let single = single.chain(messages::STATEMENTS).chain([log::SNAPSHOT]);
    for sql in single.chain(list::STATEMENTS.into_iter().flatten()) {
        for step in plan(&client, sql).await {
            // One row, or a few of servers and slots.
            let small =
                ["compacted", "head", "slots", "servers"].iter().any(|table| step.contains(&format!("on {table}")));
            assert!(!step.contains("Seq Scan") || small, "{step}: {sql}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL"]
async fn what_an_older_server_wrote_is_indexed_besides() {
    const COUNT: u32 = 2_300;
    let database = Database::new(Options::default());
    let store = database.open().await;
    let admissions = (0..COUNT).map(|number| {
        let mut admission = task(number);
        if number == 0 {
            "Buy a house".clone_into(&mut admission.task.request.title);
        }
        created(&store, admission)
    });
    join_all(admissions).await;
    drop(store);
    // As version 2 left it.
    let client = database.client().await;
    drop(database.open().await);
    let before = "DROP TABLE waiting, texts, told, unsent; ALTER TABLE head DROP COLUMN indexed; UPDATE schema_version SET version = 2";
    client.batch_execute(before).await.unwrap();

    let store = database.open().await;
    let complete = async |indexed: i64| loop {
        let row = client.query_one("SELECT indexed, number FROM head", &[]).await.unwrap();
        if (row.get::<_, i64>(0), row.get::<_, i64>(1)) == (indexed, indexed) {
            return;
        }
        tokio::task::yield_now().await;
    };
    soon("all to be indexed", complete(COUNT.into())).await;
    let query = |text: &str| ListQuery {
        filter: Filter { text: Some(text.to_owned()), ..Filter::default() },
        statuses: Vec::new(),
        order: Order::NewestFirst,
        after: None,
        limit: 10,
    };
    let page = store.list(query("a house")).await.unwrap();
    assert_eq!((page.approvals.len(), page.next), (1, None));
    // One that runs beside: it moves the head, and knows of no index. What comes after that does not hide it.
    drop(store);
    drop(database.open().await);
    client.batch_execute("DELETE FROM texts; DELETE FROM waiting; UPDATE head SET indexed = 7").await.unwrap();
    let store = database.open().await;
    let late = created(&store, task(COUNT)).await;
    assert_eq!(store.list(query("invoice 2300")).await.unwrap().approvals[0].id, late.id);
    soon("all to be indexed again", complete(i64::from(COUNT) + 1)).await;
    let rows: i64 = client.query_one("SELECT count(*) FROM texts", &[]).await.unwrap().get(0);
    assert_eq!(rows, i64::from(COUNT) + 1 - 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL"]
async fn without_an_index_of_texts_they_are_looked_through() {
    let database = Database::new(Options::default());
    let store = database.open().await;
    created(&store, task(1)).await;
    let found = async || {
        let filter = Filter { text: Some("INVOICE 1".to_owned()), ..Filter::default() };
        let query = ListQuery { filter, statuses: Vec::new(), order: Order::OldestFirst, after: None, limit: 10 };
        store.list(query).await.unwrap().approvals.len()
    };
    assert_eq!(found().await, 1);
    database.client().await.batch_execute("DROP EXTENSION pg_trgm CASCADE").await.unwrap();
    assert_eq!(found().await, 1);
}
