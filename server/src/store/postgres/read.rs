//! What is read of single approvals, of due work and of workflows.

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;
use tokio_postgres::Row;

use super::{
    names::kept,
    readers::Readers,
    rows::{self, get, hash, parse_id, stored, stored_from, time},
};
use crate::{
    approval::{Approval, ApprovalId},
    audit::ChainHead,
    store::{
        ApiTokenRecord, Due, HeartbeatDue, StoreError, WorkflowRecord,
        codec::{decode, decode_task},
    },
};

const BY_ID: &str = stored_from!("", "approvals a", "WHERE a.id = $1");
const BY_IDENTITY: &str = stored_from!("", "approvals a", "WHERE a.identity = $1");
const BY_NUMBERS: &str = stored_from!("", "approvals a", "WHERE a.number = ANY($1)");
const PREFIX: &str = "SELECT id FROM approvals WHERE id >= $1 AND id < $1 || '{' COLLATE \"C\" ORDER BY id LIMIT $2";
const HEAD: &str = "SELECT revision, hash FROM head";

pub(super) async fn by_id(readers: &Readers, id: &ApprovalId) -> Result<Option<Arc<Approval>>, StoreError> {
    one(readers.first(BY_ID, &[&id.as_str()]).await?)
}

pub(super) async fn by_identity(readers: &Readers, identity: &str) -> Result<Option<Arc<Approval>>, StoreError> {
    one(readers.first(BY_IDENTITY, &[&kept(identity)]).await?)
}

fn one(row: Option<Row>) -> Result<Option<Arc<Approval>>, StoreError> {
    row.map(|row| stored(&row).map(|owned| owned.stored.approval)).transpose()
}

/// The ids that begin with `prefix`. '{' sorts after every character of an id.
pub(super) async fn find_prefix(readers: &Readers, prefix: &str, limit: usize) -> Result<Vec<ApprovalId>, StoreError> {
    if prefix.contains('\0') {
        return Ok(Vec::new());
    }
    let rows = readers.read(PREFIX, &[&prefix, &rows::limit(limit)]).await?;
    rows.iter().map(|row| parse_id(get(row, 0)?)).collect()
}

pub(super) async fn chain_head(readers: &Readers) -> Result<ChainHead, StoreError> {
    let row = readers.first(HEAD, &[]).await?.ok_or_else(|| StoreError::corrupt(super::load::NoHead))?;
    Ok(ChainHead { revision: get(&row, 0)?, hash: hash(&row, 1)? })
}

/// The due work of a server whose lease has not ended: of each of its slots as much as is asked for, by an index.
macro_rules! due {
    ($column:literal) => {
        concat!(
            "SELECT x.due, x.number, x.id FROM slots s
             JOIN servers v ON v.server = s.server AND v.until > clock_timestamp()
             CROSS JOIN LATERAL (SELECT ",
            $column,
            " AS due, number, id FROM approvals WHERE slot = s.slot AND ",
            $column,
            " IS NOT NULL ORDER BY ",
            $column,
            " LIMIT $2) x
             WHERE s.server = $1 ORDER BY x.due LIMIT $2"
        )
    };
}

const DUE_TIMERS: &str = due!("timer_due");
const DUE_DELIVERIES: &str = due!("delivery_due");
const DUE_DETACHED: &str = due!("detached_due");
const DUE_HEARTBEATS: &str = "SELECT x.due, x.number, x.id, e.state FROM slots s
     JOIN servers v ON v.server = s.server AND v.until > clock_timestamp()
     CROSS JOIN LATERAL (SELECT heartbeat_due AS due, number, id, revision FROM approvals
         WHERE slot = s.slot AND heartbeat_due IS NOT NULL ORDER BY heartbeat_due LIMIT $2) x
     JOIN events e ON e.revision = x.revision
     WHERE s.server = $1 ORDER BY x.due LIMIT $2";

/// The rows that are due, and when the next one is.
async fn due(readers: &Readers, sql: &str, server: i64, now: Timestamp, limit: usize) -> Result<Due<Row>, StoreError> {
    let rows = readers.read(sql, &[&server, &rows::limit(limit.saturating_add(1))]).await?;
    let mut items = Vec::new();
    for row in rows {
        let due = time(get(&row, 0)?)?;
        if due > now || items.len() == limit {
            return Ok(Due { items, next: Some(due) });
        }
        items.push(row);
    }
    Ok(Due { items, next: None })
}

pub(super) async fn due_heartbeats(
    readers: &Readers,
    server: i64,
    now: Timestamp,
    limit: usize,
) -> Result<Due<HeartbeatDue>, StoreError> {
    let Due { items, next } = due(readers, DUE_HEARTBEATS, server, now, limit).await?;
    let heartbeat = |row: &Row| {
        let task = decode_task(get(row, 3)?)?;
        let (id, due) = (parse_id(get(row, 2)?)?, time(get(row, 0)?)?);
        Ok(HeartbeatDue { id, token: task.token, due, heartbeat: task.heartbeat })
    };
    Ok(Due { items: items.iter().map(heartbeat).collect::<Result<_, StoreError>>()?, next })
}

pub(super) async fn due_timers(
    readers: &Readers,
    server: i64,
    now: Timestamp,
    limit: usize,
) -> Result<Due<ApprovalId>, StoreError> {
    let Due { items, next } = due(readers, DUE_TIMERS, server, now, limit).await?;
    let items = items.iter().map(|row| parse_id(get(row, 2)?)).collect::<Result<_, _>>()?;
    Ok(Due { items, next })
}

pub(super) async fn due_deliveries(
    readers: &Readers,
    server: i64,
    now: Timestamp,
    limit: usize,
) -> Result<Due<Arc<Approval>>, StoreError> {
    whole(readers, due(readers, DUE_DELIVERIES, server, now, limit).await?).await
}

pub(super) async fn due_detached(
    readers: &Readers,
    server: i64,
    now: Timestamp,
    limit: usize,
) -> Result<Due<Arc<Approval>>, StoreError> {
    whole(readers, due(readers, DUE_DETACHED, server, now, limit).await?).await
}

/// The approvals that are due, in that order.
async fn whole(readers: &Readers, due: Due<Row>) -> Result<Due<Arc<Approval>>, StoreError> {
    let Due { items, next } = due;
    if items.is_empty() {
        return Ok(Due { items: Vec::new(), next });
    }
    let numbers = items.iter().map(|row| get(row, 1)).collect::<Result<Vec<i64>, _>>()?;
    let mut found = HashMap::new();
    for row in readers.read(BY_NUMBERS, &[&numbers]).await? {
        let stored = stored(&row)?.stored;
        found.insert(stored.number, stored.approval);
    }
    Ok(Due { items: numbers.into_iter().filter_map(|number| found.remove(&number)).collect(), next })
}

const COUNT_ALL: &str = "SELECT coalesce(sum(pending), 0)::bigint FROM pending_counts";
pub(super) const COUNT_WORKFLOW: &str =
    "SELECT coalesce(sum(pending), 0)::bigint FROM pending_counts WHERE workflow = $1";

pub(super) async fn count_pending(readers: &Readers, workflow: Option<&str>) -> Result<u64, StoreError> {
    let row = match workflow {
        None => readers.first(COUNT_ALL, &[]).await?,
        Some(name) => readers.first(COUNT_WORKFLOW, &[&kept(name)]).await?,
    };
    let count: i64 = row.map(|row| get(&row, 0)).transpose()?.unwrap_or(0);
    Ok(u64::try_from(count).unwrap_or(0))
}

pub(super) async fn workflows(readers: &Readers) -> Result<Vec<WorkflowRecord>, StoreError> {
    let rows = readers.read("SELECT record FROM workflows ORDER BY name", &[]).await?;
    rows.iter().map(|row| decode(get(row, 0)?)).collect()
}

const API_TOKENS: &str = "SELECT digest, name, grants, seal, created, created_by, expires, revoked
    FROM api_tokens ORDER BY name, created DESC";

pub(super) async fn api_tokens(readers: &Readers) -> Result<Vec<ApiTokenRecord>, StoreError> {
    readers.read(API_TOKENS, &[]).await?.iter().map(rows::api_token).collect()
}

#[cfg(test)]
pub(super) const STATEMENTS: [&str; 10] = [
    BY_ID,
    BY_IDENTITY,
    BY_NUMBERS,
    PREFIX,
    HEAD,
    DUE_TIMERS,
    DUE_DELIVERIES,
    DUE_DETACHED,
    DUE_HEARTBEATS,
    COUNT_WORKFLOW,
];
