//! The conformance suite on the shared store, and what it promises beyond. They need a PostgreSQL, whose URL is in
//! APPROVE_POSTGRES: `tests/run` starts one.

mod proxy;
mod servers;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::OnceCell;
use tokio_postgres::NoTls;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::{Address, Options, PostgresStore, events, list, log, messages, read};
use crate::store::{
    SharedStore, StoreError,
    conformance::{Bed, conformance},
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
