//! A look at a database from outside. Nothing in it is changed.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio_postgres::Client;
use tokio_util::task::TaskTracker;

use super::{
    connection::{Address, failed},
    migrate::MIGRATIONS,
    names::kept,
    read::COUNT_WORKFLOW,
};
use crate::store::{StoreError, WorkflowRecord, codec::decode};

/// What can be seen of a database.
#[derive(Debug)]
pub(crate) struct Probe {
    /// PostgreSQL's version.
    pub(crate) version: String,
    /// The version of the schema; 0 where there is none yet.
    pub(crate) found: i64,
    /// The newest version that is known here.
    pub(crate) known: i64,
    /// Whether the user may make tables, or need not.
    pub(crate) may_write: bool,
    /// How long a commit takes.
    pub(crate) commit: Duration,
    /// What its clock said.
    pub(crate) clock: Timestamp,
    /// When that was, by the clock here.
    pub(crate) read: Timestamp,
    /// Its workflows, each with how many of its approvals are pending.
    pub(crate) workflows: Vec<(WorkflowRecord, u64)>,
}

const FACTS: &str = "SELECT current_setting('server_version'),
    (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
    to_regclass('schema_version') IS NOT NULL,
    coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)";
/// Flushed as any commit is, and of nothing that anybody reads.
const FLUSH: &str = "SELECT pg_logical_emit_message(true, 'approve', 'check')";

/// Looks; `flushes` commits are timed.
pub(crate) async fn probe(address: &Address, flushes: usize) -> Result<Probe, StoreError> {
    let tasks = TaskTracker::new();
    let (client, driving) = address.connect(&tasks, None).await.map_err(failed)?;
    let looked = look(&client, flushes).await;
    drop(client);
    driving.abort();
    tasks.close();
    tasks.wait().await;
    looked.map_err(failed)?
}

async fn look(client: &Client, flushes: usize) -> Result<Result<Probe, StoreError>, tokio_postgres::Error> {
    let mut times = Vec::with_capacity(flushes);
    for _ in 0..flushes {
        let begun = Instant::now();
        client.execute(FLUSH, &[]).await?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    let asked = Timestamp::now();
    let row = client.query_one(FACTS, &[]).await?;
    let took = asked.duration_until(Timestamp::now());
    let (version, clock, has_schema): (String, i64, bool) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let mut found = 0;
    if has_schema {
        found = client.query_one("SELECT coalesce(max(version), 0) FROM schema_version", &[]).await?.try_get(0)?;
    }
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let mut workflows = Vec::new();
    if (1..=known).contains(&found) {
        let rows = client.query("SELECT record FROM workflows ORDER BY name", &[]).await?;
        for row in rows {
            let record: WorkflowRecord = match decode(row.try_get(0)?) {
                Ok(record) => record,
                Err(error) => return Ok(Err(error)),
            };
            let count = client.query_one(COUNT_WORKFLOW, &[&kept(&record.name)]).await?;
            let count: i64 = count.try_get(0)?;
            workflows.push((record, u64::try_from(count).unwrap_or(0)));
        }
    }
    let may_create: bool = row.try_get(3)?;
    Ok(Ok(Probe {
        version,
        found,
        known,
        may_write: found >= known || may_create,
        commit: times.get(times.len() / 2).copied().unwrap_or_default(),
        clock: Timestamp::from_millisecond(clock).unwrap_or(Timestamp::MIN),
        // In the middle of asking and being told.
        read: asked.checked_add(took / 2).unwrap_or(asked),
        workflows,
    }))
}
